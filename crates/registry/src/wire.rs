//! The one door to `oci-client`: its client is set up here, called here, and its
//! errors are translated here.
//!
//! Two habits of that crate shape this file. It asks `/v2/` anew before every request
//! of a registry that wants no login, so requests for blobs go through a second client
//! that knows of no login at all. And it drops the reason when a token is refused
//! during a request, so there is an explicit [`Wire::log_in`].

mod errors;
mod tls;

use std::net::Ipv4Addr;

use model::image::media;
use model::{Digest, Reference};
use oci_client::client::{BlobResponse, ClientConfig, ClientProtocol, SizedStream};
use oci_client::errors::OciDistributionError;
use oci_client::secrets::RegistryAuth;
use oci_client::{Client as OciClient, Reference as OciReference, RegistryOperation};
use tokio::sync::OnceCell;

pub(crate) use errors::Fault;
pub(crate) use tls::install_crypto;

use crate::client::Config;
use crate::credentials::Login;
use crate::manifest::digest_of;
use crate::{Document, Error, Result};

/// What is asked for: decides the scope of a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    Pull,
    Push,
}

/// How a registry is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Transport {
    Https,
    /// Any certificate will do.
    HttpsUnverified,
    Http,
}

/// A registry and a repository in it.
pub(crate) struct Wire<'a> {
    config: &'a Config,
    reference: &'a Reference,
    transport: Transport,
    access: Access,
    image: OciReference,
    client: OciClient,
    /// Used for blobs once logged in: the same as `client`, or one without a login.
    blobs: OnceCell<OciClient>,
    auth: RegistryAuth,
    user: Option<String>,
}

/// A blob's bytes from some offset on.
pub(crate) struct Body {
    /// Whether the registry ignored the offset and sends the blob from its start.
    pub(crate) whole: bool,
    pub(crate) stream: SizedStream,
}

impl<'a> Wire<'a> {
    /// Prepares to speak to the registry of `reference`. If several transports may do,
    /// or if the login matters from the start, the first that works is logged in to.
    pub(crate) async fn open(
        config: &'a Config,
        reference: &'a Reference,
        access: Access,
    ) -> Result<Self> {
        let login = config.credentials.find(reference)?;
        let transports = transports(reference.domain(), config.tls_verify);
        let mut first_failure = None;
        for &transport in transports {
            let wire = Self::prepare(config, reference, access, transport, login.as_ref())?;
            if access == Access::Pull && transports.len() == 1 {
                return Ok(wire);
            }
            match wire.log_in().await {
                Ok(()) => return Ok(wire),
                Err(error) if error.is_about_transport() => {
                    first_failure.get_or_insert(error);
                }
                Err(error) => return Err(error),
            }
        }
        Err(first_failure.expect("there is at least one transport"))
    }

    fn prepare(
        config: &'a Config,
        reference: &'a Reference,
        access: Access,
        transport: Transport,
        login: Option<&Login>,
    ) -> Result<Self> {
        Ok(Self {
            config,
            reference,
            transport,
            access,
            image: to_oci(reference),
            client: connect(config, reference.domain(), transport)?,
            blobs: OnceCell::new(),
            auth: match login {
                Some(login) => RegistryAuth::Basic(login.user.clone(), login.password.clone()),
                None => RegistryAuth::Anonymous,
            },
            user: login.map(|l| l.user.clone()),
        })
    }

    /// Fetches a token if the registry wants one. Worth its request before the first
    /// blob; a manifest gets its own.
    pub(crate) async fn log_in(&self) -> Result<()> {
        let operation = match self.access {
            Access::Pull => RegistryOperation::Pull,
            Access::Push => RegistryOperation::Push,
        };
        let client = async || {
            let ask = || self.client.auth(&self.image, &self.auth, operation);
            let token = self.patiently(ask).await?;
            match token.is_none() && self.user.is_none() {
                true => connect(self.config, self.reference.domain(), self.transport),
                false => Ok(self.client.clone()),
            }
        };
        self.blobs.get_or_try_init(client).await.map(drop)
    }

    fn blobs(&self) -> &OciClient {
        self.blobs.get().unwrap_or(&self.client)
    }

    pub(crate) fn retries(&self) -> u32 {
        self.config.retries
    }

    /// The fault as this crate's error, naming registry, reference and user.
    pub(crate) fn error(&self, fault: Fault) -> Error {
        fault.into_error(self.reference, self.user.as_deref())
    }

    pub(crate) fn reference(&self) -> &Reference {
        self.reference
    }

    /// The digest that the reference stands for, by a HEAD request.
    pub(crate) async fn head(&self) -> Result<Digest> {
        let text = self
            .patiently(|| self.client.fetch_manifest_digest(&self.image, &self.auth))
            .await?;
        text.parse()
            .map_err(|e: model::digest::DigestError| Error::Registry {
                registry: self.reference.domain().into(),
                object: self.reference.to_string(),
                source: e.into(),
            })
    }

    /// A manifest or index by digest, verified.
    pub(crate) async fn document(&self, digest: &Digest) -> Result<Document> {
        const ACCEPTED: [&str; 4] = [
            media::OCI_MANIFEST,
            media::DOCKER_MANIFEST,
            media::OCI_INDEX,
            media::DOCKER_LIST,
        ];
        let image = to_oci(&self.reference.with_digest(digest.clone()));
        let (bytes, _) = self
            .patiently(|| self.client.pull_manifest_raw(&image, &self.auth, &ACCEPTED))
            .await?;
        let actual = digest_of(&bytes);
        if actual != *digest {
            return Err(Error::Corrupt {
                reference: self.reference.familiar(),
                what: "manifest",
                expected: digest.clone(),
                actual: actual.to_string(),
            });
        }
        Document::new(bytes.into()).map_err(|reason| Error::Malformed {
            reference: self.reference.familiar(),
            what: "manifest",
            digest: actual,
            reason,
        })
    }

    /// Asks for a blob from `offset` on. The bytes are not verified. A range is named
    /// even for the whole blob, because `oci-client` hashes every answer without one,
    /// on the one thread that all transfers share.
    pub(crate) async fn blob(
        &self,
        digest: &Digest,
        offset: u64,
    ) -> std::result::Result<Body, Fault> {
        let response = self
            .blobs()
            .pull_blob_stream_partial(&self.image, digest.as_str(), offset, None)
            .await
            .map_err(Fault::of)?;
        Ok(match response {
            BlobResponse::Full(stream) => Body {
                whole: true,
                stream,
            },
            BlobResponse::Partial(stream) => Body {
                whole: false,
                stream,
            },
        })
    }

    /// Whether the registry has a blob in this repository.
    pub(crate) async fn has_blob(&self, digest: &Digest) -> Result<bool> {
        self.patiently(|| self.blobs().blob_exists(&self.image, digest.as_str()))
            .await
    }

    /// Uploads a blob in one streamed request.
    pub(crate) async fn upload<S>(
        &self,
        digest: &Digest,
        size: u64,
        bytes: S,
    ) -> std::result::Result<(), Fault>
    where
        S: futures_util::Stream<Item = std::io::Result<Vec<u8>>> + Send + 'static,
    {
        use futures_util::StreamExt;
        let stream = bytes.map(|chunk| Ok(chunk?.into()));
        self.blobs()
            .push_blob_stream(&self.image, stream, digest.as_str(), Some(size))
            .await
            .map(drop)
            .map_err(Fault::of)
    }

    /// Puts a manifest or index under its digest, or under the reference's tag.
    pub(crate) async fn put(&self, document: &Document, by_digest: bool) -> Result<()> {
        let image = match by_digest {
            true => to_oci(&self.reference.with_digest(document.digest.clone())),
            false => self.image.clone(),
        };
        let put = || async {
            let media_type = document.media_type.parse().map_err(|_| {
                OciDistributionError::UnsupportedMediaTypeError(document.media_type.clone())
            })?;
            self.blobs()
                .push_manifest_raw(&image, document.bytes.clone(), media_type)
                .await
        };
        self.patiently(put).await.map(drop)
    }

    /// Asks for something that no registry gives to the wrong user.
    pub(crate) async fn probe_login(&self) -> Result<()> {
        let answer = self
            .client
            .catalog(&self.image, &self.auth, Some(1), None)
            .await;
        match answer.map_err(Fault::of) {
            Err(fault) if fault.is_unauthorized() || fault.is_about_transport() => {
                Err(self.error(fault))
            }
            // Many registries have no catalogue to show, but they knew the user.
            _ => Ok(()),
        }
    }

    /// Repeats a small request that a broken connection or an overloaded registry
    /// cut short.
    async fn patiently<T, F>(&self, request: impl Fn() -> F) -> Result<T>
    where
        F: Future<Output = std::result::Result<T, OciDistributionError>>,
    {
        let mut failures = 0;
        loop {
            match request().await.map_err(Fault::of) {
                Ok(answer) => return Ok(answer),
                Err(fault) if fault.may_pass() && failures < self.config.retries.min(2) => {
                    failures += 1;
                    back_off(failures).await;
                }
                Err(fault) => return Err(self.error(fault)),
            }
        }
    }
}

/// Waits before attempt number `failures` + 1: 0.2 s, 0.4 s, 0.8 s and so on.
pub(crate) async fn back_off(failures: u32) {
    let millis = 100u64 << failures.clamp(1, 6);
    tokio::time::sleep(std::time::Duration::from_millis(millis)).await;
}

/// The transports to try, best first. Docker counts loopback registries as insecure;
/// plain http comes first there because nearly all of them speak it.
fn transports(domain: &str, tls_verify: bool) -> &'static [Transport] {
    match (is_loopback(domain), tls_verify) {
        (true, _) => &[Transport::Http, Transport::HttpsUnverified],
        (false, false) => &[Transport::HttpsUnverified, Transport::Http],
        (false, true) => &[Transport::Https],
    }
}

fn is_loopback(domain: &str) -> bool {
    let host = match domain.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|b| b.is_ascii_digit()) => host,
        _ => domain,
    };
    host == "localhost"
        || host == "[::1]"
        || host
            .parse::<Ipv4Addr>()
            .is_ok_and(|address| address.is_loopback())
}

fn connect(config: &Config, domain: &str, transport: Transport) -> Result<OciClient> {
    let tls_certs_only = match transport {
        Transport::Https => tls::trusted(&config.ca_bundles, domain)?,
        Transport::HttpsUnverified | Transport::Http => Vec::new(),
    };
    OciClient::try_from(ClientConfig {
        protocol: match transport {
            Transport::Http => ClientProtocol::Http,
            Transport::Https | Transport::HttpsUnverified => ClientProtocol::Https,
        },
        // Without trusted roots the client could not even be made. A plain http
        // registry proves nothing by redirecting to https; digests do.
        accept_invalid_certificates: transport != Transport::Https,
        tls_certs_only,
        use_monolithic_push: true,
        platform_resolver: None,
        read_timeout: Some(config.stall),
        connect_timeout: Some(config.stall.min(std::time::Duration::from_secs(15))),
        user_agent: concat!("shim/", env!("CARGO_PKG_VERSION")),
        https_proxy: config.https_proxy.clone(),
        http_proxy: config.http_proxy.clone(),
        no_proxy: config.no_proxy.clone(),
        ..ClientConfig::default()
    })
    .map_err(|source| Error::Setup(source.into()))
}

fn to_oci(reference: &Reference) -> OciReference {
    let (domain, path) = (reference.domain().to_owned(), reference.path().to_owned());
    match (reference.tag(), reference.digest()) {
        (_, Some(digest)) => OciReference::with_digest(domain, path, digest.to_string()),
        (tag, None) => OciReference::with_tag(domain, path, tag.unwrap_or("latest").into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_loopback() {
        for here in [
            "localhost",
            "localhost:5000",
            "127.0.0.1",
            "127.9.9.9:1",
            "[::1]:5000",
        ] {
            assert!(is_loopback(here), "{here}");
        }
        for there in [
            "docker.io",
            "localhost.evil.org",
            "128.0.0.1:5000",
            "[::2]",
            "127.0.0.1.nip.io",
        ] {
            assert!(!is_loopback(there), "{there}");
        }
    }

    #[test]
    fn never_falls_back_to_http_unless_allowed() {
        assert_eq!(transports("ghcr.io", true), [Transport::Https]);
        assert_eq!(
            transports("ghcr.io", false),
            [Transport::HttpsUnverified, Transport::Http]
        );
    }
}
