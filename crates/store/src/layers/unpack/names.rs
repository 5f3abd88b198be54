//! Paths, whiteouts and times as tars write them.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::os::unix::ffi::OsStrExt;

use crate::{Error, Result};

/// Deeper than any honest tree; each level costs a descriptor.
const MAX_DEPTH: usize = 256;

/// An entry's path, taken apart: no empty component, no `.`, no `..`.
pub(in crate::layers) struct Name {
    components: Vec<OsString>,
}

impl Name {
    /// Takes a path apart as if `/` were the layer's root. `..` is resolved by text, as
    /// every other reader of layers does; one that leads out is refused.
    pub(in crate::layers) fn parse(raw: &[u8]) -> Result<Self> {
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
    pub(in crate::layers) fn split(&self) -> Option<(&[OsString], &OsStr)> {
        self.components
            .split_last()
            .map(|(last, parents)| (parents, last.as_os_str()))
    }

    pub(in crate::layers) fn refused(&self, reason: impl Into<String>) -> Error {
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
pub(in crate::layers) enum Whiteout {
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
    pub(in crate::layers) fn parse(name: &OsStr) -> Option<Self> {
        let hidden = name.as_bytes().strip_prefix(b".wh.")?;
        Some(match hidden {
            b".wh..opq" => Self::Opaque,
            b"" | b"." | b".." => Self::Bad,
            _ if hidden.starts_with(b".wh.") => Self::Private,
            _ => Self::Of(OsStr::from_bytes(hidden).to_owned()),
        })
    }
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

    proptest::proptest! {
        #[test]
        fn any_bytes(raw in proptest::collection::vec(0u8.., 0..64)) {
            if let Ok(name) = Name::parse(&raw) {
                let shown = name.to_string();
                proptest::prop_assert!(shown.is_ascii() && !shown.contains('\n'));
            }
        }
    }
}
