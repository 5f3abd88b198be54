//! Directories that must be real, and places to mount on.

use std::ffi::OsStr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use super::{Created, Root, RootfsError, openat2};

/// Directories that everything else relies on, and whether one that is something else may
/// be thrown away. What is under `/etc` cannot be made up, so that one is refused.
const NEEDED: [(&str, bool); 5] = [
    ("dev", true),
    ("proc", true),
    ("sys", true),
    ("run", true),
    ("etc", false),
];

/// Links that are followed to find a mount point, as in the kernel.
const MAX_LINKS: u32 = 40;

impl Root {
    /// Makes sure that the directories every container needs are directories, not links or
    /// anything else.
    pub(crate) fn secure(&mut self) -> Result<(), RootfsError> {
        for (name, replaceable) in NEEDED {
            match self.open_real_directory(name) {
                Ok(_) => {}
                Err(Errno::NOENT) => self.make_needed(name)?,
                Err(Errno::LOOP | Errno::NOTDIR) if replaceable => {
                    rustix::fs::unlinkat(&self.fd, name, AtFlags::empty())
                        .map_err(|errno| target_error(name, errno))?;
                    self.make_needed(name)?;
                }
                Err(Errno::LOOP | Errno::NOTDIR) => return Err(RootfsError::NotADirectory(name)),
                Err(errno) => return Err(target_error(name, errno)),
            }
        }
        Ok(())
    }

    fn open_real_directory(&self, name: &str) -> Result<OwnedFd, Errno> {
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV;
        openat2(
            self.as_fd(),
            Path::new(name),
            OFlags::PATH | OFlags::DIRECTORY,
            resolve,
        )
    }

    fn make_needed(&mut self, name: &'static str) -> Result<(), RootfsError> {
        self.make(
            self.fd
                .try_clone()
                .map_err(|e| target_error(name, e))?
                .as_fd(),
            name.as_ref(),
            true,
        )
        .map_err(|errno| target_error(name, errno))?;
        // Nothing else can have come in between; if it did, this refuses it.
        self.open_real_directory(name)
            .map(drop)
            .map_err(|errno| target_error(name, errno))
    }

    /// Opens a place to mount on, made where it is absent. The answer is open for its path
    /// only, and says whether it is a directory.
    pub(crate) fn mount_point(
        &mut self,
        target: &str,
        directory: bool,
    ) -> Result<OwnedFd, RootfsError> {
        self.find_or_make(Path::new(target), directory, MAX_LINKS)
            .map_err(|errno| target_error(target, errno))
    }

    fn find_or_make(
        &mut self,
        target: &Path,
        directory: bool,
        links_left: u32,
    ) -> Result<OwnedFd, Errno> {
        let target = normalize(target);
        match self.open(&target, OFlags::PATH) {
            Err(Errno::NOENT) => {}
            other => return other,
        }
        let (Some(name), Some(parent)) = (target.file_name(), target.parent()) else {
            return Err(Errno::NOENT);
        };
        let parent_fd = self.find_or_make(parent, true, links_left)?;
        match rustix::fs::readlinkat(&parent_fd, name, Vec::new()) {
            // A link to what is not there: make what it leads to, inside.
            Ok(link) => {
                let next = links_left.checked_sub(1).ok_or(Errno::LOOP)?;
                let link = Path::new(OsStr::from_bytes(link.as_bytes()));
                let leads_to = self
                    .inside(&parent_fd)
                    .unwrap_or_else(|| parent.to_owned())
                    .join(link);
                self.find_or_make(&leads_to, directory, next)
            }
            Err(Errno::NOENT) => {
                self.make(parent_fd.as_fd(), name, directory)?;
                openat2(
                    parent_fd.as_fd(),
                    Path::new(name),
                    OFlags::PATH | OFlags::NOFOLLOW,
                    ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS,
                )
            }
            Err(errno) => Err(errno),
        }
    }

    /// Makes an empty directory or file, and notes that.
    fn make(&mut self, parent: BorrowedFd<'_>, name: &OsStr, directory: bool) -> Result<(), Errno> {
        match directory {
            true => rustix::fs::mkdirat(parent, name, Mode::from_raw_mode(0o755))?,
            false => {
                let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
                rustix::fs::openat(parent, name, flags, Mode::from_raw_mode(0o644))?;
            }
        }
        if let Some(parent) = self.inside(parent) {
            self.created.push(Created {
                path: parent.join(name),
                directory,
            });
        }
        Ok(())
    }

    /// The path of an open directory relative to the root, as the kernel sees it.
    fn inside(&self, directory: impl AsFd) -> Option<PathBuf> {
        let link = format!("/proc/self/fd/{}", directory.as_fd().as_raw_fd());
        let path = std::fs::read_link(link).ok()?;
        path.strip_prefix(&self.mounted_at).ok().map(Path::to_owned)
    }
}

/// Without a leading `/`, `.` and `..`: links aside, the same place.
fn normalize(path: &Path) -> PathBuf {
    let mut clean = PathBuf::new();
    for component in path.components() {
        match component {
            Component::Normal(name) => clean.push(name),
            Component::ParentDir => {
                clean.pop();
            }
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
        }
    }
    // An empty path would mean "this descriptor itself" only with a flag.
    if clean.as_os_str().is_empty() {
        PathBuf::from(".")
    } else {
        clean
    }
}

/// Whether an open file is a directory.
pub(super) fn is_directory(fd: impl AsFd) -> sys::Result<bool> {
    let stat = rustix::fs::fstat(fd)
        .map_err(|errno| sys::Error::new("look at", "a mount's source or target", errno))?;
    Ok(FileType::from_raw_mode(stat.st_mode) == FileType::Directory)
}

pub(super) fn target_error(target: &str, error: impl Into<std::io::Error>) -> RootfsError {
    let target = format!("/{}", target.trim_start_matches('/'));
    RootfsError::Target {
        target,
        source: error.into(),
    }
}
