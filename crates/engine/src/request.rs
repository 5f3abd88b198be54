//! What is meant, as opposed to what was typed.

use std::path::PathBuf;
use std::time::Duration;

use model::{HealthCheck, PublishedPort, RestartPolicy};

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
    /// Ports of the host that lead inside.
    pub publish: Vec<PublishedPort>,
    /// Its network.
    pub network: NetworkRequest,
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
    /// Number or name, e.g. `SIGQUIT`.
    pub stop_signal: Option<String>,
    /// Time between the stop signal and SIGKILL.
    pub stop_timeout: Option<Duration>,
    /// Another platform than the machine's own.
    pub platform: Option<model::Platform>,
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

/// A mount as asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MountRequest {
    /// Absolute path inside.
    pub target: String,
    /// What is mounted.
    pub source: MountSource,
    /// Whether writing is forbidden.
    pub read_only: bool,
}

/// What a mount shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MountSource {
    /// A host path.
    Bind {
        /// Absolute.
        path: PathBuf,
        /// Whether an absent one is made, as docker's `-v` does.
        create: bool,
    },
    /// A named volume, made if absent.
    Volume {
        /// Its name.
        name: String,
        /// Labels for a volume that has to be made.
        labels: Vec<(String, String)>,
        /// Whether an empty one takes the image's content.
        copy_up: bool,
    },
    /// A volume without a name, gone with its container (`--rm`, `rm -v`).
    Anonymous {
        /// Whether an empty one takes the image's content.
        copy_up: bool,
        /// That of the container which this one replaces.
        kept: Option<String>,
    },
    /// Memory.
    Tmpfs {
        /// Bytes.
        size: Option<u64>,
        /// Permission bits.
        mode: Option<u32>,
    },
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

impl MountSource {
    /// A fresh volume without a name.
    pub fn anonymous() -> Self {
        Self::Anonymous {
            copy_up: true,
            kept: None,
        }
    }
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
}
