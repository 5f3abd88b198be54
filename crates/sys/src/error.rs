//! The error of every door: what was done, to what, and the kernel's answer.

use std::io;

/// A kernel act that failed.
#[derive(Debug, thiserror::Error)]
#[error("cannot {act} {object}")]
pub struct Error {
    /// The act, a verb phrase, e.g. `open` or `mount overlay on`.
    pub act: &'static str,
    /// What it was done to, e.g. a path.
    pub object: String,
    /// The kernel's answer.
    #[source]
    pub source: io::Error,
}

/// Result of a door.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// An error from the kernel's answer.
    pub fn new(act: &'static str, object: impl Into<String>, source: impl Into<io::Error>) -> Self {
        Self {
            act,
            object: object.into(),
            source: source.into(),
        }
    }

    /// An error from `errno`.
    pub fn last(act: &'static str, object: impl Into<String>) -> Self {
        Self::new(act, object, io::Error::last_os_error())
    }

    /// The kernel's error number, if it was one.
    pub fn errno(&self) -> Option<rustix::io::Errno> {
        rustix::io::Errno::from_io_error(&self.source)
    }
}
