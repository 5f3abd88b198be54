//! From a plan to a running first process.
//!
//! The order: our own mount namespace; the root file system, checked and mounted by
//! descriptor, while beside it the network namespace is made and the gateway connects it;
//! then libcontainer, once, for the namespaces, `/proc`, `/sys`, device nodes and the
//! change of root; then, inside, [`crate::confine`] and the program.

mod error;
mod executor;
mod network;

use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use libcontainer::container::Container;
use libcontainer::container::builder::ContainerBuilder;
use libcontainer::syscall::syscall::SyscallType;
use model::network::Ready;
use model::{ContainerId, ContainerPlan};
use rustix::process::{Pid, WaitOptions};
use sys::mount::Attributes;

pub use error::StartError;

use crate::cgroup::Place;
use crate::confine::Confinement;
use crate::identity::{self, User};
use crate::program::{Failure, Program};
use crate::rootfs::{Created, EtcFiles, Root};
use crate::spec;
use crate::stdio::{Stdio, Streams};
use executor::{ConfinedExecutor, Listener};
use network::Network;

const SIGKILL: i32 = 9;

/// A container that has been started.
#[derive(Debug)]
pub struct Started {
    /// Its first process in our pid namespace; our direct child.
    pub pid: i32,
    /// The same, as a descriptor.
    pub pidfd: OwnedFd,
    /// The terminal's master side, where one was asked for.
    pub terminal: Option<OwnedFd>,
    /// What the gateway answered.
    pub ready: Option<Ready>,
    /// The open connection to the gateway; its end is the gateway's death notice.
    pub gateway: Option<OwnedFd>,
    /// The router's network namespace, held so that links survive the gateway.
    pub router_netns: Option<OwnedFd>,
    /// The container's network namespace, where it is not the host's.
    pub netns: Option<OwnedFd>,
    /// What our mounts had to create in the upper directory.
    pub created: Vec<Created>,
}

/// A container that is set up but whose program does not run yet.
pub struct Prepared {
    id: ContainerId,
    started: Started,
    container: Container,
    listener: Listener,
    /// libcontainer's own files.
    scratch: PathBuf,
    rootfs: PathBuf,
}

/// Sets everything up, short of executing the program. Call it only in a freshly executed
/// process with one thread, inside the right user namespace: libcontainer clones and then
/// allocates.
///
/// On an error, what lies outside the container's own directories is taken away again.
pub fn prepare(plan: &ContainerPlan, stdio: Stdio) -> Result<Prepared, StartError> {
    let prepared = Setup::new(plan).and_then(|setup| setup.finish(stdio));
    if prepared.is_err() {
        clean_up(plan);
    }
    prepared
}

/// [`prepare`] and [`Prepared::start`] at once.
pub fn start(plan: &ContainerPlan, stdio: Stdio) -> Result<Started, StartError> {
    prepare(plan, stdio)?.start()
}

/// Removes what a container that has ended leaves outside its directories: its cgroup.
pub fn clean_up(plan: &ContainerPlan) {
    crate::cgroup::remove(&plan.id);
}

impl Prepared {
    /// The first process, which waits for [`Prepared::start`].
    pub fn pid(&self) -> i32 {
        self.started.pid
    }

    /// Executes the program. Returns once the kernel has accepted it, or says with
    /// docker's exit code why it did not; then nothing is left of the container outside
    /// its own directories, not even its process.
    pub fn start(self) -> Result<Started, StartError> {
        let (id, pid) = (self.id.clone(), self.started.pid);
        self.execute().inspect_err(|_| {
            let _ = rustix::process::waitpid(Pid::from_raw(pid), WaitOptions::empty());
            crate::cgroup::remove(&id);
        })
    }

    fn execute(mut self) -> Result<Started, StartError> {
        self.container.start().map_err(|error| {
            let _ = sys::process::pidfd_signal(&self.started.pidfd, SIGKILL);
            runtime_error(error)
        })?;
        let failure = self.listener.wait();
        let _ = std::fs::remove_dir_all(&self.scratch);
        // The container has its own copy of these mounts. Ours would keep the upper
        // directory busy, and a restart mounts anew.
        sys::mount::detach(&self.rootfs)?;
        match failure {
            None => Ok(self.started),
            Some(Failure::Program(error)) => Err(error.into()),
            Some(Failure::Other(message)) => Err(StartError::Runtime { message }),
        }
    }
}

/// What has been set up before libcontainer is called.
struct Setup<'a> {
    plan: &'a ContainerPlan,
    rootless: bool,
    root: Root,
    terminals: crate::rootfs::Terminals,
    network: Network,
    place: Place,
    user: User,
}

impl<'a> Setup<'a> {
    fn new(plan: &'a ContainerPlan) -> Result<Self, StartError> {
        check(plan)?;
        let rootless = !sys::userns::is_initial()?;
        sys::ns::private_mounts()?;
        // The gateway takes a while; the root file system is made meanwhile. The thread is
        // gone before libcontainer clones.
        let (network, root) = std::thread::scope(|scope| {
            let network = scope.spawn(|| network::connect(plan));
            let root = mount_root(plan, rootless);
            let network = network
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            (network, root)
        });
        let (network, (mut root, terminals)) = (network?, root?);
        mount_etc(&mut root, plan, &network, rootless)?;
        let user = identity::resolve(&root, &plan.process.user)?;
        let place = crate::cgroup::prepare(&plan.id, rootless)?;
        Ok(Self {
            plan,
            rootless,
            root,
            terminals,
            network,
            place,
            user,
        })
    }

    fn finish(self, stdio: Stdio) -> Result<Prepared, StartError> {
        let plan = self.plan;
        let ours = sys::caps::permitted()?;
        let confinement = Confinement::new(&plan.process, &plan.seccomp, self.user.uid, ours)?;
        let program = Program::new(&plan.process, &self.user.home)?;
        let streams = Streams::new(stdio, || self.terminals.open(), self.user.uid)?;
        let kept = confinement.needed();
        let terminal = streams.terminal.is_some();
        let (executor, listener) = ConfinedExecutor::new(program, confinement, terminal)?;
        let rootfs = rootfs_of(plan);
        let spec = spec::build(&spec::Input {
            plan,
            user: &self.user,
            rootfs: &rootfs,
            capabilities: kept,
            cgroup: &self.place.path,
            netns: self.network.netns.as_ref().map(path_of),
            rootless: self.rootless,
        })
        .map_err(runtime_error)?;
        let scratch = plan.paths.run_dir.join("oci");
        make_scratch(&scratch)?;
        spec.save(scratch.join("config.json"))
            .map_err(runtime_error)?;
        // Were the list in the specification empty, our own groups would leak inside.
        sys::userns::drop_groups()?;
        let container = ContainerBuilder::new(plan.id.to_string(), SyscallType::default())
            .with_executor(executor)
            .with_root_path(&scratch)
            .map_err(runtime_error)?
            .with_stdin(streams.stdin)
            .with_stdout(streams.stdout)
            .with_stderr(streams.stderr)
            .as_init(&scratch)
            .with_systemd(false)
            .with_detach(true)
            .build()
            .map_err(runtime_error)?;
        // libcontainer makes us undumpable, so that nothing in the container can look into
        // its half-made first process. That one stays so; we must be seen again by later
        // commands, which join our user namespace.
        sys::process::allow_inspection()?;
        let pid = container.pid().map(|pid| pid.as_raw()).unwrap_or_default();
        let started = started(pid, streams.terminal, self.network, &self.root)?;
        Ok(Prepared {
            id: plan.id.clone(),
            started,
            container,
            listener,
            scratch,
            rootfs,
        })
    }
}

fn started(
    pid: i32,
    terminal: Option<OwnedFd>,
    network: Network,
    root: &Root,
) -> Result<Started, StartError> {
    let gone = || StartError::Runtime {
        message: "its first process ended at once".into(),
    };
    let pidfd = sys::process::pidfd_open(pid)?.ok_or_else(gone)?;
    let (ready, gateway, router_netns) = match network.attached {
        Some(attached) => (
            Some(attached.ready),
            Some(attached.connection),
            attached.router_netns,
        ),
        None => (None, None, None),
    };
    let created = root.created().to_vec();
    let netns = network.netns;
    Ok(Started {
        pid,
        pidfd,
        terminal,
        ready,
        gateway,
        router_netns,
        netns,
        created,
    })
}

fn check(plan: &ContainerPlan) -> Result<(), StartError> {
    let refuse = |what: String| Err(StartError::Plan { what });
    if plan.process.argv.is_empty() {
        return refuse("no command specified".into());
    }
    if !plan.process.cwd.starts_with('/') {
        return refuse(format!(
            "the working directory {} is not absolute",
            plan.process.cwd
        ));
    }
    match plan
        .mounts
        .iter()
        .find(|mount| !mount.target.starts_with('/'))
    {
        Some(mount) => refuse(format!("the mount target {} is not absolute", mount.target)),
        None => Ok(()),
    }
}

fn mount_root(
    plan: &ContainerPlan,
    rootless: bool,
) -> Result<(Root, crate::rootfs::Terminals), StartError> {
    // In a user namespace no device node opens anyhow, unless it comes from the host.
    let no_devices = !rootless;
    let mut root = Root::mount(&plan.rootfs, &rootfs_of(plan), no_devices)?;
    root.secure()?;
    let terminals = root.mount_dev()?;
    for mount in &plan.mounts {
        root.mount_planned(mount, no_devices)?;
    }
    // libcontainer mounts on these; made here, so that none is made through a link.
    root.make_working_directory("/dev/mqueue")?;
    root.make_working_directory(&plan.process.cwd)?;
    Ok((root, terminals))
}

fn mount_etc(
    root: &mut Root,
    plan: &ContainerPlan,
    network: &Network,
    rootless: bool,
) -> Result<(), StartError> {
    let ready = network.attached.as_ref().map(|attached| &attached.ready);
    let host_resolv_conf = std::fs::read_to_string("/etc/resolv.conf").ok();
    let files = EtcFiles::new(plan, ready, host_resolv_conf);
    let attributes = Attributes {
        no_devices: !rootless,
        ..Attributes::default()
    };
    files.bind(root, &plan.paths.run_dir, plan, attributes)?;
    Ok(())
}

fn rootfs_of(plan: &ContainerPlan) -> PathBuf {
    plan.paths.run_dir.join("rootfs")
}

/// A fresh directory for libcontainer: one that a crash left behind would be refused.
fn make_scratch(path: &Path) -> sys::Result<()> {
    let fail = |error| sys::Error::new("make directory", path.display().to_string(), error);
    match std::fs::remove_dir_all(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(fail(error)),
        _ => {}
    }
    std::fs::create_dir(path).map_err(fail)
}

/// libcontainer opens namespaces by path, in a process that inherits our descriptors.
fn path_of(fd: &OwnedFd) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", fd.as_raw_fd()))
}

/// An error of libcontainer with all of its causes: what it shows at first says little.
fn runtime_error(error: impl std::error::Error) -> StartError {
    let mut message = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        let text = next.to_string();
        if !message.contains(&text) {
            message = format!("{message}: {text}");
        }
        cause = next.source();
    }
    StartError::Runtime { message }
}
