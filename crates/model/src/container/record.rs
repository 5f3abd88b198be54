//! What is written down of a container's life.

use serde::{Deserialize, Serialize};

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
    /// Whether its supervisor was killed, or the machine with it: nobody was left to follow
    /// the restart policy, which is still owed.
    #[serde(default)]
    pub lost: bool,
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
    /// Its processes are frozen. Never written down: whoever looks finds out.
    Paused,
    /// Its process has ended and will be started again.
    Restarting,
}
