//! An archive on disk, with the places of its members.

use std::collections::HashMap;
use std::io::{self, BufReader, Read, Seek, SeekFrom, Take, Write};

use crate::blobs::MAX_DOCUMENT;
use crate::layers::decoder;
use crate::root::TempFile;
use crate::tarread::Reader;
use crate::{Error, Result, Store};

/// Links from member to member that are followed.
const MAX_LINKS: usize = 8;

/// More than any honest archive has.
const MAX_MEMBERS: usize = 100_000;

/// A spooled archive.
pub(super) struct Spool {
    file: TempFile,
    members: HashMap<String, Member>,
}

enum Member {
    Bytes { at: u64, size: u64 },
    Link(String),
}

impl Spool {
    /// Spools and indexes a stream. It need not be seekable.
    pub(super) fn new(store: &Store, reader: impl Read) -> Result<Self> {
        let read = |source| Error::Read {
            what: "archive".into(),
            source,
        };
        let file = store.temp_file()?;
        let mut plain = decoder(reader).map_err(read)?;
        copy(&mut plain, file.file())?;
        let members = index(file.file())?;
        Ok(Self { file, members })
    }

    /// Whether there is such a member.
    pub(super) fn has(&self, name: &str) -> bool {
        self.place(name).is_some()
    }

    fn place(&self, name: &str) -> Option<(u64, u64)> {
        let mut name = clean(name)?;
        for _ in 0..MAX_LINKS {
            match self.members.get(&name)? {
                Member::Bytes { at, size } => return Some((*at, *size)),
                Member::Link(target) => name = target.clone(),
            }
        }
        None
    }

    /// Length of a member.
    pub(super) fn size(&self, name: &str) -> Result<u64> {
        self.place(name)
            .map(|(_, size)| size)
            .ok_or_else(|| absent(name))
    }

    /// A member's bytes. One reader at a time: they share a position.
    pub(super) fn open(&self, name: &str) -> Result<Take<&std::fs::File>> {
        let (at, size) = self.place(name).ok_or_else(|| absent(name))?;
        let mut file = self.file.file();
        file.seek(SeekFrom::Start(at))
            .map_err(|source| Error::Read {
                what: "archive".into(),
                source,
            })?;
        Ok(file.take(size))
    }

    /// A small document.
    pub(super) fn read(&self, name: &str) -> Result<Vec<u8>> {
        let size = self.size(name)?;
        if size > MAX_DOCUMENT {
            let what = format!("`{name}` of the archive");
            return Err(Error::TooLarge {
                what,
                size,
                limit: MAX_DOCUMENT,
            });
        }
        let mut bytes = Vec::new();
        self.open(name)?
            .read_to_end(&mut bytes)
            .map_err(|source| Error::Read {
                what: "archive".into(),
                source,
            })?;
        Ok(bytes)
    }
}

fn absent(name: &str) -> Error {
    Error::Archive(format!("it has no `{}`", name.escape_debug()))
}

/// Copies to our disk; reading and writing fail with different errors.
fn copy(from: &mut impl Read, mut to: &std::fs::File) -> Result<()> {
    let mut buffer = vec![0; 256 << 10];
    loop {
        let length = match from.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(length) => length,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            Err(source) => {
                return Err(Error::Read {
                    what: "archive".into(),
                    source,
                });
            }
        };
        to.write_all(&buffer[..length])
            .map_err(|e| sys::Error::new("write", "the archive to tmp/", e))?;
    }
}

fn index(mut file: &std::fs::File) -> Result<HashMap<String, Member>> {
    let broken = |e: io::Error| Error::Archive(format!("it is not a tar ({e})"));
    let length = file.seek(SeekFrom::End(0)).map_err(broken)?;
    file.rewind().map_err(broken)?;
    let mut members = HashMap::new();
    let mut tar = Reader::new(BufReader::with_capacity(256 << 10, file));
    while let Some(entry) = tar.next().map_err(broken)? {
        if members.len() == MAX_MEMBERS {
            return Err(Error::Archive("it has too many members".into()));
        }
        let Some(name) = std::str::from_utf8(&entry.path).ok().and_then(clean) else {
            continue;
        };
        let kind = entry.kind;
        if kind.is_file() && !entry.sparse {
            let (at, size) = (entry.at, entry.size);
            if at.checked_add(size).is_none_or(|end| end > length) {
                return Err(Error::Archive(format!(
                    "it ends within `{}`",
                    name.escape_debug()
                )));
            }
            members.insert(name, Member::Bytes { at, size });
        } else if kind.is_symlink() || kind.is_hard_link() {
            let target = std::str::from_utf8(&entry.link).ok();
            // Symbolic ones start at their own directory, hard ones at the root.
            let from = match name.rsplit_once('/') {
                Some((dir, _)) if kind.is_symlink() => format!("{dir}/"),
                _ => String::new(),
            };
            if let Some(target) = target.and_then(|t| clean(&format!("{from}{t}"))) {
                members.insert(name, Member::Link(target));
            }
        }
    }
    Ok(members)
}

/// A member's name without `.`, `..` and doubled slashes; `None` if it leads out.
fn clean(name: &str) -> Option<String> {
    let mut parts = Vec::new();
    for part in name.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()?),
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}
