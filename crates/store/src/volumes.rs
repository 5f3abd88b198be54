//! Volumes.

use std::collections::BTreeMap;
use std::path::PathBuf;

use model::MountKind;
use serde::{Deserialize, Serialize};

use crate::record::{self, check_name};
use crate::root::{make_dirs, now, random_hex};
use crate::{Error, Result, Store};

const VERSION: u32 = 1;

/// `volumes/`.
#[derive(Debug, Clone, Copy)]
pub struct Volumes<'s> {
    pub(crate) store: &'s Store,
}

/// `volumes/<name>/record.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VolumeRecord {
    /// Version of this record's layout.
    pub version: u32,
    /// Its name; 64 hexadecimal digits for an anonymous one.
    pub name: String,
    /// RFC 3339 with nanoseconds.
    pub created: String,
    /// Labels.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// Whether nobody named it.
    #[serde(default)]
    pub anonymous: bool,
}

impl Volumes<'_> {
    fn dir(&self, name: &str) -> PathBuf {
        self.store.root().join("volumes").join(name)
    }

    /// Makes a volume, or returns the one that is there. Without a name it is an
    /// anonymous one.
    pub fn create(
        &self,
        name: Option<&str>,
        labels: &BTreeMap<String, String>,
    ) -> Result<VolumeRecord> {
        let anonymous = name.is_none();
        let name = name.map_or_else(random_hex, str::to_owned);
        check_name("volume", &name)?;
        match self.get(&name) {
            Err(Error::NoVolume(_)) => {}
            other => return other,
        }
        let volume = VolumeRecord {
            version: VERSION,
            name: name.clone(),
            created: now(),
            labels: labels.clone(),
            anonymous,
        };
        let temp = self.store.temp_dir()?;
        let data = temp.path().join("data");
        make_dirs(&data)?;
        // Any uid of a container may live here; the store's root keeps others out.
        sys::fs::DirFd::open(&data)?.chmod_self(0o755)?;
        record::write(self.store, &temp.path().join("record.json"), &volume, true)?;
        match temp.keep(&self.dir(&name)) {
            Ok(()) => sys::fs::sync_dir(&self.store.root().join("volumes"))?,
            // Another command was quicker: its volume is as good.
            Err(e) => return self.get(&name).map_err(|_| e),
        }
        Ok(volume)
    }

    /// Where its files are.
    pub fn data(&self, name: &str) -> PathBuf {
        self.dir(name).join("data")
    }

    /// All volumes, by name.
    pub fn list(&self) -> Result<Vec<VolumeRecord>> {
        let mut found = Vec::new();
        for name in record::names(&self.store.root().join("volumes"))? {
            match self.get(&name) {
                Err(Error::NoVolume(_)) => {}
                other => found.push(other?),
            }
        }
        Ok(found)
    }

    /// One volume.
    pub fn get(&self, name: &str) -> Result<VolumeRecord> {
        check_name("volume", name)?;
        record::read(&self.dir(name).join("record.json"), VERSION)?
            .ok_or_else(|| Error::NoVolume(name.to_owned()))
    }

    /// Short ids and names of the containers that mount a volume.
    pub fn users(&self, name: &str) -> Result<Vec<String>> {
        let mut users = Vec::new();
        let containers = self.store.containers();
        for container in containers.list()? {
            // A container that goes meanwhile uses nothing.
            let Ok(plan) = containers.plan(&container.id) else {
                continue;
            };
            let uses = |kind: &MountKind| matches!(kind, MountKind::Volume { name: other, .. } if other == name);
            if plan.mounts.iter().any(|m| uses(&m.kind)) {
                users.push(format!("{} ({})", container.id.short(), container.name));
            }
        }
        Ok(users)
    }

    /// Moves a volume to the trash; refused if a container's plan mounts it.
    pub fn remove(&self, name: &str) -> Result<()> {
        self.get(name)?;
        let users = self.users(name)?;
        if !users.is_empty() {
            let what = format!("volume {name}");
            return Err(Error::InUse {
                what,
                by: format!("container {}", users.join(", ")),
            });
        }
        self.store.discard(&self.dir(name))
    }
}
