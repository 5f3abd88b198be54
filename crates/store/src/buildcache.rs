//! The build cache: cache key → what the step made. The builder owns the content.
//! Every digest in a record (a string `sha256:…` anywhere in it) is kept by collection.

use std::path::PathBuf;

use model::Digest;
use serde_json::Value;

use crate::{Result, Store};

/// `build/`.
#[derive(Debug, Clone, Copy)]
pub struct BuildCache<'s> {
    pub(crate) store: &'s Store,
}

impl BuildCache<'_> {
    /// What a step made, if it is known and its layers are still here.
    pub fn get(&self, key: &Digest) -> Result<Option<Value>> {
        let _ = key;
        todo!()
    }

    /// Remembers what a step made. Not durable by itself: a power cut may lose it.
    pub fn put(&self, key: &Digest, value: &Value) -> Result<()> {
        let _ = (key, value);
        todo!()
    }

    /// Forgets everything; the layers go with the next collection. Returns how many
    /// records there were.
    pub fn clear(&self) -> Result<usize> {
        todo!()
    }

    /// The directory of a cache mount; made if absent.
    pub fn mount(&self, id: &str) -> Result<PathBuf> {
        let _ = id;
        todo!()
    }
}
