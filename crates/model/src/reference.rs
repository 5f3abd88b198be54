//! Image references, by the grammar of the `distribution/reference` package:
//! `[domain/]path[:tag][@digest]`, with docker's normalisation.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::Digest;

/// Docker's registry when none is named.
pub const DEFAULT_DOMAIN: &str = "docker.io";
const LEGACY_DEFAULT_DOMAIN: &str = "index.docker.io";
const OFFICIAL_PREFIX: &str = "library/";
const MAX_NAME: usize = 255;

/// A normalised reference. Without tag and digest the tag is `latest`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Reference {
    domain: String,
    path: String,
    tag: Option<String>,
    digest: Option<Digest>,
}

/// Why a text is not a reference.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReferenceError {
    /// Not of the grammar.
    #[error("invalid reference format: `{0}`")]
    Malformed(String),
    /// The repository's name must be lower case.
    #[error("invalid reference format: repository name `{0}` must be lowercase")]
    UpperCase(String),
    /// 64 hexadecimal digits would be taken for an image id.
    #[error("invalid repository name `{0}`: cannot be 64 hexadecimal digits")]
    LooksLikeId(String),
    /// Longer than 255 characters.
    #[error("repository name of `{0}` is longer than 255 characters")]
    TooLong(String),
    /// The digest is not one.
    #[error("invalid reference `{text}`: {source}")]
    Digest {
        /// The whole reference.
        text: String,
        /// What is wrong with its digest.
        source: crate::digest::DigestError,
    },
}

impl Reference {
    /// Registry host, with port if there is one.
    pub fn domain(&self) -> &str {
        &self.domain
    }

    /// Repository within the registry, e.g. `library/postgres`.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Tag; absent only if there is a digest.
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// Digest, if the reference is pinned.
    pub fn digest(&self) -> Option<&Digest> {
        self.digest.as_ref()
    }

    /// The same repository, pinned to a digest and without tag.
    pub fn with_digest(&self, digest: Digest) -> Self {
        Self {
            tag: None,
            digest: Some(digest),
            ..self.clone()
        }
    }

    /// `domain/path`.
    pub fn name(&self) -> String {
        format!("{}/{}", self.domain, self.path)
    }

    /// The name as docker shows it: without `docker.io/` and `library/`.
    pub fn familiar_name(&self) -> String {
        match (
            self.domain.as_str(),
            self.path.strip_prefix(OFFICIAL_PREFIX),
        ) {
            (DEFAULT_DOMAIN, Some(official)) if !official.contains('/') => official.to_owned(),
            (DEFAULT_DOMAIN, _) => self.path.clone(),
            _ => self.name(),
        }
    }

    /// The whole reference as docker shows it, e.g. `postgres:latest`.
    pub fn familiar(&self) -> String {
        self.with_suffix(self.familiar_name())
    }

    fn with_suffix(&self, mut text: String) -> String {
        if let Some(tag) = &self.tag {
            text.push(':');
            text.push_str(tag);
        }
        if let Some(digest) = &self.digest {
            text.push('@');
            text.push_str(digest.as_str());
        }
        text
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.with_suffix(self.name()))
    }
}

impl FromStr for Reference {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        let malformed = || ReferenceError::Malformed(text.to_owned());
        if text.len() == 64 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
            return Err(ReferenceError::LooksLikeId(text.to_owned()));
        }
        let (named, digest) = match text.split_once('@') {
            Some((named, digest)) => {
                let digest = digest.parse().map_err(|source| ReferenceError::Digest {
                    text: text.to_owned(),
                    source,
                })?;
                (named, Some(digest))
            }
            None => (text, None),
        };
        let (name, tag) = split_tag(named);
        if tag.is_some_and(|t| !is_tag(t)) {
            return Err(malformed());
        }
        let (domain, path) = split_domain(name);
        if !is_domain(&domain) {
            return Err(malformed());
        }
        if path.bytes().any(|b| b.is_ascii_uppercase()) {
            return Err(ReferenceError::UpperCase(path));
        }
        if !path.split('/').all(is_path_component) {
            return Err(malformed());
        }
        if domain.len() + 1 + path.len() > MAX_NAME {
            return Err(ReferenceError::TooLong(text.to_owned()));
        }
        let tag = match (tag, &digest) {
            (None, None) => Some("latest".to_owned()),
            (tag, _) => tag.map(str::to_owned),
        };
        Ok(Self {
            domain,
            path,
            tag,
            digest,
        })
    }
}

impl TryFrom<String> for Reference {
    type Error = ReferenceError;

    fn try_from(text: String) -> Result<Self, ReferenceError> {
        text.parse()
    }
}

impl From<Reference> for String {
    fn from(reference: Reference) -> Self {
        reference.to_string()
    }
}

/// Splits `name:tag` at the last colon that is not part of a host's port.
fn split_tag(named: &str) -> (&str, Option<&str>) {
    match named.rfind(':') {
        Some(at) if !named[at..].contains('/') => (&named[..at], Some(&named[at + 1..])),
        _ => (named, None),
    }
}

/// Docker's rule: the first component is a host if it has a dot or a port, is
/// `localhost`, or is not lower case.
fn split_domain(name: &str) -> (String, String) {
    let is_host = |first: &str| {
        first.contains(['.', ':']) || first == "localhost" || first.to_lowercase() != first
    };
    match name.split_once('/') {
        Some((host, rest)) if is_host(host) => {
            let host = if host == LEGACY_DEFAULT_DOMAIN {
                DEFAULT_DOMAIN
            } else {
                host
            };
            let rest = match host == DEFAULT_DOMAIN && !rest.contains('/') {
                true => format!("{OFFICIAL_PREFIX}{rest}"),
                false => rest.to_owned(),
            };
            (host.to_owned(), rest)
        }
        Some(_) => (DEFAULT_DOMAIN.to_owned(), name.to_owned()),
        None => (
            DEFAULT_DOMAIN.to_owned(),
            format!("{OFFICIAL_PREFIX}{name}"),
        ),
    }
}

fn is_domain(domain: &str) -> bool {
    let (host, port) = match domain.strip_prefix('[') {
        Some(rest) => match rest.split_once(']') {
            Some((v6, port)) => {
                let hex = |b: u8| b.is_ascii_hexdigit() || b == b':';
                if v6.is_empty() || !v6.bytes().all(hex) {
                    return false;
                }
                (
                    "",
                    port.strip_prefix(':').or((port.is_empty()).then_some("0")),
                )
            }
            None => return false,
        },
        None => match domain.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (domain, Some("0")),
        },
    };
    let label = |l: &str| {
        !l.is_empty()
            && l.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
            && !l.starts_with('-')
            && !l.ends_with('-')
    };
    let host_fits = domain.starts_with('[') || host.split('.').all(label);
    host_fits && port.is_some_and(|p| !p.is_empty() && p.bytes().all(|b| b.is_ascii_digit()))
}

fn is_tag(tag: &str) -> bool {
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    !tag.is_empty()
        && tag.len() <= 128
        && word(tag.as_bytes()[0])
        && tag.bytes().all(|b| word(b) || b == b'.' || b == b'-')
}

/// `[a-z0-9]+` joined by `.`, `_`, `__` or any number of `-`.
fn is_path_component(component: &str) -> bool {
    let alnum = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let mut rest = component;
    loop {
        let word = rest.find(|c| !alnum(c)).unwrap_or(rest.len());
        if word == 0 {
            return false;
        }
        rest = &rest[word..];
        if rest.is_empty() {
            return true;
        }
        let separator = rest.find(alnum).unwrap_or(rest.len());
        let (mark, tail) = rest.split_at(separator);
        if !(matches!(mark, "." | "_" | "__") || mark.bytes().all(|b| b == b'-')) {
            return false;
        }
        rest = tail;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn full(text: &str) -> String {
        text.parse::<Reference>()
            .map_or_else(|e| format!("error: {e}"), |r| r.to_string())
    }

    #[test]
    fn normalises_like_docker() {
        for (typed, meant) in [
            ("postgres", "docker.io/library/postgres:latest"),
            ("a/b:1", "docker.io/a/b:1"),
            ("index.docker.io/x", "docker.io/library/x:latest"),
            ("localhost/x", "localhost/x:latest"),
            ("localhost:5000/x/y:v1", "localhost:5000/x/y:v1"),
            ("127.0.0.1:5000/x", "127.0.0.1:5000/x:latest"),
            ("[::1]:5000/x", "[::1]:5000/x:latest"),
            ("ghcr.io/a/b__c--d", "ghcr.io/a/b__c--d:latest"),
            ("LOCAL/x", "LOCAL/x:latest"),
        ] {
            assert_eq!(full(typed), meant);
        }
        let pinned = format!("x:1@sha256:{}", "0".repeat(64));
        assert_eq!(full(&pinned), format!("docker.io/library/{pinned}"));
    }

    #[test]
    fn refuses_what_docker_refuses() {
        for bad in [
            "",
            "a b",
            "x:",
            ":x",
            "x@",
            "-x",
            "a//b",
            "a/b/",
            "x:-1",
            "a..b",
            "a___b",
            "X",
            "host:port/x",
            "x@sha256:12",
            "[::1/x",
            "docker.io/X",
            "x:tag:tag",
        ] {
            assert!(bad.parse::<Reference>().is_err(), "{bad} must be refused");
        }
        assert!("a".repeat(64).parse::<Reference>().is_err());
        assert!(
            format!("x/{}", "a/".repeat(130))
                .parse::<Reference>()
                .is_err()
        );
    }

    #[test]
    fn shows_the_familiar_name() {
        let familiar = |t: &str| t.parse::<Reference>().unwrap().familiar();
        assert_eq!(familiar("docker.io/library/postgres"), "postgres:latest");
        assert_eq!(familiar("docker.io/a/b:2"), "a/b:2");
        assert_eq!(familiar("quay.io/a"), "quay.io/a:latest");
    }

    proptest! {
        #[test]
        fn never_panics_and_round_trips(text in "\\PC{0,40}") {
            if let Ok(reference) = text.parse::<Reference>() {
                prop_assert_eq!(full(&reference.to_string()), reference.to_string());
                prop_assert_eq!(full(&reference.familiar()), reference.to_string());
            }
        }

        #[test]
        fn grammar_round_trips(text in "([a-z0-9]{1,8}(\\.[a-z]{2,3})?(:[0-9]{1,4})?/)?[a-z0-9]{1,8}([._-][a-z0-9]{1,4})?(:[A-Za-z0-9_.-]{1,8})?") {
            if let Ok(reference) = text.parse::<Reference>() {
                prop_assert_eq!(full(&reference.familiar()), reference.to_string());
            }
        }
    }
}
