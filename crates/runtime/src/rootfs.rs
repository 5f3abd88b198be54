//! The root file system, hostile until proven otherwise.

use std::path::PathBuf;

/// Something that had to be created in the root file system to mount on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Created {
    /// Relative to the root.
    pub path: PathBuf,
    /// Whether it is a directory (else an empty file).
    pub directory: bool,
}

/// Why a root file system cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum RootfsError {
    /// A step failed.
    #[error(transparent)]
    Sys(#[from] sys::Error),
}
