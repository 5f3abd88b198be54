//! What sets a container apart from its host: namespaces, devices, hidden paths, and what
//! the kernel lets its processes do.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::{DeviceAccess, DeviceKind, DeviceRule};

/// A container's borders. The default is what docker's is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Isolation {
    /// All borders down but the namespaces: `/proc` and `/sys` unmasked and writable, the
    /// cgroup file system writable, every device of the host in `/dev` (a plain user:
    /// those they may open), no device program on the cgroup. Capabilities and the system
    /// call filter are decided in their own fields, by whoever makes the plan.
    pub privileged: bool,
    /// Processes that it sees.
    pub pid: NamespaceMode,
    /// System V IPC, POSIX message queues and `/dev/shm`.
    pub ipc: IpcMode,
    /// Host and domain name. With the host's, neither is set.
    pub uts: NamespaceMode,
    /// Its view of `/proc/self/cgroup`. Only private or the host's.
    pub cgroup: NamespaceMode,
    /// How its ids map to the host's.
    pub user: UserMode,
    /// Kernel parameters, e.g. `net.ipv4.ip_forward` and `1`, written before the program
    /// starts, each in a namespace of the container's own (whoever makes the plan has
    /// refused the others). A write that fails fails the start.
    pub sysctls: BTreeMap<String, String>,
    /// Devices besides the usual ones.
    pub devices: Vec<DevicePlan>,
    /// Further device numbers that the cgroup's device program lets through. No node is
    /// made for them.
    pub device_rules: Vec<DeviceRule>,
    /// Paths inside that are hidden: a file behind `/dev/null`, a directory behind an empty
    /// read-only tmpfs; those that do not exist are skipped. Absent means the runtime's own list, and
    /// nothing for a privileged container.
    pub masked_paths: Option<Vec<String>>,
    /// Paths inside that are bound onto themselves read-only; those that do not exist are
    /// skipped. Absent means the runtime's own list, and nothing for a privileged container.
    pub read_only_paths: Option<Vec<String>>,
    /// Paths inside that are hidden besides those (`--security-opt mask=`).
    pub mask: Vec<String>,
    /// Paths, or shell patterns of them, that are neither hidden nor made read-only by
    /// the lists above (`--security-opt unmask=`); `ALL` stands for every path. As podman
    /// has it, a path takes all those below it along.
    pub unmask: Vec<String>,
    /// Bytes of `/dev/shm`; 64 MiB when absent. Moot where `ipc` is not the container's own.
    pub shm_size: Option<u64>,
    /// AppArmor profile to enter at execve, as the kernel knows it. Only on a host with
    /// AppArmor.
    pub apparmor: Option<String>,
    /// The cgroup file system at `/sys/fs/cgroup` is writable (`writable-cgroups=true`).
    pub writable_cgroups: bool,
}

/// Whose namespace a container uses.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "mode", rename_all = "kebab-case")]
pub enum NamespaceMode {
    /// Its own.
    #[default]
    Private,
    /// The host's.
    Host,
    /// That of another container, which must be running when this one starts.
    Container {
        /// That container's runtime directory; its `state.json` names the process.
        run_dir: PathBuf,
    },
}

/// Whose inter-process communication a container uses.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "mode", rename_all = "kebab-case")]
pub enum IpcMode {
    /// Its own, which no other may join: docker's default.
    #[default]
    Private,
    /// Its own, which other containers may join.
    Shareable,
    /// Its own, without `/dev/shm`.
    None,
    /// The host's namespace and its `/dev/shm`.
    Host,
    /// That of another container, with its `/dev/shm` (taken from the root of its first
    /// process). It must be running when this one starts.
    Container {
        /// That container's runtime directory.
        run_dir: PathBuf,
    },
}

/// How ids inside relate to ids outside.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "mode", rename_all = "kebab-case")]
pub enum UserMode {
    /// Nobody asked: as root none, for a plain user the one of all their containers, with
    /// a nested one where the image's user is not root.
    #[default]
    Default,
    /// As root none, for a plain user the one of all their containers; never a nested one.
    Host,
    /// The caller's ids are these ones inside.
    KeepId {
        /// User id inside; the caller's own when absent.
        #[serde(default)]
        uid: Option<u32>,
        /// Group id inside; the caller's own when absent.
        #[serde(default)]
        gid: Option<u32>,
    },
    /// A range of ids that no other container uses.
    Auto {
        /// Number of ids; as many as the image needs when absent.
        #[serde(default)]
        size: Option<u32>,
    },
}

/// A device of the host inside a container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DevicePlan {
    /// The node on the host.
    pub host: PathBuf,
    /// Absolute path inside. As root a node of the same number is made there; a plain user
    /// gets the host's node bound. Directories above it are made.
    pub path: String,
    /// What the cgroup's device program allows. A plain user has no such program: there the
    /// node's mode decides.
    pub access: DeviceAccess,
    /// Which kind of node it is.
    pub kind: DeviceKind,
    /// Major number.
    pub major: u32,
    /// Minor number.
    pub minor: u32,
}

/// Which system call filter is loaded.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Seccomp {
    /// At least as strict as moby's default profile.
    #[default]
    Default,
    /// None.
    Unconfined,
    /// A profile of the user's.
    Profile(Box<SeccompSource>),
}

/// A profile in docker's JSON format, as it was read when the container was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeccompSource {
    /// Where it comes from, for messages.
    pub path: PathBuf,
    /// Its text: JSON, and known to be that.
    pub text: String,
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
