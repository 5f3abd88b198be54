//! What is meant, as opposed to what was typed.

mod borders;
mod mounts;

use std::path::PathBuf;
use std::time::Duration;

use model::container::{DnsPlan, Limits, LogPlan, Rlimit, Seccomp};
use model::{HealthCheck, PublishedPort, RestartPolicy, Transport};

pub use borders::{BordersRequest, DeviceRequest, IpcRequest, NamespaceRequest};
pub use mounts::{MountRequest, MountSource, VolumesFrom};

/// A container to make.
#[derive(Debug, Clone, Default)]
pub struct RunRequest {
    /// Reference or id of the image.
    pub image: String,
    /// When to ask a registry for it.
    pub pull: PullPolicy,
    /// Command and arguments; empty means the image's.
    pub argv: Vec<String>,
    /// Replaces the image's entry point; empty list removes it.
    pub entrypoint: Option<Vec<String>>,
    /// Unclaimed name; `None` makes one up.
    pub name: Option<String>,
    /// `uname -n` inside; `None` is the short id.
    pub hostname: Option<String>,
    /// NIS domain name inside.
    pub domainname: String,
    /// Added to the image's environment, in order.
    pub env: Vec<(String, String)>,
    /// Variables of the image that are taken away.
    pub unset_env: Vec<String>,
    /// `user[:group]`.
    pub user: Option<String>,
    /// Absolute path inside.
    pub workdir: Option<String>,
    /// What is mounted.
    pub mounts: Vec<MountRequest>,
    /// Containers whose mounts this one gets too, where it has none of its own.
    pub volumes_from: Vec<VolumesFrom>,
    /// Ports of the host that lead inside.
    pub publish: Vec<PublishedPort>,
    /// Ports that it listens on, besides the image's.
    pub expose: Vec<(u16, Transport)>,
    /// Every exposed port gets one of the host that the kernel chooses.
    pub publish_all: bool,
    /// Its network.
    pub network: NetworkRequest,
    /// What `/etc/resolv.conf` says instead of the usual.
    pub dns: DnsPlan,
    /// Further lines of `/etc/hosts`.
    pub extra_hosts: Vec<(String, String)>,
    /// May it reach the host's loopback as `host.docker.internal`? See
    /// [`RunRequest::add_host`].
    pub host_loopback: bool,
    /// The root file system cannot be written to.
    pub read_only: bool,
    /// Free-form notes.
    pub labels: Vec<(String, String)>,
    /// A pseudo-terminal.
    pub tty: bool,
    /// Standard input stays open.
    pub stdin_open: bool,
    /// The container goes when its process ends.
    pub auto_remove: bool,
    /// The start waits for the first client.
    pub wait_for_attach: bool,
    /// What happens after the process has ended.
    pub restart: Option<RestartPolicy>,
    /// `None`: the image's; `Some(None)`: no check.
    pub health: Option<Option<HealthCheck>>,
    /// Replaces single values of the image's check, where `health` is `None`.
    pub health_changes: HealthChanges,
    /// Number or name, e.g. `SIGQUIT`.
    pub stop_signal: Option<String>,
    /// Time between the stop signal and SIGKILL.
    pub stop_timeout: Option<Duration>,
    /// Another platform than the machine's own.
    pub platform: Option<model::Platform>,
    /// Namespaces, devices, hidden paths.
    pub borders: BordersRequest,
    /// Capabilities that are given besides the usual ones; `ALL` is every one.
    pub cap_add: Vec<String>,
    /// Capabilities that are taken away; `ALL` leaves only those that are added.
    pub cap_drop: Vec<String>,
    /// Setuid programs give no privileges.
    pub no_new_privileges: bool,
    /// `None` is the default profile, or none with `--privileged`.
    pub seccomp: Option<Seccomp>,
    /// Supplementary groups, besides the user's.
    pub groups: Vec<String>,
    /// Limits of its processes.
    pub rlimits: Vec<Rlimit>,
    /// -1000 to 1000.
    pub oom_score_adj: Option<i32>,
    /// What its cgroup enforces.
    pub limits: Limits,
    /// A small program of ours is process 1.
    pub init: bool,
    /// What is kept of its output.
    pub logging: LogPlan,
    /// Absolute; gets the number of its first process.
    pub pid_file: Option<PathBuf>,
    /// Free-form notes of the OCI kind.
    pub annotations: Vec<(String, String)>,
}

/// Single values of a health check.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HealthChanges {
    /// A command for the image's shell.
    pub command: Option<String>,
    /// Time between two checks.
    pub interval: Option<Duration>,
    /// A check that runs longer has failed.
    pub timeout: Option<Duration>,
    /// Failures this long after the start do not count.
    pub start_period: Option<Duration>,
    /// Time between two checks within the start period.
    pub start_interval: Option<Duration>,
    /// This many failures in a row make it unhealthy.
    pub retries: Option<u32>,
}

impl RunRequest {
    /// Adds a line of `/etc/hosts`; the address `host-gateway` is the host's.
    pub fn add_host(&mut self, name: &str, address: &str) {
        let address = match address {
            "host-gateway" => {
                self.host_loopback = true;
                net::gateway::HOST_ALIAS.to_string()
            }
            address => address.to_owned(),
        };
        self.extra_hosts.push((name.to_owned(), address));
    }
}

/// When an image is pulled.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum PullPolicy {
    /// If it is not in the store.
    #[default]
    Missing,
    /// Each time.
    Always,
    /// Not at all.
    Never,
}

/// A network as asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum NetworkRequest {
    /// The network named `default`.
    #[default]
    Default,
    /// Loopback only.
    None,
    /// The host's own.
    Host,
    /// That of another container, by name or id.
    Container(String),
    /// Named networks; they must exist.
    Named(Vec<NetworkAttachment>),
}

/// One named network.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NetworkAttachment {
    /// Its name.
    pub network: String,
    /// Further names of the container in it.
    pub aliases: Vec<String>,
    /// A fixed address.
    pub address: Option<std::net::Ipv4Addr>,
    /// A fixed hardware address.
    pub mac: Option<String>,
}

/// A process to add to a running container.
#[derive(Debug, Clone, Default)]
pub struct ExecRequest {
    /// Name or id.
    pub container: String,
    /// Program and arguments.
    pub argv: Vec<String>,
    /// Added to the container's environment.
    pub env: Vec<(String, String)>,
    /// `user[:group]`.
    pub user: Option<String>,
    /// Absolute path inside.
    pub workdir: Option<String>,
    /// A pseudo-terminal.
    pub tty: bool,
    /// Standard input is passed on.
    pub stdin_open: bool,
    /// Do not wait for it.
    pub detach: bool,
    /// It has every capability.
    pub privileged: bool,
}
