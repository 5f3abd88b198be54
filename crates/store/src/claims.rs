//! What is being made in several steps, or looked up to be used.
//!
//! A container's anonymous volumes are there before its record is, and a container of
//! `run --rm` before its supervisor. Each such thing has a claim meanwhile: a file in
//! `tmp/` whose lock its maker holds. A claim that nobody holds tells the next command
//! what a crash left.

use std::ffi::OsStr;
use std::io::Write;
use std::path::{Path, PathBuf};

use model::ContainerId;
use sys::fs::{DirFd, FileLock};

use crate::{Error, Result, Store};

/// Names of claims begin with what is claimed.
const VOLUME: &str = "volume.";
const RUN: &str = "run.";

/// A claim; dropping it says that what was claimed is complete, or gone.
#[derive(Debug)]
#[must_use = "what is claimed counts as complete when this is dropped"]
pub struct Claim {
    path: PathBuf,
    _lock: FileLock,
}

impl Drop for Claim {
    fn drop(&mut self) {
        // Left behind it does no harm: the next command looks and finds all in order.
        let _ = std::fs::remove_file(&self.path);
    }
}

/// A container of `run --rm` whose command died before it was started, or soon after.
/// Nobody else looks after it while this lives.
#[derive(Debug)]
pub struct Abandoned {
    /// The container; perhaps it never came to be, perhaps it runs.
    pub id: ContainerId,
    path: PathBuf,
    _lock: FileLock,
}

impl Abandoned {
    /// It runs, or is gone: no later command needs to look.
    pub fn settled(self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Keeps volumes and networks from being removed while it lives.
#[derive(Debug)]
#[must_use]
pub struct UseLock {
    _lock: FileLock,
}

impl Store {
    fn claim(&self, name: &str, content: &str) -> Result<Claim> {
        let tmp = DirFd::open(&self.root().join("tmp"))?;
        let path = tmp.path().join(name);
        loop {
            let file = match tmp.create_file(OsStr::new(name), 0o600) {
                Err(e) if e.errno() == Some(rustix::io::Errno::EXIST) => {
                    std::thread::yield_now();
                    continue;
                }
                made => made?,
            };
            // A healer that was quicker with the lock takes the entry away: try again.
            if let Ok(lock) = FileLock::try_file(file, &path)?
                && tmp.stat(OsStr::new(name))?.is_some()
            {
                let claim = Claim { path, _lock: lock };
                let mut file = claim._lock.file();
                file.write_all(content.as_bytes())
                    .map_err(|e| sys::Error::new("write", claim.path.display().to_string(), e))?;
                return Ok(claim);
            }
        }
    }

    /// To be held from before an anonymous volume is made until its container is
    /// recorded: a volume whose container never came to be goes with the next command.
    pub fn claim_volume(&self, volume: &str, container: &ContainerId) -> Result<Claim> {
        self.claim(&format!("{VOLUME}{volume}"), container.as_str())
    }

    /// To be held from before a container of `run --rm` is made until it runs.
    pub fn claim_run(&self, container: &ContainerId) -> Result<Claim> {
        self.claim(&format!("{RUN}{container}"), "")
    }

    /// Keeps volumes and networks: hold it from the first look for one until the
    /// container that uses it is recorded.
    pub fn share_uses(&self) -> Result<UseLock> {
        let _lock = FileLock::shared(&self.root().join("uses.lock"))?;
        Ok(UseLock { _lock })
    }

    /// Waits until nobody records a container: held while a volume or network goes.
    pub(crate) fn exclude_uses(&self) -> Result<UseLock> {
        let _lock = FileLock::exclusive(&self.root().join("uses.lock"))?;
        Ok(UseLock { _lock })
    }

    /// Ends a claim in `tmp/` that nobody holds any more; `None` if `name` is no claim.
    /// An abandoned container is for the caller, who knows whether it runs.
    pub(crate) fn heal_claim(
        &self,
        name: &OsStr,
        path: &Path,
        lock: FileLock,
    ) -> Option<Option<Abandoned>> {
        let name = name.to_str()?;
        if let Some(volume) = name.strip_prefix(VOLUME) {
            let text = std::fs::read_to_string(path).unwrap_or_default();
            let recorded = |id: ContainerId| self.containers().dir(&id).exists();
            if !text.parse().is_ok_and(recorded) {
                let _ = self.volumes().discard(volume);
            }
            let _ = std::fs::remove_file(path);
            return Some(None);
        }
        let id = name.strip_prefix(RUN)?.parse().ok()?;
        Some(Some(Abandoned {
            id,
            path: path.to_owned(),
            _lock: lock,
        }))
    }
}

impl Store {
    /// Tells of a record that cannot be used. The rest of its kind can.
    pub(crate) fn damaged(&self, error: &Error) {
        if let Some(tell) = self.options().on_damage {
            tell(error, error.hint());
        }
    }

    /// What could be read; of a damaged record the user is told.
    pub(crate) fn whole<T>(&self, read: Result<Option<T>>) -> Result<Option<T>> {
        match read {
            Err(error) if error.is_damage() => {
                self.damaged(&error);
                Ok(None)
            }
            other => other,
        }
    }
}
