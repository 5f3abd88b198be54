//! A container as the runtime needs it: every default resolved, every path absolute.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::{ContainerId, HealthCheck, NetworkPlan};

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
    /// How it is asked to stop.
    pub stop: StopPlan,
    /// What happens after it has ended.
    pub restart: RestartPolicy,
    /// Runs while the container does.
    #[serde(default)]
    pub health: Option<HealthCheck>,
    /// Where its files are.
    pub paths: PlanPaths,
    /// The start waits until a first client is attached.
    #[serde(default)]
    pub wait_for_attach: bool,
    /// Which system calls are allowed.
    #[serde(default)]
    pub seccomp: Seccomp,
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

/// A process to execute in a container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
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
}

/// One mount.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MountPlan {
    /// Absolute path inside the container.
    pub target: String,
    /// What is mounted.
    pub kind: MountKind,
    /// Whether writing is forbidden.
    pub read_only: bool,
}

/// What a mount shows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum MountKind {
    /// A host path; it must exist.
    Bind {
        /// Absolute path on the host.
        source: PathBuf,
    },
    /// A volume's data directory. An empty one is first filled with what the image
    /// has at the target.
    Volume {
        /// The volume's `data/`.
        source: PathBuf,
        /// Its name, for `inspect`.
        name: String,
        /// Whether an empty volume takes the image's content.
        copy_up: bool,
    },
    /// Memory.
    Tmpfs {
        /// Bytes; the kernel's default when absent.
        size: Option<u64>,
        /// Permission bits; 1777 octal when absent.
        mode: Option<u32>,
    },
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

/// Which system call filter is loaded.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Seccomp {
    /// At least as strict as moby's default profile.
    #[default]
    Default,
    /// None.
    Unconfined,
}

/// Capabilities of a container's root by default: podman's eleven.
pub const DEFAULT_CAPABILITIES: [&str; 11] = [
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_NET_BIND_SERVICE",
    "CAP_SETFCAP",
    "CAP_SETGID",
    "CAP_SETPCAP",
    "CAP_SETUID",
    "CAP_SYS_CHROOT",
];

/// How a container's last run ended; the exit file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExitRecord {
    /// Exit status, or 128 + the signal's number.
    pub code: i32,
    /// Whether the kernel killed it for lack of memory.
    #[serde(default)]
    pub oom_killed: bool,
    /// Why it could not start, if it could not.
    #[serde(default)]
    pub error: Option<String>,
    /// RFC 3339 with nanoseconds; empty if it never started.
    pub started_at: String,
    /// RFC 3339 with nanoseconds.
    pub finished_at: String,
    /// Whether a user asked for the stop (restart policies then rest).
    #[serde(default)]
    pub stopped_by_user: bool,
    /// Restarts by policy so far.
    #[serde(default)]
    pub restarts: u32,
}

/// A running container's state, `state.json` in its runtime directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunState {
    /// Of the host's current boot (`/proc/sys/kernel/random/boot_id`).
    pub boot_id: String,
    /// The supervisor, as the host sees it.
    pub supervisor: ProcessRef,
    /// The container's first process, while it runs.
    pub init: Option<ProcessRef>,
    /// Where it is in its life.
    pub phase: RunPhase,
    /// RFC 3339 with nanoseconds.
    pub started_at: String,
    /// Restarts by policy so far.
    #[serde(default)]
    pub restarts: u32,
    /// Absent without a health check.
    #[serde(default)]
    pub health: Option<HealthState>,
    /// What the gateway answered.
    #[serde(default)]
    pub network: Option<crate::network::Ready>,
}

/// What `inspect` shows of health.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthState {
    /// The verdict.
    pub status: crate::health::HealthStatus,
    /// Failures in a row.
    pub failing_streak: u32,
    /// The last five.
    pub log: Vec<crate::health::HealthProbe>,
}

/// A process that cannot be confused with a later one of the same number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessRef {
    /// Process id.
    pub pid: i32,
    /// Field 22 of `/proc/PID/stat`, clock ticks since boot.
    pub start_time: u64,
}

/// Phases of a supervised container.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RunPhase {
    /// Being set up, or waiting for its first client.
    Created,
    /// Its process runs.
    Running,
    /// Its process has ended and will be started again.
    Restarting,
}
