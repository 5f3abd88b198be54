//! Volumes.

use std::collections::BTreeMap;
use std::path::PathBuf;

use model::{ContainerId, MountKind};
use serde::{Deserialize, Serialize};

use crate::containers::PlanFile;
use crate::record::{self, check_name};
use crate::root::{make_dirs, now, random_hex};
use crate::usage::disk_usage;
use crate::{Claim, Error, Result, Store};

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
        match name {
            Some(name) => self.make(name.to_owned(), labels, false),
            None => self.make(random_hex(), labels, true),
        }
    }

    /// Makes an anonymous volume for a container that is yet to be recorded. It goes with
    /// the claim's holder, unless the container is recorded by then.
    pub fn create_for(&self, container: &ContainerId) -> Result<(VolumeRecord, Claim)> {
        let name = random_hex();
        let claim = self.store.claim_volume(&name, container)?;
        Ok((self.make(name, &BTreeMap::new(), true)?, claim))
    }

    fn make(
        &self,
        name: String,
        labels: &BTreeMap<String, String>,
        anonymous: bool,
    ) -> Result<VolumeRecord> {
        check_name("volume", &name)?;
        match self.read(&name) {
            Err(Error::NoVolume(_)) => {}
            Err(Error::Record { .. }) => return self.record_anew(&name, labels),
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

    /// A volume whose record is damaged gets another one; its files stay.
    fn record_anew(&self, name: &str, labels: &BTreeMap<String, String>) -> Result<VolumeRecord> {
        let volume = VolumeRecord {
            labels: labels.clone(),
            ..self.guess(name)
        };
        record::write(
            self.store,
            &self.dir(name).join("record.json"),
            &volume,
            true,
        )?;
        Ok(volume)
    }

    /// What can be said of a volume without its record.
    fn guess(&self, name: &str) -> VolumeRecord {
        let made = std::fs::metadata(self.dir(name)).and_then(|m| m.modified());
        let made = made
            .ok()
            .and_then(|time| jiff::Timestamp::try_from(time).ok());
        VolumeRecord {
            version: VERSION,
            name: name.to_owned(),
            created: made.map_or_else(now, |time| format!("{time:.9}")),
            labels: BTreeMap::new(),
            // Nothing removes it but the user.
            anonymous: false,
        }
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
                Err(Error::NoVolume(_) | Error::BadName { .. }) => {}
                Err(error) if error.is_damage() => self.store.damaged(&error),
                other => found.push(other?),
            }
        }
        Ok(found)
    }

    fn read(&self, name: &str) -> Result<VolumeRecord> {
        check_name("volume", name)?;
        record::read(&self.dir(name).join("record.json"), VERSION)?
            .ok_or_else(|| Error::NoVolume(name.to_owned()))
    }

    /// One volume. Its files can be used without its record, of whose damage the user
    /// is told.
    pub fn get(&self, name: &str) -> Result<VolumeRecord> {
        match self.read(name) {
            Err(error @ Error::Record { .. }) => {
                self.store.damaged(&error);
                Ok(self.guess(name))
            }
            other => other,
        }
    }

    /// Short ids and names of the containers that mount a volume.
    pub fn users(&self, name: &str) -> Result<Vec<String>> {
        let plans = self.store.containers().plan_files()?;
        let users = plans.iter().filter(|plan| self.mounts(plan, name));
        Ok(users.map(PlanFile::display).collect())
    }

    fn mounts(&self, file: &PlanFile, name: &str) -> bool {
        let uses = |kind: &MountKind| matches!(kind, MountKind::Volume { name: other, .. } if other == name);
        match &file.plan {
            Ok(plan) => plan.mounts.iter().any(|m| uses(&m.kind)),
            // A damaged plan keeps what it may mean.
            Err(text) => text.contains(&format!("volumes/{name}/data")),
        }
    }

    /// Moves a volume to the trash; refused if a container's plan mounts it.
    pub fn remove(&self, name: &str) -> Result<()> {
        self.remove_unless(name, |_| true)
    }

    /// The same for an anonymous volume of a container that is about to go.
    pub fn remove_with(&self, name: &str, container: &ContainerId) -> Result<()> {
        self.remove_unless(name, |user| user != container)
    }

    fn remove_unless(&self, name: &str, counts: impl Fn(&ContainerId) -> bool) -> Result<()> {
        let _uses = self.store.exclude_uses()?;
        match self.read(name) {
            Err(error) if !error.is_damage() => return Err(error),
            _ => {}
        }
        let plans = self.store.containers().plan_files()?;
        let users = plans
            .iter()
            .filter(|plan| counts(&plan.id) && self.mounts(plan, name));
        let users: Vec<String> = users.map(PlanFile::display).collect();
        match users.as_slice() {
            [] => self.discard(name),
            _ => Err(Error::InUse {
                what: format!("volume {name}"),
                by: format!("container {}", users.join(", ")),
            }),
        }
    }

    /// Moves a volume to the trash, whoever uses it.
    pub(crate) fn discard(&self, name: &str) -> Result<()> {
        check_name("volume", name)?;
        self.store.discard(&self.dir(name))
    }

    /// Volumes that no container mounts.
    pub fn unused(&self) -> Result<Vec<VolumeRecord>> {
        let plans = self.store.containers().plan_files()?;
        let mut volumes = self.list()?;
        volumes.retain(|v| !plans.iter().any(|plan| self.mounts(plan, &v.name)));
        Ok(volumes)
    }

    /// Bytes that a volume takes on the disk.
    pub fn bytes(&self, name: &str) -> u64 {
        disk_usage(&self.dir(name))
    }
}
