//! Images: which manifests are kept, and under which names.

use std::path::PathBuf;

use model::image::media;
use model::{Descriptor, Digest, ImageConfig, Manifest, Reference};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::root::now;
use crate::{Error, LayerInfo, Result, Store, record};

const VERSION: u32 = 1;

/// `images/refs/<hash>`: a name. The file is named by the hash of the reference,
/// because a reference may be longer than a file's name.
#[derive(Debug, Serialize, Deserialize)]
struct RefRecord {
    version: u32,
    reference: Reference,
    id: Digest,
    manifest: Digest,
}

/// `images/ids/<hex>`: an image, tagged or not.
#[derive(Debug, Serialize, Deserialize)]
struct IdRecord {
    version: u32,
    id: Digest,
    manifest: Digest,
    recorded: String,
}

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
    fn ref_path(&self, reference: &Reference) -> PathBuf {
        let hash = Digest::from_sha256(Sha256::digest(reference.to_string()).into());
        self.store.root().join("images/refs").join(hash.hex())
    }

    fn id_path(&self, id: &Digest) -> PathBuf {
        self.store.root().join("images/ids").join(id.hex())
    }

    /// Records an image whose manifest and configuration are blobs and whose layers
    /// are here, so that collection keeps it; names it if a reference is given.
    pub fn put(&self, manifest: &Digest, reference: Option<&Reference>) -> Result<Image> {
        let image = self.load(manifest)?;
        if let Some(absent) = image.layers.iter().find(|l| !self.store.layers().has(l)) {
            return Err(Error::NoLayer((*absent).clone()));
        }
        self.store.layers().seal(&image.layers)?;
        let known = IdRecord {
            version: VERSION,
            id: image.id.clone(),
            manifest: manifest.clone(),
            recorded: now(),
        };
        record::write(self.store, &self.id_path(&image.id), &known, true)?;
        if let Some(reference) = reference {
            self.name(&image.id, manifest, reference)?;
        }
        Ok(image)
    }

    fn name(&self, id: &Digest, manifest: &Digest, reference: &Reference) -> Result<()> {
        let name = RefRecord {
            version: VERSION,
            reference: reference.clone(),
            id: id.clone(),
            manifest: manifest.clone(),
        };
        record::write(self.store, &self.ref_path(reference), &name, true)
    }

    /// Makes an image of our own from layers that are here. Layers that have no blob
    /// are described as plain tars; manifest and configuration become blobs.
    pub fn create(
        &self,
        config: &ImageConfig,
        layers: &[ImageLayer],
        reference: Option<&Reference>,
    ) -> Result<Image> {
        let mut config = config.clone();
        config.rootfs.kind = "layers".into();
        config.rootfs.diff_ids = layers.iter().map(|l| l.diff_id.clone()).collect();
        let raw_config = to_json(&config);
        let descriptors: Result<Vec<Descriptor>> =
            layers.iter().map(|l| self.describe(l)).collect();
        let manifest = Manifest {
            schema_version: 2,
            media_type: Some(media::OCI_MANIFEST.into()),
            config: Descriptor {
                media_type: media::OCI_CONFIG.into(),
                digest: self.store.blobs().put(&raw_config, None)?,
                size: raw_config.len() as u64,
                platform: None,
                annotations: Default::default(),
            },
            layers: descriptors?,
            annotations: Default::default(),
        };
        let digest = self.store.blobs().put(&to_json(&manifest), None)?;
        self.put(&digest, reference)
    }

    fn describe(&self, layer: &ImageLayer) -> Result<Descriptor> {
        if let Some(descriptor) = &layer.descriptor {
            return Ok(oci_layer(descriptor));
        }
        let info = self.store.layers().info(&layer.diff_id)?;
        Ok(Descriptor {
            media_type: media::OCI_LAYER.into(),
            digest: info.diff_id,
            size: info.size,
            platform: None,
            annotations: Default::default(),
        })
    }

    /// Names an image, taking the name from any other.
    pub fn tag(&self, id: &Digest, reference: &Reference) -> Result<()> {
        let known = self.by_id(id)?;
        self.name(id, &known.manifest, reference)
    }

    fn by_id(&self, id: &Digest) -> Result<IdRecord> {
        record::read(&self.id_path(id), VERSION)?
            .ok_or_else(|| Error::NoImage(id.as_str().to_owned()))
    }

    /// Takes a name away. Whether it was there. The image stays, perhaps nameless.
    pub fn untag(&self, reference: &Reference) -> Result<bool> {
        record::remove(&self.ref_path(reference))
    }

    fn refs(&self) -> Result<Vec<RefRecord>> {
        let dir = self.store.root().join("images/refs");
        let mut found = Vec::new();
        for name in record::names(&dir)? {
            // One that goes meanwhile is none.
            found.extend(
                self.store
                    .whole(record::read::<RefRecord>(&dir.join(name), VERSION))?,
            );
        }
        found.sort_by(|a, b| a.reference.cmp(&b.reference));
        Ok(found)
    }

    fn ids(&self) -> Result<Vec<IdRecord>> {
        let dir = self.store.root().join("images/ids");
        let mut found = Vec::new();
        for name in record::names(&dir)? {
            found.extend(
                self.store
                    .whole(record::read::<IdRecord>(&dir.join(name), VERSION))?,
            );
        }
        Ok(found)
    }

    /// Digests of all manifests that a name or an image record keeps; `None` if there is
    /// a damaged record, which may keep any.
    pub(crate) fn manifests(&self) -> Result<Option<Vec<Digest>>> {
        let (refs, ids) = (self.refs()?, self.ids()?);
        let count = |dir: &str| record::names(&self.store.root().join("images").join(dir));
        if count("refs")?.len() > refs.len() || count("ids")?.len() > ids.len() {
            return Ok(None);
        }
        let names = refs.into_iter().map(|r| r.manifest);
        Ok(Some(
            names.chain(ids.into_iter().map(|i| i.manifest)).collect(),
        ))
    }

    /// All images, the youngest first.
    pub fn list(&self) -> Result<Vec<ImageSummary>> {
        let refs = self.refs()?;
        let mut found = Vec::new();
        for known in self.ids()? {
            let image = match self.load(&known.manifest) {
                Ok(image) => image,
                Err(error) => {
                    let source = Box::new(error);
                    self.store.damaged(&Error::DamagedImage {
                        id: known.id,
                        source,
                    });
                    continue;
                }
            };
            let named = refs.iter().filter(|r| r.id == image.id);
            found.push(ImageSummary {
                size: self.size(&image),
                id: image.id.clone(),
                digest: image.digest,
                references: named.map(|r| r.reference.clone()).collect(),
                created: image.config.created,
            });
        }
        found.sort_by(|a, b| b.created.cmp(&a.created).then_with(|| a.id.cmp(&b.id)));
        Ok(found)
    }

    /// Bytes of an image's layers unpacked, as plain tars.
    pub fn size(&self, image: &Image) -> u64 {
        let size = |layer| self.store.layers().info(layer).map_or(0, |info| info.size);
        image.layers.iter().map(size).sum()
    }

    /// The manifest digest of a name that is kept here.
    pub fn get(&self, reference: &Reference) -> Result<Option<Digest>> {
        Ok(self.by_name(reference)?.map(|r| r.manifest))
    }

    /// A reference with a digest also finds the image that came with that digest.
    fn by_name(&self, reference: &Reference) -> Result<Option<RefRecord>> {
        // A damaged name is none: the image can be named, or pulled, anew.
        let read = record::read::<RefRecord>(&self.ref_path(reference), VERSION);
        let exact = self.store.whole(read)?;
        let (None, Some(digest)) = (&exact, reference.digest()) else {
            return Ok(exact);
        };
        let same = |r: &RefRecord| r.manifest == *digest && r.reference.name() == reference.name();
        Ok(self.refs()?.into_iter().find(same))
    }

    /// Finds an image by reference, id, or a prefix of its id. The name it was found
    /// by comes along.
    pub fn resolve(&self, text: &str) -> Result<(Image, Option<Reference>)> {
        let (known, reference) = self.lookup(text)?;
        Ok((self.load(&known)?, reference))
    }

    /// As [`Images::resolve`], the manifest's digest only.
    fn lookup(&self, text: &str) -> Result<(Digest, Option<Reference>)> {
        if let Ok(reference) = text.parse::<Reference>()
            && let Some(found) = self.by_name(&reference)?
        {
            return Ok((found.manifest, Some(found.reference)));
        }
        let prefix = text.strip_prefix("sha256:").unwrap_or(text);
        let hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        let mut fitting = Vec::new();
        if !prefix.is_empty() && prefix.bytes().all(hex) {
            fitting = self.ids()?;
            fitting.retain(|i| i.id.hex().starts_with(prefix));
        }
        match fitting.as_slice() {
            [] => Err(Error::NoImage(text.to_owned())),
            [one] => Ok((one.manifest.clone(), None)),
            _ => Err(Error::Ambiguous {
                kind: "image",
                prefix: text.to_owned(),
                matches: fitting.iter().map(|i| i.id.short().to_owned()).collect(),
            }),
        }
    }

    /// Reads an image's documents by the digest of its manifest.
    pub fn load(&self, manifest: &Digest) -> Result<Image> {
        let blobs = self.store.blobs();
        let bad = |reason: String| Error::BadImage {
            image: manifest.short().to_owned(),
            reason,
        };
        let raw_manifest = blobs.read(manifest)?;
        let parsed: Manifest = serde_json::from_slice(&raw_manifest)
            .map_err(|e| bad(format!("its manifest cannot be read: {e}")))?;
        let raw_config = blobs.read(&parsed.config.digest)?;
        let config: ImageConfig = serde_json::from_slice(&raw_config)
            .map_err(|e| bad(format!("its configuration cannot be read: {e}")))?;
        let layers = config.rootfs.diff_ids.clone();
        if layers.len() != parsed.layers.len() {
            let (m, c) = (parsed.layers.len(), layers.len());
            return Err(bad(format!(
                "its manifest has {m} layers, its configuration {c}"
            )));
        }
        Ok(Image {
            id: parsed.config.digest.clone(),
            digest: manifest.clone(),
            manifest: parsed,
            raw_manifest,
            config,
            raw_config,
            layers,
        })
    }

    /// Removes an image as docker does: a name is taken away, and with the last one
    /// the image goes. Refused if a container uses it, unless forced. Its layers go
    /// with the next collection.
    pub fn remove(&self, text: &str, force: bool) -> Result<Vec<Removal>> {
        let (manifest, named) = match self.lookup(text) {
            Err(Error::NoImage(_)) => return self.remove_damaged(text),
            found => found?,
        };
        let id = match self.load(&manifest) {
            Ok(image) => image.id,
            // What cannot be read must still be removable.
            Err(e) => self.id_of(&manifest)?.ok_or(e)?,
        };
        let mut names: Vec<Reference> = self
            .refs()?
            .into_iter()
            .filter(|r| r.id == id)
            .map(|r| r.reference)
            .collect();
        let mut done = Vec::new();
        if let Some(reference) = named {
            if names.len() > 1 {
                self.untag(&reference)?;
                return Ok(vec![Removal::Untagged(reference)]);
            }
        } else if names.len() > 1 && !force {
            let references = names.iter().map(Reference::familiar).collect();
            return Err(Error::SeveralReferences {
                id: id.short().to_owned(),
                references,
            });
        }
        if !force && let Some(user) = self.user(&id)? {
            let what = format!("image {text}");
            return Err(Error::InUse {
                what,
                by: format!("container {user}"),
            });
        }
        for reference in names.drain(..) {
            self.untag(&reference)?;
            done.push(Removal::Untagged(reference));
        }
        record::remove(&self.id_path(&id))?;
        done.push(Removal::Deleted(id));
        Ok(done)
    }

    /// Removes a name or an image whose record cannot be read.
    fn remove_damaged(&self, text: &str) -> Result<Vec<Removal>> {
        if let Ok(reference) = text.parse::<Reference>()
            && self.untag(&reference)?
        {
            return Ok(vec![Removal::Untagged(reference)]);
        }
        let prefix = text.strip_prefix("sha256:").unwrap_or(text);
        let mut ids = record::names(&self.store.root().join("images/ids"))?;
        ids.retain(|id| !prefix.is_empty() && id.starts_with(prefix));
        let absent = || Error::NoImage(text.to_owned());
        let [id] = ids.as_slice() else {
            return Err(absent());
        };
        let id: Digest = format!("sha256:{id}").parse().map_err(|_| absent())?;
        record::remove(&self.id_path(&id))?;
        Ok(vec![Removal::Deleted(id)])
    }

    fn id_of(&self, manifest: &Digest) -> Result<Option<Digest>> {
        Ok(self
            .ids()?
            .into_iter()
            .find(|i| i.manifest == *manifest)
            .map(|i| i.id))
    }

    /// A container that was made from an image.
    fn user(&self, id: &Digest) -> Result<Option<String>> {
        let containers = self.store.containers().list()?;
        let user = containers.into_iter().find(|c| c.image.id == *id);
        Ok(user.map(|c| format!("{} ({})", c.id.short(), c.name)))
    }

    /// Images that no container uses, the youngest first.
    pub fn unused(&self) -> Result<Vec<ImageSummary>> {
        let (used, damaged) = self.store.containers().read_all()?;
        // Nobody knows what a damaged container was made from.
        if !damaged.is_empty() {
            return Ok(Vec::new());
        }
        let mut images = self.list()?;
        images.retain(|image| !used.iter().any(|c| c.image.id == image.id));
        Ok(images)
    }

    /// Labels of an image.
    pub fn labels(&self, id: &Digest) -> Result<std::collections::BTreeMap<String, String>> {
        let (image, _) = self.resolve(id.as_str())?;
        Ok(image.config.config.labels.into_iter().collect())
    }
}

/// An OCI manifest names its layers in OCI's words; the bytes are the same.
fn oci_layer(descriptor: &Descriptor) -> Descriptor {
    let media_type = match descriptor.media_type.as_str() {
        media::DOCKER_LAYER => media::OCI_LAYER,
        media::DOCKER_LAYER_GZIP => media::OCI_LAYER_GZIP,
        other => other,
    };
    Descriptor {
        media_type: media_type.into(),
        ..descriptor.clone()
    }
}

pub(crate) fn to_json<T: Serialize>(value: &T) -> Vec<u8> {
    serde_json::to_vec(value).expect("plain data with string keys")
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
