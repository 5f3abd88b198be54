//! `build`: hands the builder its bases and executes its RUN steps.

use std::collections::BTreeMap;
use std::path::PathBuf;

use build::{
    BaseError, Bases, BuildRequest, DockerfileText, RunStep, StepError, StepNetwork, StepRunner,
};
use model::container::{
    DEFAULT_CAPABILITIES, DnsPlan, Isolation, Limits, LogPlan, PlanPaths, ProcessPlan, RootfsPlan,
    Seccomp, StopPlan,
};
use model::event::{Event, EventSink};
use model::{ContainerId, ContainerPlan, Digest, NetworkMode, NetworkPlan, Platform, Reference};

use crate::create::{DEFAULT_NETWORK, network_options};
use crate::{Engine, Error, PullPolicy, Result, Rung};

/// What `build` is asked for.
#[derive(Debug, Clone, Default)]
pub struct BuildCommand {
    /// The directory that COPY reads.
    pub context: PathBuf,
    /// The Dockerfile.
    pub dockerfile: DockerfileSource,
    /// Stage to stop at.
    pub target: Option<String>,
    /// `--build-arg`.
    pub args: Vec<(String, String)>,
    /// Names of the result.
    pub tags: Vec<Reference>,
    /// Labels on top of the Dockerfile's.
    pub labels: Vec<(String, String)>,
    /// Execute every step.
    pub no_cache: bool,
    /// Ask the registry for bases even if they are here.
    pub pull: bool,
    /// Network of RUN steps.
    pub network: StepNetwork,
    /// Seconds since 1970 that the result carries.
    pub source_date_epoch: Option<i64>,
    /// What the image is for.
    pub platform: Option<Platform>,
}

/// Where a Dockerfile comes from.
#[derive(Debug, Clone)]
pub enum DockerfileSource {
    /// A file; relative to the context.
    File(PathBuf),
    /// Its text.
    Text(String),
}

impl Default for DockerfileSource {
    fn default() -> Self {
        Self::File("Dockerfile".into())
    }
}

impl Engine {
    /// Builds an image.
    pub fn build(&self, command: &BuildCommand, events: &dyn EventSink) -> Result<build::Built> {
        let _shared = self.store.share()?;
        self.sweep_steps();
        let request = BuildRequest {
            context: command.context.clone(),
            dockerfile: read_dockerfile(command)?,
            target: command.target.clone(),
            build_args: command.args.clone(),
            platform: command.platform.clone().unwrap_or_else(Platform::native),
            tags: command.tags.clone(),
            labels: command.labels.iter().cloned().collect(),
            no_cache: command.no_cache,
            network: command.network,
            extra_hosts: Vec::new(),
            source_date_epoch: command.source_date_epoch,
        };
        let policy = if command.pull {
            PullPolicy::Always
        } else {
            PullPolicy::Missing
        };
        let bases = StoreBases {
            engine: self,
            policy,
            events,
        };
        if self.settings.rung == Rung::Bare {
            events.send(Event::Warning {
                text: BARE.to_owned(),
            });
        }
        let steps = Steps { engine: self };
        Ok(build::build(&request, &self.store, &bases, &steps, events)?)
    }
}

impl Engine {
    /// Whether a build is executing steps.
    pub(crate) fn steps_run(&self) -> bool {
        self.sweep_steps();
        let steps = std::fs::read_dir(self.settings.run.join("steps"));
        steps.is_ok_and(|mut steps| steps.next().is_some())
    }

    /// Removes what killed builds left in the runtime directory: their process is gone.
    fn sweep_steps(&self) {
        let steps = std::fs::read_dir(self.settings.run.join("steps"));
        for entry in steps.into_iter().flatten().flatten() {
            let name = entry.file_name();
            let pid = name
                .to_str()
                .and_then(|name| name.split('-').next())
                .unwrap_or_default();
            if !std::path::Path::new("/proc").join(pid).exists() {
                let _ = std::fs::remove_dir_all(entry.path());
            }
        }
    }
}

fn read_dockerfile(command: &BuildCommand) -> Result<DockerfileText> {
    let path = match &command.dockerfile {
        DockerfileSource::Text(text) => {
            return Ok(DockerfileText {
                name: "Dockerfile".into(),
                text: text.clone(),
                ignore: None,
            });
        }
        DockerfileSource::File(path) => command.context.join(path),
    };
    let text = std::fs::read_to_string(&path).map_err(|source| match source.kind() {
        std::io::ErrorKind::NotFound => Error::invalid_hint(
            format!("there is no Dockerfile at {}", path.display()),
            "name it with -f, or give the directory that holds it",
        ),
        _ => Error::File {
            act: "read",
            path: path.clone(),
            source,
        },
    })?;
    let mut ignore = path.clone().into_os_string();
    ignore.push(".dockerignore");
    Ok(DockerfileText {
        name: path
            .file_name()
            .map_or_else(String::new, |n| n.to_string_lossy().into_owned()),
        text,
        ignore: std::fs::read_to_string(ignore).ok(),
    })
}

/// Bases out of the store, pulled where they are missing.
struct StoreBases<'e> {
    engine: &'e Engine,
    policy: PullPolicy,
    events: &'e dyn EventSink,
}

#[expect(clippy::result_large_err, reason = "made once, when the build ends")]
impl Bases for StoreBases<'_> {
    fn resolve(
        &self,
        references: &[Reference],
        platform: &Platform,
    ) -> std::result::Result<Vec<Digest>, BaseError> {
        let one = |reference: &Reference| {
            let found = self.engine.image(
                &reference.to_string(),
                self.policy,
                Some(platform),
                self.events,
            );
            found.map(|image| image.digest).map_err(|error| BaseError {
                reference: Some(reference.clone()),
                message: format!("cannot get base image {}", reference.familiar()),
                hint: error.hint(),
                source: Some(Box::new(error)),
            })
        };
        crate::threads::each(references.iter().collect(), one)
            .into_iter()
            .collect()
    }
}

/// Said once a build.
const BARE: &str = "neither mounts nor namespaces can be had here: RUN steps work on a copy of \
    the files by a change of root, and share the network, the processes and the users of \
    whoever runs shim; they see no /proc, and files stand for their devices";

/// Executes RUN steps in containers without a supervisor.
struct Steps<'e> {
    engine: &'e Engine,
}

impl StepRunner for Steps<'_> {
    fn run(
        &self,
        step: &RunStep,
        output: &mut dyn FnMut(&[u8]),
    ) -> std::result::Result<i32, StepError> {
        let plan = self
            .plan(step)
            .map_err(|error| failed("cannot prepare the step", error))?;
        let result = match self.engine.settings.rung {
            Rung::Bare => self.bare(&plan, output),
            _ => self.with_gateway(&plan, || self.execute(&plan, output)),
        };
        let _ = std::fs::remove_dir_all(&plan.paths.run_dir);
        result
    }
}

impl Steps<'_> {
    /// Does `act` while the gateway lives that the plan asks for.
    fn with_gateway(
        &self,
        plan: &ContainerPlan,
        act: impl FnOnce() -> std::result::Result<i32, StepError>,
    ) -> std::result::Result<i32, StepError> {
        let _gateway = match plan.network {
            NetworkMode::Gateway(_) => {
                let gateway = self.engine.ensure_gateway();
                Some(gateway.map_err(|error| failed("cannot connect the step", error))?)
            }
            _ => None,
        };
        act()
    }

    fn execute(
        &self,
        plan: &ContainerPlan,
        output: &mut dyn FnMut(&[u8]),
    ) -> std::result::Result<i32, StepError> {
        let exe = protect()?;
        let child = runtime::step::spawn(&exe, plan).map_err(step_failed)?;
        follow(child, output)
    }

    /// In a copy of the layers, where nothing can be mounted.
    fn bare(
        &self,
        plan: &ContainerPlan,
        output: &mut dyn FnMut(&[u8]),
    ) -> std::result::Result<i32, StepError> {
        let copy = |error| failed("cannot copy the layers for the step", Error::from(error));
        let tree = runtime::step::bare::tree(plan);
        let layers = self.engine.store.layers();
        let flat = layers.flatten(&plan.rootfs.layers, &tree).map_err(copy)?;
        let exe = protect()?;
        let child = runtime::step::spawn_bare(&exe, plan).map_err(step_failed)?;
        let code = follow(child, output)?;
        let without = runtime::step::bare::not_of_the_step(plan);
        flat.changes_to(&plan.rootfs.upper, &without).map_err(|e| {
            failed(
                "cannot make a layer of what the step has changed",
                Error::from(e),
            )
        })?;
        Ok(code)
    }

    fn plan(&self, step: &RunStep) -> Result<ContainerPlan> {
        let engine = self.engine;
        let id = engine.store.containers().new_id()?;
        let name = format!("{}-{}", std::process::id(), id.short());
        let run_dir = engine.settings.run.join("steps").join(name);
        std::fs::create_dir_all(&run_dir).map_err(|source| Error::File {
            act: "create",
            path: run_dir.clone(),
            source,
        })?;
        let mut plan = ContainerPlan {
            version: crate::container_plan::PLAN_VERSION,
            name: format!("build-{}", id.short()),
            hostname: "buildkitsandbox".into(),
            rootfs: RootfsPlan {
                layers: step.layers.clone(),
                upper: step.upper.clone(),
                work: step.work.clone(),
                read_only: false,
                volatile: true,
            },
            process: ProcessPlan {
                argv: step.argv.clone(),
                env: step.env.clone(),
                cwd: step.cwd.clone(),
                user: step.user.clone(),
                tty: false,
                stdin_open: false,
                capabilities: DEFAULT_CAPABILITIES.map(str::to_owned).to_vec(),
                no_new_privileges: false,
                ..ProcessPlan::default()
            },
            mounts: step.mounts.clone(),
            network: self.network(step.network, &id)?,
            extra_hosts: step.extra_hosts.clone(),
            stop: StopPlan {
                signal: 9,
                grace_ms: 0,
            },
            restart: model::RestartPolicy::No,
            health: None,
            paths: PlanPaths {
                exit: run_dir.join("exit.json"),
                run_dir,
                log: None,
                gateway: engine.settings.gateway_socket(),
            },
            wait_for_attach: false,
            seccomp: Seccomp::Default,
            ids: None,
            after_exit: None,
            domainname: String::new(),
            dns: DnsPlan::default(),
            exposed: Vec::new(),
            isolation: Isolation::default(),
            limits: Limits::default(),
            init: false,
            logging: LogPlan::default(),
            pid_file: None,
            annotations: BTreeMap::new(),
            id,
        };
        plan.ids = engine.step_ids(&plan)?;
        Ok(plan)
    }

    fn network(&self, network: StepNetwork, id: &ContainerId) -> Result<NetworkMode> {
        Ok(match network {
            StepNetwork::None if self.engine.settings.rung == Rung::Bare => {
                return Err(Error::invalid(
                    "a step cannot be kept from the network here: no namespaces can be had",
                ));
            }
            _ if self.engine.settings.rung == Rung::Bare => NetworkMode::Host,
            StepNetwork::None => NetworkMode::None,
            StepNetwork::Host => NetworkMode::Host,
            StepNetwork::Default => {
                let networks = self.engine.store.networks();
                let record = networks.ensure(DEFAULT_NETWORK, &network_options())?;
                NetworkMode::Gateway(NetworkPlan {
                    container: id.clone(),
                    name: format!("build-{}", id.short()),
                    attachments: vec![model::network::Attachment {
                        network: record.name,
                        subnet: record.subnet,
                        address: None,
                        aliases: Vec::new(),
                        internal: record.internal,
                        mac: None,
                    }],
                    published: Vec::new(),
                    host_loopback: false,
                    servers: Vec::new(),
                })
            }
        })
    }
}

fn protect() -> std::result::Result<runtime::own_exe::OwnExe, StepError> {
    runtime::own_exe::protect()
        .map_err(|error| failed("cannot protect our own program", Error::Sys(error)))
}

/// Hands a step's output on until its end.
fn follow(
    mut child: runtime::step::StepChild,
    output: &mut dyn FnMut(&[u8]),
) -> std::result::Result<i32, StepError> {
    use std::io::Read;
    let mut buffer = vec![0; 64 << 10];
    let mut pipe = std::fs::File::from(child.output.try_clone().map_err(|source| StepError {
        message: "cannot read the step's output".into(),
        hint: None,
        source: Some(Box::new(source)),
    })?);
    loop {
        match pipe.read(&mut buffer) {
            Ok(0) => break,
            Ok(n) => output(&buffer[..n]),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(source) => {
                let _ = child.kill();
                return Err(StepError {
                    message: "cannot read the step's output".into(),
                    hint: None,
                    source: Some(Box::new(source)),
                });
            }
        }
    }
    child.wait().map_err(step_failed)
}

fn failed(message: &str, error: Error) -> StepError {
    StepError {
        message: message.to_owned(),
        hint: error.hint(),
        source: Some(Box::new(error)),
    }
}

fn step_failed(error: runtime::step::StepError) -> StepError {
    let hint = match &error {
        runtime::step::StepError::Start { hint, .. } => hint.clone(),
        runtime::step::StepError::Sys(_) => None,
    };
    StepError {
        message: "the step did not start".into(),
        hint,
        source: Some(Box::new(error)),
    }
}
