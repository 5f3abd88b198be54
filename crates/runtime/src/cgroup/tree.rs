//! The directories of cgroups: making, filling, giving controllers, removing.

use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::Errno;

use super::limit::{Controller, LimitError};
use super::writes::{Write, weight_for};

/// Where processes go that sit in a cgroup whose children are to have controllers: the
/// kernel allows them in leaves only.
const LEAF: &str = "shim-callers";
/// Moving processes races with their forks.
const ATTEMPTS: usize = 100;

/// Makes a cgroup and the one above it. Whoever leaves the upper one empty removes it, so
/// it may vanish between two steps.
pub(super) fn make(own: &Path, upper: impl Fn(&Path) -> sys::Result<()>) -> sys::Result<()> {
    let fail = |errno| sys::Error::new("make the cgroup", own.display().to_string(), errno);
    let parent = own.parent().unwrap_or(own);
    for _ in 0..ATTEMPTS {
        match mkdir(parent) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(errno) => return Err(fail(errno)),
        }
        match upper(parent) {
            Err(_) if !parent.exists() => continue,
            other => other?,
        }
        match mkdir(own) {
            Ok(()) | Err(Errno::EXIST) => return Ok(()),
            Err(Errno::NOENT) => {}
            Err(errno) => return Err(fail(errno)),
        }
    }
    Err(fail(Errno::NOENT))
}

fn mkdir(path: &Path) -> Result<(), Errno> {
    rustix::fs::mkdir(path, Mode::from_raw_mode(0o755))
}

pub(super) fn open(path: &Path) -> sys::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::openat(CWD, path, flags, Mode::empty())
        .map_err(|errno| sys::Error::new("open", path.display().to_string(), errno))
}

/// The file by which processes join a cgroup.
pub(super) fn open_members(cgroup: &Path) -> sys::Result<OwnedFd> {
    let path = cgroup.join("cgroup.procs");
    rustix::fs::openat(CWD, &path, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())
        .map_err(|errno| sys::Error::new("open", path.display().to_string(), errno))
}

/// Moves a process; 0 is the caller.
pub(super) fn admit(members: &OwnedFd, pid: i32) -> sys::Result<()> {
    let mut buffer = [0; 12];
    match rustix::io::write(members, decimal(pid, &mut buffer)) {
        Ok(_) => Ok(()),
        Err(errno) => Err(sys::Error::new("join", "the container's cgroup", errno)),
    }
}

/// Without allocating: the caller may be the child of a fork.
fn decimal(pid: i32, buffer: &mut [u8; 12]) -> &[u8] {
    let mut rest = pid.unsigned_abs();
    let mut at = buffer.len();
    loop {
        at -= 1;
        buffer[at] = b'0' + u8::try_from(rest % 10).unwrap_or(0);
        rest /= 10;
        if rest == 0 {
            return &buffer[at..];
        }
    }
}

fn read(path: &Path) -> sys::Result<String> {
    std::fs::read_to_string(path)
        .map_err(|error| sys::Error::new("read", path.display().to_string(), error))
}

fn write(path: &Path, value: &str) -> io::Result<()> {
    let file = rustix::fs::openat(CWD, path, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())?;
    rustix::io::write(&file, value.as_bytes())?;
    Ok(())
}

/// Whether a cgroup of version 2 passes a controller on to its children.
fn passes_on(cgroup: &Path, name: &str) -> bool {
    let text = read(&cgroup.join("cgroup.subtree_control"));
    text.is_ok_and(|text| text.split_ascii_whitespace().any(|word| word == name))
}

/// Has a cgroup of version 2 pass a controller on to its children.
pub(super) fn pass_on(cgroup: &Path, controller: Controller) -> sys::Result<()> {
    let name = controller.name();
    let path = cgroup.join("cgroup.subtree_control");
    let mut attempts = 0;
    while !passes_on(cgroup, name) {
        match write(&path, &format!("+{name}")) {
            Ok(()) => {}
            Err(error)
                if Errno::from_io_error(&error) == Some(Errno::BUSY) && attempts < ATTEMPTS =>
            {
                empty(cgroup)?;
                attempts += 1;
            }
            Err(error) => {
                let what = format!("{name} in {}", path.display());
                return Err(sys::Error::new("enable", what, error));
            }
        }
    }
    Ok(())
}

/// The same, where it disturbs nobody; tells whether it is so now.
pub(super) fn passes_on_freely(cgroup: &Path, controller: Controller) -> bool {
    let name = controller.name();
    passes_on(cgroup, name)
        || write(&cgroup.join("cgroup.subtree_control"), &format!("+{name}")).is_ok()
}

/// Moves the processes that sit in this very cgroup into one below it.
fn empty(cgroup: &Path) -> sys::Result<()> {
    let leaf = cgroup.join(LEAF);
    match mkdir(&leaf) {
        Ok(()) | Err(Errno::EXIST) => {}
        Err(errno) => {
            let object = leaf.display().to_string();
            return Err(sys::Error::new("make the cgroup", object, errno));
        }
    }
    let members = open_members(&leaf)?;
    for pid in processes(cgroup)? {
        match admit(&members, pid) {
            Err(error) if is_gone(&error) => {}
            other => other?,
        }
    }
    Ok(())
}

/// Processes in this very cgroup.
pub(super) fn processes(cgroup: &Path) -> sys::Result<Vec<i32>> {
    let text = read(&cgroup.join("cgroup.procs"))?;
    Ok(text.lines().filter_map(|line| line.parse().ok()).collect())
}

/// Moves all processes of a cgroup, and of those below it, to one of another hierarchy.
/// What is forked meanwhile is found in the next round.
pub(super) fn take_over(from: &Path, to: &Path) -> sys::Result<()> {
    let members = open_members(to)?;
    for _ in 0..ATTEMPTS {
        let inside = processes(to)?;
        let mut missing = all_processes(from);
        missing.retain(|pid| !inside.contains(pid));
        if missing.is_empty() {
            return Ok(());
        }
        for pid in missing {
            match admit(&members, pid) {
                Err(error) if is_gone(&error) => {}
                other => other?,
            }
        }
    }
    Ok(())
}

fn all_processes(cgroup: &Path) -> Vec<i32> {
    let below = children(cgroup);
    let below = below.iter().flat_map(|child| all_processes(child));
    let own = processes(cgroup).unwrap_or_default();
    own.into_iter().chain(below).collect()
}

/// The process has ended meanwhile.
fn is_gone(error: &sys::Error) -> bool {
    Errno::from_io_error(&error.source) == Some(Errno::SRCH)
}

/// In version 1, a fresh cgroup may use no processor and no memory node.
pub(super) fn inherit_cpuset(cgroup: &Path) -> sys::Result<()> {
    let parent = cgroup.parent().unwrap_or(cgroup);
    for name in ["cpuset.cpus", "cpuset.mems"] {
        if read(&cgroup.join(name))?.trim().is_empty() {
            let value = read(&parent.join(name))?;
            let path = cgroup.join(name);
            write(&path, value.trim())
                .map_err(|error| sys::Error::new("write", path.display().to_string(), error))?;
        }
    }
    Ok(())
}

/// Writes limits. Some values are only allowed once others are set (memory must not exceed
/// memory and swap together, in either direction of a change), so those that are refused
/// are tried again after the rest.
pub(super) fn apply(cgroup: &Path, writes: &[Write]) -> Result<(), LimitError> {
    let refused: Vec<_> = writes
        .iter()
        .filter(|write| set(cgroup, write).is_err())
        .collect();
    refused.into_iter().try_for_each(|write| set(cgroup, write))
}

fn set(cgroup: &Path, wanted: &Write) -> Result<(), LimitError> {
    let mut files = wanted.files.iter().filter(|f| cgroup.join(f).exists());
    let name = match (files.next(), wanted.implied) {
        (Some(name), _) => name,
        (None, true) => return Ok(()),
        (None, false) => wanted.files[0],
    };
    let (file, value) = (cgroup.join(name), weight_for(name, &wanted.value));
    write(&file, &value).map_err(|source| LimitError::Refused {
        limit: wanted.limit,
        value,
        file,
        source,
    })
}

/// Removes a container's cgroup, with what its processes made below it, and ours above it
/// if it was the last. One that is still in use is left.
pub(super) fn remove(own: &Path) {
    if !own.exists() {
        return;
    }
    // The kernel takes a moment to move the dead out.
    for _ in 0..500 {
        match rustix::fs::rmdir(own) {
            Err(Errno::BUSY) => {
                children(own).iter().for_each(|child| remove_below(child));
                std::thread::sleep(Duration::from_millis(2));
            }
            _ => break,
        }
    }
    if let Some(parent) = own.parent() {
        sweep(parent);
        let gone = rustix::fs::rmdir(parent).is_ok();
        if let Some(base) = parent.parent().filter(|_| gone) {
            let _ = rustix::fs::rmdir(base.join(LEAF));
        }
    }
}

fn children(cgroup: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(cgroup).into_iter().flatten().flatten();
    let directories = entries.filter(|e| e.file_type().is_ok_and(|t| t.is_dir()));
    directories.map(|entry| entry.path()).collect()
}

fn remove_below(cgroup: &Path) {
    children(cgroup)
        .iter()
        .for_each(|child| remove_below(child));
    let _ = rustix::fs::rmdir(cgroup);
}

/// Removes what containers left behind whose supervisors were killed. The kernel refuses
/// where a process still is; a cgroup that is only just made has none yet, so young ones
/// are let be.
fn sweep(parent: &Path) {
    const YOUNG: Duration = Duration::from_secs(60);
    for child in children(parent) {
        let made = child.metadata().and_then(|metadata| metadata.modified());
        if made.is_ok_and(|made| made.elapsed().is_ok_and(|age| age > YOUNG)) {
            remove_below(&child);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_without_allocating() {
        let text = |pid| String::from_utf8(decimal(pid, &mut [0; 12]).to_vec()).unwrap();
        assert_eq!(
            [0, 7, 10, i32::MAX].map(text),
            ["0", "7", "10", "2147483647"]
        );
    }
}
