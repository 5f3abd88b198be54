//! What a container's process has as its standard streams.

use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::fs::{FileType, Uid};

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

/// Lets a user reopen a stream by its name, e.g. `/dev/stdout`. Pipes and terminals are
/// ours alone; anything else belongs to somebody and stays as it is.
pub(crate) fn give(stream: BorrowedFd<'_>, uid: u32) {
    let Ok(stat) = rustix::fs::fstat(stream) else {
        return;
    };
    let kind = FileType::from_raw_mode(stat.st_mode);
    let terminal = kind == FileType::CharacterDevice && rustix::termios::isatty(stream);
    if terminal || kind == FileType::Fifo {
        // Failing that, the program still has its open descriptor.
        let _ = rustix::fs::fchown(stream, Some(Uid::from_raw(uid)), None);
    }
}
