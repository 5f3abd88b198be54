//! Compression of layers that were built here, for a push.

use flate2::Compression;
use flate2::write::GzEncoder;
use model::image::media;
use model::{Descriptor, Digest};

use crate::{Error, Image, Result, Store};

impl Store {
    /// The same image with every layer as a blob: those that have none are compressed
    /// with gzip, always to the same bytes. The configuration, and so the image's id,
    /// stays; the manifest is another one, kept as a blob.
    pub fn with_blobs(&self, image: &Image) -> Result<Image> {
        let layers = image.manifest.layers.iter().zip(&image.layers);
        if layers
            .clone()
            .all(|(descriptor, _)| self.blobs().has(&descriptor.digest))
        {
            return Ok(image.clone());
        }
        let mut manifest = image.manifest.clone();
        manifest.layers = layers
            .map(
                |(descriptor, diff_id)| match self.blobs().has(&descriptor.digest) {
                    true => Ok(descriptor.clone()),
                    false => self.compress(descriptor, diff_id),
                },
            )
            .collect::<Result<_>>()?;
        let raw = serde_json::to_vec(&manifest).expect("a manifest has only string keys");
        let digest = self.blobs().put(&raw, None)?;
        Ok(Image {
            digest,
            manifest,
            raw_manifest: raw,
            ..image.clone()
        })
    }

    fn compress(&self, plain: &Descriptor, diff_id: &Digest) -> Result<Descriptor> {
        // The gzip header carries no name and no time: same layer, same bytes.
        let mut encoder = GzEncoder::new(self.blobs().writer()?, Compression::new(5));
        self.layers().write_tar(diff_id, &mut encoder)?;
        let failed = |source| Error::Write {
            what: format!("compressed layer {diff_id}"),
            source,
        };
        let digest = encoder.finish().map_err(failed)?.finish(None)?;
        let length = self
            .blobs()
            .open(&digest)?
            .metadata()
            .map_err(failed)?
            .len();
        let media_type = match plain.media_type.as_str() {
            media::DOCKER_LAYER => media::DOCKER_LAYER_GZIP,
            _ => media::OCI_LAYER_GZIP,
        };
        Ok(Descriptor {
            media_type: media_type.to_owned(),
            digest,
            size: length,
            ..plain.clone()
        })
    }
}
