//! Images: finding them here, pulling what is missing, pushing.

use std::io::Read;

use model::event::EventSink;
use model::{Descriptor, Digest, Platform, Reference};
use registry::{BlobSink, BlobSource, BoxError, Client, Document, Layer};
use store::{Image, Store};

use crate::{Engine, Error, PullPolicy, Result};

impl Engine {
    /// Pulls an image and names it.
    pub fn pull(
        &self,
        reference: &Reference,
        platform: &Platform,
        events: &dyn EventSink,
    ) -> Result<Image> {
        let _shared = self.store.share()?;
        let client = Client::new(self.settings.registry.clone());
        let sink = StoreSink { store: &self.store };
        let pulled = client.pull(reference, platform, &sink, events)?;
        let image = self
            .store
            .images()
            .put(&pulled.manifest.digest, Some(reference))?;
        self.note(
            "image",
            "pull",
            &reference.familiar(),
            &reference.familiar_name(),
        );
        Ok(image)
    }

    /// Pushes the image of this name or id under `reference`.
    pub fn push(
        &self,
        image: &str,
        reference: &Reference,
        events: &dyn EventSink,
    ) -> Result<Digest> {
        let _shared = self.store.share()?;
        let (image, _) = self.store.images().resolve(image)?;
        let image = self.store.with_blobs(&image)?;
        let client = Client::new(self.settings.registry.clone());
        let manifest = Document {
            media_type: media_type(&image),
            digest: image.digest.clone(),
            bytes: image.raw_manifest.clone(),
        };
        let source = StoreSource { store: &self.store };
        client.push(reference, &manifest, &source, events)?;
        self.note(
            "image",
            "push",
            &reference.familiar(),
            &reference.familiar_name(),
        );
        Ok(image.digest)
    }

    /// Finds an image by reference or id; pulls it where the policy wants that.
    pub fn image(
        &self,
        text: &str,
        policy: PullPolicy,
        platform: Option<&Platform>,
        events: &dyn EventSink,
    ) -> Result<Image> {
        let native = Platform::native();
        let wanted = platform.unwrap_or(&native);
        if policy != PullPolicy::Always {
            match self.store.images().resolve(text) {
                Ok((image, _)) if fits(&image, platform) => return Ok(image),
                Ok(_) if policy == PullPolicy::Never => {
                    let message = format!("image {text} is not for platform {wanted}");
                    return Err(Error::invalid(message));
                }
                Ok(_) => {}
                Err(store::Error::NoImage(_)) if policy == PullPolicy::Missing => {}
                Err(error) => return Err(error.into()),
            }
        }
        self.pull(&text.parse()?, wanted, events)
    }

    /// Whether a registry accepts this user.
    pub fn login(&self, registry: &str, user: &str, password: &str) -> Result<()> {
        Ok(Client::new(self.settings.registry.clone()).login(registry, user, password)?)
    }
}

fn fits(image: &Image, platform: Option<&Platform>) -> bool {
    platform.is_none_or(|wanted| {
        wanted.accepts(&Platform {
            os: image.config.os.clone(),
            architecture: image.config.architecture.clone(),
            variant: image.config.variant.clone(),
        })
    })
}

/// The media type that the manifest claims, else the one that its configuration's
/// implies.
fn media_type(image: &Image) -> String {
    use model::image::media;
    image.manifest.media_type.clone().unwrap_or_else(|| {
        match image.manifest.config.media_type.as_str() {
            media::DOCKER_CONFIG => media::DOCKER_MANIFEST,
            _ => media::OCI_MANIFEST,
        }
        .to_owned()
    })
}

/// The store as a pull sees it.
struct StoreSink<'s> {
    store: &'s Store,
}

impl BlobSink for StoreSink<'_> {
    fn find(&self, digest: &Digest) -> std::result::Result<Option<Vec<u8>>, BoxError> {
        let blobs = self.store.blobs();
        if !blobs.has(digest) {
            return Ok(None);
        }
        Ok(Some(blobs.read(digest)?))
    }

    fn keep(&self, descriptor: &Descriptor, bytes: &[u8]) -> std::result::Result<(), BoxError> {
        self.store.blobs().put(bytes, Some(descriptor))?;
        Ok(())
    }

    fn has_layer(&self, layer: Layer<'_>) -> std::result::Result<bool, BoxError> {
        // The compressed bytes are needed as well: a push must give the same digests.
        let blob = self.store.blobs().has(&layer.descriptor.digest);
        Ok(blob && self.store.layers().has(layer.diff_id))
    }

    fn take_layer(
        &self,
        layer: Layer<'_>,
        reader: &mut dyn Read,
    ) -> std::result::Result<(), BoxError> {
        self.store
            .layers()
            .ingest(reader, layer.descriptor, layer.diff_id, true)?;
        Ok(())
    }
}

/// The store as a push sees it.
struct StoreSource<'s> {
    store: &'s Store,
}

impl BlobSource for StoreSource<'_> {
    fn open(&self, digest: &Digest) -> std::result::Result<Box<dyn Read + Send>, BoxError> {
        Ok(Box::new(self.store.blobs().open(digest)?))
    }
}

/// What a registry's user is, and how registries are reached; see [`registry`].
pub use registry::{Config as RegistryConfig, Credentials};

impl Engine {
    /// Makes a one-layer image from a tar of a root file system.
    pub fn import(
        &self,
        reader: impl Read,
        mut config: model::ImageConfig,
        comment: Option<String>,
        reference: Option<&Reference>,
    ) -> Result<Image> {
        let _shared = self.store.share()?;
        let native = Platform::native();
        let now = crate::now();
        config.created = Some(now.clone());
        config.architecture = native.architecture;
        config.os = native.os;
        config.history = vec![model::image::History {
            created: Some(now),
            comment: Some(comment.unwrap_or_else(|| "Imported from a tar".into())),
            ..model::image::History::default()
        }];
        let image = self.store.import(reader, config, reference)?;
        let name = reference.map(Reference::familiar).unwrap_or_default();
        self.note("image", "import", image.id.as_str(), &name);
        Ok(image)
    }

    /// Loads every image of an archive.
    pub fn load(&self, reader: impl Read) -> Result<Vec<store::archive::Loaded>> {
        let _shared = self.store.share()?;
        Ok(self.store.load(reader)?)
    }

    /// Writes images, by name or id, into one archive.
    pub fn save(
        &self,
        names: &[String],
        format: store::archive::Format,
        writer: impl std::io::Write,
    ) -> Result<()> {
        let _shared = self.store.share()?;
        let images: store::Result<Vec<_>> = names
            .iter()
            .map(|name| self.store.images().resolve(name))
            .collect();
        Ok(self.store.save(&images?, format, writer)?)
    }

    /// Removes what no image, container or build needs.
    pub fn collect(&self) -> Result<()> {
        self.store.collect()?;
        self.store.sweep();
        Ok(())
    }
}

/// Remembers a login in docker's configuration at `path`.
pub fn store_login(
    path: &std::path::Path,
    registry: &str,
    user: &str,
    password: &str,
) -> Result<()> {
    Ok(registry::credentials::store(
        path, registry, user, password,
    )?)
}

/// Forgets a login; whether there was one.
pub fn remove_login(path: &std::path::Path, registry: &str) -> Result<bool> {
    Ok(registry::credentials::remove(path, registry)?)
}
