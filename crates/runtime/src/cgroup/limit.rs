//! What can be limited, and why this machine may not be able to.

use std::fmt;
use std::path::PathBuf;

/// One limit, named by the flag that asks for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Limit {
    /// Bytes of memory.
    Memory,
    /// Memory that is left to it for longest.
    MemoryReservation,
    /// Memory and swap together.
    MemorySwap,
    /// How readily its memory is swapped out.
    MemorySwappiness,
    /// Waiting instead of being killed.
    OomKillDisable,
    /// Processors' time, as a number of them.
    Cpus,
    /// Relative weight.
    CpuShares,
    /// Processors' time within a period.
    CpuQuota,
    /// That period.
    CpuPeriod,
    /// Which processors.
    CpusetCpus,
    /// Which memory nodes.
    CpusetMems,
    /// Number of processes and threads.
    Pids,
    /// Relative weight of input and output.
    BlkioWeight,
    /// The same for a device.
    BlkioWeightDevice,
    /// Bytes a second from a device.
    DeviceReadBps,
    /// Bytes a second to a device.
    DeviceWriteBps,
    /// Reads a second.
    DeviceReadIops,
    /// Writes a second.
    DeviceWriteIops,
}

impl Limit {
    /// The flag of `run` that asks for it.
    pub fn flag(self) -> &'static str {
        match self {
            Self::Memory => "--memory",
            Self::MemoryReservation => "--memory-reservation",
            Self::MemorySwap => "--memory-swap",
            Self::MemorySwappiness => "--memory-swappiness",
            Self::OomKillDisable => "--oom-kill-disable",
            Self::Cpus => "--cpus",
            Self::CpuShares => "--cpu-shares",
            Self::CpuQuota => "--cpu-quota",
            Self::CpuPeriod => "--cpu-period",
            Self::CpusetCpus => "--cpuset-cpus",
            Self::CpusetMems => "--cpuset-mems",
            Self::Pids => "--pids-limit",
            Self::BlkioWeight => "--blkio-weight",
            Self::BlkioWeightDevice => "--blkio-weight-device",
            Self::DeviceReadBps => "--device-read-bps",
            Self::DeviceWriteBps => "--device-write-bps",
            Self::DeviceReadIops => "--device-read-iops",
            Self::DeviceWriteIops => "--device-write-iops",
        }
    }
}

/// What the kernel calls the part of it that enforces a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Controller {
    Memory,
    Cpu,
    Cpuset,
    Pids,
    Io,
}

impl Controller {
    pub(super) const ALL: [Self; 5] = [Self::Memory, Self::Cpu, Self::Cpuset, Self::Pids, Self::Io];

    /// Its name in version 2.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Cpu => "cpu",
            Self::Cpuset => "cpuset",
            Self::Pids => "pids",
            Self::Io => "io",
        }
    }

    /// Its name in version 1, and that of the directory where it is mounted.
    pub(super) fn old_name(self) -> &'static str {
        match self {
            Self::Io => "blkio",
            other => other.name(),
        }
    }
}

/// A limit that this machine cannot enforce.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gap {
    /// Which one.
    pub limit: Limit,
    /// Why not; it follows a colon.
    pub cause: String,
    /// What would help, in the imperative.
    pub remedy: String,
}

impl fmt::Display for Gap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} cannot be enforced: {}",
            self.limit.flag(),
            self.cause
        )
    }
}

/// Why a container's limits are not in force.
#[derive(Debug, thiserror::Error)]
pub enum LimitError {
    /// This machine cannot enforce one.
    #[error("{0}")]
    Unenforceable(Gap),
    /// The kernel does not take its value.
    #[error("the kernel refuses {} `{value}` ({})", limit.flag(), file.display())]
    Refused {
        /// Which one.
        limit: Limit,
        /// What was written.
        value: String,
        /// Where.
        file: PathBuf,
        /// The kernel's answer.
        #[source]
        source: std::io::Error,
    },
    /// A limit for what is no block device.
    #[error("{}: {} is not a block device", limit.flag(), path.display())]
    NotBlockDevice {
        /// Which one.
        limit: Limit,
        /// The path given.
        path: PathBuf,
    },
    /// The container has no cgroup of its own here.
    #[error("the container has no cgroup of its own: {cause}")]
    NoCgroup {
        /// Why not.
        cause: String,
        /// What would help.
        remedy: String,
    },
    /// A kernel act failed.
    #[error(transparent)]
    Sys(#[from] sys::Error),
}

impl LimitError {
    /// What the user can do.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Unenforceable(gap) => Some(format!(
                "{}; or set SHIM_LIMITS=warn to go without it",
                gap.remedy
            )),
            Self::NoCgroup { remedy, .. } => Some(remedy.clone()),
            _ => None,
        }
    }
}
