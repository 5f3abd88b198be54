//! The file systems that show a container's own namespaces: `/proc`, `/sys`, message
//! queues, control groups; and what of them is hidden or may not be written.
//!
//! The kernel ties each to the namespaces of the process that mounts it, so this runs in
//! the container's first process, on its way in.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{CWD, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use sys::mount::Attributes;

use super::hidden::Hidden;
use super::points::{is_directory, target_error};
use super::{Root, RootfsError, openat2};

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

/// Whose file system a container sees. A user may mount one only for namespaces of their
/// own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Whose {
    /// That of its namespaces.
    Own,
    /// The host's.
    Host,
}

/// What is mounted from inside.
#[derive(Debug, Clone)]
pub(crate) struct KernelMounts {
    pub(crate) proc: Whose,
    /// `/dev` is ours, not one that a plan mounts there.
    pub(crate) own_dev: bool,
    pub(crate) sysfs: Whose,
    pub(crate) queues: Whose,
    pub(crate) cgroup: Whose,
    /// `/sys` may be written.
    pub(crate) writable: bool,
    /// `/sys/fs/cgroup` may be written.
    pub(crate) writable_cgroup: bool,
    /// Names with dots or slashes, and values.
    pub(crate) sysctls: BTreeMap<String, String>,
    pub(crate) hidden: Hidden,
}

impl KernelMounts {
    /// Mounts them on a root of the caller's own mount namespace.
    pub(crate) fn mount(&self, root: &Root) -> Result<(), RootfsError> {
        show(root, self.proc, "proc", "proc", QUIET)?;
        if self.own_dev {
            show(root, self.queues, "dev/mqueue", "mqueue", QUIET)?;
        }
        let sealed = |writable: bool| Attributes {
            read_only: !writable,
            ..QUIET
        };
        show(root, self.sysfs, "sys", "sysfs", sealed(self.writable))?;
        if self.sysfs == Whose::Own {
            let attributes = sealed(self.writable_cgroup || self.writable);
            show(root, self.cgroup, "sys/fs/cgroup", "cgroup2", attributes)?;
        }
        for (name, value) in &self.sysctls {
            write_sysctl(root, name, value)?;
        }
        hide(root, &self.hidden.masked)?;
        let mut read_only = self.hidden.read_only.iter();
        read_only.try_for_each(|path| seal(root, path))
    }
}

fn show(
    root: &Root,
    whose: Whose,
    target: &str,
    kind: &'static str,
    attributes: Attributes,
) -> Result<(), RootfsError> {
    match whose {
        Whose::Own => mount(root, target, kind, attributes),
        Whose::Host => {
            let host = match open_host(&format!("/{target}")) {
                // What the host does not show, its namespaces' guests do not see either.
                Err(error) if error.errno() == Some(Errno::NOENT) => return Ok(()),
                host => host?,
            };
            let at = place(root, target);
            let at = at.map_err(|errno| target_error(target, errno))?;
            bind(&at, &host, attributes)
        }
    }
}

/// Each is written once, in the namespaces of the calling process.
fn write_sysctl(root: &Root, name: &str, value: &str) -> Result<(), RootfsError> {
    let shown = format!("the kernel parameter {name}");
    let fail = |errno| sys::Error::new("set", shown.clone(), errno);
    // In a dotted name, a slash stands for the dot of an interface such as `eth0.1`.
    let swapped = |c| match c {
        '.' => '/',
        '/' => '.',
        c => c,
    };
    let path: String = name.chars().map(swapped).collect();
    let plain = |part: &str| !matches!(part, "" | "." | "..");
    if !path.split('/').all(plain) {
        return Err(fail(Errno::INVAL).into());
    }
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
    let path = format!("proc/sys/{path}");
    let file = openat2(root.as_fd(), Path::new(&path), OFlags::WRONLY, resolve).map_err(fail)?;
    rustix::io::write(&file, value.as_bytes()).map_err(fail)?;
    Ok(())
}

fn mount(
    root: &Root,
    target: &str,
    kind: &'static str,
    attributes: Attributes,
) -> Result<(), RootfsError> {
    let mount = sys::mount::filesystem(kind, &[], attributes)?;
    let place = place(root, target).map_err(|errno| target_error(target, errno))?;
    Ok(sys::mount::attach(mount.as_fd(), place.as_fd())?)
}

fn bind(place: &OwnedFd, source: &OwnedFd, attributes: Attributes) -> Result<(), RootfsError> {
    let tree = sys::mount::clone_tree(source.as_fd())?;
    sys::mount::restrict(tree.as_fd(), attributes, true)?;
    Ok(sys::mount::attach(tree.as_fd(), place.as_fd())?)
}

/// Hides files behind the null device and directories behind an empty one.
fn hide(root: &Root, masked: &[String]) -> Result<(), RootfsError> {
    let null = place(root, "dev/null");
    let null = null.map_err(|errno| target_error("dev/null", errno))?;
    let mut empty = None;
    for target in masked {
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
    bind(&place, &place, read_only)
}

/// A place that this kernel or image may not have. Those that a user names may lead through
/// links of the image's, which stay inside.
fn existing(root: &Root, target: &str) -> Result<Option<OwnedFd>, RootfsError> {
    match root.open(Path::new(target), OFlags::PATH) {
        Ok(place) => Ok(Some(place)),
        Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
        Err(errno) => Err(target_error(target, errno)),
    }
}

/// Without following links: the directories were made sure of, and the kernel's own file
/// systems have none on these paths.
fn place(root: &Root, target: &str) -> Result<OwnedFd, Errno> {
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
    openat2(root.as_fd(), Path::new(target), OFlags::PATH, resolve)
}

pub(crate) fn open_host(path: &str) -> sys::Result<OwnedFd> {
    rustix::fs::openat(CWD, path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())
        .map_err(|errno| sys::Error::new("open", path, errno))
}
