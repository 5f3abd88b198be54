//! Mount points that exist for a step only, and must not end up in its layer.
//!
//! What is mounted inside a step needs something to be mounted on: `/proc`,
//! `/etc/resolv.conf`, the target of `--mount`. Where the layers below lack it, the
//! runner makes an empty file or directory in the upper directory. The program cannot
//! see those, since the mounts cover them; so whatever is still empty afterwards is
//! taken out again, and so is every directory that was copied up on their account only.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use rustix::fs::{self, AtFlags, FileType};
use sys::{Error, Result};

use crate::tree::{Dir, Meta, Node};

/// What every step has mounted.
const ALWAYS: [&str; 7] = [
    "/proc",
    "/sys",
    "/dev",
    "/run",
    "/etc/resolv.conf",
    "/etc/hosts",
    "/etc/hostname",
];

/// Paths that may appear in the upper directory because of a mount.
#[derive(Debug)]
pub(crate) struct Stubs {
    /// Parents after their children.
    paths: Vec<Vec<OsString>>,
}

impl Stubs {
    /// Looks, before the step runs, which mount points `lower` lacks.
    pub(crate) fn of<'a>(lower: &Dir, targets: impl Iterator<Item = &'a str>) -> Result<Self> {
        let mut paths = Vec::new();
        for target in ALWAYS.into_iter().chain(targets) {
            let names = match lower.resolve(OsStr::new(target), true) {
                Ok(found) if found.node.is_some() => continue,
                Ok(found) => found.names,
                // A loop of links or a file on the way: the runner will complain.
                Err(_) => continue,
            };
            paths.extend((1..=names.len()).map(|length| names[..length].to_vec()));
        }
        paths.sort_by_key(|names| std::cmp::Reverse(names.len()));
        paths.dedup();
        Ok(Self { paths })
    }

    /// Takes them out of `upper`, after the step has run.
    pub(crate) fn remove(&self, upper: &Path, lower: &Dir) -> Result<()> {
        for names in &self.paths {
            let path: PathBuf = names.iter().collect();
            remove_empty(upper, &path, lower)?;
        }
        Ok(())
    }
}

/// Removes `path` below `upper` if it is an empty file or directory; of a directory
/// that exists in `lower` too, only if it does not differ.
fn remove_empty(upper: &Path, path: &Path, lower: &Dir) -> Result<()> {
    let (Some(name), Some(parent)) = (path.file_name(), path.parent()) else {
        return Ok(());
    };
    let Some(Node::Dir(dir)) = Dir::plain(upper)?.child_at(parent)? else {
        return Ok(());
    };
    let Some(node) = dir.child(name)? else {
        return Ok(());
    };
    let flags = match &node {
        Node::Leaf(leaf) if leaf.meta.kind == FileType::RegularFile && leaf.meta.size == 0 => {
            AtFlags::empty()
        }
        Node::Dir(child) if child.names()?.is_empty() => {
            let below = lower.child_at(path)?;
            let same = |below: &Meta, here: &Meta| {
                (below.mode, below.uid, below.gid) == (here.mode, here.uid, here.gid)
            };
            match below {
                Some(Node::Dir(below))
                    if child.is_opaque() || !same(&below.meta(), &child.meta()) =>
                {
                    return Ok(());
                }
                Some(Node::Leaf(_)) => return Ok(()),
                _ => AtFlags::REMOVEDIR,
            }
        }
        _ => return Ok(()),
    };
    let shown = || upper.join(path).to_string_lossy().into_owned();
    fs::unlinkat(dir.top(), name, flags).map_err(|e| Error::new("remove", shown(), e))
}
