//! Our own program, in a form that no container can write to.
//!
//! A process that is about to enter a container still runs our program, and inside it
//! `/proc/PID/exe` leads to the file on the host: root in the container could open it for
//! writing. So such processes are executed from a detached read-only clone of the mount
//! that the program lies on; `/proc/PID/exe` then leads to that clone, and opening it for
//! writing fails. Nothing is copied, and every page stays shared. Where the kernel denies
//! the clone, a sealed copy in memory serves.

use std::os::fd::{AsRawFd, OwnedFd};
use std::path::PathBuf;

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

/// Makes the protected form. As a plain user: after [`crate::userns::enter`].
pub fn protect() -> sys::Result<OwnExe> {
    match sys::mount::clone_read_only("/proc/self/exe") {
        Ok(fd) => Ok(OwnExe(fd)),
        Err(_) => sys::process::sealed_copy("/proc/self/exe", "shim").map(OwnExe),
    }
}
