//! Images out of an archive.

use std::io::Read;

use model::image::{Index, Manifest, media};
use model::{Descriptor, Digest, ImageConfig, Platform, Reference};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use sha2::{Digest as _, Sha256};

use super::Loaded;
use super::spool::Spool;
use crate::images::to_json;
use crate::{Error, Result, Store};

/// Indexes within indexes that are followed.
const MAX_NESTING: usize = 4;

/// One image in docker's `manifest.json`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct DockerImage {
    config: String,
    #[serde(default)]
    repo_tags: Option<Vec<String>>,
    #[serde(default)]
    layers: Option<Vec<String>>,
}

pub(super) fn load(store: &Store, reader: impl Read, wanted: &Platform) -> Result<Vec<Loaded>> {
    let spool = Spool::new(store, reader)?;
    let _shared = store.share()?;
    // Archives of a later docker are of both kinds; OCI's knows digests.
    let loaded = if spool.has("index.json") && spool.has("oci-layout") {
        load_oci(store, &spool, wanted)?
    } else if spool.has("manifest.json") {
        load_docker(store, &spool)?
    } else {
        let reason = "it has neither `manifest.json` nor `index.json`";
        return Err(Error::Archive(reason.into()));
    };
    match loaded.is_empty() {
        true => Err(Error::Archive(format!("it has no image for {wanted}"))),
        false => Ok(loaded),
    }
}

fn parse<T: DeserializeOwned>(name: &str, bytes: &[u8]) -> Result<T> {
    serde_json::from_slice(bytes)
        .map_err(|e| Error::Archive(format!("its `{}` cannot be read: {e}", name.escape_debug())))
}

fn blob_name(digest: &Digest) -> String {
    format!("blobs/sha256/{}", digest.hex())
}

fn load_oci(store: &Store, spool: &Spool, wanted: &Platform) -> Result<Vec<Loaded>> {
    let index: Index = parse("index.json", &spool.read("index.json")?)?;
    let tags = docker_tags(spool)?;
    let mut loaded = Vec::new();
    for top in &index.manifests {
        let Some(manifest) = choose(spool, top, wanted, 0)? else {
            continue;
        };
        let image = load_oci_image(store, spool, &manifest)?;
        let mut references: Vec<Reference> = names_of(top);
        if references.is_empty() {
            let same = tags
                .iter()
                .filter(|(config, _)| *config == blob_name(&image.id));
            references = same.flat_map(|(_, names)| names.clone()).collect();
        }
        loaded.push(finish(store, &image.digest, references)?);
    }
    Ok(loaded)
}

/// Names in the `manifest.json` that docker puts beside an OCI index.
fn docker_tags(spool: &Spool) -> Result<Vec<(String, Vec<Reference>)>> {
    if !spool.has("manifest.json") {
        return Ok(Vec::new());
    }
    let images: Vec<DockerImage> = parse("manifest.json", &spool.read("manifest.json")?)?;
    let tags = |image: DockerImage| {
        let names = image.repo_tags.unwrap_or_default();
        (
            image.config,
            names.iter().filter_map(|t| t.parse().ok()).collect(),
        )
    };
    Ok(images.into_iter().map(tags).collect())
}

/// Names that an index gives an image: containerd's annotation has the whole name,
/// OCI's often a tag alone, which names nothing by itself.
fn names_of(descriptor: &Descriptor) -> Vec<Reference> {
    let full = descriptor.annotations.get("io.containerd.image.name");
    let name = descriptor
        .annotations
        .get("org.opencontainers.image.ref.name");
    let name = name.filter(|n| n.contains(['/', ':']));
    full.or(name)
        .and_then(|n| n.parse().ok())
        .into_iter()
        .collect()
}

/// Reads a document and compares it with its digest.
fn document(spool: &Spool, descriptor: &Descriptor) -> Result<Vec<u8>> {
    let bytes = spool.read(&blob_name(&descriptor.digest))?;
    let actual = Digest::from_sha256(Sha256::digest(&bytes).into());
    match actual == descriptor.digest {
        true => Ok(bytes),
        false => {
            let expected = descriptor.digest.clone();
            Err(Error::Digest {
                what: "document of the archive",
                expected,
                actual,
            })
        }
    }
}

/// The manifest that an entry of an index stands for, through indexes within.
fn choose(
    spool: &Spool,
    descriptor: &Descriptor,
    wanted: &Platform,
    depth: usize,
) -> Result<Option<Descriptor>> {
    let is_index = matches!(
        descriptor.media_type.as_str(),
        media::OCI_INDEX | media::DOCKER_LIST
    );
    if !is_index {
        let fits = descriptor
            .platform
            .as_ref()
            .is_none_or(|p| wanted.accepts(p));
        return Ok(fits.then(|| descriptor.clone()));
    }
    if depth == MAX_NESTING {
        return Err(Error::Archive("its indexes are nested too deeply".into()));
    }
    let name = blob_name(&descriptor.digest);
    let index: Index = parse(&name, &document(spool, descriptor)?)?;
    for inner in &index.manifests {
        // An archive may lack the other platforms.
        if spool.has(&blob_name(&inner.digest))
            && let Some(found) = choose(spool, inner, wanted, depth + 1)?
        {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

struct Documents {
    digest: Digest,
    id: Digest,
}

fn load_oci_image(store: &Store, spool: &Spool, descriptor: &Descriptor) -> Result<Documents> {
    let raw = document(spool, descriptor)?;
    let manifest: Manifest = parse(&blob_name(&descriptor.digest), &raw)?;
    let raw_config = document(spool, &manifest.config)?;
    let config: ImageConfig = parse(&blob_name(&manifest.config.digest), &raw_config)?;
    same_count(manifest.layers.len(), config.rootfs.diff_ids.len())?;
    for (layer, diff_id) in manifest.layers.iter().zip(&config.rootfs.diff_ids) {
        let bytes = Lazy {
            spool,
            name: blob_name(&layer.digest),
            open: None,
        };
        store.layers().ingest(bytes, layer, diff_id, true)?;
    }
    store.blobs().put(&raw_config, None)?;
    let digest = store.blobs().put(&raw, None)?;
    Ok(Documents {
        digest,
        id: manifest.config.digest,
    })
}

fn same_count(layers: usize, diff_ids: usize) -> Result<()> {
    match layers == diff_ids {
        true => Ok(()),
        false => Err(Error::Archive(format!(
            "an image has {layers} layers, its configuration {diff_ids}"
        ))),
    }
}

fn load_docker(store: &Store, spool: &Spool) -> Result<Vec<Loaded>> {
    let images: Vec<DockerImage> = parse("manifest.json", &spool.read("manifest.json")?)?;
    let load = |image: &DockerImage| {
        let digest = load_docker_image(store, spool, image)?;
        let names = image.repo_tags.iter().flatten();
        finish(
            store,
            &digest,
            names.filter_map(|t| t.parse().ok()).collect(),
        )
    };
    images.iter().map(load).collect()
}

/// Docker's archives have no manifest: one is made for what they have.
fn load_docker_image(store: &Store, spool: &Spool, image: &DockerImage) -> Result<Digest> {
    let raw_config = spool.read(&image.config)?;
    let config: ImageConfig = parse(&image.config, &raw_config)?;
    let names = image.layers.as_deref().unwrap_or_default();
    same_count(names.len(), config.rootfs.diff_ids.len())?;
    let mut layers = Vec::new();
    for (name, diff_id) in names.iter().zip(&config.rootfs.diff_ids) {
        let descriptor = describe(spool, name, diff_id)?;
        let bytes = Lazy {
            spool,
            name: name.clone(),
            open: None,
        };
        store.layers().ingest(bytes, &descriptor, diff_id, true)?;
        layers.push(descriptor);
    }
    let manifest = Manifest {
        schema_version: 2,
        media_type: Some(media::OCI_MANIFEST.into()),
        config: Descriptor {
            media_type: media::OCI_CONFIG.into(),
            digest: store.blobs().put(&raw_config, None)?,
            size: raw_config.len() as u64,
            platform: None,
            annotations: Default::default(),
        },
        layers,
        annotations: Default::default(),
    };
    store.blobs().put(&to_json(&manifest), None)
}

/// Describes a layer of docker's archive, which are plain tars as a rule; a compressed
/// one must be hashed first.
fn describe(spool: &Spool, name: &str, diff_id: &Digest) -> Result<Descriptor> {
    let mut magic = Vec::new();
    let read = |source| Error::Read {
        what: "archive".into(),
        source,
    };
    spool
        .open(name)?
        .take(4)
        .read_to_end(&mut magic)
        .map_err(read)?;
    let media_type = match magic.as_slice() {
        [0x1f, 0x8b, ..] => media::OCI_LAYER_GZIP,
        [0x28, 0xb5, 0x2f, 0xfd] => media::OCI_LAYER_ZSTD,
        _ => media::OCI_LAYER,
    };
    let digest = if media_type == media::OCI_LAYER {
        diff_id.clone()
    } else {
        let mut hash = Sha256::new();
        let mut bytes = spool.open(name)?;
        let mut buffer = vec![0; 256 << 10];
        loop {
            match bytes.read(&mut buffer).map_err(read)? {
                0 => break Digest::from_sha256(hash.finalize().into()),
                length => hash.update(&buffer[..length]),
            }
        }
    };
    Ok(Descriptor {
        media_type: media_type.into(),
        digest,
        size: spool.size(name)?,
        platform: None,
        annotations: Default::default(),
    })
}

fn finish(store: &Store, manifest: &Digest, references: Vec<Reference>) -> Result<Loaded> {
    let mut image = store.images().put(manifest, references.first())?;
    for reference in references.iter().skip(1) {
        image = store.images().put(manifest, Some(reference))?;
    }
    Ok(Loaded { image, references })
}

/// A member that is looked for when it is first read: a layer that is here already
/// need not be in the archive.
struct Lazy<'s> {
    spool: &'s Spool,
    name: String,
    open: Option<std::io::Take<&'s std::fs::File>>,
}

impl Read for Lazy<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        if self.open.is_none() {
            self.open = Some(self.spool.open(&self.name).map_err(std::io::Error::other)?);
        }
        self.open.as_mut().map_or(Ok(0), |bytes| bytes.read(buffer))
    }
}
