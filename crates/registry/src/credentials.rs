//! Logins: where they are found, and how `login` and `logout` keep them.
//!
//! The format is docker's `config.json`, which podman's `auth.json` shares: an object
//! `auths` from registry to `{"auth": base64("user:password")}`, beside the names of
//! helper programs. Other keys of the file are kept as they are.

use std::fmt;
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use docker_credential::{CredentialRetrievalError, DockerCredential};
use model::Reference;
use model::reference::DEFAULT_DOMAIN;
use serde_json::{Map, Value, json};

use crate::{BoxError, Error, Result};

/// Under this key docker keeps the login for its own registry.
const DOCKER_HUB: &str = "https://index.docker.io/v1/";

/// Who we are to a registry.
#[derive(Clone, Default)]
pub enum Credentials {
    /// Nobody.
    #[default]
    Anonymous,
    /// This user, at every registry.
    Password {
        /// User name.
        user: String,
        /// Password or access token.
        password: String,
    },
    /// Whoever the first of these login files names for the registry. Files that do
    /// not exist are passed over.
    Files(Vec<PathBuf>),
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Anonymous => f.write_str("Anonymous"),
            Self::Password { user, .. } => write!(f, "Password {{ user: {user:?}, .. }}"),
            Self::Files(paths) => f.debug_tuple("Files").field(paths).finish(),
        }
    }
}

/// A user and what proves it.
#[derive(Clone)]
pub(crate) struct Login {
    pub(crate) user: String,
    pub(crate) password: String,
}

impl Credentials {
    /// The login for the registry of `reference`.
    pub(crate) fn find(&self, reference: &Reference) -> Result<Option<Login>> {
        match self {
            Self::Anonymous => Ok(None),
            Self::Password { user, password } => Ok(Some(Login {
                user: user.clone(),
                password: password.clone(),
            })),
            Self::Files(paths) => {
                for path in paths {
                    if let Some(login) = find_in(path, reference)? {
                        return Ok(Some(login));
                    }
                }
                Ok(None)
            }
        }
    }
}

/// Looks for the most specific entry, as podman does: `host/a/b`, `host/a`, `host`.
fn find_in(path: &Path, reference: &Reference) -> Result<Option<Login>> {
    let Some(bytes) = read(path)? else {
        return Ok(None);
    };
    let mut keys = Vec::new();
    let mut name = reference.name();
    while let Some((shorter, _)) = name.rsplit_once('/') {
        keys.push(name.clone());
        name = shorter.to_owned();
    }
    keys.push(key_of(&name).to_owned());
    for key in keys {
        match docker_credential::get_credential_from_reader(bytes.as_slice(), &key) {
            Ok(DockerCredential::UsernamePassword(user, password)) => {
                return Ok(Some(Login { user, password }));
            }
            Ok(DockerCredential::IdentityToken(_)) => {
                let source = "identity tokens are not supported".into();
                return Err(helper(path, reference, source));
            }
            Err(CredentialRetrievalError::ConfigReadError) => {
                return Err(file(
                    "read login file",
                    path,
                    "it is not in docker's format".into(),
                ));
            }
            Err(error) if is_absence(&error) => {}
            Err(error) => return Err(helper(path, reference, error.into())),
        }
    }
    Ok(None)
}

/// Helpers report a login that they do not have as a failure.
fn is_absence(error: &CredentialRetrievalError) -> bool {
    match error {
        CredentialRetrievalError::NoCredentialConfigured => true,
        CredentialRetrievalError::HelperFailure { stdout, stderr, .. } => [stdout, stderr]
            .iter()
            .any(|text| text.contains("credentials not found")),
        _ => false,
    }
}

fn helper(path: &Path, reference: &Reference, source: BoxError) -> Error {
    Error::Helper {
        registry: reference.domain().into(),
        path: path.into(),
        source,
    }
}

fn file(act: &'static str, path: &Path, source: BoxError) -> Error {
    Error::File {
        act,
        path: path.into(),
        source,
    }
}

/// The key of a registry in `auths`.
fn key_of(registry: &str) -> &str {
    if registry == DEFAULT_DOMAIN {
        DOCKER_HUB
    } else {
        registry
    }
}

/// Keeps a login in the file at `path`, which only its owner may read. The file and
/// its directory are made if absent; a crash leaves the old file or the new one.
pub fn store(path: &Path, registry: &str, user: &str, password: &str) -> Result<()> {
    let auth = base64(format!("{user}:{password}").as_bytes());
    let old = read(path)?;
    let (new, _) = edit(old.as_deref(), registry, Some(&auth))
        .map_err(|source| file("read login file", path, source))?;
    replace(path, &new).map_err(|e| file("write login file", path, e.into()))
}

/// Removes a login from the file at `path`; says whether there was one.
pub fn remove(path: &Path, registry: &str) -> Result<bool> {
    let Some(old) = read(path)? else {
        return Ok(false);
    };
    let (new, existed) =
        edit(Some(&old), registry, None).map_err(|source| file("read login file", path, source))?;
    if existed {
        replace(path, &new).map_err(|e| file("write login file", path, e.into()))?;
    }
    Ok(existed)
}

/// The text of a login file with the entry of `registry` set to `auth`, or removed.
/// Says also whether there was an entry.
pub fn edit(
    old: Option<&[u8]>,
    registry: &str,
    auth: Option<&str>,
) -> std::result::Result<(Vec<u8>, bool), BoxError> {
    let mut root: Map<String, Value> = match old {
        Some(bytes) if !bytes.trim_ascii().is_empty() => serde_json::from_slice(bytes)?,
        _ => Map::new(),
    };
    let auths = root.entry("auths").or_insert_with(|| json!({}));
    let auths = auths.as_object_mut().ok_or("`auths` is not an object")?;
    let key = key_of(registry);
    let existed = match auth {
        Some(auth) => auths
            .insert(key.to_owned(), json!({ "auth": auth }))
            .is_some(),
        None => auths.remove(key).is_some(),
    };
    let mut text = serde_json::to_vec_pretty(&root)?;
    text.push(b'\n');
    Ok((text, existed))
}

fn read(path: &Path) -> Result<Option<Vec<u8>>> {
    match std::fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
        Err(e) => Err(file("read login file", path, e.into())),
    }
}

/// Writes a temporary file, syncs it, and renames it over the old one. A link is
/// followed: some people keep their settings elsewhere.
fn replace(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let path = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let directory = path.parent().unwrap_or(Path::new("/"));
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory)?;
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}", std::process::id()));
    let temporary = directory.join(name);
    let write = || {
        let mut file = std::fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&temporary)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        std::fs::rename(&temporary, &path)
    };
    write().inspect_err(|_| {
        // The first failure is the one to report.
        let _ = std::fs::remove_file(&temporary);
    })
}

/// Standard base64 with padding (RFC 4648).
pub(crate) fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let word = group
            .iter()
            .fold(0u32, |word, &byte| word << 8 | u32::from(byte))
            << (8 * (3 - group.len()));
        for place in 0..4 {
            let digit = DIGITS[(word >> (18 - 6 * place)) as usize & 63];
            text.push(if place <= group.len() {
                digit as char
            } else {
                '='
            });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn base64_pads() {
        for (plain, coded) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("a:b?", "YTpiPw=="),
        ] {
            assert_eq!(base64(plain.as_bytes()), coded);
        }
    }

    #[test]
    fn keeps_a_login_and_forgets_it() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join(".docker/config.json");
        let image: Reference = "localhost:5000/a/b".parse().unwrap();
        let files = Credentials::Files(vec![path.clone()]);
        assert!(files.find(&image).unwrap().is_none());
        store(&path, "localhost:5000", "kim", "se:cret").unwrap();
        let login = files.find(&image).unwrap().unwrap();
        assert_eq!(
            (login.user.as_str(), login.password.as_str()),
            ("kim", "se:cret")
        );
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        assert!(remove(&path, "localhost:5000").unwrap());
        assert!(!remove(&path, "localhost:5000").unwrap());
        assert!(files.find(&image).unwrap().is_none());
        assert_eq!(
            std::fs::read_dir(path.parent().unwrap()).unwrap().count(),
            1
        );
    }

    #[test]
    fn keeps_what_others_wrote() {
        let old = br#"{"detachKeys":"ctrl-e","auths":{"quay.io":{"auth":"eDp5"}}}"#;
        let (new, existed) = edit(Some(old), "docker.io", Some("YTpi")).unwrap();
        assert!(!existed);
        let new: Value = serde_json::from_slice(&new).unwrap();
        assert_eq!(new["detachKeys"], "ctrl-e");
        assert_eq!(new["auths"]["quay.io"]["auth"], "eDp5");
        assert_eq!(new["auths"][DOCKER_HUB]["auth"], "YTpi");
    }

    #[test]
    fn the_most_specific_entry_wins() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("auth.json");
        store(&path, "quay.io", "all", "x").unwrap();
        store(&path, "quay.io/team", "team", "x").unwrap();
        let user = |text: &str| {
            let files = Credentials::Files(vec![path.clone()]);
            files.find(&text.parse().unwrap()).unwrap().map(|l| l.user)
        };
        assert_eq!(user("quay.io/team/app"), Some("team".into()));
        assert_eq!(user("quay.io/other/app"), Some("all".into()));
        assert_eq!(user("ghcr.io/team/app"), None);
    }

    #[test]
    fn a_broken_file_is_named() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("config.json");
        std::fs::write(&path, "{").unwrap();
        let error = Credentials::Files(vec![path.clone()])
            .find(&"a".parse().unwrap())
            .err()
            .unwrap();
        assert!(error.to_string().contains("config.json"), "{error}");
        assert!(store(&path, "x", "y", "z").is_err());
        assert_eq!(std::fs::read(&path).unwrap(), b"{");
    }

    proptest! {
        #[test]
        fn editing_never_panics_and_round_trips(old in "\\PC{0,60}", name in "[a-z.:0-9]{1,20}") {
            let _ = edit(Some(old.as_bytes()), &name, None);
            let (with, _) = edit(None, &name, Some("YTpi")).unwrap();
            let (without, existed) = edit(Some(&with), &name, None).unwrap();
            prop_assert!(existed);
            prop_assert_eq!(edit(Some(&without), &name, Some("YTpi")).unwrap(), (with, false));
        }
    }

    #[test]
    fn debug_shows_no_password() {
        let shown = format!(
            "{:?}",
            Credentials::Password {
                user: "kim".into(),
                password: "pw".into()
            }
        );
        assert!(shown.contains("kim") && !shown.contains("pw"), "{shown}");
    }
}
