//! The supervisor's state and its event loop: one thread, one `poll`.

use std::io::{self, Read as _};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::time::Duration;

use model::ContainerPlan;
use model::container::{ProcessRef, RunState};
use rustix::event::{PollFd, PollFlags};
use rustix::io::Errno;
use rustix::process::{WaitOptions, WaitStatus};
use serde::{Deserialize, Serialize};
use sys::pty::WindowSize;

use super::clock::{self, Moment};
use super::console::{Console, End, Read, Taken};
use super::peer::Peer;
use super::replay::Replay;
use super::restart::Restarts;
use super::{record, socket};
use crate::frames::{Reply, Request, Stream};
use crate::health;
use crate::journal;
use crate::logs::LogWriter;

/// Bytes moved at once. Untouched memory costs nothing.
const CHUNK: usize = 64 * 1024;
/// SIGKILL, for lack of an answer to anything else.
const KILL: i32 = 9;

/// Everything a supervisor has.
#[derive(Debug)]
pub(crate) struct Supervisor {
    pub(crate) run_base: PathBuf,
    pub(crate) plan: Box<ContainerPlan>,
    /// Held as long as the supervisor counts as alive.
    pub(crate) lock: OwnedFd,
    pub(crate) listener: UnixListener,
    pub(crate) console: Console,
    pub(crate) init: Option<Init>,
    pub(crate) network: Network,
    pub(crate) state: RunState,
    pub(crate) peers: Vec<Peer>,
    pub(crate) next_peer: u32,
    pub(crate) replay: Replay,
    pub(crate) log: Option<LogWriter>,
    pub(crate) health: Option<health::Checker>,
    pub(crate) restarts: Restarts,
    /// When the present or last run began.
    pub(crate) run_began: Moment,
    /// The size that a client's terminal has, for a terminal that does not exist yet.
    pub(crate) window: Option<WindowSize>,
    pub(crate) stop: Stop,
    /// How the first process ended, until that is dealt with.
    pub(crate) ended: Option<i32>,
    /// Whether the kernel killed one of the last run's processes for lack of memory.
    pub(crate) oom_killed: bool,
    /// Readable after SIGTERM.
    pub(crate) term: UnixStream,
    /// When the memory that only the start needed is given back.
    pub(crate) trim_at: Option<Moment>,
    /// Executed anew since the start: without the memory that it took.
    pub(crate) small: bool,
    chunk: Vec<u8>,
}

/// The container's first process.
#[derive(Debug)]
pub(crate) struct Init {
    pub(crate) process: ProcessRef,
    pub(crate) pidfd: OwnedFd,
}

/// What keeps the container's network alive.
#[derive(Debug, Default)]
pub(crate) struct Network {
    /// Its end is the gateway's death notice.
    pub(crate) gateway: Option<OwnedFd>,
    pub(crate) router_netns: Option<OwnedFd>,
    pub(crate) netns: Option<OwnedFd>,
    /// When to try again to reach a gateway that died.
    pub(crate) retry: Option<Moment>,
}

/// Whether the container is to end, and on whose word.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Stop {
    /// No restart after this run.
    pub(crate) asked: bool,
    /// A user's word, not the machine's shutting down.
    pub(crate) by_user: bool,
    /// When patience ends.
    pub(crate) kill_at: Option<Moment>,
}

#[derive(Debug, Clone, Copy)]
enum Source {
    Listener,
    Term,
    Init,
    Gateway,
    Console(End),
    Peer(usize),
    Health,
    Log,
}

/// What must be known to make a supervisor; the rest begins empty.
#[derive(Debug)]
pub(crate) struct Beginning {
    pub(crate) run_base: PathBuf,
    pub(crate) plan: Box<ContainerPlan>,
    pub(crate) lock: OwnedFd,
    pub(crate) listener: UnixListener,
    pub(crate) console: Console,
    pub(crate) state: RunState,
}

impl Supervisor {
    pub(crate) fn new(beginning: Beginning) -> io::Result<Self> {
        let (term, notify) = UnixStream::pair()?;
        term.set_nonblocking(true)?;
        signal_hook::low_level::pipe::register(signal_hook::consts::SIGTERM, notify)?;
        Ok(Self {
            run_base: beginning.run_base,
            plan: beginning.plan,
            lock: beginning.lock,
            listener: beginning.listener,
            console: beginning.console,
            init: None,
            network: Network::default(),
            state: beginning.state,
            peers: Vec::new(),
            next_peer: 0,
            replay: Replay::default(),
            log: None,
            health: None,
            restarts: Restarts::default(),
            run_began: clock::now(),
            window: None,
            stop: Stop::default(),
            ended: None,
            oom_killed: false,
            term,
            trim_at: None,
            small: false,
            chunk: vec![0; CHUNK],
        })
    }

    /// Waits for something to happen, at most until the deadline, and deals with it.
    pub(crate) fn turn(&mut self, deadline: Option<Moment>) {
        let deadlines = [
            deadline,
            self.stop.kill_at,
            self.network.retry,
            self.trim_at,
            self.health.as_ref().and_then(health::Checker::deadline),
            self.log.as_ref().and_then(LogWriter::deadline),
        ];
        let deadline = deadlines.into_iter().flatten().min();
        match self.wait(deadline) {
            Ok(ready) => ready
                .into_iter()
                .for_each(|(s, flags)| self.on_ready(s, flags)),
            // Only for lack of kernel memory; it may come back.
            Err(_) => std::thread::sleep(Duration::from_millis(10)),
        }
        self.reap();
        self.on_time();
        self.drop_gone_peers();
    }

    fn wait(&self, deadline: Option<Moment>) -> io::Result<Vec<(Source, PollFlags)>> {
        let mut sources = vec![Source::Listener, Source::Term];
        let mut fds = vec![
            PollFd::new(&self.listener, PollFlags::IN),
            PollFd::new(&self.term, PollFlags::IN),
        ];
        let mut add = |source, fd, flags| {
            sources.push(source);
            fds.push(PollFd::from_borrowed_fd(fd, flags));
        };
        if let Some(init) = &self.init {
            add(Source::Init, init.pidfd.as_fd(), PollFlags::IN);
        }
        if let Some(gateway) = &self.network.gateway {
            add(Source::Gateway, gateway.as_fd(), PollFlags::IN);
        }
        for fd in self.health.iter().flat_map(health::Checker::poll_fds) {
            add(Source::Health, fd, PollFlags::IN);
        }
        if let Some(fd) = self.log.as_ref().and_then(LogWriter::poll_fd) {
            add(Source::Log, fd, PollFlags::IN);
        }
        for (end, fd, flags) in self.console.interests(self.is_held()) {
            add(Source::Console(end), fd, flags);
        }
        for (at, peer) in self.peers.iter().enumerate() {
            let out = match peer.queued() {
                0 => PollFlags::empty(),
                _ => PollFlags::OUT,
            };
            add(Source::Peer(at), peer.as_fd(), PollFlags::IN | out);
        }
        match rustix::event::poll(&mut fds, clock::until(deadline).as_ref()) {
            Ok(_) => {}
            Err(Errno::INTR) => return Ok(Vec::new()),
            Err(e) => return Err(e.into()),
        }
        let flags = fds.iter().map(PollFd::revents);
        let ready = sources
            .into_iter()
            .zip(flags)
            .filter(|(_, f)| !f.is_empty());
        Ok(ready.collect())
    }

    fn on_ready(&mut self, source: Source, flags: PollFlags) {
        match source {
            Source::Listener => self.accept(),
            Source::Term => {
                let _ = self.term.read(&mut [0; 16]);
                self.begin_stop(None, None, false);
            }
            // Reaping finds out.
            Source::Init => {}
            // What it has to say is looked at each turn.
            Source::Log => {
                if let Some(log) = &self.log {
                    log.on_ready();
                }
            }
            Source::Gateway => self.on_gateway_death(),
            Source::Health => {
                if let Some(health) = &mut self.health {
                    health.read_output();
                }
            }
            Source::Console(End::Input) => {
                let taken = self.console.write_input();
                self.confirm(taken);
            }
            Source::Console(End::Output(stream)) => {
                self.on_output(stream);
            }
            Source::Peer(at) => {
                if flags.contains(PollFlags::OUT) {
                    self.peers[at].flush();
                }
                if flags.intersects(PollFlags::IN | PollFlags::HUP | PollFlags::ERR) {
                    self.peers[at].read(&mut self.chunk);
                    self.take_requests(at);
                }
            }
        }
    }

    fn accept(&mut self) {
        while let Ok((socket, _)) = self.listener.accept() {
            self.add_peer(socket, false);
        }
    }

    /// Takes a client in.
    pub(crate) fn add_peer(&mut self, socket: UnixStream, launcher: bool) {
        let number = self.next_peer;
        self.next_peer += 1;
        // A socket that cannot be made non-blocking is closed: its client sees that.
        if let Ok(mut peer) = Peer::new(number, socket) {
            peer.launcher = launcher;
            self.peers.push(peer);
        }
    }

    /// Carries out what a client has asked so far.
    fn take_requests(&mut self, at: usize) {
        loop {
            match self.peers[at].take() {
                Ok(Some(request)) => self.carry_out(at, request),
                Ok(None) => return,
                Err(e) => {
                    self.peers[at].reply(&Reply::Refused(e.to_string()));
                    self.peers[at].gone = true;
                    return;
                }
            }
        }
    }

    fn carry_out(&mut self, at: usize, request: Request) {
        match request {
            Request::Attach(attach) => {
                let replay = self.replay.last(attach.replay as usize);
                let peer = &mut self.peers[at];
                peer.attached = Some(attach);
                if !replay.is_empty() {
                    peer.output(Stream::Stdout, &replay, false);
                }
                if let Some(size) = attach.size {
                    self.window = Some(size);
                    self.console.redraw(size);
                }
            }
            Request::Input(bytes) => {
                let peer = &self.peers[at];
                let taken = match peer.attached {
                    Some(attach) if attach.input => self.console.push_input(peer.number, bytes),
                    _ => vec![(peer.number, bytes.len() as u32)],
                };
                self.confirm(taken);
            }
            Request::CloseInput => {
                let taken = self.console.close_input();
                self.confirm(taken);
            }
            Request::Resize(size) => {
                self.window = Some(size);
                self.console.resize(size);
            }
            Request::Signal(signal) => {
                let reply = self.signal(signal);
                self.peers[at].reply(&reply);
            }
            Request::Stop { signal, grace_ms } => {
                self.begin_stop(signal, grace_ms, true);
                self.peers[at].reply(&Reply::Accepted);
            }
            Request::Status => self.reply_status(at),
            Request::Watch => {
                self.peers[at].watches = true;
                self.reply_status(at);
            }
            Request::Wait => self.peers[at].waits = true,
            Request::Detach => {
                self.peers[at].detached = true;
                self.peers[at].gone = true;
            }
            Request::Exec(_) => {
                let why = "a supervisor does not execute; start a session".to_owned();
                self.peers[at].reply(&Reply::Refused(why));
            }
        }
    }

    fn reply_status(&mut self, at: usize) {
        let status = Reply::Status(Box::new(self.state.clone()));
        self.peers[at].reply(&status);
    }

    fn confirm(&mut self, taken: Taken) {
        for (number, count) in taken {
            if let Some(peer) = self.peers.iter_mut().find(|p| p.number == number) {
                peer.reply(&Reply::InputTaken(count));
            }
        }
    }

    /// Whether the output waits: for a disk that is slow, though not for a stuck one, or
    /// for a client that wants every byte. Only a single one may hold it: none blocks
    /// another.
    fn is_held(&self) -> bool {
        if self.log.as_ref().is_some_and(LogWriter::is_full) {
            return true;
        }
        let mut attached = self.peers.iter().filter(|p| p.attached.is_some());
        match (attached.next(), attached.next()) {
            (Some(peer), None) => peer.is_lossless() && peer.is_full(),
            _ => false,
        }
    }

    /// Moves output once; false when there was none.
    pub(crate) fn on_output(&mut self, stream: Stream) -> bool {
        let count = match self.console.read(stream, &mut self.chunk) {
            Read::Bytes(count) => count,
            Read::Nothing | Read::End => return false,
        };
        let bytes = &self.chunk[..count];
        if let Some(log) = &mut self.log {
            log.output(stream, bytes);
        }
        self.replay.push(bytes);
        let attached = self.peers.iter().filter(|p| p.attached.is_some()).count();
        if attached == 0 {
            self.console.answer_for_nobody(bytes);
        }
        for peer in self.peers.iter_mut().filter(|p| p.attached.is_some()) {
            // After the end there is no more than the pipes held: nothing is skipped.
            let may_skip = self.ended.is_none() && !(attached == 1 && peer.is_lossless());
            peer.output(stream, bytes, may_skip);
        }
        true
    }

    /// An event of the container, for the journal.
    pub(crate) fn event(&self, action: &str) -> journal::Entry {
        journal::container(&self.plan, action)
    }

    /// Writes an event down.
    pub(crate) fn tell(&self, entry: journal::Entry) {
        journal::append(&self.run_base, &entry);
    }

    /// Tells of each network that the container has joined or left.
    pub(crate) fn tell_networks(&self, action: &str) {
        let ready = self.state.network.iter();
        for link in ready.flat_map(|ready| &ready.links) {
            let entry = journal::Entry::now("network", action, &link.network)
                .with("name", link.network.as_str())
                .with("type", "bridge")
                .with("container", self.plan.id.as_str());
            self.tell(entry);
        }
    }

    /// Sends a signal to the first process.
    fn signal(&mut self, signal: i32) -> Reply {
        if signal == KILL || signal == self.plan.stop.signal {
            self.stop.asked = true;
            self.stop.by_user = true;
        }
        let Some(init) = &self.init else {
            return match self.stop.asked {
                true => Reply::Accepted,
                false => Reply::Refused(format!("container {} is not running", self.plan.name)),
            };
        };
        self.tell(self.event("kill").with("signal", signal.to_string()));
        match sys::process::pidfd_signal(&init.pidfd, signal) {
            Ok(_) => Reply::Accepted,
            Err(e) => Reply::Refused(match &e.source {
                source if source.raw_os_error().is_some() => format!("{e}: {source}"),
                _ => e.to_string(),
            }),
        }
    }

    /// Asks the first process to end, and sets the time at which it is not asked any more.
    pub(crate) fn begin_stop(&mut self, signal: Option<i32>, grace_ms: Option<u64>, user: bool) {
        self.stop.asked = true;
        self.stop.by_user |= user;
        let grace = Duration::from_millis(grace_ms.unwrap_or(self.plan.stop.grace_ms));
        let kill_at = clock::now() + grace;
        // A second, more patient stop does not take the first one's word back.
        self.stop.kill_at = Some(self.stop.kill_at.map_or(kill_at, |at| at.min(kill_at)));
        if let Some(init) = &self.init {
            let signal = signal.unwrap_or(self.plan.stop.signal);
            self.tell(self.event("kill").with("signal", signal.to_string()));
            let sent = sys::process::pidfd_signal(&init.pidfd, signal);
            if signal == KILL && sent.is_ok() {
                // There is nothing stronger to come.
                self.stop.kill_at = None;
            }
        }
    }

    /// Takes the exit codes of all children that have ended, also of strangers that were
    /// left to us.
    fn reap(&mut self) {
        while let Ok(Some((pid, status))) = rustix::process::wait(WaitOptions::NOHANG) {
            let pid = pid.as_raw_nonzero().get();
            let code = exit_code(status);
            if self.init.as_ref().is_some_and(|i| i.process.pid == pid) {
                self.ended = Some(code);
            } else if let Some(health) = &mut self.health
                && health.on_exit(pid, code)
            {
                let was = self.state.health.as_ref().map(|h| h.status);
                let state = health.state();
                let is = state.status;
                self.state.health = Some(state);
                self.publish();
                if was != Some(is) {
                    self.tell(self.event(&format!("health_status: {}", is.as_str())));
                }
            }
        }
    }

    fn on_time(&mut self) {
        let now = clock::now();
        if self.stop.kill_at.is_some_and(|at| at <= now) {
            self.stop.kill_at = None;
            if let Some(init) = &self.init {
                self.tell(self.event("kill").with("signal", KILL.to_string()));
                let _ = sys::process::pidfd_signal(&init.pidfd, KILL);
            }
        }
        if self.trim_at.is_some_and(|at| at <= now) {
            self.trim_at = None;
            // Only memory is at stake.
            let _ = sys::process::release_program_pages();
        }
        if self.network.retry.is_some_and(|at| at <= now) {
            self.on_gateway_death();
        }
        if let Some(log) = &mut self.log {
            log.on_time(now);
        }
        if let (Some(health), Some(init)) = (&mut self.health, &self.init) {
            health.on_time(now, &self.plan, init.process, &self.state.boot_id);
        }
    }

    /// Publishes a changed state: to disk, and to whoever watches.
    pub(crate) fn publish(&mut self) {
        // A full runtime file system must not end the container; watchers still hear.
        let _ = record::write_state(&self.plan.paths.run_dir, &self.state);
        let status = Reply::Status(Box::new(self.state.clone()));
        for peer in self.peers.iter_mut().filter(|p| p.watches) {
            peer.reply(&status);
        }
    }

    fn drop_gone_peers(&mut self) {
        let mut close = false;
        self.peers.retain(|peer| {
            let once = peer.attached.is_some_and(|a| a.input_once);
            close |= peer.gone && !peer.detached && once;
            !peer.gone
        });
        if close {
            let taken = self.console.close_input();
            self.confirm(taken);
        }
    }

    /// The gateway ended: its successor is asked to adopt what exists, until it answers.
    fn on_gateway_death(&mut self) {
        self.network.gateway = None;
        self.network.retry = None;
        let ready = self.state.network.as_ref();
        if !super::gateway::reconnect(&self.plan, ready, &mut self.network, &self.run_base) {
            self.network.retry = Some(clock::now() + super::gateway::PAUSE);
        }
    }

    /// Takes the socket's name away, so that nobody connects any more.
    pub(crate) fn close_socket(&self) {
        socket::remove(&self.plan.paths.run_dir);
    }
}

/// Exit status, or 128 + the signal's number.
pub(crate) fn exit_code(status: WaitStatus) -> i32 {
    match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => code,
        (None, Some(signal)) => 128 + signal,
        (None, None) => 255,
    }
}
