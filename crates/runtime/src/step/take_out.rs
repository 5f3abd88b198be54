//! Taking out of a step's upper directory what only our mounts put there, before it
//! becomes a layer.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use crate::rootfs::Created;

/// Removes what was created to mount on, innermost first, unless the step has made
/// something of it: an empty file stays only if it is no longer empty, a directory only if
/// something is in it.
pub(super) fn take_out(upper: &Path, created: &[Created]) -> sys::Result<()> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = rustix::fs::openat(CWD, upper, flags, Mode::empty())
        .map_err(|errno| sys::Error::new("open", upper.display().to_string(), errno))?;
    for place in created.iter().rev() {
        match remove(&root, place) {
            // Removed, renamed or filled by the step itself.
            Ok(()) | Err(Errno::NOENT | Errno::NOTEMPTY | Errno::EXIST | Errno::LOOP) => {}
            Err(Errno::NOTDIR | Errno::XDEV) => {}
            Err(errno) => {
                let path = upper.join(&place.path).display().to_string();
                return Err(sys::Error::new("take out", path, errno));
            }
        }
    }
    Ok(())
}

fn remove(root: &OwnedFd, place: &Created) -> Result<(), Errno> {
    let (Some(parent), Some(name)) = (place.path.parent(), place.path.file_name()) else {
        return Ok(());
    };
    let parent = if parent.as_os_str().is_empty() {
        Path::new(".")
    } else {
        parent
    };
    // The step may have put links where directories were.
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let parent = rustix::fs::openat2(root, parent, flags, Mode::empty(), resolve)?;
    if place.directory {
        return rustix::fs::unlinkat(parent.as_fd(), name, AtFlags::REMOVEDIR);
    }
    let stat = rustix::fs::statat(&parent, name, AtFlags::SYMLINK_NOFOLLOW)?;
    let regular = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile;
    match regular && stat.st_size == 0 {
        true => rustix::fs::unlinkat(parent.as_fd(), name, AtFlags::empty()),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn place(path: &str, directory: bool) -> Created {
        Created {
            path: path.into(),
            directory,
        }
    }

    #[test]
    fn only_untouched_places_are_taken_out() {
        let upper = tempfile::tempdir().unwrap();
        let at = |path: &str| upper.path().join(path);
        for directory in ["etc", "run", "srv/data"] {
            std::fs::create_dir_all(at(directory)).unwrap();
        }
        std::fs::write(at("etc/hosts"), "").unwrap();
        std::fs::write(at("etc/resolv.conf"), "nameserver 1.1.1.1").unwrap();
        std::fs::write(at("run/kept"), "").unwrap();
        let outside = tempfile::tempdir().unwrap();
        std::fs::write(outside.path().join("file"), "").unwrap();
        symlink(outside.path(), at("link")).unwrap();
        let created = [
            place("run", true),
            place("srv", true),
            place("srv/data", true),
            place("etc/hosts", false),
            place("etc/resolv.conf", false),
            place("link/file", false),
            place("gone", true),
        ];
        take_out(upper.path(), &created).unwrap();
        assert!(!at("etc/hosts").exists() && !at("srv").exists());
        assert!(at("etc/resolv.conf").exists(), "the step wrote to it");
        assert!(at("run/kept").exists(), "the step made it");
        assert!(
            outside.path().join("file").exists(),
            "reached through a link"
        );
    }
}
