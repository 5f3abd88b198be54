//! Containers that exist: what they do, starting, stopping, removing them.

use std::io::Write;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Path;
use std::time::{Duration, Instant};

use model::container::{ExitRecord, ProcessPlan, RunPhase, RunState};
use model::{ContainerPlan, MountKind, NetworkMode};
use runtime::attach::{Client, ClientError};
use runtime::liveness::Observed;
use store::ContainerRecord;

use crate::{Engine, Error, ExecRequest, Result};

/// How long a supervisor whose container has ended may take to end itself.
const SUPERVISOR_PATIENCE: Duration = Duration::from_secs(10);
const KILL: i32 = 9;

/// What a container does.
#[derive(Debug, Clone, PartialEq)]
pub enum Liveness {
    /// Made, and never started.
    Created,
    /// Its supervisor lives.
    Running(Box<RunState>),
    /// It has ended.
    Exited(ExitRecord),
}

impl Liveness {
    /// Whether its supervisor lives.
    pub fn is_alive(&self) -> bool {
        matches!(self, Self::Running(_))
    }

    /// Docker's word for it.
    pub fn status(&self) -> &'static str {
        match self {
            Self::Created => "created",
            // As docker has it, one that never came to life was only made.
            Self::Exited(exit) if exit.started_at.is_empty() && exit.error.is_some() => "created",
            Self::Exited(_) => "exited",
            Self::Running(state) => match state.phase {
                RunPhase::Created => "created",
                RunPhase::Running => "running",
                RunPhase::Paused => "paused",
                RunPhase::Restarting => "restarting",
            },
        }
    }
}

/// A container's record and what it does.
#[derive(Debug, Clone)]
pub struct ContainerView {
    /// The record.
    pub record: ContainerRecord,
    /// Its plan.
    pub plan: ContainerPlan,
    /// What it does.
    pub observed: Liveness,
}

/// A start on its way. What it needs cannot be taken from it meanwhile.
#[derive(Debug)]
pub struct Launched {
    /// The connection of the container's first client.
    pub client: Client,
    /// It was made to wait for its first client.
    waits: bool,
    /// A gateway does not end while somebody is connected.
    _gateway: Option<net::Client>,
    /// A container is not removed while somebody holds its lock.
    _lock: store::containers::ContainerLock,
}

impl Launched {
    /// Nobody will look at the output of one that waits for a client who does.
    pub(crate) fn unattended(mut self) -> Self {
        if self.waits {
            let nobody = runtime::frames::AttachRequest::default();
            // If it is gone already, the first answer that is waited for says so.
            let _ = self.client.send(&runtime::frames::Request::Attach(nobody));
        }
        self
    }

    /// Waits until the container's first process lives; gives the connection.
    pub fn started(mut self) -> std::result::Result<Client, ClientError> {
        self.client.started().map(|()| self.client)
    }
}

impl Engine {
    /// All containers, the youngest first.
    pub fn list(&self) -> Result<Vec<ContainerView>> {
        let mut views = Vec::new();
        for record in self.store.containers().list()? {
            match self.view(record) {
                Ok(view) if self.clear_away(&view) => {}
                Ok(view) => views.push(view),
                // One that is removed while we look is none.
                Err(Error::Store(store::Error::NoContainer(_))) => {}
                Err(error) if error.is_damage() => self.tell_of_damage(&error),
                Err(error) => return Err(error),
            }
        }
        Ok(views)
    }

    /// A record with its plan and what the container does.
    pub fn view(&self, record: ContainerRecord) -> Result<ContainerView> {
        let observed = self.observe(&record)?;
        let plan = self.plan(&record)?;
        Ok(ContainerView {
            record,
            plan,
            observed,
        })
    }

    /// Finds a container by name, id, or a prefix of its id.
    pub fn find(&self, name: &str) -> Result<ContainerRecord> {
        Ok(self.store.containers().find(name)?)
    }

    /// A container's plan.
    pub fn plan(&self, record: &ContainerRecord) -> Result<ContainerPlan> {
        Ok(self.store.containers().plan(&record.id)?)
    }

    /// What a container does. One whose supervisor was killed is brought to its end
    /// first.
    pub fn observe(&self, record: &ContainerRecord) -> Result<Liveness> {
        let run_dir = self.settings.container_run_dir(&record.id);
        let exit = self.store.containers().dir(&record.id).join("exit.json");
        let failed = |error: runtime::liveness::LivenessError| {
            self.failed_to(crate::error::LOOK_AT, record, error.into())
        };
        loop {
            match runtime::liveness::observe(&run_dir, &exit).map_err(failed)? {
                Observed::Running(mut state) => {
                    if state.phase == RunPhase::Running
                        && let Some(init) = state.init
                        && runtime::freezer::is_frozen(init.pid, &record.id)
                    {
                        state.phase = RunPhase::Paused;
                    }
                    return Ok(Liveness::Running(state));
                }
                Observed::Exited(exit) => return Ok(Liveness::Exited(exit)),
                Observed::Created => return Ok(Liveness::Created),
                // `None`: somebody else is just doing it.
                Observed::Dead => match runtime::liveness::reap(&run_dir, &exit).map_err(failed)? {
                    Some(exit) => return Ok(Liveness::Exited(exit)),
                    None => std::thread::sleep(Duration::from_millis(5)),
                },
            }
        }
    }

    /// Starts a container in the background; one that runs is left alone.
    pub fn start(&self, record: &ContainerRecord) -> Result<()> {
        let observed = self.observe(record)?;
        self.refuse_paused(record, &observed)?;
        if observed.is_alive() {
            return Ok(());
        }
        match self.launch(record)?.unattended().started() {
            Ok(_) => Ok(()),
            // Another command was quicker.
            Err(_) if self.observe(record)?.is_alive() => Ok(()),
            Err(error) => Err(self.start_error(record, error)),
        }
    }

    /// Starts a container's supervisor.
    pub fn launch(&self, record: &ContainerRecord) -> Result<Launched> {
        let lock = self.store.containers().lock(&record.id)?;
        self.launch_locked(record, lock)
    }

    /// As [`Engine::launch`], for the holder of the container's lock.
    pub(crate) fn launch_locked(
        &self,
        record: &ContainerRecord,
        lock: store::containers::ContainerLock,
    ) -> Result<Launched> {
        self.may_run()?;
        let containers = self.store.containers();
        let plan = containers.plan(&record.id)?;
        std::fs::create_dir_all(&plan.paths.run_dir).map_err(|source| Error::File {
            act: "create",
            path: plan.paths.run_dir.clone(),
            source,
        })?;
        self.wait_for_supervisor(record, &plan)?;
        forget_volatile(&plan);
        let gateway = match &plan.network {
            NetworkMode::Gateway(_) => Some(self.ensure_gateway()?),
            NetworkMode::Container { run_dir } => {
                self.check_host(record, run_dir).map(|()| None)?
            }
            _ => None,
        };
        let file = containers.dir(&record.id).join("config.json");
        let client = runtime::supervise::spawn(&self.settings.run, &file)
            .map_err(|error| self.failed_to("start", record, error.into()))?;
        Ok(Launched {
            client,
            waits: plan.wait_for_attach,
            _gateway: gateway,
            _lock: lock,
        })
    }

    /// The container whose network another one joins must run.
    fn check_host(&self, record: &ContainerRecord, run_dir: &Path) -> Result<()> {
        // The directory is named after the container's id.
        let id = run_dir.file_name().unwrap_or_default().to_string_lossy();
        let host = self.find(&id)?;
        match self.observe(&host)?.is_alive() {
            true => Ok(()),
            false => Err(Error::Start {
                act: "start",
                name: record.name.clone(),
                message: format!(
                    "container {}, whose network it joins, is not running",
                    host.name
                ),
                code: 125,
                hint: Some(format!("start it with `shim start {}`", host.name)),
            }),
        }
    }

    /// A supervisor records the end of its container shortly before its own: a start
    /// that comes in between waits for it.
    fn wait_for_supervisor(&self, record: &ContainerRecord, plan: &ContainerPlan) -> Result<()> {
        let deadline = Instant::now() + SUPERVISOR_PATIENCE;
        let held = || runtime::liveness::is_held(&plan.paths.run_dir);
        while held().map_err(|error| self.failed_to(crate::error::LOOK_AT, record, error.into()))?
            && !self.observe(record)?.is_alive()
            && Instant::now() < deadline
        {
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    /// What a failed start means to the user.
    pub fn start_error(&self, record: &ContainerRecord, error: ClientError) -> Error {
        failed_start("start", record, error)
    }

    /// What a failed execution means to the user.
    pub fn exec_error(&self, record: &ContainerRecord, error: ClientError) -> Error {
        failed_start("execute in", record, error)
    }

    /// Connects to a running container's supervisor.
    pub fn connect(&self, record: &ContainerRecord) -> Result<Client> {
        if !self.observe(record)?.is_alive() {
            return Err(self.not_running(record));
        }
        Client::connect(&self.settings.container_run_dir(&record.id))
            .map_err(|error| self.failed_to("connect to", record, error.into()))
    }

    pub(crate) fn not_running(&self, record: &ContainerRecord) -> Error {
        Error::State {
            name: record.name.clone(),
            state: "not running".into(),
            hint: Some(format!("start it with `shim start {}`", record.name)),
        }
    }

    /// Stops a container and waits for its end; one that does not run is left alone.
    pub fn stop(
        &self,
        record: &ContainerRecord,
        signal: Option<i32>,
        grace: Option<Duration>,
    ) -> Result<()> {
        match self.observe(record)? {
            Liveness::Running(_) => {}
            Liveness::Exited(exit) => {
                // A restart policy that is still owed its due does not bring it back now.
                return match exit.lost {
                    true => self.settle(record, true),
                    false => Ok(()),
                };
            }
            Liveness::Created => return Ok(()),
        }
        if signal != Some(KILL) {
            self.thaw_if_paused(record)?;
        }
        let run_dir = self.settings.container_run_dir(&record.id);
        let exit = self.store.containers().dir(&record.id).join("exit.json");
        match runtime::control::stop(&run_dir, &exit, signal, grace) {
            Ok(_) => Ok(()),
            // It ended by itself, or was removed, in the meantime.
            Err(_) if !self.observe(record)?.is_alive() => Ok(()),
            Err(error) => Err(self.failed_to("stop", record, error.into())),
        }
    }

    /// Sends a signal to a container's first process.
    pub fn kill(&self, record: &ContainerRecord, signal: i32) -> Result<()> {
        if !self.observe(record)?.is_alive() {
            return Err(self.not_running(record));
        }
        if signal == KILL {
            // Nothing outlives that: its end is waited for, as docker does.
            return self.stop(record, Some(KILL), Some(Duration::ZERO));
        }
        let run_dir = self.settings.container_run_dir(&record.id);
        runtime::control::kill(&run_dir, signal)
            .map_err(|error| self.failed_to("signal", record, error.into()))?;
        // What asks a container to end must reach it.
        if self.plan(record)?.stop.signal == signal {
            self.thaw_if_paused(record)?;
        }
        Ok(())
    }

    /// The exit code of a container that has ended.
    pub fn exit_code(&self, record: &ContainerRecord) -> Result<i32> {
        match self.observe(record)? {
            Liveness::Exited(exit) => Ok(exit.code),
            _ => Ok(137),
        }
    }

    /// Executes a process in a running container; `None` if it is left in the background.
    pub fn exec(&self, record: &ContainerRecord, request: &ExecRequest) -> Result<Option<Client>> {
        let observed = self.observe(record)?;
        self.refuse_paused(record, &observed)?;
        let Liveness::Running(state) = observed else {
            return Err(self.not_running(record));
        };
        let plan = self.plan(record)?;
        let process = exec_process(&plan.process, request)?;
        let file = self.store.containers().dir(&record.id).join("config.json");
        let mut client =
            runtime::session::exec(&self.settings.run, &file, &state, process, request.detach)
                .map_err(|error| self.failed_to("execute in", record, error.into()))?;
        if !request.detach {
            return Ok(Some(client));
        }
        client
            .started()
            .map_err(|error| self.exec_error(record, error))?;
        Ok(None)
    }

    /// Writes a container's file system as a tar: from a clone of its root mount if it runs,
    /// else from a private mount.
    pub fn export(&self, record: &ContainerRecord, out: &mut dyn Write) -> Result<()> {
        self.note_container(record, "export", &[]);
        // Nobody starts it, and with it mounts its upper directory, in between.
        let lock = self.store.containers().lock(&record.id)?;
        let plan = self.plan(record)?;
        let mounted = match self.observe(record)? {
            Liveness::Running(state) => {
                drop(lock);
                self.root_mount(record, &state)?
            }
            _ => {
                let root = &plan.rootfs;
                let overlay = sys::mount::Overlay {
                    lower: &root.layers,
                    upper: Some((&root.upper, &root.work)),
                    // Its mark would keep the container from being started.
                    volatile: false,
                };
                sys::mount::overlay(overlay, sys::mount::Attributes::default())?
            }
        };
        // Attached nowhere: it goes with its descriptor. The dot leads through the link.
        let path = format!("/proc/self/fd/{}/.", mounted.as_raw_fd());
        Ok(store::layers::tree_tar(
            path.as_ref(),
            crate::ownership::shown(&plan),
            out,
        )?)
    }

    /// The root mount of a running container, without what is mounted below.
    fn root_mount(&self, record: &ContainerRecord, state: &RunState) -> Result<OwnedFd> {
        let init = state.init.ok_or_else(|| self.not_running(record))?;
        let pidfd = sys::process::pidfd_open(init.pid)?.ok_or_else(|| self.not_running(record))?;
        Ok(sys::mount::clone_root(pidfd.as_fd())?)
    }

    pub(crate) fn failed_to(
        &self,
        act: &'static str,
        record: &ContainerRecord,
        source: Box<dyn std::error::Error + Send + Sync>,
    ) -> Error {
        Error::Container {
            act,
            name: record.name.clone(),
            source,
        }
    }

    /// Anonymous and named volumes that a plan mounts.
    pub fn volumes_of(plan: &ContainerPlan) -> Vec<&str> {
        plan.mounts
            .iter()
            .filter_map(|mount| match &mount.kind {
                MountKind::Volume { name, .. } => Some(name.as_str()),
                _ => None,
            })
            .collect()
    }
}

fn failed_start(act: &'static str, record: &ContainerRecord, error: ClientError) -> Error {
    let name = record.name.clone();
    match error {
        ClientError::Failed(failure) => Error::Start {
            act,
            name,
            message: failure.message,
            code: failure.code as u8,
            hint: failure.hint,
        },
        other => Error::Start {
            act,
            name,
            message: other.to_string(),
            code: 125,
            hint: None,
        },
    }
}

/// An overlay that never syncs leaves a mark that forbids to mount it again, for fear of a
/// power cut (kernel: Documentation/filesystems/overlayfs.rst, "Volatile mount"). Here the
/// container has ended since, and nothing else has.
fn forget_volatile(plan: &ContainerPlan) {
    if plan.rootfs.volatile {
        let _ = std::fs::remove_dir_all(plan.rootfs.work.join("work/incompat"));
    }
}

/// The container's first process with what the request changes.
fn exec_process(base: &ProcessPlan, request: &ExecRequest) -> Result<ProcessPlan> {
    let mut env = base.env.clone();
    let mut set = |name: &str, value: &str| {
        env.retain(|entry| entry.split('=').next() != Some(name));
        env.push(format!("{name}={value}"));
    };
    if request.tty {
        set("TERM", "xterm");
    }
    request
        .env
        .iter()
        .for_each(|(name, value)| set(name, value));
    let cwd = request.workdir.clone().unwrap_or_else(|| base.cwd.clone());
    if !cwd.starts_with('/') {
        return Err(Error::invalid(format!(
            "the working directory `{cwd}` is not an absolute path"
        )));
    }
    Ok(ProcessPlan {
        argv: request.argv.clone(),
        env,
        cwd,
        user: request.user.clone().unwrap_or_else(|| base.user.clone()),
        tty: request.tty,
        stdin_open: request.stdin_open,
        capabilities: match request.privileged {
            true => sys::caps::Set::ALL.names().collect(),
            false => base.capabilities.clone(),
        },
        no_new_privileges: base.no_new_privileges,
        groups: base.groups.clone(),
        rlimits: base.rlimits.clone(),
        oom_score_adj: base.oom_score_adj,
    })
}
