//! A plain user's first act: entering the user namespace that all its containers share.
//!
//! A user namespace lives as long as a process in it, and only from inside one can what it
//! owns be managed: mounts, network namespaces, files of other ids. So everything under one
//! runtime directory shares one namespace. Whoever is in it leaves a note, a file
//! `userns.d/PID-STARTTIME`; who comes later joins a living one, or makes a new namespace
//! when there is none. All of that happens under `userns.lock`. The mapping is always the
//! same (0 is the user, 1 and up the subordinate range), so files written in one such
//! namespace mean the same in the next. A note that a crash left behind is swept.
//!
//! Must be called while the process has one thread. Root needs none of it.
//!
//! Not every machine allows all of that. [`Rung`] says how far down the ladder a process
//! is: what it lacks is told once, and what depends on it is done in another way.

pub(crate) mod faked;
mod mapping;
pub(crate) mod nested;

use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use model::container::ProcessRef;
use rustix::io::Errno;
use sys::ns::Kind;

/// Who we are, and were.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity {
    /// The user id on the host.
    pub uid: u32,
    /// The group id on the host.
    pub gid: u32,
    /// Whether we are in a user namespace of our own; `false` for root.
    pub rootless: bool,
    /// What is missing.
    pub rung: Rung,
}

/// How much isolation can be had, best first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rung {
    /// All of it.
    #[default]
    Full,
    /// One id: every file belongs to the caller, and no process is anybody else.
    OneId,
    /// Neither mounts nor namespaces, as inside another container: layers are copied, and
    /// RUN steps confined by a change of root alone.
    Bare,
}

/// Why the namespace could not be entered.
#[derive(Debug, thiserror::Error)]
pub enum EnterError {
    /// `/etc/subuid` or `/etc/subgid` has no line for the user.
    #[error("user {user} has no range of subordinate ids in {file}")]
    NoRange {
        /// The user's name.
        user: String,
        /// `/etc/subuid` or `/etc/subgid`.
        file: &'static str,
        /// The first id that nobody has yet.
        free: u32,
    },
    /// `newuidmap` or `newgidmap` is not installed.
    #[error("the program {program} is not installed")]
    NoMapper {
        /// Which.
        program: &'static str,
    },
    /// `newuidmap` or `newgidmap` refused.
    #[error("{program} refused the mapping: {message}")]
    Mapper {
        /// Which.
        program: &'static str,
        /// What it printed.
        message: String,
    },
    /// The kernel refuses user namespaces.
    #[error("this machine refuses user namespaces to user {user}")]
    Refused {
        /// The user's name.
        user: String,
        /// What to change.
        remedy: String,
        /// The kernel's answer.
        #[source]
        source: sys::Error,
    },
    /// A step failed.
    #[error(transparent)]
    Sys(#[from] sys::Error),
}

impl EnterError {
    /// What the user can do.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::NoRange { user, free, .. } => {
                let range = format!("{free}-{}", free + 65_535);
                Some(format!(
                    "run `usermod --add-subuids {range} --add-subgids {range} {user}` as root"
                ))
            }
            Self::NoMapper { .. } => Some("install the package `uidmap`".into()),
            Self::Mapper { program, .. } => Some(format!(
                "check that {program} is setuid root or has its file capability"
            )),
            Self::Refused { remedy, .. } => Some(remedy.clone()),
            Self::Sys(_) => None,
        }
    }
}

/// Enters the user namespace shared by everything under `run_base`, and a mount namespace
/// of its own. Root stays where it is, unless it is a container's root that may not mount
/// anything here but may make a namespace where it can.
pub fn enter(run_base: &Path) -> Result<Identity, EnterError> {
    let uid = rustix::process::getuid().as_raw();
    let gid = rustix::process::getgid().as_raw();
    if uid == 0 && may_mount()? {
        return Ok(already_root(gid)?);
    }
    std::fs::create_dir_all(run_base).map_err(|error| {
        sys::Error::new("make directory", run_base.display().to_string(), error)
    })?;
    let lock = lock(&run_base.join("userns.lock"))?;
    match (join_living(run_base)?, uid) {
        (true, _) => {}
        (false, 0) if !copy_own()? => {
            return Ok(Identity {
                rung: Rung::Bare,
                ..already_root(gid)?
            });
        }
        (false, 0) => {}
        (false, _) => mapping::make(uid, gid)?,
    }
    std::mem::forget(announce(run_base)?);
    drop(lock);
    sys::ns::private_mounts()?;
    Ok(Identity {
        uid,
        gid,
        rootless: true,
        rung: rung()?,
    })
}

/// Why the caller, who has entered, has one id only; asked for a message.
pub fn shortage(identity: &Identity) -> Option<EnterError> {
    match identity.rung {
        Rung::OneId => mapping::shortage(identity.uid, identity.gid),
        Rung::Full | Rung::Bare => None,
    }
}

/// Whether the caller may mount without making a user namespace first.
fn may_mount() -> sys::Result<bool> {
    Ok(sys::caps::permitted()?.contains(sys::caps::Set::SYS_ADMIN))
}

/// Enters a new user namespace that maps each of ours to itself. `false` if none can be
/// made.
fn copy_own() -> sys::Result<bool> {
    let itself = |file| -> sys::Result<String> {
        let map = sys::process::read_proc(file)?;
        let line = |line: &str| {
            let mut fields = line.split_ascii_whitespace();
            let (first, count) = (fields.next()?, fields.nth(1)?);
            Some(format!("{first} {first} {count}\n"))
        };
        Ok(map.lines().filter_map(line).collect())
    };
    let made = sys::userns::make(&itself("self/uid_map")?, &itself("self/gid_map")?);
    match made {
        Ok(namespace) => sys::ns::join(namespace.as_fd(), Kind::User).map(|()| true),
        Err(_) => Ok(false),
    }
}

fn rung() -> sys::Result<Rung> {
    Ok(match sys::userns::maps_one_id()? {
        true => Rung::OneId,
        false => Rung::Full,
    })
}

/// For uid 0: the machine's own root, or a process that has been started inside.
fn already_root(gid: u32) -> sys::Result<Identity> {
    if sys::userns::is_initial()? {
        return Ok(Identity {
            uid: 0,
            gid,
            rootless: false,
            rung: Rung::Full,
        });
    }
    let outside = |file| -> sys::Result<u32> {
        let map = sys::process::read_proc(file)?;
        Ok(map
            .split_ascii_whitespace()
            .nth(1)
            .and_then(|id| id.parse().ok())
            .unwrap_or(0))
    };
    Ok(Identity {
        uid: outside("self/uid_map")?,
        gid: outside("self/gid_map")?,
        rootless: true,
        rung: rung()?,
    })
}

fn lock(path: &Path) -> sys::Result<File> {
    let fail = |error| sys::Error::new("lock", path.display().to_string(), error);
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(path)
        .map_err(fail)?;
    file.lock().map_err(fail)?;
    Ok(file)
}

/// Joins the namespace of a process that left a note; sweeps the notes of dead ones.
fn join_living(run_base: &Path) -> sys::Result<bool> {
    let Ok(notes) = std::fs::read_dir(notes_of(run_base)) else {
        return Ok(false);
    };
    let mut joined = false;
    for note in notes.flatten() {
        let living = match parse_note(&note.file_name().to_string_lossy()) {
            Some(process) => crate::process::open_same_boot(process)?,
            None => None,
        };
        match living {
            Some(pidfd) if !joined => joined = join(&pidfd)?,
            Some(_) => {}
            None => drop(std::fs::remove_file(note.path())),
        }
    }
    Ok(joined)
}

/// `false` when it died meanwhile, or sits in a namespace that is not ours to join.
fn join(pidfd: &OwnedFd) -> sys::Result<bool> {
    match sys::ns::join_process(pidfd.as_fd(), &[Kind::User]) {
        Ok(()) => Ok(true),
        Err(error) => match error.errno() {
            Some(Errno::SRCH | Errno::PERM | Errno::INVAL) => Ok(false),
            _ => Err(error),
        },
    }
}

fn notes_of(run_base: &Path) -> PathBuf {
    run_base.join("userns.d")
}

fn note_of(run_base: &Path, process: ProcessRef) -> PathBuf {
    notes_of(run_base).join(format!("{}-{}", process.pid, process.start_time))
}

fn parse_note(name: &str) -> Option<ProcessRef> {
    let (pid, start_time) = name.split_once('-')?;
    Some(ProcessRef {
        pid: pid.parse().ok()?,
        start_time: start_time.parse().ok()?,
    })
}

/// A note that this process lives in the user namespace, so that later commands can join
/// it. Withdrawn on drop; executing another program keeps it, for the process stays the
/// same. Written by the gateway and by every supervisor, and by [`enter`].
#[derive(Debug)]
#[must_use = "dropping it withdraws the note"]
pub struct Holder {
    path: PathBuf,
}

/// Leaves that note. Doing so twice does no harm.
pub fn announce(run_base: &Path) -> sys::Result<Holder> {
    let this = crate::process::this()?;
    let directory = notes_of(run_base);
    let path = note_of(run_base, this);
    let fail = |error| sys::Error::new("write", path.display().to_string(), error);
    std::fs::create_dir_all(&directory).map_err(fail)?;
    File::create(&path).map_err(fail)?;
    Ok(Holder { path })
}

/// Withdraws this process's note, if it left one: the last act of whoever has entered.
pub fn leave(run_base: &Path) {
    if let Ok(this) = crate::process::this() {
        drop(Holder {
            path: note_of(run_base, this),
        });
    }
}

impl Holder {
    /// The note's file.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        // What is left behind is swept by the next who enters.
        let _ = std::fs::remove_file(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_is_withdrawn() {
        let directory = tempfile::tempdir().unwrap();
        let note = announce(directory.path()).unwrap();
        let name = note
            .path()
            .file_name()
            .unwrap()
            .to_string_lossy()
            .into_owned();
        assert_eq!(parse_note(&name), Some(crate::process::this().unwrap()));
        let path = note.path().to_owned();
        drop(note);
        assert!(!path.exists());
    }

    #[test]
    fn notes_of_the_dead_are_swept() {
        let directory = tempfile::tempdir().unwrap();
        let notes = notes_of(directory.path());
        std::fs::create_dir(&notes).unwrap();
        let this = crate::process::this().unwrap();
        let not_us = format!("{}-{}", this.pid, this.start_time + 1);
        for name in [not_us.as_str(), "nonsense", "0-0"] {
            File::create(notes.join(name)).unwrap();
        }
        assert!(!join_living(directory.path()).unwrap());
        assert_eq!(std::fs::read_dir(&notes).unwrap().count(), 0);
    }

    #[test]
    fn the_remedy_names_a_free_range() {
        let error = EnterError::NoRange {
            user: "anna".into(),
            file: "/etc/subuid",
            free: 200_000,
        };
        let hint = error.hint().unwrap();
        assert!(hint.contains("--add-subuids 200000-265535"), "{hint}");
    }
}
