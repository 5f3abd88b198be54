//! `cp`: files between a container and the host, as tars. Docker's rules of what goes
//! where (docker: docs/reference/commandline/container_cp.md).

mod path;

use std::ffi::OsString;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use rustix::fs::FileType;
use store::layers::{Extract, Extracted};
use sys::fs::DirFd;

use crate::{ContainerRecord, Engine, Error, Result};
use path::{Found, find};

pub use path::CopyPath;

/// How files are copied.
#[derive(Debug, Clone, Copy, Default)]
pub struct CopyOptions {
    /// Owners stay what they are at the source.
    pub archive: bool,
    /// A link that is the source itself is followed.
    pub follow: bool,
}

/// What was copied.
#[derive(Debug, Clone, Default)]
pub struct Copied {
    /// Bytes of tar.
    pub bytes: u64,
    /// What was left out, a sentence each.
    pub notes: Vec<String>,
}

impl Engine {
    /// Copies from a container to the host; the host's path is absolute. The owner is the
    /// caller.
    pub fn copy_out(
        &self,
        record: &ContainerRecord,
        from: CopyPath<'_>,
        to: CopyPath<'_>,
        options: CopyOptions,
    ) -> Result<Copied> {
        let host = DirFd::open(Path::new("/"))?;
        let caller = (
            rustix::process::geteuid().as_raw(),
            rustix::process::getegid().as_raw(),
        );
        let how = Extract {
            owner: (!options.archive).then_some(caller),
            harmless: !options.archive,
            ..Extract::default()
        };
        self.note_container(record, "archive-path", &[]);
        self.with_root(record, |root| {
            transfer((root, from), (&host, to), options.follow, how)
        })
    }

    /// Copies from the host to a container; the host's path is absolute. The owner is the
    /// container's root.
    pub fn copy_in(
        &self,
        record: &ContainerRecord,
        from: CopyPath<'_>,
        to: CopyPath<'_>,
        options: CopyOptions,
    ) -> Result<Copied> {
        let host = DirFd::open(Path::new("/"))?;
        self.check_writable(record, to)?;
        let how = Extract {
            owner: (!options.archive).then_some(crate::ownership::root_of(&self.plan(record)?)),
            ..Extract::default()
        };
        self.with_root(record, |root| {
            transfer((&host, from), (root, to), options.follow, how)
        })
    }

    /// Writes a path of a container as a tar.
    pub fn copy_to_tar(
        &self,
        record: &ContainerRecord,
        from: CopyPath<'_>,
        options: CopyOptions,
        writer: &mut (dyn Write + Send),
    ) -> Result<()> {
        self.note_container(record, "archive-path", &[]);
        let plan = self.plan(record)?;
        self.with_root(record, |root| {
            let source = source(root, from, options.follow)?;
            let shown = match from.is_content() {
                true => OsString::new(),
                false => source_name(&source, from),
            };
            Ok(store::layers::entry_tar(
                &source.parent,
                &source.name,
                &shown,
                crate::ownership::shown(&plan),
                writer,
            )?)
        })
    }

    /// Takes a tar out into a directory of a container. Owners are the tar's.
    pub fn copy_from_tar(
        &self,
        record: &ContainerRecord,
        reader: impl Read + Send,
        to: CopyPath<'_>,
    ) -> Result<Copied> {
        self.check_writable(record, to)?;
        let plan = self.plan(record)?;
        self.with_root(record, |root| {
            let target = find(root, to, true)?;
            if !target.is_dir() {
                let message = format!("destination {} must be a directory", to.shown);
                return Err(Error::invalid(message));
            }
            let how = Extract {
                below: target.path(),
                ids: crate::ownership::shown(&plan).cloned(),
                ..Extract::default()
            };
            let extracted: Extracted = how.run(root.try_clone()?, reader)?;
            Ok(Copied {
                bytes: 0,
                notes: extracted.notes,
            })
        })
    }

    /// What a container may not write to, nobody writes to.
    fn check_writable(&self, record: &ContainerRecord, to: CopyPath<'_>) -> Result<()> {
        self.note_container(record, "extract-to-dir", &[]);
        let plan = self.plan(record)?;
        let path = Path::new("/").join(to.path);
        let mounted = |mount: &model::MountPlan| path.starts_with(&mount.target);
        if plan.rootfs.read_only && !plan.mounts.iter().any(mounted) {
            let message = format!(
                "the root file system of container {} is read-only",
                record.name
            );
            return Err(Error::invalid_hint(message, "copy to one of its volumes"));
        }
        Ok(())
    }
}

/// Copies what one path names to another path.
fn transfer(
    (from_root, from): (&DirFd, CopyPath<'_>),
    (to_root, to): (&DirFd, CopyPath<'_>),
    follow: bool,
    how: Extract,
) -> Result<Copied> {
    let source = source(from_root, from, follow)?;
    let (below, name) = destination(&source, from, to_root, to)?;
    let how = Extract { below, ..how };
    let (reader, writer) = std::io::pipe().map_err(|e| sys::Error::new("make", "a pipe", e))?;
    std::thread::scope(|scope| {
        let writing = scope.spawn(|| {
            let mut counting = Counting { writer, bytes: 0 };
            store::layers::entry_tar(&source.parent, &source.name, &name, None, &mut counting)
                .map(|()| counting.bytes)
        });
        let extracted = how.run(to_root.try_clone()?, reader);
        let written = writing.join();
        let written = written.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        match (written, extracted) {
            // The reader has gone for a reason of its own.
            (Err(store::Error::Write { .. }), Err(error)) => Err(error.into()),
            (Err(error), _) | (Ok(_), Err(error)) => Err(error.into()),
            (Ok(bytes), Ok(extracted)) => Ok(Copied {
                bytes,
                notes: extracted.notes,
            }),
        }
    })
}

/// Finds the source, which must be there.
fn source(root: &DirFd, from: CopyPath<'_>, follow: bool) -> Result<Found> {
    let found = find(root, from, follow || from.wants_directory())?;
    match found.kind {
        None => Err(Error::invalid(format!("{} does not exist", from.shown))),
        Some(kind) if from.wants_directory() && kind != FileType::Directory => {
            Err(not_a_directory(from))
        }
        Some(_) => Ok(found),
    }
}

fn not_a_directory(path: CopyPath<'_>) -> Error {
    Error::invalid(format!("{} is not a directory", path.shown))
}

/// The last word of a source as it was typed: a link that is followed keeps its own name.
fn source_name(source: &Found, from: CopyPath<'_>) -> OsString {
    match Path::new(from.path).file_name() {
        Some(name) => name.to_owned(),
        None if source.name == "." => OsString::new(),
        None => source.name.clone(),
    }
}

/// Where the source goes: a directory, and a name in it, empty for its content alone.
fn destination(
    source: &Found,
    from: CopyPath<'_>,
    root: &DirFd,
    to: CopyPath<'_>,
) -> Result<(PathBuf, OsString)> {
    let target = find(root, to, true)?;
    let content = from.is_content() && source.is_dir();
    match (target.kind, source.is_dir()) {
        (Some(FileType::Directory), true) if content => Ok((target.path(), OsString::new())),
        (Some(FileType::Directory), _) => Ok((target.path(), source_name(source, from))),
        (Some(_), true) => {
            let message = format!("cannot copy a directory to {}, which is a file", to.shown);
            Err(Error::invalid(message))
        }
        (Some(_), false) if to.wants_directory() => Err(not_a_directory(to)),
        (None, false) if to.wants_directory() => {
            let message = format!("destination directory {} does not exist", to.shown);
            Err(Error::invalid(message))
        }
        (Some(_), false) | (None, _) => Ok((target.place, target.name)),
    }
}

struct Counting<W> {
    writer: W,
    bytes: u64,
}

impl<W: Write> Write for Counting<W> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let written = self.writer.write(bytes)?;
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.writer.flush()
    }
}
