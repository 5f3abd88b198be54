//! What a container changed in its file system: its upper directory against the layers.

use std::collections::{BTreeSet, HashSet};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use sys::fs::{DirFd, FileType, Stat, is_whiteout};

use crate::{ContainerRecord, Engine, Result};

/// Files and directories that every container gets as mount points. Empty ones in the
/// upper directory are ours, not the container's.
const MOUNT_POINTS: [&str; 7] = [
    "dev",
    "etc/hostname",
    "etc/hosts",
    "etc/resolv.conf",
    "proc",
    "run",
    "sys",
];

/// What became of a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChangeKind {
    /// It is new.
    Added,
    /// It, or something in it, is another one than in the image.
    Changed,
    /// It is gone.
    Deleted,
}

impl ChangeKind {
    /// Docker's letter.
    pub fn letter(self) -> char {
        match self {
            Self::Added => 'A',
            Self::Changed => 'C',
            Self::Deleted => 'D',
        }
    }
}

/// One change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Absolute, inside.
    pub path: PathBuf,
    /// What became of it.
    pub kind: ChangeKind,
}

impl Engine {
    /// What a container changed, sorted by path.
    pub fn diff(&self, record: &ContainerRecord) -> Result<Vec<Change>> {
        let root = self.plan(record)?.rootfs;
        let upper = DirFd::open(&root.upper)?;
        let layers = root.layers.iter().map(|path| DirFd::open(path));
        let mut walk = Walk::default();
        walk.directory(
            &upper,
            &merged(layers.collect::<sys::Result<_>>()?),
            Path::new("/"),
        )?;
        walk.found.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(walk.found)
    }

    /// How many bytes a container has written, and how many that is with its image.
    pub fn size(&self, record: &ContainerRecord) -> Result<(u64, u64)> {
        let upper = self.plan(record)?.rootfs.upper;
        let own = bytes(&DirFd::open(&upper)?, &mut HashSet::new())?;
        let below: u64 = record
            .layers
            .iter()
            .map(|layer| self.store.layers().info(layer).map_or(0, |info| info.size))
            .sum();
        Ok((own, own + below))
    }
}

/// The lengths of all files, those with several names once.
fn bytes(dir: &DirFd, seen: &mut HashSet<u64>) -> Result<u64> {
    let mut sum = 0;
    for item in dir.items()? {
        let Some(stat) = dir.stat(&item.name)? else {
            continue;
        };
        sum += match FileType::from_raw_mode(stat.st_mode) {
            // One that goes meanwhile has nothing.
            FileType::Directory => dir
                .open_dir(&item.name)
                .map_or(Ok(0), |child| bytes(&child, seen))?,
            FileType::RegularFile if stat.st_nlink == 1 || seen.insert(stat.st_ino) => {
                u64::try_from(stat.st_size).unwrap_or(0)
            }
            _ => 0,
        };
    }
    Ok(sum)
}

/// Mount points of ours that are in an upper directory, relative to it.
pub(crate) fn mount_points(upper: &Path) -> Result<Vec<PathBuf>> {
    let root = DirFd::open(upper)?;
    let mut found = Vec::new();
    for point in MOUNT_POINTS {
        let path = Path::new(point);
        let (parent, name) = (
            path.parent().unwrap_or(path),
            path.file_name().unwrap_or_default(),
        );
        let parent = match parent.as_os_str().is_empty() {
            true => root.try_clone(),
            false => root.open_dir_below(parent),
        };
        if let Ok(parent) = parent
            && let Some(stat) = parent.stat(name)?
            && is_mount_point(path, &parent, name, &stat)?
        {
            found.push(path.to_owned());
        }
    }
    Ok(found)
}

fn is_mount_point(path: &Path, parent: &DirFd, name: &OsStr, stat: &Stat) -> Result<bool> {
    let path = path.strip_prefix("/").unwrap_or(path);
    if !MOUNT_POINTS.iter().any(|point| Path::new(point) == path) {
        return Ok(false);
    }
    Ok(match FileType::from_raw_mode(stat.st_mode) {
        FileType::Directory => parent.open_dir(name)?.items()?.is_empty(),
        FileType::RegularFile => stat.st_size == 0,
        _ => false,
    })
}

/// The layers down to the first that hides those below it.
fn merged(layers: Vec<DirFd>) -> Vec<DirFd> {
    let mut out = Vec::new();
    for layer in layers {
        let opaque = layer.is_opaque();
        out.push(layer);
        if opaque {
            break;
        }
    }
    out
}

/// An entry as the layers below show it; of a directory the layers that it is made of.
struct Below {
    stat: Stat,
    layers: Vec<DirFd>,
}

fn below(layers: &[DirFd], name: &OsStr) -> Result<Option<Below>> {
    let mut found: Option<Below> = None;
    for layer in layers {
        let Some(stat) = layer.stat(name)? else {
            continue;
        };
        if is_whiteout(&stat) {
            break;
        }
        if FileType::from_raw_mode(stat.st_mode) != FileType::Directory {
            return Ok(found.or(Some(Below {
                stat,
                layers: Vec::new(),
            })));
        }
        let dir = layer.open_dir(name)?;
        let opaque = dir.is_opaque();
        found
            .get_or_insert(Below {
                stat,
                layers: Vec::new(),
            })
            .layers
            .push(dir);
        if opaque {
            break;
        }
    }
    Ok(found)
}

#[derive(Default)]
struct Walk {
    found: Vec<Change>,
}

impl Walk {
    fn note(&mut self, path: &Path, kind: ChangeKind) {
        self.found.push(Change {
            path: path.to_owned(),
            kind,
        });
    }

    /// Gives how many entries were left out as mount points of ours.
    fn directory(&mut self, upper: &DirFd, lower: &[DirFd], at: &Path) -> Result<usize> {
        let mut ours = 0;
        for item in upper.items()? {
            let Some(stat) = upper.stat(&item.name)? else {
                continue;
            };
            let path = at.join(&item.name);
            let below = below(lower, &item.name)?;
            match (is_whiteout(&stat), &below) {
                (true, Some(_)) => self.note(&path, ChangeKind::Deleted),
                (true, None) => {}
                (false, None) if is_mount_point(&path, upper, &item.name, &stat)? => ours += 1,
                (false, _) => self.entry(upper, &item.name, &path, &stat, below)?,
            }
        }
        if upper.is_opaque() {
            self.hidden(upper, lower, at)?;
        }
        Ok(ours)
    }

    fn entry(
        &mut self,
        upper: &DirFd,
        name: &OsStr,
        path: &Path,
        stat: &Stat,
        below: Option<Below>,
    ) -> Result<()> {
        let is_dir = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
        if !is_dir {
            match below {
                None => self.note(path, ChangeKind::Added),
                Some(below) if differs(stat, &below.stat) => self.note(path, ChangeKind::Changed),
                Some(_) => {}
            }
            return Ok(());
        }
        let child = upper.open_dir(name)?;
        let Some(below) = below else {
            self.note(path, ChangeKind::Added);
            return self.directory(&child, &[], path).map(drop);
        };
        let before = self.found.len();
        let ours = self.directory(&child, &below.layers, path)?;
        // A mount point that was made in it has changed its time.
        let touched = match ours {
            0 => differs(stat, &below.stat),
            _ => stat.st_mode != below.stat.st_mode,
        };
        if touched || self.found.len() > before {
            self.note(path, ChangeKind::Changed);
        }
        Ok(())
    }

    /// What was in a directory that was made anew.
    fn hidden(&mut self, upper: &DirFd, lower: &[DirFd], at: &Path) -> Result<()> {
        let mut gone = BTreeSet::new();
        for layer in lower {
            for item in layer.items()? {
                if upper.stat(&item.name)?.is_none() && below(lower, &item.name)?.is_some() {
                    gone.insert(item.name);
                }
            }
        }
        for name in gone {
            self.note(&at.join(name), ChangeKind::Deleted);
        }
        Ok(())
    }
}

/// Whether an entry is another one than below: docker compares the same.
fn differs(a: &Stat, b: &Stat) -> bool {
    let kind = |stat: &Stat| FileType::from_raw_mode(stat.st_mode);
    let size = |stat: &Stat| match kind(stat) {
        FileType::Directory => 0,
        _ => stat.st_size,
    };
    let seen = |stat: &Stat| {
        (
            stat.st_mode,
            (stat.st_uid, stat.st_gid, stat.st_rdev),
            size(stat),
            (stat.st_mtime, stat.st_mtime_nsec),
        )
    };
    seen(a) != seen(b)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn letters_for_what_became_of_a_path() {
        let temp = tempfile::tempdir().unwrap();
        let make = |path: &str| {
            let path = temp.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "x").unwrap();
        };
        [
            "low/a/kept",
            "low/a/gone",
            "low/b/old",
            "low/same",
            "up/a/new",
            "up/b/young",
            "up/n/f",
        ]
        .into_iter()
        .for_each(make);
        fs::create_dir_all(temp.path().join("up/proc")).unwrap();
        let open = |path: &str| DirFd::open(&temp.path().join(path)).unwrap();
        open("up/a").mkwhiteout("gone".as_ref()).unwrap();
        open("up").set_opaque("b".as_ref()).unwrap();
        let mut walk = Walk::default();
        walk.directory(&open("up"), &[open("low")], Path::new("/"))
            .unwrap();
        walk.found.sort_by(|a, b| a.path.cmp(&b.path));
        let shown: Vec<String> = walk
            .found
            .iter()
            .map(|c| format!("{} {}", c.kind.letter(), c.path.display()))
            .collect();
        assert_eq!(
            shown,
            [
                "C /a",
                "D /a/gone",
                "A /a/new",
                "C /b",
                "D /b/old",
                "A /b/young",
                "A /n",
                "A /n/f"
            ]
        );
        assert_eq!(
            mount_points(&temp.path().join("up")).unwrap(),
            [Path::new("proc")]
        );
    }
}
