//! `down`: stops and removes what belongs to a project.

use std::collections::BTreeSet;
use std::time::Duration;

use compose::{Project, Service};
use model::event::{Event, EventSink};

use super::{labels, plan};
use crate::{ContainerView, Engine, Result, threads};

/// What `down` is asked for.
#[derive(Debug, Clone)]
pub struct DownRequest {
    /// The project.
    pub project: Project,
    /// Remove its volumes, too; external ones stay.
    pub volumes: bool,
    /// Remove containers of services that are not in the files.
    pub remove_orphans: bool,
    /// Instead of each container's own time of grace.
    pub grace: Option<Duration>,
}

impl Engine {
    /// Takes a project down, dependants before what they depend on.
    pub fn down(&self, request: &DownRequest, events: &dyn EventSink) -> Result<()> {
        let project = &request.project;
        let _lock = self.store.projects().lock(&project.name)?;
        let mut left = self.project_containers(&project.name)?;
        let services: Vec<&Service> = project
            .services
            .values()
            .chain(project.disabled.values())
            .collect();
        let known: BTreeSet<&str> = services.iter().map(|s| s.name.as_str()).collect();
        let service_of = |c: &ContainerView| {
            c.record
                .labels
                .get(labels::SERVICE)
                .cloned()
                .unwrap_or_default()
        };
        let (ours, orphans): (Vec<_>, Vec<_>) = left
            .drain(..)
            .partition(|c| known.contains(service_of(c).as_str()));
        let mut waves = waves(&services);
        waves.reverse();
        for wave in waves {
            let members = ours.iter().filter(|c| wave.contains(&service_of(c)));
            self.remove_all(members.collect(), request, events)?;
        }
        let orphans_stay = !orphans.is_empty() && !request.remove_orphans;
        match orphans_stay {
            true => {
                let names = orphans.iter().map(|c| c.record.name.clone());
                tell_of_orphans(&names.collect::<Vec<_>>(), events);
            }
            false => self.remove_all(orphans.iter().collect(), request, events)?,
        }
        self.remove_networks(project, events)?;
        if request.volumes {
            self.remove_volumes(project, events)?;
        }
        if !orphans_stay {
            self.store.projects().remove(&project.name)?;
            self.store.sweep();
        }
        self.gateway_may_end()
    }

    /// Stops a project's containers and keeps them, dependants first.
    pub fn stop_project(&self, request: &DownRequest, events: &dyn EventSink) -> Result<()> {
        let containers = self.project_containers(&request.project.name)?;
        let services: Vec<&Service> = request.project.services.values().collect();
        let mut waves = waves(&services);
        waves.reverse();
        for wave in waves {
            let member = |c: &&ContainerView| {
                c.record
                    .labels
                    .get(labels::SERVICE)
                    .is_some_and(|s| wave.contains(s))
            };
            let stop = |container: &ContainerView| {
                let stopped = self.stop(&container.record, None, request.grace);
                tell(events, container, "Stopped", &stopped);
                stopped
            };
            threads::try_each(containers.iter().filter(member).collect(), stop)?;
        }
        self.gateway_may_end()
    }

    /// Kills a project's containers.
    pub fn kill_project(&self, project: &Project) -> Result<()> {
        for container in self.project_containers(&project.name)? {
            if container.observed.is_alive() {
                self.stop(&container.record, Some(9), Some(Duration::ZERO))?;
            }
        }
        Ok(())
    }

    fn remove_all(
        &self,
        containers: Vec<&ContainerView>,
        request: &DownRequest,
        events: &dyn EventSink,
    ) -> Result<()> {
        let remove = |container: &ContainerView| -> Result<()> {
            let id = format!("Container {}", container.record.name);
            events.send(Event::Started {
                id,
                action: "Stopping".into(),
            });
            let result = match container.observed.is_alive() {
                true => self.stop(&container.record, None, request.grace),
                false => Ok(()),
            };
            let result =
                result.and_then(|()| self.remove(&container.record, true, request.volumes));
            tell(events, container, "Removed", &result);
            result
        };
        threads::try_each(containers, remove)
    }

    fn remove_networks(&self, project: &Project, events: &dyn EventSink) -> Result<()> {
        for network in project.networks.values().filter(|n| !n.external) {
            match self.store.networks().remove(&network.name) {
                Ok(()) => events.send(Event::Done {
                    id: format!("Network {}", network.name),
                    outcome: "Removed".into(),
                }),
                Err(store::Error::NoNetwork(_)) => {}
                Err(error @ store::Error::InUse { .. }) => {
                    events.send(Event::Warning {
                        text: error.to_string(),
                    });
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    fn remove_volumes(&self, project: &Project, events: &dyn EventSink) -> Result<()> {
        for volume in project.volumes.values().filter(|v| !v.external) {
            match self.store.volumes().remove(&volume.name) {
                Ok(()) => events.send(Event::Done {
                    id: format!("Volume {}", volume.name),
                    outcome: "Removed".into(),
                }),
                Err(store::Error::NoVolume(_)) => {}
                Err(error @ store::Error::InUse { .. }) => {
                    events.send(Event::Warning {
                        text: error.to_string(),
                    });
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}

/// Says whose containers stay.
pub(super) fn tell_of_orphans(containers: &[String], events: &dyn EventSink) {
    let text = format!(
        "containers of services that are not in the files stay: {} (--remove-orphans removes them)",
        containers.join(", ")
    );
    events.send(Event::Warning { text });
}

fn tell(events: &dyn EventSink, container: &ContainerView, done: &str, result: &Result<()>) {
    let id = format!("Container {}", container.record.name);
    events.send(match result {
        Ok(()) => Event::Done {
            id,
            outcome: done.into(),
        },
        Err(_) => Event::Failed {
            id,
            outcome: "Error".into(),
        },
    });
}

/// Services that can be started together, in the order of their dependencies.
fn waves(services: &[&Service]) -> Vec<BTreeSet<String>> {
    let mut waves: Vec<BTreeSet<String>> = Vec::new();
    for service in plan::in_order(services) {
        let after = service.depends_on.keys();
        let level = |name: &String| waves.iter().position(|w| w.contains(name)).map(|i| i + 1);
        let wave = after.filter_map(level).max().unwrap_or(0);
        if waves.len() <= wave {
            waves.resize(wave + 1, BTreeSet::new());
        }
        waves[wave].insert(service.name.clone());
    }
    waves
}
