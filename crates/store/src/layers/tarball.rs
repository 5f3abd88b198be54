//! A tree becomes a tar: always the same bytes for the same tree.
//!
//! Entries are sorted by the bytes of their names, directories before what is in them;
//! times are whole seconds; there are no user names. What ustar's fields cannot hold
//! goes into PAX records: long or non-ASCII names, large numbers, attributes.

use std::collections::{HashMap, HashSet};
use std::ffi::OsStr;
use std::io::{self, BufWriter, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use model::Digest;
use model::container::Ids;
use rustix::io::Errno;
use sha2::{Digest as _, Sha256};
use sys::fs::{DirFd, FileType, Stat};

use super::is_overlay_private;
use crate::{Error, Result};

mod header;

pub(crate) use header::Header;

/// Which of two readings of a tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// Overlay's marks become OCI's; devices and sockets are left out.
    Layer,
    /// What is seen is what is written.
    Tree,
}

/// Writes a layer's tar in OCI form.
pub(super) fn layer_tar(root: &Path, writer: impl Write) -> Result<()> {
    write(root, Form::Layer, None, writer)
}

/// Writes a plain tar of any directory, e.g. a container's merged root. With `ids`, owners
/// are those that the container sees.
pub fn tree_tar(root: &Path, ids: Option<&Ids>, writer: impl Write) -> Result<()> {
    write(root, Form::Tree, ids, writer)
}

/// Writes a plain tar of one entry of a directory and all below it, under another name. An
/// empty name stands for a directory's content alone. With `ids`, as in [`tree_tar`].
pub fn entry_tar(
    dir: &DirFd,
    name: &OsStr,
    shown: &OsStr,
    ids: Option<&Ids>,
    writer: impl Write,
) -> Result<()> {
    let mut tar = Tar::new(Form::Tree, writer);
    tar.ids = ids.cloned();
    if shown.is_empty() {
        let child = dir.open_dir(name)?;
        let header = tar.header(b"./", b'5', &child.stat_self()?);
        tar.bytes(&header.encode())?;
        tar.directory(&child)?;
    } else {
        let absent = || {
            sys::Error::new(
                "find",
                dir.path().join(name).to_string_lossy(),
                Errno::NOENT,
            )
        };
        let stat = dir.stat(name)?.ok_or_else(absent)?;
        tar.entry_as(dir, name, shown, &stat)?;
    }
    tar.end()
}

/// Writes the tar, in OCI form, of an overlay's upper directory without some entries. With
/// `ids`, as in [`tree_tar`].
pub fn upper_tar(
    upper: &Path,
    without: &[PathBuf],
    ids: Option<&Ids>,
    writer: impl Write,
) -> Result<()> {
    let dir = DirFd::open(upper)?;
    let mut tar = Tar::new(Form::Layer, writer);
    tar.ids = ids.cloned();
    tar.without = without
        .iter()
        .map(|path| path.as_os_str().as_bytes().to_owned())
        .collect();
    tar.root(&dir)?;
    tar.directory(&dir)?;
    tar.end()
}

/// Digest and length of a layer's tar.
pub(super) fn digest(root: &Path) -> Result<(Digest, u64)> {
    let mut hashing = Hashing {
        hash: Sha256::new(),
        size: 0,
    };
    layer_tar(root, &mut hashing)?;
    Ok((
        Digest::from_sha256(hashing.hash.finalize().into()),
        hashing.size,
    ))
}

fn write(root: &Path, form: Form, ids: Option<&Ids>, writer: impl Write) -> Result<()> {
    let dir = DirFd::open(root)?;
    let mut tar = Tar::new(form, writer);
    tar.ids = ids.cloned();
    tar.root(&dir)?;
    tar.directory(&dir)?;
    tar.end()
}

fn writing(source: io::Error) -> Error {
    Error::Write {
        what: "tar".into(),
        source,
    }
}

struct Tar<W: Write> {
    out: BufWriter<W>,
    form: Form,
    /// First path of every file that has several names.
    links: HashMap<(u64, u64), Vec<u8>>,
    /// Where we are, with a slash at its end unless it is the root.
    path: Vec<u8>,
    /// Paths that are left out.
    without: HashSet<Vec<u8>>,
    /// Whose owners these are.
    ids: Option<Ids>,
}

impl<W: Write> Tar<W> {
    fn new(form: Form, writer: W) -> Self {
        Self {
            out: BufWriter::with_capacity(128 << 10, writer),
            form,
            links: HashMap::new(),
            path: Vec::new(),
            without: HashSet::new(),
            ids: None,
        }
    }

    /// Two empty blocks are the end.
    fn end(mut self) -> Result<()> {
        self.bytes(&[0; 1024])?;
        self.out.flush().map_err(writing)
    }

    fn bytes(&mut self, bytes: &[u8]) -> Result<()> {
        self.out.write_all(bytes).map_err(writing)
    }

    /// The root has an entry only if it is not as everybody makes it anyway.
    fn root(&mut self, dir: &DirFd) -> Result<()> {
        let stat = dir.stat_self()?;
        let header = self.header(b"./", b'5', &stat);
        let header = Self::described(header, dir, ".".as_ref())?;
        let usual = header.mode == 0o755 && (header.uid, header.gid) == (0, 0);
        if !usual || header.has_xattrs() {
            self.bytes(&header.encode())?;
        }
        self.opaque(dir)
    }

    fn header(&self, path: &[u8], kind: u8, stat: &Stat) -> Header {
        Header {
            path: path.to_owned(),
            link: Vec::new(),
            kind,
            mode: stat.st_mode & 0o7777,
            uid: self
                .ids
                .as_ref()
                .and_then(|ids| ids.users.inside(stat.st_uid))
                .unwrap_or(stat.st_uid),
            gid: self
                .ids
                .as_ref()
                .and_then(|ids| ids.groups.inside(stat.st_gid))
                .unwrap_or(stat.st_gid),
            size: 0,
            time: stat.st_mtime,
            device: None,
            xattrs: Vec::new(),
        }
    }

    /// With what the entry's attributes say: themselves, and an owner that could only be
    /// noted.
    fn described(header: Header, dir: &DirFd, name: &OsStr) -> Result<Header> {
        let mut found = dir.xattrs(name)?;
        let (uid, gid) = sys::fs::noted_owner(&found).unwrap_or((header.uid, header.gid));
        // Labels of a security module belong to the host, not to the image.
        found.retain(|x| !is_overlay_private(&x.name) && x.name != "security.selinux");
        let xattrs = found
            .into_iter()
            .map(|x| (x.name.as_bytes().to_owned(), x.value));
        Ok(Header { uid, gid, ..header }.with_xattrs(xattrs.collect()))
    }

    /// The mark of an opaque directory, first thing in it.
    fn opaque(&mut self, dir: &DirFd) -> Result<()> {
        match self.form == Form::Layer && dir.is_opaque() {
            true => self.mark(b".wh..wh..opq"),
            false => Ok(()),
        }
    }

    /// An empty file whose name says all; nothing else of it may vary.
    fn mark(&mut self, name: &[u8]) -> Result<()> {
        let path = [&self.path, name].concat();
        self.bytes(&Header::mark(path).encode())
    }

    fn directory(&mut self, dir: &DirFd) -> Result<()> {
        let here = self.path.len();
        for item in dir.items()? {
            let Some(stat) = dir.stat(&item.name)? else {
                // Gone meanwhile: a running container's tree may change.
                continue;
            };
            self.entry(dir, &item.name, &stat)?;
            self.path.truncate(here);
        }
        Ok(())
    }

    fn entry(&mut self, dir: &DirFd, name: &OsStr, stat: &Stat) -> Result<()> {
        self.entry_as(dir, name, name, stat)
    }

    /// An entry that the tar calls `shown`.
    fn entry_as(&mut self, dir: &DirFd, name: &OsStr, shown: &OsStr, stat: &Stat) -> Result<()> {
        let path = [&self.path, shown.as_bytes()].concat();
        if self.without.contains(&path) {
            return Ok(());
        }
        let kind = FileType::from_raw_mode(stat.st_mode);
        let layer = self.form == Form::Layer;
        match kind {
            _ if layer && sys::fs::is_whiteout(stat) => {
                return self.mark(&[b".wh.", name.as_bytes()].concat());
            }
            FileType::Socket | FileType::Unknown => return Ok(()),
            FileType::CharacterDevice | FileType::BlockDevice if layer => return Ok(()),
            _ => {}
        }
        if kind != FileType::Directory && stat.st_nlink > 1 {
            let first = self.links.get(&(stat.st_dev, stat.st_ino)).cloned();
            if let Some(first) = first {
                let header = Header {
                    link: first,
                    ..self.header(&path, b'1', stat)
                };
                return self.bytes(&header.encode());
            }
            self.links.insert((stat.st_dev, stat.st_ino), path.clone());
        }
        match kind {
            FileType::Directory => {
                self.path = [&path[..], b"/"].concat();
                let header = Self::described(self.header(&self.path, b'5', stat), dir, name)?;
                self.bytes(&header.encode())?;
                let child = dir.open_dir(name)?;
                self.opaque(&child)?;
                self.directory(&child)
            }
            FileType::Symlink => {
                let link = dir.read_link(name)?.as_bytes().to_owned();
                let header = Header {
                    link,
                    ..self.header(&path, b'2', stat)
                };
                self.bytes(&Self::described(header, dir, name)?.encode())
            }
            FileType::RegularFile => {
                let header = Self::described(self.header(&path, b'0', stat), dir, name)?;
                self.file(dir, name, stat, header)
            }
            FileType::Fifo => {
                let header = Self::described(self.header(&path, b'6', stat), dir, name)?;
                self.bytes(&header.encode())
            }
            _ => {
                let kind = if kind == FileType::BlockDevice {
                    b'4'
                } else {
                    b'3'
                };
                let device = rustix::fs::major(stat.st_rdev);
                let device = Some((device, rustix::fs::minor(stat.st_rdev)));
                let header = Header {
                    device,
                    ..self.header(&path, kind, stat)
                };
                self.bytes(&Self::described(header, dir, name)?.encode())
            }
        }
    }

    fn file(&mut self, dir: &DirFd, name: &OsStr, stat: &Stat, header: Header) -> Result<()> {
        let size = u64::try_from(stat.st_size).expect("files have no negative size");
        self.bytes(&Header { size, ..header }.encode())?;
        let mut file = dir.open_file(name)?.take(size);
        let path = || dir.path().join(name).display().to_string();
        let mut buffer = [0; 64 << 10];
        let mut left = size;
        while left > 0 {
            let length = match file.read(&mut buffer) {
                // It has shrunk meanwhile; the header stands, so zeros stand in.
                Ok(0) => {
                    buffer.fill(0);
                    usize::try_from(left)
                        .unwrap_or(usize::MAX)
                        .min(buffer.len())
                }
                Ok(length) => length,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(e) => return Err(sys::Error::new("read", path(), e).into()),
            };
            self.bytes(&buffer[..length])?;
            left -= length as u64;
        }
        let padding = usize::try_from(size.next_multiple_of(512) - size).expect("below 512");
        self.bytes(&[0; 512][..padding])
    }
}

/// Counts and hashes what would be written.
struct Hashing {
    hash: Sha256,
    size: u64,
}

impl Write for Hashing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.hash.update(bytes);
        self.size += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
