//! Writing a layer: an overlay upper directory that holds only what changed.
//!
//! Nothing is mounted. The directories on the way to a changed file are made as
//! overlay's copy-up would make them, with the attributes that they have in the layers
//! below. As in `tree`, every step down is one component that is not a link.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{self, AtFlags, FileType, Gid, Mode, OFlags, Timespec, Timestamps, Uid};
use rustix::io::Errno;
use sys::Error;

use crate::chmod::ModeChange;
use crate::sums::Sums;
use crate::tree::{Dir, Leaf, Meta, Node, Resolved, content_xattrs};

/// Why something could not be written into a layer.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The kernel refused.
    #[error(transparent)]
    Sys(#[from] Error),
    /// A directory was to be made where a file is.
    #[error("cannot copy a directory to {}: it exists and is not a directory", .0.display())]
    NotDirectory(PathBuf),
    /// A file was to be written where a directory is.
    #[error("cannot replace the directory {} by a file", .0.display())]
    IsDirectory(PathBuf),
    /// An archive cannot be unpacked.
    #[error("cannot unpack {}", path.display())]
    Archive {
        /// The archive, from the context's root.
        path: PathBuf,
        /// Why.
        #[source]
        source: Box<store::Error>,
    },
    /// An archive of a kind that we do not read.
    #[error("cannot unpack {}: only plain, gzip and zstd archives are supported", .0.display())]
    Compression(PathBuf),
    /// Somebody works on the source at the same time.
    #[error("{} changed while it was being copied", .0.display())]
    Changed(PathBuf),
}

/// How a copy changes what it copies.
#[derive(Debug, Clone, Default)]
pub(crate) struct Attributes {
    /// The new owner; the source's own when absent.
    pub(crate) owner: Option<(u32, u32)>,
    /// The new permissions; the source's own when absent.
    pub(crate) mode: Option<ModeChange>,
    /// Whether the instruction itself asks for the owner.
    pub(crate) chown: bool,
    /// Whether extended attributes come along.
    pub(crate) xattrs: bool,
}

/// An upper directory in the making.
#[derive(Debug)]
pub(crate) struct Upper {
    root: Place,
    path: PathBuf,
    /// First copy of each file that has several names.
    linked: HashMap<(u64, u64), PathBuf>,
}

/// A directory of the result.
#[derive(Debug, Clone)]
struct Place {
    upper: Arc<OwnedFd>,
    /// The same directory below, if it exists there.
    lower: Option<Dir>,
    shown: PathBuf,
}

impl Upper {
    /// Begins a layer in the empty directory `path` on top of `lower`.
    pub(crate) fn new(path: &Path, lower: Option<Dir>) -> Result<Self, WriteError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let upper = fs::open(path, flags, Mode::empty())
            .map_err(|e| Error::new("open the directory", path.to_string_lossy(), e))?;
        let shown = PathBuf::from("/");
        match &lower {
            Some(dir) => copy_attributes(&upper, dir, &shown)?,
            None => chmod(&upper, 0o755, &shown)?,
        }
        let upper = Arc::new(upper);
        Ok(Self {
            root: Place {
                upper,
                lower,
                shown,
            },
            path: path.to_owned(),
            linked: HashMap::new(),
        })
    }

    /// Resolves `path` in the result as it is now.
    pub(crate) fn resolve(&self, path: &OsStr) -> Result<Resolved, WriteError> {
        let view = match &self.root.lower {
            Some(lower) => lower.clone().topped(&self.path)?,
            None => Dir::plain(&self.path)?,
        };
        Ok(view.resolve(path, true)?)
    }

    /// Makes the directory and those above it that are missing, with `owner`.
    pub(crate) fn make_dirs(
        &mut self,
        names: &[OsString],
        owner: (u32, u32),
    ) -> Result<(), WriteError> {
        self.enter_all(names, owner).map(drop)
    }

    fn enter_all(&self, names: &[OsString], owner: (u32, u32)) -> Result<Place, WriteError> {
        let mut place = self.root.clone();
        for name in names {
            place = self.enter(&place, name, owner)?.0;
        }
        Ok(place)
    }

    /// The directory `name` in `place`, and whether it is new.
    fn enter(
        &self,
        place: &Place,
        name: &OsStr,
        owner: (u32, u32),
    ) -> Result<(Place, bool), WriteError> {
        let shown = place.shown.join(name);
        let lower = match place.lower.as_ref().map(|d| d.child(name)).transpose()? {
            Some(Some(Node::Dir(dir))) => Some(dir),
            Some(Some(Node::Leaf(_))) => return Err(WriteError::NotDirectory(shown)),
            _ => None,
        };
        let made = match fs::mkdirat(&place.upper, name, Mode::from_raw_mode(0o700)) {
            Ok(()) => true,
            Err(Errno::EXIST) => false,
            Err(e) => return Err(failed("make the directory", &shown, e).into()),
        };
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let upper = match fs::openat(&place.upper, name, flags, Mode::empty()) {
            Ok(fd) => Arc::new(fd),
            Err(Errno::NOTDIR | Errno::LOOP) => return Err(WriteError::NotDirectory(shown)),
            Err(e) => return Err(failed("open the directory", &shown, e).into()),
        };
        let new = made && lower.is_none();
        match &lower {
            Some(dir) if made => copy_attributes(&upper, dir, &shown)?,
            None if made => {
                chown(&upper, owner, &shown)?;
                chmod(&upper, 0o755, &shown)?;
            }
            _ => {}
        }
        let place = Place {
            upper,
            lower,
            shown,
        };
        Ok((place, new))
    }

    /// Writes a file with this content.
    pub(crate) fn write_file(
        &mut self,
        names: &[OsString],
        content: &[u8],
        attributes: &Attributes,
    ) -> Result<(), WriteError> {
        let owner = attributes.owner.unwrap_or_default();
        let Some((name, parents)) = names.split_last() else {
            return Err(WriteError::IsDirectory(PathBuf::from("/")));
        };
        let place = self.enter_all(parents, owner)?;
        make_room(&place, name)?;
        let shown = place.shown.join(name);
        let file = create(&place, name)?;
        std::io::Write::write_all(&mut &file, content)
            .map_err(|e| Error::new("write", shown.to_string_lossy(), e))?;
        chown(&file, owner, &shown)?;
        let mode = attributes
            .mode
            .as_ref()
            .map_or(0o644, |m| m.apply(0o644, false));
        chmod(&file, mode, &shown)
    }

    /// Copies `node` to the place `names`; of a directory its content, into that place.
    /// With `sums`, regular files must be those whose content it has digested.
    pub(crate) fn copy(
        &mut self,
        node: &Node,
        names: &[OsString],
        attributes: &Attributes,
        sums: &Sums,
    ) -> Result<(), WriteError> {
        let owner = attributes.owner.unwrap_or_default();
        // A later source may replace what an earlier one wrote.
        self.linked.clear();
        match (node, names.split_last()) {
            (Node::Dir(dir), _) => {
                let place = self.enter_all(names, owner)?;
                self.copy_children(dir, &place, attributes, sums)
            }
            (Node::Leaf(leaf), Some((name, parents))) => {
                let place = self.enter_all(parents, owner)?;
                self.copy_leaf(leaf, &place, name, attributes, sums)
            }
            (Node::Leaf(_), None) => Err(WriteError::IsDirectory(PathBuf::from("/"))),
        }
    }

    fn copy_children(
        &mut self,
        dir: &Dir,
        place: &Place,
        attributes: &Attributes,
        sums: &Sums,
    ) -> Result<(), WriteError> {
        for name in dir.names()? {
            match dir.child(&name)? {
                Some(Node::Leaf(leaf)) => self.copy_leaf(&leaf, place, &name, attributes, sums)?,
                Some(Node::Dir(child)) if child.is_shown()? => {
                    let (target, _) = self.enter(place, &name, (0, 0))?;
                    self.copy_children(&child, &target, attributes, sums)?;
                    // Last, for writing into it has changed its time.
                    self.finish(&target.upper, &child.meta(), attributes, &target.shown)?;
                    if attributes.xattrs {
                        set_xattrs(&target.upper, child.xattrs(), &target.shown)?;
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn copy_leaf(
        &mut self,
        leaf: &Leaf,
        place: &Place,
        name: &OsStr,
        attributes: &Attributes,
        sums: &Sums,
    ) -> Result<(), WriteError> {
        let shown = place.shown.join(name);
        let meta = leaf.meta;
        if meta.kind == FileType::Socket {
            return Ok(());
        }
        make_room(place, name)?;
        match meta.kind {
            FileType::RegularFile => self.copy_file(leaf, place, name, attributes, sums),
            FileType::Symlink => {
                fs::symlinkat(leaf.target()?, &place.upper, name)
                    .map_err(|e| failed("make the link", &shown, e))?;
                self.finish_at(place, name, &meta, attributes, &shown)
            }
            kind => {
                let mode = Mode::from_raw_mode(meta.mode);
                fs::mknodat(&place.upper, name, kind, mode, meta.rdev)
                    .map_err(|e| failed("make the special file", &shown, e))?;
                self.finish_at(place, name, &meta, attributes, &shown)?;
                let mode = wanted_mode(&meta, attributes);
                fs::chmodat(
                    &place.upper,
                    name,
                    Mode::from_raw_mode(mode),
                    AtFlags::empty(),
                )
                .map_err(|e| failed("change the permissions of", &shown, e).into())
            }
        }
    }

    fn copy_file(
        &mut self,
        leaf: &Leaf,
        place: &Place,
        name: &OsStr,
        attributes: &Attributes,
        sums: &Sums,
    ) -> Result<(), WriteError> {
        let shown = place.shown.join(name);
        let meta = leaf.meta;
        let inode = (meta.id.dev, meta.id.ino);
        if meta.links > 1 {
            if let Some(first) = self.linked.get(&inode) {
                return fs::linkat(
                    &self.root.upper,
                    first,
                    &place.upper,
                    name,
                    AtFlags::empty(),
                )
                .map_err(|e| failed("link", &shown, e).into());
            }
            let inside = shown.strip_prefix("/").unwrap_or(&shown).to_owned();
            self.linked.insert(inode, inside);
        }
        let mut source = leaf.open()?;
        let mut file = create(place, name)?;
        std::io::copy(&mut source, &mut file)
            .map_err(|e| Error::new("copy to", shown.to_string_lossy(), e))?;
        let after = fs::fstat(&source).map_err(|e| failed("examine", leaf.shown(), e))?;
        if !sums.saw(&Meta::of(&after)) {
            return Err(WriteError::Changed(leaf.shown().to_owned()));
        }
        self.finish(&file, &meta, attributes, &shown)?;
        if attributes.xattrs {
            set_xattrs(&file, content_xattrs(&source), &shown)?;
        }
        Ok(())
    }

    /// Gives what was copied its owner, permissions and time, in this order: a change
    /// of owner clears setuid.
    fn finish(
        &self,
        fd: impl AsFd,
        meta: &Meta,
        attributes: &Attributes,
        shown: &Path,
    ) -> Result<(), WriteError> {
        chown(&fd, attributes.owner.unwrap_or((meta.uid, meta.gid)), shown)?;
        chmod(&fd, wanted_mode(meta, attributes), shown)?;
        fs::futimens(&fd, &times(meta.id.mtime))
            .map_err(|e| failed("set the time of", shown, e).into())
    }

    fn finish_at(
        &self,
        place: &Place,
        name: &OsStr,
        meta: &Meta,
        attributes: &Attributes,
        shown: &Path,
    ) -> Result<(), WriteError> {
        let (uid, gid) = attributes.owner.unwrap_or((meta.uid, meta.gid));
        let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
        let nofollow = AtFlags::SYMLINK_NOFOLLOW;
        match fs::chownat(&place.upper, name, Some(uid), Some(gid), nofollow) {
            // No attribute can be noted of a link.
            Err(Errno::INVAL | Errno::PERM) if sys::userns::maps_one_id()? => {}
            owned => owned.map_err(|e| failed("change the owner of", shown, e))?,
        }
        fs::utimensat(&place.upper, name, &times(meta.id.mtime), nofollow)
            .map_err(|e| failed("set the time of", shown, e).into())
    }
}

fn times(mtime: i64) -> Timestamps {
    let time = Timespec {
        tv_sec: mtime.div_euclid(1_000_000_000),
        tv_nsec: mtime.rem_euclid(1_000_000_000),
    };
    Timestamps {
        last_access: time,
        last_modification: time,
    }
}

/// Sets every later time below the directory to `latest`, in seconds since 1970.
pub(crate) fn clamp_times(dir: &Dir, latest: i64) -> Result<(), Error> {
    let latest_nanos = latest.saturating_mul(1_000_000_000);
    for name in dir.names()? {
        let Some(node) = dir.child(&name)? else {
            continue;
        };
        if let Node::Dir(child) = &node {
            clamp_times(child, latest)?;
        }
        if node.meta().id.mtime > latest_nanos {
            let shown = dir.shown().join(&name);
            let nofollow = AtFlags::SYMLINK_NOFOLLOW;
            fs::utimensat(dir.top(), &name, &times(latest_nanos), nofollow)
                .map_err(|e| failed("set the time of", &shown, e))?;
        }
    }
    Ok(())
}

fn wanted_mode(meta: &Meta, attributes: &Attributes) -> u32 {
    let is_dir = meta.kind == FileType::Directory;
    attributes
        .mode
        .as_ref()
        .map_or(meta.mode, |m| m.apply(meta.mode, is_dir))
}

/// Takes away a file that is to be replaced.
fn make_room(place: &Place, name: &OsStr) -> Result<(), WriteError> {
    let shown = || place.shown.join(name);
    if let Some(lower) = &place.lower
        && let Some(Node::Dir(_)) = lower.child(name)?
    {
        return Err(WriteError::IsDirectory(shown()));
    }
    match fs::unlinkat(&place.upper, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(Errno::ISDIR) => Err(WriteError::IsDirectory(shown())),
        Err(e) => Err(failed("replace", &shown(), e).into()),
    }
}

fn create(place: &Place, name: &OsStr) -> Result<std::fs::File, WriteError> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    fs::openat(&place.upper, name, flags, Mode::from_raw_mode(0o600))
        .map(std::fs::File::from)
        .map_err(|e| failed("create", &place.shown.join(name), e).into())
}

fn copy_attributes(fd: impl AsFd, from: &Dir, shown: &Path) -> Result<(), WriteError> {
    let meta = from.meta();
    chown(&fd, (meta.uid, meta.gid), shown)?;
    chmod(&fd, meta.mode, shown)?;
    set_xattrs(fd, from.xattrs(), shown)
}

fn set_xattrs(
    fd: impl AsFd,
    xattrs: std::collections::BTreeMap<OsString, Vec<u8>>,
    shown: &Path,
) -> Result<(), WriteError> {
    for (name, value) in xattrs {
        fs::fsetxattr(&fd, name, &value, fs::XattrFlags::empty())
            .map_err(|e| failed("set an attribute of", shown, e))?;
    }
    Ok(())
}

fn chown(fd: impl AsFd, (uid, gid): (u32, u32), shown: &Path) -> Result<(), WriteError> {
    sys::fs::own(fd, uid, gid).map_err(|e| failed("change the owner of", shown, e).into())
}

fn chmod(fd: impl AsFd, mode: u32, shown: &Path) -> Result<(), WriteError> {
    fs::fchmod(fd, Mode::from_raw_mode(mode))
        .map_err(|e| failed("change the permissions of", shown, e).into())
}

fn failed(act: &'static str, shown: &Path, errno: Errno) -> Error {
    Error::new(act, shown.to_string_lossy(), errno)
}
