//! The supervisor: one process for each running container, and what starts it.
//!
//! [`spawn`] executes `shim __supervise RUN_BASE PLAN` with one end of a socket pair as
//! standard input. The supervisor makes itself independent, starts the container as its
//! own child and says so over that socket, which is the first client's connection: an
//! `Attach` sent over it satisfies a start that waits for one. It then serves the control
//! socket until the container has ended for good.
//!
//! It knows its [`model::ContainerPlan`] only, never the store or the network's makers.

pub(crate) mod clock;
pub(crate) mod console;
pub(crate) mod core;
mod gateway;
mod handover;
pub(crate) mod life;
pub(crate) mod peer;
pub(crate) mod record;
mod replay;
mod restart;
pub(crate) mod socket;

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, Stdio};

pub use life::main;
pub use record::{RecordError, read_exit, read_state};

use crate::attach::Client;

/// The hidden entry of our program that is a supervisor.
pub const ENTRY: &str = "__supervise";

/// A supervisor could not be executed.
#[derive(Debug, thiserror::Error)]
pub enum SpawnError {
    /// Our own program could not be made safe from the container.
    #[error(transparent)]
    Program(#[from] sys::Error),
    /// It could not be executed.
    #[error("cannot start a supervisor for {}", .plan.display())]
    Spawn {
        /// The plan's file.
        plan: std::path::PathBuf,
        /// The kernel's answer.
        #[source]
        source: io::Error,
    },
}

/// Starts a supervisor for the plan in this file. The client that comes back is its first
/// one: [`Client::started`] tells how the start went.
///
/// A plain user calls it from inside the user namespace ([`crate::userns::enter`]). From
/// outside it works too, but the program must then be copied to memory first, once for
/// each supervisor.
pub fn spawn(run_base: &Path, plan: &Path) -> Result<Client, SpawnError> {
    let program = crate::own_exe::protect()?;
    let failed = |source| SpawnError::Spawn {
        plan: plan.to_owned(),
        source,
    };
    let (ours, theirs) = UnixStream::pair().map_err(failed)?;
    // What we execute splits at once and its first half ends, so this waits for next to
    // nothing and leaves no zombie behind.
    Command::new(program.path())
        .arg(ENTRY)
        .arg(run_base)
        .arg(plan)
        .env_clear()
        .stdin(Stdio::from(OwnedFd::from(theirs)))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .map_err(failed)?;
    Ok(Client::from_socket(ours))
}
