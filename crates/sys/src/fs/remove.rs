//! Removal of trees through directory fds.

use std::ffi::OsStr;

use rustix::io::Errno;

use super::DirFd;
use crate::Result;

impl DirFd {
    /// Removes an entry with everything below it. A link is removed, never followed;
    /// what another process removes meanwhile is not missed. The first failure is
    /// returned after the rest has been removed.
    ///
    /// The tree may be as deep as it likes: the walk keeps one fd a level up to a
    /// limit, and beyond that moves the rest up next to the entry first.
    pub fn remove_tree(&self, name: &OsStr) -> Result<()> {
        match self.unlink(name) {
            Ok(_) => return Ok(()),
            Err(e) if matches!(e.errno(), Some(Errno::ISDIR | Errno::PERM)) => {}
            Err(e) => return Err(e),
        }
        let mut first = Ok(());
        // Each round flattens what was too deep for the one before.
        let mut aside = 0;
        loop {
            let before = aside;
            let dir = match self.open_for_removal(name) {
                Ok(Some(dir)) => dir,
                Ok(None) => return first,
                Err(e) => return first.and(Err(e)),
            };
            let result = dir.empty(&dir, 0, &mut aside);
            if aside == before {
                return first.and(result).and(self.rmdir(name).map(drop));
            }
            first = first.and(result);
        }
    }

    /// Opens a directory that is about to be removed, giving ourselves access first
    /// where its owner (us) has none.
    fn open_for_removal(&self, name: &OsStr) -> Result<Option<Self>> {
        match self.open_dir(name) {
            Err(e) if e.errno() == Some(Errno::NOENT) => Ok(None),
            Err(e) if e.errno() == Some(Errno::ACCESS) => {
                self.chmod(name, 0o700).map_err(|_| e)?;
                self.open_dir(name).map(Some)
            }
            other => other.map(Some),
        }
    }

    fn empty(&self, top: &Self, depth: usize, aside: &mut u64) -> Result<()> {
        const DEEPEST: usize = 200;
        let mut first = Ok(());
        if self.stat_self()?.st_mode & 0o700 != 0o700 {
            // Best effort: the removals below tell.
            let _ = self.chmod_self(0o700);
        }
        for item in self.items()? {
            let result = if !item.is_dir {
                self.unlink(&item.name).map(drop)
            } else if depth == DEEPEST {
                *aside += 1;
                let name = format!(".deep-{aside}");
                self.rename(&item.name, top, name.as_ref())
            } else {
                match self.open_for_removal(&item.name) {
                    Ok(None) => Ok(()),
                    Ok(Some(dir)) => dir
                        .empty(top, depth + 1, aside)
                        .and_then(|()| self.rmdir(&item.name).map(drop)),
                    Err(e) => Err(e),
                }
            };
            first = first.and(result);
        }
        first
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn removes_deep_and_locked_trees_but_nothing_behind_links() {
        let temp = tempfile::tempdir().unwrap();
        let outside = temp.path().join("outside");
        std::fs::write(&outside, "kept").unwrap();
        let dir = DirFd::open(temp.path()).unwrap();
        dir.mkdir("tree".as_ref(), 0o700).unwrap();
        let mut at = dir.open_dir("tree".as_ref()).unwrap();
        for _ in 0..1000 {
            at.symlink(outside.as_os_str(), "link".as_ref()).unwrap();
            at.mkdir("d".as_ref(), 0o700).unwrap();
            let next = at.open_dir("d".as_ref()).unwrap();
            at.chmod_self(0).unwrap();
            at = next;
        }
        dir.remove_tree("tree".as_ref()).unwrap();
        assert!(dir.stat("tree".as_ref()).unwrap().is_none());
        assert!(Path::new(&outside).exists());
        dir.remove_tree("absent".as_ref()).unwrap();
        dir.remove_tree("outside".as_ref()).unwrap();
        assert!(!outside.exists());
    }
}
