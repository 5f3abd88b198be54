//! A container as the runtime needs it: every default resolved, every path absolute.

mod ids;
mod isolation;
mod limits;
mod logging;
mod mount;
mod record;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::{ContainerId, HealthCheck, NetworkPlan, Transport};

pub use ids::{IdLine, IdMap, Ids};
pub use isolation::{
    DEFAULT_CAPABILITIES, DevicePlan, IpcMode, Isolation, NamespaceMode, Seccomp, SeccompSource,
    UserMode,
};
pub use limits::{DeviceLimit, Limits, Rlimit, Unenforceable};
pub use logging::{LogDriver, LogPlan};
pub use mount::{MountKind, MountOptions, MountPlan, Propagation, Recursion};
pub use record::{ExitRecord, HealthState, ProcessRef, RunPhase, RunState};

/// All that a supervisor knows of its container. Persisted as `config.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ContainerPlan {
    /// Version of this record's layout.
    pub version: u32,
    /// The container's id.
    pub id: ContainerId,
    /// Its name, for messages.
    pub name: String,
    /// `uname -n` inside.
    pub hostname: String,
    /// NIS domain name inside (`setdomainname`), also appended to the host name in
    /// `/etc/hosts`; the kernel's `(none)` when empty.
    #[serde(default)]
    pub domainname: String,
    /// Its file system.
    pub rootfs: RootfsPlan,
    /// Its first process.
    pub process: ProcessPlan,
    /// Mounted in this order, after `/proc`, `/dev`, `/sys`.
    pub mounts: Vec<MountPlan>,
    /// Its network.
    pub network: NetworkMode,
    /// Extra lines of `/etc/hosts`: name and address.
    #[serde(default)]
    pub extra_hosts: Vec<(String, String)>,
    /// What `/etc/resolv.conf` says instead of the usual.
    #[serde(default)]
    pub dns: DnsPlan,
    /// Ports that it says it listens on; nothing leads there for that alone.
    #[serde(default)]
    pub exposed: Vec<(u16, Transport)>,
    /// Namespaces, devices, hidden paths.
    #[serde(default)]
    pub isolation: Isolation,
    /// What its cgroup enforces.
    #[serde(default)]
    pub limits: Limits,
    /// Our own program, as process 1, starts the process, passes signals on to it, reaps
    /// what is orphaned and ends with the process's exit status.
    #[serde(default)]
    pub init: bool,
    /// How it is asked to stop.
    pub stop: StopPlan,
    /// What happens after it has ended.
    pub restart: RestartPolicy,
    /// Runs while the container does.
    #[serde(default)]
    pub health: Option<HealthCheck>,
    /// What is kept of its output.
    #[serde(default)]
    pub logging: LogPlan,
    /// Where its files are.
    pub paths: PlanPaths,
    /// Gets the number of the container's first process, as the host sees it, at each start,
    /// before the program is executed; removed with the container.
    #[serde(default)]
    pub pid_file: Option<PathBuf>,
    /// Free-form notes for whoever reads this; nothing of ours does.
    #[serde(default)]
    pub annotations: BTreeMap<String, String>,
    /// The start waits until a first client is attached.
    #[serde(default)]
    pub wait_for_attach: bool,
    /// Which system calls are allowed.
    #[serde(default)]
    pub seccomp: Seccomp,
    /// A nested user namespace, as `isolation.user`, the user and the caller's ids have it;
    /// the layers are then those made for it.
    #[serde(default)]
    pub ids: Option<Ids>,
    /// Program and arguments that the supervisor becomes once all is over (for
    /// `--rm`); the first word is an entry of our own binary, e.g. `__remove`.
    #[serde(default)]
    pub after_exit: Option<Vec<String>>,
}

/// Where a container's files are on the host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanPaths {
    /// Runtime directory on tmpfs: `lock`, `ctl` (socket), `state.json`.
    pub run_dir: PathBuf,
    /// The log, docker's json-file lines; absent for build steps.
    pub log: Option<PathBuf>,
    /// The exit record, written by rename.
    pub exit: PathBuf,
    /// The gateway's socket.
    pub gateway: PathBuf,
}

/// How the root file system comes about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RootfsPlan {
    /// Unpacked layers, topmost first, as overlay's `lowerdir` wants them.
    pub layers: Vec<PathBuf>,
    /// Overlay's `upperdir`.
    pub upper: PathBuf,
    /// Overlay's `workdir`, on the same file system.
    pub work: PathBuf,
    /// Whether the container may not write to it.
    #[serde(default)]
    pub read_only: bool,
    /// Whether overlay may skip syncing (a build step: synced once at the end).
    #[serde(default)]
    pub volatile: bool,
}

/// What `/etc/resolv.conf` says. An empty list means the usual.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct DnsPlan {
    /// Name servers. With networks of ours the gateway asks them for what is not one of
    /// its own names; else they are written down as they are.
    pub servers: Vec<IpAddr>,
    /// Domains that are tried behind a name. A single `.` means none.
    pub search: Vec<String>,
    /// Words for the resolver, e.g. `ndots:2`.
    pub options: Vec<String>,
}

/// A process to execute in a container.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessPlan {
    /// Program and arguments; the program is looked up in `env`'s PATH.
    pub argv: Vec<String>,
    /// `NAME=value`.
    pub env: Vec<String>,
    /// Absolute; made if absent.
    pub cwd: String,
    /// `user[:group]`, names or numbers, looked up in the container's own
    /// `/etc/passwd` and `/etc/group`; empty for root.
    pub user: String,
    /// Whether it gets a pseudo-terminal.
    pub tty: bool,
    /// Whether its standard input stays open for clients.
    pub stdin_open: bool,
    /// Capabilities of a root process, as `CAP_…`; a non-root one has none.
    pub capabilities: Vec<String>,
    /// Forbids gaining privileges through setuid programs.
    #[serde(default)]
    pub no_new_privileges: bool,
    /// Supplementary groups besides those of the user, names or numbers, looked up in the
    /// container's `/etc/group`; a name that is not there fails the start.
    #[serde(default)]
    pub groups: Vec<String>,
    /// Limits set right before the program is executed; the others are inherited.
    #[serde(default)]
    pub rlimits: Vec<Rlimit>,
    /// -1000 to 1000, for `/proc/self/oom_score_adj`. A plain user may only raise it: then
    /// the write's failure fails the start.
    #[serde(default)]
    pub oom_score_adj: Option<i32>,
}

/// Where a container's packets go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "mode", rename_all = "kebab-case")]
pub enum NetworkMode {
    /// Loopback only.
    None,
    /// The host's own network namespace.
    Host,
    /// The network namespace of another container.
    Container {
        /// That container's runtime directory.
        run_dir: PathBuf,
    },
    /// Networks made by the gateway.
    Gateway(NetworkPlan),
}

/// How a container is asked to stop.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StopPlan {
    /// Signal number.
    pub signal: i32,
    /// Milliseconds until SIGKILL.
    pub grace_ms: u64,
}

/// Docker's restart policies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "kebab-case")]
pub enum RestartPolicy {
    /// Never.
    No,
    /// Whatever the exit code.
    Always,
    /// As `Always`, but not after `stop`, not even at boot.
    UnlessStopped,
    /// After a non-zero exit code.
    OnFailure {
        /// 0 means without limit.
        max_retries: u32,
    },
}
