//! Volumes.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::{Result, Store};

/// `volumes/`.
#[derive(Debug, Clone, Copy)]
pub struct Volumes<'s> {
    pub(crate) store: &'s Store,
}

/// `volumes/<name>/record.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VolumeRecord {
    /// Version of this record's layout.
    pub version: u32,
    /// Its name; 64 hexadecimal digits for an anonymous one.
    pub name: String,
    /// RFC 3339 with nanoseconds.
    pub created: String,
    /// Labels.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// Whether nobody named it.
    #[serde(default)]
    pub anonymous: bool,
}

impl Volumes<'_> {
    /// Makes a volume, or returns the one that is there. Without a name it is an
    /// anonymous one.
    pub fn create(
        &self,
        name: Option<&str>,
        labels: &BTreeMap<String, String>,
    ) -> Result<VolumeRecord> {
        let _ = (name, labels);
        todo!()
    }

    /// Where its files are.
    pub fn data(&self, name: &str) -> PathBuf {
        let _ = name;
        todo!()
    }

    /// All volumes, by name.
    pub fn list(&self) -> Result<Vec<VolumeRecord>> {
        todo!()
    }

    /// One volume.
    pub fn get(&self, name: &str) -> Result<VolumeRecord> {
        let _ = name;
        todo!()
    }

    /// Moves a volume to the trash; refused if a container's plan mounts it.
    pub fn remove(&self, name: &str) -> Result<()> {
        let _ = name;
        todo!()
    }
}
