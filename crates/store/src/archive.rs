//! Image archives: docker's (`docker save`) and OCI's layout in a tar.

use std::io::{Read, Write};

use model::{ImageConfig, Reference};

use crate::{Image, Result, Store};

/// The two kinds of archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// `manifest.json`, a configuration and a tar a layer.
    Docker,
    /// `index.json`, `oci-layout`, `blobs/`.
    Oci,
}

/// An image that came out of an archive.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The image.
    pub image: Image,
    /// Names that it was given.
    pub references: Vec<Reference>,
}

impl Store {
    /// Loads every image of an archive of either kind, compressed or not.
    pub fn load(&self, reader: impl Read) -> Result<Vec<Loaded>> {
        let _ = reader;
        todo!()
    }

    /// Writes images into one archive. Always the same bytes for the same images.
    pub fn save(
        &self,
        images: &[(Image, Option<Reference>)],
        format: Format,
        writer: impl Write,
    ) -> Result<()> {
        let _ = (images, format, writer);
        todo!()
    }

    /// Makes a one-layer image from a tar of a root file system, compressed or not.
    /// `config` says what its containers start with; its layers are filled in.
    pub fn import(
        &self,
        reader: impl Read,
        config: ImageConfig,
        reference: Option<&Reference>,
    ) -> Result<Image> {
        let _ = (reader, config, reference);
        todo!()
    }
}
