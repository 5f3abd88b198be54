//! Unpacked layers, in overlay's own form.
//!
//! ```text
//! layers/<diff-id>/layer.json   size, notes, implied directories, boot of an unsynced layer
//! layers/<diff-id>/fs/          the tree: whiteouts are 0:0 devices, opaque directories
//!                               carry `user.overlay.opaque`
//! layers/<chain-id>/fs/         directories only; see below
//! layers/.<diff-id>.lock        held while the layer is made
//! ```
//!
//! A layer appears by rename once its digests are verified. Syncing each one would
//! cost more than unpacking it, so a fresh layer carries the boot id of the host and
//! counts for nothing after a reboot; recording an image syncs once and takes the mark
//! off ([`Layers::seal`]).
//!
//! A tar may omit parent directories. What they look like is then decided by the layers
//! below, which differ from image to image, while the layer is one for all. So each
//! such image has one more layer above it, named by chain id, with those directories
//! alone; [`Layers::stack`] makes it.

mod ingest;
mod parents;
mod pipeline;
mod tarball;
mod unpack;

use std::io::{Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use model::{Descriptor, Digest};
use serde::{Deserialize, Serialize};
use sys::fs::{DirFd, FileLock};

use crate::root::{TempDir, make_dirs};
use crate::{Error, Result, Store, record};

pub(crate) use parents::chain_ids;
pub(crate) use pipeline::decoder;
pub(crate) use tarball::Header;
pub use tarball::tree_tar;

const VERSION: u32 = 1;

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
    /// No honest layer known to us comes near; gzip cannot exceed 1:1032 at all.
    fn default() -> Self {
        Self {
            max_bytes: 64 << 30,
            max_ratio: 1100,
            max_entries: 10_000_000,
        }
    }
}

/// `layer.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct LayerRecord {
    version: u32,
    diff_id: Digest,
    size: u64,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    notes: Vec<String>,
    /// Directories that the tar did not have, relative to the layer's root.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    implied: Vec<String>,
    /// The host's boot id, until the layer is known to be on the disk.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    unsynced: Option<String>,
}

impl From<LayerRecord> for LayerInfo {
    fn from(record: LayerRecord) -> Self {
        Self {
            diff_id: record.diff_id,
            size: record.size,
            notes: record.notes,
        }
    }
}

impl Layers<'_> {
    fn root(&self) -> PathBuf {
        self.store.root().join("layers")
    }

    fn dir(&self, id: &Digest) -> PathBuf {
        self.root().join(id.hex())
    }

    /// Whether the layer is here.
    pub fn has(&self, diff_id: &Digest) -> bool {
        matches!(self.record(diff_id), Ok(Some(_)))
    }

    /// The layer's root directory (`…/fs`).
    pub fn path(&self, diff_id: &Digest) -> PathBuf {
        self.dir(diff_id).join("fs")
    }

    /// What is known of a layer.
    pub fn info(&self, diff_id: &Digest) -> Result<LayerInfo> {
        Ok(self.require(diff_id)?.into())
    }

    /// The record of a layer that can be relied on.
    fn record(&self, diff_id: &Digest) -> Result<Option<LayerRecord>> {
        let record: Option<LayerRecord> =
            record::read(&self.dir(diff_id).join("layer.json"), VERSION)?;
        Ok(record.filter(|r| r.unsynced.as_ref().is_none_or(|boot| *boot == boot_id())))
    }

    fn require(&self, diff_id: &Digest) -> Result<LayerRecord> {
        self.record(diff_id)?
            .ok_or_else(|| Error::NoLayer(diff_id.clone()))
    }

    /// The directories to mount for an image, topmost first, as
    /// [`model::container::RootfsPlan`] wants them. `diff_ids` has the lowest first.
    pub fn stack(&self, diff_ids: &[Digest]) -> Result<Vec<PathBuf>> {
        let mut stack = Vec::with_capacity(diff_ids.len());
        for (at, diff_id) in diff_ids.iter().enumerate() {
            let record = self.require(diff_id)?;
            stack.push(self.path(diff_id));
            if at > 0 && !record.implied.is_empty() {
                stack.extend(self.parents_layer(&diff_ids[..=at], &record.implied)?);
            }
        }
        stack.reverse();
        Ok(stack)
    }

    /// Unpacks a layer from the bytes that `descriptor` announces, verifying digest,
    /// size and `diff_id`. With `keep_blob` those bytes go to the blobs in the same
    /// pass. Two processes may do this for one layer at once; the second to come waits
    /// for the first and then reads nothing, so a reader that connects on its first
    /// `read` costs nothing then.
    pub fn ingest(
        &self,
        reader: impl Read,
        descriptor: &Descriptor,
        diff_id: &Digest,
        keep_blob: bool,
    ) -> Result<LayerInfo> {
        self.ingest_limited(reader, descriptor, diff_id, keep_blob, Limits::default())
    }

    /// As [`Layers::ingest`], with other limits than the default ones.
    pub fn ingest_limited(
        &self,
        reader: impl Read,
        descriptor: &Descriptor,
        diff_id: &Digest,
        keep_blob: bool,
        limits: Limits,
    ) -> Result<LayerInfo> {
        let _lock = self.lock(diff_id)?;
        let blob_wanted = keep_blob && !self.store.blobs().has(&descriptor.digest);
        if let Some(record) = self.record(diff_id)?
            && !blob_wanted
        {
            return Ok(record.into());
        }
        ingest::ingest(self, reader, descriptor, diff_id, blob_wanted, limits)
    }

    /// Waits until nobody else makes this layer.
    fn lock(&self, diff_id: &Digest) -> Result<LayerLock> {
        let path = self.root().join(format!(".{}.lock", diff_id.hex()));
        loop {
            let lock = FileLock::exclusive(&path)?;
            // The former holder took the file away: ours is one that nobody else sees.
            let seen =
                DirFd::open(&self.root())?.stat(path.file_name().expect("has just been joined"))?;
            let held = rustix::fs::fstat(&lock)
                .map_err(|e| sys::Error::new("stat", path.display().to_string(), e))?;
            if seen.is_some_and(|s| s.st_ino == held.st_ino) {
                return Ok(LayerLock { _lock: lock, path });
            }
        }
    }

    /// Makes a finished directory (`fs/` in it) the layer, unless it is here already.
    fn publish(&self, temp: TempDir, mut record: LayerRecord) -> Result<LayerInfo> {
        record.unsynced = Some(boot_id());
        let target = self.dir(&record.diff_id);
        if self.record(&record.diff_id)?.is_none() {
            record::write(self.store, &temp.path().join("layer.json"), &record, false)?;
            if target.exists() {
                // Of a former boot, or damaged.
                self.store.discard(&target)?;
            }
            temp.keep(&target)?;
        }
        Ok(record.into())
    }

    /// Makes layers durable: one sync for all that are not. Recording an image does
    /// this itself.
    pub fn seal(&self, diff_ids: &[Digest]) -> Result<()> {
        let mut fresh = Vec::new();
        for diff_id in diff_ids {
            let record = self.require(diff_id)?;
            if record.unsynced.is_some() {
                fresh.push(record);
            }
        }
        if fresh.is_empty() {
            return Ok(());
        }
        sys::fs::sync_fs(&self.root())?;
        for mut record in fresh {
            record.unsynced = None;
            let path = self.dir(&record.diff_id).join("layer.json");
            record::write(self.store, &path, &record, false)?;
        }
        // The marks themselves may be lost: then the layer is made again.
        Ok(())
    }

    /// A fresh directory on the store's file system with empty `upper/` and `work/`
    /// in it, for a build step or an import. Dropped, it is removed.
    pub fn scratch(&self) -> Result<Scratch> {
        let temp = self.store.temp_dir()?;
        for name in ["upper", "work"] {
            make_dirs(&temp.path().join(name))?;
        }
        DirFd::open(&temp.path().join("upper"))?.chmod_self(0o755)?;
        Ok(Scratch { temp })
    }

    /// Makes a [`Scratch`]'s upper directory into a layer, by rename.
    pub fn adopt(&self, scratch: Scratch) -> Result<LayerInfo> {
        self.adopt_upper(&scratch.upper())
    }

    /// Unpacks a tar whose digest nobody announced and makes it a layer of our own: its
    /// `diff_id` is that of the tar that [`Layers::write_tar`] writes.
    pub fn adopt_tar(&self, reader: impl Read) -> Result<LayerInfo> {
        let (temp, notes) = ingest::unpack_unverified(self, reader)?;
        let info = self.adopt_upper(&temp.path().join("fs"))?;
        Ok(LayerInfo { notes, ..info })
    }

    /// Makes any overlay upper directory on the store's file system into a layer, by
    /// rename. Nothing may write to it any more; that it is a lower directory of a
    /// mounted overlay does no harm.
    pub fn adopt_upper(&self, upper: &Path) -> Result<LayerInfo> {
        let (diff_id, size) = tarball::digest(upper)?;
        let _lock = self.lock(&diff_id)?;
        let temp = self.store.temp_dir()?;
        sys::fs::rename(upper, &temp.path().join("fs"))?;
        let record = LayerRecord {
            version: VERSION,
            diff_id,
            size,
            notes: Vec::new(),
            implied: Vec::new(),
            unsynced: None,
        };
        self.publish(temp, record)
    }

    /// Writes the layer's plain tar in OCI form. Always the same bytes for the same
    /// tree; for layers that we made they have the digest `diff_id`.
    pub fn write_tar(&self, diff_id: &Digest, writer: impl Write) -> Result<()> {
        self.require(diff_id)?;
        tarball::layer_tar(&self.path(diff_id), writer)
    }

    /// Writes the bytes that `descriptor` announces for the layer: the blob if there
    /// is one, else its plain tar.
    pub fn write_blob(
        &self,
        descriptor: &Descriptor,
        diff_id: &Digest,
        mut writer: impl Write,
    ) -> Result<()> {
        if !self.store.blobs().has(&descriptor.digest) {
            return match descriptor.digest == *diff_id {
                true => self.write_tar(diff_id, writer),
                false => Err(Error::NoBlob(descriptor.digest.clone())),
            };
        }
        let mut blob = self.store.blobs().open(&descriptor.digest)?;
        let what = || format!("layer {}", descriptor.digest);
        std::io::copy(&mut blob, &mut writer)
            .map(drop)
            .map_err(|source| Error::Write {
                what: what(),
                source,
            })
    }

    /// Writes the layer's plain tar byte for byte as its `diff_id` says: from the blob,
    /// uncompressed, if there is one, else generated.
    pub fn write_plain(
        &self,
        descriptor: &Descriptor,
        diff_id: &Digest,
        mut writer: impl Write,
    ) -> Result<()> {
        if !self.store.blobs().has(&descriptor.digest) {
            return self.write_blob(descriptor, diff_id, writer);
        }
        let what = || format!("layer {}", descriptor.digest);
        let blob = self.store.blobs().open(&descriptor.digest)?;
        let mut plain = pipeline::decoder(blob).map_err(|source| Error::Read {
            what: what(),
            source,
        })?;
        std::io::copy(&mut plain, &mut writer)
            .map(drop)
            .map_err(|source| Error::Write {
                what: what(),
                source,
            })
    }
}

/// Held while a layer is made. The file goes with the lock.
#[derive(Debug)]
struct LayerLock {
    _lock: FileLock,
    path: PathBuf,
}

impl Drop for LayerLock {
    fn drop(&mut self) {
        // Left behind it would only be an empty file.
        let _ = std::fs::remove_file(&self.path);
    }
}

/// A directory for work that may become a layer.
#[derive(Debug)]
pub struct Scratch {
    temp: TempDir,
}

impl Scratch {
    /// Overlay's `upperdir`.
    pub fn upper(&self) -> PathBuf {
        self.dir().join("upper")
    }

    /// Overlay's `workdir`.
    pub fn work(&self) -> PathBuf {
        self.dir().join("work")
    }

    /// The directory that holds both; other files may be put into it.
    pub fn dir(&self) -> &Path {
        self.temp.path()
    }
}

/// Attributes that overlay keeps for itself. From outside they would let a layer
/// redirect lookups or fake whiteouts; in a tar they mean nothing.
fn is_overlay_private(name: &std::ffi::OsStr) -> bool {
    let name = name.as_bytes();
    name.starts_with(b"user.overlay.") || name.starts_with(b"trusted.overlay.")
}

/// The mark of a directory that hides what is below it.
const OPAQUE: &str = "user.overlay.opaque";

/// Size of a layer's plain tar by its directory, for accounts.
pub(crate) fn recorded_size(dir: &Path) -> u64 {
    let record = record::read::<LayerRecord>(&dir.join("layer.json"), VERSION);
    record.ok().flatten().map_or(0, |r| r.size)
}

/// Changes with every start of the host.
fn boot_id() -> String {
    // Without it every layer counts as synced before the last boot, which only costs
    // making it again.
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id")
        .map(|id| id.trim().to_owned())
        .unwrap_or_default()
}
