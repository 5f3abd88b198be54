//! What is there of a project.

use std::collections::BTreeMap;

use compose::Project;
use serde_json::Value;

use super::labels;
use crate::{ContainerView, Engine, Result};

/// What is there of a project, read without changing anything.
#[derive(Debug, Default)]
pub struct Observed {
    /// Its containers, one-off ones aside.
    pub containers: Vec<ContainerView>,
    /// What each container was made from, by container id; see [`compose::fingerprint`].
    pub fingerprints: BTreeMap<String, BTreeMap<String, Value>>,
    /// Image ids by name, for the images that its services use and that are here.
    pub images: BTreeMap<String, String>,
    /// Names of all networks.
    pub networks: Vec<String>,
    /// Names of all volumes.
    pub volumes: Vec<String>,
}

impl Observed {
    /// The containers of a service, the first replica first.
    pub fn of(&self, service: &str) -> Vec<&ContainerView> {
        let mut found: Vec<_> = self
            .containers
            .iter()
            .filter(|c| {
                c.record
                    .labels
                    .get(labels::SERVICE)
                    .is_some_and(|s| s == service)
            })
            .collect();
        found.sort_by_key(|c| {
            c.record
                .labels
                .get(labels::NUMBER)
                .and_then(|n| n.parse::<u32>().ok())
        });
        found
    }
}

impl Engine {
    /// Looks at what is there of a project.
    pub fn observe_project(&self, project: &Project) -> Result<Observed> {
        let mut observed = Observed {
            containers: self.project_containers(&project.name)?,
            networks: self
                .store
                .networks()
                .list()?
                .into_iter()
                .map(|n| n.name)
                .collect(),
            volumes: self
                .store
                .volumes()
                .list()?
                .into_iter()
                .map(|v| v.name)
                .collect(),
            ..Observed::default()
        };
        if let Some(state) = self.store.projects().get(&project.name)? {
            let known = serde_json::from_value(state["fingerprints"].clone());
            // A state that an older program wrote only costs the explanation.
            observed.fingerprints = known.unwrap_or_default();
        }
        for service in project.services.values() {
            let name = project.image_name(service);
            match self.store.images().resolve(&name) {
                Ok((image, _)) => drop(observed.images.insert(name, image.id.to_string())),
                Err(store::Error::NoImage(_)) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(observed)
    }

    /// The containers that carry the project's label.
    pub fn project_containers(&self, project: &str) -> Result<Vec<ContainerView>> {
        let mut containers = self.list()?;
        containers.retain(|c| {
            let label = |name: &str| c.record.labels.get(name).map(String::as_str);
            label(labels::PROJECT) == Some(project) && label(labels::ONE_OFF) != Some("True")
        });
        Ok(containers)
    }

    /// Remembers what the containers of a project were made from.
    pub(super) fn remember(
        &self,
        project: &str,
        fingerprints: &BTreeMap<String, BTreeMap<String, Value>>,
    ) -> Result<()> {
        let state = serde_json::json!({ "version": 1, "fingerprints": fingerprints });
        Ok(self.store.projects().put(project, &state)?)
    }
}
