//! The device nodes that every container has, and the links beside them.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileTypeExt;
use std::path::Path;

use model::container::DevicePlan;
use rustix::fs::{AtFlags, CWD, FileType, Gid, Mode, OFlags, Uid};
use rustix::io::Errno;

use super::points::target_error;
use super::{Root, RootfsError};

/// Name, major and minor number: what the runtime specification asks for, "Default Devices".
const NODES: [(&str, u32, u32); 6] = [
    ("null", 1, 3),
    ("zero", 1, 5),
    ("full", 1, 7),
    ("random", 1, 8),
    ("urandom", 1, 9),
    ("tty", 5, 0),
];

/// The same, "Default Symlinks", and `ptmx`.
const LINKS: [(&str, &str); 6] = [
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
    ("core", "/proc/kcore"),
    ("ptmx", "pts/ptmx"),
];

/// What a container has in `/dev`.
#[derive(Debug)]
pub(crate) struct Devices {
    pub(crate) nodes: Nodes,
    pub(crate) shared_memory: SharedMemory,
}

/// What is at `/dev/shm`.
#[derive(Debug)]
pub(crate) enum SharedMemory {
    /// Nothing.
    None,
    /// The container's own, of so many bytes.
    Own(Option<u64>),
    /// Somebody else's, detached.
    Of(OwnedFd),
}

/// How device nodes come about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Nodes {
    /// As nodes of our own.
    Made,
    /// The host's, mounted one by one: in a user namespace no node of one's own opens.
    Bound,
}

impl Nodes {
    /// Fills a directory of devices.
    pub(super) fn make(self, dev: &OwnedFd) -> sys::Result<()> {
        for (name, major, minor) in NODES {
            match self {
                Self::Made => make(dev, name, major, minor)?,
                Self::Bound => bind_host(dev, name)?,
            }
        }
        for (name, target) in LINKS {
            rustix::fs::symlinkat(target, dev, name)
                .map_err(|errno| sys::Error::new("make the link", in_dev(name), errno))?;
        }
        Ok(())
    }
}

fn make(dev: &OwnedFd, name: &str, major: u32, minor: u32) -> sys::Result<()> {
    let fail = |errno| sys::Error::new("make the device", in_dev(name), errno);
    let everyone = Mode::from_raw_mode(0o666);
    let number = rustix::fs::makedev(major, minor);
    rustix::fs::mknodat(dev, name, FileType::CharacterDevice, everyone, number).map_err(fail)?;
    // Whatever our umask is.
    rustix::fs::chmodat(dev, name, everyone, AtFlags::empty()).map_err(fail)
}

fn bind_host(dev: &OwnedFd, name: &str) -> sys::Result<()> {
    let path = in_dev(name);
    let node = rustix::fs::openat(CWD, &path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())
        .map_err(|errno| sys::Error::new("open the host's", path, errno))?;
    bind(dev, name, node.as_fd())
}

/// Mounts an open device on a new file in a directory of devices.
pub(super) fn bind(dev: &OwnedFd, name: &str, node: BorrowedFd<'_>) -> sys::Result<()> {
    let fail = |errno| sys::Error::new("make a place for", in_dev(name), errno);
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
    let mode = Mode::from_raw_mode(0o666);
    // Attached by its path descriptor: a device node must not be opened for this.
    drop(rustix::fs::openat(dev, name, flags, mode).map_err(fail)?);
    let path = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let place = rustix::fs::openat(dev, name, path, Mode::empty()).map_err(fail)?;
    sys::mount::attach(sys::mount::clone_tree(node)?.as_fd(), place.as_fd())
}

/// What of the host's `/dev` is no device of its own, or the container's in any case.
const NOT_SHARED: [&str; 8] = [
    "console", "fd", "mqueue", "ptmx", "pts", "shm", "stdin", "tty",
];

impl Root {
    /// Adds devices of the host's: those of a plan, and all that there are for a privileged
    /// container.
    pub(crate) fn add_devices(
        &mut self,
        planned: &[DevicePlan],
        privileged: bool,
        rootless: bool,
    ) -> Result<(), RootfsError> {
        if privileged {
            self.add_all(Path::new("/dev"), rootless)?;
        }
        for device in planned {
            unless_there(self.add_device(&device.host, &device.path, rootless))?;
        }
        Ok(())
    }

    fn add_all(&mut self, directory: &Path, rootless: bool) -> Result<(), RootfsError> {
        // What cannot be read belongs to others.
        for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
            let (path, name) = (entry.path(), entry.file_name());
            let Ok(kind) = entry.file_type() else {
                continue;
            };
            if NOT_SHARED.iter().any(|other| name == *other) {
                continue;
            }
            if kind.is_dir() {
                self.add_all(&path, rootless)?;
            } else if kind.is_char_device() || kind.is_block_device() {
                let Some(text) = path.to_str() else { continue };
                unless_there(self.add_device(&path, text, rootless))?;
            }
        }
        Ok(())
    }

    /// As root, a node of the same number below `/dev`, so that nothing done to it reaches
    /// the host's; else, and elsewhere, where nodes do not open, the host's own.
    fn add_device(&mut self, host: &Path, path: &str, rootless: bool) -> Result<(), RootfsError> {
        let inside = Path::new(path);
        let fail = |act| move |errno| sys::Error::new(act, path, errno);
        let (Some(parent), Some(name)) = (inside.parent(), inside.file_name()) else {
            return Err(target_error(path, Errno::ISDIR));
        };
        let parent_fd = self.mount_point(&parent.to_string_lossy(), true)?;
        let stat = rustix::fs::stat(host).map_err(fail("look at the device"))?;
        if !rootless && inside.starts_with("/dev") {
            let kind = FileType::from_raw_mode(stat.st_mode);
            let mode = Mode::from_raw_mode(stat.st_mode & 0o777);
            rustix::fs::mknodat(&parent_fd, name, kind, mode, stat.st_rdev)
                .map_err(fail("make the device"))?;
            rustix::fs::chmodat(&parent_fd, name, mode, AtFlags::empty())
                .map_err(fail("make the device"))?;
            let (uid, gid) = (Uid::from_raw(stat.st_uid), Gid::from_raw(stat.st_gid));
            let flags = AtFlags::SYMLINK_NOFOLLOW;
            rustix::fs::chownat(&parent_fd, name, Some(uid), Some(gid), flags)
                .map_err(fail("make the device"))?;
            return Ok(());
        }
        let node = rustix::fs::openat(CWD, host, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())
            .map_err(fail("open the host's"))?;
        let place = self.mount_point(path, false)?;
        let tree = sys::mount::clone_tree(node.as_fd())?;
        Ok(sys::mount::attach(tree.as_fd(), place.as_fd())?)
    }
}

/// The usual ones are there already, and one may be asked for twice.
fn unless_there(added: Result<(), RootfsError>) -> Result<(), RootfsError> {
    match added {
        Err(RootfsError::Sys(error)) if error.errno() == Some(Errno::EXIST) => Ok(()),
        other => other,
    }
}

fn in_dev(name: &str) -> String {
    format!("/dev/{name}")
}
