//! The last output, for a client that attaches late.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

const KEPT: usize = 4096;

/// The last few KiB.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Replay(VecDeque<u8>);

impl Replay {
    /// Takes output.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        let last = &bytes[bytes.len().saturating_sub(KEPT)..];
        let surplus = (self.0.len() + last.len()).saturating_sub(KEPT);
        self.0.drain(..surplus);
        self.0.extend(last);
    }

    /// At most `limit` bytes; what was cut begins after a line's end, so that no escape
    /// sequence and no character is shown by half.
    pub(crate) fn last(&self, limit: usize) -> Vec<u8> {
        let cut = self.0.len() > limit || self.0.len() == KEPT;
        let skip = self.0.len().saturating_sub(limit);
        let tail: Vec<u8> = self.0.iter().copied().skip(skip).collect();
        match tail.iter().position(|&b| b == b'\n') {
            Some(at) if cut => tail[at + 1..].to_vec(),
            _ => tail,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_the_end_and_begins_with_a_whole_line() {
        let mut replay = Replay::default();
        replay.push(b"one\ntwo\nthree");
        assert_eq!(replay.last(100), b"one\ntwo\nthree");
        assert_eq!(replay.last(8), b"three");
        replay.push(&[b'x'; 10_000]);
        assert_eq!(replay.last(100), [b'x'; 100]);
        assert!(replay.0.len() <= KEPT && replay.0.capacity() <= 4 * KEPT);
    }
}
