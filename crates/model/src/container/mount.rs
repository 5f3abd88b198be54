//! What is mounted in a container.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// One mount.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MountPlan {
    /// Absolute path inside the container.
    pub target: String,
    /// What is mounted.
    pub kind: MountKind,
    /// Whether writing is forbidden.
    pub read_only: bool,
    /// What is seldom asked for.
    #[serde(default)]
    pub options: MountOptions,
}

/// What a mount shows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum MountKind {
    /// A host path; it must exist.
    Bind {
        /// Absolute path on the host.
        source: PathBuf,
    },
    /// A volume's data directory. An empty one is first filled with what the image
    /// has at the target.
    Volume {
        /// The volume's `data/`.
        source: PathBuf,
        /// Its name, for `inspect`.
        name: String,
        /// Whether an empty volume takes the image's content.
        copy_up: bool,
    },
    /// Memory.
    Tmpfs {
        /// Bytes; the kernel's default when absent.
        size: Option<u64>,
        /// Permission bits; 1777 octal when absent.
        mode: Option<u32>,
    },
    /// The file system of an image, read-only.
    Image {
        /// Unpacked layers, topmost first, as overlay's `lowerdir` wants them.
        layers: Vec<PathBuf>,
        /// Its name, for `inspect`.
        name: String,
    },
}

/// What a mount may be told besides its source and target. The default is docker's.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct MountOptions {
    /// Whether mounts made later on one side appear on the other; binds and volumes only.
    pub propagation: Propagation,
    /// Whether mounts below a bind's source come along, and are read-only with it.
    pub recursive: Recursion,
    /// A directory or file below the volume's or image's root, which is mounted instead of
    /// it; resolved so that no link leads out, and it must exist.
    pub subpath: Option<String>,
    /// Programs on it cannot be executed. A tmpfs's default is that they cannot.
    pub no_exec: Option<bool>,
    /// Setuid bits on it have no effect. A tmpfs's default is that they have none.
    pub no_suid: Option<bool>,
    /// Device nodes on it do not open. The runtime's own default when absent.
    pub no_dev: Option<bool>,
    /// Further words for the file system itself, as `mount -o` knows them; tmpfs only, e.g.
    /// `uid` and `1000`, or `nr_inodes` and `4096`; an empty value is a word alone.
    pub data: Vec<(String, String)>,
    /// The source is given to the user of the container's first process before it is
    /// mounted (podman's `U`).
    pub chown: bool,
    /// A tmpfs begins with what the image has at the target (podman's `tmpcopyup`).
    pub copy_up: bool,
    /// Ids of the source are mapped through the container's (podman's `idmap`).
    pub idmap: bool,
}

/// Whether mounts made later on one side of a bind appear on the other.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Propagation {
    /// Neither way, with everything below: docker's default.
    #[default]
    Rprivate,
    /// Neither way; mounts below keep what they have.
    Private,
    /// From the host to the container, with everything below.
    Rslave,
    /// From the host to the container.
    Slave,
    /// Both ways, with everything below.
    Rshared,
    /// Both ways.
    Shared,
}

impl Propagation {
    /// The word that `mount` and docker have for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Rprivate => "rprivate",
            Self::Private => "private",
            Self::Rslave => "rslave",
            Self::Slave => "slave",
            Self::Rshared => "rshared",
            Self::Shared => "shared",
        }
    }

    /// Reads that word.
    pub fn from_word(word: &str) -> Option<Self> {
        [
            Self::Rprivate,
            Self::Private,
            Self::Rslave,
            Self::Slave,
            Self::Rshared,
            Self::Shared,
        ]
        .into_iter()
        .find(|propagation| propagation.as_str() == word)
    }
}

/// What becomes of the mounts below a bind's source (docker's `bind-recursive`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Recursion {
    /// They come along, and are read-only with the bind where the kernel can do it (5.12):
    /// docker's default.
    #[default]
    Enabled,
    /// They stay behind.
    Disabled,
    /// They come along and stay writable.
    Writable,
    /// They come along and must become read-only, or the start fails.
    Readonly,
}
