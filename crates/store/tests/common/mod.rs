//! What the store's tests share: a store to work on, and layers to put into it.
#![allow(dead_code, unreachable_pub, reason = "each test program uses a part")]

use std::io::Write;
use std::path::{Path, PathBuf};

use model::image::media;
use model::{Descriptor, Digest};
use sha2::{Digest as _, Sha256};
use store::{Options, Store};

/// A fresh store.
pub struct Bench {
    _temp: tempfile::TempDir,
    root: PathBuf,
    pub store: Store,
}

impl Bench {
    #[must_use]
    pub fn new() -> Self {
        let temp = tempfile::tempdir().unwrap();
        let root = temp.path().join("store");
        let store = Store::open(&root, Options::default()).unwrap();
        Self {
            _temp: temp,
            root,
            store,
        }
    }

    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Names in a directory of the store, sorted.
    #[must_use]
    pub fn list(&self, dir: &str) -> Vec<String> {
        let entries = std::fs::read_dir(self.root.join(dir)).unwrap();
        let mut names: Vec<String> = entries
            .map(|e| e.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    pub fn nothing_half_made(&self) {
        assert_eq!(self.list("tmp"), [""; 0]);
        assert!(self.list("layers").iter().all(|name| name.len() == 64));
    }
}

#[must_use]
pub fn digest(bytes: &[u8]) -> Digest {
    Digest::from_sha256(Sha256::digest(bytes).into())
}

/// Describes a layer's bytes.
#[must_use]
pub fn layer(bytes: &[u8]) -> Descriptor {
    Descriptor {
        media_type: media::OCI_LAYER_GZIP.into(),
        digest: digest(bytes),
        size: bytes.len() as u64,
        platform: None,
        annotations: Default::default(),
    }
}

/// A tar: names with a slash at their end are directories, and their text is a mode.
#[must_use]
pub fn tar(entries: &[(&str, &str)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (name, text) in entries {
        let mut header = tar::Header::new_ustar();
        header.as_mut_bytes()[..name.len()].copy_from_slice(name.as_bytes());
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(1_600_000_000);
        if name.ends_with('/') {
            header.set_entry_type(tar::EntryType::Directory);
            header.set_mode(u32::from_str_radix(text, 8).unwrap_or(0o755));
            header.set_size(0);
        } else {
            header.set_mode(0o644);
            header.set_size(text.len() as u64);
        }
        header.set_cksum();
        bytes.extend_from_slice(header.as_bytes());
        if !name.ends_with('/') {
            bytes.extend_from_slice(text.as_bytes());
            bytes.resize(bytes.len().next_multiple_of(512), 0);
        }
    }
    bytes.resize(bytes.len() + 1024, 0);
    bytes
}

#[must_use]
pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[must_use]
pub fn zstd(bytes: &[u8]) -> Vec<u8> {
    ruzstd::encoding::compress_to_vec(bytes, ruzstd::encoding::CompressionLevel::Fastest)
}
