//! An image archive of a stranger's: it loads or is refused, and nothing half-made
//! stays.
#![no_main]

use libfuzzer_sys::fuzz_target;
use store::archive::Format;
use store::{Options, Store};

fuzz_target!(|bytes: &[u8]| {
    let temp = tempfile::tempdir_in("/dev/shm").expect("a tmpfs");
    let store = Store::open(&temp.path().join("store"), Options::default()).expect("a store");
    for loaded in store.load(bytes).unwrap_or_default() {
        let named = [(loaded.image, loaded.references.into_iter().next())];
        for format in [Format::Docker, Format::Oci] {
            let sink = std::io::sink();
            store.save(&named, format, sink).expect("what was loaded can be saved");
        }
    }
    let tmp = store.root().join("tmp");
    assert_eq!(std::fs::read_dir(tmp).expect("readable").count(), 0);
});
