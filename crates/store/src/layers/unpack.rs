//! A tar becomes a tree in overlay's form.
//!
//! The tar is hostile. Paths are taken apart here and walked component by component
//! through directory fds that never follow a link; a link that an earlier entry of the
//! same layer put in the way is resolved by us, with the layer's root as its world.
//! Nothing outside the root can be named, whatever the entries say.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use rustix::io::Errno;
use sys::fs::{DirFd, FileType, Timespec};
use tar::EntryType;

use super::pipeline::unwrap;
use super::{Limits, is_overlay_private};
use crate::tarread::{Entry, Reader};
use crate::{Error, Result};

pub(super) mod names;
pub(super) mod place;

use names::{Name, Whiteout};
use place::Place;

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
pub(super) struct Meta {
    pub(super) mode: u32,
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) time: Timespec,
    pub(super) xattrs: Vec<(OsString, Vec<u8>)>,
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
        let mut tar = Reader::new(plain);
        let mut count = 0u64;
        while let Some(entry) = tar.next().map_err(|e| unwrap(e, "layer"))? {
            count += 1;
            if count > self.limits.max_entries {
                return Err(Error::TooManyEntries {
                    limit: self.limits.max_entries,
                });
            }
            self.entry(&entry, &mut tar)?;
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

    fn entry<R: Read>(&mut self, entry: &Entry, tar: &mut Reader<R>) -> Result<()> {
        let kind = entry.kind;
        let name = Name::parse(&entry.path)?;
        let meta = meta(entry, &name)?;
        // Old tars mark directories by a slash alone.
        let is_dir = kind == EntryType::Directory || (is_file(kind) && entry.path.ends_with(b"/"));
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
            kind if is_file(kind) => self.file(entry, tar, &name, last, &meta),
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
                    hides = stat.is_some_and(|s| sys::fs::is_whiteout(&s));
                    dir.unlink(last)?;
                    dir.mkdir(last, 0o700)?;
                }
            }
            other => other?,
        }
        if hides {
            dir.set_opaque(last)?;
        }
        self.finish_dir(name, last, meta)
    }

    fn finish_dir(&mut self, name: &Name, last: &OsStr, meta: Meta) -> Result<()> {
        if last == "." {
            self.place.leave();
            let root = self.place.root();
            own(name, root, last, (meta.uid, meta.gid))?;
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
        entry: &Entry,
        tar: &mut Reader<R>,
        name: &Name,
        last: &OsStr,
        meta: &Meta,
    ) -> Result<()> {
        if entry.sparse {
            return Err(name.refused("it is stored in sparse form"));
        }
        let file = self.place.make(last, |dir| dir.create_file(last, 0o600))?;
        let path = || self.place.here().path().join(last).display().to_string();
        copy(tar, &file, &path)?;
        self.finish_node(name, last, meta, true)
    }

    fn hard_link(&mut self, entry: &Entry, name: &Name, last: &OsStr) -> Result<()> {
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
        let found = from
            .stat(target_last)?
            .filter(|s| !sys::fs::is_whiteout(s))
            .map(|s| FileType::from_raw_mode(s.st_mode));
        match found {
            None => return Err(absent()),
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
            Whiteout::Opaque => Ok(dir.set_opaque(".".as_ref())?),
            Whiteout::Bad => Err(name.refused("it is a whiteout of no name")),
            Whiteout::Of(hidden) => match dir.stat(hidden)? {
                None => Ok(dir.mkwhiteout(hidden)?),
                Some(s) if FileType::from_raw_mode(s.st_mode) == FileType::Directory => {
                    Ok(dir.set_opaque(hidden)?)
                }
                Some(_) => Ok(()),
            },
        }
    }

    /// Owner, mode, attributes, time, in this order: a change of owner clears setuid
    /// bits and capabilities, and everything but the last touches no time but its own.
    fn finish_node(&mut self, name: &Name, last: &OsStr, meta: &Meta, mode: bool) -> Result<()> {
        let dir = self.place.here();
        own(name, dir, last, (meta.uid, meta.gid))?;
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

/// Gives an entry its owner. Where we have one id only, the owner is noted instead; links
/// and special files cannot even have the note, and stay root's.
pub(super) fn own(name: &Name, dir: &DirFd, last: &OsStr, owner: (u32, u32)) -> Result<()> {
    let (uid, gid) = owner;
    match dir.chown(last, uid, gid) {
        // EINVAL: no such id in this user namespace. EPERM: there is none at all.
        Err(e) if matches!(e.errno(), Some(Errno::INVAL | Errno::PERM)) => {
            if !sys::userns::maps_one_id()? {
                let reason = format!("its owner {uid}:{gid} is outside this user's range of ids");
                return Err(name.refused(reason));
            }
            match dir.note_owner(last, uid, gid) {
                Err(e) if !matches!(e.errno(), Some(Errno::PERM | Errno::OPNOTSUPP)) => {
                    Err(e.into())
                }
                _ => Ok(()),
            }
        }
        other => Ok(other?),
    }
}

pub(super) fn is_file(kind: EntryType) -> bool {
    matches!(
        kind,
        EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse
    )
}

pub(super) fn link_target(entry: &Entry, name: &Name) -> Result<OsString> {
    match entry.link.is_empty() || entry.link.contains(&0) {
        true => Err(name.refused("it is a link to nowhere")),
        false => Ok(OsStr::from_bytes(&entry.link).to_owned()),
    }
}

pub(super) fn meta(entry: &Entry, name: &Name) -> Result<Meta> {
    let id = |value: u64, field: &str| {
        // The highest value means "unchanged" to the kernel.
        let id = u32::try_from(value).ok().filter(|id| *id != u32::MAX);
        id.ok_or_else(|| name.refused(format!("its {field} {value} is impossible")))
    };
    let xattr =
        |(key, value): &(Vec<u8>, Vec<u8>)| (OsStr::from_bytes(key).to_owned(), value.clone());
    Ok(Meta {
        mode: entry.mode,
        uid: id(entry.uid, "user id")?,
        gid: id(entry.gid, "group id")?,
        time: entry.time,
        xattrs: entry.xattrs.iter().map(xattr).collect(),
    })
}

/// Copies an entry's content; reading and writing fail with different errors.
pub(super) fn copy(
    entry: &mut impl Read,
    mut file: &std::fs::File,
    path: &dyn Fn() -> String,
) -> Result<()> {
    let mut buffer = [0; 64 << 10];
    loop {
        let length = match entry.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(length) => length,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            Err(e) => return Err(unwrap(e, "layer")),
        };
        file.write_all(&buffer[..length])
            .map_err(|e| sys::Error::new("write", path(), e))?;
    }
}

#[cfg(test)]
mod tests;
