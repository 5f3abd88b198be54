//! Copies of layers for containers whose ids are others than those in the store.
//!
//! ```text
//! layers/<diff-id>/mapped-<uid>-<gid>/   the tree of `fs/`, each owner replaced by what
//!                                        stands for it outside the container
//! ```
//!
//! Made once for a layer and a mapping, and gone with the layer. A file system of the host
//! cannot be mounted with other ids by a plain user, so that copies are what is left; on a
//! file system that can share blocks between files they cost next to nothing.

use std::path::PathBuf;

use model::Digest;
use model::container::Ids;

use super::Layers;
use super::copy::Copy;
use crate::Result;

impl Layers<'_> {
    /// As [`Layers::stack`], for a container with these ids.
    pub fn stack_for(&self, diff_ids: &[Digest], ids: &Ids) -> Result<Vec<PathBuf>> {
        let plain = self.stack(diff_ids)?;
        let caller = |map: &model::container::IdMap| map.inside(0).unwrap_or(0);
        let name = format!("mapped-{}-{}", caller(&ids.users), caller(&ids.groups));
        let copies: Vec<PathBuf> = plain.iter().map(|fs| fs.with_file_name(&name)).collect();
        let mut made = Vec::new();
        for (from, to) in plain.iter().zip(&copies) {
            if to.exists() {
                continue;
            }
            let temp = self.store.temp_dir()?;
            Copy::of_layer(ids).run(from, &temp.path().join("fs"))?;
            made.push((temp, to));
        }
        if !made.is_empty() {
            // One sync for all: what has its final name is whole, even after a power cut.
            sys::fs::sync_fs(&self.root())?;
        }
        for (temp, to) in made {
            match sys::fs::rename(&temp.path().join("fs"), to) {
                // Another command was quicker; its copy is the same.
                Err(_) if to.exists() => {}
                other => other?,
            }
        }
        Ok(copies)
    }
}

#[cfg(test)]
mod tests {
    use model::container::IdMap;
    use sys::fs::DirFd;

    use super::*;

    #[test]
    fn a_copy_differs_in_its_owners_only() {
        let temp = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(temp.path().join("from/d")).unwrap();
        let from = DirFd::open(&temp.path().join("from")).unwrap();
        let sub = from.open_dir("d".as_ref()).unwrap();
        sub.create_file("f".as_ref(), 0o600).unwrap();
        std::fs::write(temp.path().join("from/d/f"), "text").unwrap();
        sub.chmod("f".as_ref(), 0o4751).unwrap();
        from.hard_link(&sub, "f".as_ref(), "z".as_ref()).unwrap();
        sub.symlink("f".as_ref(), "l".as_ref()).unwrap();
        sub.mkwhiteout("gone".as_ref()).unwrap();
        sub.set_opaque(".".as_ref()).unwrap();
        if !rustix::process::getuid().is_root() {
            // Only root gives files away; the program's tests do it in a user namespace.
            return;
        }
        let ids = Ids {
            users: IdMap::swapped(999, 2000),
            groups: IdMap::swapped(50, 2000),
        };
        let to = temp.path().join("to");
        Copy::of_layer(&ids).run(from.path(), &to).unwrap();
        let to = DirFd::open(&to).unwrap();
        let copied = to.open_dir("d".as_ref()).unwrap();
        let stat = copied.stat("f".as_ref()).unwrap().unwrap();
        assert_eq!((stat.st_uid, stat.st_gid), (999, 50));
        assert_eq!(stat.st_mode & 0o7777, 0o4751);
        let linked = to.stat("z".as_ref()).unwrap().unwrap();
        assert_eq!(stat.st_ino, linked.st_ino);
        assert_eq!(copied.read_link("l".as_ref()).unwrap(), "f");
        assert!(sys::fs::is_whiteout(
            &copied.stat("gone".as_ref()).unwrap().unwrap()
        ));
        assert!(copied.is_opaque());
        let mut text = String::new();
        std::io::Read::read_to_string(&mut copied.open_file("f".as_ref()).unwrap(), &mut text)
            .unwrap();
        assert_eq!(text, "text");
    }
}
