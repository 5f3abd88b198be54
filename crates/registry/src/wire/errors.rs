//! From the protocol library's errors to what a user can act on.

use std::error::Error as StdError;
use std::io;

use model::Reference;
use oci_client::errors::{DigestError, OciDistributionError, OciErrorCode};

use crate::{BoxError, Error};

/// A failed request, by what can be done about it.
#[derive(Debug)]
pub(crate) enum Fault {
    UnknownHost(BoxError),
    Tls(BoxError),
    /// Refused, unroutable, timed out, cut off.
    Connection {
        source: BoxError,
        refused: bool,
    },
    Unauthorized,
    NotFound,
    TooManyRequests,
    /// A range was asked for that the blob does not have.
    NoSuchRange,
    Corrupt {
        expected: String,
        actual: String,
    },
    /// Any other answer, with its HTTP status if it had one.
    Answer {
        status: Option<u16>,
        source: BoxError,
    },
}

/// What a registry or the network said, for the end of an error's chain.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Answer(String);

impl Fault {
    pub(crate) fn of(error: OciDistributionError) -> Self {
        match error {
            OciDistributionError::RequestError(error) => match error.status() {
                Some(status) => Self::of_status(status.as_u16(), String::new()),
                // The address may carry a token.
                None => Self::of_transport(error.without_url().into()),
            },
            OciDistributionError::IoError(error) => Self::of_transport(error.into()),
            OciDistributionError::UnauthorizedError { .. }
            | OciDistributionError::AuthenticationFailure(_) => Self::Unauthorized,
            OciDistributionError::ImageManifestNotFoundError(_) => Self::NotFound,
            OciDistributionError::ServerError { code, message, .. } => {
                Self::of_status(code, message)
            }
            OciDistributionError::RegistryError { envelope, .. } => Self::of_envelope(&envelope),
            OciDistributionError::DigestError(DigestError::VerificationError {
                expected,
                actual,
            }) => Self::Corrupt { expected, actual },
            other => Self::Answer {
                status: None,
                source: other.into(),
            },
        }
    }

    fn of_status(status: u16, message: String) -> Self {
        match status {
            401 | 403 => Self::Unauthorized,
            404 => Self::NotFound,
            416 => Self::NoSuchRange,
            429 => Self::TooManyRequests,
            _ => {
                let said = message.trim().chars().take(300).collect::<String>();
                let colon = if said.is_empty() { "" } else { ": " };
                Self::Answer {
                    status: Some(status),
                    source: Answer(format!("HTTP status {status}{colon}{said}")).into(),
                }
            }
        }
    }

    fn of_envelope(envelope: &oci_client::errors::OciEnvelope) -> Self {
        let has = |code: OciErrorCode| envelope.errors.iter().any(|e| e.code == code);
        if has(OciErrorCode::Unauthorized) || has(OciErrorCode::Denied) {
            Self::Unauthorized
        } else if has(OciErrorCode::Toomanyrequests) {
            Self::TooManyRequests
        } else if [
            OciErrorCode::ManifestUnknown,
            OciErrorCode::NameUnknown,
            OciErrorCode::NotFound,
            OciErrorCode::BlobUnknown,
        ]
        .into_iter()
        .any(has)
        {
            Self::NotFound
        } else {
            let said: Vec<&str> = envelope.errors.iter().map(|e| e.message.as_str()).collect();
            Self::Answer {
                status: None,
                source: Answer(said.join("; ")).into(),
            }
        }
    }

    /// Looks through the chain of causes of a failed connection, and keeps its root:
    /// the layers between say no more than that a request was sent.
    fn of_transport(error: BoxError) -> Self {
        let (mut unknown_host, mut tls, mut refused) = (false, false, false);
        let mut root = error.to_string();
        for cause in std::iter::successors(Some(top_of(&error)), |cause| beneath(*cause)) {
            unknown_host |= cause.to_string() == "dns error";
            tls |= cause.is::<rustls::Error>();
            let io = cause.downcast_ref::<io::Error>();
            refused |= io.is_some_and(|io| io.kind() == io::ErrorKind::ConnectionRefused);
            root = cause.to_string();
        }
        let source = Answer(root).into();
        match (unknown_host, tls) {
            (true, _) => Self::UnknownHost(source),
            (_, true) => Self::Tls(source),
            _ => Self::Connection { source, refused },
        }
    }

    pub(crate) fn is_unauthorized(&self) -> bool {
        matches!(self, Self::Unauthorized)
    }

    pub(crate) fn is_about_transport(&self) -> bool {
        matches!(
            self,
            Self::UnknownHost(_) | Self::Tls(_) | Self::Connection { .. }
        )
    }

    /// Whether the same request may succeed a moment later.
    pub(crate) fn may_pass(&self) -> bool {
        match self {
            Self::Connection { refused, .. } => !refused,
            Self::TooManyRequests => true,
            Self::Answer { status, .. } => status.is_some_and(|s| s >= 500),
            _ => false,
        }
    }

    pub(crate) fn into_error(self, reference: &Reference, user: Option<&str>) -> Error {
        let registry = reference.domain().to_owned();
        let object = reference.familiar();
        match self {
            Self::UnknownHost(source) => Error::UnknownHost {
                registry,
                object,
                source,
            },
            Self::Tls(source) => Error::Tls {
                registry,
                object,
                source,
            },
            Self::Connection { source, .. } => Error::Unreachable {
                registry,
                object,
                source,
            },
            Self::Unauthorized => Error::Unauthorized {
                registry,
                object,
                user: user.map(str::to_owned),
            },
            Self::NotFound => Error::NotFound {
                registry,
                reference: object,
            },
            Self::TooManyRequests => Error::TooManyRequests { registry, object },
            Self::NoSuchRange => Error::Registry {
                registry,
                object,
                source: Answer("the requested range does not exist".into()).into(),
            },
            Self::Corrupt { expected, actual } => match expected.parse() {
                Ok(expected) => Error::Corrupt {
                    reference: reference.familiar(),
                    what: "manifest",
                    expected,
                    actual,
                },
                Err(e) => Error::Registry {
                    registry,
                    object,
                    source: Box::new(e),
                },
            },
            Self::Answer { source, .. } => Error::Registry {
                registry,
                object,
                source,
            },
        }
    }
}

fn top_of(error: &BoxError) -> &(dyn StdError + 'static) {
    error.as_ref()
}

/// The next cause. An `io::Error` made of another error hides that one from `source`.
fn beneath<'a>(cause: &'a (dyn StdError + 'static)) -> Option<&'a (dyn StdError + 'static)> {
    match cause
        .downcast_ref::<io::Error>()
        .and_then(io::Error::get_ref)
    {
        Some(hidden) => Some(hidden),
        None => cause.source(),
    }
}

impl Error {
    /// Whether another way of connecting might have worked.
    pub(crate) fn is_about_transport(&self) -> bool {
        matches!(
            self,
            Self::Unreachable { .. }
                | Self::UnknownHost { .. }
                | Self::Tls { .. }
                | Self::NoCertificates { .. }
        )
    }
}
