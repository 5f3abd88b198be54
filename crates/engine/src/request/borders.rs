//! What sets a container apart from its host, as asked for.

use std::path::PathBuf;

use model::container::UserMode;
use model::{DeviceAccess, DeviceRule};

/// Namespaces, devices, hidden paths.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BordersRequest {
    /// Every border down but the namespaces.
    pub privileged: bool,
    /// Processes.
    pub pid: NamespaceRequest,
    /// Inter-process communication; docker's default when absent.
    pub ipc: IpcRequest,
    /// Host name.
    pub uts: NamespaceRequest,
    /// View of the cgroups. Never another container's.
    pub cgroup: NamespaceRequest,
    /// Ids.
    pub user: UserMode,
    /// Kernel parameters and their values.
    pub sysctls: Vec<(String, String)>,
    /// Devices.
    pub devices: Vec<DeviceRequest>,
    /// Device numbers that may be opened besides.
    pub device_rules: Vec<DeviceRule>,
    /// Paths hidden besides the usual ones.
    pub mask: Vec<String>,
    /// Paths that are not hidden or read-only although they usually are; `ALL` is every one.
    pub unmask: Vec<String>,
    /// Bytes of `/dev/shm`.
    pub shm_size: Option<u64>,
    /// AppArmor profile; `unconfined` is none.
    pub apparmor: Option<String>,
    /// SELinux options, e.g. `disable` or `type:container_t`.
    pub selinux: Vec<String>,
    /// `/sys/fs/cgroup` is writable.
    pub writable_cgroups: bool,
}

/// A namespace as asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum NamespaceRequest {
    /// Its own.
    #[default]
    Private,
    /// The host's.
    Host,
    /// Another container's, by name or id.
    Container(String),
}

/// An IPC namespace as asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum IpcRequest {
    /// Its own, for itself.
    #[default]
    Private,
    /// Its own, which others may join.
    Shareable,
    /// Its own, without `/dev/shm`.
    None,
    /// The host's.
    Host,
    /// Another container's, by name or id.
    Container(String),
}

/// A device as asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeviceRequest {
    /// A node of the host, or a directory of nodes.
    Node {
        /// On the host.
        host: PathBuf,
        /// Absolute path inside.
        path: String,
        /// What may be done with it.
        access: DeviceAccess,
    },
    /// `VENDOR/CLASS=NAME`, which a CDI specification on this machine describes.
    Named(String),
    /// So many of the machine's GPUs; all of them when absent.
    Gpus(Option<u32>),
}
