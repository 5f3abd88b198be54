//! Images into an archive.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufWriter, Write};

use model::image::{Index, media};
use model::{Descriptor, Digest, Reference};
use serde::Serialize;

use super::Format;
use crate::images::to_json;
use crate::layers::Header;
use crate::{Error, Image, Result, Store};

/// One image in docker's `manifest.json`.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct DockerImage {
    config: String,
    repo_tags: Vec<String>,
    layers: Vec<String>,
}

pub(super) fn save(
    store: &Store,
    images: &[(Image, Option<Reference>)],
    format: Format,
    writer: impl Write,
) -> Result<()> {
    let _shared = store.share()?;
    let out = BufWriter::with_capacity(128 << 10, writer);
    let mut archive = Archive {
        store,
        out,
        written: BTreeSet::new(),
    };
    // One image under several names is in the archive once.
    let mut named: BTreeMap<&Digest, (&Image, Vec<&Reference>)> = BTreeMap::new();
    for (image, reference) in images {
        named
            .entry(&image.digest)
            .or_insert((image, Vec::new()))
            .1
            .extend(reference);
    }
    match format {
        Format::Docker => archive.docker(named.into_values().collect())?,
        Format::Oci => archive.oci(named.into_values().collect())?,
    }
    archive.bytes(&[0; 1024])?;
    archive.out.flush().map_err(writing)
}

fn writing(source: std::io::Error) -> Error {
    Error::Write {
        what: "archive".into(),
        source,
    }
}

struct Archive<'s, W: Write> {
    store: &'s Store,
    out: BufWriter<W>,
    written: BTreeSet<String>,
}

impl<W: Write> Archive<'_, W> {
    fn bytes(&mut self, bytes: &[u8]) -> Result<()> {
        self.out.write_all(bytes).map_err(writing)
    }

    /// Whether a member of this name is still to be written.
    fn is_new(&mut self, name: &str) -> bool {
        self.written.insert(name.to_owned())
    }

    fn document(&mut self, name: &str, bytes: &[u8]) -> Result<()> {
        if self.is_new(name) {
            self.begin(name, bytes.len() as u64)?;
            self.bytes(bytes)?;
            self.pad(bytes.len() as u64)?;
        }
        Ok(())
    }

    fn begin(&mut self, name: &str, size: u64) -> Result<()> {
        self.bytes(&Header::file(name.as_bytes().to_vec(), size, 0o644).encode())
    }

    fn pad(&mut self, size: u64) -> Result<()> {
        let padding = usize::try_from(size.next_multiple_of(512) - size).expect("below 512");
        self.bytes(&[0; 512][..padding])
    }

    /// Docker wants plain tars.
    fn docker(&mut self, images: Vec<(&Image, Vec<&Reference>)>) -> Result<()> {
        let mut listed = Vec::new();
        for (image, references) in images {
            let config = format!("{}.json", image.id.hex());
            self.document(&config, &image.raw_config)?;
            let mut layers = Vec::new();
            for (descriptor, diff_id) in image.manifest.layers.iter().zip(&image.layers) {
                let name = format!("{}.tar", diff_id.hex());
                if self.is_new(&name) {
                    let size = self.store.layers().info(diff_id)?.size;
                    self.begin(&name, size)?;
                    self.store
                        .layers()
                        .write_plain(descriptor, diff_id, &mut self.out)?;
                    self.pad(size)?;
                }
                layers.push(name);
            }
            // A name pinned by digest means nothing to docker's loader.
            let tagged = references
                .iter()
                .filter(|r| r.tag().is_some() && r.digest().is_none());
            let repo_tags = tagged.map(|r| r.familiar()).collect();
            listed.push(DockerImage {
                config,
                repo_tags,
                layers,
            });
        }
        self.document("manifest.json", &to_json(&listed))
    }

    fn oci(&mut self, images: Vec<(&Image, Vec<&Reference>)>) -> Result<()> {
        let mut manifests = Vec::new();
        for (image, references) in images {
            for (descriptor, diff_id) in image.manifest.layers.iter().zip(&image.layers) {
                let name = blob_name(&descriptor.digest);
                if self.is_new(&name) {
                    self.begin(&name, descriptor.size)?;
                    self.store
                        .layers()
                        .write_blob(descriptor, diff_id, &mut self.out)?;
                    self.pad(descriptor.size)?;
                }
            }
            self.document(&blob_name(&image.id), &image.raw_config)?;
            self.document(&blob_name(&image.digest), &image.raw_manifest)?;
            let described = |annotations| Descriptor {
                media_type: image
                    .manifest
                    .media_type
                    .clone()
                    .unwrap_or_else(|| media::OCI_MANIFEST.into()),
                digest: image.digest.clone(),
                size: image.raw_manifest.len() as u64,
                platform: None,
                annotations,
            };
            if references.is_empty() {
                manifests.push(described(BTreeMap::new()));
            }
            for reference in references {
                manifests.push(described(annotations(reference)));
            }
        }
        let index = Index {
            schema_version: 2,
            media_type: Some(media::OCI_INDEX.into()),
            manifests,
        };
        self.document("index.json", &to_json(&index))?;
        self.document("oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#)
    }
}

fn annotations(reference: &Reference) -> BTreeMap<String, String> {
    let mut notes = BTreeMap::new();
    notes.insert("io.containerd.image.name".into(), reference.to_string());
    if let Some(tag) = reference.tag() {
        notes.insert("org.opencontainers.image.ref.name".into(), tag.to_owned());
    }
    notes
}

fn blob_name(digest: &Digest) -> String {
    format!("blobs/sha256/{}", digest.hex())
}
