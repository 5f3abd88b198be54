//! A build's RUN instruction: a container without supervisor, record or log.
//!
//! A start needs a fresh process with one thread, which a builder is not; so a step runs in
//! a child of our own program, which dies with the builder. The plan reaches it as a sealed
//! file on its standard input; its standard output is the step's, and what it has to say
//! itself goes to a pipe on its standard error, as one line of JSON.

pub mod bare;
mod take_out;

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::Command;

use model::ContainerPlan;
use rustix::event::{PollFd, PollFlags};
use rustix::process::{Pid, WaitOptions};
use serde::{Deserialize, Serialize};

use crate::launch::{self, StartError};
use crate::own_exe::OwnExe;
use crate::stdio::Stdio;

/// The hidden command that [`main`] is called for.
pub const ENTRY: &str = "__step";

/// The hidden command that [`bare_main`] is called for.
pub const BARE_ENTRY: &str = "__bare-step";

const SIGKILL: i32 = 9;

/// A step that runs.
#[derive(Debug)]
pub struct StepChild {
    child: std::process::Child,
    plan: ContainerPlan,
    report: OwnedFd,
    /// Standard output and error of the step, mixed as they came.
    pub output: OwnedFd,
}

/// Why a step could not be run. That its program failed is no error but an exit code.
#[derive(Debug, thiserror::Error)]
pub enum StepError {
    /// It did not start.
    #[error("{message}")]
    Start {
        /// What and why.
        message: String,
        /// What the user can do.
        hint: Option<String>,
        /// Docker's exit code for it.
        code: i32,
    },
    /// A step of ours failed.
    #[error(transparent)]
    Sys(#[from] sys::Error),
}

impl StepError {
    /// What the user can do.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Start { hint, .. } => hint.clone(),
            Self::Sys(_) => None,
        }
    }
}

impl From<StartError> for StepError {
    fn from(error: StartError) -> Self {
        let (hint, code) = (error.hint(), error.exit_code());
        Self::Start {
            message: with_causes(&error),
            hint,
            code,
        }
    }
}

/// What the child says when the step did not start.
#[derive(Debug, Serialize, Deserialize)]
struct Report {
    message: String,
    hint: Option<String>,
    code: i32,
}

/// Starts a step in a child process, which dies with the calling thread.
pub fn spawn(exe: &OwnExe, plan: &ContainerPlan) -> Result<StepChild, StepError> {
    spawn_as(ENTRY, exe, plan)
}

/// Starts a step in the plan's [`bare::tree`], without mounts and namespaces.
pub fn spawn_bare(exe: &OwnExe, plan: &ContainerPlan) -> Result<StepChild, StepError> {
    spawn_as(BARE_ENTRY, exe, plan)
}

fn spawn_as(entry: &str, exe: &OwnExe, plan: &ContainerPlan) -> Result<StepChild, StepError> {
    let text = serde_json::to_vec(plan).expect("a plan of plain data is always JSON");
    let text = sys::process::sealed_bytes(&text, "plan")?;
    let (output, write) = pipe()?;
    let (report, say) = pipe()?;
    let child = Command::new(exe.path())
        .arg0("shim")
        .arg(entry)
        .stdin(text)
        .stdout(write)
        .stderr(say)
        .spawn()
        .map_err(|error| sys::Error::new("start", "a build step", error))?;
    Ok(StepChild {
        child,
        plan: plan.clone(),
        report,
        output,
    })
}

impl StepChild {
    /// Waits for its end. Read `output` to its end first.
    pub fn wait(mut self) -> Result<i32, StepError> {
        let status = self.child.wait();
        let status = status.map_err(|error| sys::Error::new("wait for", "a build step", error))?;
        let mut said = String::new();
        let _ = File::from(self.report).read_to_string(&mut said);
        match (serde_json::from_str::<Report>(&said), status.code()) {
            (
                Ok(Report {
                    message,
                    hint,
                    code,
                }),
                _,
            ) => Err(StepError::Start {
                message,
                hint,
                code,
            }),
            (Err(_), Some(code)) if said.is_empty() => Ok(code),
            // It was killed, or panicked.
            _ => {
                launch::clean_up(&self.plan);
                let message = format!("the build step was cut short ({status}) {said}");
                Err(StepError::Start {
                    message,
                    hint: None,
                    code: 125,
                })
            }
        }
    }

    /// Ends it at once, and the container with it.
    pub fn kill(&mut self) -> sys::Result<()> {
        let fail = |error| sys::Error::new("end", "a build step", error);
        self.child.kill().map_err(fail)?;
        self.child.wait().map_err(fail)?;
        launch::clean_up(&self.plan);
        Ok(())
    }
}

/// What the child does: reads its plan, runs it, and returns its exit code.
pub fn main() -> i32 {
    finish(run())
}

/// As [`main`], for [`BARE_ENTRY`].
pub fn bare_main() -> i32 {
    finish(bare::run())
}

fn finish(result: Result<i32, StepError>) -> i32 {
    match result {
        Ok(code) => code,
        Err(StepError::Start {
            message,
            hint,
            code,
        }) => say(&Report {
            message,
            hint,
            code,
        }),
        Err(error) => say(&Report {
            message: with_causes(&error),
            hint: None,
            code: 125,
        }),
    }
}

fn say(report: &Report) -> i32 {
    let text = serde_json::to_vec(report).expect("plain data is always JSON");
    // Nobody is left to hear of a failure to say it.
    let _ = std::io::stderr().write_all(&text);
    report.code
}

fn run() -> Result<i32, StepError> {
    die_with_parent()?;
    let plan = read_plan()?;
    let nothing = File::open("/dev/null").map_err(|e| sys::Error::new("open", "/dev/null", e))?;
    let output = || {
        rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stdout(), 3)
            .map_err(|errno| sys::Error::new("duplicate", "standard output", errno))
    };
    let stdio = Stdio::Fds {
        stdin: nothing.into(),
        stdout: output()?,
        stderr: output()?,
    };
    let started = launch::start(&plan, stdio).inspect_err(|_| launch::clean_up(&plan))?;
    // The step's output must end when the step does, not when we do.
    close_stdout()?;
    let code = wait(started.pid);
    launch::clean_up(&plan);
    take_out::take_out(&plan.rootfs.upper, &started.created)?;
    code
}

fn read_plan() -> Result<ContainerPlan, StepError> {
    serde_json::from_reader(std::io::stdin()).map_err(|error| StepError::Start {
        message: format!("the build step's plan makes no sense: {error}"),
        hint: None,
        code: 125,
    })
}

/// If the parent is already dead, nobody reads what we say.
fn die_with_parent() -> Result<(), StepError> {
    sys::process::set_parent_death_signal(SIGKILL)?;
    let stderr = rustix::stdio::stderr();
    let mut poll = [PollFd::new(&stderr, PollFlags::empty())];
    let now = rustix::event::Timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    let polled = rustix::event::poll(&mut poll, Some(&now));
    polled.map_err(|errno| sys::Error::new("ask after", "the builder", errno))?;
    if poll[0].revents().contains(PollFlags::ERR) {
        sys::process::exit_now(125);
    }
    Ok(())
}

fn close_stdout() -> sys::Result<()> {
    let fail = |error| sys::Error::new("close", "standard output", error);
    let nothing = File::options()
        .write(true)
        .open("/dev/null")
        .map_err(fail)?;
    rustix::stdio::dup2_stdout(nothing.as_fd()).map_err(|errno| fail(errno.into()))
}

fn wait(pid: i32) -> Result<i32, StepError> {
    let fail = |errno| sys::Error::new("wait for", "a build step's program", errno);
    let pid = Pid::from_raw(pid);
    let status = rustix::io::retry_on_intr(|| rustix::process::waitpid(pid, WaitOptions::empty()));
    let status = status.map_err(fail)?.map(|(_, status)| status);
    let code = status.and_then(|status| {
        status
            .exit_status()
            .or_else(|| status.terminating_signal().map(|signal| 128 + signal))
    });
    Ok(code.unwrap_or(125))
}

fn pipe() -> sys::Result<(OwnedFd, OwnedFd)> {
    rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)
        .map_err(|errno| sys::Error::new("make", "a pipe", errno))
}

/// An error with its causes, as one line: it crosses a process border as text.
fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        let more = next.to_string();
        if !text.ends_with(&more) {
            text = format!("{text}: {more}");
        }
        cause = next.source();
    }
    text
}
