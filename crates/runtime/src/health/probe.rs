//! One probe: a fork of the supervisor that executes the check in the container, waits
//! for it, and ends it when its time is over.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use model::ContainerPlan;
use model::container::{ProcessPlan, ProcessRef};
use model::health::HealthProbe;
use rustix::event::{PollFd, PollFlags};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::pipe::PipeFlags;
use rustix::process::{Pid, WaitOptions};
use sys::process::Fork;

use crate::exec::{self, ExecTarget};
use crate::stdio::Stdio;
use crate::supervise::clock::{self, Moment};
use crate::supervise::core::exit_code;
use crate::supervise::record;

/// Output that is kept.
const OUTPUT: usize = 4096;
/// How much longer than the timeout the fork itself may take.
const LATE: Duration = Duration::from_secs(2);
const KILL: i32 = 9;

/// A running probe.
#[derive(Debug)]
pub(super) struct Probe {
    pid: i32,
    pidfd: Option<OwnedFd>,
    pipe: Option<OwnedFd>,
    output: Vec<u8>,
    began: Moment,
    began_text: String,
    timeout: Duration,
    killed: bool,
}

impl Probe {
    pub(super) fn start(
        argv: &[String],
        timeout: Duration,
        plan: &ContainerPlan,
        init: ProcessRef,
        boot_id: &str,
    ) -> sys::Result<Self> {
        let process = ProcessPlan {
            argv: argv.to_vec(),
            tty: false,
            stdin_open: false,
            ..plan.process.clone()
        };
        let (read, write) =
            pipe().map_err(|e| sys::Error::new("make", "a pipe for a health check", e))?;
        let began_text = record::now();
        let pid = match sys::process::fork()? {
            Fork::Child => {
                drop(read);
                let target = ExecTarget {
                    init,
                    boot_id,
                    plan,
                };
                sys::process::exit_now(in_child(target, &process, write, timeout))
            }
            Fork::Parent(pid) => pid,
        };
        Ok(Self {
            pid,
            pidfd: sys::process::pidfd_open(pid)?,
            pipe: Some(read),
            output: Vec::new(),
            began: clock::now(),
            began_text,
            timeout,
            killed: false,
        })
    }

    pub(super) fn pid(&self) -> i32 {
        self.pid
    }

    pub(super) fn began(&self) -> Moment {
        self.began
    }

    pub(super) fn poll_fds(&self) -> Vec<BorrowedFd<'_>> {
        let fds = [&self.pipe, &self.pidfd];
        fds.into_iter().flatten().map(AsFd::as_fd).collect()
    }

    /// When a fork that hangs is killed.
    pub(super) fn deadline(&self) -> Option<Moment> {
        (!self.killed).then(|| self.began + self.timeout + LATE)
    }

    pub(super) fn on_time(&mut self, now: Moment) {
        if self.deadline().is_some_and(|at| at <= now) {
            self.killed = true;
            if let Some(pidfd) = &self.pidfd {
                let _ = sys::process::pidfd_signal(pidfd, KILL);
            }
        }
    }

    /// Reads what there is; what exceeds the limit is dropped.
    pub(super) fn read_output(&mut self) {
        let mut chunk = [0; OUTPUT];
        while let Some(pipe) = &self.pipe {
            match rustix::io::read(pipe, &mut chunk) {
                Ok(count) if count > 0 => {
                    let room = OUTPUT - self.output.len();
                    self.output.extend_from_slice(&chunk[..count.min(room)]);
                }
                Err(Errno::AGAIN | Errno::INTR) => return,
                Ok(_) | Err(_) => self.pipe = None,
            }
        }
    }

    pub(super) fn finish(mut self, code: i32, now: Moment) -> HealthProbe {
        self.read_output();
        let timed_out = code != 0 && now.saturating_sub(self.began) >= self.timeout;
        let (exit_code, output) = match timed_out {
            true => (
                -1,
                format!("no answer within {} ms", self.timeout.as_millis()),
            ),
            false => (code, String::from_utf8_lossy(&self.output).into_owned()),
        };
        HealthProbe {
            start: self.began_text,
            end: record::now(),
            exit_code,
            output,
        }
    }

    /// Kills it; it is reaped with the other children.
    pub(super) fn abandon(self) {
        if let Some(pidfd) = &self.pidfd {
            let _ = sys::process::pidfd_signal(pidfd, KILL);
        }
    }
}

/// The fork's life; returns its exit code.
fn in_child(
    target: ExecTarget<'_>,
    process: &ProcessPlan,
    pipe: OwnedFd,
    timeout: Duration,
) -> i32 {
    // Without the supervisor nobody wants the answer.
    let _ = sys::process::set_parent_death_signal(KILL);
    match execute(target, process, &pipe, timeout) {
        Ok(code) => code,
        Err(said) => {
            let _ = rustix::io::write(&pipe, said.as_bytes());
            126
        }
    }
}

fn execute(
    target: ExecTarget<'_>,
    process: &ProcessPlan,
    pipe: &OwnedFd,
    timeout: Duration,
) -> Result<i32, String> {
    let shown = |e: io::Error| e.to_string();
    let null = OFlags::RDWR | OFlags::CLOEXEC;
    let stdio = Stdio::Fds {
        stdin: rustix::fs::open("/dev/null", null, Mode::empty()).map_err(|e| shown(e.into()))?,
        stdout: duplicate(pipe).map_err(shown)?,
        stderr: duplicate(pipe).map_err(shown)?,
    };
    let child = exec::exec(target, process, stdio).map_err(|e| e.to_string())?;
    let mut fds = [PollFd::new(&child.pidfd, PollFlags::IN)];
    let ended = rustix::event::poll(&mut fds, Some(&clock::timespec(timeout)));
    if !matches!(ended, Ok(1)) {
        let _ = sys::process::pidfd_signal(&child.pidfd, KILL);
    }
    let pid = Pid::from_raw(child.pid).expect("a child's number is not zero");
    match rustix::process::waitpid(Some(pid), WaitOptions::empty()) {
        Ok(Some((_, status))) => Ok(exit_code(status)),
        Ok(None) | Err(_) => Ok(255),
    }
}

/// Reading end, which does not block, and writing end, which does.
fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let (read, write) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?;
    rustix::fs::fcntl_setfl(&read, OFlags::NONBLOCK)?;
    Ok((read, write))
}

fn duplicate(fd: &OwnedFd) -> io::Result<OwnedFd> {
    Ok(rustix::io::fcntl_dupfd_cloexec(fd, 3)?)
}
