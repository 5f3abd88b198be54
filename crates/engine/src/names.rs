//! Names for containers that nobody named.

const QUALITIES: [&str; 32] = [
    "able", "amber", "brave", "brisk", "calm", "clear", "clever", "cosy", "eager", "early", "fair",
    "fond", "gentle", "glad", "golden", "honest", "jolly", "keen", "kind", "lively", "lucky",
    "mellow", "merry", "neat", "noble", "plain", "quick", "quiet", "steady", "sunny", "warm",
    "wise",
];

const THINGS: [&str; 32] = [
    "anchor", "badger", "beacon", "birch", "bridge", "cedar", "comet", "coral", "falcon", "fern",
    "finch", "harbor", "heron", "island", "lantern", "lark", "maple", "meadow", "otter", "pebble",
    "pine", "plover", "raven", "reef", "river", "robin", "sparrow", "summit", "tern", "thistle",
    "willow", "wren",
];

/// A name drawn by these random bytes, e.g. `quiet_heron`; from the third attempt on
/// with a number behind it.
pub(crate) fn name(random: [u8; 4], attempt: u32) -> String {
    let quality = QUALITIES[usize::from(random[0]) % QUALITIES.len()];
    let thing = THINGS[usize::from(random[1]) % THINGS.len()];
    match attempt {
        0..=2 => format!("{quality}_{thing}"),
        _ => format!(
            "{quality}_{thing}{}",
            u16::from_le_bytes([random[2], random[3]])
        ),
    }
}
