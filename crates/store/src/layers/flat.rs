//! A step's files as one plain tree, and what a step has changed in it, as a layer.
//!
//! Where nothing can be mounted, the layers are laid over each other in a copy, the step
//! changes that, and afterwards whatever is not as it was noted before is moved into the
//! upper directory that an overlay would have filled.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{FileType, Stat};
use sys::fs::{DirFd, Timespec};

use super::copy::Copy;
use super::{Layers, is_overlay_private};
use crate::Result;

/// A file's times move in ticks of the kernel's clock, of which the longest takes 10 ms: a
/// change within the tick in which it was noted would not show.
const TICK: Duration = Duration::from_millis(20);

/// A copy of a stack of layers, and how each entry of it was.
#[derive(Debug)]
pub struct Flat {
    tree: PathBuf,
    noted: BTreeMap<PathBuf, Entry>,
}

/// What changes with an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Entry {
    kind: FileType,
    mode: u32,
    owner: (u32, u32),
    inode: u64,
    /// Of no meaning for directories: a new entry is no change of theirs.
    changed: (i64, u64),
}

impl Entry {
    fn of(stat: &Stat) -> Self {
        let kind = FileType::from_raw_mode(stat.st_mode);
        let directory = kind == FileType::Directory;
        Self {
            kind,
            mode: stat.st_mode & 0o7777,
            owner: (stat.st_uid, stat.st_gid),
            inode: stat.st_ino,
            changed: match directory {
                true => (0, 0),
                false => (stat.st_ctime, stat.st_ctime_nsec),
            },
        }
    }

    fn is_dir(&self) -> bool {
        self.kind == FileType::Directory
    }
}

impl Layers<'_> {
    /// Lays the directories of a [`Layers::stack`] over each other at `tree`, which is made.
    pub fn flatten(&self, stack: &[PathBuf], tree: &Path) -> Result<Flat> {
        for layer in stack.iter().rev() {
            Copy::onto_tree().run(layer, tree)?;
        }
        let mut noted = BTreeMap::new();
        note(&DirFd::open(tree)?, Path::new(""), &mut noted)?;
        std::thread::sleep(TICK);
        Ok(Flat {
            tree: tree.to_owned(),
            noted,
        })
    }
}

fn note(dir: &DirFd, path: &Path, noted: &mut BTreeMap<PathBuf, Entry>) -> Result<()> {
    noted.insert(path.to_owned(), Entry::of(&dir.stat_self()?));
    for item in dir.items()? {
        let path = path.join(&item.name);
        if item.is_dir {
            note(&dir.open_dir(&item.name)?, &path, noted)?;
        } else if let Some(stat) = dir.stat(&item.name)? {
            noted.insert(path, Entry::of(&stat));
        }
    }
    Ok(())
}

impl Flat {
    /// Moves all that has changed to `upper`, an overlay's upper directory in the making on
    /// the same file system; paths in `without`, from the root, do not count.
    pub fn changes_to(&self, upper: &Path, without: &[PathBuf]) -> Result<()> {
        let root = DirFd::open(&self.tree)?;
        let mut children: BTreeMap<&Path, BTreeSet<&OsStr>> = BTreeMap::new();
        for path in self.noted.keys() {
            if let (Some(parent), Some(name)) = (path.parent(), path.file_name()) {
                children.entry(parent).or_default().insert(name);
            }
        }
        let changes = Changes {
            flat: self,
            children,
            without: without.iter().map(PathBuf::as_path).collect(),
        };
        let mut way = vec![Step {
            here: root,
            name: OsString::new(),
            upper: Some(DirFd::open(upper)?),
        }];
        if changes.differs(Path::new(""), &way[0].here.stat_self()?) {
            dress(
                &way[0].here,
                way[0].upper.as_ref().expect("was just opened"),
            )?;
        }
        changes.directory(&mut way, Path::new(""))
    }
}

struct Changes<'a> {
    flat: &'a Flat,
    children: BTreeMap<&'a Path, BTreeSet<&'a OsStr>>,
    without: HashSet<&'a Path>,
}

/// A directory on the way from the root, and its counterpart once it has one.
struct Step {
    here: DirFd,
    name: OsString,
    upper: Option<DirFd>,
}

impl Changes<'_> {
    fn differs(&self, path: &Path, stat: &Stat) -> bool {
        self.flat.noted.get(path) != Some(&Entry::of(stat))
    }

    fn directory(&self, way: &mut Vec<Step>, path: &Path) -> Result<()> {
        let items = last(way).here.items()?;
        for item in &items {
            let below = path.join(&item.name);
            if self.without.contains(below.as_path()) {
                continue;
            }
            let Some(stat) = last(way).here.stat(&item.name)? else {
                continue;
            };
            self.entry(way, &item.name, &below, &stat)?;
        }
        let now: HashSet<&OsStr> = items.iter().map(|item| item.name.as_os_str()).collect();
        for name in self.children.get(path).into_iter().flatten() {
            if !now.contains(name) && !self.without.contains(path.join(name).as_path()) {
                made(way)?.mkwhiteout(name)?;
            }
        }
        Ok(())
    }

    fn entry(&self, way: &mut Vec<Step>, name: &OsStr, path: &Path, stat: &Stat) -> Result<()> {
        let now = Entry::of(stat);
        let before = self.flat.noted.get(path).copied();
        let same_dir = before.is_some_and(|b| b.is_dir() && b.inode == now.inode);
        if now.is_dir() && same_dir {
            let here = last(way).here.open_dir(name)?;
            way.push(Step {
                here,
                name: name.to_owned(),
                upper: None,
            });
            if before != Some(now) {
                made(way)?;
            }
            let done = self.directory(way, path);
            way.pop();
            return done;
        }
        if before == Some(now) || now.kind == FileType::Socket {
            return Ok(());
        }
        let to = made(way)?.try_clone()?;
        last(way).here.rename(name, &to, name)?;
        // Another directory than before hides what was in that.
        if now.is_dir() && before.is_some_and(|b| b.is_dir()) {
            to.set_opaque(name)?;
        }
        Ok(())
    }
}

fn last(way: &[Step]) -> &Step {
    way.last().expect("the root stays")
}

/// The last directory's counterpart, made with those above it where it is absent.
fn made(way: &mut [Step]) -> Result<&DirFd> {
    for at in 1..way.len() {
        if way[at].upper.is_some() {
            continue;
        }
        let name = way[at].name.clone();
        let parent = way[at - 1].upper.as_ref().expect("was made before");
        parent.mkdir(&name, 0o700)?;
        let upper = parent.open_dir(&name)?;
        dress(&way[at].here, &upper)?;
        way[at].upper = Some(upper);
    }
    Ok(last(way).upper.as_ref().expect("was just made"))
}

/// Gives a directory the attributes of another.
fn dress(from: &DirFd, to: &DirFd) -> Result<()> {
    let stat = from.stat_self()?;
    to.chown_self(stat.st_uid, stat.st_gid)?;
    to.chmod_self(stat.st_mode & 0o7777)?;
    for xattr in from.xattrs(OsStr::new("."))? {
        if !is_overlay_private(&xattr.name) && xattr.name != "security.selinux" {
            to.set_xattr(OsStr::new("."), &xattr.name, &xattr.value)?;
        }
    }
    Ok(to.set_mtime_self(Timespec {
        tv_sec: stat.st_mtime,
        tv_nsec: stat.st_mtime_nsec.cast_signed(),
    })?)
}

#[cfg(test)]
mod tests;
