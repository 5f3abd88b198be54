//! What a container's process has as its standard streams.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{CWD, FileType, Mode, OFlags, Uid};
use sys::pty::WindowSize;

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

/// The container's ends of its standard streams.
pub(crate) struct Streams {
    pub(crate) stdin: OwnedFd,
    pub(crate) stdout: OwnedFd,
    pub(crate) stderr: OwnedFd,
    /// The master side, for a terminal.
    pub(crate) terminal: Option<OwnedFd>,
}

impl Streams {
    /// Makes them. `open_terminal` gives a new terminal of the container, master and slave.
    pub(crate) fn new(
        stdio: Stdio,
        open_terminal: impl FnOnce() -> sys::Result<(OwnedFd, OwnedFd)>,
        uid: u32,
    ) -> sys::Result<Self> {
        let (stdin, stdout, stderr, terminal) = match stdio {
            Stdio::Fds {
                stdin,
                stdout,
                stderr,
            } => (stdin, stdout, stderr, None),
            Stdio::Terminal { rows, columns } => {
                let (master, slave) = open_terminal()?;
                sys::pty::set_size(
                    &master,
                    WindowSize {
                        rows,
                        cols: columns,
                    },
                )?;
                let (stdout, stderr) = (duplicate(&slave)?, duplicate(&slave)?);
                (slave, stdout, stderr, Some(master))
            }
        };
        for stream in [&stdin, &stdout, &stderr] {
            give(stream.as_fd(), uid);
        }
        Ok(Self {
            stdin,
            stdout,
            stderr,
            terminal,
        })
    }
}

impl Streams {
    /// Makes them the calling process's own, and a terminal its controlling one. The
    /// process must lead a session.
    pub(crate) fn take_places(&self) -> sys::Result<()> {
        let fail = |errno| sys::Error::new("set up", "the standard streams", errno);
        rustix::stdio::dup2_stdin(&self.stdin).map_err(fail)?;
        rustix::stdio::dup2_stdout(&self.stdout).map_err(fail)?;
        rustix::stdio::dup2_stderr(&self.stderr).map_err(fail)?;
        match self.terminal {
            Some(_) => sys::pty::make_controlling(rustix::stdio::stdin()),
            None => Ok(()),
        }
    }
}

fn duplicate(fd: &OwnedFd) -> sys::Result<OwnedFd> {
    fd.try_clone()
        .map_err(|error| sys::Error::new("duplicate", "a terminal", error))
}

/// Lets a user reopen a stream by its name, e.g. `/dev/stdout`. Pipes and terminals are
/// ours alone; anything else belongs to somebody and stays as it is.
fn give(stream: BorrowedFd<'_>, uid: u32) {
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

/// Replaces streams on the host's `/dev/null` by the container's own, once that is in place.
pub(crate) fn reopen_null_streams() {
    let flags = OFlags::RDWR | OFlags::CLOEXEC;
    let Ok(null) = rustix::fs::openat(CWD, "/dev/null", flags, Mode::empty()) else {
        return;
    };
    let number = |fd: BorrowedFd<'_>| rustix::fs::fstat(fd).map(|stat| stat.st_rdev).ok();
    let wanted = number(null.as_fd());
    // Where it fails, the stream is as good as before.
    if number(rustix::stdio::stdin()) == wanted {
        let _ = rustix::stdio::dup2_stdin(&null);
    }
    if number(rustix::stdio::stdout()) == wanted {
        let _ = rustix::stdio::dup2_stdout(&null);
    }
    if number(rustix::stdio::stderr()) == wanted {
        let _ = rustix::stdio::dup2_stderr(&null);
    }
}
