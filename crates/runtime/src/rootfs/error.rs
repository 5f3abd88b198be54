//! Why a root file system cannot be set up.

use std::path::PathBuf;

/// Why a root file system cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum RootfsError {
    /// A directory that every container needs is something else.
    #[error("the image's /{0} is not a directory")]
    NotADirectory(&'static str),
    /// A mount's source is absent.
    #[error("bind source path does not exist: {}", .0.display())]
    NoSource(PathBuf),
    /// A mount's source cannot be opened.
    #[error("cannot open the mount source {}", path.display())]
    Source {
        /// The source.
        path: PathBuf,
        /// The kernel's answer.
        #[source]
        source: std::io::Error,
    },
    /// A directory is to be mounted on a file, or the other way round.
    #[error("cannot mount {source_kind} {} on {target_kind} {target}", path.display())]
    Mismatch {
        /// The source.
        path: PathBuf,
        /// `directory` or `file`.
        source_kind: &'static str,
        /// `directory` or `file`.
        target_kind: &'static str,
        /// The path inside.
        target: String,
    },
    /// A mount over what every container needs.
    #[error("cannot mount on {0}: it is the container's own")]
    Reserved(String),
    /// A path inside cannot be made.
    #[error("cannot make {target} in the container")]
    Target {
        /// The path inside.
        target: String,
        /// The kernel's answer.
        #[source]
        source: std::io::Error,
    },
    /// A volume cannot be filled with the image's content.
    #[error("cannot copy the image's {target} to volume {volume}")]
    CopyUp {
        /// The path inside.
        target: String,
        /// The volume's name.
        volume: String,
        /// What failed.
        #[source]
        source: Box<sys::Error>,
    },
    /// A step failed.
    #[error(transparent)]
    Sys(#[from] sys::Error),
}
