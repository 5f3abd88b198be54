//! Explains the machine: what was found, what follows from it, and the one command that
//! mends it.
//!
//! Looking and judging are apart: [`Facts`] is what was seen, [`judge`] knows nothing else.

mod facts;
mod gather;
mod judge;

use serde::Serialize;

pub use facts::{Facts, Mapper, Namespaces, Space};
pub use judge::judge;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// As it should be.
    Fine,
    /// Something is lost.
    Degraded,
    /// Containers cannot run.
    Fatal,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What it is about, e.g. `subordinate ids`.
    pub check: &'static str,
    /// How bad it is.
    pub severity: Severity,
    /// What was found.
    pub finding: String,
    /// What follows; absent where nothing is lost.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub consequence: Option<String>,
    /// The command that mends it, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
}

/// The worst of several findings.
pub fn worst(findings: &[Finding]) -> Severity {
    findings
        .iter()
        .map(|finding| finding.severity)
        .max()
        .unwrap_or(Severity::Fine)
}
