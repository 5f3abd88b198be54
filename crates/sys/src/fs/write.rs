//! Whole files: read with a limit, written so that no reader meets half of one.

use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;

use rustix::fs::{self, Mode, OFlags};

use super::dir::exists;
use crate::{Error, Result};

/// Writes a file that survives a power cut: a temporary file (`temp`, on the same file
/// system, which must not exist), fsync, rename, fsync of the directory.
pub fn write_atomic(temp: &Path, path: &Path, bytes: &[u8]) -> Result<()> {
    write_by_rename(temp, path, bytes, true)
}

/// Writes a file by rename alone: complete or absent for every reader, but perhaps
/// lost by a power cut.
pub fn write_volatile(temp: &Path, path: &Path, bytes: &[u8]) -> Result<()> {
    write_by_rename(temp, path, bytes, false)
}

fn write_by_rename(temp: &Path, path: &Path, bytes: &[u8], durable: bool) -> Result<()> {
    let written = write_new(temp, bytes, durable).and_then(|()| rename(temp, path));
    if written.is_err() && exists(temp) {
        // The first error is the one to tell.
        let _ = std::fs::remove_file(temp);
    }
    written?;
    match (durable, path.parent()) {
        (true, Some(parent)) => sync_dir(parent),
        _ => Ok(()),
    }
}

fn write_new(path: &Path, bytes: &[u8], durable: bool) -> Result<()> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
    let error = |act, e: std::io::Error| Error::new(act, path.display().to_string(), e);
    let fd =
        fs::open(path, flags, Mode::from_raw_mode(0o644)).map_err(|e| error("create", e.into()))?;
    let mut file = File::from(fd);
    file.write_all(bytes).map_err(|e| error("write", e))?;
    match durable {
        true => file.sync_all().map_err(|e| error("sync", e)),
        false => Ok(()),
    }
}

/// Renames, replacing what is there.
pub fn rename(from: &Path, to: &Path) -> Result<()> {
    std::fs::rename(from, to).map_err(|e| {
        Error::new(
            "rename",
            format!("{} to {}", from.display(), to.display()),
            e,
        )
    })
}

/// Makes the names in a directory durable.
pub fn sync_dir(path: &Path) -> Result<()> {
    let error = |e| Error::new("sync", path.display().to_string(), e);
    File::open(path).and_then(|d| d.sync_all()).map_err(error)
}

/// Makes everything on the file system that holds `path` durable.
pub fn sync_fs(path: &Path) -> Result<()> {
    let error =
        |e: std::io::Error| Error::new("sync the file system of", path.display().to_string(), e);
    let file = File::open(path).map_err(error)?;
    fs::syncfs(&file).map_err(|e| error(e.into()))
}

/// Reads a file of at most `limit` bytes; `None` if it is absent.
pub fn read_limited(path: &Path, limit: u64) -> Result<Option<Vec<u8>>> {
    let error = |e| Error::new("read", path.display().to_string(), e);
    let file = match File::open(path) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        other => other.map_err(error)?,
    };
    let mut bytes = Vec::new();
    file.take(limit + 1)
        .read_to_end(&mut bytes)
        .map_err(error)?;
    match bytes.len() as u64 > limit {
        true => Err(error(std::io::Error::from(
            std::io::ErrorKind::FileTooLarge,
        ))),
        false => Ok(Some(bytes)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_replace_whole_files() {
        let temp = tempfile::tempdir().unwrap();
        let (half, path) = (temp.path().join("half"), temp.path().join("file"));
        write_atomic(&half, &path, b"one").unwrap();
        write_volatile(&half, &path, b"two").unwrap();
        assert_eq!(read_limited(&path, 3).unwrap().unwrap(), b"two");
        assert!(read_limited(&path, 2).is_err());
        assert!(!half.exists());
        let error = write_atomic(&half, &temp.path().join("no/where"), b"x").unwrap_err();
        assert!(error.to_string().contains("no/where"), "{error}");
        assert!(!half.exists(), "a failed write leaves nothing");
        assert!(
            read_limited(&temp.path().join("absent"), 1)
                .unwrap()
                .is_none()
        );
    }
}
