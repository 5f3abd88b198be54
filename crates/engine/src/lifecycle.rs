//! What else one does with a container: restart, wait, pause, rename, update.

use std::time::Duration;

use model::container::{ProcessRef, RestartPolicy, RunPhase};
use model::{ContainerPlan, NetworkMode};

use crate::{ContainerRecord, Engine, Error, Liveness, Result};

/// How often something is looked at that nobody tells us of.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// What `wait` waits for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum WaitCondition {
    /// It does not run.
    #[default]
    NotRunning,
    /// It ends, even if it has to be started first.
    NextExit,
    /// It is gone.
    Removed,
}

impl Engine {
    /// Stops a container, if it runs, and starts it.
    pub fn restart(
        &self,
        record: &ContainerRecord,
        signal: Option<i32>,
        grace: Option<Duration>,
    ) -> Result<()> {
        // What ends here is not to be removed: that would need the lock.
        let lock = self.store.containers().lock(&record.id)?;
        self.stop(record, signal, grace)?;
        let launched = self.launch_locked(record, lock)?.unattended();
        launched
            .started()
            .map_err(|error| self.start_error(record, error))?;
        self.note_container(record, "restart", &[]);
        Ok(())
    }

    /// Waits, and gives the exit code.
    pub fn wait(&self, record: &ContainerRecord, condition: WaitCondition) -> Result<i32> {
        let code = match (self.observe(record)?, condition) {
            (Liveness::Running(_), _) => self.wait_for_end(record)?,
            (before, WaitCondition::NextExit) => return self.wait_for_next(record, &before),
            (Liveness::Exited(exit), _) => exit.code,
            (Liveness::Created, _) => 0,
        };
        if condition != WaitCondition::Removed {
            return Ok(code);
        }
        let mut last = code;
        loop {
            match self.observed(record)? {
                None => return Ok(last),
                Some(Liveness::Exited(exit)) => last = exit.code,
                Some(_) => {}
            }
            std::thread::sleep(LOOK_EVERY);
        }
    }

    /// What a container does; `None` once it is gone.
    fn observed(&self, record: &ContainerRecord) -> Result<Option<Liveness>> {
        match self.store.containers().get(&record.id) {
            Err(store::Error::NoContainer(_)) => Ok(None),
            Err(error) => Err(error.into()),
            Ok(record) => self.observe(&record).map(Some),
        }
    }

    fn wait_for_end(&self, record: &ContainerRecord) -> Result<i32> {
        let run_dir = self.settings.container_run_dir(&record.id);
        let exit = self.store.containers().dir(&record.id).join("exit.json");
        match runtime::control::wait(&run_dir, &exit) {
            Ok(code) => Ok(code),
            // Its supervisor went in between.
            Err(error) => match self.observed(record)? {
                Some(Liveness::Exited(exit)) => Ok(exit.code),
                _ => Err(self.failed_to("wait for", record, error.into())),
            },
        }
    }

    fn wait_for_next(&self, record: &ContainerRecord, before: &Liveness) -> Result<i32> {
        loop {
            match self.observed(record)? {
                None => return Err(store::Error::NoContainer(record.name.clone()).into()),
                Some(Liveness::Running(_)) => return self.wait_for_end(record),
                Some(Liveness::Exited(exit)) if Liveness::Exited(exit.clone()) != *before => {
                    return Ok(exit.code);
                }
                Some(_) => std::thread::sleep(LOOK_EVERY),
            }
        }
    }

    /// Freezes a container's processes.
    pub fn pause(&self, record: &ContainerRecord) -> Result<()> {
        let (init, paused) = self.init_of(record)?;
        if paused {
            return Err(self.in_state(record, "already paused", None));
        }
        runtime::freezer::freeze(init.pid, &record.id)
            .map_err(|error| self.frozen("pause", record, error))?;
        self.note_container(record, "pause", &[]);
        Ok(())
    }

    /// Lets a paused container go on.
    pub fn unpause(&self, record: &ContainerRecord) -> Result<()> {
        let (init, paused) = self.init_of(record)?;
        if !paused {
            return Err(self.in_state(record, "not paused", None));
        }
        self.thaw(record, init)
    }

    /// A paused container must go on before it can do what it is asked to.
    pub(crate) fn thaw_if_paused(&self, record: &ContainerRecord) -> Result<()> {
        match self.init_of(record) {
            Ok((init, true)) => self.thaw(record, init),
            _ => Ok(()),
        }
    }

    /// A paused container does nothing.
    pub(crate) fn refuse_paused(
        &self,
        record: &ContainerRecord,
        observed: &Liveness,
    ) -> Result<()> {
        match observed.status() {
            "paused" => {
                let hint = format!("let it go on with `shim unpause {}`", record.name);
                Err(self.in_state(record, "paused", Some(hint)))
            }
            _ => Ok(()),
        }
    }

    fn thaw(&self, record: &ContainerRecord, init: ProcessRef) -> Result<()> {
        runtime::freezer::thaw(init.pid, &record.id)
            .map_err(|error| self.frozen("unpause", record, error))?;
        self.note_container(record, "unpause", &[]);
        Ok(())
    }

    fn frozen(
        &self,
        act: &'static str,
        record: &ContainerRecord,
        error: runtime::freezer::FreezeError,
    ) -> Error {
        let hint = error.hint();
        let mut message = error.to_string();
        let mut source = std::error::Error::source(&error);
        while let Some(cause) = source {
            message = format!("{message}: {cause}");
            source = cause.source();
        }
        Error::Invalid {
            message: format!("cannot {act} container {}: {message}", record.name),
            hint,
        }
    }

    fn in_state(&self, record: &ContainerRecord, state: &str, hint: Option<String>) -> Error {
        Error::State {
            name: record.name.clone(),
            state: state.into(),
            hint,
        }
    }

    /// The first process of a running container, and whether it is paused.
    pub(crate) fn init_of(&self, record: &ContainerRecord) -> Result<(ProcessRef, bool)> {
        match self.observe(record)? {
            Liveness::Running(state) => match state.init {
                Some(init) => Ok((init, state.phase == RunPhase::Paused)),
                None => Err(self.not_running(record)),
            },
            _ => Err(self.not_running(record)),
        }
    }

    /// Gives a container another name.
    pub fn rename(&self, record: &ContainerRecord, name: &str) -> Result<()> {
        let name = name.strip_prefix('/').unwrap_or(name);
        if name == record.name {
            return Err(Error::invalid(format!(
                "container {name} already has that name"
            )));
        }
        let containers = self.store.containers();
        containers.rename(&record.id, name)?;
        let mut plan = containers.plan(&record.id)?;
        if let NetworkMode::Gateway(network) = &mut plan.network {
            name.clone_into(&mut network.name);
            containers.update_plan(&plan)?;
        }
        let old = format!("/{}", record.name);
        let renamed = containers.get(&record.id)?;
        self.note_container(&renamed, "rename", &[("oldName", &old)]);
        Ok(())
    }

    /// Changes what may be changed of a container: its restart policy and limits. What it
    /// runs with is changed at once.
    pub fn update(
        &self,
        record: &ContainerRecord,
        change: &dyn Fn(&mut ContainerPlan),
    ) -> Result<()> {
        let containers = self.store.containers();
        let _lock = containers.lock(&record.id)?;
        let before = containers.plan(&record.id)?;
        let mut plan = before.clone();
        change(&mut plan);
        if record.auto_remove && plan.restart != RestartPolicy::No {
            let message = format!("container {} is removed when it ends", record.name);
            return Err(Error::invalid_hint(
                message,
                "it cannot have a restart policy",
            ));
        }
        if plan.limits != before.limits {
            self.limit(record, &plan)?;
        }
        containers.update_plan(&plan)?;
        self.note_container(record, "update", &[]);
        Ok(())
    }

    fn limit(&self, record: &ContainerRecord, plan: &ContainerPlan) -> Result<()> {
        let refused = |message: String, hint: Option<String>| Error::Invalid {
            message: format!("cannot update container {}: {message}", record.name),
            hint,
        };
        if let Some(gap) = runtime::cgroup::gaps(&plan.limits)?.first() {
            return Err(refused(gap.to_string(), Some(gap.remedy.clone())));
        }
        let Liveness::Running(state) = self.observe(record)? else {
            return Ok(());
        };
        let Some(init) = state.init else {
            return Ok(());
        };
        runtime::cgroup::update(init.pid, &record.id, &plan.limits).map_err(|error| {
            let hint = error.hint();
            match std::error::Error::source(&error) {
                Some(source) => refused(format!("{error}: {source}"), hint),
                None => refused(error.to_string(), hint),
            }
        })
    }
}
