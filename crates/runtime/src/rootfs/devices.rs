//! The device nodes that every container has, and the links beside them.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags};

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

fn in_dev(name: &str) -> String {
    format!("/dev/{name}")
}
