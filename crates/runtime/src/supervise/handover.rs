//! What a supervisor hands to itself when it executes its own program anew.
//!
//! The start of a container touches memory that its watching does not need: a
//! supervisor whose container has settled executes itself, same process number, same
//! descriptors, to get rid of that memory. The state travels in a sealed memory file.

use std::ffi::{CStr, CString};
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::path::PathBuf;
use std::time::Duration;

use model::ContainerPlan;
use model::container::{ProcessRef, RunState};
use rustix::io::FdFlags;
use serde::{Deserialize, Serialize};

use super::clock::{self, Moment};
use super::console::{Console, WaitingInput};
use super::core::{Beginning, Init, Network, Stop, Supervisor};
use super::peer::{Peer, PeerState};
use super::replay::Replay;
use super::restart::Restarts;
use crate::health::{Checker, CheckerState};
use crate::logs::LogWriter;

/// First argument of a supervisor that continues; the second is the memory file.
pub(crate) const RESUME: &str = "--resume";

/// How long after it the pages of code that only the change needed are let go.
const QUIET: Duration = Duration::from_millis(500);

const PROGRAM: &CStr = c"/proc/self/exe";

#[derive(Serialize, Deserialize)]
struct Handover {
    run_base: PathBuf,
    plan: Box<ContainerPlan>,
    lock: RawFd,
    listener: RawFd,
    console: [Option<RawFd>; 4],
    waiting: WaitingInput,
    init: Option<(ProcessRef, RawFd)>,
    gateway: Option<RawFd>,
    router_netns: Option<RawFd>,
    netns: Option<RawFd>,
    retry: Option<Moment>,
    state: RunState,
    peers: Vec<(RawFd, PeerState)>,
    next_peer: u32,
    replay: Replay,
    partial_lines: Option<[Vec<u8>; 2]>,
    health: Option<CheckerState>,
    restarts: Restarts,
    run_began: Moment,
    stop: Stop,
}

/// Executes our program anew. Comes back only if that fails, with everything as it was.
pub(crate) fn execute_anew(supervisor: Supervisor) -> io::Result<Supervisor> {
    let memory = pack(supervisor)?;
    keep(&memory)?;
    let number = memory.as_raw_fd().to_string();
    let words = ["shim", super::ENTRY, RESUME, &number];
    let argv = words.map(|word| CString::new(word).expect("no NUL in these words"));
    // The environment is empty: a supervisor needs none, and it may hold secrets.
    let _ = sys::process::execve(PROGRAM, &argv, &[]);
    unpack(memory)
}

/// The supervisor that was handed over in this memory file.
pub(crate) fn resume(number: RawFd) -> io::Result<Supervisor> {
    unpack(sys::process::inherited(number).map_err(|e| e.source)?)
}

fn pack(supervisor: Supervisor) -> io::Result<OwnedFd> {
    let (console, waiting) = supervisor.console.into_parts();
    let mut fds = Kept { result: Ok(()) };
    let [terminal, stdin, stdout, stderr] = console;
    let init = supervisor.init.map(|i| (i.process, fds.keep(i.pidfd)));
    let handover = Handover {
        run_base: supervisor.run_base,
        plan: supervisor.plan,
        lock: fds.keep(supervisor.lock),
        listener: fds.keep(supervisor.listener.into()),
        console: [terminal, stdin, stdout, stderr].map(|fd| fd.map(|fd| fds.keep(fd))),
        waiting,
        init,
        gateway: supervisor.network.gateway.map(|fd| fds.keep(fd)),
        router_netns: supervisor.network.router_netns.map(|fd| fds.keep(fd)),
        netns: supervisor.network.netns.map(|fd| fds.keep(fd)),
        retry: supervisor.network.retry,
        state: supervisor.state,
        peers: supervisor
            .peers
            .into_iter()
            .map(Peer::into_parts)
            .map(|(socket, state)| (fds.keep(socket), state))
            .collect(),
        next_peer: supervisor.next_peer,
        replay: supervisor.replay,
        partial_lines: supervisor.log.map(LogWriter::into_partial_lines),
        health: supervisor.health.map(Checker::into_state),
        restarts: supervisor.restarts,
        run_began: supervisor.run_began,
        stop: supervisor.stop,
    };
    fds.result?;
    let bytes = serde_json::to_vec(&handover).map_err(io::Error::other)?;
    sys::process::sealed_bytes(&bytes, "supervisor").map_err(|e| e.source)
}

fn unpack(memory: OwnedFd) -> io::Result<Supervisor> {
    let mut bytes = Vec::new();
    let mut file = File::from(memory);
    io::Seek::rewind(&mut file)?;
    file.read_to_end(&mut bytes)?;
    let handover: Handover = serde_json::from_slice(&bytes).map_err(io::Error::other)?;
    let take = |fd: RawFd| sys::process::inherited(fd).map_err(|e| e.source);
    let maybe = |fd: Option<RawFd>| fd.map(take).transpose();
    let [terminal, stdin, stdout, stderr] = handover.console;
    let console = [
        maybe(terminal)?,
        maybe(stdin)?,
        maybe(stdout)?,
        maybe(stderr)?,
    ];
    let mut supervisor = Supervisor::new(Beginning {
        run_base: handover.run_base,
        plan: handover.plan,
        lock: take(handover.lock)?,
        listener: take(handover.listener)?.into(),
        console: Console::from_parts(console, handover.waiting),
        state: handover.state,
    })?;
    supervisor.init = match handover.init {
        Some((process, pidfd)) => Some(Init {
            process,
            pidfd: take(pidfd)?,
        }),
        None => None,
    };
    supervisor.network = Network {
        gateway: maybe(handover.gateway)?,
        router_netns: maybe(handover.router_netns)?,
        netns: maybe(handover.netns)?,
        retry: handover.retry,
    };
    for (socket, state) in handover.peers {
        supervisor
            .peers
            .push(Peer::from_parts(take(socket)?, state)?);
    }
    supervisor.small = supervisor.init.is_some();
    supervisor.trim_at = supervisor.small.then(|| clock::now() + QUIET);
    supervisor.next_peer = handover.next_peer;
    supervisor.replay = handover.replay;
    supervisor.health = handover.health.map(Checker::from_state);
    supervisor.restarts = handover.restarts;
    supervisor.run_began = handover.run_began;
    supervisor.stop = handover.stop;
    if let (Some(partial), Some(path)) = (handover.partial_lines, &supervisor.plan.paths.log) {
        supervisor.log = LogWriter::new(path, &supervisor.plan.logging, partial).ok();
    }
    Ok(supervisor)
}

/// Descriptors that the next program is to have.
struct Kept {
    result: io::Result<()>,
}

impl Kept {
    fn keep(&mut self, fd: OwnedFd) -> RawFd {
        if let (Ok(()), Err(e)) = (&self.result, keep(&fd)) {
            self.result = Err(e);
        }
        std::os::fd::IntoRawFd::into_raw_fd(fd)
    }
}

fn keep(fd: impl AsFd) -> io::Result<()> {
    Ok(rustix::io::fcntl_setfd(fd, FdFlags::empty())?)
}
