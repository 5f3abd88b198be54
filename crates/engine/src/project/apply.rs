//! `up`: does what the plan says, side by side where nothing stands in the way.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, TcpListener, UdpSocket};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use compose::{Project, Service};
use model::Transport;
use model::event::{Event, EventSink};
use serde_json::Value;

use super::plan::uses_network;
use super::wait::Progress;
use super::{Action, Observed, Plan, labels, service};
use crate::{ContainerRecord, Engine, Error, Result, RunRequest, threads};

/// What `up` is asked for.
#[derive(Debug, Clone)]
pub struct UpRequest {
    /// The project.
    pub project: Project,
    /// Services to start with all they depend on; empty means all.
    pub services: Vec<String>,
    /// Build images even if they are here.
    pub build: bool,
    /// Replace containers even if nothing has changed.
    pub force_recreate: bool,
    /// Remove containers of services that are not in the files.
    pub remove_orphans: bool,
    /// Come back only when every service is up, healthy where it has a check.
    pub wait: bool,
    /// For containers that are replaced or removed, instead of each one's own time.
    pub grace: Option<Duration>,
}

/// What `up` did.
#[derive(Debug, Default)]
pub struct UpOutcome {
    /// The containers of the project's services, in the order of the plan.
    pub containers: Vec<ContainerRecord>,
}

impl Engine {
    /// Applies a plan made from the same request and observation; makes another where
    /// somebody was faster.
    pub fn up(
        &self,
        request: &UpRequest,
        plan: &Plan,
        observed: &Observed,
        events: &dyn EventSink,
    ) -> Result<UpOutcome> {
        let project = &request.project;
        for service in &request.services {
            if !project.services.contains_key(service) {
                return Err(self.unknown_service(project, service));
            }
        }
        if plan
            .actions
            .iter()
            .all(|a| matches!(a, Action::Keep { .. }))
        {
            return self.nothing_to_do(request, plan, observed, events);
        }
        let _lock = self.store.projects().lock(&project.name)?;
        // Another `up` or `down` may have been at work until now.
        let observed = &self.observe_project(project)?;
        let plan = &super::plan(request, observed);
        self.prepare(request, plan, events)?;
        let run = Run {
            engine: self,
            request,
            observed,
            events,
            progress: Progress::default(),
            ports: Mutex::default(),
            fingerprints: Mutex::new(observed.fingerprints.clone()),
        };
        let outcome = run.containers(plan);
        // Also after a failure: what was made is known.
        let mut known = run.fingerprints.into_inner().unwrap_or_default();
        let alive: Vec<_> = self.project_containers(&project.name)?;
        known.retain(|id, _| alive.iter().any(|c| c.record.id.as_str() == id));
        self.remember(&project.name, &known)?;
        outcome
    }

    /// An error that names the nearest service.
    fn unknown_service(&self, project: &Project, name: &str) -> Error {
        let known = project.services.keys().map(String::as_str);
        let message = format!("no such service: {name}");
        if project.disabled.contains_key(name) {
            let hint = format!(
                "its profiles are off; turn one on with --profile {}",
                project.disabled[name]
                    .profiles
                    .first()
                    .map_or("NAME", String::as_str)
            );
            return Error::invalid_hint(message, hint);
        }
        match text::suggest::nearest(name, known) {
            Some(nearest) => Error::invalid_hint(message, format!("did you mean `{nearest}`?")),
            None => Error::invalid(message),
        }
    }

    fn nothing_to_do(
        &self,
        request: &UpRequest,
        plan: &Plan,
        observed: &Observed,
        events: &dyn EventSink,
    ) -> Result<UpOutcome> {
        let mut outcome = UpOutcome::default();
        for action in &plan.actions {
            let Some(name) = action.service() else {
                continue;
            };
            let found = observed.of(name).into_iter().next();
            let Some(found) = found else { continue };
            events.send(Event::Done {
                id: format!("Container {}", found.record.name),
                outcome: "Running".into(),
            });
            outcome.containers.push(found.record.clone());
        }
        if request.wait {
            outcome
                .containers
                .iter()
                .try_for_each(|c| self.wait_until_up(c))?;
        }
        Ok(outcome)
    }

    /// Images, networks, volumes, orphans: everything before the first container.
    fn prepare(&self, request: &UpRequest, plan: &Plan, events: &dyn EventSink) -> Result<()> {
        let project = &request.project;
        self.external(project)?;
        self.project_images(request, plan, events)?;
        for action in &plan.actions {
            let (id, result) = match action {
                Action::CreateNetwork { key, name } => (
                    format!("Network {name}"),
                    self.project_network(project, key),
                ),
                Action::CreateVolume { key, name } => {
                    let labels = service::volume_labels(project, key).into_iter().collect();
                    let made = self.store.volumes().create(Some(name), &labels);
                    (
                        format!("Volume {name}"),
                        made.map(drop).map_err(Error::from),
                    )
                }
                Action::Remove { container } => {
                    let removed = self.find(container).and_then(|c| {
                        self.stop(&c, None, request.grace)?;
                        self.remove(&c, true, false)
                    });
                    (format!("Container {container}"), removed)
                }
                _ => continue,
            };
            let outcome = match action {
                Action::Remove { .. } => "Removed",
                _ => "Created",
            };
            events.send(match &result {
                Ok(()) => Event::Done {
                    id,
                    outcome: outcome.into(),
                },
                Err(_) => Event::Failed {
                    id,
                    outcome: "Error".into(),
                },
            });
            result?;
        }
        Ok(())
    }

    fn project_network(&self, project: &Project, key: &str) -> Result<()> {
        let Some(network) = project.networks.get(key) else {
            return Ok(());
        };
        let mut options = crate::create::network_options();
        options.subnet = network.subnet;
        options.internal = network.internal;
        options.labels = network.labels.clone();
        options
            .labels
            .insert(labels::PROJECT.to_owned(), project.name.clone());
        options
            .labels
            .insert(labels::NETWORK.to_owned(), key.to_owned());
        self.store.networks().ensure(&network.name, &options)?;
        Ok(())
    }

    /// What is external and used must be there.
    fn external(&self, project: &Project) -> Result<()> {
        let used = |key: &str| project.services.values().any(|s| uses_network(s, key));
        for (key, network) in &project.networks {
            if !network.external || !used(key) {
                continue;
            }
            self.store.networks().get(&network.name).map_err(|_| {
                let name = &network.name;
                let message = format!("network {name} is declared external and does not exist");
                Error::invalid_hint(
                    message,
                    format!("make it with `shim network create {name}`"),
                )
            })?;
        }
        for volume in project.volumes.values().filter(|v| v.external) {
            self.store.volumes().get(&volume.name).map_err(|_| {
                let name = &volume.name;
                let message = format!("volume {name} is declared external and does not exist");
                Error::invalid_hint(message, format!("make it with `shim volume create {name}`"))
            })?;
        }
        Ok(())
    }
}

/// One `up` on its way.
struct Run<'a> {
    engine: &'a Engine,
    request: &'a UpRequest,
    observed: &'a Observed,
    events: &'a dyn EventSink,
    progress: Progress,
    /// Ports that were chosen out of a range.
    ports: Mutex<Vec<(Transport, u16)>>,
    fingerprints: Mutex<BTreeMap<String, BTreeMap<String, Value>>>,
}

impl Run<'_> {
    /// Every service on a thread of its own, which waits for those it depends on.
    fn containers(&self, plan: &Plan) -> Result<UpOutcome> {
        let actions: Vec<&Action> = plan
            .actions
            .iter()
            .filter(|action| action.service().is_some())
            .collect();
        let mut outcome = UpOutcome::default();
        let mut errors = Vec::new();
        for result in threads::each(actions, |action| self.one(action)) {
            match result {
                Ok(record) => outcome.containers.extend(record),
                Err(error) => errors.push(error),
            }
        }
        Error::several(errors).map(|()| outcome)
    }

    /// One service. `None` if something it depends on has failed: that error is enough.
    fn one(&self, action: &Action) -> Result<Option<ContainerRecord>> {
        let name = action.service().unwrap_or_default();
        let Some(service) = self.request.project.services.get(name) else {
            return Ok(None);
        };
        let result = self.dependencies(service).and_then(|ready| match ready {
            true => self.container(action, service).map(Some),
            false => Ok(None),
        });
        self.progress
            .finish(name, result.as_ref().ok().and_then(Option::as_ref));
        result
    }

    fn dependencies(&self, service: &Service) -> Result<bool> {
        for (name, dependency) in &service.depends_on {
            if !self.request.project.services.contains_key(name) {
                continue;
            }
            let met = match self.progress.started(name) {
                Some(record) => self.engine.wait_for(&record, dependency.condition, name),
                None => Ok(false),
            };
            match met {
                Ok(true) => {}
                Ok(false) if dependency.required => return Ok(false),
                Err(error) if dependency.required => return Err(error),
                Ok(false) | Err(_) => {
                    let text = format!("{}: optional dependency {name} failed", service.name);
                    self.events.send(Event::Warning { text });
                }
            }
        }
        Ok(true)
    }

    fn container(&self, action: &Action, service: &Service) -> Result<ContainerRecord> {
        let found = self.observed.of(&service.name).into_iter().next();
        let (verb, outcome) = match action {
            Action::Keep { .. } => ("Checking", "Running"),
            Action::Start { .. } => ("Starting", "Started"),
            Action::Restart { .. } => ("Restarting", "Restarted"),
            Action::Recreate { .. } => ("Recreating", "Recreated"),
            _ => ("Creating", "Started"),
        };
        let name = self.request.project.container_name(service, 1);
        let id = format!("Container {name}");
        self.events.send(Event::Started {
            id: id.clone(),
            action: verb.into(),
        });
        let result = match (action, found) {
            (Action::Keep { .. } | Action::Start { .. }, Some(found)) => self.keep(found, service),
            (Action::Restart { .. }, Some(found)) => self
                .engine
                .stop(&found.record, None, self.request.grace)
                .and_then(|()| self.keep(found, service)),
            (_, found) => self.create(found.map(|f| &f.record), service),
        };
        let result = result.and_then(|record| {
            if self.request.wait {
                self.engine.wait_until_up(&record)?;
            }
            Ok(record)
        });
        self.events.send(match &result {
            Ok(_) => Event::Done {
                id,
                outcome: outcome.into(),
            },
            Err(_) => Event::Failed {
                id,
                outcome: "Error".into(),
            },
        });
        result
    }

    /// Starts what is as it should be, unless a build has just changed its image.
    fn keep(&self, found: &crate::ContainerView, service: &Service) -> Result<ContainerRecord> {
        let image = self.request.project.image_name(service);
        let (image, _) = self.engine.store.images().resolve(&image)?;
        if image.id != found.record.image.id {
            return self.create(Some(&found.record), service);
        }
        self.engine.start(&found.record)?;
        Ok(found.record.clone())
    }

    fn create(&self, old: Option<&ContainerRecord>, service: &Service) -> Result<ContainerRecord> {
        let project = &self.request.project;
        let images = self.engine.store.images();
        let (image, _) = images.resolve(&project.image_name(service))?;
        let port = |port: &compose::Port| self.host_port(port);
        let mut request = service::request(project, service, &image.config, &port);
        let made = match old {
            Some(old) => self.engine.plan(old).and_then(|plan| {
                service::keep_volumes(&mut request, &image.config, &plan, old);
                self.replace(old, &request)
            }),
            None => self.engine.create(&request, self.events),
        };
        let record = made.map_err(|source| Error::Service {
            name: service.name.clone(),
            source: Box::new(source),
        })?;
        let fingerprint = compose::fingerprint(service);
        if let Ok(mut known) = self.fingerprints.lock() {
            known.insert(record.id.as_str().to_owned(), fingerprint);
        }
        // If that fails it stays, for whoever wants to know why; the next `up` starts it.
        self.engine.start(&record)?;
        Ok(record)
    }

    /// Makes a container in another one's place. The old one goes on until the new one is
    /// made: what cannot be made must not cost what works.
    fn replace(&self, old: &ContainerRecord, request: &RunRequest) -> Result<ContainerRecord> {
        let containers = self.engine.store.containers();
        if request.name.as_deref() == Some(&old.name) {
            let aside = format!("{}_{}", old.id.short(), old.name);
            containers.rename(&old.id, &aside)?;
        }
        let made = self.engine.create(request, self.events);
        if made.is_err() {
            let _ = containers.rename(&old.id, &old.name);
        } else {
            self.engine.stop(old, None, self.request.grace)?;
            self.engine.remove(old, true, false)?;
        }
        made
    }

    /// The host's side of a published port: of several, the first that is free.
    fn host_port(&self, port: &compose::Port) -> Option<u16> {
        let (first, last) = port.published?;
        if first == last {
            return Some(first);
        }
        let mut chosen = self.ports.lock().unwrap_or_else(PoisonError::into_inner);
        let free =
            |number: &u16| !chosen.contains(&(port.transport, *number)) && is_free(port, *number);
        // If none is, the first one's holder is named.
        let number = (first..=last).find(free).unwrap_or(first);
        chosen.push((port.transport, number));
        Some(number)
    }
}

fn is_free(port: &compose::Port, number: u16) -> bool {
    let any = IpAddr::from(Ipv4Addr::UNSPECIFIED);
    let address = (port.host_ip.unwrap_or(any), number);
    match port.transport {
        Transport::Tcp => TcpListener::bind(address).is_ok(),
        Transport::Udp => UdpSocket::bind(address).is_ok(),
    }
}
