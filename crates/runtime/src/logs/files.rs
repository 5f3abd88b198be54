//! The files of one log, from the oldest to the one that is written to, and the news
//! about them.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags};
use rustix::fs::inotify::{self, CreateFlags, WatchFlags};

use crate::supervise::clock;

/// How often a look may find the files being renamed.
const LOOKS: u32 = 1000;

/// The files' names and inodes, the oldest first. Only two equal looks are true: a name
/// may be on its way from one file to another.
fn scan(path: &Path) -> io::Result<Vec<(PathBuf, u64)>> {
    let mut last = scan_once(path)?;
    for _ in 0..LOOKS {
        let again = scan_once(path)?;
        if again == last {
            break;
        }
        last = again;
    }
    Ok(last)
}

fn scan_once(path: &Path) -> io::Result<Vec<(PathBuf, u64)>> {
    let (Some(directory), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    let entries = match std::fs::read_dir(directory) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other?,
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry?;
        if let Some(age) = age(&entry.file_name(), name) {
            match entry.metadata() {
                Ok(data) => found.push((age, entry.path(), data.ino())),
                Err(e) if e.kind() == io::ErrorKind::NotFound => {}
                Err(e) => return Err(e),
            }
        }
    }
    found.sort_by_key(|(age, ..)| std::cmp::Reverse(*age));
    Ok(found
        .into_iter()
        .map(|(_, path, ino)| (path, ino))
        .collect())
}

/// 0 for the log's own name, n for it with `.n` behind.
fn age(entry: &OsStr, name: &OsStr) -> Option<u32> {
    match entry.as_bytes().strip_prefix(name.as_bytes())? {
        [] => Some(0),
        [b'.', number @ ..] => std::str::from_utf8(number).ok()?.parse().ok(),
        _ => None,
    }
}

/// Opens all files, the oldest first: what is rotated away from now on is still read.
pub(super) fn open_all(path: &Path) -> io::Result<Vec<File>> {
    for _ in 0..LOOKS {
        let files = scan(path)?;
        let opened: io::Result<Vec<File>> = files.iter().map(open_same).collect();
        match opened {
            Ok(opened) => return Ok(opened),
            // Renamed in between.
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            Err(e) => return Err(e),
        }
    }
    Err(io::ErrorKind::ResourceBusy.into())
}

fn open_same((path, inode): &(PathBuf, u64)) -> io::Result<File> {
    let file = File::open(path)?;
    match file.metadata()?.ino() == *inode {
        true => Ok(file),
        false => Err(io::ErrorKind::NotFound.into()),
    }
}

/// The file after this one, if another was begun. If this one has been given up
/// meanwhile, that is the oldest that is left.
pub(super) fn after(path: &Path, file: &File) -> io::Result<Option<File>> {
    let inode = file.metadata()?.ino();
    for _ in 0..LOOKS {
        let files = scan(path)?;
        let next = match files.iter().position(|(_, ino)| *ino == inode) {
            Some(at) => files.get(at + 1),
            None => files.first(),
        };
        match next.map(open_same) {
            None => return Ok(None),
            Some(Ok(file)) => return Ok(Some(file)),
            Some(Err(e)) if e.kind() == io::ErrorKind::NotFound => {}
            Some(Err(e)) => return Err(e),
        }
    }
    Err(io::ErrorKind::ResourceBusy.into())
}

/// What wakes a reader who follows: a change of the log's directory. The kernel's watches
/// are few for each user; without one it looks again and again.
#[derive(Debug)]
pub(super) struct News {
    watch: Option<OwnedFd>,
    pause: Duration,
}

impl News {
    const FIRST: Duration = Duration::from_millis(20);

    pub(super) fn of(path: &Path) -> Self {
        let watch = || {
            let watch = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK).ok()?;
            let events = WatchFlags::MODIFY
                | WatchFlags::CREATE
                | WatchFlags::MOVED_TO
                | WatchFlags::DELETE
                | WatchFlags::MOVE_SELF
                | WatchFlags::DELETE_SELF;
            inotify::add_watch(&watch, path.parent()?, events).ok()?;
            Some(watch)
        };
        Self {
            watch: watch(),
            pause: Self::FIRST,
        }
    }

    /// Waits for news, at most for `longest`. What no watch tells (the death of a
    /// supervisor, the caller's wishes) is asked for at growing distances.
    pub(super) fn wait(&mut self, longest: Duration) {
        let pause = self.pause.min(longest);
        self.pause = (self.pause * 2).min(longest);
        let Some(watch) = &self.watch else {
            std::thread::sleep(pause.min(2 * Self::FIRST));
            return;
        };
        let mut fds = [PollFd::new(watch, PollFlags::IN)];
        if matches!(rustix::event::poll(&mut fds, Some(&clock::timespec(pause))), Ok(ready) if ready > 0)
        {
            let mut buffer = [MaybeUninit::uninit(); 4096];
            let mut events = inotify::Reader::new(watch, &mut buffer);
            while events.next().is_ok() {}
            self.pause = Self::FIRST;
        }
    }
}
