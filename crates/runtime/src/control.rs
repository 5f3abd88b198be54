//! Requests to a supervisor that need no attachment.

use std::path::Path;
use std::time::Duration;

use model::container::RunState;

use crate::attach::{Client, ClientError};
use crate::frames::{Reply, Request};
use crate::supervise::{RecordError, read_exit};

/// Why a request was not carried out.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// The supervisor could not be spoken to.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The exit record could not be read.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// The container ended and left no record.
    #[error("no exit code was recorded in {}", .0.display())]
    NoRecord(std::path::PathBuf),
}

/// Asks the container to stop and waits until it has. What is `None` comes from its plan.
pub fn stop(
    run_dir: &Path,
    exit: &Path,
    signal: Option<i32>,
    grace: Option<Duration>,
) -> Result<i32, ControlError> {
    let mut client = Client::connect(run_dir)?;
    let grace_ms = grace.map(|g| u64::try_from(g.as_millis()).unwrap_or(u64::MAX));
    client.send(&Request::Stop { signal, grace_ms })?;
    wait_on(client, exit)
}

/// Sends a signal to the container's first process.
pub fn kill(run_dir: &Path, signal: i32) -> Result<(), ControlError> {
    let mut client = Client::connect(run_dir)?;
    client.send(&Request::Signal(signal))?;
    match client.receive()? {
        Some(Reply::Refused(why)) => Err(ClientError::Refused(why).into()),
        Some(_) => Ok(()),
        None => Err(ClientError::Gone.into()),
    }
}

/// Asks for the state.
pub fn status(run_dir: &Path) -> Result<RunState, ControlError> {
    let mut client = Client::connect(run_dir)?;
    client.send(&Request::Status)?;
    match client.receive()? {
        Some(Reply::Status(state)) => Ok(*state),
        Some(Reply::Refused(why)) => Err(ClientError::Refused(why).into()),
        Some(_) | None => Err(ClientError::Gone.into()),
    }
}

/// Waits until the container has ended for good; gives its exit code.
pub fn wait(run_dir: &Path, exit: &Path) -> Result<i32, ControlError> {
    match Client::connect(run_dir) {
        Ok(client) => wait_on(client, exit),
        Err(ClientError::NotRunning(_)) => recorded(exit),
        Err(e) => Err(e.into()),
    }
}

/// The exit code by frame, or by record if the supervisor died.
fn wait_on(mut client: Client, exit: &Path) -> Result<i32, ControlError> {
    client.send(&Request::Wait)?;
    loop {
        match client.receive() {
            Ok(Some(Reply::Exit(code))) => return Ok(code),
            Ok(Some(Reply::Failed(failure))) => return Ok(failure.code),
            Ok(Some(_)) => {}
            Ok(None) | Err(ClientError::Broken(_)) => return recorded(exit),
            Err(e) => return Err(e.into()),
        }
    }
}

fn recorded(exit: &Path) -> Result<i32, ControlError> {
    let record = read_exit(exit)?;
    record
        .map(|r| r.code)
        .ok_or_else(|| ControlError::NoRecord(exit.to_owned()))
}

/// The states of a container: the present one, then each change, until it ends.
#[derive(Debug)]
pub struct Watch(Client);

/// Watches a container's state.
pub fn watch(run_dir: &Path) -> Result<Watch, ControlError> {
    let mut client = Client::connect(run_dir)?;
    client.send(&Request::Watch)?;
    Ok(Watch(client))
}

impl Iterator for Watch {
    type Item = Result<RunState, ControlError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            match self.0.receive() {
                Ok(Some(Reply::Status(state))) => return Some(Ok(*state)),
                Ok(Some(Reply::Exit(_) | Reply::Failed(_))) | Ok(None) => return None,
                Ok(Some(_)) => {}
                Err(ClientError::Broken(_)) => return None,
                Err(e) => return Some(Err(e.into())),
            }
        }
    }
}
