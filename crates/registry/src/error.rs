//! What can go wrong between us and a registry.

use std::path::PathBuf;

use model::{Digest, Platform};

use crate::BoxError;

/// Result of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// A failed exchange with a registry. The message says what failed, the source why,
/// [`Error::hint`] what may help.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nobody listens there, or no packet gets through.
    #[error("cannot reach registry {registry} for {object}")]
    Unreachable {
        /// Host and port.
        registry: String,
        /// The reference, or what else was asked for.
        object: String,
        /// Why.
        #[source]
        source: BoxError,
    },
    /// The registry's name does not resolve.
    #[error("cannot find registry {registry} for {object}: unknown host")]
    UnknownHost {
        /// Host and port.
        registry: String,
        /// The reference, or what else was asked for.
        object: String,
        /// What the resolver said.
        #[source]
        source: BoxError,
    },
    /// The registry's certificate is not trusted, or it does not speak TLS.
    #[error("cannot make a secure connection to registry {registry} for {object}")]
    Tls {
        /// Host and port.
        registry: String,
        /// The reference, or what else was asked for.
        object: String,
        /// What TLS said.
        #[source]
        source: BoxError,
    },
    /// The registry wants a login, or a better one.
    #[error("registry {registry} denies access to {object}{}", as_whom(.user))]
    Unauthorized {
        /// Host and port.
        registry: String,
        /// The reference.
        object: String,
        /// Who we said we are.
        user: Option<String>,
    },
    /// `login` was refused.
    #[error("registry {registry} does not accept the user name or password of `{user}`")]
    WrongPassword {
        /// Host and port.
        registry: String,
        /// The user name.
        user: String,
    },
    /// No such repository, tag or digest.
    #[error("image {reference} not found in registry {registry}")]
    NotFound {
        /// Host and port.
        registry: String,
        /// What was asked for.
        reference: String,
    },
    /// A manifest names a blob that the registry does not have.
    #[error("registry {registry} lacks blob {digest} of {reference}")]
    BlobMissing {
        /// Host and port.
        registry: String,
        /// The image.
        reference: String,
        /// The blob.
        digest: Digest,
    },
    /// An index offers nothing for the platform.
    #[error("{reference} has no image for {wanted}; it offers {}", list(.offered))]
    NoPlatform {
        /// The index.
        reference: String,
        /// What was asked for.
        wanted: Platform,
        /// What there is.
        offered: Vec<Platform>,
    },
    /// An image of another kind, or for another system, than this program can use.
    #[error("{reference} has {what} of type `{media_type}`, which is not supported")]
    Unsupported {
        /// The image.
        reference: String,
        /// E.g. `a layer`.
        what: &'static str,
        /// Its media type.
        media_type: String,
    },
    /// A manifest, index or configuration that is not what it should be.
    #[error("{what} {digest} of {reference} is malformed: {reason}")]
    Malformed {
        /// The image.
        reference: String,
        /// E.g. `manifest`.
        what: &'static str,
        /// Of the bytes.
        digest: Digest,
        /// What is wrong.
        reason: String,
    },
    /// Bytes that are not the promised ones.
    #[error("{what} of {reference} is corrupt: expected {expected}, got {actual}")]
    Corrupt {
        /// The image.
        reference: String,
        /// E.g. `layer`.
        what: &'static str,
        /// What was promised.
        expected: Digest,
        /// What came, or how it was described.
        actual: String,
    },
    /// More or fewer bytes than promised.
    #[error(
        "blob {digest} of {reference} has a wrong size: expected {expected} bytes, got {actual}"
    )]
    WrongSize {
        /// The image.
        reference: String,
        /// The blob.
        digest: Digest,
        /// What the manifest says.
        expected: u64,
        /// What the registry sends, or began to.
        actual: u64,
    },
    /// The connection broke more often than we are ready to resume it.
    #[error("transfer of {digest} of {reference} broke off at {done} of {total} bytes")]
    Interrupted {
        /// The image.
        reference: String,
        /// The blob.
        digest: Digest,
        /// Bytes that came.
        done: u64,
        /// Bytes in all.
        total: u64,
        /// The last failure.
        #[source]
        source: BoxError,
    },
    /// The registry asks for patience.
    #[error("registry {registry} refuses {object} for now: too many requests")]
    TooManyRequests {
        /// Host and port.
        registry: String,
        /// The reference.
        object: String,
    },
    /// Any other refusal or breach of protocol.
    #[error("registry {registry} answers the request for {object} with an error")]
    Registry {
        /// Host and port.
        registry: String,
        /// The reference.
        object: String,
        /// What it said.
        #[source]
        source: BoxError,
    },
    /// The sink refused what was pulled.
    #[error("cannot store {what} {digest} of {reference}")]
    Sink {
        /// The image.
        reference: String,
        /// E.g. `layer`.
        what: &'static str,
        /// Of the bytes.
        digest: Digest,
        /// Why.
        #[source]
        source: BoxError,
    },
    /// The source cannot give what is to be pushed.
    #[error("cannot read blob {digest} of {reference}")]
    Source {
        /// The image.
        reference: String,
        /// Of the bytes.
        digest: Digest,
        /// Why.
        #[source]
        source: BoxError,
    },
    /// No certificate authority is known.
    #[error("cannot verify registry {registry}: no CA certificates on this machine")]
    NoCertificates {
        /// Host and port.
        registry: String,
        /// The files looked for.
        tried: Vec<PathBuf>,
    },
    /// A file that the caller named cannot be read, written or understood.
    #[error("cannot {act} {}", .path.display())]
    File {
        /// E.g. `read CA bundle`.
        act: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: BoxError,
    },
    /// A login helper failed.
    #[error("cannot get the login for registry {registry} that {} speaks of", .path.display())]
    Helper {
        /// Host and port.
        registry: String,
        /// The login file.
        path: PathBuf,
        /// Why.
        #[source]
        source: BoxError,
    },
    /// The transfer machinery itself could not be set up.
    #[error("cannot set up the registry client")]
    Setup(#[source] BoxError),
}

fn as_whom(user: &Option<String>) -> String {
    match user {
        Some(user) => format!(" to user `{user}`"),
        None => " without a login".into(),
    }
}

fn list(platforms: &[Platform]) -> String {
    match platforms {
        [] => "nothing".into(),
        some => some
            .iter()
            .map(Platform::to_string)
            .collect::<Vec<_>>()
            .join(", "),
    }
}

impl Error {
    /// What may help, as one sentence without a final period.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Unreachable { registry, .. } => {
                format!(
                    "check that {registry} is the right host and port and that a registry listens there"
                )
            }
            Self::UnknownHost { registry, .. } => {
                format!("check the spelling of {registry} and this machine's DNS settings")
            }
            Self::Tls { registry, .. } => format!(
                "trust the registry's CA on this machine, or pass --tls-verify=false if {registry} has a self-made certificate or speaks plain http"
            ),
            Self::Unauthorized {
                registry,
                user: None,
                ..
            } => {
                format!("the image may not exist or may need `shim login {registry}`")
            }
            Self::Unauthorized {
                registry,
                user: Some(_),
                ..
            } => format!(
                "the image may not exist, or this user may not see it; `shim login {registry}` as another user"
            ),
            Self::WrongPassword { .. } => {
                "some registries want an access token in place of the password".into()
            }
            Self::NotFound { reference, .. } if reference.ends_with(":latest") => {
                "check the spelling, or name a tag: `latest` is meant where none is named".into()
            }
            Self::NotFound { .. } => "check the spelling of the repository and the tag".into(),
            Self::NoPlatform { offered, .. } => {
                format!("choose one with --platform {}", offered.first()?)
            }
            Self::Corrupt { .. } | Self::WrongSize { .. } => {
                "nothing was kept; try again, and if it stays, a proxy or the registry alters data"
                    .into()
            }
            Self::Interrupted { .. } => "layers already fetched are kept; try again".into(),
            Self::TooManyRequests { registry, .. } => {
                format!("wait, or `shim login {registry}` for a higher limit")
            }
            Self::NoCertificates { .. } => {
                "install the package ca-certificates, or name a bundle in SSL_CERT_FILE".into()
            }
            _ => return None,
        })
    }
}
