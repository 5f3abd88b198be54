//! Cache keys, and what the store remembers under them.
//!
//! A key is the digest of the parent's key, of what the step does, and of the content
//! that it reads. Configuration counts only where a step sees it: a changed `LABEL`
//! invalidates nothing, a changed `ENV` every later `RUN`.

use model::Digest;
use model::image::History;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use store::images::ImageLayer;
use store::{LayerInfo, Store};

use crate::error::Result;
use crate::sums::field;

/// Changes whenever a step would come out differently for the same key.
const VERSION: &str = "shim-build-1";

/// A key in the making.
#[derive(Debug, Clone)]
pub(crate) struct Key(Sha256);

impl Key {
    /// Begins the key of a `kind` of step on top of `parent`.
    pub(crate) fn new(kind: &str, parent: &Digest) -> Self {
        Self(Sha256::new())
            .text(VERSION)
            .text(kind)
            .text(parent.as_str())
    }

    /// The key of a base: its layers, whatever its name.
    pub(crate) fn of_base(layers: &[Digest]) -> Digest {
        let key = Self(Sha256::new()).text(VERSION).text("base");
        layers
            .iter()
            .fold(key, |key, layer| key.text(layer.as_str()))
            .finish()
    }

    #[must_use]
    pub(crate) fn text(mut self, text: &str) -> Self {
        field(&mut self.0, text.as_bytes());
        self
    }

    /// A list, apart from what follows it.
    #[must_use]
    pub(crate) fn list<'a>(self, texts: impl IntoIterator<Item = &'a String>) -> Self {
        let texts: Vec<_> = texts.into_iter().collect();
        let key = self.text(&texts.len().to_string());
        texts.into_iter().fold(key, |key, text| key.text(text))
    }

    #[must_use]
    pub(crate) fn debug(self, value: &impl std::fmt::Debug) -> Self {
        self.text(&format!("{value:?}"))
    }

    pub(crate) fn hash(&mut self) -> &mut Sha256 {
        &mut self.0
    }

    pub(crate) fn finish(self) -> Digest {
        Digest::from_sha256(self.0.finalize().into())
    }
}

/// A layer that a step made, now or earlier.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Made {
    pub(crate) diff_id: Digest,
    /// RFC 3339. A hit keeps it, so that an unchanged build gives the same image.
    pub(crate) created: String,
}

impl Made {
    pub(crate) fn new(info: &LayerInfo, created: &str) -> Self {
        Self {
            diff_id: info.diff_id.clone(),
            created: created.to_owned(),
        }
    }

    fn to_json(&self) -> Value {
        json!({ "version": 1, "layer": self.diff_id.as_str(), "created": self.created })
    }

    /// `None` for records of other versions: they are as good as none.
    fn from_json(value: &Value) -> Option<Self> {
        (value.get("version")?.as_u64()? == 1).then_some(())?;
        Some(Self {
            diff_id: value.get("layer")?.as_str()?.parse().ok()?,
            created: value.get("created")?.as_str()?.to_owned(),
        })
    }
}

/// What `key` made earlier, if its layer is still here.
pub(crate) fn get(store: &Store, key: &Digest) -> Result<Option<Made>> {
    let record = store.build_cache().get(key)?;
    let made = record.as_ref().and_then(Made::from_json);
    Ok(made.filter(|made| store.layers().has(&made.diff_id)))
}

pub(crate) fn put(store: &Store, key: &Digest, made: &Made) -> Result<()> {
    Ok(store.build_cache().put(key, &made.to_json())?)
}

/// A stage so far: its layers and what the image will say about them.
#[derive(Debug, Clone)]
pub(crate) struct Snapshot {
    /// Lowest first.
    pub(crate) layers: Vec<ImageLayer>,
    pub(crate) key: Digest,
    pub(crate) history: Vec<History>,
    /// When the last layer was made, RFC 3339.
    pub(crate) created: Option<String>,
}

impl Snapshot {
    pub(crate) fn diff_ids(&self) -> Vec<Digest> {
        self.layers
            .iter()
            .map(|layer| layer.diff_id.clone())
            .collect()
    }

    /// Adds a step to the history, and its layer if it has one.
    pub(crate) fn push(&mut self, created_by: &str, made: Option<(Digest, Made)>) {
        let empty_layer = made.is_none();
        if let Some((key, made)) = made {
            self.key = key;
            self.created = Some(made.created);
            self.layers.push(ImageLayer {
                diff_id: made.diff_id,
                descriptor: None,
            });
        }
        self.history.push(History {
            created: self.created.clone(),
            created_by: Some(created_by.to_owned()),
            comment: Some("buildkit.dockerfile.v0".into()),
            empty_layer,
            ..History::default()
        });
    }
}
