//! The build cache: cache key → what the step made. The builder owns the content.
//! Every digest in a record (a string `sha256:…` anywhere in it) is kept by collection.

use std::path::PathBuf;

use model::Digest;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::root::make_dirs;
use crate::{Result, Store, record};

/// `build/`.
#[derive(Debug, Clone, Copy)]
pub struct BuildCache<'s> {
    pub(crate) store: &'s Store,
}

impl BuildCache<'_> {
    fn dir(&self) -> PathBuf {
        self.store.root().join("build")
    }

    fn path(&self, key: &Digest) -> PathBuf {
        self.dir().join(format!("{}.json", key.hex()))
    }

    /// What a step made, if it is known.
    pub fn get(&self, key: &Digest) -> Result<Option<Value>> {
        // A damaged record is none: the step is taken anew, and writes another.
        match record::read_value(&self.path(key)) {
            Err(error) if error.is_damage() => Ok(None),
            other => other,
        }
    }

    /// Remembers what a step made. Not durable by itself: a power cut may lose it.
    pub fn put(&self, key: &Digest, value: &Value) -> Result<()> {
        record::write(self.store, &self.path(key), value, false)
    }

    /// All records.
    pub fn list(&self) -> Result<Vec<(Digest, Value)>> {
        let mut found = Vec::new();
        for name in record::names(&self.dir())? {
            let Some(hex) = name.strip_suffix(".json") else {
                continue;
            };
            let Ok(key) = format!("sha256:{hex}").parse::<Digest>() else {
                continue;
            };
            // One that another command removes meanwhile is none.
            if let Some(value) = self.get(&key)? {
                found.push((key, value));
            }
        }
        Ok(found)
    }

    /// Forgets everything; the layers go with the next collection. Returns how many
    /// records there were.
    pub fn clear(&self) -> Result<usize> {
        for name in record::names(&self.dir().join("mounts"))? {
            self.store.discard(&self.dir().join("mounts").join(name))?;
        }
        self.clear_records()
    }

    /// Forgets all steps, and keeps cache mounts.
    pub fn clear_records(&self) -> Result<usize> {
        let mut count = 0;
        for name in record::names(&self.dir())? {
            if name.ends_with(".json") && record::remove(&self.dir().join(name))? {
                count += 1;
            }
        }
        Ok(count)
    }

    /// The directory of a cache mount; made if absent.
    pub fn mount(&self, id: &str) -> Result<PathBuf> {
        // Any text may be an id, so its hash is the name.
        let hash = Digest::from_sha256(Sha256::digest(id.as_bytes()).into());
        let path = self.dir().join("mounts").join(hash.hex());
        make_dirs(&path)?;
        Ok(path)
    }
}
