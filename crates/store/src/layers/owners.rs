//! Owners that could only be noted are given once there are ids to give.
//!
//! A user without a range of subordinate ids unpacks every file as their own, with a note
//! of whose it is. After `usermod` has given them a range, the same layers are mounted for
//! containers that tell owners apart: so each layer is put right before its first use.

use std::ffi::OsStr;

use sys::fs::{DirFd, FileType};

use super::{LayerRecord, Layers};
use crate::{Result, record};

/// Cleared by a change of owner.
const CAPABILITIES: &str = "security.capability";

impl Layers<'_> {
    /// Gives every file of the layer the owner that is noted of it.
    pub(super) fn give_owners(&self, layer: &LayerRecord) -> Result<()> {
        let _lock = self.lock(&layer.diff_id)?;
        let root = DirFd::open(&self.path(&layer.diff_id))?;
        give(&root, OsStr::new("."))?;
        below(&root)?;
        let mut given = self.require(&layer.diff_id)?;
        given.owners_noted = false;
        let path = self.dir(&layer.diff_id).join("layer.json");
        record::write(self.store, &path, &given, true)
    }
}

fn below(dir: &DirFd) -> Result<()> {
    for item in dir.items()? {
        give(dir, &item.name)?;
        if item.is_dir {
            below(&dir.open_dir(&item.name)?)?;
        }
    }
    Ok(())
}

/// Each step may be repeated: a crash between them costs nothing.
fn give(dir: &DirFd, name: &OsStr) -> Result<()> {
    let Some((uid, gid)) = dir.noted_owner(name)? else {
        return Ok(());
    };
    let Some(stat) = dir.stat(name)? else {
        return Ok(());
    };
    let capabilities = dir.xattr(name, CAPABILITIES.as_ref())?;
    dir.chown(name, uid, gid)?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::Symlink {
        dir.chmod(name, stat.st_mode & 0o7777)?;
    }
    if let Some(value) = capabilities {
        dir.set_xattr(name, CAPABILITIES.as_ref(), &value)?;
    }
    Ok(dir.forget_owner(name)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn noted_owners_are_given() {
        let temp = tempfile::tempdir().unwrap();
        let dir = DirFd::open(temp.path()).unwrap();
        dir.mkdir("sub".as_ref(), 0o700).unwrap();
        let sub = dir.open_dir("sub".as_ref()).unwrap();
        sub.create_file("f".as_ref(), 0o600).unwrap();
        sub.chmod("f".as_ref(), 0o4755).unwrap();
        let own = rustix::process::getuid().as_raw();
        let (uid, gid) = if own == 0 { (7, 8) } else { (own, own) };
        sub.note_owner("f".as_ref(), uid, gid).unwrap();
        below(&dir).unwrap();
        let stat = sub.stat("f".as_ref()).unwrap().unwrap();
        assert_eq!((stat.st_uid, stat.st_gid), (uid, gid));
        assert_eq!(stat.st_mode & 0o7777, 0o4755, "a change of owner takes it");
        assert_eq!(sub.noted_owner("f".as_ref()).unwrap(), None);
    }
}
