//! The one door to HTTP: the dozen requests of the OCI distribution protocol, over
//! `reqwest`. Its errors are translated here; its types go no further than
//! [`crate::transfer`].
//!
//! A request is first sent as it is. Only a registry that answers "unauthorized" makes
//! us look for a token or show a password (see [`auth`]), so an image that is here
//! already costs the one HEAD that it takes to know it.

mod auth;
mod errors;
mod tls;

use std::io;
use std::net::Ipv4Addr;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::{BoxStream, StreamExt, TryStreamExt};
use model::image::media;
use model::reference::DEFAULT_DOMAIN;
use model::{Digest, Reference};
use reqwest::header::{ACCEPT, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, LOCATION, RANGE};
use reqwest::{RequestBuilder, Response, StatusCode, Url};
use tokio::sync::Mutex;

pub(crate) use auth::Access;
pub(crate) use errors::Fault;

use crate::client::Config;
use crate::credentials::Login;
use crate::manifest::digest_of;
use crate::{Document, Error, Result};

/// Where docker's registry really is.
const DOCKER_HUB: &str = "registry-1.docker.io";

/// No manifest is larger; registries refuse those of more than 4 MiB.
const MAX_MANIFEST: usize = 8 << 20;

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
    access: Access,
    /// Scheme, host and port.
    base: Url,
    http: reqwest::Client,
    login: Option<Login>,
    /// The `Authorization` header in force, once the registry has asked for one.
    authorization: Mutex<Option<String>>,
}

/// A blob's bytes from some offset on.
pub(crate) struct Body {
    /// Whether the registry ignored the offset and sends the blob from its start.
    pub(crate) whole: bool,
    /// Bytes to come, if the registry says so.
    pub(crate) length: Option<u64>,
    pub(crate) stream: BoxStream<'static, io::Result<Bytes>>,
}

impl<'a> Wire<'a> {
    /// Prepares to speak to the registry of `reference`. If several transports may do,
    /// the first that is answered is taken.
    pub(crate) async fn open(
        config: &'a Config,
        reference: &'a Reference,
        access: Access,
    ) -> Result<Self> {
        let login = config.credentials.find(reference)?;
        let transports = transports(reference.domain(), config.tls_verify);
        let mut first_failure = None;
        for &transport in transports {
            let wire = Self::prepare(config, reference, access, transport, login.clone())?;
            if transports.len() == 1 {
                return Ok(wire);
            }
            match wire.knock().await {
                Ok(()) => return Ok(wire),
                Err(fault) => first_failure.get_or_insert(wire.error(fault)),
            };
        }
        Err(first_failure.expect("there is at least one transport"))
    }

    fn prepare(
        config: &'a Config,
        reference: &'a Reference,
        access: Access,
        transport: Transport,
        login: Option<Login>,
    ) -> Result<Self> {
        let host = match reference.domain() {
            DEFAULT_DOMAIN => DOCKER_HUB,
            other => other,
        };
        let scheme = match transport {
            Transport::Http => "http",
            Transport::Https | Transport::HttpsUnverified => "https",
        };
        let base = Url::parse(&format!("{scheme}://{host}/"));
        Ok(Self {
            config,
            reference,
            access,
            base: base.map_err(|e| Error::Setup(e.into()))?,
            http: connect(config, reference.domain(), transport)?,
            login,
            authorization: Mutex::new(None),
        })
    }

    /// Whether anybody answers in this transport's tongue.
    async fn knock(&self) -> std::result::Result<(), Fault> {
        let answer = self.http.get(self.url("")).send().await?;
        // What Go's servers say when they hear plain http on a TLS port.
        if answer.status() == StatusCode::BAD_REQUEST && self.base.scheme() == "http" {
            return Err(Fault::said("it answers plain http with `bad request`"));
        }
        Ok(())
    }

    /// The fault as this crate's error, naming registry, reference and user.
    pub(crate) fn error(&self, fault: Fault) -> Error {
        fault.into_error(self.reference, self.login.as_ref().map(|l| l.user.as_str()))
    }

    pub(crate) fn reference(&self) -> &Reference {
        self.reference
    }

    pub(crate) fn retries(&self) -> u32 {
        self.config.retries
    }

    /// The digest that the reference stands for, by a HEAD request.
    pub(crate) async fn head(&self) -> Result<Digest> {
        let name = match (self.reference.tag(), self.reference.digest()) {
            (_, Some(pinned)) => return Ok(pinned.clone()),
            (tag, None) => tag.unwrap_or("latest"),
        };
        let url = self.in_repository(&format!("manifests/{name}"));
        let answer = self.patiently(async || self.send(accept(self.http.head(url.clone()))).await);
        let named = answer.await?;
        let named = named
            .headers()
            .get("docker-content-digest")
            .and_then(|v| v.to_str().ok());
        match named.map(str::parse) {
            Some(Ok(digest)) => Ok(digest),
            Some(Err(error)) => Err(self.error(Fault::Answer {
                status: None,
                source: Box::new(error),
            })),
            None => Ok(digest_of(&self.manifest(&url).await?)),
        }
    }

    /// A manifest or index by digest, verified.
    pub(crate) async fn document(&self, digest: &Digest) -> Result<Document> {
        let bytes = self
            .manifest(&self.in_repository(&format!("manifests/{digest}")))
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
        Document::new(bytes).map_err(|reason| Error::Malformed {
            reference: self.reference.familiar(),
            what: "manifest",
            digest: actual,
            reason,
        })
    }

    async fn manifest(&self, url: &Url) -> Result<Vec<u8>> {
        self.patiently(async || {
            let answer = self.send(accept(self.http.get(url.clone()))).await?;
            read(answer, MAX_MANIFEST).await
        })
        .await
    }

    /// Asks for a blob from `offset` on. The bytes are not verified.
    pub(crate) async fn blob(
        &self,
        digest: &Digest,
        offset: u64,
    ) -> std::result::Result<Body, Fault> {
        let mut request = self
            .http
            .get(self.in_repository(&format!("blobs/{digest}")));
        if offset > 0 {
            request = request.header(RANGE, format!("bytes={offset}-"));
        }
        let answer = self.send(request).await?;
        let whole = answer.status() != StatusCode::PARTIAL_CONTENT;
        let range = answer
            .headers()
            .get(CONTENT_RANGE)
            .and_then(|v| v.to_str().ok());
        if !whole && range.is_some_and(|r| !r.starts_with(&format!("bytes {offset}-"))) {
            return Err(Fault::said("it sends another range than the one asked for"));
        }
        Ok(Body {
            whole,
            length: answer.content_length(),
            stream: answer
                .bytes_stream()
                .map_err(|e| io::Error::other(e.without_url()))
                .boxed(),
        })
    }

    /// Whether the registry has a blob in this repository.
    pub(crate) async fn has_blob(&self, digest: &Digest) -> Result<bool> {
        let url = self.in_repository(&format!("blobs/{digest}"));
        self.patiently(
            async || match self.send(self.http.head(url.clone())).await {
                Ok(_) => Ok(true),
                Err(Fault::NotFound) => Ok(false),
                Err(fault) => Err(fault),
            },
        )
        .await
    }

    /// Uploads a blob in one streamed request, to the place that the registry names.
    pub(crate) async fn upload<S>(
        &self,
        digest: &Digest,
        size: u64,
        bytes: S,
    ) -> std::result::Result<(), Fault>
    where
        S: futures_util::Stream<Item = io::Result<Vec<u8>>> + Send + 'static,
    {
        let start = self.http.post(self.in_repository("blobs/uploads/"));
        let answer = self.send(start.header(CONTENT_LENGTH, 0)).await?;
        let place = answer.headers().get(LOCATION).and_then(|v| v.to_str().ok());
        let place = place.ok_or_else(|| Fault::said("it names no place for the upload"))?;
        let mut url = self
            .base
            .join(place)
            .map_err(|e| Fault::said(&e.to_string()))?;
        url.query_pairs_mut().append_pair("digest", digest.as_str());
        let upload = self
            .http
            .put(url)
            .header(CONTENT_LENGTH, size)
            .header(CONTENT_TYPE, "application/octet-stream")
            .body(reqwest::Body::wrap_stream(bytes));
        self.send(upload).await.map(drop)
    }

    /// Puts a manifest or index under its digest, or under the reference's tag.
    pub(crate) async fn put(&self, document: &Document, by_digest: bool) -> Result<()> {
        let name = match self.reference.tag() {
            Some(tag) if !by_digest => tag,
            _ => document.digest.as_str(),
        };
        let url = self.in_repository(&format!("manifests/{name}"));
        self.patiently(async || {
            let put = self
                .http
                .put(url.clone())
                .header(CONTENT_TYPE, &document.media_type);
            self.send(put.body(document.bytes.clone())).await.map(drop)
        })
        .await
    }

    /// Asks for what only a known user gets, and everybody in an open registry.
    pub(crate) async fn probe_login(&self) -> Result<()> {
        let url = self.url("");
        self.patiently(async || self.send(self.http.get(url.clone())).await.map(drop))
            .await
    }

    /// `path` below the protocol's root.
    fn url(&self, path: &str) -> Url {
        let mut url = self.base.clone();
        url.set_path(&format!("/v2/{path}"));
        url
    }

    fn in_repository(&self, path: &str) -> Url {
        self.url(&format!("{}/{path}", self.reference.path()))
    }

    /// Sends a request, with what the registry wants to see; an answer other than
    /// success is a fault.
    async fn send(&self, request: RequestBuilder) -> std::result::Result<Response, Fault> {
        let request = request.build()?;
        let again = request.try_clone();
        let held = self.authorization.lock().await.clone();
        let answer = self.present(request, held.as_deref()).await?;
        match again {
            Some(again)
                if answer.status() == StatusCode::UNAUTHORIZED && self.is_ours(again.url()) =>
            {
                let renewed = self.authorize(answer.headers(), held.as_deref()).await?;
                check(self.present(again, Some(&renewed)).await?).await
            }
            _ => check(answer).await,
        }
    }

    /// Repeats a small request that a broken connection or an overloaded registry
    /// cut short.
    async fn patiently<T>(
        &self,
        request: impl AsyncFn() -> std::result::Result<T, Fault>,
    ) -> Result<T> {
        let mut failures = 0;
        loop {
            match request().await {
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
    tokio::time::sleep(Duration::from_millis(millis)).await;
}

fn accept(request: RequestBuilder) -> RequestBuilder {
    let kinds = [
        media::OCI_INDEX,
        media::OCI_MANIFEST,
        media::DOCKER_LIST,
        media::DOCKER_MANIFEST,
    ];
    request.header(ACCEPT, kinds.join(", "))
}

/// Passes on success; reads what a registry says about anything else.
async fn check(answer: Response) -> std::result::Result<Response, Fault> {
    const SAID: usize = 64 << 10;
    let status = answer.status();
    if status.is_success() {
        return Ok(answer);
    }
    let body = read(answer, SAID).await.unwrap_or_default();
    Err(Fault::of_answer(status.as_u16(), &body))
}

/// Reads a small answer whole; what is larger than `limit` is not believed.
async fn read(mut answer: Response, limit: usize) -> std::result::Result<Vec<u8>, Fault> {
    let mut bytes = Vec::new();
    while let Some(chunk) = answer.chunk().await? {
        if bytes.len() + chunk.len() > limit {
            return Err(Fault::said(&format!("it sends more than {limit} bytes")));
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
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

fn connect(config: &Config, domain: &str, transport: Transport) -> Result<reqwest::Client> {
    tls::install_crypto();
    let mut builder = reqwest::Client::builder()
        .user_agent(concat!("shim/", env!("CARGO_PKG_VERSION")))
        .read_timeout(config.stall)
        .connect_timeout(config.stall.min(Duration::from_secs(15)))
        // Not from the environment: the caller says which.
        .no_proxy();
    builder = match transport {
        Transport::Https => builder.tls_certs_only(tls::trusted(&config.ca_bundles, domain)?),
        // A plain http registry proves nothing by redirecting to https; digests do.
        Transport::HttpsUnverified | Transport::Http => {
            builder.tls_danger_accept_invalid_certs(true)
        }
    };
    let bypass = || {
        config
            .no_proxy
            .as_deref()
            .and_then(reqwest::NoProxy::from_string)
    };
    let proxies = [
        config.https_proxy.as_deref().map(reqwest::Proxy::https),
        config.http_proxy.as_deref().map(reqwest::Proxy::http),
    ];
    for proxy in proxies.into_iter().flatten() {
        let proxy = proxy.map_err(|e| Error::Setup(e.into()))?;
        builder = builder.proxy(proxy.no_proxy(bypass()));
    }
    builder.build().map_err(|e| Error::Setup(e.into()))
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
