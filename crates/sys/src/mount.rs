//! The mount API of Linux 5.2 and later: everything by descriptor.

use std::os::fd::OwnedFd;
use std::path::Path;

use crate::{Error, Result};

/// A detached clone of the mount at a path, on which nothing can be written.
pub fn clone_read_only(path: impl AsRef<Path>) -> Result<OwnedFd> {
    let shown = path.as_ref().display().to_string();
    Err(Error::new(
        "clone the mount of",
        shown,
        rustix::io::Errno::NOSYS,
    ))
}
