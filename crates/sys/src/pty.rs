//! Pseudo-terminals: pairs, window sizes, raw mode, the controlling terminal.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::pty::OpenptFlags;
use rustix::termios::{OptionalActions, Termios, Winsize};

use crate::{Error, Result};

/// Size of a terminal in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WindowSize {
    /// Lines.
    pub rows: u16,
    /// Characters a line.
    pub cols: u16,
}

impl Default for WindowSize {
    fn default() -> Self {
        Self { rows: 24, cols: 80 }
    }
}

/// Both ends of a pseudo-terminal; close-on-exec, neither is the controlling terminal.
#[derive(Debug)]
pub struct Pty {
    /// The end of whoever shows the terminal.
    pub master: OwnedFd,
    /// The end of the process in it.
    pub slave: OwnedFd,
}

/// Makes a pseudo-terminal of this size on the caller's `/dev/ptmx`.
pub fn open(size: WindowSize) -> Result<Pty> {
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let master = rustix::pty::openpt(flags).map_err(|e| Error::new("open", "/dev/ptmx", e))?;
    let failed = |e| Error::new("open the other end of", "a pseudo-terminal", e);
    rustix::pty::grantpt(&master).map_err(failed)?;
    rustix::pty::unlockpt(&master).map_err(failed)?;
    // By the descriptor, not by name: the name may mean another file in a mount
    // namespace with its own /dev/pts.
    let slave = rustix::pty::ioctl_tiocgptpeer(&master, flags).map_err(failed)?;
    set_size(&master, size)?;
    Ok(Pty { master, slave })
}

/// Sets the size of the terminal behind `fd`; its foreground processes get SIGWINCH
/// if it differs from the present one.
pub fn set_size(fd: impl AsFd, size: WindowSize) -> Result<()> {
    let window = Winsize {
        ws_row: size.rows,
        ws_col: size.cols,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    rustix::termios::tcsetwinsize(fd, window)
        .map_err(|e| Error::new("set the size of", "the terminal", e))
}

/// Size of the terminal behind `fd`.
pub fn size(fd: impl AsFd) -> Result<WindowSize> {
    let window = rustix::termios::tcgetwinsize(fd)
        .map_err(|e| Error::new("ask the size of", "the terminal", e))?;
    Ok(WindowSize {
        rows: window.ws_row,
        cols: window.ws_col,
    })
}

/// Whether `fd` is a terminal.
pub fn is_terminal(fd: impl AsFd) -> bool {
    rustix::termios::isatty(fd)
}

/// Path of the slave whose master is `master`, as the devpts it came from names it.
pub fn name(master: impl AsFd) -> Result<String> {
    let name = rustix::pty::ptsname(master, Vec::new())
        .map_err(|e| Error::new("ask the name of", "a pseudo-terminal", e))?;
    Ok(name.to_string_lossy().into_owned())
}

/// Makes `slave` the controlling terminal. The caller must lead a session that has none.
pub fn make_controlling(slave: impl AsFd) -> Result<()> {
    rustix::process::ioctl_tiocsctty(slave)
        .map_err(|e| Error::new("take as controlling terminal", "a pseudo-terminal", e))
}

/// A terminal in raw mode; dropping it restores what was before.
#[derive(Debug)]
pub struct RawMode {
    terminal: OwnedFd,
    before: Termios,
}

impl RawMode {
    /// Puts the terminal behind `fd` into raw mode.
    pub fn enter(fd: BorrowedFd<'_>) -> Result<Self> {
        let failed = |e| Error::new("put into raw mode", "the terminal", e);
        let terminal = rustix::io::fcntl_dupfd_cloexec(fd, 3).map_err(failed)?;
        let before = rustix::termios::tcgetattr(&terminal).map_err(failed)?;
        let mut raw = before.clone();
        raw.make_raw();
        rustix::termios::tcsetattr(&terminal, OptionalActions::Now, &raw).map_err(failed)?;
        Ok(Self { terminal, before })
    }
}

impl Drop for RawMode {
    fn drop(&mut self) {
        // The terminal may be gone; there is nobody left to tell then.
        let _ = rustix::termios::tcsetattr(&self.terminal, OptionalActions::Now, &self.before);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::termios::LocalModes;

    #[test]
    fn a_new_terminal_has_the_size_asked_for() {
        let pty = open(WindowSize { rows: 7, cols: 33 }).unwrap();
        assert_eq!(size(&pty.slave).unwrap(), WindowSize { rows: 7, cols: 33 });
        set_size(&pty.slave, WindowSize::default()).unwrap();
        assert_eq!(size(&pty.master).unwrap(), WindowSize::default());
        assert!(is_terminal(&pty.slave));
        assert!(name(&pty.master).unwrap().starts_with("/dev/pts/"));
    }

    #[test]
    fn raw_mode_ends_with_its_guard() {
        let pty = open(WindowSize::default()).unwrap();
        let echoes = || {
            let modes = rustix::termios::tcgetattr(&pty.slave).unwrap().local_modes;
            modes.contains(LocalModes::ECHO)
        };
        assert!(echoes());
        let guard = RawMode::enter(pty.slave.as_fd()).unwrap();
        assert!(!echoes());
        drop(guard);
        assert!(echoes());
    }

    #[test]
    fn what_is_no_terminal_is_refused() {
        let file = tempfile::tempfile().unwrap();
        let error = RawMode::enter(file.as_fd()).unwrap_err();
        assert_eq!(error.to_string(), "cannot put into raw mode the terminal");
        assert!(!is_terminal(&file));
    }
}
