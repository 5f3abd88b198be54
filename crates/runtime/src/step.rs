//! A build's RUN instruction: a container without supervisor, record or log.

use std::os::fd::OwnedFd;

use model::ContainerPlan;

use crate::launch::StartError;
use crate::own_exe::OwnExe;

/// The hidden command that [`main`] is called for.
pub const ENTRY: &str = "__step";

/// A step that runs.
#[derive(Debug)]
pub struct StepChild {
    child: std::process::Child,
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

impl From<StartError> for StepError {
    fn from(error: StartError) -> Self {
        Self::Start {
            message: error.to_string(),
            hint: error.hint(),
            code: error.exit_code(),
        }
    }
}

/// Starts a step in a child process, which dies with the calling thread.
pub fn spawn(exe: &OwnExe, plan: &ContainerPlan) -> Result<StepChild, StepError> {
    let _ = (exe, plan);
    Err(StepError::Start {
        message: "not yet".into(),
        hint: None,
        code: 125,
    })
}

impl StepChild {
    /// Waits for its end. Read `output` to its end first.
    pub fn wait(mut self) -> Result<i32, StepError> {
        let _ = self.child.wait();
        Ok(0)
    }

    /// Ends it at once.
    pub fn kill(&mut self) -> sys::Result<()> {
        let _ = self.child.kill();
        Ok(())
    }
}

/// What the child does: reads its plan, runs it, and returns its exit code.
pub fn main() -> i32 {
    125
}
