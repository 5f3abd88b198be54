//! Images: which manifests are kept, and under which names.

use model::{Descriptor, Digest, ImageConfig, Manifest, Reference};

use crate::{LayerInfo, Result, Store};

/// `images/`.
#[derive(Debug, Clone, Copy)]
pub struct Images<'s> {
    pub(crate) store: &'s Store,
}

/// An image with all its documents.
#[derive(Debug, Clone)]
pub struct Image {
    /// Digest of its configuration, docker's image id.
    pub id: Digest,
    /// Digest of its manifest.
    pub digest: Digest,
    /// Its manifest.
    pub manifest: Manifest,
    /// The manifest as it came.
    pub raw_manifest: Vec<u8>,
    /// Its configuration.
    pub config: ImageConfig,
    /// The configuration as it came.
    pub raw_config: Vec<u8>,
    /// Diff ids, lowest first.
    pub layers: Vec<Digest>,
}

/// One line of `images`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageSummary {
    /// Image id.
    pub id: Digest,
    /// Manifest digest.
    pub digest: Digest,
    /// Names, sorted; none for a dangling image.
    pub references: Vec<Reference>,
    /// RFC 3339, from the configuration.
    pub created: Option<String>,
    /// Bytes of all its layers unpacked (as plain tar).
    pub size: u64,
}

/// What `remove` did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Removal {
    /// A name is gone.
    Untagged(Reference),
    /// The image is gone.
    Deleted(Digest),
}

impl Images<'_> {
    /// Records an image whose manifest and configuration are blobs and whose layers
    /// are here, so that collection keeps it; names it if a reference is given.
    pub fn put(&self, manifest: &Digest, reference: Option<&Reference>) -> Result<Image> {
        let _ = (manifest, reference);
        todo!()
    }

    /// Makes an image of our own from layers that are here. Layers that have no blob
    /// are described as plain tars; `Manifest` and configuration become blobs.
    pub fn create(
        &self,
        config: &ImageConfig,
        layers: &[ImageLayer],
        reference: Option<&Reference>,
    ) -> Result<Image> {
        let _ = (config, layers, reference);
        todo!()
    }

    /// Names an image, taking the name from any other.
    pub fn tag(&self, id: &Digest, reference: &Reference) -> Result<()> {
        let _ = (id, reference);
        todo!()
    }

    /// Takes a name away. Whether it was there.
    pub fn untag(&self, reference: &Reference) -> Result<bool> {
        let _ = reference;
        todo!()
    }

    /// All images, the youngest first.
    pub fn list(&self) -> Result<Vec<ImageSummary>> {
        todo!()
    }

    /// The manifest digest of a name that is kept here.
    pub fn get(&self, reference: &Reference) -> Result<Option<Digest>> {
        let _ = reference;
        todo!()
    }

    /// Finds an image by reference, id, or a prefix of its id. The name it was found
    /// by comes along.
    pub fn resolve(&self, text: &str) -> Result<(Image, Option<Reference>)> {
        let _ = text;
        todo!()
    }

    /// Reads an image's documents by the digest of its manifest.
    pub fn load(&self, manifest: &Digest) -> Result<Image> {
        let _ = manifest;
        todo!()
    }

    /// Removes an image as docker does: a name is taken away, and with the last one
    /// the image goes. Refused if a container uses it, unless forced.
    pub fn remove(&self, text: &str, force: bool) -> Result<Vec<Removal>> {
        let _ = (text, force);
        todo!()
    }
}

/// A layer of an image to be created.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageLayer {
    /// Digest of its plain tar.
    pub diff_id: Digest,
    /// What its bytes are, if they are a blob (a base image's layer); else the layer
    /// is described as a plain tar.
    pub descriptor: Option<Descriptor>,
}

impl From<&LayerInfo> for ImageLayer {
    fn from(info: &LayerInfo) -> Self {
        Self {
            diff_id: info.diff_id.clone(),
            descriptor: None,
        }
    }
}

/// The environment of a container of this image: the configuration's, with a default
/// `PATH` if it has none.
pub fn default_env(config: &ImageConfig) -> Vec<String> {
    let mut env = config.config.env.clone();
    if !env.iter().any(|v| v.starts_with("PATH=")) {
        env.insert(0, format!("PATH={}", model::image::DEFAULT_PATH));
    }
    env
}
