//! A tar becomes a tree in overlay's form.
//!
//! The tar is hostile. Paths are taken apart here and walked component by component
//! through directory fds that never follow a link; a link that an earlier entry of the
//! same layer put in the way is resolved by us, with the layer's root as its world.
//! Nothing outside the root can be named, whatever the entries say.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::io::{self, Read, Write};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

use rustix::io::Errno;
use sys::fs::{DirFd, FileType, Timespec};
use tar::EntryType;

use super::pipeline::unwrap;
use super::{Limits, OPAQUE, is_overlay_private};
use crate::{Error, Result};

mod names;
mod place;

use names::{Name, Whiteout};
use place::Place;

/// PAX records and long names before one entry; more is an attack on memory.
const MAX_HEADERS: u64 = 4 << 20;

/// Notes kept of one layer.
const MAX_NOTES: usize = 20;

/// What is known once a layer is unpacked.
#[derive(Debug, Default)]
pub(super) struct Unpacked {
    /// What was left out.
    pub(super) notes: Vec<String>,
    /// Directories that the tar did not have.
    pub(super) implied: Vec<String>,
}

/// Unpacks one tar.
pub(super) struct Unpacker {
    place: Place,
    limits: Limits,
    notes: BTreeSet<String>,
    /// Modification times of directories, set at the end: making children changes them.
    times: BTreeMap<PathBuf, Timespec>,
}

/// The metadata of one entry.
struct Meta {
    mode: u32,
    uid: u32,
    gid: u32,
    time: Timespec,
    xattrs: Vec<(OsString, Vec<u8>)>,
}

impl Unpacker {
    pub(super) fn new(root: DirFd, limits: Limits) -> Self {
        Self {
            place: Place::new(root),
            limits,
            notes: BTreeSet::new(),
            times: BTreeMap::new(),
        }
    }

    /// Unpacks everything up to the tar's end mark.
    pub(super) fn run(mut self, plain: &mut impl Read) -> Result<Unpacked> {
        // The tar crate reads extension headers into memory, so what it may read
        // between two entries is rationed.
        let ration = Cell::new(u64::MAX);
        let mut archive = tar::Archive::new(Rationed {
            inner: plain,
            ration: &ration,
        });
        let broken = |e| unwrap(e, "layer");
        let mut count = 0u64;
        let mut entries = archive.entries().map_err(broken)?;
        loop {
            ration.set(MAX_HEADERS);
            let Some(entry) = entries.next() else { break };
            ration.set(u64::MAX);
            count += 1;
            if count > self.limits.max_entries {
                let (size, limit) = (count, self.limits.max_entries);
                return Err(Error::TooLarge {
                    what: "list of layer entries".into(),
                    size,
                    limit,
                });
            }
            let mut entry = entry.map_err(broken)?;
            self.entry(&mut entry)?;
            io::copy(&mut entry, &mut io::sink()).map_err(broken)?;
        }
        self.finish()
    }

    fn finish(mut self) -> Result<Unpacked> {
        for (path, time) in std::mem::take(&mut self.times) {
            // One that a later entry replaced by something else has no say any more.
            if let Ok(dir) = self.place.root().open_dir_below(&path) {
                dir.set_mtime_self(time)?;
            }
        }
        let mut notes: Vec<String> = self.notes.into_iter().collect();
        if notes.len() > MAX_NOTES {
            let more = notes.len() - MAX_NOTES;
            notes.truncate(MAX_NOTES);
            notes.push(format!("… and {more} more"));
        }
        let implied = self.place.into_implied();
        Ok(Unpacked { notes, implied })
    }

    fn entry<R: Read>(&mut self, entry: &mut tar::Entry<'_, R>) -> Result<()> {
        let kind = entry.header().entry_type();
        if kind.is_pax_global_extensions() {
            return Ok(());
        }
        let raw = entry.path_bytes().into_owned();
        let name = Name::parse(&raw)?;
        let meta = meta(entry, &name)?;
        // Old tars mark directories by a slash alone.
        let is_dir = kind == EntryType::Directory || (is_file(kind) && raw.ends_with(b"/"));
        let Some((parents, last)) = name.split() else {
            return match is_dir {
                true => self.finish_dir(&name, OsStr::new("."), meta),
                false => Err(name.refused("the layer's root can only be a directory")),
            };
        };
        self.place.enter(parents, &name)?;
        if let Some(whiteout) = Whiteout::parse(last) {
            return self.whiteout(&whiteout, &name);
        }
        match kind {
            _ if is_dir => self.directory(&name, last, meta),
            kind if is_file(kind) => self.file(entry, &name, last, &meta),
            EntryType::Symlink => {
                let target = link_target(entry, &name)?;
                self.place.make(last, |dir| dir.symlink(&target, last))?;
                self.finish_node(&name, last, &meta, false)
            }
            EntryType::Link => self.hard_link(entry, &name, last),
            EntryType::Fifo => {
                self.place.make(last, |dir| dir.mkfifo(last, 0o600))?;
                self.finish_node(&name, last, &meta, true)
            }
            EntryType::Char | EntryType::Block => {
                self.note(format!("device {name} was left out"));
                Ok(())
            }
            other => {
                let kind = other.as_byte().escape_ascii();
                self.note(format!("{name} of unknown type `{kind}` was left out"));
                Ok(())
            }
        }
    }

    fn note(&mut self, note: String) {
        // Bounded, whatever the tar holds.
        if self.notes.len() < 10_000 {
            self.notes.insert(note);
        }
    }

    fn directory(&mut self, name: &Name, last: &OsStr, meta: Meta) -> Result<()> {
        let dir = self.place.here();
        let mut hides = false;
        match dir.mkdir(last, 0o700) {
            Err(e) if e.errno() == Some(Errno::EXIST) => {
                let stat = dir.stat(last)?;
                let kind = stat.map(|s| FileType::from_raw_mode(s.st_mode));
                if kind != Some(FileType::Directory) {
                    // Instead of a whiteout of this layer, it must go on hiding.
                    hides = kind == Some(FileType::CharacterDevice);
                    dir.unlink(last)?;
                    dir.mkdir(last, 0o700)?;
                }
            }
            other => other?,
        }
        if hides {
            dir.set_xattr(last, OPAQUE.as_ref(), b"y")?;
        }
        self.finish_dir(name, last, meta)
    }

    fn finish_dir(&mut self, name: &Name, last: &OsStr, meta: Meta) -> Result<()> {
        if last == "." {
            self.place.leave();
            let root = self.place.root();
            own(name, meta.uid, meta.gid, || {
                root.chown_self(meta.uid, meta.gid)
            })?;
            root.chmod_self(meta.mode)?;
            self.times.insert(PathBuf::new(), meta.time);
        } else {
            self.finish_node(
                name,
                last,
                &Meta {
                    xattrs: Vec::new(),
                    ..meta
                },
                true,
            )?;
            let path = self.place.path_of(last);
            self.place.not_implied(&path);
            self.times.insert(path, meta.time);
        }
        self.set_xattrs(name, last, &meta.xattrs)
    }

    fn file<R: Read>(
        &mut self,
        entry: &mut tar::Entry<'_, R>,
        name: &Name,
        last: &OsStr,
        meta: &Meta,
    ) -> Result<()> {
        let sparse = entry.header().entry_type().is_gnu_sparse();
        let size = match sparse {
            true => entry.header().size().map_err(|e| unwrap(e, "layer"))?,
            false => entry.size(),
        };
        let file = self.place.make(last, |dir| dir.create_file(last, 0o600))?;
        let path = || self.place.here().path().join(last).display().to_string();
        let written = copy(entry, &file, &path)?;
        if written != size {
            return Err(name.refused(format!("it ends after {written} of {size} bytes")));
        }
        self.finish_node(name, last, meta, true)
    }

    fn hard_link<R: Read>(
        &mut self,
        entry: &tar::Entry<'_, R>,
        name: &Name,
        last: &OsStr,
    ) -> Result<()> {
        let raw = link_target(entry, name)?;
        let target = Name::parse(raw.as_bytes())?;
        let Some((parents, target_last)) = target.split() else {
            return Err(name.refused("it is a hard link to the layer's root"));
        };
        let from = self.place.find(parents, &target)?;
        let same = from.as_ref().is_some_and(|f| self.place.is_here(f)) && target_last == last;
        if same {
            return Ok(());
        }
        let absent = || {
            name.refused(format!(
                "it is a hard link to `{target}`, which is not in the layer"
            ))
        };
        let from = from.ok_or_else(absent)?;
        match from
            .stat(target_last)?
            .map(|s| FileType::from_raw_mode(s.st_mode))
        {
            None | Some(FileType::CharacterDevice) => return Err(absent()),
            Some(FileType::Directory) => {
                return Err(name.refused(format!("it is a hard link to directory `{target}`")));
            }
            Some(_) => {}
        }
        self.place
            .make(last, |dir| dir.hard_link(&from, target_last, last))
    }

    /// Writes overlay's marks. They concern the layers below only: what this layer has
    /// itself under that name stays.
    fn whiteout(&mut self, whiteout: &Whiteout, name: &Name) -> Result<()> {
        let dir = self.place.here();
        match whiteout {
            Whiteout::Private => Ok(()),
            Whiteout::Opaque => Ok(dir.set_xattr(".".as_ref(), OPAQUE.as_ref(), b"y")?),
            Whiteout::Bad => Err(name.refused("it is a whiteout of no name")),
            Whiteout::Of(hidden) => match dir.stat(hidden)? {
                None => Ok(dir.mkwhiteout(hidden)?),
                Some(s) if FileType::from_raw_mode(s.st_mode) == FileType::Directory => {
                    Ok(dir.set_xattr(hidden, OPAQUE.as_ref(), b"y")?)
                }
                Some(_) => Ok(()),
            },
        }
    }

    /// Owner, mode, attributes, time, in this order: a change of owner clears setuid
    /// bits and capabilities, and everything but the last touches no time but its own.
    fn finish_node(&mut self, name: &Name, last: &OsStr, meta: &Meta, mode: bool) -> Result<()> {
        let dir = self.place.here();
        own(name, meta.uid, meta.gid, || {
            dir.chown(last, meta.uid, meta.gid)
        })?;
        if mode {
            dir.chmod(last, meta.mode)?;
        }
        self.set_xattrs(name, last, &meta.xattrs)?;
        Ok(self.place.here().set_mtime(last, meta.time)?)
    }

    fn set_xattrs(
        &mut self,
        name: &Name,
        last: &OsStr,
        xattrs: &[(OsString, Vec<u8>)],
    ) -> Result<()> {
        for (key, value) in xattrs {
            let shown = key.as_bytes().escape_ascii();
            if is_overlay_private(key) {
                self.note(format!("attribute {shown} of {name} was left out"));
                continue;
            }
            let set = self.place.here_or_root(last).set_xattr(last, key, value);
            match set.as_ref().map_err(sys::Error::errno) {
                Ok(()) => {}
                // Of another security module, on a link, or not ours to set.
                Err(Some(Errno::OPNOTSUPP | Errno::PERM | Errno::INVAL)) => {
                    self.note(format!("attribute {shown} of {name} could not be set"));
                }
                Err(_) => set?,
            }
        }
        Ok(())
    }
}

/// What a chown by us that the kernel refuses means.
fn own(name: &Name, uid: u32, gid: u32, chown: impl FnOnce() -> sys::Result<()>) -> Result<()> {
    match chown() {
        // EINVAL: no such id in this user namespace. EPERM: there is none at all.
        Err(e) if matches!(e.errno(), Some(Errno::INVAL | Errno::PERM)) => {
            let reason = format!("its owner {uid}:{gid} is outside this user's range of ids");
            Err(name.refused(reason))
        }
        other => Ok(other?),
    }
}

fn is_file(kind: EntryType) -> bool {
    matches!(
        kind,
        EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse
    )
}

fn link_target<R: Read>(entry: &tar::Entry<'_, R>, name: &Name) -> Result<OsString> {
    match entry.link_name_bytes() {
        Some(target) if !target.is_empty() && !target.contains(&0) => {
            Ok(OsString::from_vec(target.into_owned()))
        }
        _ => Err(name.refused("it is a link to nowhere")),
    }
}

fn meta<R: Read>(entry: &mut tar::Entry<'_, R>, name: &Name) -> Result<Meta> {
    let header = entry.header();
    let bad = |field: &str| name.refused(format!("its {field} is no number"));
    let mode = header.mode().map_err(|_| bad("mode"))? & 0o7777;
    let id = |value: io::Result<u64>, field: &str| {
        let value = value.map_err(|_| bad(field))?;
        // The highest value means "unchanged" to the kernel.
        u32::try_from(value)
            .ok()
            .filter(|v| *v != u32::MAX)
            .ok_or_else(|| bad(field))
    };
    let (uid, gid) = (id(header.uid(), "user id")?, id(header.gid(), "group id")?);
    let seconds = header.mtime().unwrap_or(0);
    let mut time = Timespec {
        tv_sec: seconds.try_into().unwrap_or(0),
        tv_nsec: 0,
    };
    let mut xattrs = Vec::new();
    let extensions = entry.pax_extensions().map_err(|e| unwrap(e, "layer"))?;
    for extension in extensions.into_iter().flatten() {
        let extension = extension.map_err(|e| unwrap(e, "layer"))?;
        let (key, value) = (extension.key_bytes(), extension.value_bytes());
        if key == b"mtime" {
            time = names::parse_time(value).unwrap_or(time);
        } else if key == b"GNU.sparse.major" {
            return Err(name.refused("it is sparse in PAX form"));
        } else if let Some(key) = key.strip_prefix(b"SCHILY.xattr.") {
            xattrs.push((OsStr::from_bytes(key).to_owned(), value.to_vec()));
        }
    }
    Ok(Meta {
        mode,
        uid,
        gid,
        time,
        xattrs,
    })
}

/// Copies an entry's content; reading and writing fail with different errors.
fn copy(entry: &mut impl Read, mut file: &std::fs::File, path: &dyn Fn() -> String) -> Result<u64> {
    let mut buffer = [0; 64 << 10];
    let mut total = 0;
    loop {
        let length = match entry.read(&mut buffer) {
            Ok(0) => return Ok(total),
            Ok(length) => length,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            Err(e) => return Err(unwrap(e, "layer")),
        };
        file.write_all(&buffer[..length])
            .map_err(|e| sys::Error::new("write", path(), e))?;
        total += length as u64;
    }
}

/// Passes on at most what is left of a ration.
struct Rationed<'r, R> {
    inner: R,
    ration: &'r Cell<u64>,
}

impl<R: Read> Read for Rationed<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.ration.get();
        if left == 0 {
            return Err(io::Error::other(Error::TooLarge {
                what: "extended header of a layer entry".into(),
                size: MAX_HEADERS + 1,
                limit: MAX_HEADERS,
            }));
        }
        let most = usize::try_from(left)
            .unwrap_or(usize::MAX)
            .min(buffer.len());
        let length = self.inner.read(&mut buffer[..most])?;
        if left != u64::MAX {
            self.ration.set(left - length as u64);
        }
        Ok(length)
    }
}

#[cfg(test)]
mod tests;
