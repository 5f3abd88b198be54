//! Copying an unpacked layer: as it is but for its owners, or onto what lies below it.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use model::container::Ids;
use rustix::fs::{FileType, Stat, Timespec};
use sys::fs::DirFd;

use super::is_overlay_private;
use crate::Result;

/// A copy in the making.
pub(super) struct Copy<'a> {
    /// What stands for the layer's owners.
    ids: Option<&'a Ids>,
    /// Whether marks are carried out on what is there already, not copied.
    merge: bool,
    /// Where the first name of a file with several is, from the root.
    links: HashMap<u64, PathBuf>,
}

impl<'a> Copy<'a> {
    /// A layer with other owners.
    pub(super) fn of_layer(ids: &'a Ids) -> Self {
        Self {
            ids: Some(ids),
            merge: false,
            links: HashMap::new(),
        }
    }

    /// A layer that is laid over a tree.
    pub(super) fn onto_tree() -> Self {
        Self {
            ids: None,
            merge: true,
            links: HashMap::new(),
        }
    }

    /// Copies the directory `from` to `to`, which is made where it is absent.
    pub(super) fn run(mut self, from: &Path, to: &Path) -> Result<()> {
        crate::root::make_dirs(to)?;
        let (source, target) = (DirFd::open(from)?, DirFd::open(to)?);
        self.directory(&source, &target, Path::new(""), &target)?;
        let stat = source.stat_self()?;
        self.finish(&source, &target, OsStr::new("."), &stat)
    }

    fn directory(&mut self, from: &DirFd, to: &DirFd, path: &Path, root: &DirFd) -> Result<()> {
        if self.merge && from.is_opaque() {
            for item in to.items()? {
                to.remove_tree(&item.name)?;
            }
        }
        for item in from.items()? {
            let (name, Some(stat)) = (&item.name, from.stat(&item.name)?) else {
                continue;
            };
            let path = path.join(name);
            let kind = FileType::from_raw_mode(stat.st_mode);
            if self.merge && !merges(to, name, kind)? {
                to.remove_tree(name)?;
            }
            if sys::fs::is_whiteout(&stat) {
                if !self.merge {
                    to.mkwhiteout(name)?;
                }
                continue;
            }
            if kind != FileType::Directory && stat.st_nlink > 1 {
                if let Some(first) = self.links.get(&stat.st_ino) {
                    link(root, first, to, name)?;
                    continue;
                }
                self.links.insert(stat.st_ino, path.clone());
            }
            if self.entry(from, to, name, (kind, &path), root)? {
                self.finish(from, to, name, &stat)?;
            }
        }
        Ok(())
    }

    /// `false` for what no layer has.
    fn entry(
        &mut self,
        from: &DirFd,
        to: &DirFd,
        name: &OsStr,
        (kind, path): (FileType, &Path),
        root: &DirFd,
    ) -> Result<bool> {
        match kind {
            FileType::Directory => {
                if to.stat(name)?.is_none() {
                    to.mkdir(name, 0o700)?;
                }
                let (from, to) = (from.open_dir(name)?, to.open_dir(name)?);
                self.directory(&from, &to, path, root)?;
            }
            FileType::RegularFile => content(from, to, name)?,
            FileType::Symlink => to.symlink(&from.read_link(name)?, name)?,
            FileType::Fifo => to.mkfifo(name, 0o600)?,
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Owner, mode, attributes, time; in this order, as in unpacking.
    fn finish(&self, from: &DirFd, to: &DirFd, name: &OsStr, stat: &Stat) -> Result<()> {
        // An id that the container does not have belongs to nobody in it, and stays.
        let outside = |map: Option<u32>, id| map.unwrap_or(id);
        let uid = outside(
            self.ids.and_then(|i| i.users.outside(stat.st_uid)),
            stat.st_uid,
        );
        let gid = outside(
            self.ids.and_then(|i| i.groups.outside(stat.st_gid)),
            stat.st_gid,
        );
        to.chown(name, uid, gid)?;
        let link = FileType::from_raw_mode(stat.st_mode) == FileType::Symlink;
        if !link {
            to.chmod(name, stat.st_mode & 0o7777)?;
        }
        for xattr in from.xattrs(name)? {
            if self.merge && is_overlay_private(&xattr.name) {
                continue;
            }
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

/// Whether an entry goes onto what is there: a directory onto a directory, or anything
/// onto nothing.
fn merges(to: &DirFd, name: &OsStr, kind: FileType) -> Result<bool> {
    let there = to.stat(name)?.map(|s| FileType::from_raw_mode(s.st_mode));
    Ok(there.is_none_or(|there| (there, kind) == (FileType::Directory, FileType::Directory)))
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
