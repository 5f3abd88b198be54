//! Content digests of files and trees, remembered so that an unchanged file is only
//! examined and not read again.
//!
//! The memory is one file in the store, `build/sums`: an eight-byte mark, then records
//! of 72 bytes, little-endian: device, inode, size, mtime, ctime, SHA-256. It is read
//! whole and replaced by rename; of two builds at once the later one wins, which costs
//! the other's files a second reading. Losing it loses nothing else.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use rustix::fs::FileType;
use sha2::{Digest as _, Sha256};
use std::os::unix::ffi::OsStrExt;
use sys::{Error, Result};

use crate::tree::{Dir, FileId, Leaf, Meta, Node, content_xattrs};

const MARK: &[u8; 8] = b"shimsum1";
const RECORD: usize = 72;

/// A file changed this recently may change again within the same tick of its clock.
const SETTLED: Duration = Duration::from_secs(2);

/// More records than this are forgotten at the next write.
const MOST: usize = 1 << 20;

type Sum = [u8; 32];

/// Digests of file contents by file version.
#[derive(Debug)]
pub(crate) struct Sums {
    path: PathBuf,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    sums: HashMap<FileId, Sum>,
    /// Versions that this build read or found unchanged.
    seen: HashMap<FileId, Sum>,
    /// Whether `seen` holds anything that the file does not.
    grown: bool,
}

impl Sums {
    /// Reads the memory; a missing or damaged one is empty.
    pub(crate) fn load(path: PathBuf) -> Self {
        let bytes = std::fs::read(&path).unwrap_or_default();
        let sums = decode(&bytes).unwrap_or_default();
        let known = Mutex::new(Known {
            sums,
            ..Known::default()
        });
        Self { path, known }
    }

    /// Writes the memory if it has grown.
    pub(crate) fn save(&self) -> Result<()> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if !known.grown {
            return Ok(());
        }
        let old = match known.sums.len() + known.seen.len() > MOST {
            true => None,
            false => Some(&known.sums),
        };
        let mut all: HashMap<_, _> = old.into_iter().flatten().collect();
        let settled = settled_before();
        all.extend(known.seen.iter().filter(|(id, _)| id.ctime < settled));
        let shown = || self.path.to_string_lossy().into_owned();
        let name = format!("sums.{}", std::process::id());
        let temp = self.path.with_file_name(name);
        std::fs::write(&temp, encode(all)).map_err(|e| Error::new("write", shown(), e))?;
        std::fs::rename(&temp, &self.path).map_err(|e| Error::new("replace", shown(), e))
    }

    /// Whether the file's version is one whose digest this build has used.
    pub(crate) fn saw(&self, meta: &Meta) -> bool {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.seen.contains_key(&meta.id)
    }

    /// The digest of a regular file's content.
    fn of_file(&self, leaf: &Leaf) -> Result<Sum> {
        let id = leaf.meta.id;
        let remembered = {
            let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
            let sum = known.seen.get(&id).or_else(|| known.sums.get(&id)).copied();
            if let Some(sum) = sum {
                known.seen.insert(id, sum);
            }
            sum
        };
        if let Some(sum) = remembered {
            return Ok(sum);
        }
        let sum = read_sum(leaf)?;
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.seen.insert(id, sum);
        known.grown = true;
        Ok(sum)
    }

    /// Feeds `node` to `hash`: names, kinds, permissions, owners if they are `owned`,
    /// and contents, but no times. A directory that is `top` counts by its content.
    pub(crate) fn digest(
        &self,
        node: &Node,
        owned: bool,
        top: bool,
        hash: &mut Sha256,
    ) -> Result<()> {
        match node {
            Node::Leaf(leaf) => self.digest_leaf(leaf, owned, hash),
            Node::Dir(dir) => {
                hash.update(b"d");
                if !top {
                    attributes(&dir.meta(), owned, hash);
                }
                self.digest_children(dir, owned, hash)?;
                hash.update(b".");
                Ok(())
            }
        }
    }

    fn digest_children(&self, dir: &Dir, owned: bool, hash: &mut Sha256) -> Result<()> {
        for name in dir.names()? {
            let Some(node) = dir.child(&name)? else {
                continue;
            };
            if matches!(&node, Node::Dir(dir) if !dir.is_shown()?) {
                continue;
            }
            field(hash, name.as_bytes());
            self.digest(&node, owned, false, hash)?;
        }
        Ok(())
    }

    fn digest_leaf(&self, leaf: &Leaf, owned: bool, hash: &mut Sha256) -> Result<()> {
        let meta = &leaf.meta;
        match meta.kind {
            FileType::RegularFile => {
                hash.update(b"f");
                attributes(meta, owned, hash);
                hash.update(self.of_file(leaf)?);
                if owned {
                    for (name, value) in content_xattrs(leaf.open()?) {
                        field(hash, name.as_bytes());
                        field(hash, &value);
                    }
                }
            }
            FileType::Symlink => {
                hash.update(b"l");
                field(hash, leaf.target()?.as_bytes());
            }
            // Sockets are not copied, so that they do not count.
            FileType::Socket => {}
            _ => {
                hash.update(b"s");
                attributes(meta, owned, hash);
                hash.update(meta.rdev.to_le_bytes());
            }
        }
        Ok(())
    }
}

/// Feeds one field with its length, so that neighbours cannot run together.
pub(crate) fn field(hash: &mut Sha256, bytes: &[u8]) {
    hash.update((bytes.len() as u64).to_le_bytes());
    hash.update(bytes);
}

fn attributes(meta: &Meta, owned: bool, hash: &mut Sha256) {
    hash.update(meta.mode.to_le_bytes());
    if owned {
        hash.update(meta.uid.to_le_bytes());
        hash.update(meta.gid.to_le_bytes());
    }
}

fn read_sum(leaf: &Leaf) -> Result<Sum> {
    let mut file = leaf.open()?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0u8; 128 << 10];
    loop {
        let length = file
            .read(&mut buffer)
            .map_err(|e| Error::new("read", leaf.shown().to_string_lossy(), e))?;
        if length == 0 {
            return Ok(hash.finalize().into());
        }
        hash.update(&buffer[..length]);
    }
}

fn settled_before() -> i64 {
    let now = SystemTime::now().checked_sub(SETTLED);
    now.and_then(|t| t.duration_since(SystemTime::UNIX_EPOCH).ok())
        .map_or(0, |d| i64::try_from(d.as_nanos()).unwrap_or(i64::MAX))
}

fn decode(bytes: &[u8]) -> Option<HashMap<FileId, Sum>> {
    let records = bytes.strip_prefix(MARK)?.chunks_exact(RECORD);
    let word = |record: &[u8], at: usize| {
        let mut word = [0u8; 8];
        word.copy_from_slice(&record[at * 8..at * 8 + 8]);
        u64::from_le_bytes(word)
    };
    let read = |record: &[u8]| {
        let id = FileId {
            dev: word(record, 0),
            ino: word(record, 1),
            size: word(record, 2),
            mtime: word(record, 3) as i64,
            ctime: word(record, 4) as i64,
        };
        let mut sum = [0u8; 32];
        sum.copy_from_slice(&record[40..]);
        (id, sum)
    };
    Some(records.map(read).collect())
}

fn encode<'a>(sums: HashMap<&'a FileId, &'a Sum>) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(MARK.len() + sums.len() * RECORD);
    // Writing to a Vec cannot fail.
    let _ = bytes.write_all(MARK);
    for (id, sum) in sums {
        for word in [id.dev, id.ino, id.size, id.mtime as u64, id.ctime as u64] {
            bytes.extend_from_slice(&word.to_le_bytes());
        }
        bytes.extend_from_slice(sum);
    }
    bytes
}

/// The path of the memory below the store's directory for builds.
pub(crate) fn path_in(build_dir: &Path) -> PathBuf {
    build_dir.join("sums")
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;

    use proptest::prelude::*;

    use super::*;

    fn leaf(dir: &Path, name: &str) -> Leaf {
        let tree = Dir::plain(dir).unwrap();
        match tree.child(OsStr::new(name)).unwrap() {
            Some(Node::Leaf(leaf)) => leaf,
            other => panic!("{name} is {other:?}"),
        }
    }

    #[test]
    fn a_known_version_is_not_read_again() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("f"), "content").unwrap();
        let file = leaf(dir.path(), "f");
        let made_up = [7; 32];
        let known = HashMap::from([(&file.meta.id, &made_up)]);
        std::fs::write(dir.path().join("sums"), encode(known)).unwrap();
        let sums = Sums::load(dir.path().join("sums"));
        assert_eq!(sums.of_file(&file).unwrap(), made_up);
        assert!(sums.saw(&file.meta));
        std::fs::write(dir.path().join("f"), "another").unwrap();
        let changed = leaf(dir.path(), "f");
        assert!(!sums.saw(&changed.meta));
        let real: Sum = Sha256::digest("another").into();
        assert_eq!(sums.of_file(&changed).unwrap(), real);
    }

    #[test]
    fn what_has_just_changed_is_not_remembered() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("f"), "content").unwrap();
        let sums = Sums::load(dir.path().join("sums"));
        sums.of_file(&leaf(dir.path(), "f")).unwrap();
        sums.save().unwrap();
        assert_eq!(std::fs::read(dir.path().join("sums")).unwrap(), MARK);
    }

    proptest! {
        #[test]
        fn damage_is_forgetting(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            prop_assert!(decode(&bytes).is_none() || bytes.starts_with(MARK));
            let mut marked = MARK.to_vec();
            marked.extend(&bytes);
            let known = decode(&marked).unwrap();
            prop_assert!(known.len() <= bytes.len() / RECORD);
            prop_assert_eq!(decode(&encode(known.iter().collect())), Some(known.clone()));
        }
    }
}
