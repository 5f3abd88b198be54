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
                    true => printable(&String::from_utf8_lossy(body)),
                    false => printable(&said.join("; ")),
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

/// A stranger's words for the terminal: some of them, and no control characters.
fn printable(text: &str) -> String {
    let safe = |c: char| if c.is_control() { ' ' } else { c };
    text.trim().chars().take(300).map(safe).collect()
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn story(status: u16, body: &str) -> String {
        let error = Fault::of_answer(status, body.as_bytes())
            .into_error(&"quay.io/a".parse().unwrap(), Some("kim"));
        let cause = error.source().map(|e| format!(": {e}"));
        format!("{error}{}", cause.unwrap_or_default())
    }

    #[test]
    fn refusals_are_told_apart() {
        let denied = "registry quay.io denies access to quay.io/a:latest to user `kim`";
        assert_eq!(story(401, ""), denied);
        assert_eq!(story(400, r#"{"errors":[{"code":"DENIED"}]}"#), denied);
        assert_eq!(
            story(404, ""),
            "image quay.io/a:latest not found in registry quay.io"
        );
        assert!(story(429, "").ends_with("too many requests"));
        let broken = r#"{"errors":[{"code":"X","message":"disk full"},{"message":"sorry"}]}"#;
        assert!(story(500, broken).ends_with(": HTTP status 500: disk full; sorry"));
    }

    #[test]
    fn a_registry_cannot_draw_on_the_terminal() {
        assert!(story(500, "\x1b[2Jgone").ends_with(": HTTP status 500:  [2Jgone"));
        assert!(story(500, &"x".repeat(9999)).len() < 500);
    }

    proptest! {
        #[test]
        fn never_panics(status in 100u16..600, body in "\\PC{0,80}") {
            let _ = story(status, &body);
        }
    }
}
