//! Whatever a container sends to port 53.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|packet: &[u8]| {
    let _ = net::parse_query(packet);
    if let Some(response) = net::respond(packet, &net::Answer::Failure, 512) {
        // A response that is larger than its question would make us an amplifier.
        assert!(response.len() <= packet.len());
    }
});
