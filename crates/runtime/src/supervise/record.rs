//! What a supervisor leaves on disk, and how it is read back.
//!
//! ```text
//! <run_dir>/lock        held (flock, exclusive) while the supervisor lives
//! <run_dir>/state.json  RunState, by rename; gone after an orderly end
//! <run_dir>/ctl         the control socket; gone after an orderly end
//! <run_dir>/lost        the last supervisor was killed and its restart policy is still due
//! <exit>                ExitRecord, by rename; outlives everything
//! running.json          beside it: the RunState of the start; gone after an orderly end
//! ```
//!
//! A crash loses nothing but the exit record of that run; whoever next finds the lock
//! free and `state.json` still there writes one (see [`crate::liveness`]). Runtime
//! directories do not outlive the machine: then `running.json` stands for the state. It
//! survives a power cut, too, if the container has a restart policy.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use model::container::{ExitRecord, RunState};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// A file of a supervisor could not be used.
#[derive(Debug, thiserror::Error)]
#[error("cannot {act} {}", .path.display())]
pub struct RecordError {
    /// The act.
    pub act: &'static str,
    /// The file.
    pub path: PathBuf,
    /// The reason.
    #[source]
    pub source: io::Error,
}

impl RecordError {
    pub(crate) fn new(act: &'static str, path: &Path, source: impl Into<io::Error>) -> Self {
        Self {
            act,
            path: path.to_owned(),
            source: source.into(),
        }
    }
}

/// Path of the lock.
pub(crate) fn lock_path(run_dir: &Path) -> PathBuf {
    run_dir.join("lock")
}

/// Path of the state.
pub(crate) fn state_path(run_dir: &Path) -> PathBuf {
    run_dir.join("state.json")
}

/// Path of the note that a run has begun.
pub(crate) fn running_path(exit: &Path) -> PathBuf {
    exit.with_file_name("running.json")
}

/// Notes that a run has begun; `durable` if a power cut may not take the note away.
pub(crate) fn write_running(
    exit: &Path,
    state: &RunState,
    durable: bool,
) -> Result<(), RecordError> {
    let path = running_path(exit);
    let file = write(&path, state)?;
    match durable {
        true => sync(&path, &file),
        false => Ok(()),
    }
}

/// The note of a run that has begun and, as far as is known, not ended.
pub(crate) fn read_running(exit: &Path) -> Result<Option<RunState>, RecordError> {
    read(&running_path(exit))
}

/// Path of the note that a supervisor was lost.
pub(crate) fn lost_path(run_dir: &Path) -> PathBuf {
    run_dir.join("lost")
}

/// Reads the state of a running container; `None` when there is none.
pub fn read_state(run_dir: &Path) -> Result<Option<RunState>, RecordError> {
    read(&state_path(run_dir))
}

/// Publishes the state.
pub(crate) fn write_state(run_dir: &Path, state: &RunState) -> Result<(), RecordError> {
    write(&state_path(run_dir), state).map(drop)
}

/// Reads how a container's last run ended; `None` when it never ended. A record that a
/// power cut has emptied reads as exit code 255, docker's word for "not known".
pub fn read_exit(path: &Path) -> Result<Option<ExitRecord>, RecordError> {
    match read(path) {
        Err(e) if e.source.kind() == io::ErrorKind::InvalidData => Ok(Some(ExitRecord {
            code: 255,
            oom_killed: false,
            error: Some("the exit record is damaged".into()),
            started_at: String::new(),
            finished_at: String::new(),
            stopped_by_user: false,
            lost: false,
            restarts: 0,
        })),
        other => other,
    }
}

/// Publishes how a run ended. The file is handed back, to be synced once everybody waiting
/// has been told. On a full disk the note of the run's beginning becomes the record of its
/// end: its block and its name are there already.
pub(crate) fn write_exit(path: &Path, record: &ExitRecord) -> Result<File, RecordError> {
    match write(path, record) {
        Err(e) if is_full(&e.source) => overwrite(&running_path(path), path, record).map_err(|_| e),
        written => written,
    }
}

fn is_full(error: &io::Error) -> bool {
    use io::ErrorKind::{QuotaExceeded, StorageFull};
    matches!(error.kind(), StorageFull | QuotaExceeded)
}

/// Writes into a file that is there, longer than what is written, and renames it.
fn overwrite(from: &Path, path: &Path, record: &ExitRecord) -> io::Result<File> {
    // What a failed write has left takes up what little there is.
    let _ = std::fs::remove_file(path.with_extension("tmp"));
    let bytes = serde_json::to_vec(record).expect("plain structs serialise");
    let mut file = File::options().write(true).open(from)?;
    file.write_all(&bytes)?;
    file.set_len(bytes.len() as u64)?;
    std::fs::rename(from, path)?;
    Ok(file)
}

/// Makes a published record survive a power cut.
pub(crate) fn sync(path: &Path, file: &File) -> Result<(), RecordError> {
    file.sync_data()
        .and_then(|()| match path.parent() {
            Some(parent) => File::open(parent)?.sync_all(),
            None => Ok(()),
        })
        .map_err(|e| RecordError::new("sync", path, e))
}

fn read<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, RecordError> {
    let bytes = match std::fs::read(path) {
        Ok(bytes) => bytes,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(RecordError::new("read", path, e)),
    };
    let parsed = serde_json::from_slice(&bytes);
    parsed
        .map(Some)
        .map_err(|e| RecordError::new("read", path, io::Error::new(io::ErrorKind::InvalidData, e)))
}

fn write(path: &Path, value: &impl Serialize) -> Result<File, RecordError> {
    let bytes = serde_json::to_vec(value).expect("plain structs serialise");
    // Only the holder of the lock writes, so one name for the half-made file is enough.
    let half = path.with_extension("tmp");
    let failed = |act, path: &Path| {
        let path = path.to_owned();
        move |e: io::Error| RecordError::new(act, &path, e)
    };
    let mut file = File::create(&half).map_err(failed("create", &half))?;
    file.write_all(&bytes).map_err(failed("write", &half))?;
    std::fs::rename(&half, path).map_err(failed("publish", path))?;
    Ok(file)
}

/// Now, as RFC 3339 with nine digits of a second: such texts sort by time.
pub(crate) fn now() -> String {
    format!("{:.9}", jiff::Timestamp::now())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_emptied_exit_record_is_code_255_and_an_absent_one_is_none() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("exit.json");
        assert_eq!(read_exit(&path).unwrap(), None);
        std::fs::write(&path, "").unwrap();
        assert_eq!(read_exit(&path).unwrap().unwrap().code, 255);
    }

    #[test]
    fn times_have_a_fixed_width() {
        let now = now();
        assert_eq!(now.len(), "2026-01-01T00:00:00.000000000Z".len(), "{now}");
    }
}
