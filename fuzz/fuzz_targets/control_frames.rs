//! What a hostile client may send to a supervisor, and a hostile supervisor to a client.
#![no_main]

use libfuzzer_sys::fuzz_target;
use runtime::frames::{Decoder, Message, Reply, Request};

/// Everything that is understood means the same when it is written and read again.
fn read<M: Message + PartialEq + std::fmt::Debug>(bytes: &[u8]) {
    let mut decoder = Decoder::with(bytes.to_vec());
    while let Ok(Some(message)) = decoder.take::<M>() {
        let mut written = Vec::new();
        message.encode(&mut written);
        let again = Decoder::with(written).take::<M>();
        assert_eq!(again, Ok(Some(message)));
    }
}

fuzz_target!(|bytes: &[u8]| {
    read::<Request>(bytes);
    read::<Reply>(bytes);
});
