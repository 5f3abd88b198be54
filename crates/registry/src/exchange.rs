//! What the other side of a transfer must offer: a place to put bytes, a place to
//! take them from. The engine implements both over the store.

use std::io::Read;

use model::{Descriptor, Digest};

/// Why a sink or a source failed; passed on as the cause of this crate's error.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// One layer of the image being pulled.
#[derive(Debug, Clone, Copy)]
pub struct Layer<'a> {
    /// The compressed bytes: media type, digest, length.
    pub descriptor: &'a Descriptor,
    /// Digest of the plain tar within, as the image's configuration claims it.
    /// The sink verifies it; nobody else decompresses.
    pub diff_id: &'a Digest,
    /// The `diff_id`s of the layers below, lowest first.
    pub lowers: &'a [Digest],
}

/// Where pulled bytes go. Shared by the threads that receive layers.
pub trait BlobSink: Sync {
    /// The bytes of a manifest, index or configuration that is already here.
    fn find(&self, digest: &Digest) -> Result<Option<Vec<u8>>, BoxError>;

    /// Keeps a manifest, index or configuration. Its digest has been verified.
    fn keep(&self, descriptor: &Descriptor, bytes: &[u8]) -> Result<(), BoxError>;

    /// Whether this layer need not be fetched.
    fn has_layer(&self, layer: Layer<'_>) -> Result<bool, BoxError>;

    /// Takes a layer's compressed bytes, on a thread of its own. The reader fails
    /// instead of ending when length or digest are wrong, or when the pull is given
    /// up: only after a clean end may the layer be published. Being content before
    /// the end means that the layer has come another way. Layers are begun lowest
    /// first, so waiting for a lower one cannot dead-lock.
    fn take_layer(&self, layer: Layer<'_>, reader: &mut dyn Read) -> Result<(), BoxError>;
}

/// Where pushed bytes come from.
pub trait BlobSource: Sync {
    /// Opens a manifest, configuration or compressed layer.
    fn open(&self, digest: &Digest) -> Result<Box<dyn Read + Send>, BoxError>;
}
