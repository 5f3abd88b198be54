//! Which namespaces a first process is born in, which it joins, and which it shares with
//! the host.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use model::container::{IpcMode, Isolation, NamespaceMode, RunState};
use rustix::io::Errno;
use sys::ns::Kind;
use sys::process::Birth;

use super::StartError;

/// All but the user's and the network's, which are made before.
#[derive(Debug)]
pub(super) struct Namespaces {
    /// Made with the process.
    new: Vec<Kind>,
    /// Of other containers; joined by the process itself.
    joined: Vec<(Kind, OwnedFd)>,
    /// Of another container; a process enters one only by being born in it.
    pid: Option<OwnedFd>,
    /// A cgroup namespace begins where the process is, so it is made once it is there.
    own_cgroup: bool,
}

impl Namespaces {
    pub(super) fn new(isolation: &Isolation) -> Result<Self, StartError> {
        let mut all = Self {
            new: vec![Kind::Mount],
            joined: Vec::new(),
            pid: None,
            own_cgroup: isolation.cgroup == NamespaceMode::Private,
        };
        match &isolation.pid {
            NamespaceMode::Private => all.new.push(Kind::Pid),
            NamespaceMode::Host => {}
            NamespaceMode::Container { run_dir } => all.pid = Some(of(run_dir, Kind::Pid)?),
        }
        match &isolation.uts {
            NamespaceMode::Private => all.new.push(Kind::Uts),
            NamespaceMode::Host => {}
            NamespaceMode::Container { run_dir } => all.join(run_dir, Kind::Uts)?,
        }
        match &isolation.ipc {
            IpcMode::Private | IpcMode::Shareable | IpcMode::None => all.new.push(Kind::Ipc),
            IpcMode::Host => {}
            IpcMode::Container { run_dir } => all.join(run_dir, Kind::Ipc)?,
        }
        Ok(all)
    }

    fn join(&mut self, run_dir: &Path, kind: Kind) -> Result<(), StartError> {
        self.joined.push((kind, of(run_dir, kind)?));
        Ok(())
    }

    /// Whether the host name is the container's to set.
    pub(super) fn own_uts(&self) -> bool {
        self.new.contains(&Kind::Uts)
    }

    /// Forks the first process, with `fork` being told what it is born in. Both sides
    /// return.
    pub(super) fn fork(
        &self,
        fork: impl FnOnce(&[Kind]) -> sys::Result<Birth>,
    ) -> sys::Result<Birth> {
        let Some(pid) = &self.pid else {
            return fork(&self.new);
        };
        let own = sys::ns::open_of(rustix::process::getpid().as_raw_pid(), Kind::Pid)?;
        sys::ns::join(pid.as_fd(), Kind::Pid)?;
        let forked = fork(&self.new);
        if matches!(forked, Ok(Birth::Child)) {
            return forked;
        }
        // What else we start is none of that container's. A plain user may not go back to
        // the host's; what is executed inside is born in that namespace anyway.
        match sys::ns::join(own.as_fd(), Kind::Pid) {
            Err(error) if error.errno() != Some(Errno::PERM) => Err(error),
            _ => forked,
        }
    }

    /// The rest, for the process itself.
    pub(super) fn enter(&self) -> sys::Result<()> {
        for (kind, namespace) in &self.joined {
            sys::ns::join(namespace.as_fd(), *kind)?;
        }
        match self.own_cgroup {
            true => sys::ns::unshare(&[Kind::Cgroup]),
            false => Ok(()),
        }
    }
}

/// A namespace of the running container whose runtime directory this is.
pub(super) fn of(run_dir: &Path, kind: Kind) -> Result<OwnedFd, StartError> {
    running(run_dir, |pid, _| sys::ns::open_of(pid, kind))
}

/// What the first process of that container has in `/dev/shm`, detached.
pub(super) fn shared_memory(run_dir: &Path) -> Result<OwnedFd, StartError> {
    running(run_dir, |_, pidfd| sys::mount::clone_of(pidfd, "/dev/shm"))
}

fn running<T>(
    run_dir: &Path,
    open: impl FnOnce(i32, BorrowedFd<'_>) -> sys::Result<T>,
) -> Result<T, StartError> {
    let not_running = || StartError::NotJoinable {
        run_dir: PathBuf::from(run_dir),
    };
    let text = std::fs::read(run_dir.join("state.json")).map_err(|_| not_running())?;
    let state: RunState = serde_json::from_slice(&text).map_err(|_| not_running())?;
    let init = state.init.ok_or_else(not_running)?;
    // Held while the namespace is opened, so that the number cannot change hands.
    let held = crate::process::open(init, &state.boot_id)?.ok_or_else(not_running)?;
    // A dead process that nobody has reaped yet has no namespaces either.
    open(init.pid, held.as_fd()).map_err(|_| not_running())
}
