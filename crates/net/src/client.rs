//! The way to the gateway, for whoever starts containers.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use model::network::{NetworkPlan, Ready, Reply, Request};
use rustix::io::Errno;
use rustix::pipe::PipeFlags;

use crate::error::{Error, Result};

/// Longest message in either direction.
pub(crate) const LONGEST_MESSAGE: usize = 64 * 1024;

/// Where the gateway of this run directory listens.
pub fn socket_path(run_dir: &Path) -> PathBuf {
    run_dir.join("gateway.sock")
}

/// One connection to the gateway. A container stays connected for as long as the
/// connection it was attached through is open, by whomever.
#[derive(Debug)]
pub struct Client {
    socket: OwnedFd,
}

impl Client {
    /// Connects to the gateway, starting it when there is none.
    ///
    /// `spawn` is given the write end of a pipe. It starts `shim __gateway` with that end as
    /// [`GatewayConfig::ready`](crate::gateway::GatewayConfig::ready) and returns at once;
    /// this function waits until the gateway listens. Of several callers at once only one
    /// is asked to spawn.
    pub fn ensure(run_dir: &Path, spawn: impl FnOnce(OwnedFd) -> io::Result<()>) -> Result<Self> {
        if let Some(client) = Self::connect(run_dir)? {
            return Ok(client);
        }
        let path = run_dir.join("gateway-start.lock");
        let fail = |act| {
            let path = path.clone();
            move |source| Error::File { act, path, source }
        };
        let lock = File::create(&path).map_err(fail("create"))?;
        lock.lock().map_err(fail("lock"))?;
        if let Some(client) = Self::connect(run_dir)? {
            return Ok(client);
        }
        let (told, tell) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)
            .map_err(|errno| sys::Error::new("make", "a pipe", errno))?;
        spawn(tell).map_err(|error| Error::Start(error.to_string()))?;
        let mut said = String::new();
        let read = File::from(told).read_to_string(&mut said);
        match (read, said.as_str()) {
            (Ok(_), "ready") => Self::connect(run_dir)?.ok_or(Error::Gone),
            (Ok(_), "") => Err(Error::Start("it ended at once".to_owned())),
            (Ok(_), _) => Err(Error::Start(said)),
            (Err(error), _) => Err(Error::Start(error.to_string())),
        }
    }

    /// Connects to the gateway; `None` when there is none.
    pub fn connect(run_dir: &Path) -> Result<Option<Self>> {
        match sys::unix::connect(&socket_path(run_dir)) {
            Ok(socket) => Ok(Some(Self { socket })),
            Err(error) if matches!(error.errno(), Some(Errno::NOENT | Errno::CONNREFUSED)) => {
                Ok(None)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Attaches a container: `netns` is its network namespace. Gives what it has now, and
    /// the router namespace, which whoever outlives the gateway should keep for `router`.
    pub fn attach(
        &self,
        plan: NetworkPlan,
        adopt: bool,
        netns: BorrowedFd<'_>,
        router: Option<BorrowedFd<'_>>,
    ) -> Result<(Ready, OwnedFd)> {
        let fds: Vec<_> = std::iter::once(netns).chain(router).collect();
        self.send(&Request::Attach { plan, adopt }, &fds)?;
        let packet = match sys::unix::recv(&self.socket, LONGEST_MESSAGE) {
            Ok(packet) => packet.ok_or(Error::Gone)?,
            Err(error) if error.errno() == Some(Errno::CONNRESET) => return Err(Error::Gone),
            Err(error) => return Err(error.into()),
        };
        match serde_json::from_slice(&packet.bytes).map_err(Error::Confused)? {
            Reply::Ready(ready) => {
                let router = packet.fds.into_iter().next().ok_or(Error::Gone)?;
                Ok((ready, router))
            }
            Reply::Failed { message, hint } => Err(Error::Refused { message, hint }),
        }
    }

    /// Asks the gateway to end as soon as no container is connected. This connection ends
    /// when it does.
    pub fn end_when_idle(&self) -> Result<()> {
        self.send(&Request::EndWhenIdle, &[])
    }

    /// Waits until the gateway has ended.
    pub fn wait_for_end(&self) {
        while let Ok(Some(_)) = sys::unix::recv(&self.socket, LONGEST_MESSAGE) {}
    }

    /// The connection, to hand on to the process that lives as long as the container.
    pub fn into_fd(self) -> OwnedFd {
        self.socket
    }

    fn send(&self, request: &Request, fds: &[BorrowedFd<'_>]) -> Result<()> {
        let text = serde_json::to_vec(request).expect("a request has only string keys");
        match sys::unix::send(&self.socket, &text, fds) {
            Err(error) if matches!(error.errno(), Some(Errno::PIPE | Errno::CONNRESET)) => {
                Err(Error::Gone)
            }
            other => Ok(other?),
        }
    }
}

impl AsFd for Client {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
