//! Health checks, as docker's image configuration and compose describe them.

use serde::{Deserialize, Serialize};

/// A health check whose defaults are resolved. All times are in milliseconds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthCheck {
    /// Program and arguments, executed inside the container (`CMD-SHELL` is
    /// already turned into its shell).
    pub argv: Vec<String>,
    /// Time between two checks.
    pub interval_ms: u64,
    /// A check that runs longer has failed.
    pub timeout_ms: u64,
    /// Failures within this time of the start do not count.
    pub start_period_ms: u64,
    /// Time between two checks within the start period.
    pub start_interval_ms: u64,
    /// This many failures in a row make the container unhealthy.
    pub retries: u32,
}

/// What a container's health check last said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HealthStatus {
    /// Within the start period and not yet healthy.
    Starting,
    /// The last check passed.
    Healthy,
    /// `retries` checks in a row failed.
    Unhealthy,
}

impl HealthStatus {
    /// The word that docker prints.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Healthy => "healthy",
            Self::Unhealthy => "unhealthy",
        }
    }
}

/// One finished check, as `inspect` shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthProbe {
    /// RFC 3339 with nanoseconds.
    pub start: String,
    /// RFC 3339 with nanoseconds.
    pub end: String,
    /// 0 is healthy; -1 stands for a timeout.
    pub exit_code: i32,
    /// At most the first 4 KiB of the check's output.
    pub output: String,
}
