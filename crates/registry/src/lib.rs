//! Resolve, pull and push: verified bytes in and out of OCI registries.
//!
//! The interface is synchronous. Each call builds a small single-threaded tokio
//! runtime for its transfers and shuts it down before it returns; nothing above
//! ever sees a future, nor a type of `reqwest`, which speaks HTTP.
//!
//! This crate knows no store: what arrives goes into a [`BlobSink`], what leaves
//! comes from a [`BlobSource`]. It reads the files that the caller names (a CA
//! bundle, login files) and nothing else, and it never prints.
//!
//! Everything that is handed on as complete has been verified: manifests and
//! configurations before they are parsed, layers by a reader that fails at its end
//! unless length and digest are the ones that the manifest promised.

mod client;
pub mod credentials;
mod error;
mod events;
mod exchange;
mod login;
mod manifest;
mod pull;
mod push;
mod transfer;
mod wire;

pub use client::{CA_BUNDLES, Client, Config};
pub use credentials::Credentials;
pub use error::{Error, Result};
pub use exchange::{BlobSink, BlobSource, BoxError, Layer};
pub use manifest::{Document, choose_platform};
pub use pull::Pulled;
pub use push::Pushed;

/// Entry points for fuzzing: parsers that meet a registry's bytes.
#[doc(hidden)]
pub mod hostile {
    pub use crate::credentials::edit;
    pub use crate::manifest::Document;
}
