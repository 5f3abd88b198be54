//! What a container's process has as its standard streams.

use std::os::fd::OwnedFd;

/// The standard streams of a new process.
#[derive(Debug)]
pub enum Stdio {
    /// Three descriptors, dropped by us once the process has its copies.
    Fds {
        /// Becomes descriptor 0.
        stdin: OwnedFd,
        /// Becomes descriptor 1.
        stdout: OwnedFd,
        /// Becomes descriptor 2.
        stderr: OwnedFd,
    },
    /// A new pseudo-terminal from the container's own `/dev/pts`, so that `tty` and
    /// `ttyname` work inside; it is the controlling terminal of a new session. The
    /// caller is given its master side.
    Terminal {
        /// Rows at the start.
        rows: u16,
        /// Columns at the start.
        columns: u16,
    },
}
