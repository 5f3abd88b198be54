//! An exec session: one process executed in a running container, with whoever asked.
//!
//! [`exec`] starts `shim __exec RUN_BASE PLAN` with a socket as standard input. That
//! process is the parent of the executed one, holds its terminal or pipes, and owns its
//! exit code. It outlives its client: a lost connection ends nothing.

use std::ffi::OsString;
use std::io::{self, Read as _};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use model::ContainerPlan;
use model::container::{ProcessPlan, RunState};
use rustix::event::{PollFd, PollFlags};
use rustix::io::Errno;
use rustix::process::{Pid, WaitOptions};
use sys::process::Fork;

use crate::attach::Client;
use crate::exec::{self, Child, ExecTarget};
use crate::frames::{Decoder, ExecRequest, Failure, Reply, Request, Stream};
use crate::journal::{self, Entry};
use crate::supervise::clock::{self, Moment};
use crate::supervise::console::{Console, End, Read, Taken};
use crate::supervise::core::exit_code;
use crate::supervise::peer::Peer;
use crate::supervise::{SpawnError, life, read_state};
use crate::userns;

/// The hidden entry of our program that is a session.
pub const ENTRY: &str = "__exec";

const CHUNK: usize = 64 * 1024;
/// How long the end waits for output that a child left behind still holds open, and how
/// much of it is taken.
const SILENCE: Duration = Duration::from_millis(50);
const LAST_WORDS: usize = 1 << 20;
/// How long a client that takes its last output slowly keeps the session.
const LINGER: Duration = Duration::from_secs(600);

/// Starts a session in the container whose supervisor's state this is. The client is
/// told by [`Client::started`] how that went; unless `detached`, it attaches first.
pub fn exec(
    run_base: &Path,
    plan: &Path,
    state: &RunState,
    process: ProcessPlan,
    detached: bool,
) -> Result<Client, SpawnError> {
    let (ours, theirs) = UnixStream::pair().map_err(|source| SpawnError::Spawn {
        plan: plan.to_owned(),
        source,
    })?;
    // The supervisor runs from a copy that no container can write to: so can we.
    let copy = PathBuf::from(format!("/proc/{}/exe", state.supervisor.pid));
    let theirs = OwnedFd::from(theirs);
    if spawn(&copy, run_base, plan, &theirs).is_err() {
        let program = crate::own_exe::protect()?;
        spawn(&program.path(), run_base, plan, &theirs).map_err(|source| SpawnError::Spawn {
            plan: plan.to_owned(),
            source,
        })?;
    }
    drop(theirs);
    let mut client = Client::from_socket(ours);
    let request = ExecRequest { process, detached };
    // If it is gone already, the first answer that is waited for says so.
    let _ = client.send(&Request::Exec(Box::new(request)));
    Ok(client)
}

fn spawn(program: &Path, run_base: &Path, plan: &Path, socket: &OwnedFd) -> io::Result<()> {
    let mut child = Command::new(program)
        .arg(ENTRY)
        .arg(run_base)
        .arg(plan)
        .env_clear()
        .current_dir("/")
        .stdin(socket.try_clone()?)
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()?;
    // Its first half ends at once.
    child.wait().map(drop)
}

/// `shim __exec RUN_BASE PLAN`. Standard input is the socket. Returns the exit code.
pub fn main(args: &[OsString]) -> i32 {
    let [run_base, plan] = args else {
        return 125;
    };
    let Ok(socket) = life::take_launcher() else {
        return 125;
    };
    match sys::process::fork() {
        Ok(Fork::Parent(_)) => sys::process::exit_now(0),
        Ok(Fork::Child) => {}
        Err(_) => return 125,
    }
    let _ = rustix::process::setsid();
    let code = hold(socket, Path::new(run_base), Path::new(plan));
    userns::leave(Path::new(run_base));
    code
}

/// One session from its request to its end.
fn hold(socket: UnixStream, run_base: &Path, plan: &Path) -> i32 {
    let mut session = match Session::begin(socket, run_base, plan) {
        Ok(session) => session,
        Err(code) => return code,
    };
    let code = session.serve();
    if let Some(told) = &session.told {
        let mut died = told.clone();
        died.action = "exec_die".into();
        died.time = crate::supervise::record::now();
        journal::append(run_base, &died.with("exitCode", code.to_string()));
    }
    session.peer.reply(&Reply::Exit(code));
    life::linger(
        std::slice::from_mut(&mut session.peer),
        clock::now() + LINGER,
    );
    0
}

struct Session {
    /// What the journal says of it, without a verb.
    told: Option<Entry>,
    child: Child,
    console: Console,
    peer: Peer,
    detached: bool,
    chunk: Vec<u8>,
    /// Output taken; after the end, since then.
    late: usize,
}

impl Session {
    /// Starts what the client asks for; a failure is told and comes back as a code.
    fn begin(mut socket: UnixStream, run_base: &Path, plan: &Path) -> Result<Self, i32> {
        let (request, rest) = first_request(&mut socket).map_err(|_| 125)?;
        let mut peer = Peer::with_unread(socket, rest).map_err(|_| 125)?;
        match start(run_base, plan, &request.process) {
            Ok((child, console)) => {
                peer.reply(&Reply::Started);
                let told = told_of(plan, &request.process);
                if let Some((created, started)) = &told {
                    journal::append(run_base, created);
                    journal::append(run_base, started);
                }
                Ok(Self {
                    told: told.map(|(_, started)| started),
                    child,
                    console,
                    peer,
                    detached: request.detached,
                    chunk: vec![0; CHUNK],
                    late: 0,
                })
            }
            Err(failure) => {
                let code = failure.code;
                peer.reply(&Reply::Failed(failure));
                Err(code)
            }
        }
    }

    /// Moves bytes until the process has ended and its output is taken.
    fn serve(&mut self) -> i32 {
        self.take_requests();
        let code = loop {
            self.turn(None);
            if let Some(code) = self.exit_code() {
                break code;
            }
        };
        self.late = 0;
        while !self.console.is_at_end() && self.late < LAST_WORDS {
            let before = self.late;
            let held = self.is_held();
            self.turn(Some(clock::now() + SILENCE));
            if self.late == before && !held && !self.is_held() {
                break;
            }
        }
        code
    }

    fn exit_code(&mut self) -> Option<i32> {
        let pid = Pid::from_raw(self.child.pid).expect("a child's number is not zero");
        match rustix::process::waitpid(Some(pid), WaitOptions::NOHANG) {
            Ok(Some((_, status))) => Some(exit_code(status)),
            Ok(None) | Err(Errno::INTR) => None,
            Err(_) => Some(255),
        }
    }

    /// Output waits for a client that is slow, or not attached yet.
    fn is_held(&self) -> bool {
        !self.peer.gone && !self.detached && (self.peer.attached.is_none() || self.peer.is_full())
    }

    fn turn(&mut self, deadline: Option<Moment>) {
        let mut fds = vec![PollFd::new(&self.child.pidfd, PollFlags::IN)];
        if !self.peer.gone {
            let out = match self.peer.queued() {
                0 => PollFlags::empty(),
                _ => PollFlags::OUT,
            };
            fds.push(PollFd::from_borrowed_fd(
                self.peer.as_fd(),
                PollFlags::IN | out,
            ));
        }
        let first_end = fds.len();
        let mut ends = Vec::new();
        for (end, fd, flags) in self.console.interests(self.is_held()) {
            ends.push(end);
            fds.push(PollFd::from_borrowed_fd(fd, flags));
        }
        let skip = usize::from(deadline.is_some());
        // After the end its pidfd is always readable, and says nothing new.
        if rustix::event::poll(&mut fds[skip..], clock::until(deadline).as_ref()).is_err() {
            return;
        }
        let peer_ready = first_end == 2 && !fds[1].revents().is_empty();
        let ready: Vec<End> = ends
            .into_iter()
            .zip(&fds[first_end..])
            .filter(|(_, fd)| !fd.revents().is_empty())
            .map(|(end, _)| end)
            .collect();
        drop(fds);
        if peer_ready {
            self.peer.flush();
            self.peer.read(&mut self.chunk);
            self.take_requests();
        }
        for end in ready {
            match end {
                End::Input => {
                    let taken = self.console.write_input();
                    self.confirm(taken);
                }
                End::Output(stream) => self.on_output(stream),
            }
        }
    }

    fn on_output(&mut self, stream: Stream) {
        if let Read::Bytes(count) = self.console.read(stream, &mut self.chunk) {
            self.late += count;
            if self.peer.attached.is_some() && !self.peer.gone {
                self.peer.output(stream, &self.chunk[..count], false);
            } else {
                self.console.answer_for_nobody(&self.chunk[..count]);
            }
        }
    }

    fn take_requests(&mut self) {
        while let Ok(Some(request)) = self.peer.take() {
            self.carry_out(request);
        }
        let once = self.peer.attached.is_some_and(|a| a.input_once);
        if self.peer.gone && once {
            let _ = self.console.close_input();
        }
    }

    fn carry_out(&mut self, request: Request) {
        match request {
            Request::Attach(attach) => {
                self.peer.attached = Some(attach);
                if let Some(size) = attach.size {
                    self.console.resize(size);
                }
            }
            Request::Input(bytes) => {
                let taken = self.console.push_input(self.peer.number, bytes);
                self.confirm(taken);
            }
            Request::CloseInput => {
                let taken = self.console.close_input();
                self.confirm(taken);
            }
            Request::Resize(size) => self.console.resize(size),
            Request::Signal(signal) => {
                let _ = sys::process::pidfd_signal(&self.child.pidfd, signal);
            }
            Request::Detach => {
                self.peer.attached = None;
                self.peer.gone = true;
            }
            Request::Wait => {}
            Request::Stop { .. } | Request::Status | Request::Watch | Request::Exec(_) => {
                let why = "an exec session does not do that".to_owned();
                self.peer.reply(&Reply::Refused(why));
            }
        }
    }

    fn confirm(&mut self, taken: Taken) {
        for (_, count) in taken {
            self.peer.reply(&Reply::InputTaken(count));
        }
    }
}

/// Waits for the request that begins a session; what came after it is handed back.
fn first_request(socket: &mut UnixStream) -> io::Result<(ExecRequest, Vec<u8>)> {
    let mut decoder = Decoder::default();
    let mut chunk = [0; 4096];
    loop {
        match decoder.take().map_err(io::Error::other)? {
            Some(Request::Exec(request)) => return Ok((*request, decoder.pending().to_vec())),
            Some(_) => return Err(io::ErrorKind::InvalidData.into()),
            None => match socket.read(&mut chunk)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                count => decoder.feed(&chunk[..count]),
            },
        }
    }
}

/// The journal's words for a process that is executed: made, and started.
fn told_of(plan: &Path, process: &ProcessPlan) -> Option<(Entry, Entry)> {
    let plan = life::read_plan(plan).ok()?;
    let command = process.argv.join(" ");
    let entry = |verb: &str| {
        journal::container(&plan, &format!("{verb}: {command}"))
            .with("execID", format!("{:064x}", std::process::id()))
    };
    Some((entry("exec_create"), entry("exec_start")))
}

fn start(run_base: &Path, plan: &Path, process: &ProcessPlan) -> Result<(Child, Console), Failure> {
    let plain = |e: &dyn std::error::Error| life::failure(125, e, None);
    userns::enter(run_base).map_err(|e| life::failure(125, &e, e.hint()))?;
    let plan: Box<ContainerPlan> = life::read_plan(plan).map_err(|e| plain(&e))?;
    let state = read_state(&plan.paths.run_dir).map_err(|e| plain(&e))?;
    let Some((state, init)) = state.and_then(|s| s.init.map(|init| (s, init))) else {
        let error = exec::ExecError::NotRunning {
            name: plan.name.clone(),
        };
        return Err(life::failure(error.exit_code(), &error, None));
    };
    let (mut console, stdio) = Console::new(process.tty, process.stdin_open)
        .map_err(|e| plain(&sys::Error::new("make the streams of", &process.argv[0], e)))?;
    let target = ExecTarget {
        init,
        boot_id: &state.boot_id,
        plan: &plan,
    };
    let mut child =
        exec::exec(target, process, stdio).map_err(|e| life::failure(e.exit_code(), &e, None))?;
    if let Some(terminal) = child.terminal.take() {
        // Only a descriptor that is none could fail here.
        let _ = console.set_terminal(terminal);
    }
    Ok((child, console))
}
