//! File trees read through directory descriptors: a build context, or a stack of
//! layers merged as overlay would merge them.
//!
//! Every step down opens one component with `O_NOFOLLOW`; links are resolved here, by
//! the tree's own root. A hostile link can therefore name nothing outside.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{self, AtFlags, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;
use sys::{Error, Result};

/// As many links as Linux itself follows in one path.
const MAX_LINKS: usize = 40;

/// A directory as the tree shows it.
#[derive(Debug, Clone)]
pub(crate) struct Dir {
    /// The directories that are merged, topmost first; never empty.
    fds: Vec<Arc<OwnedFd>>,
    /// Whether whiteouts and opaque marks count.
    layered: bool,
    /// Path from the tree's root, for messages and for the filter.
    shown: PathBuf,
    meta: Meta,
    filter: Option<Arc<dyn Filter>>,
    /// Whether it is there only for the sake of what is below.
    hollow: bool,
}

/// Hides parts of a tree, as `.dockerignore` does.
pub(crate) trait Filter: std::fmt::Debug + Send + Sync {
    /// What becomes of `path`, which is relative to the tree's root.
    fn verdict(&self, path: &Path, is_dir: bool) -> Verdict;
}

/// What a filter says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is there.
    Shown,
    /// It is not there.
    Hidden,
    /// A directory that is there only if something below it is.
    Hollow,
}

/// Something in a tree.
#[derive(Debug, Clone)]
pub(crate) enum Node {
    /// A directory.
    Dir(Dir),
    /// Anything else.
    Leaf(Leaf),
}

/// A file, a link or a special file.
#[derive(Debug, Clone)]
pub(crate) struct Leaf {
    parent: Arc<OwnedFd>,
    name: OsString,
    shown: PathBuf,
    /// What `lstat` says.
    pub(crate) meta: Meta,
}

/// What `lstat` says, as far as we care.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Meta {
    pub(crate) kind: FileType,
    /// Permission bits with setuid, setgid and sticky.
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) size: u64,
    pub(crate) rdev: u64,
    pub(crate) links: u64,
    pub(crate) id: FileId,
}

/// A version of a file: it changes whenever the content does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct FileId {
    pub(crate) dev: u64,
    pub(crate) ino: u64,
    pub(crate) size: u64,
    /// Nanoseconds since 1970.
    pub(crate) mtime: i64,
    /// Nanoseconds since 1970.
    pub(crate) ctime: i64,
}

impl Meta {
    pub(crate) fn of(stat: &Stat) -> Self {
        let nanos = |secs: i64, nanos: u64| {
            secs.saturating_mul(1_000_000_000)
                .saturating_add_unsigned(nanos)
        };
        Self {
            kind: FileType::from_raw_mode(stat.st_mode),
            mode: stat.st_mode & 0o7777,
            uid: stat.st_uid,
            gid: stat.st_gid,
            size: stat.st_size as u64,
            rdev: stat.st_rdev,
            links: stat.st_nlink,
            id: FileId {
                dev: stat.st_dev,
                ino: stat.st_ino,
                size: stat.st_size as u64,
                mtime: nanos(stat.st_mtime, stat.st_mtime_nsec),
                ctime: nanos(stat.st_ctime, stat.st_ctime_nsec),
            },
        }
    }

    fn is_whiteout(&self) -> bool {
        sys::fs::is_whiteout_kind(self.kind, self.mode, self.rdev)
    }
}

impl Node {
    pub(crate) fn meta(&self) -> Meta {
        match self {
            Self::Dir(dir) => dir.meta,
            Self::Leaf(leaf) => leaf.meta,
        }
    }
}

impl Leaf {
    /// Opens a regular file to be read.
    pub(crate) fn open(&self) -> Result<std::fs::File> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
        fs::openat(&self.parent, &self.name, flags, Mode::empty())
            .map(std::fs::File::from)
            .map_err(|e| Error::new("open", self.shown.to_string_lossy(), e))
    }

    /// Where a link leads.
    pub(crate) fn target(&self) -> Result<OsString> {
        fs::readlinkat(&self.parent, &self.name, Vec::new())
            .map(|target| OsString::from_vec(target.into_bytes()))
            .map_err(|e| Error::new("read the link", self.shown.to_string_lossy(), e))
    }

    pub(crate) fn is_link(&self) -> bool {
        self.meta.kind == FileType::Symlink
    }

    /// Path from the tree's root.
    pub(crate) fn shown(&self) -> &Path {
        &self.shown
    }
}

impl Dir {
    /// A tree that is one directory of the host.
    pub(crate) fn plain(path: &Path) -> Result<Self> {
        Self::merged(&[path], false)
    }

    /// A tree of layers, topmost first, in overlay's own form.
    pub(crate) fn layered<P: AsRef<Path>>(layers: &[P]) -> Result<Self> {
        Self::merged(layers, true)
    }

    fn merged<P: AsRef<Path>>(paths: &[P], layered: bool) -> Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let mut fds = Vec::with_capacity(paths.len());
        let mut meta = None;
        for path in paths {
            let shown = path.as_ref().to_string_lossy();
            let fd = fs::open(path.as_ref(), flags, Mode::empty())
                .map_err(|e| Error::new("open the directory", shown.clone(), e))?;
            if meta.is_none() {
                let stat = fs::fstat(&fd).map_err(|e| Error::new("examine", shown, e))?;
                meta = Some(Meta::of(&stat));
            }
            fds.push(Arc::new(fd));
        }
        let meta = meta.ok_or_else(|| Error::new("merge", "no layers", Errno::INVAL))?;
        Ok(Self {
            fds,
            layered,
            shown: PathBuf::from("/"),
            meta,
            filter: None,
            hollow: false,
        })
    }

    /// The same tree without what `filter` hides.
    pub(crate) fn filtered(self, filter: Arc<dyn Filter>) -> Self {
        let filter = Some(filter);
        Self { filter, ..self }
    }

    /// The same layers with one more on top.
    pub(crate) fn topped(mut self, path: &Path) -> Result<Self> {
        let top = Self::layered(&[path])?;
        self.fds.splice(0..0, top.fds);
        Ok(self)
    }

    pub(crate) fn meta(&self) -> Meta {
        self.meta
    }

    /// Path from the tree's root.
    pub(crate) fn shown(&self) -> &Path {
        &self.shown
    }

    /// What is called `name` here.
    pub(crate) fn child(&self, name: &OsStr) -> Result<Option<Node>> {
        let Some(mut node) = self.unfiltered(name)? else {
            return Ok(None);
        };
        let Some(filter) = &self.filter else {
            return Ok(Some(node));
        };
        let path = self.shown.join(name);
        let path = path.strip_prefix("/").unwrap_or(&path);
        match (
            filter.verdict(path, matches!(node, Node::Dir(_))),
            &mut node,
        ) {
            (Verdict::Shown, _) => Ok(Some(node)),
            (Verdict::Hollow, Node::Dir(dir)) => {
                dir.hollow = true;
                Ok(Some(node))
            }
            _ => Ok(None),
        }
    }

    /// What is at `path`, where every component but the last must be a directory.
    pub(crate) fn child_at(&self, path: &Path) -> Result<Option<Node>> {
        let mut node = Node::Dir(self.clone());
        for name in path {
            let Node::Dir(dir) = &node else {
                return Ok(None);
            };
            match dir.child(name)? {
                Some(child) => node = child,
                None => return Ok(None),
            }
        }
        Ok(Some(node))
    }

    /// The topmost of the merged directories.
    pub(crate) fn top(&self) -> &OwnedFd {
        &self.fds[0]
    }

    /// Whether the topmost directory hides those below it.
    pub(crate) fn is_opaque(&self) -> bool {
        sys::fs::is_opaque(&self.fds[0])
    }

    /// Whether a walk shows this directory.
    pub(crate) fn is_shown(&self) -> Result<bool> {
        if !self.hollow {
            return Ok(true);
        }
        for name in self.names()? {
            match self.child(&name)? {
                Some(Node::Leaf(_)) => return Ok(true),
                Some(Node::Dir(dir)) if dir.is_shown()? => return Ok(true),
                _ => {}
            }
        }
        Ok(false)
    }

    fn unfiltered(&self, name: &OsStr) -> Result<Option<Node>> {
        let shown = self.shown.join(name);
        let mut found: Option<Dir> = None;
        for fd in &self.fds {
            let stat = match fs::statat(fd, name, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(stat) => stat,
                Err(Errno::NOENT) => continue,
                Err(e) => return Err(Error::new("examine", shown.to_string_lossy(), e)),
            };
            let meta = Meta::of(&stat);
            if meta.kind != FileType::Directory {
                // Whatever it is, it hides what lies below and shows in no directory.
                if found.is_none() && !(self.layered && meta.is_whiteout()) {
                    let (parent, name) = (Arc::clone(fd), name.to_owned());
                    let leaf = Leaf {
                        parent,
                        name,
                        shown,
                        meta,
                    };
                    return Ok(Some(Node::Leaf(leaf)));
                }
                break;
            }
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let open = fs::openat(fd, name, flags, Mode::empty())
                .map_err(|e| Error::new("open the directory", shown.to_string_lossy(), e))?;
            let opaque = self.layered && sys::fs::is_opaque(&open);
            let dir = found.get_or_insert_with(|| Self {
                fds: Vec::new(),
                layered: self.layered,
                shown: shown.clone(),
                meta,
                filter: self.filter.clone(),
                hollow: false,
            });
            dir.fds.push(Arc::new(open));
            if opaque {
                break;
            }
        }
        Ok(found.map(Node::Dir))
    }

    /// The names in this directory, sorted by bytes.
    pub(crate) fn names(&self) -> Result<Vec<OsString>> {
        let mut seen = BTreeSet::new();
        let mut hidden = BTreeSet::new();
        for fd in &self.fds {
            let failed = |e| Error::new("list", self.shown.to_string_lossy(), e);
            let mut whiteouts = Vec::new();
            for entry in fs::Dir::read_from(fd).map_err(failed)? {
                let entry = entry.map_err(failed)?;
                let name = OsStr::from_bytes(entry.file_name().to_bytes());
                if name == "." || name == ".." || hidden.contains(name) || seen.contains(name) {
                    continue;
                }
                let kind = entry.file_type();
                if self.layered && matches!(kind, FileType::CharacterDevice | FileType::Socket) {
                    let stat = fs::statat(fd, name, AtFlags::SYMLINK_NOFOLLOW).map_err(failed)?;
                    if Meta::of(&stat).is_whiteout() {
                        whiteouts.push(name.to_owned());
                        continue;
                    }
                }
                seen.insert(name.to_owned());
            }
            hidden.extend(whiteouts);
        }
        Ok(seen.into_iter().collect())
    }

    /// Extended attributes that belong to the content.
    pub(crate) fn xattrs(&self) -> BTreeMap<OsString, Vec<u8>> {
        content_xattrs(&self.fds[0])
    }

    /// Resolves `path` with this directory as its root. Links are followed, the last
    /// component only if `follow_last`. What does not exist is taken as it is written.
    pub(crate) fn resolve(&self, path: &OsStr, follow_last: bool) -> Result<Resolved> {
        let mut walk = Walk {
            root: self,
            done: Vec::new(),
            tail: Vec::new(),
            todo: components(path),
            links: 0,
        };
        let leaf = walk.run(follow_last)?;
        let names = walk.done.iter().map(|(name, _)| name.clone());
        let mut names: Vec<_> = names.collect();
        let node = match leaf {
            Some(leaf) => {
                names.push(leaf.name.clone());
                Some(Node::Leaf(leaf))
            }
            None if walk.tail.is_empty() => Some(Node::Dir(
                walk.done.pop().map_or_else(|| self.clone(), |(_, dir)| dir),
            )),
            None => None,
        };
        names.append(&mut walk.tail);
        Ok(Resolved { names, node })
    }
}

/// A path without links, and what is there.
#[derive(Debug)]
pub(crate) struct Resolved {
    /// Components from the root; neither `.` nor `..` nor a followed link.
    pub(crate) names: Vec<OsString>,
    /// Absent if there is nothing.
    pub(crate) node: Option<Node>,
}

struct Walk<'a> {
    root: &'a Dir,
    /// The directories entered so far.
    done: Vec<(OsString, Dir)>,
    /// Components beyond what exists.
    tail: Vec<OsString>,
    todo: VecDeque<OsString>,
    links: usize,
}

impl Walk<'_> {
    fn run(&mut self, follow_last: bool) -> Result<Option<Leaf>> {
        while let Some(name) = self.todo.pop_front() {
            if name == ".." {
                if self.tail.pop().is_none() {
                    self.done.pop();
                }
                continue;
            }
            if !self.tail.is_empty() {
                self.tail.push(name);
                continue;
            }
            let here = self.done.last().map_or(self.root, |(_, dir)| dir);
            match here.child(&name)? {
                None => self.tail.push(name),
                Some(Node::Dir(dir)) => self.done.push((name, dir)),
                Some(Node::Leaf(leaf)) => {
                    let last = self.todo.is_empty();
                    if leaf.meta.kind == FileType::Symlink && (follow_last || !last) {
                        self.follow(&leaf)?;
                    } else if last {
                        return Ok(Some(leaf));
                    } else {
                        let shown = leaf.shown.to_string_lossy();
                        return Err(Error::new("enter", shown, Errno::NOTDIR));
                    }
                }
            }
        }
        Ok(None)
    }

    fn follow(&mut self, leaf: &Leaf) -> Result<()> {
        self.links += 1;
        if self.links > MAX_LINKS {
            return Err(Error::new(
                "resolve",
                leaf.shown.to_string_lossy(),
                Errno::LOOP,
            ));
        }
        let target = leaf.target()?;
        if target.as_bytes().starts_with(b"/") {
            self.done.clear();
        }
        let mut todo = components(&target);
        todo.append(&mut self.todo);
        self.todo = todo;
        Ok(())
    }
}

/// The components of a path, without empty ones and `.`.
fn components(path: &OsStr) -> VecDeque<OsString> {
    path.as_bytes()
        .split(|b| *b == b'/')
        .filter(|name| !name.is_empty() && *name != b".")
        .map(|name| OsString::from_vec(name.to_vec()))
        .collect()
}

/// The extended attributes of an open file that a copy keeps: capabilities and
/// `user.*`, but none of overlay's own. File systems without them have none.
pub(crate) fn content_xattrs(fd: impl AsFd) -> BTreeMap<OsString, Vec<u8>> {
    let mut names = vec![0u8; 64 << 10];
    let Ok(length) = fs::flistxattr(&fd, &mut names[..]) else {
        return BTreeMap::new();
    };
    let kept = |name: &&[u8]| {
        *name == b"security.capability"
            || (name.starts_with(b"user.")
                && !name.starts_with(b"user.overlay.")
                && *name != b"user.shim.opaque")
    };
    let mut found = BTreeMap::new();
    for name in names[..length].split(|b| *b == 0).filter(kept) {
        let mut value = vec![0u8; 64 << 10];
        if let Ok(length) = fs::fgetxattr(&fd, OsStr::from_bytes(name), &mut value[..]) {
            value.truncate(length);
            found.insert(OsString::from_vec(name.to_vec()), value);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rustix::fs::ResolveFlags;

    use super::*;

    /// A path of few different names, so that links and paths meet.
    fn path() -> impl Strategy<Value = String> {
        proptest::collection::vec(
            prop_oneof!["[abc]", Just("..".into()), Just(".".into())],
            1..5,
        )
        .prop_map(|names: Vec<String>| names.join("/"))
    }

    fn link() -> impl Strategy<Value = (String, String)> {
        let target = (any::<bool>(), path());
        let target = target.prop_map(|(root, path)| if root { format!("/{path}") } else { path });
        (path(), target)
    }

    /// What the kernel finds below `root`, with `root` as its world.
    fn by_kernel(root: &Path, path: &str) -> Option<(u64, u64)> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let dir = fs::open(root, flags, Mode::empty()).unwrap();
        let flags = OFlags::PATH | OFlags::CLOEXEC;
        let found = fs::openat2(&dir, path, flags, Mode::empty(), ResolveFlags::IN_ROOT).ok()?;
        let meta = Meta::of(&fs::fstat(found).unwrap());
        Some((meta.id.dev, meta.id.ino))
    }

    /// Makes a link, if no other link is in the way: an earlier one may lead out of `root`.
    fn plant(root: &Path, names: &[&str], target: &str) {
        let Some((last, parents)) = names.split_last() else {
            return;
        };
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let dir = fs::open(root, flags, Mode::empty()).unwrap();
        let parent = format!("./{}", parents.join("/"));
        let within = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
        if let Ok(parent) = fs::openat2(&dir, parent, flags, Mode::empty(), within) {
            let _ = fs::symlinkat(target, &parent, *last);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(120))]

        #[test]
        fn paths_resolve_as_the_kernel_resolves_them_in_a_root(
            dirs in proptest::collection::vec("[abc](/[abc]){0,2}", 0..5),
            links in proptest::collection::vec(link(), 0..6),
            wanted in proptest::collection::vec(path(), 1..6),
        ) {
            let temp = tempfile::tempdir().unwrap();
            let root = temp.path().join("world");
            std::fs::create_dir(&root).unwrap();
            std::fs::write(temp.path().join("a"), "outside").unwrap();
            for dir in dirs {
                let _ = std::fs::create_dir_all(root.join(dir));
            }
            for (name, target) in links {
                let names: Vec<_> = name.split('/').filter(|n| !n.starts_with('.')).collect();
                plant(&root, &names, &target);
            }
            let tree = Dir::plain(&root).unwrap();
            for path in wanted {
                let Ok(found) = tree.resolve(OsStr::new(&path), true) else {
                    prop_assert_eq!(by_kernel(&root, &path), None, "{}", path);
                    continue;
                };
                let plain = found.names.iter().all(|n| n != ".." && n != "." && !n.is_empty());
                prop_assert!(plain, "{} leads to {:?}", path, found.names);
                // Beyond what exists we go on by name, where the kernel gives up.
                let ours = found.node.map(|node| node.meta().id).map(|id| (id.dev, id.ino));
                let kernels = by_kernel(&root, &path);
                prop_assert!(kernels.is_none() || kernels == ours, "{}", path);
            }
        }
    }
}
