//! Directories that a layer's tar omits, as the layers below have them.
//!
//! They go into a layer of their own right above: it holds these directories and their
//! parents, nothing else, and overlay takes a merged directory's owner, mode and
//! attributes from the topmost layer that has it.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use model::Digest;
use sha2::{Digest as _, Sha256};
use sys::fs::{DirFd, FileType, Stat, Xattr};

use super::{Layers, is_overlay_private};
use crate::Result;

/// What overlay takes from the topmost directory.
#[derive(Debug)]
struct Attributes {
    stat: Stat,
    xattrs: Vec<Xattr>,
}

impl Layers<'_> {
    /// The layer that gives `implied` directories of the topmost of `diff_ids` their
    /// attributes; made if absent. `None` if none differs from what was assumed.
    pub(super) fn parents_layer(
        &self,
        diff_ids: &[Digest],
        implied: &[String],
    ) -> Result<Option<PathBuf>> {
        let chain = chain_ids(diff_ids)
            .pop()
            .expect("the caller has at least one layer");
        let dir = self.dir(&chain);
        let fs = dir.join("fs");
        if dir.exists() {
            return Ok(fs.exists().then_some(fs));
        }
        let temp = self.store.temp_dir()?;
        let found = self.attributes_below(diff_ids, implied)?;
        if !found.is_empty() {
            self.build_parents(temp.path(), diff_ids, &found)?;
        }
        let made = !found.is_empty();
        // Another command may have been quicker; its result is the same.
        if let Err(e) = temp.keep(&dir)
            && !dir.exists()
        {
            return Err(e);
        }
        Ok(made.then_some(fs))
    }

    fn attributes_below(
        &self,
        diff_ids: &[Digest],
        implied: &[String],
    ) -> Result<Vec<(PathBuf, Attributes)>> {
        let mut found = Vec::new();
        for path in implied {
            let path = Path::new(path);
            // Downwards from the layer right below.
            for lower in diff_ids[..diff_ids.len() - 1].iter().rev() {
                if let Some(attributes) = attributes(&self.path(lower), path)? {
                    let implied_there = self
                        .record(lower)?
                        .is_some_and(|r| r.implied.iter().any(|p| Path::new(p) == path));
                    // There it was a guess too: look further down.
                    if !implied_there {
                        found.push((path.to_owned(), attributes));
                        break;
                    }
                }
            }
        }
        found.retain(|(_, a)| a.differs());
        Ok(found)
    }

    fn build_parents(
        &self,
        temp: &Path,
        diff_ids: &[Digest],
        found: &[(PathBuf, Attributes)],
    ) -> Result<()> {
        let own = self.path(diff_ids.last().expect("the caller has at least one layer"));
        let temp = DirFd::open(temp)?;
        temp.mkdir("fs".as_ref(), 0o755)?;
        let fs = temp.open_dir("fs".as_ref())?;
        let wanted: BTreeSet<&Path> = found.iter().flat_map(|(p, _)| p.ancestors()).collect();
        for path in wanted {
            let below = found.iter().find(|(p, _)| p == path).map(|(_, a)| a);
            let same;
            let attributes = match below {
                Some(attributes) => attributes,
                // A parent that is here for the path's sake looks as in the layer itself.
                None => match attributes(&own, path)? {
                    Some(attributes) => {
                        same = attributes;
                        &same
                    }
                    None => continue,
                },
            };
            if let (Some(parent), Some(name)) = (path.parent(), path.file_name()) {
                fs.open_dir_below(parent)?.mkdir(name, 0o755)?;
            }
            attributes.apply(&fs.open_dir_below(path)?)?;
        }
        Ok(())
    }
}

/// Reads a directory's attributes in one layer; `None` if it has no such directory.
fn attributes(layer: &Path, path: &Path) -> Result<Option<Attributes>> {
    let root = DirFd::open(layer)?;
    let Ok(dir) = root.open_dir_below(path) else {
        return Ok(None);
    };
    let mut xattrs = dir.xattrs(OsStr::new("."))?;
    xattrs.retain(|x| !is_overlay_private(&x.name));
    Ok(Some(Attributes {
        stat: dir.stat_self()?,
        xattrs,
    }))
}

impl Attributes {
    /// Whether they are not what unpacking assumes.
    fn differs(&self) -> bool {
        let s = &self.stat;
        debug_assert_eq!(FileType::from_raw_mode(s.st_mode), FileType::Directory);
        (s.st_mode & 0o7777, s.st_uid, s.st_gid) != (0o755, 0, 0) || !self.xattrs.is_empty()
    }

    fn apply(&self, dir: &DirFd) -> Result<()> {
        dir.chown_self(self.stat.st_uid, self.stat.st_gid)?;
        dir.chmod_self(self.stat.st_mode & 0o7777)?;
        for xattr in &self.xattrs {
            dir.set_xattr(OsStr::new("."), &xattr.name, &xattr.value)?;
        }
        Ok(())
    }
}

/// Chain ids of an image's layers, lowest first, as the OCI specification defines them.
pub(crate) fn chain_ids(diff_ids: &[Digest]) -> Vec<Digest> {
    let mut chain: Vec<Digest> = Vec::with_capacity(diff_ids.len());
    for diff_id in diff_ids {
        let next = match chain.last() {
            None => diff_id.clone(),
            Some(below) => {
                let text = format!("{below} {diff_id}");
                Digest::from_sha256(Sha256::digest(text).into())
            }
        };
        chain.push(next);
    }
    chain
}
