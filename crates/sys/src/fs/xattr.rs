//! Extended attributes of directory entries.
//!
//! Links and special files cannot be opened, so these go through
//! `/proc/self/fd/<dir>/<name>` and the calls that do not follow a final link.

use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

use rustix::fs::{self, XattrFlags};
use rustix::io::Errno;

use super::DirFd;
use crate::{Error, Result};

/// One extended attribute.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Xattr {
    /// With its namespace, e.g. `security.capability`.
    pub name: OsString,
    /// Raw bytes.
    pub value: Vec<u8>,
}

impl DirFd {
    fn proc_path(&self, name: &OsStr) -> PathBuf {
        let mut path = PathBuf::from(format!("/proc/self/fd/{}", self.as_fd().as_raw_fd()));
        path.push(name);
        path
    }

    fn xattr_error(&self, act: &'static str, name: &OsStr, errno: Errno) -> Error {
        Error::new(act, self.path().join(name).display().to_string(), errno)
    }

    /// All attributes of an entry (`.` for the directory itself), sorted by name. A
    /// file system without attributes has none.
    pub fn xattrs(&self, name: &OsStr) -> Result<Vec<Xattr>> {
        let error = |e| self.xattr_error("list attributes of", name, e);
        let path = self.proc_path(name);
        // Nearly every file has none: one call with a small buffer tells.
        let mut names = Vec::with_capacity(256);
        let length = loop {
            match fs::llistxattr(&path, rustix::buffer::spare_capacity(&mut names)) {
                Ok(length) => break length,
                Err(Errno::RANGE) => names.reserve(names.capacity() * 2),
                Err(Errno::OPNOTSUPP) => return Ok(Vec::new()),
                Err(e) => return Err(error(e)),
            }
        };
        names.truncate(length);
        let mut found = Vec::new();
        for key in names.split(|b| *b == 0).filter(|k| !k.is_empty()) {
            let key = OsString::from_vec(key.to_vec());
            // One that was removed meanwhile, or that may not be read, is none.
            if let Some(value) = self.xattr(name, &key)? {
                found.push(Xattr { name: key, value });
            }
        }
        found.sort_unstable();
        Ok(found)
    }

    /// One attribute of an entry; `None` if it has no such one.
    pub fn xattr(&self, name: &OsStr, key: &OsStr) -> Result<Option<Vec<u8>>> {
        let path = self.proc_path(name);
        let mut value = Vec::with_capacity(256);
        loop {
            match fs::lgetxattr(&path, key, rustix::buffer::spare_capacity(&mut value)) {
                Ok(_) => return Ok(Some(value)),
                Err(Errno::RANGE) => value.reserve(value.capacity() * 2),
                Err(Errno::NODATA | Errno::OPNOTSUPP | Errno::PERM) => return Ok(None),
                Err(e) => return Err(self.xattr_error("read attribute of", name, e)),
            }
        }
    }

    /// Sets one attribute of an entry (`.` for the directory itself).
    pub fn set_xattr(&self, name: &OsStr, key: &OsStr, value: &[u8]) -> Result<()> {
        fs::lsetxattr(self.proc_path(name), key, value, XattrFlags::empty()).map_err(|e| {
            let object = self.path().join(name);
            let object = format!("{} of {}", key.as_bytes().escape_ascii(), object.display());
            Error::new("set attribute", object, e)
        })
    }

    /// Takes one attribute of an entry away; one that is absent is no error.
    pub fn remove_xattr(&self, name: &OsStr, key: &OsStr) -> Result<()> {
        match fs::lremovexattr(self.proc_path(name), key) {
            Ok(()) | Err(Errno::NODATA) => Ok(()),
            Err(e) => Err(self.xattr_error("take an attribute from", name, e)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_round_trip() {
        let temp = tempfile::tempdir().unwrap();
        let dir = DirFd::open(temp.path()).unwrap();
        dir.create_file("f".as_ref(), 0o600).unwrap();
        let large = vec![7; 2000];
        dir.set_xattr("f".as_ref(), "user.large".as_ref(), &large)
            .unwrap();
        dir.set_xattr("f".as_ref(), "user.a".as_ref(), b"").unwrap();
        let found = dir.xattrs("f".as_ref()).unwrap();
        let user: Vec<_> = found
            .iter()
            .filter(|x| x.name.to_str().unwrap().starts_with("user."))
            .collect();
        assert_eq!((user[0].value.len(), &user[1].value), (0, &large));
        assert!(
            dir.xattr("f".as_ref(), "user.none".as_ref())
                .unwrap()
                .is_none()
        );
        assert!(
            dir.set_xattr("f".as_ref(), "nonsense".as_ref(), b"")
                .is_err()
        );
    }
}
