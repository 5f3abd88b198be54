//! Processes that cannot be confused with a later one of the same number.

use std::os::fd::OwnedFd;

use model::container::ProcessRef;
use rustix::event::{PollFd, PollFlags, Timespec};

/// The identifier of the host's current boot.
pub fn boot_id() -> sys::Result<String> {
    Ok(sys::process::read_proc("sys/kernel/random/boot_id")?
        .trim_end()
        .to_owned())
}

/// The calling process.
pub fn this() -> sys::Result<ProcessRef> {
    let pid = rustix::process::getpid().as_raw_nonzero().get();
    let start_time = sys::process::start_time(pid)?;
    Ok(ProcessRef { pid, start_time })
}

/// A process by number, as it is now.
pub fn of(pid: i32) -> sys::Result<ProcessRef> {
    Ok(ProcessRef {
        pid,
        start_time: sys::process::start_time(pid)?,
    })
}

/// Opens a process recorded earlier. `None` when it is gone: no such process, another
/// one with its number, or another boot.
pub fn open(process: ProcessRef, boot: &str) -> sys::Result<Option<OwnedFd>> {
    if boot_id()? != boot {
        return Ok(None);
    }
    open_same_boot(process)
}

/// A process that has ended keeps its number until its parent takes its exit code, which
/// may be long.
fn has_ended(pidfd: &OwnedFd) -> bool {
    let mut fds = [PollFd::new(pidfd, PollFlags::IN)];
    let now = Timespec::default();
    matches!(rustix::event::poll(&mut fds, Some(&now)), Ok(ready) if ready > 0)
}

/// As [`open`], for a process known to be of this boot.
pub fn open_same_boot(process: ProcessRef) -> sys::Result<Option<OwnedFd>> {
    let Some(pidfd) = sys::process::pidfd_open(process.pid)? else {
        return Ok(None);
    };
    // Only now is the number pinned: what has this start time is what we hold.
    match sys::process::start_time(process.pid) {
        Ok(start) if start == process.start_time && !has_ended(&pidfd) => Ok(Some(pidfd)),
        _ => Ok(None),
    }
}

/// Sends a signal to a recorded process; `false` when it is already gone.
pub fn signal(process: ProcessRef, boot: &str, signal: i32) -> sys::Result<bool> {
    match open(process, boot)? {
        Some(pidfd) => sys::process::pidfd_signal(&pidfd, signal),
        None => Ok(false),
    }
}
