//! What there is to see on a machine.

use std::path::PathBuf;

/// All that was seen. A test fills it by hand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// The caller's number.
    pub uid: u32,
    /// The caller's name; the number where there is none.
    pub user: String,
    /// The kernel's release, e.g. `6.1.0-18-amd64`.
    pub kernel: String,
    /// System calls that the kernel lacks.
    pub missing_calls: Vec<&'static str>,
    /// Whether the kernel filters system calls.
    pub filters: bool,
    /// How far namespaces and mounts go.
    pub namespaces: Namespaces,
    /// Whether the caller is the root of a container that may neither mount nor unshare.
    pub confined: bool,
    /// First and number of the caller's ids in `/etc/subuid`.
    pub subuid: Option<(u32, u32)>,
    /// The same of `/etc/subgid`.
    pub subgid: Option<(u32, u32)>,
    /// The first id above all ranges in either file.
    pub free_ids: u32,
    /// `newuidmap` and `newgidmap`.
    pub mappers: Vec<Mapper>,
    /// Kind of control groups, e.g. `version 2`.
    pub cgroups: String,
    /// The flags of limits that cannot be enforced, each with cause and remedy.
    pub limits: Vec<(&'static str, String, String)>,
    /// Where runtime state goes, if it lies on memory, and if `XDG_RUNTIME_DIR` names it.
    pub runtime: PathBuf,
    /// Whether that is on a file system in memory.
    pub runtime_in_memory: bool,
    /// Whether the session manager offers a place of its own.
    pub runtime_of_session: bool,
    /// The store.
    pub store: PathBuf,
    /// Its file system, e.g. `ext4`.
    pub store_kind: String,
    /// Room on it.
    pub space: Option<Space>,
    /// First port that anyone may listen on.
    pub first_port: u32,
    /// Whether the caller's processes outlive the session; absent without logind.
    pub lingers: Option<bool>,
    /// Files of trusted certificates that are there.
    pub certificates: Vec<PathBuf>,
    /// Name servers of `/etc/resolv.conf`.
    pub name_servers: Vec<String>,
    /// The year that the clock shows.
    pub year: i16,
    /// Whether the clock is kept in step, where that is known.
    pub clock_kept: Option<bool>,
}

/// How far namespaces go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Namespaces {
    /// What was tried in a child.
    pub reach: sys::probe::Reach,
    /// `kernel.unprivileged_userns_clone`, where there is such a switch.
    pub allowed: Option<bool>,
    /// `user.max_user_namespaces`.
    pub most: Option<u64>,
    /// `kernel.apparmor_restrict_unprivileged_userns`, where there is such a switch.
    pub apparmor: Option<bool>,
}

/// One of the two programs that map a range.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mapper {
    /// Its name.
    pub name: &'static str,
    /// Where it is.
    pub path: Option<PathBuf>,
    /// Whether it is setuid root or has its file capability.
    pub privileged: bool,
}

/// Room on a file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Space {
    /// Bytes that the caller may still use.
    pub bytes: u64,
    /// Files that can still be made; absent where that has no limit.
    pub files: Option<u64>,
}
