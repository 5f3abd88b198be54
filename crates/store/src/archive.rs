//! Image archives: docker's (`docker save`) and OCI's layout in a tar; and root file
//! systems in a tar.
//!
//! Both kinds are read the same way. Their members come in any order, so an archive is
//! first spooled to `tmp/`, uncompressed, and indexed; documents and layers are then
//! read from their places.

mod read;
mod spool;
mod write;

use std::io::{Read, Write};

use model::image::History;
use model::{ImageConfig, Platform, Reference};

use crate::images::ImageLayer;
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
    /// Loads every image of an archive of either kind, compressed or not. Of an image
    /// for several platforms the native one is taken.
    pub fn load(&self, reader: impl Read) -> Result<Vec<Loaded>> {
        read::load(self, reader, &Platform::native())
    }

    /// Writes images into one archive. Always the same bytes for the same images.
    pub fn save(
        &self,
        images: &[(Image, Option<Reference>)],
        format: Format,
        writer: impl Write,
    ) -> Result<()> {
        write::save(self, images, format, writer)
    }

    /// Makes a one-layer image from a tar of a root file system, compressed or not.
    /// `config` says what its containers start with; its layers are filled in, and
    /// platform and creation time if they are absent.
    pub fn import(
        &self,
        reader: impl Read,
        mut config: ImageConfig,
        reference: Option<&Reference>,
    ) -> Result<Image> {
        let _shared = self.share()?;
        let layer = self.layers().adopt_tar(reader)?;
        let native = Platform::native();
        if config.os.is_empty() {
            config.os = native.os;
        }
        if config.architecture.is_empty() {
            config.architecture = native.architecture;
        }
        let created = config.created.get_or_insert_with(crate::root::now).clone();
        config.history = vec![History {
            created: Some(created),
            comment: Some("imported".into()),
            ..History::default()
        }];
        self.images()
            .create(&config, &[ImageLayer::from(&layer)], reference)
    }
}
