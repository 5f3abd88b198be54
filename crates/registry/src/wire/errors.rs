//! From failed requests and refusals to what a user can act on.

use std::error::Error as StdError;
use std::io;

use model::Reference;
use serde::Deserialize;

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

/// The distribution protocol's way of saying what is wrong.
#[derive(Deserialize)]
struct Envelope {
    errors: Vec<Complaint>,
}

#[derive(Deserialize)]
struct Complaint {
    #[serde(default)]
    code: String,
    #[serde(default)]
    message: String,
}

impl From<reqwest::Error> for Fault {
    fn from(error: reqwest::Error) -> Self {
        // The address may carry a token.
        Self::of_transport(error.without_url().into())
    }
}

impl Fault {
    /// A registry that breaks the protocol.
    pub(super) fn said(what: &str) -> Self {
        Self::Answer {
            status: None,
            source: Answer(what.to_owned()).into(),
        }
    }

    /// An answer other than success.
    pub(super) fn of_answer(status: u16, body: &[u8]) -> Self {
        let complaints = serde_json::from_slice(body).map_or(Vec::new(), |e: Envelope| e.errors);
        let has = |code: &str| complaints.iter().any(|c| c.code == code);
        match status {
            401 | 403 => Self::Unauthorized,
            _ if has("DENIED") || has("UNAUTHORIZED") => Self::Unauthorized,
            404 => Self::NotFound,
            416 => Self::NoSuchRange,
            429 => Self::TooManyRequests,
            _ => {
                let said: Vec<&str> = complaints.iter().map(|c| c.message.as_str()).collect();
                let said = match said.is_empty() {
                    true => String::from_utf8_lossy(body)
                        .trim()
                        .chars()
                        .take(300)
                        .collect(),
                    false => said.join("; "),
                };
                let colon = if said.is_empty() { "" } else { ": " };
                Self::Answer {
                    status: Some(status),
                    source: Answer(format!("HTTP status {status}{colon}{said}")).into(),
                }
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
