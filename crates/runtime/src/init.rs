//! Process 1 of a container that asked for one (`--init`): starts the program, passes
//! signals on to it, reaps what is orphaned, and ends with the program's exit status.
//!
//! It is our own program, executed inside the container from a descriptor: nothing of it is
//! in the container's file system. Process 1 gets only signals that it handles, so a program
//! that does not expect to be it would not even end by SIGTERM.

use std::ffi::{CString, OsString};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::process::CommandExt;
use std::process::Command;

use rustix::process::{Pid, Signal, WaitOptions, WaitStatus};
use signal_hook::consts::SIGCHLD;
use signal_hook::iterator::Signals;

/// The hidden command that [`main`] is called for.
pub const ENTRY: &str = "__init";

/// Signals that are passed on: all that may be caught, but for those that the kernel sends
/// to the process that did something wrong.
const PASSED: [i32; 19] = [
    1, 2, 3, 10, 12, 13, 14, 15, 16, 17, 18, 20, 23, 24, 25, 26, 28, 29, 30,
];
/// Those without a name; the first two are the C library's own.
const REAL_TIME: std::ops::RangeInclusive<i32> = 34..=64;

/// What to execute instead of a program, which becomes its last arguments.
pub(crate) fn arguments(argv: &[CString]) -> Vec<CString> {
    let own = [c"shim", c"__init"].map(ToOwned::to_owned);
    own.into_iter().chain(argv.iter().cloned()).collect()
}

/// Our own program, which lies on a mount that nobody can write to; see [`crate::own_exe`].
pub(crate) fn program() -> sys::Result<OwnedFd> {
    let flags = rustix::fs::OFlags::PATH | rustix::fs::OFlags::CLOEXEC;
    rustix::fs::open("/proc/self/exe", flags, rustix::fs::Mode::empty())
        .map_err(|errno| sys::Error::new("open", "our own program", errno))
}

/// `shim __init PROGRAM ARGUMENT…`; returns the exit code.
pub fn main(argv: &[OsString]) -> i32 {
    let Some((program, arguments)) = argv.split_first() else {
        return 125;
    };
    // Before the program is there, so that none is missed.
    let Ok(mut signals) = Signals::new(PASSED.into_iter().chain(REAL_TIME)) else {
        return 125;
    };
    let mut command = Command::new(program);
    command.args(arguments);
    // A group of its own in the foreground, so that a terminal's Ctrl-C reaches it once.
    command.process_group(0);
    let child = match command.spawn() {
        Ok(child) => child,
        Err(error) => {
            let name = OsString::into_vec(program.clone());
            let name = String::from_utf8_lossy(&name).into_owned();
            let text = format!("shim: exec: \"{name}\": {error}\n");
            let _ = rustix::io::write(rustix::stdio::stderr(), text.as_bytes());
            return match error.kind() {
                std::io::ErrorKind::NotFound => 127,
                _ => 126,
            };
        }
    };
    let Some(child) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) else {
        return 125;
    };
    // The terminal is the child's, where there is one.
    if rustix::termios::tcsetpgrp(rustix::stdio::stdin(), child).is_ok() {
        // It may have asked for the terminal before, and been stopped for that.
        let _ = rustix::process::kill_process_group(child, Signal::CONT);
    }
    loop {
        if let Some(code) = reap(child) {
            return code;
        }
        for signal in signals.wait() {
            if signal != SIGCHLD {
                pass_on(child, signal);
            }
        }
    }
}

fn pass_on(child: Pid, signal: i32) {
    if let Ok(Some(pidfd)) = sys::process::pidfd_open(child.as_raw_pid()) {
        let _ = sys::process::pidfd_signal(&pidfd, signal);
    }
}

/// Reaps whatever has ended, and says how the child did.
fn reap(child: Pid) -> Option<i32> {
    let mut code = None;
    while let Ok(Some((pid, status))) = rustix::process::wait(WaitOptions::NOHANG) {
        if pid == child {
            code = Some(exit_code(status));
        }
    }
    code
}

fn exit_code(status: WaitStatus) -> i32 {
    let signalled = || status.terminating_signal().map(|signal| 128 + signal);
    status.exit_status().or_else(signalled).unwrap_or(125)
}
