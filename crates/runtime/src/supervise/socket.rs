//! The control socket `ctl` of a runtime directory.
//!
//! A unix socket's path has at most 107 bytes and a runtime directory may be longer, so
//! a long one is reached through a descriptor of the directory.

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};

const NAME: &str = "ctl";
const LONGEST: usize = 107;

/// Listens on the socket; one left by a dead supervisor is replaced. The caller holds
/// the lock.
pub(crate) fn listen(run_dir: &Path) -> io::Result<UnixListener> {
    remove(run_dir);
    let listener = through(run_dir, |path| UnixListener::bind(path))?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// Connects to the socket.
pub(crate) fn connect(run_dir: &Path) -> io::Result<UnixStream> {
    through(run_dir, |path| UnixStream::connect(path))
}

/// Takes the socket's name away; connections stay.
pub(crate) fn remove(run_dir: &Path) {
    // Absent is as good.
    let _ = std::fs::remove_file(run_dir.join(NAME));
}

fn through<T>(run_dir: &Path, act: impl Fn(&Path) -> io::Result<T>) -> io::Result<T> {
    let direct = run_dir.join(NAME);
    if direct.as_os_str().len() <= LONGEST {
        return act(&direct);
    }
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let directory: OwnedFd = rustix::fs::open(run_dir, flags, Mode::empty())?;
    let directory = File::from(directory);
    act(&PathBuf::from(format!(
        "/proc/self/fd/{}/{NAME}",
        directory.as_raw_fd()
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_longer_than_a_socket_name_works() {
        let base = tempfile::tempdir().unwrap();
        let run_dir = base.path().join("d".repeat(120));
        std::fs::create_dir(&run_dir).unwrap();
        let listener = listen(&run_dir).unwrap();
        connect(&run_dir).unwrap();
        listener.accept().unwrap();
        drop(listener);
        // A dead supervisor's socket does not stand in the way.
        listen(&run_dir).unwrap();
        remove(&run_dir);
        let error = connect(&run_dir).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }
}
