//! The container's own cgroup, and nothing else in the host's hierarchies.
//!
//! Only version 2 is used: alone, or beside version 1 where a host still has both. No
//! controller is joined without a limit that asks for it, so a cgroup here is an address
//! (for the device filter, and to find processes by), not an accounting unit. A plain
//! user's containers stay in the cgroup of their supervisor.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

use model::{ContainerId, DeviceAccess, DeviceKind, DeviceRule};
use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::Errno;
use sys::mount::Attributes;

/// Where everybody looks.
const MOUNT: &str = "/sys/fs/cgroup";
/// Where version 2 is beside version 1.
const UNIFIED: &str = "/sys/fs/cgroup/unified";
/// Ours, below the root of version 2.
const PARENT: &str = "shim";

const CGROUP2: u64 = 0x6367_7270;

/// The devices that every container has; no other node opens. Making nodes is left to
/// `CAP_MKNOD`: one that cannot be opened does no harm.
const DEVICES: [DeviceRule; 11] = [
    DeviceRule::character(1, 3),
    DeviceRule::character(1, 5),
    DeviceRule::character(1, 7),
    DeviceRule::character(1, 8),
    DeviceRule::character(1, 9),
    DeviceRule::character(5, 0),
    DeviceRule::character(5, 1),
    DeviceRule::character(5, 2),
    DeviceRule {
        minor: None,
        ..DeviceRule::character(136, 0)
    },
    nodes(DeviceKind::Character),
    nodes(DeviceKind::Block),
];

const fn nodes(kind: DeviceKind) -> DeviceRule {
    DeviceRule {
        kind: Some(kind),
        major: None,
        minor: None,
        access: DeviceAccess {
            read: false,
            write: false,
            make: true,
        },
    }
}

/// A container's place in the hierarchy.
#[derive(Debug)]
pub(crate) struct Place(Option<OwnedFd>);

impl Place {
    /// The directory of the container's cgroup of version 2, for its first process to be
    /// born in. A plain user's containers have none.
    pub(crate) fn directory(&self) -> Option<BorrowedFd<'_>> {
        self.0.as_ref().map(AsFd::as_fd)
    }
}

/// As root, makes the container's cgroup, with the device filter on it.
pub(crate) fn prepare(id: &ContainerId, rootless: bool) -> sys::Result<Place> {
    if rootless {
        return Ok(Place(None));
    }
    let directory = make(&visible()?, id)?;
    sys::bpf::allow_only(&directory, &DEVICES)?;
    Ok(Place(Some(directory)))
}

/// Where version 2 is. A host that does not show it gets a view of it in our own mount
/// namespace, at the usual place.
fn visible() -> sys::Result<PathBuf> {
    if let Some(root) = root() {
        return Ok(root.into());
    }
    let target = open(Path::new(MOUNT))?;
    let tree = sys::mount::filesystem("cgroup2", &[], Attributes::default())?;
    sys::mount::attach(tree.as_fd(), target.as_fd())?;
    Ok(MOUNT.into())
}

fn is_cgroup2(path: &str) -> bool {
    rustix::fs::statfs(path).is_ok_and(|stat| u64::try_from(stat.f_type) == Ok(CGROUP2))
}

/// The parent is removed by whoever leaves it empty, so it may vanish between two steps.
fn make(root: &Path, id: &ContainerId) -> sys::Result<OwnedFd> {
    let parent = root.join(PARENT);
    let own = parent.join(id.as_str());
    let fail = |errno| sys::Error::new("make the cgroup", own.display().to_string(), errno);
    for _ in 0..100 {
        match rustix::fs::mkdir(&parent, Mode::from_raw_mode(0o755)) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(errno) => return Err(fail(errno)),
        }
        match rustix::fs::mkdir(&own, Mode::from_raw_mode(0o755)) {
            Ok(()) | Err(Errno::EXIST) => return open(&own),
            Err(Errno::NOENT) => {}
            Err(errno) => return Err(fail(errno)),
        }
    }
    Err(fail(Errno::NOENT))
}

/// Where version 2's root is: in a supervisor at the usual place, in a command beside
/// version 1.
fn root() -> Option<&'static str> {
    [MOUNT, UNIFIED].into_iter().find(|path| is_cgroup2(path))
}

/// The file through which a process joins the container's cgroup; `None` where it has
/// none. It must be opened before the container's mounts are entered.
pub(crate) fn open_members(id: &ContainerId) -> Option<OwnedFd> {
    let path = directory(id)?.join("cgroup.procs");
    let flags = OFlags::WRONLY | OFlags::CLOEXEC;
    rustix::fs::openat(CWD, &path, flags, Mode::empty()).ok()
}

fn directory(id: &ContainerId) -> Option<PathBuf> {
    Some(Path::new(root()?).join(PARENT).join(id.as_str()))
}

/// Removes the container's cgroup, and ours if it was the last. Those that are missing or
/// still in use are left.
pub fn remove(id: &ContainerId) {
    let Some(own) = directory(id) else {
        return;
    };
    // The kernel takes a moment to move the dead out.
    for _ in 0..500 {
        match rustix::fs::rmdir(&own) {
            Err(Errno::BUSY) => std::thread::sleep(Duration::from_millis(2)),
            _ => break,
        }
    }
    if let Some(parent) = own.parent() {
        sweep(parent);
        let _ = rustix::fs::rmdir(parent);
    }
}

/// Removes what containers left behind whose supervisors were killed. The kernel refuses
/// where a process still is; a cgroup that is only just made has none yet, so young ones
/// are let be.
fn sweep(parent: &Path) {
    const YOUNG: Duration = Duration::from_secs(60);
    for entry in std::fs::read_dir(parent).into_iter().flatten().flatten() {
        let made = entry.metadata().and_then(|metadata| metadata.modified());
        let old = made.is_ok_and(|made| made.elapsed().is_ok_and(|age| age > YOUNG));
        if old && entry.path().is_dir() {
            let _ = rustix::fs::rmdir(entry.path());
        }
    }
}

fn open(path: &Path) -> sys::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::openat(CWD, path, flags, Mode::empty())
        .map_err(|errno| sys::Error::new("open", path.display().to_string(), errno))
}
