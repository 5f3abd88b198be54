//! Unpacked layers, in overlay's own form.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use model::{Descriptor, Digest};

use crate::{Result, Store};

/// `layers/`.
#[derive(Debug, Clone, Copy)]
pub struct Layers<'s> {
    pub(crate) store: &'s Store,
}

/// What is known of a layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LayerInfo {
    /// Digest of its plain tar.
    pub diff_id: Digest,
    /// Length of its plain tar in bytes.
    pub size: u64,
    /// What was left out while unpacking, a sentence each.
    pub notes: Vec<String>,
}

/// How much a layer may unpack to.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Bytes of plain tar.
    pub max_bytes: u64,
    /// Plain bytes for each compressed one, looked at after the first gigabyte.
    pub max_ratio: u64,
    /// Entries.
    pub max_entries: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_bytes: 64 << 30,
            max_ratio: 1100,
            max_entries: 10_000_000,
        }
    }
}

impl Layers<'_> {
    /// Whether the layer is here.
    pub fn has(&self, diff_id: &Digest) -> bool {
        let _ = diff_id;
        todo!()
    }

    /// The layer's root directory (`…/fs`).
    pub fn path(&self, diff_id: &Digest) -> PathBuf {
        let _ = diff_id;
        todo!()
    }

    /// What is known of a layer.
    pub fn info(&self, diff_id: &Digest) -> Result<LayerInfo> {
        let _ = diff_id;
        todo!()
    }

    /// The directories to mount for an image, topmost first, as
    /// [`model::container::RootfsPlan`] wants them. `diff_ids` has the lowest first.
    pub fn stack(&self, diff_ids: &[Digest]) -> Result<Vec<PathBuf>> {
        let _ = diff_ids;
        todo!()
    }

    /// Unpacks a layer from the bytes that `descriptor` announces, verifying digest,
    /// size and `diff_id`. With `keep_blob` those bytes go to the blobs in the same
    /// pass. Two processes may do this for one layer at once; the second to come waits
    /// for the first and then does nothing.
    pub fn ingest(
        &self,
        reader: impl Read,
        descriptor: &Descriptor,
        diff_id: &Digest,
        keep_blob: bool,
    ) -> Result<LayerInfo> {
        let _ = (reader, descriptor, diff_id, keep_blob);
        todo!()
    }

    /// A fresh directory on the store's file system with empty `upper/` and `work/`
    /// in it, for a build step or an import. Dropped, it is removed.
    pub fn scratch(&self) -> Result<Scratch> {
        todo!()
    }

    /// Makes an overlay's upper directory (a [`Scratch`]'s, not mounted any more) into
    /// a layer, by rename.
    pub fn adopt(&self, scratch: Scratch) -> Result<LayerInfo> {
        let _ = scratch;
        todo!()
    }

    /// Makes any overlay upper directory on the store's file system into a layer, by
    /// rename.
    pub fn adopt_upper(&self, upper: &Path) -> Result<LayerInfo> {
        let _ = upper;
        todo!()
    }

    /// Writes the layer's plain tar in OCI form. Always the same bytes for the same
    /// tree; for layers that we made they have the digest `diff_id`.
    pub fn write_tar(&self, diff_id: &Digest, writer: impl Write) -> Result<()> {
        let _ = (diff_id, writer);
        todo!()
    }

    /// Writes the bytes that `descriptor` announces for the layer: the blob if there
    /// is one, else its plain tar.
    pub fn write_blob(
        &self,
        descriptor: &Descriptor,
        diff_id: &Digest,
        writer: impl Write,
    ) -> Result<()> {
        let _ = (descriptor, diff_id, writer);
        todo!()
    }
}

/// A directory for work that may become a layer.
#[derive(Debug)]
pub struct Scratch {
    dir: PathBuf,
}

impl Scratch {
    /// Overlay's `upperdir`.
    pub fn upper(&self) -> PathBuf {
        self.dir.join("upper")
    }

    /// Overlay's `workdir`.
    pub fn work(&self) -> PathBuf {
        self.dir.join("work")
    }

    /// The directory that holds both; other files may be put into it.
    pub fn dir(&self) -> &Path {
        &self.dir
    }
}

/// Writes a plain tar of any directory, e.g. a container's merged root.
pub fn tree_tar(root: &Path, writer: impl Write) -> Result<()> {
    let _ = (root, writer);
    todo!()
}
