//! From a plan to a running first process.
//!
//! The order: our own mount namespace; the root file system, checked and mounted by
//! descriptor, while beside it the network namespace is made and the gateway connects it;
//! then one fork, into the container's namespaces and its cgroup, whose child goes the rest
//! of the way by itself ([`inside`]).

mod error;
mod inside;
mod namespaces;
mod network;

use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;

use model::container::{
    IpcMode, Isolation, MountPlan, NamespaceMode, NetworkMode, Propagation, RestartPolicy,
};
use model::network::Ready;
use model::{ContainerId, ContainerPlan};
use rustix::process::{Pid, WaitOptions};
use sys::mount::Attributes;
use sys::ns::Kind;
use sys::process::Birth;

pub use error::StartError;

use crate::cgroup::Place;
use crate::confine::Confinement;
use crate::identity::{self, User};
use crate::program::{Failure, Program};
use crate::rootfs::{
    Created, Devices, EtcFiles, Hidden, KernelMounts, Mounting, Nodes, Root, Shared, SharedMemory,
    Whose, bind_apt_setting, comes_last,
};
use crate::stdio::{Stdio, Streams};
use crate::userns::nested::Nested;
use inside::Inside;
use namespaces::Namespaces;
use network::Network;

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
    listener: OwnedFd,
    go: OwnedFd,
}

/// Sets everything up, short of executing the program. Call it only in a process with one
/// thread, inside the right user namespace: the child of its fork allocates.
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

    fn execute(self) -> Result<Started, StartError> {
        // If it is gone, it has said why.
        let _ = rustix::io::write(&self.go, b"s");
        match Failure::receive(self.listener) {
            None => Ok(self.started),
            Some(Failure::Program(error)) => Err(error.into()),
            Some(Failure::Other(message)) => Err(StartError::Runtime { message }),
        }
    }
}

/// What has been set up before the fork.
struct Setup<'a> {
    plan: &'a ContainerPlan,
    rootless: bool,
    root: Root,
    terminals: crate::rootfs::Terminals,
    network: Network,
    namespaces: Namespaces,
    place: Place,
    user: User,
    nested: Option<Nested>,
}

impl<'a> Setup<'a> {
    fn new(plan: &'a ContainerPlan) -> Result<Self, StartError> {
        check(plan)?;
        let rootless = !sys::userns::is_initial()?;
        if rootless {
            check_as_user(plan)?;
        }
        let shared = crate::rootfs::shared(&plan.mounts)?;
        sys::ns::private_mounts()?;
        // The network takes a while; everything that does not ask for it is made meanwhile.
        // The thread is gone before the fork.
        let (network, root, place) = std::thread::scope(|scope| {
            let network = scope.spawn(|| network::connect(plan));
            let root = mount_root(plan, rootless, &shared);
            let place = crate::cgroup::prepare(plan);
            let network = network
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            (network, root, place)
        });
        let (network, (mut root, terminals), place) = (network?, root?, place?);
        mount_etc(&mut root, plan, &network, rootless)?;
        let mut user = identity::resolve(&root, &plan.process.user)?;
        identity::add_groups(&root, &mut user, &plan.process.groups)?;
        let nested = Nested::of_plan(plan, &user)?;
        if let Some(nested) = &nested {
            nested.give_to_root(&root, plan)?;
        }
        Ok(Self {
            plan,
            rootless,
            root,
            terminals,
            network,
            namespaces: Namespaces::new(&plan.isolation)?,
            place,
            nested,
            user,
        })
    }

    fn finish(self, stdio: Stdio) -> Result<Prepared, StartError> {
        let plan = self.plan;
        let ours = sys::caps::permitted()?;
        let streams = Streams::new(stdio, || self.terminals.open(), self.owner())?;
        let (listener, report) = pipe()?;
        let (waits, go) = pipe()?;
        let inside = Inside {
            root: &self.root,
            plan,
            mounts: self.kernel_mounts(),
            netns: self.network.netns.as_ref(),
            namespaces: &self.namespaces,
            user: &self.user,
            nested: self.nested.as_ref(),
            streams: &streams,
            confinement: Confinement::new(&plan.process, &plan.seccomp, self.user.uid, ours)?,
            program: Program::new(&plan.process, &self.user.home)?,
            init: plan.init.then(crate::init::program).transpose()?,
            report: &report,
            go: &waits,
        };
        let cgroup = self.place.directory();
        let fork = |new: &[Kind]| sys::process::fork_into(new, cgroup);
        let (pid, pidfd) = match self.namespaces.fork(fork)? {
            Birth::Child => {
                // Its own copies would keep it from noticing that we are gone.
                drop((listener, go));
                inside.run()
            }
            Birth::Parent(pid, pidfd) => (pid, pidfd),
        };
        // While it mounts its file systems.
        self.place.admit(pid)?;
        write_pid_file(plan, pid)?;
        // The container has its own copy of these mounts. Ours would keep the upper
        // directory busy, and a restart mounts anew.
        sys::mount::detach(&rootfs_of(plan))?;
        Ok(Prepared {
            id: plan.id.clone(),
            started: started(pid, pidfd, streams.terminal, self.network, &self.root),
            listener,
            go,
        })
    }

    /// The user's number outside.
    fn owner(&self) -> u32 {
        Nested::outside(self.nested.as_ref(), self.user.uid)
    }

    /// As a plain user, what shows a namespace of the host's cannot be mounted anew.
    fn kernel_mounts(&self) -> KernelMounts {
        let isolation = &self.plan.isolation;
        let of_host = |host: bool| match host && self.rootless {
            true => Whose::Host,
            false => Whose::Own,
        };
        KernelMounts {
            proc: of_host(isolation.pid == NamespaceMode::Host),
            own_dev: own_dev(self.plan),
            sysfs: of_host(matches!(self.plan.network, NetworkMode::Host)),
            queues: of_host(isolation.ipc == IpcMode::Host),
            cgroup: of_host(isolation.cgroup == NamespaceMode::Host),
            writable: isolation.privileged,
            writable_cgroup: isolation.writable_cgroups,
            sysctls: isolation.sysctls.clone(),
            hidden: Hidden::new(isolation),
        }
    }
}

fn write_pid_file(plan: &ContainerPlan, pid: i32) -> sys::Result<()> {
    let Some(path) = &plan.pid_file else {
        return Ok(());
    };
    std::fs::write(path, format!("{pid}\n"))
        .map_err(|error| sys::Error::new("write", path.display().to_string(), error))
}

fn started(
    pid: i32,
    pidfd: OwnedFd,
    terminal: Option<OwnedFd>,
    network: Network,
    root: &Root,
) -> Started {
    let (ready, gateway, router_netns) = match network.attached {
        Some(attached) => (
            Some(attached.ready),
            Some(attached.connection),
            attached.router_netns,
        ),
        None => (None, None, None),
    };
    Started {
        pid,
        pidfd,
        terminal,
        ready,
        gateway,
        router_netns,
        netns: network.netns,
        created: root.created().to_vec(),
    }
}

fn pipe() -> sys::Result<(OwnedFd, OwnedFd)> {
    rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)
        .map_err(|errno| sys::Error::new("make", "a pipe", errno))
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
    let late = plan.mounts.iter().filter(|mount| comes_last(mount));
    let connected = |mount: &&MountPlan| {
        let options = &mount.options;
        options.chown
            || !matches!(
                options.propagation,
                Propagation::Rprivate | Propagation::Private
            )
    };
    if let Some(mount) = late.into_iter().find(connected) {
        let target = &mount.target;
        return refuse(format!(
            "the mount on {target} can be neither shared nor given away"
        ));
    }
    if let Some(mount) = plan.mounts.iter().find(|mount| mount.options.idmap) {
        return refuse(format!("the mount on {} cannot be id-mapped", mount.target));
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
    shared: &[Shared],
) -> Result<(Root, crate::rootfs::Terminals), StartError> {
    // In a user namespace no device node opens anyhow, unless it comes from the host.
    let no_devices = !rootless;
    let mut root = Root::mount(&plan.rootfs, &rootfs_of(plan), no_devices)?;
    root.secure()?;
    let devices = Devices {
        nodes: if rootless { Nodes::Bound } else { Nodes::Made },
        shared_memory: shared_memory(&plan.isolation)?,
    };
    let terminals = root.mount_dev(devices)?;
    let isolation = &plan.isolation;
    root.add_devices(&isolation.devices, isolation.privileged, rootless)?;
    let with = Mounting {
        no_devices,
        owner: owner_of_sources(&root, plan)?,
        shared,
    };
    for mount in plan.mounts.iter().filter(|mount| !comes_last(mount)) {
        root.mount_planned(mount, with)?;
    }
    // Made here, so that none is made through a link; and not in somebody else's directory.
    if own_dev(plan) {
        root.make_working_directory("/dev/mqueue")?;
    }
    root.make_working_directory(&plan.process.cwd)?;
    Ok((root, terminals))
}

/// A supervisor that starts a process in another container's pid namespace has its later
/// children born there too: a plain user may not go back to the host's.
fn check_as_user(plan: &ContainerPlan) -> Result<(), StartError> {
    let elsewhere = matches!(plan.isolation.pid, NamespaceMode::Container { .. });
    match elsewhere && plan.restart != RestartPolicy::No {
        true => Err(StartError::Plan {
            what: "a plain user's container cannot have both a restart policy and another \
                   container's processes (--pid container:)"
                .into(),
        }),
        false => Ok(()),
    }
}

fn own_dev(plan: &ContainerPlan) -> bool {
    let mut targets = plan
        .mounts
        .iter()
        .map(|mount| mount.target.trim_matches('/'));
    !targets.any(|target| target == "dev")
}

/// Whom sources are given to, if one is to be given away.
fn owner_of_sources(root: &Root, plan: &ContainerPlan) -> Result<Option<(u32, u32)>, StartError> {
    if !plan.mounts.iter().any(|mount| mount.options.chown) {
        return Ok(None);
    }
    let user = identity::resolve(root, &plan.process.user)?;
    Ok(Some((user.uid, user.gid)))
}

fn shared_memory(isolation: &Isolation) -> Result<SharedMemory, StartError> {
    Ok(match &isolation.ipc {
        IpcMode::Private | IpcMode::Shareable => SharedMemory::Own(isolation.shm_size),
        IpcMode::None => SharedMemory::None,
        IpcMode::Host => {
            let host = crate::rootfs::open_host("/dev/shm")?;
            SharedMemory::Of(sys::mount::clone_tree(host.as_fd())?)
        }
        IpcMode::Container { run_dir } => SharedMemory::Of(namespaces::shared_memory(run_dir)?),
    })
}

fn mount_etc(
    root: &mut Root,
    plan: &ContainerPlan,
    network: &Network,
    rootless: bool,
) -> Result<(), StartError> {
    let ready = network.attached.as_ref().map(|attached| &attached.ready);
    let files = EtcFiles::new(plan, ready);
    let attributes = Attributes {
        no_devices: !rootless,
        ..Attributes::default()
    };
    files.bind(root, &plan.paths.run_dir, plan, attributes)?;
    bind_apt_setting(root, &plan.paths.run_dir, attributes)?;
    Ok(())
}

fn rootfs_of(plan: &ContainerPlan) -> PathBuf {
    plan.paths.run_dir.join("rootfs")
}
