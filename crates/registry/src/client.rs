//! The client: how registries are reached, and the calls that do it.

use std::path::PathBuf;
use std::time::Duration;

use model::event::EventSink;
use model::{Platform, Reference};

use crate::wire::{Access, Wire};
use crate::{BlobSink, BlobSource, Credentials, Document, Error, Pulled, Pushed, Result};

/// Where Linux distributions keep their bundle of CA certificates.
pub const CA_BUNDLES: [&str; 5] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// How registries are reached.
#[derive(Debug, Clone)]
pub struct Config {
    /// Whether certificates are verified. When not, plain http is tried as well.
    /// Registries on this machine's loopback are always reached over plain http first.
    pub tls_verify: bool,
    /// Who we are.
    pub credentials: Credentials,
    /// The first of these that exists holds the trusted CAs.
    pub ca_bundles: Vec<PathBuf>,
    /// Proxy for https registries, as a URL.
    pub https_proxy: Option<String>,
    /// Proxy for http registries, as a URL.
    pub http_proxy: Option<String>,
    /// Hosts that no proxy is used for, separated by commas.
    pub no_proxy: Option<String>,
    /// Layers in flight at once.
    pub parallel: usize,
    /// How long a connection may stand still before it counts as broken.
    pub stall: Duration,
    /// How often in a row a transfer may break without progress before it fails.
    pub retries: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            tls_verify: true,
            credentials: Credentials::Anonymous,
            ca_bundles: CA_BUNDLES.map(PathBuf::from).to_vec(),
            https_proxy: None,
            http_proxy: None,
            no_proxy: None,
            parallel: 3,
            stall: Duration::from_secs(30),
            retries: 5,
        }
    }
}

/// Talks to registries. Cheap to make; connections are opened by the first call.
#[derive(Debug, Clone)]
pub struct Client {
    pub(crate) config: Config,
}

impl Client {
    /// A client with these settings.
    pub fn new(config: Config) -> Self {
        Self { config }
    }

    /// Which digest the reference's tag stands for at this moment: that of an index
    /// if there is one.
    pub fn resolve(&self, reference: &Reference) -> Result<model::Digest> {
        self.block_on(async {
            Wire::open(&self.config, reference, Access::Pull)
                .await?
                .head()
                .await
        })
    }

    /// Pulls an image: its manifest for `platform`, its configuration, and the
    /// layers that `sink` does not have. The manifest is kept last, so an image
    /// whose manifest is in the sink is complete.
    pub fn pull(
        &self,
        reference: &Reference,
        platform: &Platform,
        sink: &dyn BlobSink,
        events: &dyn EventSink,
    ) -> Result<Pulled> {
        crate::pull::pull(self, reference, platform, sink, events)
    }

    /// Pushes an image as it is: blobs that the registry lacks, then the manifest
    /// under the reference's tag.
    pub fn push(
        &self,
        reference: &Reference,
        manifest: &Document,
        source: &dyn BlobSource,
        events: &dyn EventSink,
    ) -> Result<Pushed> {
        crate::push::push(self, reference, manifest, source, events)
    }

    /// Asks `registry` (host and port) whether it accepts this user. Nothing is
    /// written; see [`crate::credentials::store`].
    pub fn login(&self, registry: &str, user: &str, password: &str) -> Result<()> {
        crate::login::login(self, registry, user, password)
    }

    /// Runs a transfer to its end on this thread.
    pub(crate) fn block_on<T>(&self, future: impl Future<Output = Result<T>>) -> Result<T> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .enable_time()
            .build()
            .map_err(|source| Error::Setup(source.into()))?;
        let result = runtime.block_on(future);
        // Idle connections must not delay the caller.
        runtime.shutdown_background();
        result
    }
}
