//! What is kept of a container's output.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// How a container's output is kept.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LogPlan {
    /// Where it goes.
    pub driver: LogDriver,
    /// Bytes after which a new file is begun. When absent, the supervisor's own limit; none
    /// at all if `options` has `max-size` nevertheless.
    pub max_size: Option<u64>,
    /// Files that are kept, the current one among them; when absent, 1 with a given size.
    pub max_files: Option<u32>,
    /// Always false: files of logs stay as they are.
    pub compress: bool,
    /// Written with each line, for `logs --details`.
    pub attributes: BTreeMap<String, String>,
    /// The options as they were given, for `inspect`.
    pub options: BTreeMap<String, String>,
}

/// Docker's log drivers that are ours too.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LogDriver {
    /// Lines of JSON in a file.
    #[default]
    JsonFile,
    /// The same with docker's defaults for `local`: 20 MB a file, 5 files; not compressed.
    /// (Docker's own format of it is documented as internal.)
    Local,
    /// Nowhere; `logs` says so.
    None,
}

impl LogDriver {
    /// Docker's name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::JsonFile => "json-file",
            Self::Local => "local",
            Self::None => "none",
        }
    }
}
