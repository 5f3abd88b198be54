//! The build as a value: every variable expanded, every name resolved, nothing done.

use std::collections::BTreeMap;

use model::{Digest, ImageConfig, Platform, Reference};

use crate::chmod::ModeChange;
use crate::error::At;
use crate::step::StepNetwork;

/// Everything that is going to happen.
#[derive(Debug)]
pub(crate) struct Plan {
    /// In an order in which each comes after those it needs; the target is the last.
    pub(crate) stages: Vec<StagePlan>,
}

/// A stage that the target needs.
#[derive(Debug)]
pub(crate) struct StagePlan {
    /// Its place in the Dockerfile, from 0.
    pub(crate) index: usize,
    pub(crate) base: Base,
    /// The `FROM`, for progress.
    pub(crate) label: String,
    pub(crate) steps: Vec<PlannedStep>,
    /// The configuration after the last step; layers and times are added while building.
    pub(crate) config: ImageConfig,
}

/// What a stage begins with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Base {
    Scratch,
    /// Another stage, by its place in the Dockerfile.
    Stage(usize),
    Image(ImageName),
}

/// An image for a platform.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ImageName {
    pub(crate) reference: Reference,
    pub(crate) platform: Platform,
}

/// Images that the engine has found: manifests by name and platform.
#[derive(Debug, Default)]
pub(crate) struct Images(pub(crate) BTreeMap<(Reference, String), Digest>);

impl Images {
    pub(crate) fn manifest(&self, name: &ImageName) -> Option<&Digest> {
        self.0
            .get(&(name.reference.clone(), name.platform.to_string()))
    }
}

/// One step of a stage.
#[derive(Debug)]
pub(crate) struct PlannedStep {
    pub(crate) at: At,
    /// For progress; absent if it only changes the configuration.
    pub(crate) label: Option<String>,
    /// For the image's history, as BuildKit writes it.
    pub(crate) history: String,
    pub(crate) op: Op,
}

/// What a step does.
#[derive(Debug)]
pub(crate) enum Op {
    Run(Box<RunOp>),
    Copy(Box<CopyOp>),
    /// Makes a directory, if it is absent.
    Workdir(String),
    /// It was done while planning.
    Configure,
}

/// A program to execute.
#[derive(Debug)]
pub(crate) struct RunOp {
    pub(crate) argv: Vec<String>,
    /// A script to mount as `/dev/pipes/…`, which `argv` names.
    pub(crate) script: Option<Script>,
    pub(crate) env: Vec<String>,
    /// Not part of the cache key.
    pub(crate) proxies: Vec<String>,
    pub(crate) cwd: String,
    pub(crate) user: String,
    pub(crate) network: StepNetwork,
    pub(crate) mounts: Vec<MountOp>,
}

/// A here-document that begins with `#!`.
#[derive(Debug)]
pub(crate) struct Script {
    /// Absolute path inside the step.
    pub(crate) target: String,
    pub(crate) content: String,
}

/// A mount of one step.
#[derive(Debug)]
pub(crate) struct MountOp {
    pub(crate) target: String,
    pub(crate) read_only: bool,
    pub(crate) kind: MountOpKind,
}

impl MountOp {
    /// Where the files of a bind come from.
    pub(crate) fn origin(&self) -> Option<&Origin> {
        match &self.kind {
            MountOpKind::Bind { origin, .. } => Some(origin),
            MountOpKind::Cache { .. } | MountOpKind::Tmpfs { .. } => None,
        }
    }
}

/// What a mount shows.
#[derive(Debug)]
pub(crate) enum MountOpKind {
    Cache {
        id: String,
        /// Whether others must wait.
        locked: bool,
        mode: u32,
        owner: (u32, u32),
    },
    Tmpfs {
        size: Option<u64>,
        mode: Option<u32>,
    },
    Bind {
        origin: Origin,
        source: String,
    },
}

/// Files to copy.
#[derive(Debug)]
pub(crate) struct CopyOp {
    pub(crate) origin: Origin,
    pub(crate) sources: Vec<SourceOp>,
    /// Absolute; with a slash at its end it is a directory.
    pub(crate) dest: String,
    pub(crate) chown: Option<String>,
    pub(crate) chmod: Option<ModeChange>,
}

/// Where files come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Origin {
    Context,
    Stage(usize),
    Image(ImageName),
}

/// One source of a copy.
#[derive(Debug)]
pub(crate) enum SourceOp {
    /// A path or pattern in the origin.
    Path {
        text: String,
        /// Whether an archive is unpacked (`ADD`).
        unpack: bool,
    },
    /// A here-document.
    Inline { name: String, content: String },
}
