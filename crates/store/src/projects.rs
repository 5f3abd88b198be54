//! What `up` applied last, for each compose project. The engine owns the content.

use std::path::PathBuf;

use serde_json::Value;

use crate::{Result, Store};

/// `projects/`.
#[derive(Debug, Clone, Copy)]
pub struct Projects<'s> {
    pub(crate) store: &'s Store,
}

impl Projects<'_> {
    /// Keeps a project's state.
    pub fn put(&self, name: &str, state: &Value) -> Result<()> {
        let _ = (name, state);
        todo!()
    }

    /// A project's state.
    pub fn get(&self, name: &str) -> Result<Option<Value>> {
        let _ = name;
        todo!()
    }

    /// Names of all projects.
    pub fn list(&self) -> Result<Vec<String>> {
        todo!()
    }

    /// Forgets a project with its logs.
    pub fn remove(&self, name: &str) -> Result<()> {
        let _ = name;
        todo!()
    }

    /// Where logs of removed containers are kept; made if absent.
    pub fn logs(&self, name: &str) -> Result<PathBuf> {
        let _ = name;
        todo!()
    }

    /// Waits for the project's lock: held while `up` and `down` change it.
    pub fn lock(&self, name: &str) -> Result<ProjectLock> {
        let _ = name;
        todo!()
    }
}

/// Holds a project's lock while it lives.
#[derive(Debug)]
#[must_use]
pub struct ProjectLock;
