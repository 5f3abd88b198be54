//! Our own program, in a form that no container can write to.
//!
//! A process that is about to enter a container still runs our program, and inside it
//! `/proc/PID/exe` leads to the file on the host: root in the container could open it for
//! writing. So such processes are executed from a detached read-only clone of the mount
//! that the program lies on; `/proc/PID/exe` then leads to that clone, and opening it for
//! writing fails. Nothing is copied, and every page stays shared. Where the kernel denies
//! the clone, a sealed copy in memory serves.

use std::ffi::OsStr;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// A protected form of the calling program. Keep it until the child is spawned.
#[derive(Debug)]
pub struct OwnExe(OwnedFd);

impl OwnExe {
    /// What to execute, e.g. with `std::process::Command`.
    pub fn path(&self) -> PathBuf {
        PathBuf::from(format!("/proc/self/fd/{}", self.0.as_raw_fd()))
    }

    /// The open program itself.
    pub fn fd(&self) -> &OwnedFd {
        &self.0
    }
}

const LINK: &str = "/proc/self/exe";

/// Makes the protected form. As a plain user: after [`crate::userns::enter`].
pub fn protect() -> sys::Result<OwnExe> {
    let clone = sys::mount::clone_read_only(LINK).ok().or_else(by_path);
    match clone {
        Some(fd) => Ok(OwnExe(fd)),
        None => sys::process::sealed_copy(LINK, "shim").map(OwnExe),
    }
}

/// In a mount namespace that was made since our program was executed, the link leads to a
/// mount of the former one, which cannot be cloned; the path leads to the present one. It
/// must still be the same file there.
fn by_path() -> Option<OwnedFd> {
    let path = rustix::fs::readlink(LINK, Vec::new()).ok()?;
    let path = Path::new(OsStr::from_bytes(path.as_bytes()));
    let clone = sys::mount::clone_read_only(path).ok()?;
    let (ours, found) = (
        rustix::fs::stat(LINK).ok()?,
        rustix::fs::fstat(&clone).ok()?,
    );
    ((ours.st_dev, ours.st_ino) == (found.st_dev, found.st_ino)).then_some(clone)
}
