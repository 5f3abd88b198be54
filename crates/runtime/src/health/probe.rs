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
/// How often the processes of a check are looked for that was killed; each look finds
/// those that were started since the last one.
const ROUNDS: u32 = 20;
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
            true => (-1, self.exceeded()),
            false => (code, String::from_utf8_lossy(&self.output).into_owned()),
        };
        HealthProbe {
            start: self.began_text,
            end: record::now(),
            exit_code,
            output,
        }
    }

    /// Docker's words, and what the check had said by then.
    fn exceeded(&self) -> String {
        let said = String::from_utf8_lossy(&self.output);
        let colon = if said.is_empty() { "" } else { ": " };
        let timeout = model::units::format_duration(self.timeout);
        format!("Health check exceeded timeout ({timeout}){colon}{said}")
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
        // The check began a session: what it started is in there, unless it went away on
        // purpose.
        end_session(child.pid);
    }
    let pid = Pid::from_raw(child.pid).expect("a child's number is not zero");
    match rustix::process::waitpid(Some(pid), WaitOptions::empty()) {
        Ok(Some((_, status))) => Ok(exit_code(status)),
        Ok(None) | Err(_) => Ok(255),
    }
}

/// Kills all processes of a session, those as well that are just being started.
fn end_session(session: i32) {
    for _ in 0..ROUNDS {
        let members = members(session);
        if members.is_empty() {
            return;
        }
        for pid in members {
            // Its number may be another process's by now.
            if let Ok(Some(pidfd)) = sys::process::pidfd_open(pid)
                && is_member(pid, session)
            {
                let _ = sys::process::pidfd_signal(&pidfd, KILL);
            }
        }
    }
}

fn members(session: i32) -> Vec<i32> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    entries
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|pid| is_member(*pid, session))
        .collect()
}

/// Whether a process lives and is of this session (proc_pid_stat(5), fields 3 and 6).
fn is_member(pid: i32, session: i32) -> bool {
    let stat = sys::process::read_proc(&format!("{pid}/stat")).unwrap_or_default();
    let fields = stat.rsplit_once(") ").map_or("", |(_, fields)| fields);
    let mut fields = fields.split(' ');
    let lives = !matches!(fields.next(), None | Some("Z" | "X"));
    lives && fields.nth(2).and_then(|field| field.parse().ok()) == Some(session)
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
