//! Is a container alive? Answered from its files alone, by anyone who may read them.
//!
//! | lock | `state.json` | exit record | it |
//! | --- | --- | --- | --- |
//! | held | yes | – | runs |
//! | free | yes | – | lost its supervisor: [`reap`] |
//! | free | no | yes | has ended |
//! | – | no | no | was never started, or is about to be |

use std::fs::File;
use std::io;
use std::path::Path;
use std::time::Duration;

use model::container::{ExitRecord, RunState};
use rustix::event::{PollFd, PollFlags};
use rustix::fs::FlockOperation;
use rustix::io::Errno;

use crate::process;
use crate::supervise::clock;
use crate::supervise::record::{self, RecordError};

/// SIGKILL, and the exit code that comes of it.
const KILL: i32 = 9;
const KILLED: i32 = 137;
/// A killed process that takes longer sits in the kernel.
const PATIENCE: Duration = Duration::from_secs(10);

/// What a container is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Observed {
    /// Its supervisor lives.
    Running(Box<RunState>),
    /// It has ended.
    Exited(ExitRecord),
    /// It has never run, or its supervisor is only just beginning.
    Created,
    /// Its supervisor died without a word: [`reap`] is due.
    Dead,
}

/// Why that could not be found out.
#[derive(Debug, thiserror::Error)]
pub enum LivenessError {
    /// A file is unreadable.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// A kernel act failed.
    #[error(transparent)]
    Sys(#[from] sys::Error),
    /// A killed process does not end.
    #[error("process {0} does not end though it was killed")]
    Unkillable(i32),
}

/// Looks at a container. Never waits.
pub fn observe(run_dir: &Path, exit: &Path) -> Result<Observed, LivenessError> {
    let held = is_held(run_dir)?;
    // The state is read after the lock was seen: a supervisor that ends in between takes
    // its state away first, and then the exit record is there.
    Ok(match (record::read_state(run_dir), held) {
        (Ok(Some(state)), true) => Observed::Running(Box::new(state)),
        // An unreadable state cannot be the supervisor's last word either.
        (Ok(Some(_)) | Err(_), false) => Observed::Dead,
        (Err(e), true) => return Err(e.into()),
        (Ok(None), _) => match record::read_exit(exit)? {
            Some(exit) => Observed::Exited(exit),
            None => Observed::Created,
        },
    })
}

/// Whether a supervisor holds the lock: a shared lock can then not be had.
pub fn is_held(run_dir: &Path) -> Result<bool, LivenessError> {
    let path = record::lock_path(run_dir);
    let failed = |act| {
        let path = path.clone();
        move |e: io::Error| RecordError::new(act, &path, e)
    };
    let file = match File::open(&path) {
        Ok(file) => file,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(e) => return Err(failed("open")(e).into()),
    };
    match rustix::fs::flock(&file, FlockOperation::NonBlockingLockShared) {
        Ok(()) => Ok(false),
        Err(Errno::WOULDBLOCK) => Ok(true),
        Err(e) => Err(failed("lock")(e.into()).into()),
    }
}

/// Cleans up after a supervisor that died without a word: ends what is left of the
/// container and records the exit. Gives the record, or `None` if there was nothing to do.
pub fn reap(run_dir: &Path, exit: &Path) -> Result<Option<ExitRecord>, LivenessError> {
    let path = record::lock_path(run_dir);
    let file = match File::options().read(true).write(true).open(&path) {
        Ok(file) => file,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(RecordError::new("open", &path, e).into()),
    };
    match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => reap_locked(run_dir, exit),
        // Somebody lives, or looks, or reaps: not our turn.
        Err(Errno::WOULDBLOCK) => Ok(None),
        Err(e) => Err(RecordError::new("lock", &path, e).into()),
    }
}

/// As [`reap`], for the holder of the lock.
pub(crate) fn reap_locked(
    run_dir: &Path,
    exit: &Path,
) -> Result<Option<ExitRecord>, LivenessError> {
    let path = record::state_path(run_dir);
    let state = match record::read_state(run_dir) {
        Ok(None) => return Ok(None),
        Ok(state) => state,
        Err(_) => None,
    };
    if let Some(state) = &state {
        end_processes(state)?;
    }
    remove_cgroup(run_dir, exit);
    let exit_record = ExitRecord {
        code: KILLED,
        oom_killed: false,
        error: Some("its supervisor was killed".into()),
        started_at: state
            .as_ref()
            .map_or(String::new(), |s| s.started_at.clone()),
        finished_at: record::now(),
        stopped_by_user: false,
        restarts: state.as_ref().map_or(0, |s| s.restarts),
    };
    let file = record::write_exit(exit, &exit_record)?;
    record::sync(exit, &file)?;
    crate::supervise::socket::remove(run_dir);
    match std::fs::remove_file(&path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => {
            Err(RecordError::new("remove", &path, e).into())
        }
        _ => Ok(Some(exit_record)),
    }
}

/// Its name is the container's id, as is that of the directory of its records.
fn remove_cgroup(run_dir: &Path, exit: &Path) {
    let directories = [exit.parent(), Some(run_dir)].into_iter().flatten();
    let names = directories.filter_map(|path| path.file_name()?.to_str());
    if let Some(id) = names.filter_map(|name| name.parse().ok()).next() {
        crate::cgroup::remove(&id);
    }
}

/// Kills the container's first process, and with it all the others of its pid namespace.
fn end_processes(state: &RunState) -> Result<(), LivenessError> {
    let Some(init) = state.init else {
        return Ok(());
    };
    let Some(pidfd) = process::open(init, &state.boot_id)? else {
        return Ok(());
    };
    sys::process::pidfd_signal(&pidfd, KILL)?;
    let mut fds = [PollFd::new(&pidfd, PollFlags::IN)];
    match rustix::event::poll(&mut fds, Some(&clock::timespec(PATIENCE))) {
        Ok(0) => Err(LivenessError::Unkillable(init.pid)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::container::{ProcessRef, RunPhase};

    fn state(init: Option<ProcessRef>) -> RunState {
        RunState {
            boot_id: process::boot_id().unwrap(),
            supervisor: process::this().unwrap(),
            init,
            phase: RunPhase::Running,
            started_at: "2026-01-01T00:00:00.000000000Z".into(),
            restarts: 0,
            health: None,
            network: None,
        }
    }

    fn container() -> (tempfile::TempDir, std::path::PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let exit = dir.path().join("exit.json");
        (dir, exit)
    }

    #[test]
    fn follows_a_container_through_its_life() {
        let (dir, exit) = container();
        let look = || observe(dir.path(), &exit).unwrap();
        assert_eq!(look(), Observed::Created);

        let lock = File::create(record::lock_path(dir.path())).unwrap();
        lock.lock().unwrap();
        assert_eq!(look(), Observed::Created);
        let running = state(None);
        record::write_state(dir.path(), &running).unwrap();
        assert_eq!(look(), Observed::Running(Box::new(running)));
        assert_eq!(reap(dir.path(), &exit).unwrap(), None);

        drop(lock);
        assert_eq!(look(), Observed::Dead);
        let record = reap(dir.path(), &exit).unwrap().unwrap();
        assert_eq!(record.code, KILLED);
        assert_eq!(look(), Observed::Exited(record));
        assert_eq!(reap(dir.path(), &exit).unwrap(), None);
    }

    #[test]
    fn reaping_ends_the_recorded_process_and_no_later_one_of_its_number() {
        let (dir, exit) = container();
        File::create(record::lock_path(dir.path())).unwrap();
        let mut child = std::process::Command::new("sleep")
            .arg("1000")
            .spawn()
            .unwrap();
        let mut init = process::of(child.id() as i32).unwrap();

        init.start_time += 1;
        record::write_state(dir.path(), &state(Some(init))).unwrap();
        reap(dir.path(), &exit).unwrap().unwrap();
        assert!(child.try_wait().unwrap().is_none());

        init.start_time -= 1;
        record::write_state(dir.path(), &state(Some(init))).unwrap();
        reap(dir.path(), &exit).unwrap().unwrap();
        use std::os::unix::process::ExitStatusExt;
        assert_eq!(child.wait().unwrap().signal(), Some(KILL));
    }
}
