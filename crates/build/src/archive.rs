//! Archives that ADD unpacks.

use std::io::Read;

use rustix::fs::FileType;
use store::Store;
use sys::{Error, Result};

use crate::tree::{Dir, Leaf};
use crate::upper::WriteError;

/// How compressed data begins: gzip, zstd, then those that we do not read.
const READ: [&[u8]; 2] = [b"\x1f\x8b", b"\x28\xb5\x2f\xfd"];
const UNREAD: [&[u8]; 2] = [b"BZh", b"\xfd7zXZ\0"];

/// Ends of names that promise a tar inside the compressed data.
const NAMES: [&str; 9] = [
    ".tar.gz", ".tgz", ".tar.zst", ".tar.bz2", ".tbz", ".tbz2", ".tar.xz", ".txz", ".tar",
];

/// Whether the file may be an archive: a tar, or anything compressed.
pub(crate) fn is_one(leaf: &Leaf) -> Result<bool> {
    if leaf.meta.kind != FileType::RegularFile {
        return Ok(false);
    }
    let head = head(leaf)?;
    let plain = head.get(257..262) == Some(b"ustar");
    Ok(plain || begins(&head, &READ) || begins(&head, &UNREAD))
}

/// Unpacks an archive into a layer that nothing refers to, so that it goes with the
/// next collection. `None` if it turns out to be a compressed file of another kind,
/// which ADD copies as it is.
pub(crate) fn unpack(store: &Store, leaf: &Leaf) -> std::result::Result<Option<Dir>, WriteError> {
    let name = leaf.shown().to_string_lossy().to_lowercase();
    let promised = NAMES.iter().any(|end| name.ends_with(end));
    if begins(&head(leaf)?, &UNREAD) {
        return match promised {
            true => Err(WriteError::Compression(leaf.shown().to_owned())),
            false => Ok(None),
        };
    }
    match store.layers().adopt_tar(leaf.open()?) {
        Ok(info) => Ok(Some(Dir::layered(&[store.layers().path(&info.diff_id)])?)),
        Err(_) if !promised => Ok(None),
        Err(source) => Err(WriteError::Archive {
            path: leaf.shown().to_owned(),
            source: Box::new(source),
        }),
    }
}

fn begins(head: &[u8], magics: &[&[u8]]) -> bool {
    magics.iter().any(|magic| head.starts_with(magic))
}

fn head(leaf: &Leaf) -> Result<Vec<u8>> {
    let mut head = Vec::new();
    let read = leaf.open()?.take(512).read_to_end(&mut head);
    read.map_err(|e| Error::new("read", leaf.shown().to_string_lossy(), e))?;
    Ok(head)
}
