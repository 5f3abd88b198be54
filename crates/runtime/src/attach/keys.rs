//! Detach keys, in docker's notation: `ctrl-p,ctrl-q`.

/// The sequence of bytes that detaches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DetachKeys(Vec<u8>);

/// A text that is no key sequence.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{key}` in detach keys `{text}` is no key (want a character or ctrl-<a-z@[\\]^_>)")]
pub struct DetachKeysError {
    text: String,
    key: String,
}

impl Default for DetachKeys {
    /// Docker's: `ctrl-p,ctrl-q`.
    fn default() -> Self {
        Self(vec![0x10, 0x11])
    }
}

impl DetachKeys {
    /// No sequence detaches.
    pub fn none() -> Self {
        Self(Vec::new())
    }

    /// Finds the sequence in input; `active` false passes everything.
    pub(super) fn scanner(&self, active: bool) -> Scanner {
        Scanner {
            keys: if active { self.0.clone() } else { Vec::new() },
            held: Vec::new(),
        }
    }
}

impl std::str::FromStr for DetachKeys {
    type Err = DetachKeysError;

    fn from_str(text: &str) -> Result<Self, DetachKeysError> {
        if text.is_empty() {
            return Ok(Self::none());
        }
        let key = |key: &str| {
            byte_of(key).ok_or_else(|| DetachKeysError {
                text: text.to_owned(),
                key: key.to_owned(),
            })
        };
        text.split(',').map(key).collect::<Result<_, _>>().map(Self)
    }
}

fn byte_of(key: &str) -> Option<u8> {
    let control = key.strip_prefix("ctrl-");
    match (control.unwrap_or(key).as_bytes(), control) {
        ([letter @ b'a'..=b'z'], Some(_)) => Some(letter - b'a' + 1),
        ([mark @ (b'@' | b'['..=b'_')], Some(_)) => Some(mark - b'@'),
        ([byte], None) if byte.is_ascii() => Some(*byte),
        _ => None,
    }
}

/// Withholds what may become the sequence.
#[derive(Debug)]
pub(super) struct Scanner {
    keys: Vec<u8>,
    held: Vec<u8>,
}

impl Scanner {
    /// The bytes to pass on, and whether the sequence was completed (the input after it
    /// is dropped).
    pub(super) fn scan(&mut self, input: &[u8]) -> (Vec<u8>, bool) {
        if self.keys.is_empty() {
            return (input.to_vec(), false);
        }
        let mut pass = Vec::with_capacity(input.len());
        for &byte in input {
            self.held.push(byte);
            while !self.keys.starts_with(&self.held) {
                pass.push(self.held.remove(0));
            }
            if self.held.len() == self.keys.len() {
                return (pass, true);
            }
        }
        (pass, false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_dockers_notation() {
        assert_eq!("ctrl-p,ctrl-q".parse(), Ok(DetachKeys::default()));
        assert_eq!("a,ctrl-[,ctrl-@".parse(), Ok(DetachKeys(vec![b'a', 27, 0])));
        assert_eq!("".parse(), Ok(DetachKeys::none()));
        for bad in ["ctrl-", "ctrl-P", "ab", "a,,b", "é", "ctrl-1"] {
            assert!(bad.parse::<DetachKeys>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_broken_off_sequence_is_passed_on() {
        let mut scanner = DetachKeys::default().scanner(true);
        assert_eq!(scanner.scan(b"a\x10"), (b"a".to_vec(), false));
        assert_eq!(scanner.scan(b"b"), (b"\x10b".to_vec(), false));
        assert_eq!(scanner.scan(b"\x10\x10"), (b"\x10".to_vec(), false));
        assert_eq!(scanner.scan(b"\x11rest"), (Vec::new(), true));
    }

    proptest! {
        #[test]
        fn any_text_is_survived(text in "\\PC{0,20}") {
            let _ = text.parse::<DetachKeys>();
        }

        #[test]
        fn finds_the_first_occurrence(
            keys in proptest::collection::vec(0u8..3, 1..4),
            input in proptest::collection::vec(0u8..3, 0..40),
            piece in 1usize..5,
        ) {
            let mut scanner = DetachKeys(keys.clone()).scanner(true);
            let mut passed = Vec::new();
            let mut found = false;
            for bytes in input.chunks(piece) {
                let (pass, done) = scanner.scan(bytes);
                passed.extend(pass);
                if done {
                    found = true;
                    break;
                }
            }
            let at = input.windows(keys.len()).position(|w| w == keys);
            prop_assert_eq!(found, at.is_some());
            match at {
                Some(at) => prop_assert_eq!(&passed, &input[..at]),
                None => prop_assert_eq!([passed, scanner.held].concat(), input),
            }
        }
    }
}
