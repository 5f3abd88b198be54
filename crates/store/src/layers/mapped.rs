//! Copies of layers for containers whose ids are others than those in the store.
//!
//! ```text
//! layers/<diff-id>/mapped-<uid>-<gid>/   the tree of `fs/`, each owner replaced by what
//!                                        stands for it outside the container
//! ```
//!
//! Made once for a layer and a mapping, and gone with the layer. A file system of the host
//! cannot be mounted with other ids by a plain user, so that copies are what is left; on a
//! file system that can share blocks between files they cost next to nothing.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use model::Digest;
use model::container::Ids;
use rustix::fs::{FileType, Stat, Timespec};
use sys::fs::DirFd;

use super::Layers;
use crate::Result;

impl Layers<'_> {
    /// As [`Layers::stack`], for a container with these ids.
    pub fn stack_for(&self, diff_ids: &[Digest], ids: &Ids) -> Result<Vec<PathBuf>> {
        let plain = self.stack(diff_ids)?;
        let caller = |map: &model::container::IdMap| map.inside(0).unwrap_or(0);
        let name = format!("mapped-{}-{}", caller(&ids.users), caller(&ids.groups));
        let copies: Vec<PathBuf> = plain.iter().map(|fs| fs.with_file_name(&name)).collect();
        let mut made = Vec::new();
        for (from, to) in plain.iter().zip(&copies) {
            if to.exists() {
                continue;
            }
            let temp = self.store.temp_dir()?;
            copy_layer(from, &temp.path().join("fs"), ids)?;
            made.push((temp, to));
        }
        if !made.is_empty() {
            // One sync for all: what has its final name is whole, even after a power cut.
            sys::fs::sync_fs(&self.root())?;
        }
        for (temp, to) in made {
            match sys::fs::rename(&temp.path().join("fs"), to) {
                // Another command was quicker; its copy is the same.
                Err(_) if to.exists() => {}
                other => other?,
            }
        }
        Ok(copies)
    }
}

fn copy_layer(from: &Path, to: &Path, ids: &Ids) -> Result<()> {
    crate::root::make_dirs(to)?;
    let (source, target) = (DirFd::open(from)?, DirFd::open(to)?);
    let mut copy = Copy {
        ids,
        links: HashMap::new(),
    };
    copy.directory(&source, &target, Path::new(""), &target)?;
    let stat = source.stat_self()?;
    copy.finish(&source, &target, OsStr::new("."), &stat)
}

struct Copy<'a> {
    ids: &'a Ids,
    /// Where the first name of a file with several is, from the layer's root.
    links: HashMap<u64, PathBuf>,
}

impl Copy<'_> {
    fn directory(&mut self, from: &DirFd, to: &DirFd, path: &Path, root: &DirFd) -> Result<()> {
        for item in from.items()? {
            let (name, Some(stat)) = (&item.name, from.stat(&item.name)?) else {
                continue;
            };
            let path = path.join(name);
            let kind = FileType::from_raw_mode(stat.st_mode);
            if kind != FileType::Directory && stat.st_nlink > 1 {
                if let Some(first) = self.links.get(&stat.st_ino) {
                    link(root, first, to, name)?;
                    continue;
                }
                self.links.insert(stat.st_ino, path.clone());
            }
            match kind {
                FileType::Directory => {
                    to.mkdir(name, 0o700)?;
                    let (from, to) = (from.open_dir(name)?, to.open_dir(name)?);
                    self.directory(&from, &to, &path, root)?;
                }
                FileType::RegularFile => content(from, to, name)?,
                FileType::Symlink => to.symlink(&from.read_link(name)?, name)?,
                FileType::Fifo => to.mkfifo(name, 0o600)?,
                _ if sys::fs::is_whiteout(&stat) => {
                    to.mkwhiteout(name)?;
                    continue;
                }
                // A layer has no others.
                _ => continue,
            }
            self.finish(from, to, name, &stat)?;
        }
        Ok(())
    }

    /// Owner, mode, attributes, time; in this order, as in unpacking.
    fn finish(&self, from: &DirFd, to: &DirFd, name: &OsStr, stat: &Stat) -> Result<()> {
        // An id that the container does not have belongs to nobody in it, and stays.
        let uid = self.ids.users.outside(stat.st_uid).unwrap_or(stat.st_uid);
        let gid = self.ids.groups.outside(stat.st_gid).unwrap_or(stat.st_gid);
        to.chown(name, uid, gid)?;
        let link = FileType::from_raw_mode(stat.st_mode) == FileType::Symlink;
        if !link {
            to.chmod(name, stat.st_mode & 0o7777)?;
        }
        for xattr in from.xattrs(name)? {
            match to.set_xattr(name, &xattr.name, &xattr.value) {
                // Of a security module of the host's.
                Err(_)
                    if xattr
                        .name
                        .as_encoded_bytes()
                        .starts_with(b"security.selinux") => {}
                other => other?,
            }
        }
        let time = Timespec {
            tv_sec: stat.st_mtime,
            tv_nsec: stat.st_mtime_nsec.cast_signed(),
        };
        Ok(to.set_mtime(name, time)?)
    }
}

fn link(root: &DirFd, first: &Path, to: &DirFd, name: &OsStr) -> Result<()> {
    let parent = first.parent().unwrap_or(Path::new(""));
    let directory = root.open_dir_below(parent)?;
    let last: OsString = first.file_name().unwrap_or_default().to_owned();
    Ok(to.hard_link(&directory, &last, name)?)
}

fn content(from: &DirFd, to: &DirFd, name: &OsStr) -> Result<()> {
    let mut source = from.open_file(name)?;
    let mut target = to.create_file(name, 0o600)?;
    if rustix::fs::ioctl_ficlone(target.as_fd(), source.as_fd()).is_ok() {
        return Ok(());
    }
    let shown = to.path().join(name).display().to_string();
    std::io::copy(&mut source, &mut target).map_err(|e| sys::Error::new("copy", shown, e))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use model::container::IdMap;

    use super::*;

    #[test]
    fn a_copy_differs_in_its_owners_only() {
        let temp = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(temp.path().join("from/d")).unwrap();
        let from = DirFd::open(&temp.path().join("from")).unwrap();
        let sub = from.open_dir("d".as_ref()).unwrap();
        sub.create_file("f".as_ref(), 0o600).unwrap();
        std::fs::write(temp.path().join("from/d/f"), "text").unwrap();
        sub.chmod("f".as_ref(), 0o4751).unwrap();
        from.hard_link(&sub, "f".as_ref(), "z".as_ref()).unwrap();
        sub.symlink("f".as_ref(), "l".as_ref()).unwrap();
        sub.mkwhiteout("gone".as_ref()).unwrap();
        sub.set_opaque(".".as_ref()).unwrap();
        if !rustix::process::getuid().is_root() {
            // Only root gives files away; the program's tests do it in a user namespace.
            return;
        }
        let ids = Ids {
            users: IdMap::swapped(999, 2000),
            groups: IdMap::swapped(50, 2000),
        };
        let to = temp.path().join("to");
        copy_layer(from.path(), &to, &ids).unwrap();
        let to = DirFd::open(&to).unwrap();
        let copied = to.open_dir("d".as_ref()).unwrap();
        let stat = copied.stat("f".as_ref()).unwrap().unwrap();
        assert_eq!((stat.st_uid, stat.st_gid), (999, 50));
        assert_eq!(stat.st_mode & 0o7777, 0o4751);
        let linked = to.stat("z".as_ref()).unwrap().unwrap();
        assert_eq!(stat.st_ino, linked.st_ino);
        assert_eq!(copied.read_link("l".as_ref()).unwrap(), "f");
        assert!(sys::fs::is_whiteout(
            &copied.stat("gone".as_ref()).unwrap().unwrap()
        ));
        assert!(copied.is_opaque());
        let mut text = String::new();
        std::io::Read::read_to_string(&mut copied.open_file("f".as_ref()).unwrap(), &mut text)
            .unwrap();
        assert_eq!(text, "text");
    }
}
