//! Containers' records, names and directories.

use std::collections::BTreeMap;
use std::path::PathBuf;

use model::{ContainerId, ContainerPlan, Digest};
use serde::{Deserialize, Serialize};
use sys::fs::FileLock;

use crate::record::{self, check_name};
use crate::root::{boot_id, make_dirs, random_hex};
use crate::{Error, Result, Store};

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
    /// Diff ids of the images that it mounts, lowest first: kept as long, too.
    #[serde(default)]
    pub mounted: Vec<Vec<Digest>>,
    /// Program and arguments, for display.
    pub command: Vec<String>,
    /// What docker calls its `Config`: the image's, with what the request changed.
    #[serde(default)]
    pub config: model::image::RunConfig,
    /// Labels, compose's among them; not the image's, which must not steer us.
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

/// The layout of [`ContainerPlan`] that we write.
const PLAN_VERSION: u32 = 1;

/// The boot that a container was made in which does not outlive it.
const BOOT: &str = "boot";

/// What a container's plan says, read for what it uses.
pub(crate) struct PlanFile {
    pub(crate) id: ContainerId,
    name: String,
    /// The text of a plan that cannot be read.
    pub(crate) plan: std::result::Result<Box<ContainerPlan>, String>,
}

impl PlanFile {
    pub(crate) fn display(&self) -> String {
        format!("{} ({})", self.id.short(), self.name)
    }
}

/// Holds a container's lock while it lives.
#[derive(Debug)]
#[must_use]
pub struct ContainerLock {
    _lock: FileLock,
}

impl Containers<'_> {
    /// A fresh id.
    pub fn new_id(&self) -> Result<ContainerId> {
        Ok(random_hex()
            .parse()
            .expect("64 lower-case hexadecimal digits"))
    }

    /// `containers/<id>`.
    pub fn dir(&self, id: &ContainerId) -> PathBuf {
        self.store.root().join("containers").join(id.as_str())
    }

    fn claim_path(&self, name: &str) -> PathBuf {
        self.store.root().join("names").join(name)
    }

    /// Held while names change, so that a claim without a container is known to be
    /// what a crash left.
    fn names_lock(&self) -> Result<FileLock> {
        Ok(FileLock::exclusive(&self.store.root().join("names/.lock"))?)
    }

    /// Records a container, claims its name, and makes `upper/` and `work/`. The plan
    /// names those paths through [`Containers::dir`].
    pub fn create(&self, record: &ContainerRecord, plan: &ContainerPlan) -> Result<()> {
        check_name("container", &record.name)?;
        let temp = self.store.temp_dir()?;
        for name in ["upper", "work"] {
            make_dirs(&temp.path().join(name))?;
        }
        // What the container's `/` looks like; overlay takes it from the upper layer.
        sys::fs::DirFd::open(&temp.path().join("upper"))?.chmod_self(0o755)?;
        record::write(
            self.store,
            &temp.path().join("config.json"),
            plan,
            record.durable,
        )?;
        record::write(
            self.store,
            &temp.path().join("record.json"),
            record,
            record.durable,
        )?;
        if !record.durable {
            let boot = temp.path().join(BOOT);
            record::write_bytes(self.store, &boot, boot_id().as_bytes(), false)?;
        }

        let _names = self.names_lock()?;
        self.claim(&record.name, &record.id)?;
        if let Err(e) = temp.keep(&self.dir(&record.id)) {
            let _ = record::remove(&self.claim_path(&record.name));
            return Err(e);
        }
        if record.durable {
            sys::fs::sync_dir(&self.store.root().join("names"))?;
            sys::fs::sync_dir(&self.store.root().join("containers"))?;
        }
        Ok(())
    }

    /// Claims a name by exclusive create. The caller holds the names' lock.
    fn claim(&self, name: &str, id: &ContainerId) -> Result<()> {
        use std::io::Write;
        let path = self.claim_path(name);
        if let Some(holder) = self.claimed(name)? {
            if self.dir(&holder).exists() {
                let holder = holder.short().to_owned();
                return Err(Error::NameTaken {
                    name: name.to_owned(),
                    holder,
                });
            }
            record::remove(&path)?;
        }
        let error = |act, e| sys::Error::new(act, path.display().to_string(), e);
        let mut file = std::fs::File::create_new(&path).map_err(|e| error("create", e))?;
        file.write_all(id.as_str().as_bytes())
            .map_err(|e| error("write", e))?;
        Ok(())
    }

    /// Frees names whose claimers were killed before their containers were there.
    pub(crate) fn free_names(&self) -> Result<()> {
        let _names = self.names_lock()?;
        for name in record::names(&self.store.root().join("names"))? {
            let held = name.starts_with('.')
                || self.claimed(&name)?.is_none_or(|id| self.dir(&id).exists());
            if !held {
                record::remove(&self.claim_path(&name))?;
            }
        }
        Ok(())
    }

    /// Who holds a name; a claim that a crash left half-written holds nothing.
    fn claimed(&self, name: &str) -> Result<Option<ContainerId>> {
        let path = self.claim_path(name);
        match sys::fs::read_limited(&path, 256)? {
            None => Ok(None),
            Some(bytes) => match String::from_utf8_lossy(&bytes).trim().parse() {
                Ok(id) => Ok(Some(id)),
                Err(_) => record::remove(&path).map(|_| None),
            },
        }
    }

    /// Writes the plan anew, e.g. before a start.
    pub fn update_plan(&self, plan: &ContainerPlan) -> Result<()> {
        let durable = self.get(&plan.id)?.durable;
        record::write(
            self.store,
            &self.dir(&plan.id).join("config.json"),
            plan,
            durable,
        )
    }

    /// Writes the record anew (not its name: see [`Containers::rename`]).
    pub fn update(&self, record: &ContainerRecord) -> Result<()> {
        let path = self.dir(&record.id).join("record.json");
        record::write(self.store, &path, record, record.durable)
    }

    /// Gives a container another name.
    pub fn rename(&self, id: &ContainerId, name: &str) -> Result<()> {
        check_name("container", name)?;
        let _names = self.names_lock()?;
        let mut record = self.get(id)?;
        let mut plan = self.plan(id)?;
        if record.name == name {
            return Ok(());
        }
        self.claim(name, id)?;
        let old = std::mem::replace(&mut record.name, name.to_owned());
        name.clone_into(&mut plan.name);
        self.update(&record)?;
        self.update_plan(&plan)?;
        record::remove(&self.claim_path(&old)).map(drop)
    }

    /// All containers, the youngest first. Of damaged records the user is told.
    pub fn list(&self) -> Result<Vec<ContainerRecord>> {
        let (found, damaged) = self.read_all()?;
        damaged.iter().for_each(|error| self.store.damaged(error));
        Ok(found)
    }

    /// All containers, and the records that are damaged.
    pub(crate) fn read_all(&self) -> Result<(Vec<ContainerRecord>, Vec<Error>)> {
        let (mut found, mut damaged) = (Vec::new(), Vec::new());
        for id in self.ids()? {
            match self.get(&id) {
                Err(Error::NoContainer(_)) => {}
                Err(error) if error.is_damage() => damaged.push(error),
                other => found.push(other?),
            }
        }
        found.sort_by(|a, b| b.created.cmp(&a.created).then_with(|| a.id.cmp(&b.id)));
        Ok((found, damaged))
    }

    /// Those that are there; what did not outlive its boot goes first.
    fn ids(&self) -> Result<Vec<ContainerId>> {
        let names = record::names(&self.store.root().join("containers"))?;
        let mut ids: Vec<ContainerId> = names.iter().filter_map(|n| n.parse().ok()).collect();
        ids.retain(|id| !self.is_of_an_earlier_boot(id) || self.forget(id).is_err());
        Ok(ids)
    }

    fn is_of_an_earlier_boot(&self, id: &ContainerId) -> bool {
        let boot = boot_id();
        match sys::fs::read_limited(&self.dir(id).join(BOOT), 64) {
            Ok(Some(bytes)) => !boot.is_empty() && bytes != boot.as_bytes(),
            _ => false,
        }
    }

    /// Removes a container that cannot run any more, and its anonymous volumes.
    fn forget(&self, id: &ContainerId) -> Result<()> {
        let volumes = self.get(id).map(|record| record.anonymous_volumes);
        for name in volumes.unwrap_or_default() {
            // One that another container mounts is that one's now.
            let _ = self.store.volumes().remove_with(&name, id);
        }
        self.remove(id)
    }

    /// The plans of all containers.
    pub(crate) fn plan_files(&self) -> Result<Vec<PlanFile>> {
        let mut found = Vec::new();
        for id in self.ids()? {
            let (name, plan) = match self.plan(&id) {
                Ok(plan) => (plan.name.clone(), Ok(Box::new(plan))),
                Err(error) if error.is_damage() => {
                    let path = self.dir(&id).join("config.json");
                    let bytes = std::fs::read(path).unwrap_or_default();
                    let text = String::from_utf8_lossy(&bytes).into_owned();
                    ("damaged".to_owned(), Err(text))
                }
                // A container that goes meanwhile uses nothing.
                Err(Error::NoContainer(_)) => continue,
                Err(error) => return Err(error),
            };
            found.push(PlanFile { id, name, plan });
        }
        Ok(found)
    }

    /// Reads a record.
    pub fn get(&self, id: &ContainerId) -> Result<ContainerRecord> {
        record::read(&self.dir(id).join("record.json"), RECORD_VERSION)?
            .ok_or_else(|| Error::NoContainer(id.short().to_owned()))
    }

    /// Reads a plan.
    pub fn plan(&self, id: &ContainerId) -> Result<ContainerPlan> {
        record::read(&self.dir(id).join("config.json"), PLAN_VERSION)?
            .ok_or_else(|| Error::NoContainer(id.short().to_owned()))
    }

    /// Finds a container by id, name, or a prefix of its id.
    pub fn find(&self, text: &str) -> Result<ContainerRecord> {
        if let Ok(id) = text.parse() {
            match self.get(&id) {
                Err(Error::NoContainer(_)) => {}
                other => return other,
            }
        }
        if check_name("container", text).is_ok()
            && let Some(id) = self.claimed(text)?
        {
            match self.get(&id) {
                Err(Error::NoContainer(_)) => {}
                other => return other,
            }
        }
        let mut ids = record::names(&self.store.root().join("containers"))?;
        ids.retain(|id| !text.is_empty() && id.starts_with(text));
        let absent = || Error::NoContainer(text.to_owned());
        match ids.as_slice() {
            [] => Err(absent()),
            [id] => self.get(&id.parse().map_err(|_| absent())?),
            _ => Err(Error::Ambiguous {
                kind: "container",
                prefix: text.to_owned(),
                matches: ids.iter().map(|id| id.chars().take(12).collect()).collect(),
            }),
        }
    }

    /// The only container whose id begins so, or whose name it is, though its record may
    /// be damaged.
    pub fn find_damaged(&self, text: &str) -> Result<ContainerId> {
        if check_name("container", text).is_ok()
            && let Some(id) = self.claimed(text)?
            && self.dir(&id).exists()
        {
            return Ok(id);
        }
        let mut ids = self.ids()?;
        ids.retain(|id| !text.is_empty() && id.as_str().starts_with(text));
        match ids.len() {
            1 => Ok(ids.remove(0)),
            _ => Err(Error::NoContainer(text.to_owned())),
        }
    }

    fn lock_path(&self, id: &ContainerId) -> Result<PathBuf> {
        let dir = self.dir(id);
        match dir.exists() {
            true => Ok(dir.join("lock")),
            false => Err(Error::NoContainer(id.short().to_owned())),
        }
    }

    /// Waits for the container's lock: held while its state is changed.
    pub fn lock(&self, id: &ContainerId) -> Result<ContainerLock> {
        let _lock = FileLock::exclusive(&self.lock_path(id)?)?;
        Ok(ContainerLock { _lock })
    }

    /// Takes the container's lock if it is free.
    pub fn try_lock(&self, id: &ContainerId) -> Result<Option<ContainerLock>> {
        let lock = FileLock::try_exclusive(&self.lock_path(id)?)?;
        Ok(lock.map(|_lock| ContainerLock { _lock }))
    }

    /// Forgets a container and moves its directory to the trash. It must not run any
    /// more; whether it does is not looked at.
    pub fn remove(&self, id: &ContainerId) -> Result<()> {
        let record = self.get(id);
        let _names = self.names_lock()?;
        let names = match &record {
            Ok(record) => vec![record.name.clone()],
            // A damaged record must not keep its container, nor its name, for ever.
            Err(_) => record::names(&self.store.root().join("names"))?,
        };
        for name in names.iter().filter(|name| !name.starts_with('.')) {
            if self.claimed(name)?.as_ref() == Some(id) {
                record::remove(&self.claim_path(name))?;
            }
        }
        match self.dir(id).exists() {
            true => self.store.discard(&self.dir(id)),
            false => Err(Error::NoContainer(id.short().to_owned())),
        }
    }
}
