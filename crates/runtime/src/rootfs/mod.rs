//! The root file system, hostile until proven otherwise.
//!
//! Whoever made the image chose every name in it: `/proc` may be a link to `/etc`, `/dev`
//! a file, `/etc/hosts` a link to the host's. So nothing in it is reached by a path of the
//! host. The root is one descriptor, names below it are resolved by the kernel with that
//! descriptor as `/` (or without following links at all), and mounts are attached to the
//! descriptors so obtained.

mod copy_up;
mod devices;
mod error;
mod etc;
mod hidden;
mod kernel;
mod mounts;
mod planned;
mod points;

use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use model::container::RootfsPlan;
use rustix::fs::{CWD, FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use sys::mount::{Attributes, Overlay};

pub(crate) use devices::{Devices, Nodes, SharedMemory};
pub use error::RootfsError;
pub(crate) use etc::{EtcFiles, bind_apt_setting};
pub(crate) use hidden::Hidden;
pub(crate) use kernel::{KernelMounts, Whose, open_host};
pub(crate) use mounts::{Terminals, open_terminal};
pub(crate) use planned::{Mounting, Shared, comes_last, shared};

/// Something that had to be created in the root file system to mount on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Created {
    /// Relative to the root.
    pub path: PathBuf,
    /// Whether it is a directory (else an empty file).
    pub directory: bool,
}

/// An open root directory.
#[derive(Debug)]
pub struct Root {
    fd: OwnedFd,
    /// Where it is mounted for us; only to shorten the kernel's idea of a path.
    mounted_at: PathBuf,
    created: Vec<Created>,
}

/// `/etc/passwd` and the like; more is not read.
const SMALL_FILE: u64 = 1 << 20;

impl Root {
    /// Mounts the overlay of a plan at a directory of ours. As root, device nodes in it do
    /// not open.
    pub fn mount(plan: &RootfsPlan, at: &Path, no_devices: bool) -> Result<Self, RootfsError> {
        let attributes = Attributes {
            no_devices,
            ..Attributes::default()
        };
        let overlay = Overlay {
            lower: &plan.layers,
            upper: Some((&plan.upper, &plan.work)),
            volatile: plan.volatile,
        };
        let fd = sys::mount::overlay(overlay, attributes)?;
        make_directory(at)?;
        let target = open_directory(at)?;
        sys::mount::attach(fd.as_fd(), target.as_fd())?;
        Ok(Self {
            fd,
            mounted_at: at.to_owned(),
            created: Vec::new(),
        })
    }

    /// The root of a running process, for `exec`.
    pub fn of_process(pid: i32) -> Result<Self, RootfsError> {
        let path = PathBuf::from(format!("/proc/{pid}/root"));
        let fd = open_directory(&path)?;
        Ok(Self {
            fd,
            mounted_at: path,
            created: Vec::new(),
        })
    }

    /// The same root as a process sees it that has a mount namespace of its own by now:
    /// mounts are only attached to what is in the caller's.
    pub(crate) fn seen_from_here(&self) -> Result<Self, RootfsError> {
        Ok(Self {
            fd: open_directory(&self.mounted_at)?,
            mounted_at: self.mounted_at.clone(),
            created: Vec::new(),
        })
    }

    /// Makes it the root and the working directory of the calling process, and leaves
    /// nothing else mounted. `read_only` is for the root's own mount, not those below it.
    pub(crate) fn enter(self, read_only: bool) -> sys::Result<()> {
        let attributes = Attributes {
            read_only,
            ..Attributes::default()
        };
        sys::mount::restrict(self.fd.as_fd(), attributes, false)?;
        sys::mount::pivot_into(self.fd.as_fd())
    }

    /// What had to be created so far, parents before what is in them.
    pub fn created(&self) -> &[Created] {
        &self.created
    }

    /// Resolves a path as the container would: links stay inside.
    pub fn open(&self, path: &Path, flags: OFlags) -> Result<OwnedFd, Errno> {
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        openat2(self.fd.as_fd(), path, flags, resolve)
    }

    /// Reads a regular file of at most 1 MiB; anything else counts as absent.
    pub fn read_small_file(&self, path: &str) -> Option<String> {
        // Without NONBLOCK a named pipe would wait for a writer that never comes.
        let fd = self
            .open(Path::new(path), OFlags::RDONLY | OFlags::NONBLOCK)
            .ok()?;
        let stat = rustix::fs::fstat(&fd).ok()?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return None;
        }
        let mut bytes = Vec::new();
        std::fs::File::from(fd)
            .take(SMALL_FILE)
            .read_to_end(&mut bytes)
            .ok()?;
        Some(String::from_utf8_lossy(&bytes).into_owned())
    }
}

impl AsFd for Root {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// `openat2`, tried again when a rename elsewhere made the kernel unsure.
fn openat2(
    root: BorrowedFd<'_>,
    path: &Path,
    flags: OFlags,
    resolve: ResolveFlags,
) -> Result<OwnedFd, Errno> {
    loop {
        match rustix::fs::openat2(root, path, flags | OFlags::CLOEXEC, Mode::empty(), resolve) {
            Err(Errno::AGAIN | Errno::INTR) => {}
            other => return other,
        }
    }
}

fn make_directory(path: &Path) -> sys::Result<()> {
    match rustix::fs::mkdir(path, Mode::from_raw_mode(0o700)) {
        Ok(()) | Err(Errno::EXIST) => Ok(()),
        Err(errno) => Err(sys::Error::new(
            "make directory",
            path.display().to_string(),
            errno,
        )),
    }
}

fn open_directory(path: &Path) -> sys::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::openat(CWD, path, flags, Mode::empty())
        .map_err(|errno| sys::Error::new("open", path.display().to_string(), errno))
}
