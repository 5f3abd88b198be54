//! Manifests, indexes and configurations as they come from outside: read, checked,
//! chosen from.

use model::image::{ImageConfig, Index, Manifest, media};
use model::{Descriptor, Digest, Platform, Reference};
use serde::Deserialize;
use sha2::Digest as _;

use crate::{Error, Result};

/// A manifest or index: the bytes that its digest is of, and what they say they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// Media type.
    pub media_type: String,
    /// The very bytes; never written anew, lest the digest change.
    pub bytes: Vec<u8>,
    /// Of the bytes.
    pub digest: Digest,
}

/// What a document turns out to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Content {
    Manifest(Manifest),
    Index(Index),
}

/// The fields that tell the kinds of documents apart.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Probe {
    schema_version: u32,
    #[serde(default)]
    media_type: Option<String>,
    #[serde(default)]
    manifests: Option<serde::de::IgnoredAny>,
    #[serde(default)]
    layers: Option<serde::de::IgnoredAny>,
}

/// SHA-256 of `bytes`.
pub(crate) fn digest_of(bytes: &[u8]) -> Digest {
    Digest::from_sha256(sha2::Sha256::digest(bytes).into())
}

impl Document {
    /// Looks at a document's bytes; the error is why they are not a manifest or index
    /// of a supported kind.
    pub fn new(bytes: Vec<u8>) -> std::result::Result<Self, String> {
        let probe: Probe = serde_json::from_slice(&bytes).map_err(|e| e.to_string())?;
        if probe.schema_version != 2 {
            return Err(format!(
                "schema version {} is not supported",
                probe.schema_version
            ));
        }
        let media_type = match (probe.media_type, probe.manifests, probe.layers) {
            // A document that may be read as either kind could show one image to us
            // and another to a scanner.
            (_, Some(_), Some(_)) => return Err("it has both `manifests` and `layers`".into()),
            (Some(named), ..) => named,
            (None, Some(_), None) => media::OCI_INDEX.into(),
            (None, None, Some(_)) => media::OCI_MANIFEST.into(),
            (None, None, None) => return Err("it has neither `manifests` nor `layers`".into()),
        };
        let digest = digest_of(&bytes);
        Ok(Self {
            media_type,
            bytes,
            digest,
        })
    }

    /// How an index or a push would point at this document.
    pub fn descriptor(&self) -> Descriptor {
        Descriptor {
            media_type: self.media_type.clone(),
            digest: self.digest.clone(),
            size: self.bytes.len() as u64,
            platform: None,
            annotations: Default::default(),
        }
    }

    /// Reads the document as what its media type says.
    pub(crate) fn content(&self, reference: &Reference) -> Result<Content> {
        let malformed = |what| {
            let digest = self.digest.clone();
            move |e: serde_json::Error| Error::Malformed {
                reference: reference.familiar(),
                what,
                digest,
                reason: e.to_string(),
            }
        };
        match self.media_type.as_str() {
            media::OCI_MANIFEST | media::DOCKER_MANIFEST => serde_json::from_slice(&self.bytes)
                .map(Content::Manifest)
                .map_err(malformed("manifest")),
            media::OCI_INDEX | media::DOCKER_LIST => serde_json::from_slice(&self.bytes)
                .map(Content::Index)
                .map_err(malformed("index")),
            other => Err(Error::Unsupported {
                reference: reference.familiar(),
                what: "a manifest",
                media_type: other.into(),
            }),
        }
    }
}

/// The entry of an index that fits `wanted` best: same variant first, then the first
/// acceptable one. Entries without a platform, and attestations (platform
/// `unknown/unknown`), are not images to run.
pub fn choose_platform<'a>(index: &'a Index, wanted: &Platform) -> Option<&'a Descriptor> {
    let fits = |d: &&Descriptor| d.platform.as_ref().is_some_and(|p| wanted.accepts(p));
    let exact = |d: &&Descriptor| d.platform.as_ref() == Some(wanted);
    index
        .manifests
        .iter()
        .find(exact)
        .or_else(|| index.manifests.iter().find(fits))
}

/// The platforms that an index offers, without attestations.
pub(crate) fn offered(index: &Index) -> Vec<Platform> {
    let known = |p: &&Platform| p.os != "unknown";
    index
        .manifests
        .iter()
        .filter_map(|d| d.platform.as_ref())
        .filter(known)
        .cloned()
        .collect()
}

/// Refuses layers that this program cannot unpack.
pub(crate) fn check_layers(manifest: &Manifest, reference: &Reference) -> Result<()> {
    const KNOWN: [&str; 5] = [
        media::OCI_LAYER,
        media::OCI_LAYER_GZIP,
        media::OCI_LAYER_ZSTD,
        media::DOCKER_LAYER,
        media::DOCKER_LAYER_GZIP,
    ];
    let unsupported = |what, media_type: &str| Error::Unsupported {
        reference: reference.familiar(),
        what,
        media_type: media_type.into(),
    };
    match manifest.config.media_type.as_str() {
        media::OCI_CONFIG | media::DOCKER_CONFIG => {}
        other => return Err(unsupported("a configuration", other)),
    }
    match manifest
        .layers
        .iter()
        .find(|l| !KNOWN.contains(&l.media_type.as_str()))
    {
        Some(layer) => Err(unsupported("a layer", &layer.media_type)),
        None => Ok(()),
    }
}

/// Reads a configuration and checks that it belongs to the manifest.
pub(crate) fn read_config(
    manifest: &Manifest,
    bytes: &[u8],
    reference: &Reference,
) -> Result<ImageConfig> {
    let malformed = |reason: String| Error::Malformed {
        reference: reference.familiar(),
        what: "configuration",
        digest: manifest.config.digest.clone(),
        reason,
    };
    let config: ImageConfig =
        serde_json::from_slice(bytes).map_err(|e| malformed(e.to_string()))?;
    let (layers, diff_ids) = (manifest.layers.len(), config.rootfs.diff_ids.len());
    if layers != diff_ids {
        return Err(malformed(format!(
            "it describes {diff_ids} layers where the manifest has {layers}"
        )));
    }
    Ok(config)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn index(platforms: &[&str]) -> Index {
        let manifests = platforms
            .iter()
            .enumerate()
            .map(|(at, platform)| Descriptor {
                media_type: media::OCI_MANIFEST.into(),
                digest: digest_of(&[at as u8]),
                size: 1,
                platform: platform.parse().ok(),
                annotations: Default::default(),
            });
        Index {
            schema_version: 2,
            media_type: None,
            manifests: manifests.collect(),
        }
    }

    #[test]
    fn the_exact_platform_comes_before_an_acceptable_one() {
        let index = index(&[
            "",
            "unknown/unknown",
            "linux/arm/v7",
            "linux/arm/v6",
            "linux/arm64/v8",
        ]);
        let at = |wanted: &str| {
            let chosen = choose_platform(&index, &wanted.parse().unwrap())?;
            index.manifests.iter().position(|d| d == chosen)
        };
        assert_eq!(at("linux/arm/v6"), Some(3));
        assert_eq!(at("linux/arm"), Some(2));
        assert_eq!(at("linux/arm64"), Some(4));
        assert_eq!(at("linux/amd64"), None);
        let names: Vec<String> = offered(&index).iter().map(Platform::to_string).collect();
        assert_eq!(names, ["linux/arm/v7", "linux/arm/v6", "linux/arm64/v8"]);
    }

    #[test]
    fn says_what_a_document_is() {
        let kind = |text: &str| Document::new(text.into()).map(|d| d.media_type);
        let oci = r#"{"schemaVersion":2,"config":{},"layers":[]}"#;
        assert_eq!(kind(oci).unwrap(), media::OCI_MANIFEST);
        assert_eq!(
            kind(r#"{"schemaVersion":2,"manifests":[]}"#).unwrap(),
            media::OCI_INDEX
        );
        assert_eq!(
            kind(r#"{"schemaVersion":2,"mediaType":"x/y"}"#).unwrap(),
            "x/y"
        );
        for bad in [
            "",
            "{}",
            "[]",
            r#"{"schemaVersion":2}"#,
            r#"{"schemaVersion":1,"layers":[]}"#,
        ] {
            assert!(kind(bad).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Document::new(bytes);
        }

        #[test]
        fn keeps_bytes_and_digest(spaces in " {0,9}", other in "[a-z]{1,9}") {
            let text = format!(r#"{{"schemaVersion":2,{spaces}"layers":[],"{other}":1}}"#);
            let document = Document::new(text.clone().into()).unwrap();
            prop_assert_eq!(&document.digest, &digest_of(text.as_bytes()));
            prop_assert_eq!(document.bytes, text.into_bytes());
        }
    }
}
