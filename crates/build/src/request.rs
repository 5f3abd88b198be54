//! What a build is asked for, and what it gives.

use std::collections::BTreeMap;
use std::path::PathBuf;

use model::{Digest, Platform, Reference};

use crate::step::StepNetwork;

/// Everything a build depends on; nothing is read from the environment.
#[derive(Debug, Clone)]
pub struct BuildRequest {
    /// The directory that COPY and ADD read. It is opened once; no link leads out of it.
    pub context: PathBuf,
    /// The Dockerfile.
    pub dockerfile: DockerfileText,
    /// The stage to stop at, by name or index; the last one when absent.
    pub target: Option<String>,
    /// `--build-arg`: name and value. Names that no ARG declares are warned about.
    pub build_args: Vec<(String, String)>,
    /// What the image is for.
    pub platform: Platform,
    /// The names that the image gets once it is complete.
    pub tags: Vec<Reference>,
    /// Labels that the image gets in addition to those of LABEL.
    pub labels: BTreeMap<String, String>,
    /// Whether every step is executed even where its layer is known.
    pub no_cache: bool,
    /// Network of RUN steps that name none.
    pub network: StepNetwork,
    /// Extra lines of `/etc/hosts` for RUN steps: name and address.
    pub extra_hosts: Vec<(String, String)>,
    /// Seconds since 1970 that the image, its history and the files that COPY writes
    /// carry at most; now when absent.
    pub source_date_epoch: Option<i64>,
}

/// A Dockerfile's text and where it came from.
#[derive(Debug, Clone, Default)]
pub struct DockerfileText {
    /// The name for messages, e.g. `Dockerfile` or `docker/api.Dockerfile`.
    pub name: String,
    /// Its content.
    pub text: String,
    /// The content of `<Dockerfile>.dockerignore`, which replaces the context's
    /// `.dockerignore`.
    pub ignore: Option<String>,
}

/// Finds the images that stages begin with.
pub trait Bases: Sync {
    /// Makes all of `references` present in the store, pulling what is missing, and
    /// returns the digests of their manifests for `platform`, in the same order.
    /// Called once for each platform, and only with images that needed stages name.
    #[expect(clippy::result_large_err, reason = "made once, when the build ends")]
    fn resolve(
        &self,
        references: &[Reference],
        platform: &Platform,
    ) -> Result<Vec<Digest>, BaseError>;
}

/// An image that a stage needs and that cannot be had.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct BaseError {
    /// The image, so that the error can point at its line.
    pub reference: Option<Reference>,
    /// What failed, with the object in it.
    pub message: String,
    /// What the user may do about it.
    pub hint: Option<String>,
    /// Why.
    #[source]
    pub source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

/// A finished build.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Built {
    /// Digest of the image configuration.
    pub image_id: Digest,
    /// Digest of the manifest.
    pub manifest: Digest,
    /// What the user should know, already rendered.
    pub warnings: Vec<String>,
}
