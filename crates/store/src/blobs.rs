//! Verified bytes, named by their digest.

use std::fs::File;
use std::io::{self, BufWriter, Read, Write};
use std::path::PathBuf;

use model::{Descriptor, Digest};
use sha2::{Digest as _, Sha256};

use crate::root::TempFile;
use crate::{Error, Result, Store};

/// The largest manifest or configuration that is read into memory.
pub const MAX_DOCUMENT: u64 = 32 << 20;

/// `blobs/sha256/`.
#[derive(Debug, Clone, Copy)]
pub struct Blobs<'s> {
    pub(crate) store: &'s Store,
}

impl Blobs<'_> {
    /// Whether the bytes are here.
    pub fn has(&self, digest: &Digest) -> bool {
        self.path(digest).exists()
    }

    /// Where the bytes are, or would be.
    pub fn path(&self, digest: &Digest) -> PathBuf {
        self.store.root().join("blobs/sha256").join(digest.hex())
    }

    /// Opens the bytes.
    pub fn open(&self, digest: &Digest) -> Result<File> {
        let path = self.path(digest);
        File::open(&path).map_err(|e| match e.kind() {
            io::ErrorKind::NotFound => Error::NoBlob(digest.clone()),
            _ => sys::Error::new("open", path.display().to_string(), e).into(),
        })
    }

    /// Reads a document of at most [`MAX_DOCUMENT`] bytes.
    pub fn read(&self, digest: &Digest) -> Result<Vec<u8>> {
        let what = || format!("blob {digest}");
        let mut bytes = Vec::new();
        self.open(digest)?
            .take(MAX_DOCUMENT + 1)
            .read_to_end(&mut bytes)
            .map_err(|source| Error::Read {
                what: what(),
                source,
            })?;
        match bytes.len() as u64 {
            size if size > MAX_DOCUMENT => Err(Error::TooLarge {
                what: what(),
                size,
                limit: MAX_DOCUMENT,
            }),
            _ => Ok(bytes),
        }
    }

    /// Length of the bytes, if they are here.
    pub fn size(&self, digest: &Digest) -> Option<u64> {
        std::fs::metadata(self.path(digest)).ok().map(|m| m.len())
    }

    /// Keeps bytes, after comparing them with what was announced.
    pub fn put(&self, bytes: &[u8], expected: Option<&Descriptor>) -> Result<Digest> {
        let digest = Digest::from_sha256(Sha256::digest(bytes).into());
        check(&digest, bytes.len() as u64, expected)?;
        if self.has(&digest) {
            return Ok(digest);
        }
        let mut writer = self.writer()?;
        writer.write_all(bytes).map_err(|source| Error::Write {
            what: format!("blob {digest}"),
            source,
        })?;
        writer.finish(expected)
    }

    /// Begins a blob whose bytes come bit by bit.
    pub fn writer(&self) -> Result<BlobWriter> {
        let temp = self.store.temp_file()?;
        let file = temp
            .file()
            .try_clone()
            .map_err(|e| sys::Error::new("duplicate", "a blob's file", e))?;
        Ok(BlobWriter {
            store: self.store.clone(),
            temp,
            file: BufWriter::with_capacity(1 << 16, file),
            hash: Sha256::new(),
            size: 0,
        })
    }
}

/// Compares what came with what was announced.
fn check(actual: &Digest, size: u64, expected: Option<&Descriptor>) -> Result<()> {
    let Some(expected) = expected else {
        return Ok(());
    };
    if expected.size != size {
        return Err(Error::Size {
            what: "blob",
            digest: expected.digest.clone(),
            expected: expected.size,
            actual: size,
        });
    }
    if expected.digest != *actual {
        let (expected, actual) = (expected.digest.clone(), actual.clone());
        return Err(Error::Digest {
            what: "blob",
            expected,
            actual,
        });
    }
    Ok(())
}

/// A blob in the making. Dropped before [`BlobWriter::finish`], it leaves nothing.
#[derive(Debug)]
pub struct BlobWriter {
    store: Store,
    temp: TempFile,
    file: BufWriter<File>,
    hash: Sha256,
    size: u64,
}

impl BlobWriter {
    /// Compares digest and size with what was announced and makes the blob visible.
    pub fn finish(mut self, expected: Option<&Descriptor>) -> Result<Digest> {
        let digest = Digest::from_sha256(self.hash.finalize().into());
        check(&digest, self.size, expected)?;
        let write = |source| Error::Write {
            what: format!("blob {digest}"),
            source,
        };
        self.file.flush().map_err(write)?;
        self.temp.file().sync_all().map_err(write)?;
        let path = self.store.blobs().path(&digest);
        self.temp.keep(&path)?;
        sys::fs::sync_dir(path.parent().expect("blobs have a directory"))?;
        Ok(digest)
    }
}

impl Write for BlobWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.hash.update(&bytes[..written]);
        self.size += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}
