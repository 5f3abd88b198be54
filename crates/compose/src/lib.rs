//! Compose files to a [`Project`], every complaint pointing at its line.
//!
//! The way of a file: text → YAML tree with spans → `${VAR}` expanded → several files
//! merged into one tree → every key looked up in the table of the specification → read
//! into plain types → checked against each other. Complaints are collected all the way,
//! so that one run shows them all.
//!
//! This crate reads no file by itself (it asks [`Files`]), knows neither environment nor
//! clock, and decides nothing about containers.

mod assemble;
mod at;
mod check;
mod dotenv;
mod interpolate;
mod load;
mod merge;
mod names;
mod normalise;
mod output;
mod profiles;
mod project;
mod read;
mod schema;
mod words;
mod yaml;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use text::{Diagnostic, Sources};

pub use load::load;
pub use output::{Change, changed_fields, fingerprint, to_json, to_yaml};
pub use project::{
    Attachment, Build, Condition, Dependency, Health, HealthTest, LimitKey, Network, Port, Project,
    PullPolicy, Service, ServiceLimits, ServiceNetwork, ServiceVolume, Tmpfs, Volume, VolumeKind,
};
pub use yaml::yaml_value;

/// Where the loader's files come from.
pub trait Files {
    /// The text of a file.
    fn read(&self, path: &Path) -> io::Result<String>;

    /// Whether there is a file of this name.
    fn exists(&self, path: &Path) -> bool;
}

/// What to load.
#[derive(Debug, Clone, Default)]
pub struct LoadRequest {
    /// Absolute paths; each is merged over those before it.
    pub files: Vec<PathBuf>,
    /// Absolute. Relative paths of the files start here, and `.env` is looked for here.
    pub project_directory: PathBuf,
    /// Names of files in messages are relative to it; absolute if it is empty.
    pub current_directory: PathBuf,
    /// What the user asked for (`-p`); else `COMPOSE_PROJECT_NAME`, the files' `name:`,
    /// and the directory's name are tried in this order.
    pub project_name: Option<String>,
    /// The caller's environment.
    pub environment: BTreeMap<String, String>,
    /// Absolute paths of `--env-file`, instead of the project directory's `.env`.
    pub env_files: Vec<PathBuf>,
    /// Profiles that are on (`--profile`); `COMPOSE_PROFILES` adds to them. `*` is all.
    pub profiles: Vec<String>,
    /// Services that the user asked for by name: their profiles are on too.
    pub services: Vec<String>,
}

/// What came of it.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// Absent if there is an error among the diagnostics.
    pub project: Option<Project>,
    /// The texts that the diagnostics point into.
    pub sources: Sources,
    /// Errors and warnings, in the order of the files.
    pub diagnostics: Vec<Diagnostic>,
}

/// File names that a project directory is searched for, best first. The first that
/// exists is taken, together with its [`override_name`] if that exists too.
pub fn default_names() -> [&'static str; 4] {
    [
        "compose.yaml",
        "compose.yml",
        "docker-compose.yaml",
        "docker-compose.yml",
    ]
}

/// `compose.yaml` → `compose.override.yaml`.
pub fn override_name(name: &str) -> String {
    match name.rsplit_once('.') {
        Some((stem, extension)) => format!("{stem}.override.{extension}"),
        None => format!("{name}.override"),
    }
}
