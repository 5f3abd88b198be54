//! Pausing a container: the freezer of its own cgroup (version 2).
//!
//! A frozen process does nothing but die: SIGKILL reaches it, everything else waits until
//! it is thawed (kernel: Documentation/admin-guide/cgroup-v2.rst, "cgroup.freeze").

use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use model::ContainerId;

/// Where version 2 is: alone, or beside version 1.
const MOUNTS: [&str; 2] = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"];
/// A process that sits in the kernel for longer cannot be stopped.
const PATIENCE: Duration = Duration::from_secs(10);

/// Why a container cannot be paused.
#[derive(Debug, thiserror::Error)]
pub enum FreezeError {
    /// Its processes are in somebody else's cgroup.
    #[error("it has no cgroup of its own")]
    NoCgroup {
        /// Whether a plain user asked.
        rootless: bool,
    },
    /// The kernel refused.
    #[error("cannot {act} {}", .path.display())]
    File {
        /// A verb.
        act: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It takes too long.
    #[error("its processes do not come to rest")]
    Restless,
}

impl FreezeError {
    /// What the user can do.
    pub fn hint(&self) -> Option<String> {
        let text = match self {
            Self::NoCgroup { rootless: true } => {
                "pausing needs a cgroup that is delegated to the user, as systemd does it on \
                 hosts with cgroup version 2 alone; or run the container as root"
            }
            Self::NoCgroup { rootless: false } => {
                "pausing needs cgroup version 2, at least beside version 1"
            }
            _ => return None,
        };
        Some(text.to_owned())
    }
}

/// The directory of the container's own cgroup in the hierarchy of one controller of
/// version 1, or of version 2 for an empty name. `None` where it has none of its own.
pub fn cgroup_of(pid: i32, id: &ContainerId, controller: &str) -> Option<PathBuf> {
    let list = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?;
    let path = list.lines().find_map(|line| {
        let mut fields = line.splitn(3, ':').skip(1);
        let controllers = fields.next()?;
        let fits = match controller {
            "" => controllers.is_empty(),
            name => controllers.split(',').any(|c| c == name),
        };
        fits.then(|| fields.next())?
    })?;
    // The container may have made further ones below its own.
    let own = path.find(id.as_str())?;
    let path = path[..own + id.as_str().len()].trim_start_matches('/');
    let mounts: Vec<PathBuf> = match controller {
        "" => MOUNTS.iter().map(PathBuf::from).collect(),
        name => vec![Path::new(MOUNTS[0]).join(name)],
    };
    let mut found = mounts.into_iter().map(|mount| mount.join(path));
    found.find(|directory| directory.join("cgroup.procs").exists())
}

/// Whether the container's processes are frozen.
pub fn is_frozen(pid: i32, id: &ContainerId) -> bool {
    let Some(directory) = cgroup_of(pid, id, "") else {
        return false;
    };
    let text = std::fs::read_to_string(directory.join("cgroup.freeze"));
    text.is_ok_and(|text| text.trim() == "1")
}

/// Freezes the container's processes and waits until all are still.
pub fn freeze(pid: i32, id: &ContainerId) -> Result<(), FreezeError> {
    let directory = write(pid, id, "1")?;
    let path = directory.join("cgroup.events");
    let deadline = Instant::now() + PATIENCE;
    loop {
        let events = std::fs::read_to_string(&path).map_err(|source| FreezeError::File {
            act: "read",
            path: path.clone(),
            source,
        })?;
        if events.lines().any(|line| line == "frozen 1") {
            return Ok(());
        }
        if Instant::now() > deadline {
            let _ = write(pid, id, "0");
            return Err(FreezeError::Restless);
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Lets the container's processes go on.
pub fn thaw(pid: i32, id: &ContainerId) -> Result<(), FreezeError> {
    write(pid, id, "0").map(drop)
}

fn write(pid: i32, id: &ContainerId, word: &str) -> Result<PathBuf, FreezeError> {
    let rootless =
        !rustix::process::getuid().is_root() || sys::userns::is_initial().is_ok_and(|i| !i);
    let directory = cgroup_of(pid, id, "").ok_or(FreezeError::NoCgroup { rootless })?;
    let path = directory.join("cgroup.freeze");
    match std::fs::write(&path, word) {
        Ok(()) => Ok(directory),
        Err(source) => Err(FreezeError::File {
            act: "write",
            path,
            source,
        }),
    }
}
