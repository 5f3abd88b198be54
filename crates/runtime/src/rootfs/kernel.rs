//! The file systems that show a container's own namespaces: `/proc`, `/sys`, message
//! queues, control groups; and what of them is hidden or may not be written.
//!
//! The kernel ties each to the namespaces of the process that mounts it, so this runs in
//! the container's first process, on its way in.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{CWD, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use sys::mount::Attributes;

use super::points::is_directory;
use super::{Root, RootfsError, openat2};

/// What is hidden: it tells about the machine, or lets one reach into it.
const MASKED: [&str; 12] = [
    "proc/acpi",
    "proc/asound",
    "proc/interrupts",
    "proc/kcore",
    "proc/keys",
    "proc/latency_stats",
    "proc/sched_debug",
    "proc/scsi",
    "proc/timer_list",
    "proc/timer_stats",
    "sys/devices/virtual/powercap",
    "sys/firmware",
];

/// What may be read but not written.
const READ_ONLY: [&str; 5] = [
    "proc/bus",
    "proc/fs",
    "proc/irq",
    "proc/sys",
    "proc/sysrq-trigger",
];

const QUIET: Attributes = Attributes {
    read_only: false,
    no_devices: true,
    no_suid: true,
    no_exec: true,
};

const SEALED: Attributes = Attributes {
    read_only: true,
    ..QUIET
};

/// Which `/sys` a container sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sysfs {
    /// One of its network namespace.
    Own,
    /// The host's: a user may mount one only for a network namespace of their own.
    Host,
}

/// What is mounted from inside.
#[derive(Debug, Clone)]
pub(crate) struct KernelMounts {
    pub(crate) sysfs: Sysfs,
}

impl KernelMounts {
    /// Mounts them on a root of the caller's own mount namespace.
    pub(crate) fn mount(&self, root: &Root) -> Result<(), RootfsError> {
        mount(root, "proc", "proc", QUIET)?;
        mount(root, "dev/mqueue", "mqueue", QUIET)?;
        match self.sysfs {
            Sysfs::Own => {
                mount(root, "sys", "sysfs", SEALED)?;
                mount(root, "sys/fs/cgroup", "cgroup2", SEALED)?;
            }
            Sysfs::Host => {
                let host = open_host("/sys")?;
                bind(root, "sys", &host, SEALED)?;
            }
        }
        hide(root)?;
        READ_ONLY.iter().try_for_each(|path| seal(root, path))
    }
}

fn mount(
    root: &Root,
    target: &str,
    kind: &'static str,
    attributes: Attributes,
) -> Result<(), RootfsError> {
    let mount = sys::mount::filesystem(kind, &[], attributes)?;
    let place = place(root, target).map_err(|errno| super::points::target_error(target, errno))?;
    Ok(sys::mount::attach(mount.as_fd(), place.as_fd())?)
}

fn bind(
    root: &Root,
    target: &str,
    source: &OwnedFd,
    attributes: Attributes,
) -> Result<(), RootfsError> {
    let place = place(root, target).map_err(|errno| super::points::target_error(target, errno))?;
    let tree = sys::mount::clone_tree(source.as_fd())?;
    sys::mount::restrict(tree.as_fd(), attributes, true)?;
    Ok(sys::mount::attach(tree.as_fd(), place.as_fd())?)
}

/// Hides files behind the null device and directories behind an empty one.
fn hide(root: &Root) -> Result<(), RootfsError> {
    let null = place(root, "dev/null");
    let null = null.map_err(|errno| super::points::target_error("dev/null", errno))?;
    let mut empty = None;
    for target in MASKED {
        let Some(place) = existing(root, target)? else {
            continue;
        };
        if !is_directory(&place)? {
            let cover = sys::mount::clone_tree(null.as_fd())?;
            sys::mount::attach(cover.as_fd(), place.as_fd())?;
            continue;
        }
        match &empty {
            // Only what is attached can be cloned before Linux 6.15.
            Some(empty) => {
                let cover = sys::mount::clone_tree(AsFd::as_fd(empty))?;
                sys::mount::attach(cover.as_fd(), place.as_fd())?;
            }
            None => {
                let first = sys::mount::filesystem("tmpfs", &[("size", "0")], SEALED)?;
                sys::mount::attach(first.as_fd(), place.as_fd())?;
                empty = Some(first);
            }
        }
    }
    Ok(())
}

fn seal(root: &Root, target: &str) -> Result<(), RootfsError> {
    let Some(place) = existing(root, target)? else {
        return Ok(());
    };
    let read_only = Attributes {
        read_only: true,
        ..Attributes::default()
    };
    bind(root, target, &place, read_only)
}

/// A place that this kernel may not have.
fn existing(root: &Root, target: &str) -> Result<Option<OwnedFd>, RootfsError> {
    match place(root, target) {
        Ok(place) => Ok(Some(place)),
        Err(Errno::NOENT) => Ok(None),
        Err(errno) => Err(super::points::target_error(target, errno)),
    }
}

/// Without following links: the directories were made sure of, and the kernel's own file
/// systems have none on these paths.
fn place(root: &Root, target: &str) -> Result<OwnedFd, Errno> {
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
    openat2(root.as_fd(), Path::new(target), OFlags::PATH, resolve)
}

fn open_host(path: &str) -> sys::Result<OwnedFd> {
    rustix::fs::openat(CWD, path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())
        .map_err(|errno| sys::Error::new("open", path, errno))
}
