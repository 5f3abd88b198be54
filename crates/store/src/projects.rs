//! What `up` applied last, for each compose project. The engine owns the content.

use std::path::PathBuf;

use serde_json::Value;
use sys::fs::FileLock;

use crate::record::{self, check_name};
use crate::root::make_dirs;
use crate::{Result, Store};

/// `projects/`.
#[derive(Debug, Clone, Copy)]
pub struct Projects<'s> {
    pub(crate) store: &'s Store,
}

impl Projects<'_> {
    fn dir(&self, name: &str) -> Result<PathBuf> {
        check_name("project", name)?;
        Ok(self.store.root().join("projects").join(name))
    }

    /// Keeps a project's state.
    pub fn put(&self, name: &str, state: &Value) -> Result<()> {
        let dir = self.dir(name)?;
        make_dirs(&dir)?;
        record::write(self.store, &dir.join("state.json"), state, true)
    }

    /// A project's state.
    pub fn get(&self, name: &str) -> Result<Option<Value>> {
        // Without it `up` compares with what runs, as it does the first time.
        let path = self.dir(name)?.join("state.json");
        self.store.whole(record::read_value(&path))
    }

    /// Names of all projects that have a state.
    pub fn list(&self) -> Result<Vec<String>> {
        let root = self.store.root().join("projects");
        let mut names = record::names(&root)?;
        names.retain(|name| root.join(name).join("state.json").exists());
        Ok(names)
    }

    /// Forgets a project with its logs. Whether there was one.
    pub fn remove(&self, name: &str) -> Result<bool> {
        let dir = self.dir(name)?;
        match dir.exists() {
            true => self.store.discard(&dir).map(|()| true),
            false => Ok(false),
        }
    }

    /// Where logs of removed containers are kept; made if absent.
    pub fn logs(&self, name: &str) -> Result<PathBuf> {
        let logs = self.dir(name)?.join("logs");
        make_dirs(&logs)?;
        Ok(logs)
    }

    /// Waits for the project's lock: held while `up` and `down` change it.
    pub fn lock(&self, name: &str) -> Result<ProjectLock> {
        check_name("project", name)?;
        // Beside the directory: removal must not take a held lock away.
        let path = self
            .store
            .root()
            .join("projects")
            .join(format!(".{name}.lock"));
        let _lock = FileLock::exclusive(&path)?;
        Ok(ProjectLock { _lock })
    }
}

/// Holds a project's lock while it lives.
#[derive(Debug)]
#[must_use]
pub struct ProjectLock {
    _lock: FileLock,
}
