//! The stages of a supervisor's life: begin, launch, watch, restart or end.

use std::ffi::{CString, OsString};
use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use model::ContainerPlan;
use model::container::{ExitRecord, LogDriver, NamespaceMode, RestartPolicy, RunPhase, RunState};
use rustix::event::{PollFd, PollFlags};
use rustix::fs::{FlockOperation, Mode, OFlags};
use rustix::io::{Errno, FdFlags};
use rustix::process::{Pid, Signal, WaitOptions};
use sys::process::Fork;

use super::clock::{self, Moment};
use super::console::Console;
use super::core::{Beginning, Init, Network, Supervisor};
use super::peer::Peer;
use super::record::{self, RecordError};
use super::{gateway, handover, socket};
use crate::frames::{Failure, Message, Reply, Stream};
use crate::health::Checker;
use crate::launch::{self, StartError};
use crate::logs::LogWriter;
use crate::{liveness, process, userns};

/// A container that has run this long is worth a smaller supervisor.
const SETTLED: Duration = Duration::from_millis(300);
const KILL: i32 = 9;
/// How deep a tree of orphans is followed.
const ORPHANED_GENERATIONS: u32 = 10_000;
/// How long the end waits for output that somebody else may still hold open.
const SILENCE: Duration = Duration::from_millis(100);
const LAST_WORDS: Duration = Duration::from_secs(5);
/// How long a client that takes its last output slowly keeps the supervisor.
const LINGER: Duration = Duration::from_secs(600);
/// The same, if the container is to be removed after it.
const LINGER_BEFORE_REMOVAL: Duration = Duration::from_secs(10);

/// `shim __supervise RUN_BASE PLAN`. Standard input is the socket of [`super::spawn`].
/// Returns the process's exit code.
pub fn main(args: &[OsString]) -> i32 {
    match args {
        [word, number] if word == handover::RESUME => {
            let number = number.to_str().and_then(|n| n.parse().ok());
            match number.map(handover::resume) {
                Some(Ok(supervisor)) => live(supervisor),
                Some(Err(_)) | None => 125,
            }
        }
        [run_base, plan] => begin(Path::new(run_base), Path::new(plan)),
        _ => 125,
    }
}

/// Why a supervisor could not begin.
#[derive(Debug, thiserror::Error)]
enum BeginError {
    #[error("container {0} is already running")]
    AlreadyRunning(String),
    #[error(transparent)]
    Record(#[from] RecordError),
    #[error(transparent)]
    Sys(#[from] sys::Error),
    #[error(transparent)]
    Userns(#[from] userns::EnterError),
    #[error(transparent)]
    Liveness(#[from] liveness::LivenessError),
}

fn begin(run_base: &Path, plan: &Path) -> i32 {
    let Ok(launcher) = take_launcher() else {
        return 125;
    };
    match sys::process::fork() {
        Ok(Fork::Parent(_)) => sys::process::exit_now(0),
        Ok(Fork::Child) => {}
        Err(_) => return 125,
    }
    match set_up(run_base, plan) {
        Ok(mut supervisor) => {
            supervisor.add_peer(launcher, true);
            live(supervisor)
        }
        Err(e) => {
            let hint = match &e {
                BeginError::Userns(e) => e.hint(),
                _ => None,
            };
            tell(launcher, &Reply::Failed(failure(125, &e, hint)));
            125
        }
    }
}

/// Takes the socket from standard input and puts `/dev/null` there.
pub(crate) fn take_launcher() -> rustix::io::Result<UnixStream> {
    let socket = rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stdin(), 3)?;
    let null = rustix::fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?;
    rustix::stdio::dup2_stdin(&null)?;
    Ok(UnixStream::from(socket))
}

fn tell(mut socket: UnixStream, reply: &Reply) {
    let mut frame = Vec::new();
    reply.encode(&mut frame);
    // Whoever does not listen any more does not need to know.
    let _ = std::io::Write::write_all(&mut socket, &frame);
}

fn set_up(run_base: &Path, plan_path: &Path) -> Result<Supervisor, BeginError> {
    // Its own session: a Ctrl-C at the launcher's terminal is not for us.
    rustix::process::setsid().map_err(|e| sys::Error::new("begin", "a session", e))?;
    // Here and not by whoever executes us: without it the C library spawns us without
    // copying that process's memory map.
    rustix::process::chdir("/").map_err(|e| sys::Error::new("change directory to", "/", e))?;
    userns::enter(run_base)?;
    rustix::process::set_child_subreaper(Some(rustix::process::getpid()))
        .map_err(|e| sys::Error::new("become", "the reaper of orphans", e))?;
    let plan: Box<ContainerPlan> = read_plan(plan_path)?;
    let run_dir = &plan.paths.run_dir;
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(run_dir)
        .map_err(|e| RecordError::new("create", run_dir, e))?;
    let lock = lock(&plan)?;
    liveness::reap_locked(run_dir, &plan.paths.exit)?;
    let _ = std::fs::remove_file(record::lost_path(run_dir));
    let listener =
        socket::listen(run_dir).map_err(|e| RecordError::new("listen in", run_dir, e))?;
    let state = RunState {
        boot_id: process::boot_id()?,
        supervisor: process::this()?,
        init: None,
        phase: RunPhase::Created,
        started_at: String::new(),
        restarts: 0,
        health: None,
        network: None,
    };
    record::write_state(run_dir, &state)?;
    // Root's commands need nobody to join, and would not sweep what a crash leaves.
    if !sys::userns::is_initial()? {
        // Withdrawn by path at the end: the note must survive our executing ourselves.
        std::mem::forget(userns::announce(run_base)?);
    }
    let object = plan.name.clone();
    Supervisor::new(Beginning {
        run_base: run_base.to_owned(),
        plan,
        lock,
        listener,
        console: Console::default(),
        state,
    })
    .map_err(|e| sys::Error::new("set up the supervisor of", object, e).into())
}

pub(crate) fn read_plan(path: &Path) -> Result<Box<ContainerPlan>, RecordError> {
    let bytes = std::fs::read(path).map_err(|e| RecordError::new("read", path, e))?;
    serde_json::from_slice(&bytes)
        .map_err(|e| RecordError::new("read", path, std::io::Error::from(e)))
}

/// Takes the lock. Observers hold it shared for a moment, which is waited out; an
/// exclusive holder is another supervisor.
fn lock(plan: &ContainerPlan) -> Result<OwnedFd, BeginError> {
    let path = record::lock_path(&plan.paths.run_dir);
    let failed = |act| {
        let path = path.clone();
        move |e: std::io::Error| RecordError::new(act, &path, e)
    };
    let mut options = File::options();
    options.read(true).write(true).create(true).truncate(false);
    let file = options.open(&path).map_err(failed("open"))?;
    loop {
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(file.into()),
            Err(Errno::WOULDBLOCK) => {}
            Err(e) => return Err(failed("lock")(e.into()).into()),
        }
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockShared) {
            Ok(()) => rustix::fs::flock(&file, FlockOperation::Unlock)
                .map_err(|e| failed("unlock")(e.into()))?,
            Err(_) => return Err(BeginError::AlreadyRunning(plan.name.clone())),
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// From whatever stage the supervisor is in to its end.
fn live(mut supervisor: Supervisor) -> i32 {
    loop {
        let (code, failed) = if supervisor.init.is_some() {
            let code;
            (supervisor, code) = watch(supervisor);
            (code, None)
        } else if let Err(failure) = launch(&mut supervisor) {
            (failure.code, Some(failure))
        } else {
            continue;
        };
        // A first start that fails is an error; a later one is a run like any other.
        if failed.is_some() && supervisor.restarts.count == 0 {
            return end(supervisor, code, failed);
        }
        match again_after(&mut supervisor, code) {
            Some(at) => {
                wait_for_restart(&mut supervisor, at);
                if supervisor.stop.asked {
                    return end(supervisor, code, None);
                }
                launch::clean_up(&supervisor.plan);
                supervisor.small = false;
            }
            None => return end(supervisor, code, failed),
        }
    }
}

/// Starts the container's first process.
fn launch(supervisor: &mut Supervisor) -> Result<(), Failure> {
    let plan = supervisor.plan.clone();
    let first = supervisor.restarts.count == 0;
    supervisor.run_began = clock::now();
    let (console, stdio) =
        Console::new(plan.process.tty, plan.process.stdin_open).map_err(|e| {
            failure(
                125,
                &sys::Error::new("make the streams of", &plan.name, e),
                None,
            )
        })?;
    supervisor.console = console;
    if !first {
        gateway::ensure(&plan, &supervisor.run_base);
    }
    let prepared = launch::prepare(&plan, stdio).map_err(|e| start_failure(&e))?;
    if plan.wait_for_attach
        && first
        && let Err(failure) = wait_for_client(supervisor)
    {
        abandon(&prepared);
        return Err(failure);
    }
    let started = prepared.start().map_err(|e| start_failure(&e))?;
    let process = process::of(started.pid).map_err(|e| failure(125, &e, None))?;
    supervisor.init = Some(Init {
        process,
        pidfd: started.pidfd,
    });
    if let Some(terminal) = started.terminal {
        // Only a descriptor that is none could fail here.
        let _ = supervisor.console.set_terminal(terminal);
        if let Some(size) = supervisor.window {
            supervisor.console.resize(size);
        }
    }
    supervisor.network = Network {
        gateway: started.gateway,
        router_netns: started.router_netns,
        netns: started.netns,
        retry: None,
    };
    supervisor.state.network = started.ready;
    on_start(supervisor);
    Ok(())
}

/// Ends a first process that never got to its program; it is reaped with us.
fn abandon(prepared: &launch::Prepared) {
    if let Ok(Some(pidfd)) = sys::process::pidfd_open(prepared.pid()) {
        let _ = sys::process::pidfd_signal(&pidfd, KILL);
        let mut fds = [PollFd::new(&pidfd, PollFlags::IN)];
        let _ = rustix::event::poll(&mut fds, Some(&clock::timespec(LAST_WORDS)));
    }
}

fn on_start(supervisor: &mut Supervisor) {
    supervisor.run_began = clock::now();
    let state = &mut supervisor.state;
    state.init = supervisor.init.as_ref().map(|i| i.process);
    state.phase = RunPhase::Running;
    state.started_at = record::now();
    state.restarts = supervisor.restarts.count;
    let check = supervisor.plan.health.clone();
    supervisor.health = check.map(|check| Checker::new(check, supervisor.run_began));
    state.health = supervisor.health.as_ref().map(Checker::state);
    if supervisor.log.is_none() {
        let plan = &supervisor.plan;
        let path = plan.paths.log.as_ref();
        let path = path.filter(|_| plan.logging.driver != LogDriver::None);
        let open = |path: &PathBuf| LogWriter::new(path, &plan.logging, Default::default()).ok();
        supervisor.log = path.and_then(open);
    }
    supervisor.publish();
    supervisor.tell_networks("connect");
    supervisor.tell(supervisor.event("start"));
    for peer in supervisor.peers.iter_mut().filter(|p| p.launcher) {
        peer.reply(&Reply::Started);
        peer.launcher = false;
    }
    if supervisor.restarts.count == 0 {
        let plan = &supervisor.plan;
        let durable = plan.restart != RestartPolicy::No && plan.after_exit.is_none();
        // Without it a power cut makes the container look as if it had never run.
        let _ = record::write_running(&plan.paths.exit, &supervisor.state, durable);
    }
}

/// Waits until a client is attached. Whoever started us and leaves without that, or
/// stops the container, takes the start back.
fn wait_for_client(supervisor: &mut Supervisor) -> Result<(), Failure> {
    let name = supervisor.plan.name.clone();
    let taken_back = |why: &str| Failure {
        code: 125,
        message: format!("the start of container {name} was taken back: {why}"),
        hint: None,
    };
    loop {
        if supervisor.peers.iter().any(|p| p.attached.is_some()) {
            return Ok(());
        }
        if supervisor.stop.asked {
            return Err(taken_back("it was stopped before a client was attached"));
        }
        if !supervisor.peers.iter().any(|p| p.launcher) {
            return Err(taken_back("its client went away"));
        }
        supervisor.turn(None);
    }
}

/// Serves until the first process has ended and all its output has been taken. A
/// container that lives on is watched by a smaller process with the same number.
fn watch(mut supervisor: Supervisor) -> (Supervisor, i32) {
    let mut settles = (!supervisor.small).then(|| supervisor.run_began + SETTLED);
    let code = loop {
        supervisor.turn(settles);
        if let Some(code) = supervisor.ended {
            break code;
        }
        let busy = supervisor.health.as_ref().is_some_and(Checker::is_busy)
            || supervisor.log.as_ref().is_some_and(|log| !log.is_quiet());
        if settles.is_some_and(|at| at <= clock::now()) && !busy {
            settles = None;
            match handover::execute_anew(supervisor) {
                Ok(same) => supervisor = same,
                // Half handed over: there is nothing left to serve with.
                Err(_) => sys::process::exit_now(125),
            }
        }
    };
    if supervisor.plan.isolation.pid != NamespaceMode::Private {
        end_orphans();
    }
    drain(&mut supervisor);
    (supervisor, code)
}

/// Takes the output that is left. The container's processes are gone with its first one,
/// so the pipes are at their end; only a stranger could hold them open.
fn drain(supervisor: &mut Supervisor) {
    let give_up = clock::now() + LAST_WORDS;
    while !supervisor.console.is_at_end() && clock::now() < give_up {
        let out = supervisor.on_output(Stream::Stdout);
        let err = supervisor.on_output(Stream::Stderr);
        if !out && !err && !supervisor.console.is_at_end() {
            let silence = clock::timespec(SILENCE);
            if !supervisor.console.wait_for_output(silence) {
                break;
            }
        }
    }
    if let Some(log) = &mut supervisor.log {
        log.end();
    }
}

/// Clears away what the run left, and says when to start the next one, if at all.
fn again_after(supervisor: &mut Supervisor, code: i32) -> Option<Moment> {
    supervisor.init = None;
    supervisor.ended = None;
    supervisor.console = Console::default();
    supervisor.network = Network::default();
    if let Some(health) = supervisor.health.take() {
        health.abandon();
    }
    supervisor.oom_killed = crate::cgroup::oom_killed(&supervisor.plan.id);
    let now = clock::now();
    let ran = now.saturating_sub(supervisor.run_began);
    tell_of_end(supervisor, code, ran);
    let policy = policy_now(&supervisor.plan);
    let stopped = supervisor.stop.asked;
    supervisor
        .restarts
        .next(policy, code, ran, stopped)
        .map(|delay| now + delay)
}

/// In a pid namespace of its own, a container's processes end with its first one. In
/// another, those that it leaves behind become our children, and are ended here.
fn end_orphans() {
    // Each that ends may leave children of its own.
    for _ in 0..ORPHANED_GENERATIONS {
        let children = sys::process::read_proc("thread-self/children").unwrap_or_default();
        let mut children = children
            .split_ascii_whitespace()
            .filter_map(|number| number.parse().ok())
            .filter_map(Pid::from_raw)
            .filter(|child| !is_ours(*child))
            .peekable();
        if children.peek().is_none() {
            return;
        }
        for child in children {
            // Not yet reaped, so the number is still theirs.
            let _ = rustix::process::kill_process(child, Signal::KILL);
            let _ = rustix::process::waitpid(Some(child), WaitOptions::empty());
        }
    }
}

/// A gateway that we started is our child as well. Our own program is on no path inside.
fn is_ours(child: Pid) -> bool {
    use std::os::unix::fs::MetadataExt;
    let file = |path: &str| {
        std::fs::metadata(path)
            .map(|file| (file.dev(), file.ino()))
            .ok()
    };
    let ours = file("/proc/self/exe");
    ours.is_some() && ours == file(&format!("/proc/{}/exe", child.as_raw_pid()))
}

/// A run's end in the journal; one that never began has none.
fn tell_of_end(supervisor: &mut Supervisor, code: i32, ran: Moment) {
    if supervisor.state.started_at.is_empty() {
        return;
    }
    if supervisor.oom_killed {
        supervisor.tell(supervisor.event("oom"));
    }
    let died = supervisor.event("die").with("exitCode", code.to_string());
    supervisor.tell(died.with("execDuration", ran.as_secs().to_string()));
    supervisor.tell_networks("disconnect");
    if supervisor.stop.by_user {
        supervisor.tell(supervisor.event("stop"));
    }
}

/// The restart policy as `update` may have changed it since the start.
fn policy_now(plan: &ContainerPlan) -> model::RestartPolicy {
    let written = plan.paths.exit.parent().map(|dir| dir.join("config.json"));
    let read = written.and_then(|path| read_plan(&path).ok());
    read.filter(|read| read.id == plan.id)
        .map_or(plan.restart, |read| read.restart)
}

fn wait_for_restart(supervisor: &mut Supervisor, at: Moment) {
    supervisor.state.phase = RunPhase::Restarting;
    supervisor.state.init = None;
    supervisor.state.restarts = supervisor.restarts.count;
    supervisor.publish();
    while clock::now() < at && !supervisor.stop.asked {
        supervisor.turn(Some(at));
    }
}

/// Records the end, tells everybody, and becomes what comes after.
fn end(mut supervisor: Supervisor, code: i32, failure: Option<Failure>) -> i32 {
    let paths = supervisor.plan.paths.clone();
    let exit = ExitRecord {
        code,
        oom_killed: supervisor.oom_killed,
        error: failure.as_ref().map(|f| f.message.clone()),
        started_at: match std::mem::take(&mut supervisor.state.started_at) {
            // As docker has it, one that has run before has ended, not only been made.
            never if never.is_empty() => record::read_exit(&paths.exit)
                .ok()
                .flatten()
                .map_or(never, |before| before.started_at),
            started => started,
        },
        finished_at: record::now(),
        stopped_by_user: supervisor.stop.by_user,
        lost: false,
        restarts: supervisor.state.restarts,
    };
    let file = record::write_exit(&paths.exit, &exit);
    let _ = std::fs::remove_file(record::running_path(&paths.exit));
    supervisor.close_socket();
    // The order matters: a state without lock means a crash.
    let _ = std::fs::remove_file(record::state_path(&paths.run_dir));
    userns::leave(&supervisor.run_base);
    let news = match failure {
        Some(failure) => Reply::Failed(failure),
        None => Reply::Exit(code),
    };
    let after = supervisor.plan.after_exit.take();
    let undertaken = supervisor.peers.iter().any(Peer::removes);
    if after.is_none() {
        // Before somebody starts it again: the next run's cgroup has the same name.
        launch::clean_up(&supervisor.plan);
    }
    if after.is_none() || undertaken {
        // Whoever is told of the end may remove or restart the container at once.
        drop(supervisor.lock);
    }
    supervisor
        .peers
        .iter_mut()
        .for_each(|peer| peer.reply(&news));
    if after.is_some() {
        launch::clean_up(&supervisor.plan);
    }
    if let (Ok(file), None) = (&file, &after) {
        // A container that is removed at once needs no record that survives a power cut.
        let _ = record::sync(&paths.exit, file);
    }
    let patience = match after {
        Some(_) => LINGER_BEFORE_REMOVAL,
        None => LINGER,
    };
    let until = clock::now() + patience;
    linger(&mut supervisor.peers, until);
    if let Some(words) = after {
        wait_for_removers(&supervisor.peers, until);
        become_what_follows(words, &supervisor.peers);
    }
    code
}

/// Clients that remove the container themselves are faster at it. What comes after us
/// does what they left, if they were killed, and empties the trash.
fn wait_for_removers(peers: &[Peer], until: Moment) {
    for peer in peers.iter().filter(|peer| peer.removes()) {
        // Nothing but the end of the connection is asked for.
        let mut fds = [PollFd::from_borrowed_fd(peer.as_fd(), PollFlags::empty())];
        let _ = rustix::event::poll(&mut fds, clock::until(Some(until)).as_ref());
    }
}

/// Lets slow clients take their last output.
pub(crate) fn linger(peers: &mut [Peer], until: Moment) {
    loop {
        peers.iter_mut().for_each(Peer::flush);
        let slow = peers.iter().filter(|p| !p.gone && p.queued() > 0);
        let mut fds: Vec<_> = slow
            .map(|p| PollFd::from_borrowed_fd(p.as_fd(), PollFlags::OUT))
            .collect();
        if fds.is_empty() || clock::now() >= until {
            return;
        }
        let _ = rustix::event::poll(&mut fds, clock::until(Some(until)).as_ref());
    }
}

/// Executes another entry of our program in our place. The clients' connections stay open
/// until it ends, so that they can wait for that.
fn become_what_follows(words: Vec<String>, peers: &[Peer]) {
    for peer in peers {
        let _ = rustix::io::fcntl_setfd(peer.as_fd(), FdFlags::empty());
    }
    let words = std::iter::once("shim".to_owned()).chain(words);
    if let Ok(argv) = words.map(CString::new).collect::<Result<Vec<_>, _>>() {
        let _ = sys::process::execve(c"/proc/self/exe", &argv, &[]);
    }
}

fn start_failure(error: &StartError) -> Failure {
    failure(error.exit_code(), error, error.hint())
}

/// An error as one sentence with its causes.
pub(crate) fn failure(code: i32, error: &dyn std::error::Error, hint: Option<String>) -> Failure {
    let mut message = error.to_string();
    let mut cause = error.source();
    while let Some(source) = cause {
        message = format!("{message}: {source}");
        cause = source.source();
    }
    Failure {
        code,
        message,
        hint,
    }
}
