//! Paths, whiteouts and times as tars write them.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::os::unix::ffi::OsStrExt;

use sys::fs::Timespec;

use crate::{Error, Result};

/// Deeper than any honest tree; each level costs a descriptor.
const MAX_DEPTH: usize = 256;

/// An entry's path, taken apart: no empty component, no `.`, no `..`.
pub(super) struct Name {
    components: Vec<OsString>,
}

impl Name {
    /// Takes a path apart as if `/` were the layer's root. `..` is resolved by text, as
    /// every other reader of layers does; one that leads out is refused.
    pub(super) fn parse(raw: &[u8]) -> Result<Self> {
        let refused = |reason: &str| {
            let entry = raw[..raw.len().min(1000)].escape_ascii().to_string();
            Err(Error::Entry {
                entry,
                reason: reason.into(),
            })
        };
        if raw.contains(&0) {
            return refused("its name has a zero byte");
        }
        let mut components = Vec::new();
        for component in raw.split(|b| *b == b'/') {
            match component {
                b"" | b"." => {}
                b".." if components.pop().is_none() => return refused("it leads out of the layer"),
                b".." => {}
                name => components.push(OsStr::from_bytes(name).to_owned()),
            }
        }
        match components.len() > MAX_DEPTH {
            true => refused("it lies too deep"),
            false => Ok(Self { components }),
        }
    }

    /// Its parents and its last component; `None` for the root.
    pub(super) fn split(&self) -> Option<(&[OsString], &OsStr)> {
        self.components
            .split_last()
            .map(|(last, parents)| (parents, last.as_os_str()))
    }

    pub(super) fn refused(&self, reason: impl Into<String>) -> Error {
        Error::Entry {
            entry: self.to_string(),
            reason: reason.into(),
        }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.components.is_empty() {
            return f.write_str("/");
        }
        for component in &self.components {
            // Never raw: these reach terminals.
            write!(f, "/{}", component.as_bytes().escape_ascii())?;
        }
        Ok(())
    }
}

/// A name that starts with `.wh.`.
pub(super) enum Whiteout {
    /// The directory hides everything below it.
    Opaque,
    /// Hides this name.
    Of(OsString),
    /// Bookkeeping of a file system that is not ours.
    Private,
    /// Hides nothing that can be named.
    Bad,
}

impl Whiteout {
    pub(super) fn parse(name: &OsStr) -> Option<Self> {
        let hidden = name.as_bytes().strip_prefix(b".wh.")?;
        Some(match hidden {
            b".wh..opq" => Self::Opaque,
            b"" | b"." | b".." => Self::Bad,
            _ if hidden.starts_with(b".wh.") => Self::Private,
            _ => Self::Of(OsStr::from_bytes(hidden).to_owned()),
        })
    }
}

/// A PAX time: seconds since 1970, perhaps negative, perhaps with a fraction.
pub(super) fn parse_time(text: &[u8]) -> Option<Timespec> {
    let text = std::str::from_utf8(text).ok()?;
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let seconds: i64 = whole.parse().ok()?;
    if !fraction.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let nanos: i64 = format!("{fraction:0<9}").get(..9)?.parse().ok()?;
    // -1.25 is three quarters of a second after -2.
    Some(match whole.starts_with('-') && nanos > 0 {
        true => Timespec {
            tv_sec: seconds.checked_sub(1)?,
            tv_nsec: 1_000_000_000 - nanos,
        },
        false => Timespec {
            tv_sec: seconds,
            tv_nsec: nanos,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_stay_inside() {
        for (raw, shown) in [
            ("a/b", "/a/b"),
            ("./a//b/", "/a/b"),
            ("/etc/passwd", "/etc/passwd"),
            ("a/../b", "/b"),
            ("./", "/"),
            ("a\x1b[1m", "/a\\x1b[1m"),
        ] {
            assert_eq!(Name::parse(raw.as_bytes()).unwrap().to_string(), shown);
        }
        for bad in ["..", "a/../../b", "/../x", "x\0y"] {
            assert!(Name::parse(bad.as_bytes()).is_err(), "{bad:?}");
        }
        assert!(Name::parse("a/".repeat(300).as_bytes()).is_err());
    }

    #[test]
    fn times() {
        let time = |text: &str| parse_time(text.as_bytes()).map(|t| (t.tv_sec, t.tv_nsec));
        assert_eq!(time("12"), Some((12, 0)));
        assert_eq!(time("12.5"), Some((12, 500_000_000)));
        assert_eq!(time("-1.25"), Some((-2, 750_000_000)));
        assert_eq!(time("-0.25"), Some((-1, 750_000_000)));
        assert_eq!(time("1.1234567899"), Some((1, 123_456_789)));
        assert_eq!(time("x"), None);
        assert_eq!(time("1.-5"), None);
    }

    proptest::proptest! {
        #[test]
        fn any_bytes(raw in proptest::collection::vec(0u8.., 0..64)) {
            if let Ok(name) = Name::parse(&raw) {
                let shown = name.to_string();
                proptest::prop_assert!(shown.is_ascii() && !shown.contains('\n'));
            }
            let _ = parse_time(&raw);
        }
    }
}
