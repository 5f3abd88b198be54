//! The files that the log's lines go to.
//!
//! Nothing here takes or gives back heap memory but [`LogFile::new`] and drop: see
//! [`super::background`].

use std::ffi::CString;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::io::Errno;

/// More files than anybody keeps; each one costs a rename.
const MOST_FILES: u32 = 1000;

/// The file that is written to, and the names of those before it.
#[derive(Debug)]
pub(super) struct LogFile {
    /// The files' directory.
    directory: Option<OwnedFd>,
    path: CString,
    /// The present one's name, then those of older ones.
    names: Vec<CString>,
    file: Option<OwnedFd>,
    /// All of it whole lines.
    length: u64,
    max_size: Option<u64>,
}

/// How a write went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Written {
    /// So many bytes, whole lines all, are in the log.
    pub(super) bytes: usize,
    /// Why not all of them.
    pub(super) error: Option<Errno>,
}

impl LogFile {
    /// For the log of this name. It is opened with the first write, and again after a
    /// failure: a full disk may have room again.
    pub(super) fn new(path: &Path, max_size: Option<u64>, max_files: u32) -> io::Result<Self> {
        let (Some(directory), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(io::ErrorKind::InvalidInput.into());
        };
        let kept = max_files.clamp(1, MOST_FILES);
        let older = |n| [name.as_bytes(), format!(".{n}").as_bytes()].concat();
        let names = std::iter::once(name.as_bytes().to_vec()).chain((1..kept).map(older));
        Ok(Self {
            directory: None,
            path: CString::new(directory.as_os_str().as_bytes())?,
            names: names.map(CString::new).collect::<Result<_, _>>()?,
            file: None,
            length: 0,
            max_size,
        })
    }

    /// Appends whole lines.
    pub(super) fn append(&mut self, lines: &[u8]) -> Written {
        let mut done = 0;
        let error = loop {
            let rest = &lines[done..];
            if rest.is_empty() {
                break None;
            }
            if let Err(error) = self.open() {
                break Some(error);
            }
            let piece = match self.fitting(rest) {
                [] => match self.rotate() {
                    Ok(()) => continue,
                    Err(error) => break Some(error),
                },
                piece => piece,
            };
            let Written { bytes, error } = self.write(piece);
            done += bytes;
            if error.is_some() {
                break error;
            }
        };
        Written { bytes: done, error }
    }

    /// The lines that this file still takes. A line that no file could take gets one to
    /// itself.
    fn fitting<'l>(&self, lines: &'l [u8]) -> &'l [u8] {
        let left = self
            .max_size
            .map_or(u64::MAX, |max| max.saturating_sub(self.length));
        let left = usize::try_from(left).unwrap_or(usize::MAX);
        if lines.len() <= left {
            return lines;
        }
        let newline = |byte: &u8| *byte == b'\n';
        match lines[..left].iter().rposition(newline) {
            Some(at) => &lines[..=at],
            None if self.length == 0 => {
                let end = lines.iter().position(newline);
                &lines[..end.map_or(lines.len(), |at| at + 1)]
            }
            None => &[],
        }
    }

    fn write(&mut self, lines: &[u8]) -> Written {
        let Some(file) = &self.file else {
            return Written {
                bytes: 0,
                error: Some(Errno::BADF),
            };
        };
        let mut done = 0;
        let error = loop {
            match rustix::io::write(file, &lines[done..]) {
                Ok(count) => done += count,
                Err(Errno::INTR) => {}
                Err(error) => break error,
            }
            if done == lines.len() {
                self.length += done as u64;
                return Written {
                    bytes: done,
                    error: None,
                };
            }
        };
        // The line that was cut is taken back.
        let whole = lines[..done].iter().rposition(|&b| b == b'\n');
        let whole = whole.map_or(0, |at| at + 1);
        self.length += whole as u64;
        if whole != done && rustix::fs::ftruncate(file, self.length).is_err() {
            self.file = None;
        }
        Written {
            bytes: whole,
            error: Some(error),
        }
    }

    /// Opens or creates the log. A last line that a crash has cut is ended, so that the
    /// next one begins on its own.
    fn open(&mut self) -> rustix::io::Result<()> {
        if self.file.is_some() {
            return Ok(());
        }
        if self.directory.is_none() {
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
            self.directory = Some(rustix::fs::open(&*self.path, flags, Mode::empty())?);
        }
        let Some(directory) = &self.directory else {
            return Err(Errno::BADF);
        };
        let flags = OFlags::RDWR | OFlags::APPEND | OFlags::CREATE | OFlags::CLOEXEC;
        let mode = Mode::RUSR | Mode::WUSR;
        let file = rustix::fs::openat(directory, &*self.names[0], flags, mode)?;
        let size = rustix::fs::fstat(&file)?.st_size;
        self.length = u64::try_from(size).unwrap_or(0);
        let mut last = [b'\n'];
        if let Some(at) = self.length.checked_sub(1) {
            rustix::io::pread(&file, &mut last, at)?;
        }
        if last != [b'\n'] {
            self.length += rustix::io::write(&file, b"\n")? as u64;
        }
        self.file = Some(file);
        Ok(())
    }

    /// Begins a new file. The oldest one goes.
    fn rotate(&mut self) -> rustix::io::Result<()> {
        let Some(directory) = &self.directory else {
            return Err(Errno::BADF);
        };
        let absent = |result| match result {
            Err(Errno::NOENT) => Ok(()),
            other => other,
        };
        for pair in self.names.windows(2).rev() {
            absent(rustix::fs::renameat(
                directory, &*pair[0], directory, &*pair[1],
            ))?;
        }
        if self.names.len() == 1 {
            // Not emptied: who reads it may go on.
            absent(rustix::fs::unlinkat(
                directory,
                &*self.names[0],
                AtFlags::empty(),
            ))?;
        }
        self.file = None;
        self.open()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    fn log() -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        (dir, path)
    }

    fn names(dir: &tempfile::TempDir) -> Vec<(String, String)> {
        let entries = std::fs::read_dir(dir.path()).unwrap();
        let mut seen: Vec<_> = entries
            .map(|entry| {
                let entry = entry.unwrap();
                let name = entry.file_name().into_string().unwrap();
                (name, std::fs::read_to_string(entry.path()).unwrap())
            })
            .collect();
        seen.sort();
        seen
    }

    fn pairs(list: &[(&str, &str)]) -> Vec<(String, String)> {
        let own = |(a, b): &(&str, &str)| ((*a).to_owned(), (*b).to_owned());
        list.iter().map(own).collect()
    }

    #[test]
    fn files_are_as_long_as_they_may_be_and_the_oldest_goes() {
        let (dir, path) = log();
        let mut file = LogFile::new(&path, Some(8), 3).unwrap();
        file.append(b"aaa\nbbb\nccc\nddd\nee\n");
        let want = [
            ("log", "ee\n"),
            ("log.1", "ccc\nddd\n"),
            ("log.2", "aaa\nbbb\n"),
        ];
        assert_eq!(names(&dir), pairs(&want));
        // As long after it was opened anew.
        let mut file = LogFile::new(&path, Some(8), 3).unwrap();
        file.append(b"ffff\na line longer than a file\ng\n");
        let want = [
            ("log", "g\n"),
            ("log.1", "a line longer than a file\n"),
            ("log.2", "ee\nffff\n"),
        ];
        assert_eq!(names(&dir), pairs(&want));
    }

    #[test]
    fn a_single_file_is_begun_anew() {
        let (dir, path) = log();
        let mut file = LogFile::new(&path, Some(4), 1).unwrap();
        file.append(b"aaa\nbbb\nccc\n");
        assert_eq!(names(&dir), pairs(&[("log", "ccc\n")]));
    }

    #[test]
    fn a_full_disk_is_said_and_tried_again() {
        let (_dir, path) = log();
        std::os::unix::fs::symlink("/dev/full", &path).unwrap();
        let mut file = LogFile::new(&path, None, 1).unwrap();
        let full = Written {
            bytes: 0,
            error: Some(Errno::NOSPC),
        };
        assert_eq!(file.append(b"lost\n"), full);
        assert_eq!(file.append(b"lost again\n"), full);
    }
}
