//! Advisory locks (`flock`): they end with the descriptor, hence with the process.

use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

use rustix::fs::{self, FlockOperation, Mode, OFlags};
use rustix::io::Errno;

use super::DirFd;
use crate::{Error, Result};

/// A held lock; dropping it lets go.
#[derive(Debug)]
#[must_use = "the lock ends when this is dropped"]
pub struct FileLock {
    file: File,
}

impl FileLock {
    /// Waits until nobody else holds the file exclusively or shared. The file is made
    /// if it is absent.
    pub fn exclusive(path: &Path) -> Result<Self> {
        let file = lock_file(path)?;
        flock(&file, FlockOperation::LockExclusive, path)?;
        Ok(Self { file })
    }

    /// Waits until nobody holds the file exclusively.
    pub fn shared(path: &Path) -> Result<Self> {
        let file = lock_file(path)?;
        flock(&file, FlockOperation::LockShared, path)?;
        Ok(Self { file })
    }

    /// Takes the file exclusively if it is free now.
    pub fn try_exclusive(path: &Path) -> Result<Option<Self>> {
        let file = lock_file(path)?;
        let held = flock(&file, FlockOperation::NonBlockingLockExclusive, path)?;
        Ok(held.then_some(Self { file }))
    }

    /// Takes an open file exclusively if it is free now; gives it back if it is not.
    pub fn try_file(file: File, path: &Path) -> Result<std::result::Result<Self, File>> {
        match flock(&file, FlockOperation::NonBlockingLockExclusive, path)? {
            true => Ok(Ok(Self { file })),
            false => Ok(Err(file)),
        }
    }

    /// Takes a directory itself exclusively if it is free now.
    pub fn try_dir(dir: DirFd) -> Result<Option<Self>> {
        let path = dir.path().to_owned();
        let file = File::from(std::os::fd::OwnedFd::from(dir));
        Ok(Self::try_file(file, &path)?.ok())
    }

    /// The locked file.
    pub fn file(&self) -> &File {
        &self.file
    }
}

impl AsFd for FileLock {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

fn lock_file(path: &Path) -> Result<File> {
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    fs::open(path, flags, Mode::from_raw_mode(0o600))
        .map(File::from)
        .map_err(|e| Error::new("open lock", path.display().to_string(), e))
}

/// Whether the lock was taken; `false` only for a non-blocking operation.
fn flock(file: &File, operation: FlockOperation, path: &Path) -> Result<bool> {
    loop {
        match fs::flock(file, operation) {
            Ok(()) => return Ok(true),
            Err(Errno::WOULDBLOCK) => return Ok(false),
            Err(Errno::INTR) => {}
            Err(e) => return Err(Error::new("lock", path.display().to_string(), e)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn excludes_until_dropped() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("lock");
        let held = FileLock::exclusive(&path).unwrap();
        assert!(FileLock::try_exclusive(&path).unwrap().is_none());
        drop(held);
        let one = FileLock::shared(&path).unwrap();
        let _two = FileLock::shared(&path).unwrap();
        assert!(FileLock::try_exclusive(&path).unwrap().is_none());
        drop(one);
    }

    #[test]
    fn directories_can_be_held() {
        let temp = tempfile::tempdir().unwrap();
        let open = || DirFd::open(temp.path()).unwrap();
        let _held = FileLock::try_dir(open()).unwrap().unwrap();
        assert!(FileLock::try_dir(open()).unwrap().is_none());
    }
}
