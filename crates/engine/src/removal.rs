//! Removing containers: by request, as the last act of a `--rm` container's supervisor,
//! and after a crash.
//!
//! | a crash leaves | the next command |
//! | --- | --- |
//! | a container whose supervisor was killed | ends what is left of it and records that |
//! | the same, made with `--rm` | removes it |
//! | a container of `run --rm` that was not started yet | removes it: nobody else will |
//! | a runtime directory without its container | removes it |
//!
//! None of this may stop the command that happens to meet it: what fails here is left for
//! the next one.

use std::path::Path;
use std::time::Duration;

use model::ContainerId;
use model::event::EventSink;
use store::{Abandoned, Claim, ContainerRecord};

use crate::{ContainerView, Engine, Error, Liveness, Result, RunRequest, Settings};

/// The hidden entry of our program that removes a `--rm` container; its arguments are
/// the store, the runtime directory and the container's id.
pub const REMOVE_ENTRY: &str = "__remove";

/// Removes an ended container and its anonymous volumes. The connections of its clients,
/// which wait for them to close, are this process's inheritance.
pub fn run_removal(settings: Settings, id: &str) -> Result<()> {
    let engine = Engine::open(settings)?;
    let removed = match engine.find(id) {
        Ok(record) => engine.take_away(&record, false, true),
        // The client that it ran for has removed it.
        Err(Error::Store(store::Error::NoContainer(_))) => Ok(()),
        Err(error) => Err(error),
    };
    // Nothing is left to be seen of it: nobody needs to wait until its files are gone.
    sys::process::close_inherited(&[])?;
    engine.store().sweep();
    removed
}

/// A container of `run --rm` between being made and being started. If our process dies
/// before this is dropped, the next command removes a container that does not run.
#[derive(Debug)]
#[must_use = "the container counts as started when this is dropped"]
pub struct Making {
    _claim: Option<Claim>,
}

impl Engine {
    /// Makes a container that is started at once.
    pub fn create_to_run(
        &self,
        request: &RunRequest,
        events: &dyn EventSink,
    ) -> Result<(ContainerRecord, Making)> {
        let id = self.store.containers().new_id()?;
        let claim = match request.auto_remove {
            true => Some(self.store.claim_run(&id)?),
            false => None,
        };
        let record = self.create_as(&id, request, events)?;
        Ok((record, Making { _claim: claim }))
    }

    /// Removes a container, its anonymous volumes too if asked for (always with `--rm`).
    pub fn remove(&self, record: &ContainerRecord, force: bool, volumes: bool) -> Result<()> {
        self.take_away(record, force, volumes)?;
        self.store.sweep();
        Ok(())
    }

    /// The same by name or id. With `force`, one whose record is damaged too.
    pub fn remove_named(&self, name: &str, force: bool, volumes: bool) -> Result<()> {
        match self.find(name) {
            Err(error) if error.is_damage() && force => self.remove_damaged(name),
            found => self.remove(&found?, force, volumes),
        }
    }

    fn remove_damaged(&self, name: &str) -> Result<()> {
        let id = self.store.containers().find_damaged(name)?;
        let _lock = self.store.containers().lock(&id)?;
        self.end_by_force(&id);
        let _ = std::fs::remove_dir_all(self.settings.container_run_dir(&id));
        self.store.containers().remove(&id)?;
        self.store.sweep();
        Ok(())
    }

    /// Ends a container of which nothing but the id can be relied on.
    fn end_by_force(&self, id: &ContainerId) {
        let run_dir = self.settings.container_run_dir(id);
        let exit = self.store.containers().dir(id).join("exit.json");
        // It runs, or has lost its supervisor, or neither.
        let _ = runtime::control::stop(&run_dir, &exit, Some(9), Some(Duration::ZERO));
        let _ = runtime::liveness::reap(&run_dir, &exit);
    }

    /// As [`Engine::remove`], but the container's files are still to be swept: nobody
    /// sees them any more.
    pub fn take_away(&self, record: &ContainerRecord, force: bool, volumes: bool) -> Result<()> {
        // The supervisor of a `--rm` container may be first, then there is no lock.
        let _lock = loop {
            let lock = self.store.containers().lock(&record.id).ok();
            let state = match self.observe(record) {
                Ok(state) if !state.is_alive() => break lock,
                Ok(state) => state.status(),
                Err(_) if force => {
                    self.end_by_force(&record.id);
                    break lock;
                }
                Err(error) => return Err(error),
            };
            drop(lock);
            if !force {
                let hint = format!("stop it first, or use `shim rm -f {}`", record.name);
                return Err(Error::State {
                    name: record.name.clone(),
                    state: if state == "paused" { state } else { "running" }.into(),
                    hint: Some(hint),
                });
            }
            // No restart policy brings it back: the user asked for its end.
            self.stop(record, Some(9), Some(Duration::ZERO))?;
        };
        self.erase(record, volumes || record.auto_remove)
    }

    /// Removes a container that does not run; the caller holds its lock.
    fn erase(&self, record: &ContainerRecord, volumes: bool) -> Result<()> {
        use store::Error::{InUse, NoContainer, NoVolume};
        let gone = |result: store::Result<()>| match result {
            Err(NoContainer(_) | NoVolume(_)) => Ok(()),
            // Another container mounts the volume by its name: it is that one's now.
            Err(InUse { .. }) => Ok(()),
            other => other,
        };
        // The record goes last: who is killed here leaves a container that can be removed
        // again, not files that nobody knows.
        let _ = std::fs::remove_dir_all(self.settings.container_run_dir(&record.id));
        if volumes {
            let remove = |name: &String| self.store.volumes().remove_with(name, &record.id);
            record
                .anonymous_volumes
                .iter()
                .try_for_each(|name| gone(remove(name)))?;
        }
        let removed = self.store.containers().remove(&record.id);
        if removed.is_ok() {
            self.note_container(record, "destroy", &[]);
        }
        gone(removed)?;
        Ok(())
    }

    /// Ends what a crash left; see the module's doc.
    pub(crate) fn heal(&self, abandoned: Vec<Abandoned>) {
        for found in abandoned {
            let settled = match self.store.containers().get(&found.id) {
                Ok(record) => match self.observe(&record) {
                    Ok(state) => state.is_alive() || self.erase_if_free(&record),
                    Err(_) => false,
                },
                Err(error) => matches!(error, store::Error::NoContainer(_)),
            };
            if settled {
                found.settled();
            }
        }
        let run_dirs = std::fs::read_dir(self.settings.run.join("c"));
        for entry in run_dirs.into_iter().flatten().flatten() {
            self.heal_run_dir(&entry.path());
        }
    }

    /// A runtime directory without a supervisor is of a container that has ended, was
    /// killed, or is gone.
    fn heal_run_dir(&self, run_dir: &Path) {
        if runtime::liveness::is_held(run_dir).unwrap_or(true) {
            return;
        }
        let digits = run_dir.file_name().unwrap_or_default().to_string_lossy();
        match self.find(&digits) {
            Err(Error::Store(store::Error::NoContainer(_))) => {
                let _ = std::fs::remove_dir_all(run_dir);
            }
            Ok(record) if run_dir.join("state.json").exists() => {
                // Looking at it brings it to its end.
                let ended = matches!(self.observe(&record), Ok(Liveness::Exited(_)));
                if ended && record.auto_remove {
                    self.erase_if_free(&record);
                }
            }
            _ => {}
        }
    }

    /// Whether a container is what `--rm` should have removed, and is gone now.
    pub(crate) fn clear_away(&self, view: &ContainerView) -> bool {
        let run_dir = self.settings.container_run_dir(&view.record.id);
        view.record.auto_remove
            && matches!(view.observed, Liveness::Exited(_))
            // Its supervisor may just be about to remove it.
            && runtime::liveness::is_held(&run_dir).is_ok_and(|held| !held)
            && self.erase_if_free(&view.record)
    }

    /// Removes a `--rm` container that does not run, unless somebody is at it.
    fn erase_if_free(&self, record: &ContainerRecord) -> bool {
        match self.store.containers().try_lock(&record.id) {
            Ok(Some(_lock)) => {
                // Somebody may have started it before we had the lock.
                let alive = self.observe(record).is_ok_and(|state| state.is_alive());
                !alive && self.erase(record, true).is_ok()
            }
            Err(store::Error::NoContainer(_)) => true,
            _ => false,
        }
    }

    /// Tells of an object that a list leaves out.
    pub(crate) fn tell_of_damage(&self, error: &Error) {
        if let Some(tell) = self.settings.on_damage {
            tell(error, error.hint());
        }
    }
}
