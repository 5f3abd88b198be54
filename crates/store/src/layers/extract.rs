//! A tar becomes files in a tree that lives: a running container's root, or a directory
//! of the host.
//!
//! It differs from unpacking a layer in what names mean (`.wh.x` is a file like any
//! other), in what may be replaced (no directory by a file, and the reverse), and in the
//! owners. What is alike is the distrust: links are resolved within the root, by us.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::io::Read;
use std::path::PathBuf;

use rustix::io::Errno;
use sys::fs::{DirFd, FileType, Timespec};
use tar::EntryType;

use super::is_overlay_private;
use super::unpack::names::Name;
use super::unpack::place::Place;
use super::unpack::{Meta, copy, is_file, link_target, meta, own};
use crate::tarread::{Entry, Reader};
use crate::{Error, Result};

/// Notes kept of one tar.
const MAX_NOTES: usize = 20;

/// How a tar is taken out.
#[derive(Debug, Clone, Default)]
pub struct Extract {
    /// Where in the root its entries go; it must be there.
    pub below: PathBuf,
    /// The owner of everything, in place of the tar's.
    pub owner: Option<(u32, u32)>,
    /// What stands for the tar's owners.
    pub ids: Option<model::container::Ids>,
    /// Without bits and attributes that give a program more rights than its user has: the
    /// tree is not the one that the tar's writer was confined to.
    pub harmless: bool,
}

/// What came of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Extracted {
    /// What was left out, a sentence each.
    pub notes: Vec<String>,
}

impl Extract {
    /// Takes the tar out into the tree at `root`.
    pub fn run(&self, root: DirFd, reader: impl Read) -> Result<Extracted> {
        let below = self.below.components().filter_map(|c| match c {
            std::path::Component::Normal(name) => Some(name.to_owned()),
            _ => None,
        });
        let mut out = Extractor {
            place: Place::in_tree(root),
            below: below.collect(),
            owner: self.owner,
            ids: self.ids.clone(),
            harmless: self.harmless,
            times: BTreeMap::new(),
            extracted: Extracted::default(),
        };
        let mut plain = super::pipeline::decoder(reader).map_err(reading)?;
        let mut tar = Reader::new(&mut plain);
        while let Some(entry) = tar.next().map_err(reading)? {
            out.entry(&entry, &mut tar)?;
        }
        // A writer that is not read to its end would see a broken pipe.
        std::io::copy(&mut plain, &mut std::io::sink()).map_err(reading)?;
        out.finish()
    }
}

fn reading(source: std::io::Error) -> Error {
    Error::Read {
        what: "tar".into(),
        source,
    }
}

struct Extractor {
    place: Place,
    below: Vec<OsString>,
    owner: Option<(u32, u32)>,
    ids: Option<model::container::Ids>,
    harmless: bool,
    /// Modification times of directories, set at the end: making children changes them.
    times: BTreeMap<PathBuf, Timespec>,
    extracted: Extracted,
}

impl Extractor {
    fn finish(self) -> Result<Extracted> {
        for (path, time) in &self.times {
            if let Ok(dir) = self.place.root().open_dir_below(path) {
                dir.set_mtime_self(*time)?;
            }
        }
        Ok(self.extracted)
    }

    fn note(&mut self, note: String) {
        if self.extracted.notes.len() < MAX_NOTES {
            self.extracted.notes.push(note);
        }
    }

    /// Goes to the directory that an entry is in.
    fn enter(&mut self, parents: &[OsString], name: &Name) -> Result<()> {
        let path = [self.below.as_slice(), parents].concat();
        self.place.enter(&path, name)
    }

    fn entry<R: Read>(&mut self, entry: &Entry, tar: &mut Reader<R>) -> Result<()> {
        let kind = entry.kind;
        let name = Name::parse(&entry.path)?;
        let mut meta = meta(entry, &name)?;
        if let Some(ids) = &self.ids {
            meta.uid = ids.users.outside(meta.uid).unwrap_or(meta.uid);
            meta.gid = ids.groups.outside(meta.gid).unwrap_or(meta.gid);
        }
        if let Some((uid, gid)) = self.owner {
            (meta.uid, meta.gid) = (uid, gid);
        }
        if self.harmless {
            meta.mode &= 0o1777;
            meta.xattrs
                .retain(|(key, _)| key.as_encoded_bytes().starts_with(b"user."));
        }
        let is_dir = kind == EntryType::Directory || (is_file(kind) && entry.path.ends_with(b"/"));
        let Some((parents, last)) = name.split() else {
            // The directory that everything goes to stays as it is.
            return match is_dir {
                true => Ok(()),
                false => Err(name.refused("it would replace the directory that it goes to")),
            };
        };
        self.enter(parents, &name)?;
        self.make_room(&name, last, is_dir)?;
        match kind {
            _ if is_dir => self.directory(&name, last, &meta),
            kind if is_file(kind) => {
                if entry.sparse {
                    return Err(name.refused("it is stored in sparse form"));
                }
                let file = self.place.here().create_file(last, 0o600)?;
                let path = || self.place.here().path().join(last).display().to_string();
                copy(tar, &file, &path)?;
                self.finish_node(&name, last, &meta, true)
            }
            EntryType::Symlink => {
                let target = link_target(entry, &name)?;
                self.place.here().symlink(&target, last)?;
                self.finish_node(&name, last, &meta, false)
            }
            EntryType::Link => self.hard_link(entry, &name, last),
            EntryType::Fifo => {
                self.place.here().mkfifo(last, 0o600)?;
                self.finish_node(&name, last, &meta, true)
            }
            other => {
                let what = match other {
                    EntryType::Char | EntryType::Block => "device".to_owned(),
                    other => format!("entry of unknown type `{}`", other.as_byte().escape_ascii()),
                };
                self.note(format!("{what} {name} was left out"));
                Ok(())
            }
        }
    }

    /// Takes away the file that is to be replaced. As docker has it, a directory is
    /// neither replaced by a file nor the reverse.
    fn make_room(&self, name: &Name, last: &OsStr, is_dir: bool) -> Result<()> {
        let here = self.place.here();
        let Some(stat) = here.stat(last)? else {
            return Ok(());
        };
        match (
            FileType::from_raw_mode(stat.st_mode) == FileType::Directory,
            is_dir,
        ) {
            (true, true) => Ok(()),
            (true, false) => Err(name.refused("cannot overwrite a directory with a non-directory")),
            (false, true) => Err(name.refused("cannot overwrite a non-directory with a directory")),
            (false, false) => Ok(here.unlink(last).map(drop)?),
        }
    }

    fn directory(&mut self, name: &Name, last: &OsStr, meta: &Meta) -> Result<()> {
        match self.place.here().mkdir(last, 0o700) {
            Err(e) if e.errno() == Some(Errno::EXIST) => {}
            other => other?,
        }
        self.finish_node(name, last, meta, true)?;
        self.times.insert(self.place.path_of(last), meta.time);
        Ok(())
    }

    fn hard_link(&mut self, entry: &Entry, name: &Name, last: &OsStr) -> Result<()> {
        let absent = || name.refused("it is a hard link to what is not in the tar");
        let target = Name::parse(link_target(entry, name)?.as_encoded_bytes())?;
        let (parents, target_last) = target.split().ok_or_else(absent)?;
        let path = [self.below.as_slice(), parents].concat();
        let from = self.place.find(&path, &target)?.ok_or_else(absent)?;
        match from.stat(target_last)? {
            None => Err(absent()),
            Some(s) if FileType::from_raw_mode(s.st_mode) == FileType::Directory => Err(absent()),
            Some(_) => Ok(self.place.here().hard_link(&from, target_last, last)?),
        }
    }

    /// Owner, mode, attributes, time, in this order: see `unpack`.
    fn finish_node(&mut self, name: &Name, last: &OsStr, meta: &Meta, mode: bool) -> Result<()> {
        let dir = self.place.here();
        own(name, dir, last, (meta.uid, meta.gid))?;
        if mode {
            dir.chmod(last, meta.mode)?;
        }
        for (key, value) in meta.xattrs.iter().filter(|(k, _)| !is_overlay_private(k)) {
            match dir.set_xattr(last, key, value) {
                // Of another security module, on a link, or not ours to set.
                Err(e)
                    if matches!(
                        e.errno(),
                        Some(Errno::OPNOTSUPP | Errno::PERM | Errno::INVAL)
                    ) => {}
                set => set?,
            }
        }
        Ok(dir.set_mtime(last, meta.time)?)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::path::Path;

    use super::super::tarball::{Header, entry_tar};
    use super::*;

    fn extract(root: &Path, below: &str, tar: &[u8]) -> Result<Extracted> {
        let how = Extract {
            below: below.into(),
            owner: Some((
                rustix::process::getuid().as_raw(),
                rustix::process::getgid().as_raw(),
            )),
            ids: None,
            harmless: true,
        };
        how.run(DirFd::open(root).unwrap(), tar)
    }

    fn one(header: Header, content: &[u8]) -> Vec<u8> {
        let mut bytes = header.encode();
        bytes.extend_from_slice(content);
        bytes.resize(bytes.len().next_multiple_of(512) + 1024, 0);
        bytes
    }

    fn file(path: &str, content: &str) -> Vec<u8> {
        let header = Header::file(path.into(), content.len() as u64, 0o4755);
        one(header, content.as_bytes())
    }

    #[test]
    fn what_one_side_writes_the_other_reads() {
        let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        std::fs::create_dir_all(from.path().join("d/e")).unwrap();
        std::fs::write(from.path().join("d/e/.wh.f"), "no whiteout").unwrap();
        symlink("/nowhere", from.path().join("d/l")).unwrap();
        let dir = DirFd::open(from.path()).unwrap();
        let mut tar = Vec::new();
        entry_tar(&dir, "d".as_ref(), "new".as_ref(), None, &mut tar).unwrap();
        extract(to.path(), "", &tar).unwrap();
        let read = std::fs::read_to_string(to.path().join("new/e/.wh.f")).unwrap();
        assert_eq!(read, "no whiteout");
        assert_eq!(
            std::fs::read_link(to.path().join("new/l")).unwrap(),
            Path::new("/nowhere")
        );

        let mut tar = Vec::new();
        entry_tar(&dir, "d".as_ref(), "".as_ref(), None, &mut tar).unwrap();
        extract(to.path(), "new/e", &tar).unwrap();
        assert!(to.path().join("new/e/e/.wh.f").exists());
    }

    #[test]
    fn links_lead_nowhere_outside() {
        let (root, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        symlink(outside.path(), root.path().join("out")).unwrap();
        std::fs::create_dir(root.path().join("in")).unwrap();
        symlink("../../../../../..", root.path().join("in/up")).unwrap();
        for path in ["out/a", "in/up/b", "up/c"] {
            let below = if path == "up/c" { "in" } else { "" };
            extract(root.path(), below, &file(path, "x")).unwrap();
        }
        assert_eq!(std::fs::read_dir(outside.path()).unwrap().count(), 0);
        assert!(root.path().join("b").exists() && root.path().join("c").exists());
        assert!(extract(root.path(), "", &file("../x", "x")).is_err());
        // A link in the file's own place is replaced, not followed.
        symlink(outside.path().join("f"), root.path().join("f")).unwrap();
        extract(root.path(), "", &file("f", "x")).unwrap();
        assert!(!outside.path().join("f").exists());
        let mode = std::fs::metadata(root.path().join("f"))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o7777, 0o755, "no set-user-id bit");
    }

    #[test]
    fn directories_and_files_do_not_replace_each_other() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join("d")).unwrap();
        std::fs::write(root.path().join("f"), "old").unwrap();
        let error = extract(root.path(), "", &file("d", "x")).unwrap_err();
        assert!(
            error.to_string().contains("cannot overwrite a directory"),
            "{error}"
        );
        let dir = Header {
            kind: b'5',
            ..Header::file(b"f/".to_vec(), 0, 0o755)
        };
        let error = extract(root.path(), "", &one(dir, b"")).unwrap_err();
        assert!(
            error
                .to_string()
                .contains("cannot overwrite a non-directory"),
            "{error}"
        );
    }
}
