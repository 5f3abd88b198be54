//! Mounts as asked for.

use std::path::PathBuf;

use model::container::MountOptions;

/// A mount as asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MountRequest {
    /// Absolute path inside.
    pub target: String,
    /// What is mounted.
    pub source: MountSource,
    /// Whether writing is forbidden.
    pub read_only: bool,
    /// What is seldom asked for.
    pub options: MountOptions,
}

/// What a mount shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MountSource {
    /// A host path.
    Bind {
        /// Absolute.
        path: PathBuf,
        /// Whether an absent one is made, as docker's `-v` does.
        create: bool,
    },
    /// A named volume, made if absent.
    Volume {
        /// Its name.
        name: String,
        /// Labels for a volume that has to be made.
        labels: Vec<(String, String)>,
        /// Whether an empty one takes the image's content.
        copy_up: bool,
    },
    /// A volume without a name, gone with its container (`--rm`, `rm -v`).
    Anonymous {
        /// Whether an empty one takes the image's content.
        copy_up: bool,
        /// That of the container which this one replaces.
        kept: Option<String>,
    },
    /// Memory.
    Tmpfs {
        /// Bytes.
        size: Option<u64>,
        /// Permission bits.
        mode: Option<u32>,
    },
    /// An image's file system, read-only.
    Image {
        /// Reference or id.
        image: String,
    },
}

impl MountSource {
    /// A fresh volume without a name.
    pub fn anonymous() -> Self {
        Self::Anonymous {
            copy_up: true,
            kept: None,
        }
    }
}

/// Mounts of another container, as asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VolumesFrom {
    /// Name or id.
    pub container: String,
    /// Whether writing is forbidden; as it is there when absent.
    pub read_only: Option<bool>,
}
