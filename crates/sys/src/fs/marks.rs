//! What a file system cannot hold as such, and the form in which it is kept instead.
//!
//! - *Owners.* Where one id is all we may map, no file can be given to another. Its owner
//!   is then noted in an attribute, `user.shim.owner`, as `uid:gid`. Overlay carries the
//!   attribute along, so it survives until a tar is made of the file. Links and special
//!   files cannot have one; they count as root's.
//! - *Whiteouts.* Overlay marks a removed name by a device 0:0, which cannot be made on
//!   an overlay itself. There a socket without any permission stands for it; no tar holds
//!   sockets, so it cannot be mistaken.
//! - *Opaque directories.* For the same reason `user.shim.opaque` stands for
//!   `user.overlay.opaque`.

use std::ffi::OsStr;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;

use rustix::fs::{self, FileType, Stat, XattrFlags};
use rustix::io::Errno;

use super::{DirFd, Xattr};
use crate::{Error, Result};

const OWNER: &str = "user.shim.owner";
const OPAQUE: [&str; 2] = ["user.overlay.opaque", "user.shim.opaque"];

/// Whether an entry of a layer says that what is below it is removed.
pub fn is_whiteout(stat: &Stat) -> bool {
    is_whiteout_kind(
        FileType::from_raw_mode(stat.st_mode),
        stat.st_mode,
        stat.st_rdev,
    )
}

/// [`is_whiteout`] by kind, permission bits and device number.
pub fn is_whiteout_kind(kind: FileType, mode: u32, device: u64) -> bool {
    match kind {
        FileType::CharacterDevice => device == 0,
        FileType::Socket => mode & 0o7777 == 0,
        _ => false,
    }
}

/// Whether an attribute is one of our own, which no image has a say in.
pub fn is_mark(name: &OsStr) -> bool {
    name.as_bytes().starts_with(b"user.shim.")
}

/// The owner that a list of attributes notes.
pub fn noted_owner(xattrs: &[Xattr]) -> Option<(u32, u32)> {
    let note = xattrs.iter().find(|xattr| xattr.name == OWNER)?;
    parse(&note.value)
}

fn parse(value: &[u8]) -> Option<(u32, u32)> {
    let (uid, gid) = std::str::from_utf8(value).ok()?.split_once(':')?;
    Some((uid.parse().ok()?, gid.parse().ok()?))
}

/// Notes the owner of an open file or directory that cannot be given to it.
pub fn note_owner(fd: impl AsFd, uid: u32, gid: u32) -> Result<()> {
    let fail = |errno| Error::new("note the owner of", "a file", errno);
    let fd = fd.as_fd();
    if (uid, gid) == (0, 0) {
        return match fs::fremovexattr(fd, OWNER) {
            Ok(()) | Err(Errno::NODATA | Errno::NOTSUP) => Ok(()),
            Err(errno) => Err(fail(errno)),
        };
    }
    let value = format!("{uid}:{gid}");
    fs::fsetxattr(fd, OWNER, value.as_bytes(), XattrFlags::empty()).map_err(fail)
}

/// Gives an open file or directory its owner, or notes it where one id is all there is.
pub fn own(fd: impl AsFd, uid: u32, gid: u32) -> std::result::Result<(), Errno> {
    let fd = fd.as_fd();
    match fs::fchown(
        fd,
        Some(fs::Uid::from_raw(uid)),
        Some(fs::Gid::from_raw(gid)),
    ) {
        Err(errno @ (Errno::INVAL | Errno::PERM)) => match crate::userns::maps_one_id() {
            Ok(true) => note_owner(fd, uid, gid).map_err(|e| e.errno().unwrap_or(errno)),
            _ => Err(errno),
        },
        other => other,
    }
}

/// Whether an open directory of a layer hides what is below it.
pub fn is_opaque(directory: impl AsFd) -> bool {
    let mut value = [0u8; 2];
    OPAQUE.iter().any(|name| {
        matches!(fs::fgetxattr(&directory, *name, &mut value), Ok(1)) && value[0] == b'y'
    })
}

impl DirFd {
    /// Notes the owner of an entry that cannot be given to it; `.` is the directory.
    pub fn note_owner(&self, name: &OsStr, uid: u32, gid: u32) -> Result<()> {
        self.set_xattr(name, OWNER.as_ref(), format!("{uid}:{gid}").as_bytes())
    }

    /// The owner that is noted of an entry.
    pub fn noted_owner(&self, name: &OsStr) -> Result<Option<(u32, u32)>> {
        let value = self.xattr(name, OWNER.as_ref())?;
        Ok(value.as_deref().and_then(parse))
    }

    /// Takes the note away, once the owner is given.
    pub fn forget_owner(&self, name: &OsStr) -> Result<()> {
        self.remove_xattr(name, OWNER.as_ref())
    }

    /// Makes an entry opaque; `.` is the directory.
    pub fn set_opaque(&self, name: &OsStr) -> Result<()> {
        match self.set_xattr(name, OPAQUE[0].as_ref(), b"y") {
            Err(error) if matches!(error.errno(), Some(Errno::PERM | Errno::NOTSUP)) => {
                self.set_xattr(name, OPAQUE[1].as_ref(), b"y")
            }
            other => other,
        }
    }

    /// Whether this directory of a layer hides what is below it.
    pub fn is_opaque(&self) -> bool {
        is_opaque(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn owners_are_noted_and_forgotten() {
        let temp = tempfile::tempdir().unwrap();
        let dir = DirFd::open(temp.path()).unwrap();
        dir.create_file("f".as_ref(), 0o600).unwrap();
        let noted = || dir.noted_owner("f".as_ref()).unwrap();
        assert_eq!(noted(), None);
        dir.note_owner("f".as_ref(), 999, 1000).unwrap();
        assert_eq!(noted(), Some((999, 1000)));
        assert_eq!(noted_owner(&dir.xattrs("f".as_ref()).unwrap()), noted());
        dir.forget_owner("f".as_ref()).unwrap();
        assert_eq!(noted(), None);
        dir.set_xattr("f".as_ref(), OWNER.as_ref(), b"1:-2")
            .unwrap();
        assert_eq!(noted(), None, "nonsense is no owner");
    }

    #[test]
    fn marks_are_known_in_both_forms() {
        let temp = tempfile::tempdir().unwrap();
        let dir = DirFd::open(temp.path()).unwrap();
        dir.mkwhiteout("gone".as_ref()).unwrap();
        dir.mkwhiteout_plain("gone2".as_ref()).unwrap();
        dir.mkfifo("there".as_ref(), 0).unwrap();
        let whiteout = |name: &str| is_whiteout(&dir.stat(name.as_ref()).unwrap().unwrap());
        assert!(whiteout("gone") && whiteout("gone2") && !whiteout("there"));
        for mark in OPAQUE {
            dir.mkdir(mark.as_ref(), 0o755).unwrap();
            let made = dir.open_dir(mark.as_ref()).unwrap();
            assert!(!made.is_opaque());
            made.set_xattr(".".as_ref(), mark.as_ref(), b"y").unwrap();
            assert!(made.is_opaque());
        }
    }
}
