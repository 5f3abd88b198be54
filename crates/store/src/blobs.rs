//! Verified bytes, named by their digest.

use std::fs::File;
use std::io::{self, Write};
use std::path::PathBuf;

use model::{Descriptor, Digest};

use crate::{Result, Store};

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
        let _ = digest;
        todo!()
    }

    /// Where the bytes are, or would be.
    pub fn path(&self, digest: &Digest) -> PathBuf {
        let _ = digest;
        todo!()
    }

    /// Opens the bytes.
    pub fn open(&self, digest: &Digest) -> Result<File> {
        let _ = digest;
        todo!()
    }

    /// Reads a document of at most [`MAX_DOCUMENT`] bytes.
    pub fn read(&self, digest: &Digest) -> Result<Vec<u8>> {
        let _ = digest;
        todo!()
    }

    /// Keeps bytes, after comparing them with what was announced.
    pub fn put(&self, bytes: &[u8], expected: Option<&Descriptor>) -> Result<Digest> {
        let _ = (bytes, expected);
        todo!()
    }

    /// Begins a blob whose bytes come bit by bit.
    pub fn writer(&self) -> Result<BlobWriter> {
        todo!()
    }
}

/// A blob in the making. Dropped before [`BlobWriter::finish`], it leaves nothing.
#[derive(Debug)]
pub struct BlobWriter;

impl BlobWriter {
    /// Compares digest and size with what was announced and makes the blob visible.
    pub fn finish(self, expected: Option<&Descriptor>) -> Result<Digest> {
        let _ = expected;
        todo!()
    }
}

impl Write for BlobWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let _ = bytes;
        todo!()
    }

    fn flush(&mut self) -> io::Result<()> {
        todo!()
    }
}
