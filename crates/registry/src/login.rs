//! Whether a registry accepts a user.

use model::Reference;

use crate::client::{Client, Config};
use crate::wire::{Access, Wire};
use crate::{Credentials, Error, Result};

/// A repository name to fill a reference with; nothing is asked of it.
const REPOSITORY: &str = "library/login";

pub(crate) fn login(client: &Client, registry: &str, user: &str, password: &str) -> Result<()> {
    let reference: Reference = format!("{registry}/{REPOSITORY}").parse().map_err(
        |source: model::reference::ReferenceError| Error::Registry {
            registry: registry.into(),
            object: "login".into(),
            source: source.into(),
        },
    )?;
    let config = Config {
        credentials: Credentials::Password {
            user: user.into(),
            password: password.into(),
        },
        ..client.config.clone()
    };
    let outcome = client.block_on(async {
        Wire::open(&config, &reference, Access::Login)
            .await?
            .probe_login()
            .await
    });
    outcome.map_err(|error| name(error, registry, user))
}

/// The errors of a login speak of the user, not of the repository asked for.
fn name(error: Error, registry: &str, user: &str) -> Error {
    let object = "login".to_owned();
    match error {
        Error::Unauthorized { .. } => Error::WrongPassword {
            registry: registry.into(),
            user: user.into(),
        },
        Error::Unreachable {
            registry, source, ..
        } => Error::Unreachable {
            registry,
            object,
            source,
        },
        Error::UnknownHost {
            registry, source, ..
        } => Error::UnknownHost {
            registry,
            object,
            source,
        },
        Error::Tls {
            registry, source, ..
        } => Error::Tls {
            registry,
            object,
            source,
        },
        Error::NotFound { registry, .. } => Error::Registry {
            registry,
            object,
            source: "no image registry is there".into(),
        },
        other => other,
    }
}
