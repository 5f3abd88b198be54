//! Another process in a running container: join its namespaces, fork, confine, execute.

use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use model::ContainerPlan;
use model::container::{IpcMode, NamespaceMode, NetworkMode, ProcessPlan, ProcessRef};
use rustix::fs::OFlags;
use rustix::process::{Pid, WaitOptions};
use sys::ns::Kind;
use sys::process::{Birth, Fork};

use crate::cgroup::Place;
use crate::confine::{ConfineError, Confinement};
use crate::identity::{self, User};
use crate::program::{Failure, Program};
use crate::rootfs::Root;
use crate::stdio::{Stdio, Streams};
use crate::userns::nested::Nested;

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
    /// It could not be brought into the container.
    #[error("cannot execute in the container: {message}")]
    Failed {
        /// What failed.
        message: String,
    },
    /// A capability that no kernel knows.
    #[error(transparent)]
    Capability(#[from] ConfineError),
    /// The user has no id inside.
    #[error(transparent)]
    Ids(#[from] crate::userns::nested::NestedError),
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
            Self::Failed { .. } | Self::User(_) | Self::Ids(_) => 126,
            _ => 125,
        }
    }
}

/// Executes a process. The caller must have one thread and be inside the right user
/// namespace. The process dies with the caller.
pub fn exec(
    target: ExecTarget<'_>,
    process: &ProcessPlan,
    stdio: Stdio,
) -> Result<Child, ExecError> {
    let not_running = || ExecError::NotRunning {
        name: target.plan.name.clone(),
    };
    let pidfd = crate::process::open(target.init, target.boot_id)?.ok_or_else(not_running)?;
    let root = Root::of_process(target.init.pid).map_err(|_| not_running())?;
    let mut user = identity::resolve(&root, &process.user)?;
    identity::add_groups(&root, &mut user, &process.groups)?;
    let ours = sys::caps::permitted()?;
    let confinement = Confinement::new(process, &target.plan.seccomp, user.uid, ours)?;
    let program = Program::new(process, &user.home)?;
    let nested = Nested::of_running(target.plan, target.init, &user)?;
    let owner = Nested::outside(nested.as_ref(), user.uid);
    let mut streams = Streams::new(stdio, || new_terminal(&root), owner)?;
    let (listener, report) = pipe()?;
    let entry = Entry {
        place: crate::cgroup::place_of(target.init.pid, &target.plan.id)?,
        pidfd,
        kinds: not_of_host(target.plan),
        process: process.clone(),
        apparmor: target.plan.isolation.apparmor.clone(),
        user,
        nested,
        confinement,
        program,
        report,
    };
    let pid = entry.fork(&streams)?;
    // Only the process holds the streams now.
    drop(entry);
    let terminal = streams.terminal.take();
    drop(streams);
    let failure = Failure::receive(listener);
    match (pid, failure) {
        (Some(pid), None) => child(pid, terminal),
        (pid, failure) => {
            pid.into_iter().for_each(reap);
            Err(match failure {
                Some(Failure::Program(error)) => error.into(),
                Some(Failure::Other(message)) => ExecError::Failed { message },
                None => ended_at_once(),
            })
        }
    }
}

fn child(pid: i32, terminal: Option<OwnedFd>) -> Result<Child, ExecError> {
    // Our own child: its number is ours until we have reaped it.
    let pidfd = sys::process::pidfd_open(pid)?.ok_or_else(ended_at_once)?;
    Ok(Child {
        pid,
        pidfd,
        terminal,
    })
}

fn ended_at_once() -> ExecError {
    ExecError::Failed {
        message: "the new process ended at once".into(),
    }
}

/// A terminal from the container's own `/dev/pts`, if that is one.
fn new_terminal(root: &Root) -> sys::Result<(OwnedFd, OwnedFd)> {
    const DEVPTS: u64 = 0x1cd1;
    let fail = |errno| sys::Error::new("open", "the container's /dev/pts", errno);
    let flags = OFlags::PATH | OFlags::DIRECTORY;
    let devpts = root.open(Path::new("dev/pts"), flags).map_err(fail)?;
    let kind = rustix::fs::fstatfs(&devpts).map_err(fail)?.f_type;
    match u64::try_from(kind) {
        Ok(DEVPTS) => crate::rootfs::open_terminal(devpts.as_fd()),
        _ => Err(fail(rustix::io::Errno::NOTTY)),
    }
}

fn pipe() -> sys::Result<(OwnedFd, OwnedFd)> {
    rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)
        .map_err(|errno| sys::Error::new("make", "a pipe", errno))
}

fn reap(pid: i32) {
    let pid = Pid::from_raw(pid);
    let _ = rustix::process::waitpid(pid, WaitOptions::empty());
}

/// All that the new process needs on its way in.
struct Entry {
    /// The container's cgroups.
    place: Place,
    pidfd: OwnedFd,
    /// The namespaces to join.
    kinds: Vec<Kind>,
    process: ProcessPlan,
    apparmor: Option<String>,
    user: User,
    nested: Option<Nested>,
    confinement: Confinement,
    program: Program,
    report: OwnedFd,
}

impl Entry {
    /// Two forks: a process enters a pid namespace only by being born there, and the one
    /// that stood in between must be gone for the new one to be our direct child.
    ///
    /// Without a number, the reason is on its way over the report pipe.
    fn fork(&self, streams: &Streams) -> sys::Result<Option<i32>> {
        let (answer, tell) = pipe()?;
        match sys::process::fork_into(&[], self.place.directory())? {
            Birth::Child => {
                if let Err(error) = self.between(streams, &tell) {
                    Failure::Other(describe(&error)).send(&self.report);
                }
                sys::process::exit_now(0)
            }
            Birth::Parent(between, _) => {
                drop(tell);
                let mut number = String::new();
                let read = std::fs::File::from(answer).read_to_string(&mut number);
                reap(between);
                read.map_err(|error| sys::Error::new("hear from", "the new process", error))?;
                Ok(number.parse().ok())
            }
        }
    }

    fn between(&self, streams: &Streams, tell: &OwnedFd) -> sys::Result<()> {
        self.place.admit(0)?;
        crate::resources::apply(&self.process)?;
        if let Some(profile) = &self.apparmor {
            crate::resources::apparmor_at_exec(profile)?;
        }
        // Those inside could otherwise look into the process that is about to join them.
        sys::process::forbid_inspection()?;
        sys::ns::join_process(self.pidfd.as_fd(), &self.kinds)?;
        match sys::process::fork_sibling()? {
            Fork::Parent(pid) => {
                rustix::io::write(tell, pid.to_string().as_bytes())
                    .map_err(|errno| sys::Error::new("tell", "the new process's number", errno))?;
                Ok(())
            }
            Fork::Child => {
                let failure = match self.inside(streams) {
                    Ok(()) => Failure::Program(self.program.execute()),
                    Err(error) => Failure::Other(describe(&error)),
                };
                failure.send(&self.report);
                sys::process::exit_now(126)
            }
        }
    }

    fn inside(&self, streams: &Streams) -> sys::Result<()> {
        rustix::process::setsid().map_err(|errno| sys::Error::new("begin", "a session", errno))?;
        // Before the change of user: root may own many more of them.
        sys::keyring::leave()?;
        // Not the caller's: files are made as the first process makes them.
        rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o022));
        streams.take_places()?;
        // The host's directories that we hold are within the reach of the image's paths.
        let mut kept = vec![self.report.as_fd()];
        kept.extend(self.nested.as_ref().map(AsFd::as_fd));
        sys::process::close_all_but(&kept)?;
        sys::process::close_on_exec_from(3)?;
        sys::process::change_directory(&self.process.cwd)?;
        Nested::join(self.nested.as_ref())?;
        sys::caps::become_user(
            self.user.uid,
            self.user.gid,
            &self.user.groups,
            self.confinement.needed(),
        )?;
        // Only now: a change of user forgets it.
        sys::process::set_parent_death_signal(SIGKILL)?;
        sys::process::reset_signals()?;
        self.confinement.apply()
    }
}

const SIGKILL: i32 = 9;

/// What the container does not share with the host: a plain user may not even join again
/// what they are in already.
fn not_of_host(plan: &ContainerPlan) -> Vec<Kind> {
    let isolation = &plan.isolation;
    let host = NamespaceMode::Host;
    [
        (Kind::Mount, false),
        (Kind::Pid, isolation.pid == host),
        (Kind::Network, plan.network == NetworkMode::Host),
        (Kind::Ipc, isolation.ipc == IpcMode::Host),
        (Kind::Uts, isolation.uts == host),
        (Kind::Cgroup, isolation.cgroup == host),
    ]
    .into_iter()
    .filter_map(|(kind, of_host)| (!of_host).then_some(kind))
    .collect()
}

fn describe(error: &sys::Error) -> String {
    format!("{error}: {}", error.source)
}
