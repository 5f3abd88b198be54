//! Containers' records, names and directories.

use std::collections::BTreeMap;
use std::path::PathBuf;

use model::{ContainerId, ContainerPlan, Digest};
use serde::{Deserialize, Serialize};

use crate::{Result, Store};

/// `containers/` and `names/`.
#[derive(Debug, Clone, Copy)]
pub struct Containers<'s> {
    pub(crate) store: &'s Store,
}

/// What a container was made from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerImage {
    /// As the user named it.
    pub name: String,
    /// Image id.
    pub id: Digest,
    /// Manifest digest.
    pub digest: Digest,
}

/// What `ps` and `inspect` know without looking at processes; `record.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerRecord {
    /// Version of this record's layout, [`RECORD_VERSION`].
    pub version: u32,
    /// Its id.
    pub id: ContainerId,
    /// Its name.
    pub name: String,
    /// RFC 3339 with nanoseconds.
    pub created: String,
    /// Its image.
    pub image: ContainerImage,
    /// Diff ids of its layers, lowest first: kept as long as the container is.
    pub layers: Vec<Digest>,
    /// Program and arguments, for display.
    pub command: Vec<String>,
    /// Labels, compose's among them.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// Whether it goes when it ends.
    #[serde(default)]
    pub auto_remove: bool,
    /// Names of the anonymous volumes that go with it.
    #[serde(default)]
    pub anonymous_volumes: Vec<String>,
    /// Whether it outlives a power cut.
    #[serde(default)]
    pub durable: bool,
}

/// The layout of [`ContainerRecord`] that we write.
pub const RECORD_VERSION: u32 = 1;

/// Holds a container's lock while it lives.
#[derive(Debug)]
#[must_use]
pub struct ContainerLock;

impl Containers<'_> {
    /// A fresh id.
    pub fn new_id(&self) -> Result<ContainerId> {
        todo!()
    }

    /// `containers/<id>`.
    pub fn dir(&self, id: &ContainerId) -> PathBuf {
        let _ = id;
        todo!()
    }

    /// Records a container, claims its name, and makes `upper/` and `work/`. The plan
    /// names those paths through [`Containers::dir`].
    pub fn create(&self, record: &ContainerRecord, plan: &ContainerPlan) -> Result<()> {
        let _ = (record, plan);
        todo!()
    }

    /// Writes the plan anew, e.g. before a start.
    pub fn update_plan(&self, plan: &ContainerPlan) -> Result<()> {
        let _ = plan;
        todo!()
    }

    /// Writes the record anew (not its name: see [`Containers::rename`]).
    pub fn update(&self, record: &ContainerRecord) -> Result<()> {
        let _ = record;
        todo!()
    }

    /// Gives a container another name.
    pub fn rename(&self, id: &ContainerId, name: &str) -> Result<()> {
        let _ = (id, name);
        todo!()
    }

    /// All containers, the youngest first.
    pub fn list(&self) -> Result<Vec<ContainerRecord>> {
        todo!()
    }

    /// Reads a record.
    pub fn get(&self, id: &ContainerId) -> Result<ContainerRecord> {
        let _ = id;
        todo!()
    }

    /// Reads a plan.
    pub fn plan(&self, id: &ContainerId) -> Result<ContainerPlan> {
        let _ = id;
        todo!()
    }

    /// Finds a container by id, name, or a prefix of its id.
    pub fn find(&self, text: &str) -> Result<ContainerRecord> {
        let _ = text;
        todo!()
    }

    /// Waits for the container's lock: held while its state is changed.
    pub fn lock(&self, id: &ContainerId) -> Result<ContainerLock> {
        let _ = id;
        todo!()
    }

    /// Takes the container's lock if it is free.
    pub fn try_lock(&self, id: &ContainerId) -> Result<Option<ContainerLock>> {
        let _ = id;
        todo!()
    }

    /// Forgets a container and moves its directory to the trash. It must not run any
    /// more; whether it does is not looked at.
    pub fn remove(&self, id: &ContainerId) -> Result<()> {
        let _ = id;
        todo!()
    }
}
