//! A layer of a stranger's: whatever it holds, nothing outside its root is touched,
//! nothing half-made stays, and a tree that was unpacked writes a tar that unpacks to
//! the same tree.
#![no_main]

use libfuzzer_sys::fuzz_target;
use store::{Options, Store};

fuzz_target!(|bytes: &[u8]| {
    let temp = tempfile::tempdir_in("/dev/shm").expect("a tmpfs");
    let outside = temp.path().join("outside");
    std::fs::write(&outside, "untouched").expect("writable");
    let store = Store::open(&temp.path().join("store"), Options::default()).expect("a store");
    let layers = store.layers();
    if let Ok(info) = layers.adopt_tar(bytes) {
        let mut tar = Vec::new();
        layers.write_tar(&info.diff_id, &mut tar).expect("what was stored is readable");
        let again = layers.adopt_tar(&tar[..]).expect("our own tars unpack");
        assert_eq!((again.diff_id, again.size), (info.diff_id, info.size));
    }
    assert_eq!(std::fs::read(&outside).expect("still there"), b"untouched");
    assert_eq!(std::fs::read_dir(temp.path()).expect("readable").count(), 2);
    let tmp = store.root().join("tmp");
    assert_eq!(std::fs::read_dir(tmp).expect("readable").count(), 0);
});
