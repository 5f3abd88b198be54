//! Where in the tree the unpacker is: a stack of open directories.

use std::collections::{BTreeSet, VecDeque};
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use sys::fs::{DirFd, FileType};

use super::Name;
use crate::Result;

/// Links that one path may go through, as in the kernel.
const MAX_LINKS: usize = 40;

/// The open directories from the root to where the last entry was. Entries come
/// directory by directory, so that most need no new one.
pub(in crate::layers) struct Place {
    root: DirFd,
    /// Real directories only: no link is ever on the stack.
    stack: Vec<(OsString, DirFd)>,
    /// Directories that entries need and no entry described.
    implied: BTreeSet<PathBuf>,
    /// Whether a whiteout stands for an absent entry, as it does in a layer.
    whiteouts: bool,
}

impl Place {
    pub(in crate::layers) fn new(root: DirFd) -> Self {
        Self {
            root,
            stack: Vec::new(),
            implied: BTreeSet::new(),
            whiteouts: true,
        }
    }

    /// In a tree that is no layer.
    pub(in crate::layers) fn in_tree(root: DirFd) -> Self {
        Self {
            whiteouts: false,
            ..Self::new(root)
        }
    }

    pub(in crate::layers) fn root(&self) -> &DirFd {
        &self.root
    }

    /// The directory that was entered last.
    pub(in crate::layers) fn here(&self) -> &DirFd {
        self.stack.last().map_or(&self.root, |(_, dir)| dir)
    }

    /// The directory that `name` is in; `.` is the root itself.
    pub(in crate::layers) fn here_or_root(&self, name: &OsStr) -> &DirFd {
        if name == "." { &self.root } else { self.here() }
    }

    /// Back to the root.
    pub(in crate::layers) fn leave(&mut self) {
        self.stack.clear();
    }

    /// The path of an entry of this directory, from the root.
    pub(in crate::layers) fn path_of(&self, name: &OsStr) -> PathBuf {
        let mut path: PathBuf = self.stack.iter().map(|(name, _)| name).collect();
        path.push(name);
        path
    }

    pub(in crate::layers) fn not_implied(&mut self, path: &Path) {
        self.implied.remove(path);
    }

    /// Implied directories, parents first. Names that are no text are left out.
    pub(in crate::layers) fn into_implied(self) -> Vec<String> {
        self.implied
            .into_iter()
            .filter_map(|p| p.into_os_string().into_string().ok())
            .collect()
    }

    /// Whether `dir` is the directory that was entered last.
    pub(in crate::layers) fn is_here(&self, dir: &DirFd) -> bool {
        match (dir.stat_self(), self.here().stat_self()) {
            (Ok(a), Ok(b)) => (a.st_dev, a.st_ino) == (b.st_dev, b.st_ino),
            _ => false,
        }
    }

    /// Enters a directory, making what is absent.
    pub(in crate::layers) fn enter(&mut self, path: &[OsString], name: &Name) -> Result<()> {
        let reached = self.walk(path, name, true)?;
        debug_assert!(reached, "what is absent is made");
        Ok(())
    }

    /// Opens a directory without making anything; the place stays.
    pub(in crate::layers) fn find(
        &mut self,
        path: &[OsString],
        name: &Name,
    ) -> Result<Option<DirFd>> {
        let stays: Vec<OsString> = self.stack.iter().map(|(name, _)| name.clone()).collect();
        let found = match self.walk(path, name, false)? {
            true => Some(self.here().try_clone()?),
            false => None,
        };
        // Back along real directories.
        self.walk(&stays, name, false)?;
        Ok(found)
    }

    /// Goes to a directory along `path`, resolving links of this layer within the root.
    /// `false` if something is absent and not to be made.
    fn walk(&mut self, path: &[OsString], name: &Name, make: bool) -> Result<bool> {
        let shared = self
            .stack
            .iter()
            .zip(path)
            .take_while(|((a, _), b)| a == *b)
            .count();
        self.stack.truncate(shared);
        let mut pending: VecDeque<OsString> = path[shared..].iter().cloned().collect();
        let mut links = 0;
        while let Some(component) = pending.pop_front() {
            if component == ".." {
                self.stack.pop();
                continue;
            }
            let error = match self.here().open_dir(&component) {
                Ok(dir) => {
                    self.stack.push((component, dir));
                    continue;
                }
                Err(e) => e,
            };
            match error.errno() {
                Some(Errno::NOENT) if make => self.make_implied(component)?,
                Some(Errno::NOENT) => return Ok(false),
                Some(Errno::LOOP | Errno::NOTDIR) => {
                    links += 1;
                    if links > MAX_LINKS {
                        return Err(name.refused("too many symbolic links on its way"));
                    }
                    self.splice_link(&component, &mut pending, name, make)?;
                }
                _ => return Err(error.into()),
            }
        }
        Ok(true)
    }

    fn make_implied(&mut self, component: OsString) -> Result<()> {
        let here = self.here();
        here.mkdir(&component, 0o755)?;
        let dir = here.open_dir(&component)?;
        // The umask may have taken bits, and a setgid parent its group.
        dir.chown_self(0, 0)?;
        dir.chmod_self(0o755)?;
        let path = self.path_of(&component);
        self.implied.insert(path);
        self.stack.push((component, dir));
        Ok(())
    }

    /// Puts a link's target in front of what is left of the path. An absolute one
    /// starts at the layer's root.
    fn splice_link(
        &mut self,
        component: &OsStr,
        pending: &mut VecDeque<OsString>,
        name: &Name,
        make: bool,
    ) -> Result<()> {
        let stat = self.here().stat(component)?;
        let kind = stat.map(|s| FileType::from_raw_mode(s.st_mode));
        let whiteout = self.whiteouts && stat.is_some_and(|s| sys::fs::is_whiteout(&s));
        if whiteout && make {
            // A whiteout of this layer, below which a later entry lies: a fresh
            // directory that hides what was there.
            self.here().unlink(component)?;
            self.make_implied(component.to_owned())?;
            return Ok(self.here().set_opaque(".".as_ref())?);
        }
        if kind != Some(FileType::Symlink) {
            return Err(name.refused("a file is where one of its parents should be"));
        }
        let target = self.here().read_link(component)?.into_vec();
        if target.starts_with(b"/") {
            self.stack.clear();
        }
        let parts = target
            .split(|b| *b == b'/')
            .filter(|c| !matches!(*c, b"" | b"."));
        for part in parts.rev() {
            pending.push_front(OsStr::from_bytes(part).to_owned());
        }
        match pending.len() > 4096 {
            true => Err(name.refused("too many symbolic links on its way")),
            false => Ok(()),
        }
    }

    /// Makes an entry here; what a former entry of this name left is removed first.
    pub(in crate::layers) fn make<T>(
        &mut self,
        name: &OsStr,
        make: impl Fn(&DirFd) -> sys::Result<T>,
    ) -> Result<T> {
        match make(self.here()) {
            Err(e) if e.errno() == Some(Errno::EXIST) => {
                self.here().remove_tree(name)?;
                let gone = self.path_of(name);
                self.implied.retain(|path| !path.starts_with(&gone));
                Ok(make(self.here())?)
            }
            other => Ok(other?),
        }
    }
}
