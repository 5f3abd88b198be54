//! How much of the machine a container may use.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// Limits that a cgroup enforces. Absent means nobody asked.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Limits {
    /// What happens where one of them cannot be enforced.
    pub unenforceable: Unenforceable,
    /// Bytes of memory.
    pub memory: Option<u64>,
    /// Bytes below which memory is taken from others first: `memory.low` of version 2,
    /// `memory.soft_limit_in_bytes` of version 1.
    pub memory_reservation: Option<u64>,
    /// Bytes of memory and swap together, as docker counts; -1 is without limit. With
    /// `memory` alone, docker's default is twice that.
    pub memory_swap: Option<i64>,
    /// 0 to 100; version 1 only.
    pub memory_swappiness: Option<u32>,
    /// A lack of memory stops its processes instead of killing one; version 1 only.
    pub oom_kill_disable: bool,
    /// Thousand-millionths of a processor (`--cpus`). Excludes quota and period.
    pub nano_cpus: Option<u64>,
    /// Relative weight, 2 to 262144 in version 1's scale; 1024 is everybody's.
    pub cpu_shares: Option<u64>,
    /// Microseconds of processor time within a period; -1 is without limit.
    pub cpu_quota: Option<i64>,
    /// Microseconds, 1,000 to 1,000,000; 100,000 when absent.
    pub cpu_period: Option<u64>,
    /// Processors, e.g. `0-2,5`.
    pub cpuset_cpus: Option<String>,
    /// Memory nodes, e.g. `0,1`.
    pub cpuset_mems: Option<String>,
    /// Processes and threads; -1 is without limit. Absent means the runtime's default where that can
    /// be enforced.
    pub pids: Option<i64>,
    /// Relative weight of block I/O, 10 to 1000.
    pub blkio_weight: Option<u16>,
    /// The same for single devices.
    pub blkio_weight_device: Vec<DeviceLimit>,
    /// Bytes a second read from a device.
    pub device_read_bps: Vec<DeviceLimit>,
    /// Bytes a second written to a device.
    pub device_write_bps: Vec<DeviceLimit>,
    /// Reads a second from a device.
    pub device_read_iops: Vec<DeviceLimit>,
    /// Writes a second to a device.
    pub device_write_iops: Vec<DeviceLimit>,
}

impl Limits {
    /// Whether nothing at all was asked for.
    pub fn is_empty(&self) -> bool {
        let nothing = Self {
            unenforceable: self.unenforceable,
            ..Self::default()
        };
        *self == nothing
    }
}

/// What becomes of a limit that this machine cannot enforce.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Unenforceable {
    /// The container does not start: a flag asked for it.
    #[default]
    Refuse,
    /// It starts without; whoever asked has been told.
    Warn,
}

/// A limit for one block device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceLimit {
    /// The node on the host.
    pub path: PathBuf,
    /// Weight, bytes a second or operations a second.
    pub value: u64,
}

/// A limit of a process and those it starts, as `setrlimit` sets it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rlimit {
    /// Docker's lower-case name: `core cpu data fsize locks memlock msgqueue nice nofile
    /// nproc rss rtprio rttime sigpending stack`.
    pub name: String,
    /// The one in force; `u64::MAX` is without limit.
    pub soft: u64,
    /// How far it may be raised; `u64::MAX` is without limit.
    pub hard: u64,
}
