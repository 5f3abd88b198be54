//! Paths of `cp`, resolved below a root by us: what is in the way was chosen by others.

use std::ffi::{OsStr, OsString};
use std::path::{Component, Path, PathBuf};

use rustix::fs::{FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use sys::fs::DirFd;

use crate::{Error, Result};

/// Links that one path may go through, as in the kernel.
const MAX_LINKS: usize = 40;

/// One end of a copy.
#[derive(Debug, Clone, Copy)]
pub struct CopyPath<'a> {
    /// The path; a slash or `/.` at its end has a meaning.
    pub path: &'a str,
    /// What messages call it.
    pub shown: &'a str,
}

impl CopyPath<'_> {
    /// The content of the directory, not the directory.
    pub(super) fn is_content(&self) -> bool {
        self.path == "." || self.path.ends_with("/.")
    }

    /// It must be a directory.
    pub(super) fn wants_directory(&self) -> bool {
        self.path.ends_with('/') || self.is_content()
    }
}

/// Where a path leads.
pub(super) struct Found {
    /// The directory that it is in; itself for the root.
    pub(super) parent: DirFd,
    /// Where that is, from the root, without links.
    pub(super) place: PathBuf,
    /// Its name there; `.` for the root.
    pub(super) name: OsString,
    /// What it is; `None` if there is nothing.
    pub(super) kind: Option<FileType>,
}

impl Found {
    pub(super) fn is_dir(&self) -> bool {
        self.kind == Some(FileType::Directory)
    }

    pub(super) fn path(&self) -> PathBuf {
        match self.name == "." {
            true => self.place.clone(),
            false => self.place.join(&self.name),
        }
    }
}

/// Resolves a path with `root` as `/`. That its last word names nothing is no error; that
/// one before it does not is one.
pub(super) fn find(root: &DirFd, path: CopyPath<'_>, follow: bool) -> Result<Found> {
    let wrong = |word: &OsStr, what: &str| {
        let word = Path::new(word).display();
        Err(Error::invalid(format!("{}: {word} {what}", path.shown)))
    };
    let mut pending = words(Path::new(path.path));
    pending.reverse();
    let mut stack: Vec<OsString> = Vec::new();
    let mut links = 0;
    while let Some(word) = pending.pop() {
        if word == ".." {
            stack.pop();
            continue;
        }
        let here = open(root, &stack, path.shown)?;
        let kind = here
            .stat(&word)?
            .map(|s| FileType::from_raw_mode(s.st_mode));
        let last = pending.is_empty();
        match kind {
            Some(FileType::Symlink) if follow || !last => {
                links += 1;
                if links > MAX_LINKS {
                    return wrong(&word, "leads through too many links");
                }
                let target = PathBuf::from(here.read_link(&word)?);
                if target.is_absolute() {
                    stack.clear();
                }
                pending.extend(words(&target).into_iter().rev());
            }
            kind if last => {
                return Ok(Found {
                    parent: here,
                    place: stack.iter().collect(),
                    name: word,
                    kind,
                });
            }
            Some(FileType::Directory) => stack.push(word),
            None => return wrong(&word, "does not exist"),
            Some(_) => return wrong(&word, "is not a directory"),
        }
    }
    // The root, or a `..` at the end: named from its parent, where it has one.
    let name = stack.pop();
    Ok(Found {
        parent: open(root, &stack, path.shown)?,
        place: stack.iter().collect(),
        name: name.unwrap_or_else(|| ".".into()),
        kind: Some(FileType::Directory),
    })
}

fn words(path: &Path) -> Vec<OsString> {
    let word = |component: Component<'_>| match component {
        Component::Normal(word) => Some(word.to_owned()),
        Component::ParentDir => Some("..".into()),
        _ => None,
    };
    path.components().filter_map(word).collect()
}

/// Opens a directory along real directories only.
fn open(root: &DirFd, stack: &[OsString], shown: &str) -> Result<DirFd> {
    let path: PathBuf = stack.iter().collect();
    let inside = match path.as_os_str().is_empty() {
        true => Path::new("."),
        false => &path,
    };
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
    let mut tries = 0;
    loop {
        match rustix::fs::openat2(root, inside, flags, Mode::empty(), resolve) {
            // A rename raced with the walk.
            Err(Errno::AGAIN | Errno::INTR) if tries < 64 => tries += 1,
            Ok(fd) => return Ok(DirFd::from_fd(fd, Path::new("/").join(&path))),
            Err(errno) => return Err(sys::Error::new("open", shown, errno).into()),
        }
    }
}
