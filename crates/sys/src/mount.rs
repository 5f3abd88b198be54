//! The mount API of Linux 5.2 and later: everything by descriptor.
//!
//! A mount is made detached, given its attributes, and only then attached to a directory
//! that is itself held open: no path is looked up twice.

mod compat;

use std::io::Read;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::CWD;
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MoveMountFlags, OpenTreeFlags, UnmountFlags,
};

use crate::{Error, Result};

/// What may not be done on a mount.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Attributes {
    /// Nothing is written.
    pub read_only: bool,
    /// Device nodes do not open.
    pub no_devices: bool,
    /// Set-user-id programs gain nothing.
    pub no_suid: bool,
    /// Nothing is executed.
    pub no_exec: bool,
}

impl Attributes {
    fn bits(self) -> u64 {
        let bit = |on: bool, bit: u64| if on { bit } else { 0 };
        bit(self.read_only, libc::MOUNT_ATTR_RDONLY)
            | bit(self.no_devices, libc::MOUNT_ATTR_NODEV)
            | bit(self.no_suid, libc::MOUNT_ATTR_NOSUID)
            | bit(self.no_exec, libc::MOUNT_ATTR_NOEXEC)
    }

    fn flags(self) -> MountAttrFlags {
        let bits = u32::try_from(self.bits()).expect("mount attributes fit 32 bits");
        MountAttrFlags::from_bits_retain(bits)
    }
}

/// An overlay file system.
#[derive(Debug, Clone, Copy)]
pub struct Overlay<'a> {
    /// The lower directories, topmost first.
    pub lower: &'a [PathBuf],
    /// The upper and work directories; without them it is read-only.
    pub upper: Option<(&'a Path, &'a Path)>,
    /// Whether nothing is ever synced.
    pub volatile: bool,
}

/// Makes an overlay, detached. Its own attributes are kept in `user.overlay.*`, as they
/// are in every layer of ours.
pub fn overlay(overlay: Overlay<'_>, attributes: Attributes) -> Result<OwnedFd> {
    match one_by_one(overlay, attributes) {
        Err(error) if error.errno() == Some(Errno::INVAL) && overlay.upper.is_some() => {
            // An old kernel, or something is really wrong: then this explains less.
            compat::overlay(overlay, attributes).map_err(|_| error)
        }
        other => other,
    }
}

fn one_by_one(overlay: Overlay<'_>, attributes: Attributes) -> Result<OwnedFd> {
    let context = Context::open("overlay")?;
    context.flag("userxattr")?;
    for lower in overlay.lower {
        context.string("lowerdir+", lower)?;
    }
    if let Some((upper, work)) = overlay.upper {
        context.string("upperdir", upper)?;
        context.string("workdir", work)?;
    }
    if overlay.volatile {
        context.flag("volatile")?;
    }
    context.mount(attributes)
}

/// Makes any other file system, detached.
pub fn filesystem(
    kind: &'static str,
    options: &[(&str, &str)],
    attributes: Attributes,
) -> Result<OwnedFd> {
    let context = Context::open(kind)?;
    for (key, value) in options {
        match value.is_empty() {
            true => context.flag(key)?,
            false => context.string(key, value)?,
        }
    }
    context.mount(attributes)
}

/// A file system being configured. The kernel's own explanation of a failure can be read
/// from the descriptor, and becomes part of the error.
struct Context {
    kind: &'static str,
    fd: OwnedFd,
}

impl Context {
    fn open(kind: &'static str) -> Result<Self> {
        let fd = rustix::mount::fsopen(kind, FsOpenFlags::FSOPEN_CLOEXEC)
            .map_err(|errno| Error::new("open file system type", kind, errno))?;
        let context = Self { kind, fd };
        // What `df` and `mount` show in their first column.
        context.string("source", kind)?;
        Ok(context)
    }

    fn flag(&self, key: &str) -> Result<()> {
        rustix::mount::fsconfig_set_flag(self.fd.as_fd(), key)
            .map_err(|errno| self.error("set an option of", key, errno))
    }

    fn string(&self, key: &str, value: impl AsRef<Path>) -> Result<()> {
        let value = value.as_ref();
        rustix::mount::fsconfig_set_string(self.fd.as_fd(), key, value).map_err(|errno| {
            self.error(
                "set an option of",
                &format!("{key}={}", value.display()),
                errno,
            )
        })
    }

    fn mount(self, attributes: Attributes) -> Result<OwnedFd> {
        rustix::mount::fsconfig_create(self.fd.as_fd())
            .map_err(|errno| self.error("mount", "", errno))?;
        rustix::mount::fsmount(
            self.fd.as_fd(),
            FsMountFlags::FSMOUNT_CLOEXEC,
            attributes.flags(),
        )
        .map_err(|errno| self.error("mount", "", errno))
    }

    fn error(&self, act: &'static str, detail: &str, errno: Errno) -> Error {
        let mut object = self.kind.to_owned();
        if !detail.is_empty() {
            object = format!("{object} ({detail})");
        }
        if let Some(said) = self.explanation() {
            object = format!("{object}: {said}");
        }
        Error::new(act, object, errno)
    }

    /// Messages look like `e overlay: Unknown parameter 'x'`.
    fn explanation(&self) -> Option<String> {
        let mut messages = Vec::new();
        let mut buffer = [0; 1024];
        let mut file = std::fs::File::from(self.fd.try_clone().ok()?);
        while let Ok(length @ 1..) = file.read(&mut buffer) {
            let text = String::from_utf8_lossy(&buffer[..length]);
            if let Some(message) = text.trim_end().strip_prefix("e ") {
                messages.push(message.to_owned());
            }
        }
        (!messages.is_empty()).then(|| messages.join("; "))
    }
}

/// Clones what is mounted at an open file or directory, with all below it, detached.
pub fn clone_tree(source: BorrowedFd<'_>) -> Result<OwnedFd> {
    clone(source, true)
}

/// The same, with what is mounted below only if asked.
pub fn clone(source: BorrowedFd<'_>, recursive: bool) -> Result<OwnedFd> {
    let mut flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_EMPTY_PATH;
    flags.set(OpenTreeFlags::AT_RECURSIVE, recursive);
    rustix::mount::open_tree(source, "", flags)
        .map_err(|errno| Error::new("clone the mount of", describe(source), errno))
}

/// A detached clone of another process's root mount alone: what it would see if nothing
/// else were mounted.
pub fn clone_root(pidfd: BorrowedFd<'_>) -> Result<OwnedFd> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    crate::ns::among_mounts_of(pidfd, || {
        rustix::mount::open_tree(CWD, "/", flags)
            .map_err(|errno| Error::new("clone", "the root mount of a process", errno))
    })
}

/// A detached clone of what another process sees at a path, and of all below it. Only who
/// is among the same mounts may clone one.
pub fn clone_of(pidfd: BorrowedFd<'_>, path: &str) -> Result<OwnedFd> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_RECURSIVE;
    crate::ns::among_mounts_of(pidfd, || {
        rustix::mount::open_tree(CWD, path, flags)
            .map_err(|errno| Error::new("clone a container's mount of", path, errno))
    })
}

/// A detached clone of one file, on which nothing can be written.
pub fn clone_read_only(path: impl AsRef<Path>) -> Result<OwnedFd> {
    let path = path.as_ref();
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    let tree = rustix::mount::open_tree(CWD, path, flags)
        .map_err(|errno| Error::new("clone the mount of", path.display().to_string(), errno))?;
    restrict(
        tree.as_fd(),
        Attributes {
            read_only: true,
            ..Attributes::default()
        },
        false,
    )?;
    Ok(tree)
}

/// Adds restrictions to a mount, and to all below it if asked. Those it has are kept.
pub fn restrict(mount: BorrowedFd<'_>, attributes: Attributes, recursive: bool) -> Result<()> {
    if attributes == Attributes::default() {
        return Ok(());
    }
    // SAFETY: mount_attr is plain integers, for which all zeroes are valid.
    let mut argument: libc::mount_attr = unsafe { std::mem::zeroed() };
    argument.attr_set = attributes.bits();
    set_attributes(mount, &argument, recursive)
}

/// Cuts a mount and all below it off from events of other mount namespaces.
pub fn make_private(mount: BorrowedFd<'_>) -> Result<()> {
    // SAFETY: as in `restrict`.
    let mut argument: libc::mount_attr = unsafe { std::mem::zeroed() };
    argument.propagation = libc::MS_PRIVATE;
    set_attributes(mount, &argument, true)
}

/// Has a mount, and all below it if asked, follow its peers without being followed.
pub fn make_slave(mount: BorrowedFd<'_>, recursive: bool) -> Result<()> {
    // SAFETY: as in `restrict`.
    let mut argument: libc::mount_attr = unsafe { std::mem::zeroed() };
    argument.propagation = libc::MS_SLAVE;
    set_attributes(mount, &argument, recursive)
}

fn set_attributes(
    mount: BorrowedFd<'_>,
    argument: &libc::mount_attr,
    recursive: bool,
) -> Result<()> {
    let recurse = if recursive { libc::AT_RECURSIVE } else { 0 };
    // SAFETY: the path is a NUL-terminated constant, and the structure outlives the call
    // and has the size that is passed.
    let answer = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_raw_fd(),
            c"".as_ptr(),
            libc::AT_EMPTY_PATH | recurse,
            std::ptr::from_ref(argument),
            size_of::<libc::mount_attr>(),
        )
    };
    match answer {
        0 => Ok(()),
        _ => Err(Error::last(
            "set the attributes of the mount",
            describe(mount),
        )),
    }
}

/// Attaches a detached mount to an open file or directory.
pub fn attach(mount: BorrowedFd<'_>, target: BorrowedFd<'_>) -> Result<()> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    rustix::mount::move_mount(mount, "", target, "", flags)
        .map_err(|errno| Error::new("mount on", describe(target), errno))
}

/// Takes away what is mounted at a path, at once for new look-ups and for good once the
/// last user has left.
pub fn detach(path: &Path) -> Result<()> {
    rustix::mount::unmount(path, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW)
        .map_err(|errno| Error::new("unmount", path.display().to_string(), errno))
}

/// Makes an open directory, which must be a mount point, the root and the working directory
/// of the calling process, and takes away everything that was mounted before, in the
/// caller's mount namespace. The old root is stacked on the new one, so no place is needed
/// to put it: pivot_root(2), "pivot_root(".", ".")".
pub fn pivot_into(root: BorrowedFd<'_>) -> Result<()> {
    let fail = |act| move |errno| Error::new(act, "the new root", errno);
    rustix::process::fchdir(root).map_err(fail("change directory to"))?;
    rustix::process::pivot_root(".", ".").map_err(fail("change to"))?;
    rustix::mount::unmount(".", UnmountFlags::DETACH).map_err(fail("unmount what was before"))?;
    rustix::process::chdir("/").map_err(fail("change directory to"))
}

/// The path of an open file, for messages.
fn describe(fd: BorrowedFd<'_>) -> String {
    let link = format!("/proc/self/fd/{}", fd.as_raw_fd());
    match std::fs::read_link(&link) {
        Ok(path) => path.display().to_string(),
        Err(_) => format!("descriptor {}", fd.as_raw_fd()),
    }
}
