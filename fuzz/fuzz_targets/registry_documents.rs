//! What a registry sends and what a login file holds: never a panic, and what is
//! accepted keeps its bytes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use registry::hostile::{Document, edit};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(document) = Document::new(bytes.to_vec()) {
        assert_eq!(document.bytes, bytes);
    }
    if let Ok((text, _)) = edit(Some(bytes), "registry.test:5000", Some("YTpi")) {
        let (_, existed) = edit(Some(&text), "registry.test:5000", None).expect("our own text");
        assert!(existed);
    }
});
