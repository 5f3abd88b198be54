//! A directory held open, and the acts on its entries.

use std::ffi::{CString, OsStr, OsString};
use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use rustix::fs::{
    self, AtFlags, CWD, Dir, FileType, Gid, Mode, OFlags, ResolveFlags, Stat, Timespec, Timestamps,
    Uid,
};
use rustix::io::Errno;

use crate::{Error, Result};

/// An open directory. It remembers a path for messages only; acts go by the fd.
///
/// Methods that take a `name` want a single component and never follow a symbolic
/// link in its place; the two that take a `path` say how they walk it.
#[derive(Debug)]
pub struct DirFd {
    fd: OwnedFd,
    path: PathBuf,
}

/// One entry of a directory.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct DirItem {
    /// Its name.
    pub name: OsString,
    /// Whether it is a directory itself, as far as the file system tells without a
    /// further call; [`DirFd::items`] asks when it does not.
    pub is_dir: bool,
}

const DIR_FLAGS: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::CLOEXEC)
    .union(OFlags::NOFOLLOW);

/// The call's number on every machine; not all of the C library's headers know it yet.
const FCHMODAT2: libc::c_long = 452;

impl DirFd {
    /// Opens a directory by path; links in it are followed, except at its end.
    pub fn open(path: &Path) -> Result<Self> {
        let fd = fs::open(path, DIR_FLAGS, Mode::empty())
            .map_err(|e| Error::new("open directory", path.display().to_string(), e))?;
        Ok(Self {
            fd,
            path: path.to_owned(),
        })
    }

    /// Takes over a directory that is open already; `path` is for messages.
    pub fn from_fd(fd: OwnedFd, path: PathBuf) -> Self {
        Self { fd, path }
    }

    /// The path it was opened by, for messages.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn error(&self, act: &'static str, name: &OsStr, errno: Errno) -> Error {
        Error::new(act, self.path.join(name).display().to_string(), errno)
    }

    fn error_here(&self, act: &'static str, errno: Errno) -> Error {
        Error::new(act, self.path.display().to_string(), errno)
    }

    /// A second descriptor of the same directory.
    pub fn try_clone(&self) -> Result<Self> {
        let fd = self
            .fd
            .try_clone()
            .map_err(|e| Error::new("duplicate", self.path.display().to_string(), e))?;
        Ok(Self {
            fd,
            path: self.path.clone(),
        })
    }

    /// Opens a directory in this one.
    pub fn open_dir(&self, name: &OsStr) -> Result<Self> {
        let fd = fs::openat(&self.fd, name, DIR_FLAGS, Mode::empty())
            .map_err(|e| self.error("open directory", name, e))?;
        Ok(Self {
            fd,
            path: self.path.join(name),
        })
    }

    /// Opens a directory anywhere below this one. The kernel refuses links, `..` that
    /// leads out, and magic links on the way.
    pub fn open_dir_below(&self, path: &Path) -> Result<Self> {
        let fd = self.openat2(
            path,
            DIR_FLAGS,
            ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS,
        )?;
        Ok(Self {
            fd,
            path: self.path.join(path),
        })
    }

    /// Opens a file anywhere below this directory, following links as if this
    /// directory were the root of the file system.
    pub fn open_in_root(&self, path: &Path, flags: OFlags) -> Result<File> {
        self.openat2(path, flags, ResolveFlags::IN_ROOT)
            .map(File::from)
    }

    fn openat2(&self, path: &Path, flags: OFlags, resolve: ResolveFlags) -> Result<OwnedFd> {
        let path = if path.as_os_str().is_empty() {
            Path::new(".")
        } else {
            path
        };
        let resolve = resolve | ResolveFlags::NO_MAGICLINKS;
        // EAGAIN: a rename or mount raced with the walk; the kernel asks us to retry.
        for _ in 0..64 {
            match fs::openat2(
                &self.fd,
                path,
                flags | OFlags::CLOEXEC,
                Mode::empty(),
                resolve,
            ) {
                Err(Errno::AGAIN | Errno::INTR) => {}
                Err(e) => return Err(self.error("open", path.as_os_str(), e)),
                Ok(fd) => return Ok(fd),
            }
        }
        Err(self.error("open", path.as_os_str(), Errno::AGAIN))
    }

    /// Opens an existing file for reading.
    pub fn open_file(&self, name: &OsStr) -> Result<File> {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NOCTTY;
        fs::openat(&self.fd, name, flags | OFlags::NONBLOCK, Mode::empty())
            .map(File::from)
            .map_err(|e| self.error("open", name, e))
    }

    /// Makes a file that must not exist, open for writing.
    pub fn create_file(&self, name: &OsStr, mode: u32) -> Result<File> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        fs::openat(
            &self.fd,
            name,
            flags | OFlags::NOFOLLOW,
            Mode::from_raw_mode(mode),
        )
        .map(File::from)
        .map_err(|e| self.error("create", name, e))
    }

    /// Makes a directory.
    pub fn mkdir(&self, name: &OsStr, mode: u32) -> Result<()> {
        fs::mkdirat(&self.fd, name, Mode::from_raw_mode(mode))
            .map_err(|e| self.error("create directory", name, e))
    }

    /// Makes a symbolic link.
    pub fn symlink(&self, target: &OsStr, name: &OsStr) -> Result<()> {
        fs::symlinkat(target, &self.fd, name)
            .map_err(|e| self.error("create symbolic link", name, e))
    }

    /// Makes `name` a hard link to `other` in `from`.
    pub fn hard_link(&self, from: &Self, other: &OsStr, name: &OsStr) -> Result<()> {
        fs::linkat(&from.fd, other, &self.fd, name, AtFlags::empty())
            .map_err(|e| self.error("create hard link", name, e))
    }

    /// Makes a FIFO.
    pub fn mkfifo(&self, name: &OsStr, mode: u32) -> Result<()> {
        self.mknod(name, FileType::Fifo, mode, 0)
    }

    /// Makes the mark for "removed here": a character device 0:0, or what stands for it
    /// on an overlay.
    pub fn mkwhiteout(&self, name: &OsStr) -> Result<()> {
        match self.mknod(name, FileType::CharacterDevice, 0, 0) {
            Err(error) if error.errno() == Some(Errno::PERM) => self.mkwhiteout_plain(name),
            other => other,
        }
    }

    pub(super) fn mkwhiteout_plain(&self, name: &OsStr) -> Result<()> {
        self.mknod(name, FileType::Socket, 0, 0)
    }

    fn mknod(&self, name: &OsStr, kind: FileType, mode: u32, device: u64) -> Result<()> {
        fs::mknodat(&self.fd, name, kind, Mode::from_raw_mode(mode), device)
            .map_err(|e| self.error("create special file", name, e))
    }

    /// Renames an entry, replacing what is there.
    pub fn rename(&self, name: &OsStr, to: &Self, new: &OsStr) -> Result<()> {
        fs::renameat(&self.fd, name, &to.fd, new).map_err(|e| self.error("rename", name, e))
    }

    /// Removes an entry that is no directory. Whether it was there.
    pub fn unlink(&self, name: &OsStr) -> Result<bool> {
        self.unlink_with(name, AtFlags::empty(), "remove")
    }

    /// Removes an empty directory. Whether it was there.
    pub fn rmdir(&self, name: &OsStr) -> Result<bool> {
        self.unlink_with(name, AtFlags::REMOVEDIR, "remove directory")
    }

    fn unlink_with(&self, name: &OsStr, flags: AtFlags, act: &'static str) -> Result<bool> {
        match fs::unlinkat(&self.fd, name, flags) {
            Ok(()) => Ok(true),
            Err(Errno::NOENT) => Ok(false),
            Err(e) => Err(self.error(act, name, e)),
        }
    }

    /// What an entry is; `None` if there is none.
    pub fn stat(&self, name: &OsStr) -> Result<Option<Stat>> {
        match fs::statat(&self.fd, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(stat)),
            Err(Errno::NOENT) => Ok(None),
            Err(e) => Err(self.error("stat", name, e)),
        }
    }

    /// What this directory is.
    pub fn stat_self(&self) -> Result<Stat> {
        fs::fstat(&self.fd).map_err(|e| self.error_here("stat", e))
    }

    /// Where a symbolic link points.
    pub fn read_link(&self, name: &OsStr) -> Result<OsString> {
        let target = fs::readlinkat(&self.fd, name, Vec::new())
            .map_err(|e| self.error("read symbolic link", name, e))?;
        Ok(OsString::from_vec(target.into_bytes()))
    }

    /// Changes an entry's owner, a link's own included.
    pub fn chown(&self, name: &OsStr, uid: u32, gid: u32) -> Result<()> {
        let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
        fs::chownat(
            &self.fd,
            name,
            Some(uid),
            Some(gid),
            AtFlags::SYMLINK_NOFOLLOW,
        )
        .map_err(|e| self.error("change owner of", name, e))
    }

    /// Changes the permission bits of an entry, which must not be a link. Where the tree
    /// lives, whatever was made a moment ago may have been replaced by one.
    pub fn chmod(&self, name: &OsStr, mode: u32) -> Result<()> {
        let changed = match self.fchmodat2(name, mode) {
            // Linux before 6.6, and filters around us that do not know the call.
            Err(Errno::NOSYS | Errno::PERM) => self.chmod_opened(name, mode),
            other => other,
        };
        changed.map_err(|e| self.error("change mode of", name, e))
    }

    fn fchmodat2(&self, name: &OsStr, mode: u32) -> rustix::io::Result<()> {
        let name = CString::new(name.as_bytes()).map_err(|_| Errno::INVAL)?;
        // SAFETY: the name is NUL-terminated and outlives the call; the rest are numbers.
        let answer = unsafe {
            libc::syscall(
                FCHMODAT2,
                self.fd.as_raw_fd(),
                name.as_ptr(),
                mode,
                libc::AT_SYMLINK_NOFOLLOW,
            )
        };
        match answer {
            0 => Ok(()),
            _ => Err(Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO)),
        }
    }

    /// By the magic link of the entry itself, held open.
    fn chmod_opened(&self, name: &OsStr, mode: u32) -> rustix::io::Result<()> {
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let entry = fs::openat(&self.fd, name, flags, Mode::empty())?;
        let kind = FileType::from_raw_mode(fs::fstat(&entry)?.st_mode);
        if kind == FileType::Symlink {
            return Err(Errno::OPNOTSUPP);
        }
        let path = format!("/proc/self/fd/{}", entry.as_raw_fd());
        fs::chmod(path, Mode::from_raw_mode(mode))
    }

    /// Changes the permission bits of this directory.
    pub fn chmod_self(&self, mode: u32) -> Result<()> {
        fs::fchmod(&self.fd, Mode::from_raw_mode(mode))
            .map_err(|e| self.error_here("change mode of", e))
    }

    /// Changes the owner of this directory.
    pub fn chown_self(&self, uid: u32, gid: u32) -> Result<()> {
        fs::fchown(&self.fd, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)))
            .map_err(|e| self.error_here("change owner of", e))
    }

    /// Sets an entry's modification and access time, a link's own included.
    pub fn set_mtime(&self, name: &OsStr, time: Timespec) -> Result<()> {
        let times = Timestamps {
            last_access: time,
            last_modification: time,
        };
        fs::utimensat(&self.fd, name, &times, AtFlags::SYMLINK_NOFOLLOW)
            .map_err(|e| self.error("set time of", name, e))
    }

    /// Sets this directory's modification and access time.
    pub fn set_mtime_self(&self, time: Timespec) -> Result<()> {
        let times = Timestamps {
            last_access: time,
            last_modification: time,
        };
        fs::futimens(&self.fd, &times).map_err(|e| self.error_here("set time of", e))
    }

    /// The entries without `.` and `..`, sorted by the bytes of their names.
    pub fn items(&self) -> Result<Vec<DirItem>> {
        let mut items = Vec::new();
        // A fresh open file description: reading must not move another reader.
        let dir = Dir::read_from(&self.fd).map_err(|e| self.error_here("list", e))?;
        for entry in dir {
            let entry = entry.map_err(|e| self.error_here("list", e))?;
            let name = entry.file_name().to_bytes();
            if matches!(name, b"." | b"..") {
                continue;
            }
            let name = OsStr::from_bytes(name).to_owned();
            let is_dir = match entry.file_type() {
                FileType::Unknown => self
                    .stat(&name)?
                    .is_some_and(|s| FileType::from_raw_mode(s.st_mode) == FileType::Directory),
                kind => kind == FileType::Directory,
            };
            items.push(DirItem { name, is_dir });
        }
        items.sort_unstable();
        Ok(items)
    }
}

impl AsFd for DirFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl From<DirFd> for OwnedFd {
    fn from(dir: DirFd) -> Self {
        dir.fd
    }
}

/// Sets the process's umask to zero, so that modes arrive as given; returns the
/// former one.
pub fn set_umask_zero() -> u32 {
    rustix::process::umask(Mode::empty()).as_raw_mode()
}

/// Whether a path exists, links at its end not followed.
pub(super) fn exists(path: &Path) -> bool {
    fs::statat(CWD, path, AtFlags::SYMLINK_NOFOLLOW).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_not_followed() {
        let temp = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(temp.path().join("a/b")).unwrap();
        std::os::unix::fs::symlink("/etc", temp.path().join("link")).unwrap();
        let dir = DirFd::open(temp.path()).unwrap();
        dir.open_dir("a".as_ref()).unwrap();
        dir.open_dir_below("a/b".as_ref()).unwrap();
        for path in ["link", "a/../../x", "/etc", "a/b/../../../etc"] {
            assert!(dir.open_dir_below(path.as_ref()).is_err(), "{path}");
        }
        assert!(dir.open_dir("link".as_ref()).is_err());
        assert!(dir.open_file("link".as_ref()).is_err());
        // As if chrooted: /etc below our directory, which is absent.
        assert!(
            dir.open_in_root("link/passwd".as_ref(), OFlags::RDONLY)
                .is_err()
        );
    }

    #[test]
    fn modes_of_links_are_nobodys() {
        type Way = fn(&DirFd, &OsStr, u32) -> rustix::io::Result<()>;
        let temp = tempfile::tempdir().unwrap();
        let target = temp.path().join("target");
        std::fs::write(&target, "").unwrap();
        std::os::unix::fs::symlink(&target, temp.path().join("link")).unwrap();
        let dir = DirFd::open(temp.path()).unwrap();
        let mode = || dir.stat("target".as_ref()).unwrap().unwrap().st_mode & 0o7777;
        let ways: [(Way, u32); 2] = [(DirFd::fchmodat2, 0o4751), (DirFd::chmod_opened, 0o640)];
        for (way, wanted) in ways {
            match way(&dir, "target".as_ref(), wanted) {
                Err(Errno::NOSYS) => continue,
                other => other.unwrap(),
            }
            assert_eq!(mode(), wanted);
            assert!(way(&dir, "link".as_ref(), 0o777).is_err());
            assert_eq!(mode(), wanted);
        }
        dir.chmod("target".as_ref(), 0o600).unwrap();
        assert!(dir.chmod("link".as_ref(), 0o777).is_err());
        assert_eq!(mode(), 0o600);
    }

    #[test]
    fn items_are_sorted_by_bytes() {
        let temp = tempfile::tempdir().unwrap();
        for name in ["b", "A", "a.x", "a"] {
            std::fs::write(temp.path().join(name), "").unwrap();
        }
        std::fs::create_dir(temp.path().join("c")).unwrap();
        let items = DirFd::open(temp.path()).unwrap().items().unwrap();
        let names: Vec<_> = items
            .iter()
            .map(|i| (i.name.to_str().unwrap(), i.is_dir))
            .collect();
        assert_eq!(
            names,
            [
                ("A", false),
                ("a", false),
                ("a.x", false),
                ("b", false),
                ("c", true)
            ]
        );
    }

    #[test]
    fn errors_name_act_and_path() {
        let temp = tempfile::tempdir().unwrap();
        let dir = DirFd::open(temp.path()).unwrap();
        let error = dir.open_file("absent".as_ref()).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("cannot open {}/absent", temp.path().display())
        );
        assert_eq!(error.errno(), Some(Errno::NOENT));
    }
}
