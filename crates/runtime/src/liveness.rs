//! Is a container alive? Answered from its files alone, by anyone who may read them.
//!
//! | lock | `state.json` | exit record | it |
//! | --- | --- | --- | --- |
//! | held | yes | – | runs |
//! | free | yes | – | lost its supervisor: [`reap`] |
//! | free | no | yes | has ended |
//! | – | no | no | was never started, or is about to be |
//!
//! Where the machine went down with its supervisor, the runtime directory went as well:
//! `running.json` beside the exit record then counts as `state.json`.

use std::fs::File;
use std::io;
use std::os::unix::fs::DirBuilderExt;
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
/// Docker's word for an end that nobody has seen.
const UNSEEN: i32 = 255;
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
        (Ok(None), false) if record::running_path(exit).exists() => Observed::Dead,
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
    let open = || {
        let mut options = File::options();
        options.read(true).write(true);
        match options.open(&path) {
            // The machine went down: nothing is left but the note beside the exit record.
            Err(e)
                if e.kind() == io::ErrorKind::NotFound && record::running_path(exit).exists() =>
            {
                std::fs::DirBuilder::new()
                    .recursive(true)
                    .mode(0o700)
                    .create(run_dir)?;
                options.create(true).truncate(false).open(&path)
            }
            other => other,
        }
    };
    let file = match open() {
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
    let noted = record::read_running(exit);
    let state = match (record::read_state(run_dir), noted) {
        (Ok(None), Ok(None)) => return Ok(None),
        (Ok(Some(state)), _) | (Ok(None) | Err(_), Ok(Some(state))) => Some(state),
        _ => None,
    };
    if let Some(state) = &state {
        end_processes(state)?;
    }
    remove_cgroup(run_dir, exit);
    let record = match recorded_already(exit, state.as_ref()) {
        Some(record) => record,
        None => {
            let record = unseen_end(state)?;
            let file = record::write_exit(exit, &record)?;
            record::sync(exit, &file)?;
            record
        }
    };
    if record.lost {
        let _ = File::create(record::lost_path(run_dir));
    }
    crate::supervise::socket::remove(run_dir);
    for path in [path, record::running_path(exit)] {
        match std::fs::remove_file(&path) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => {
                return Err(RecordError::new("remove", &path, e).into());
            }
            _ => {}
        }
    }
    Ok(Some(record))
}

/// Whether a container has lost its supervisor, and nobody has seen to its restart policy
/// yet.
pub fn is_lost(run_dir: &Path) -> bool {
    record::lost_path(run_dir).exists()
        || (record::state_path(run_dir).exists() && matches!(is_held(run_dir), Ok(false)))
}

/// Takes note that nothing is owed any more to a container whose supervisor was lost: it
/// has no such policy, or a user wants it stopped.
pub fn settle(run_dir: &Path, exit: &Path, by_user: bool) -> Result<(), LivenessError> {
    let path = record::lock_path(run_dir);
    let file = File::options().write(true).open(&path);
    let file = file.map_err(|e| RecordError::new("open", &path, e))?;
    // Whoever holds it starts the container, and writes a record of its own.
    if is_free(&file)
        && let Some(record) = record::read_exit(exit)?
    {
        let settled = ExitRecord {
            lost: false,
            stopped_by_user: record.stopped_by_user || by_user,
            ..record
        };
        record::write_exit(exit, &settled)?;
        let _ = std::fs::remove_file(record::lost_path(run_dir));
    }
    Ok(())
}

/// Takes the lock. Observers hold it shared for a moment, which is waited out.
fn is_free(file: &File) -> bool {
    loop {
        if rustix::fs::flock(file, FlockOperation::NonBlockingLockExclusive).is_ok() {
            return true;
        }
        if rustix::fs::flock(file, FlockOperation::NonBlockingLockShared).is_err() {
            return false;
        }
        let _ = rustix::fs::flock(file, FlockOperation::Unlock);
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// The record of this very run, if its supervisor still got to write it.
fn recorded_already(exit: &Path, state: Option<&RunState>) -> Option<ExitRecord> {
    let record = record::read_exit(exit).ok()??;
    let began = &state?.started_at;
    (!began.is_empty() && record.finished_at >= *began).then_some(record)
}

fn unseen_end(state: Option<RunState>) -> Result<ExitRecord, LivenessError> {
    let here = process::boot_id()?;
    let (code, error) = match &state {
        Some(state) if state.boot_id != here => (UNSEEN, "the machine went down"),
        _ => (KILLED, "its supervisor was killed"),
    };
    Ok(ExitRecord {
        code,
        oom_killed: false,
        error: Some(error.into()),
        restarts: state.as_ref().map_or(0, |s| s.restarts),
        started_at: state.map_or(String::new(), |s| s.started_at),
        finished_at: record::now(),
        stopped_by_user: false,
        lost: true,
    })
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
    fn a_run_that_the_machine_ended_is_known_from_its_note_alone() {
        let (dir, exit) = container();
        let run_dir = dir.path().join("run");
        let look = || observe(&run_dir, &exit).unwrap();
        let mut state = state(None);
        state.boot_id = "another".into();
        record::write_running(&exit, &state, true).unwrap();
        assert_eq!(look(), Observed::Dead);
        let record = reap(&run_dir, &exit).unwrap().unwrap();
        assert_eq!((record.code, record.lost), (UNSEEN, true));
        assert_eq!(record.started_at, state.started_at);
        assert_eq!(look(), Observed::Exited(record.clone()));
        assert_eq!(reap(&run_dir, &exit).unwrap(), None);
        // A crash between the record and the note's removal: the record holds.
        record::write_running(&exit, &state, false).unwrap();
        let known = ExitRecord {
            code: 3,
            lost: false,
            ..record
        };
        record::write_exit(&exit, &known).unwrap();
        assert_eq!(look(), Observed::Dead);
        assert_eq!(reap(&run_dir, &exit).unwrap(), Some(known.clone()));
        assert_eq!(look(), Observed::Exited(known));
    }

    #[test]
    fn a_process_of_another_boot_is_left_alone() {
        let (dir, exit) = container();
        File::create(record::lock_path(dir.path())).unwrap();
        let mut child = std::process::Command::new("sleep")
            .arg("1000")
            .spawn()
            .unwrap();
        let mut state = state(Some(process::of(child.id() as i32).unwrap()));
        state.boot_id = "another".into();
        record::write_state(dir.path(), &state).unwrap();
        let record = reap(dir.path(), &exit).unwrap().unwrap();
        assert_eq!(record.code, UNSEEN);
        assert!(child.try_wait().unwrap().is_none());
        child.kill().unwrap();
        child.wait().unwrap();
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
