//! Collection: blobs and layers that nothing refers to go to the trash.
//!
//! Roots are image records and names, containers' records, and every digest that the
//! build cache mentions. Collection holds the store's lock exclusively and only tries
//! for it; whoever makes references holds it shared from the first look for a blob or
//! layer until its reference is recorded.

use std::collections::HashSet;
use std::path::Path;

use model::Digest;
use serde_json::Value;
use sys::fs::FileLock;

use crate::usage::disk_usage;
use crate::{Result, Store, record};

/// What a collection found.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Collected {
    /// Blobs removed.
    pub blobs: u64,
    /// Layers removed.
    pub layers: u64,
    /// Bytes of the disk that the removed blobs and layers took.
    pub bytes: u64,
}

impl Store {
    /// Removes unreferenced blobs and layers. `None` if another command is busy with
    /// references, or a record is damaged, of which nobody knows what it refers to: then
    /// a later collection does it.
    pub fn collect(&self) -> Result<Option<Collected>> {
        let Some(_lock) = FileLock::try_exclusive(&self.root().join("lock"))? else {
            return Ok(None);
        };
        let Some(kept) = self.kept()? else {
            return Ok(None);
        };
        let mut collected = Collected::default();
        let blobs = self.root().join("blobs/sha256");
        for path in unreferenced(&blobs, &kept)? {
            collected.blobs += 1;
            collected.bytes += disk_usage(&path);
            self.discard(&path)?;
        }
        for path in unreferenced(&self.root().join("layers"), &kept)? {
            collected.layers += 1;
            collected.bytes += disk_usage(&path);
            self.discard(&path)?;
        }
        Ok(Some(collected))
    }

    /// Every digest that something refers to: manifests, configurations, compressed
    /// layers, diff ids and chain ids. They cannot be mistaken for each other.
    fn kept(&self) -> Result<Option<HashSet<Digest>>> {
        let mut kept = HashSet::new();
        let Some(manifests) = self.images().manifests()? else {
            return Ok(None);
        };
        for manifest in manifests {
            // An image that cannot be read keeps what can be read of it.
            if let Ok(image) = self.images().load(&manifest) {
                kept.insert(image.id);
                kept.extend(image.manifest.layers.into_iter().map(|l| l.digest));
                kept.extend(crate::layers::chain_ids(&image.layers));
                kept.extend(image.layers);
            }
            kept.insert(manifest);
        }
        let (containers, damaged) = self.containers().read_all()?;
        if !damaged.is_empty() {
            return Ok(None);
        }
        for container in containers {
            kept.insert(container.image.id);
            kept.insert(container.image.digest);
            for layers in container.mounted.into_iter().chain([container.layers]) {
                kept.extend(crate::layers::chain_ids(&layers));
                kept.extend(layers);
            }
        }
        for (_, value) in self.build_cache().list()? {
            mentioned(&value, &mut kept);
        }
        Ok(Some(kept))
    }
}

/// Collects every digest in a JSON value.
pub(crate) fn mentioned(value: &Value, kept: &mut HashSet<Digest>) {
    match value {
        Value::String(text) => kept.extend(text.parse::<Digest>()),
        Value::Array(items) => items.iter().for_each(|v| mentioned(v, kept)),
        Value::Object(fields) => fields.values().for_each(|v| mentioned(v, kept)),
        _ => {}
    }
}

/// Entries of a directory named by hexadecimal digits that nothing keeps.
fn unreferenced(dir: &Path, kept: &HashSet<Digest>) -> Result<Vec<std::path::PathBuf>> {
    let mut names = record::names(dir)?;
    let digest = |name: &str| format!("sha256:{name}").parse::<Digest>();
    names.retain(|name| digest(name).is_ok_and(|d| !kept.contains(&d)));
    Ok(names.into_iter().map(|name| dir.join(name)).collect())
}
