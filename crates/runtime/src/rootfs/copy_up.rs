//! Filling an empty volume with what the image has where the volume will be mounted.
//!
//! The copy grows beside the volume's directory and takes its place by one rename, so that
//! a volume is empty or whole, never half filled. Several containers may start with the
//! same new volume: the first holds a lock on the empty directory, the others then find
//! that it is no longer the one with that name, and look again.

use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{
    AtFlags, CWD, Dir, FileType, FlockOperation, Gid, Mode, OFlags, Stat, Timestamps, Uid,
    XattrFlags,
};
use rustix::io::Errno;
use sys::{Error, Result};

/// Fills the volume's directory, if it is empty, from an open directory of the image.
pub(super) fn fill(image: &OwnedFd, volume: &Path) -> Result<()> {
    loop {
        let directory = open_at(CWD, volume)?;
        rustix::fs::flock(&directory, FlockOperation::LockExclusive)
            .map_err(fail("lock", volume))?;
        let now = rustix::fs::stat(volume).map_err(fail("look at", volume))?;
        let held = rustix::fs::fstat(&directory).map_err(fail("look at", volume))?;
        if (now.st_dev, now.st_ino) != (held.st_dev, held.st_ino) {
            continue;
        }
        return match is_empty(&directory, volume)? {
            true => fill_locked(image, volume),
            false => Ok(()),
        };
    }
}

fn fill_locked(image: &OwnedFd, volume: &Path) -> Result<()> {
    let half_made = volume.with_extension("filling");
    // Left by a copy that was cut short; nobody else works here while we hold the lock.
    remove_tree(&half_made)?;
    rustix::fs::mkdir(&half_made, Mode::from_raw_mode(0o700)).map_err(fail("make", &half_made))?;
    let copied = copy(image, &half_made).and_then(|()| {
        rustix::fs::rename(&half_made, volume).map_err(fail("put in place", volume))
    });
    if copied.is_err() {
        let _ = remove_tree(&half_made);
    }
    copied
}

fn copy(image: &OwnedFd, half_made: &Path) -> Result<()> {
    let target = open_at(CWD, half_made)?;
    copy_directory(image.as_fd(), target.as_fd(), half_made)?;
    let stat = rustix::fs::fstat(image).map_err(fail("look at", half_made))?;
    set_attributes(image.as_fd(), target.as_fd(), &stat, half_made)
}

/// Copies what is in one directory to another. `shown` names the place in errors.
fn copy_directory(from: BorrowedFd<'_>, to: BorrowedFd<'_>, shown: &Path) -> Result<()> {
    for entry in Dir::read_from(from).map_err(fail("list", shown))? {
        let entry = entry.map_err(fail("list", shown))?;
        let name = entry.file_name();
        if matches!(name.to_bytes(), b"." | b"..") {
            continue;
        }
        let shown = shown.join(name.to_string_lossy().as_ref());
        let stat = rustix::fs::statat(from, name, AtFlags::SYMLINK_NOFOLLOW)
            .map_err(fail("look at", &shown))?;
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => {
                rustix::fs::mkdirat(to, name, Mode::from_raw_mode(0o700))
                    .map_err(fail("make", &shown))?;
                let (source, target) = (open_at(from, name)?, open_at(to, name)?);
                copy_directory(source.as_fd(), target.as_fd(), &shown)?;
                set_attributes(source.as_fd(), target.as_fd(), &stat, &shown)?;
            }
            FileType::RegularFile => copy_file(from, to, name, &stat, &shown)?,
            FileType::Symlink => copy_link(from, to, name, &stat, &shown)?,
            // Pipes, sockets and devices are made by the programs that use them.
            _ => {}
        }
    }
    Ok(())
}

fn copy_file(
    from: BorrowedFd<'_>,
    to: BorrowedFd<'_>,
    name: &std::ffi::CStr,
    stat: &Stat,
    shown: &Path,
) -> Result<()> {
    let read = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let source =
        rustix::fs::openat(from, name, read, Mode::empty()).map_err(fail("open", shown))?;
    let write = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
    let target = rustix::fs::openat(to, name, write, Mode::from_raw_mode(0o600))
        .map_err(fail("make", shown))?;
    let (mut source, mut target) = (File::from(source), File::from(target));
    std::io::copy(&mut source, &mut target)
        .map_err(|error| Error::new("copy", shown.display().to_string(), error))?;
    set_attributes(source.as_fd(), target.as_fd(), stat, shown)
}

fn copy_link(
    from: BorrowedFd<'_>,
    to: BorrowedFd<'_>,
    name: &std::ffi::CStr,
    stat: &Stat,
    shown: &Path,
) -> Result<()> {
    let text = rustix::fs::readlinkat(from, name, Vec::new()).map_err(fail("read", shown))?;
    rustix::fs::symlinkat(text, to, name).map_err(fail("make", shown))?;
    let (uid, gid) = owner(stat);
    rustix::fs::chownat(to, name, uid, gid, AtFlags::SYMLINK_NOFOLLOW).map_err(fail("chown", shown))
}

/// Owner, then mode, then extended attributes (a change of owner clears set-user-id bits
/// and capabilities), then times.
fn set_attributes(
    from: BorrowedFd<'_>,
    to: BorrowedFd<'_>,
    stat: &Stat,
    shown: &Path,
) -> Result<()> {
    let (uid, gid) = owner(stat);
    rustix::fs::fchown(to, uid, gid).map_err(fail("chown", shown))?;
    rustix::fs::fchmod(to, Mode::from_raw_mode(stat.st_mode)).map_err(fail("chmod", shown))?;
    copy_xattrs(from, to, shown)?;
    let time = |seconds, nanoseconds| rustix::fs::Timespec {
        tv_sec: seconds,
        tv_nsec: nanoseconds,
    };
    let times = Timestamps {
        last_access: time(stat.st_atime, stat.st_atime_nsec as _),
        last_modification: time(stat.st_mtime, stat.st_mtime_nsec as _),
    };
    rustix::fs::futimens(to, &times).map_err(fail("set the times of", shown))
}

fn copy_xattrs(from: BorrowedFd<'_>, to: BorrowedFd<'_>, shown: &Path) -> Result<()> {
    let mut names = vec![0; 64 << 10];
    let length = match rustix::fs::flistxattr(from, &mut names) {
        Ok(length) => length,
        Err(Errno::NOTSUP) => return Ok(()),
        Err(errno) => return Err(fail("list the attributes of", shown)(errno)),
    };
    let mut value = vec![0; 64 << 10];
    for name in names[..length]
        .split(|byte| *byte == 0)
        .filter(|name| !name.is_empty())
    {
        // The overlay's own marks say nothing outside it.
        if name.starts_with(b"user.overlay.") || name.starts_with(b"trusted.overlay.") {
            continue;
        }
        let length = rustix::fs::fgetxattr(from, name, &mut value[..])
            .map_err(fail("read an attribute of", shown))?;
        match rustix::fs::fsetxattr(to, name, &value[..length], XattrFlags::empty()) {
            Ok(()) | Err(Errno::NOTSUP | Errno::PERM) => {}
            Err(errno) => return Err(fail("set an attribute of", shown)(errno)),
        }
    }
    Ok(())
}

fn owner(stat: &Stat) -> (Option<Uid>, Option<Gid>) {
    (
        Some(Uid::from_raw(stat.st_uid)),
        Some(Gid::from_raw(stat.st_gid)),
    )
}

fn open_at(at: BorrowedFd<'_>, name: impl rustix::path::Arg) -> Result<OwnedFd> {
    let shown = name.to_string_lossy().into_owned();
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(at, name, flags, Mode::empty())
        .map_err(|errno| Error::new("open", shown, errno))
}

fn is_empty(directory: &OwnedFd, shown: &Path) -> Result<bool> {
    let mut entries = Dir::read_from(directory).map_err(fail("list", shown))?;
    let other = |entry: &std::result::Result<rustix::fs::DirEntry, Errno>| {
        entry
            .as_ref()
            .map_or(true, |e| !matches!(e.file_name().to_bytes(), b"." | b".."))
    };
    Ok(!entries.any(|entry| other(&entry)))
}

fn remove_tree(path: &Path) -> Result<()> {
    match std::fs::remove_dir_all(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(Error::new("remove", path.display().to_string(), error))
        }
        _ => Ok(()),
    }
}

fn fail(act: &'static str, object: &Path) -> impl Fn(Errno) -> Error {
    let object = PathBuf::from(object).display().to_string();
    move |errno| Error::new(act, object.clone(), errno)
}
