//! A project with nothing left to look up: defaults filled in, variables expanded,
//! paths absolute, names decided.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::time::Duration;

use model::container::Limits;
use model::{Platform, RestartPolicy, Transport};
use text::Span;

/// What the compose files say, for the profiles that are on.
#[derive(Debug, Clone, PartialEq)]
pub struct Project {
    /// Prefix of every container, network and volume that belongs to it.
    pub name: String,
    /// Relative paths start here.
    pub directory: PathBuf,
    /// The files that were read, in the order of their precedence, includes after
    /// the file that names them.
    pub files: Vec<PathBuf>,
    /// Services that run.
    pub services: BTreeMap<String, Service>,
    /// Services whose profiles are off.
    pub disabled: BTreeMap<String, Service>,
    /// Networks by their key in the file. `default` is among them if any service uses it.
    pub networks: BTreeMap<String, Network>,
    /// Volumes by their key in the file.
    pub volumes: BTreeMap<String, Volume>,
    /// Profiles that are on.
    pub profiles: Vec<String>,
}

/// One service.
#[derive(Debug, Clone, PartialEq)]
pub struct Service {
    /// Its key in the file.
    pub name: String,
    /// Where it is written, for messages that come after loading.
    pub span: Span,
    /// Image to run, or the tag that the build result gets. At least one of `image`
    /// and `build` is there.
    pub image: Option<String>,
    /// How to build the image.
    pub build: Option<Build>,
    /// `None` keeps the image's, an empty list clears it.
    pub command: Option<Vec<String>>,
    /// `None` keeps the image's, an empty list clears it.
    pub entrypoint: Option<Vec<String>>,
    /// `None` as a value unsets what the image sets.
    pub environment: BTreeMap<String, Option<String>>,
    /// Ports on the host.
    pub ports: Vec<Port>,
    /// Ports told to others but not published, e.g. `8000/tcp`.
    pub expose: Vec<String>,
    /// Mounts, in the order of the file.
    pub volumes: Vec<ServiceVolume>,
    /// Memory file systems of the `tmpfs` key.
    pub tmpfs: Vec<Tmpfs>,
    /// Services that come first, by name. Always services of this project, enabled
    /// unless not `required`.
    pub depends_on: BTreeMap<String, Dependency>,
    /// Overrides the image's health check, field by field.
    pub health: Option<Health>,
    /// What happens after it has ended.
    pub restart: RestartPolicy,
    /// Whether it gets a pseudo-terminal.
    pub tty: bool,
    /// Whether its standard input stays open for clients.
    pub stdin_open: bool,
    /// Replaces `project-service-1`.
    pub container_name: Option<String>,
    /// `uname -n` inside.
    pub hostname: Option<String>,
    /// Where its packets go.
    pub network: ServiceNetwork,
    /// Free-form notes.
    pub labels: BTreeMap<String, String>,
    /// `user[:group]`.
    pub user: Option<String>,
    /// Initial directory inside.
    pub working_dir: Option<String>,
    /// It runs if one of these is on; always if there are none.
    pub profiles: Vec<String>,
    /// Name or number of the signal that asks it to stop.
    pub stop_signal: Option<String>,
    /// Time between that signal and SIGKILL.
    pub stop_grace_period: Option<Duration>,
    /// Whether the root file system is read-only.
    pub read_only: bool,
    /// Whether a small init is process 1.
    pub init: bool,
    /// Extra lines of `/etc/hosts`: name, and address or `host-gateway`.
    pub extra_hosts: Vec<(String, String)>,
    /// When the image is pulled.
    pub pull_policy: PullPolicy,
    /// Which of an image's platforms.
    pub platform: Option<Platform>,
    /// How much of the machine it may use.
    pub limits: ServiceLimits,
}

/// How much of the machine a service may use, and where that is written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ServiceLimits {
    /// The values.
    pub limits: Limits,
    /// The keys that they come from.
    pub keys: Vec<LimitKey>,
}

/// A key that sets a limit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LimitKey {
    /// The flag of `run` that asks for the same.
    pub flag: &'static str,
    /// Its path below the service, e.g. `deploy.resources.limits.memory`.
    pub key: String,
    /// Where its value is.
    pub span: Span,
}

/// How a service's image is built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Build {
    /// An absolute directory, or an URL as it was written.
    pub context: String,
    /// Absolute, or relative to a context that is an URL; ignored if there is an
    /// inline one.
    pub dockerfile: String,
    /// Text of the Dockerfile, instead of a file.
    pub dockerfile_inline: Option<String>,
    /// Stage to build; the last one if absent.
    pub target: Option<String>,
    /// `None` as a value stands for an argument that nothing sets.
    pub args: BTreeMap<String, Option<String>>,
}

/// One published port, or a choice of several for one container port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Port {
    /// Free-form.
    pub name: Option<String>,
    /// Address on the host; every address if absent.
    pub host_ip: Option<IpAddr>,
    /// First and last port on the host; any free one of them is taken. The kernel
    /// chooses if absent.
    pub published: Option<(u16, u16)>,
    /// Port in the container.
    pub target: u16,
    /// TCP or UDP.
    pub transport: Transport,
}

/// One mount of a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceVolume {
    /// Absolute path inside the container.
    pub target: String,
    /// Whether writing is forbidden.
    pub read_only: bool,
    /// What is mounted.
    pub kind: VolumeKind,
}

/// What a service mounts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VolumeKind {
    /// A volume of the project.
    Named {
        /// Key in [`Project::volumes`].
        volume: String,
        /// Whether an empty volume takes the image's content.
        copy_up: bool,
    },
    /// A volume that nothing else names.
    Anonymous {
        /// Whether it takes the image's content.
        copy_up: bool,
    },
    /// A path of the host.
    Bind {
        /// Absolute.
        source: PathBuf,
        /// Whether an absent source is made, as a directory.
        create_host_path: bool,
    },
    /// Memory.
    Tmpfs {
        /// Bytes.
        size: Option<u64>,
        /// Permission bits.
        mode: Option<u32>,
    },
}

/// One entry of the `tmpfs` key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tmpfs {
    /// Absolute path inside the container.
    pub target: String,
    /// Bytes.
    pub size: Option<u64>,
    /// Permission bits.
    pub mode: Option<u32>,
    /// Whether writing is forbidden.
    pub read_only: bool,
}

/// What is awaited of a service before its dependant starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dependency {
    /// The state to wait for.
    pub condition: Condition,
    /// Whether the dependant fails without it.
    pub required: bool,
    /// Whether the dependant is restarted after it was recreated.
    pub restart: bool,
}

/// States that `depends_on` can wait for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Condition {
    /// Its container runs.
    Started,
    /// Its health check passed.
    Healthy,
    /// It ended with exit code 0.
    CompletedSuccessfully,
}

impl Condition {
    /// As written in compose files.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Started => "service_started",
            Self::Healthy => "service_healthy",
            Self::CompletedSuccessfully => "service_completed_successfully",
        }
    }
}

/// A service's health check. What is absent comes from the image, then from docker's
/// defaults.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Health {
    /// What is executed.
    pub test: Option<HealthTest>,
    /// Time between two checks.
    pub interval: Option<Duration>,
    /// A check that runs longer has failed.
    pub timeout: Option<Duration>,
    /// Failures within this time of the start do not count.
    pub start_period: Option<Duration>,
    /// Time between two checks within the start period.
    pub start_interval: Option<Duration>,
    /// This many failures in a row make the container unhealthy.
    pub retries: Option<u32>,
}

/// What a health check executes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HealthTest {
    /// Nothing: the image's check is off too.
    Disabled,
    /// Program and arguments.
    Command(Vec<String>),
    /// A line for the container's shell.
    Shell(String),
}

/// Where a service's packets go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ServiceNetwork {
    /// Loopback only.
    None,
    /// The host's own network namespace.
    Host,
    /// That of another service of this project.
    Service(String),
    /// That of a container, by name or id.
    Container(String),
    /// Networks of the project; the first gives the default route. At least one.
    Networks(Vec<Attachment>),
}

/// A service's place in one network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attachment {
    /// Key in [`Project::networks`].
    pub network: String,
    /// Further names; the service's own name is not among them.
    pub aliases: Vec<String>,
    /// A fixed address.
    pub ipv4_address: Option<Ipv4Addr>,
    /// Networks with a higher one come first.
    pub priority: i64,
}

/// When an image is pulled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PullPolicy {
    /// If it is not there (and there is nothing to build).
    Missing,
    /// At every `up`.
    Always,
    /// Never; it must be there.
    Never,
    /// It is built, at every `up`.
    Build,
}

/// One network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Network {
    /// Its name outside of the project, e.g. `app_default`.
    pub name: String,
    /// It exists already and outlives the project.
    pub external: bool,
    /// No way to the outside.
    pub internal: bool,
    /// Subnet, e.g. 10.5.0.0 and 16; chosen by the engine if absent.
    pub subnet: Option<(Ipv4Addr, u8)>,
    /// Free-form notes.
    pub labels: BTreeMap<String, String>,
}

/// One volume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Volume {
    /// Its name outside of the project, e.g. `app_data`.
    pub name: String,
    /// It exists already and outlives the project.
    pub external: bool,
    /// Free-form notes.
    pub labels: BTreeMap<String, String>,
}

impl Project {
    /// Name of a service's container: `container_name`, or `project-service-index`.
    pub fn container_name(&self, service: &Service, index: u32) -> String {
        match &service.container_name {
            Some(name) => name.clone(),
            None => format!("{}-{}-{index}", self.name, service.name),
        }
    }

    /// Tag of a service's image: `image`, or `project-service` for one that is built.
    pub fn image_name(&self, service: &Service) -> String {
        match &service.image {
            Some(image) => image.clone(),
            None => format!("{}-{}", self.name, service.name),
        }
    }
}
