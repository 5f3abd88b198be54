//! From the merged tree to plain types. Each value is checked here, and only here.

mod command;
mod environment;
mod limits;
mod network;
mod port;
mod resource;
mod service;
mod value;
mod volume;

use std::collections::BTreeMap;
use std::path::Path;

use text::{Diagnostic, Sources};

use crate::Files;
use crate::at::At;
use crate::interpolate::Environment;
use crate::project::{Network, Project, Service, Volume};
use crate::yaml::{Map, Node, Value};

/// What reading needs to know besides the tree.
pub(crate) struct Reader<'a> {
    /// Of the project; relative paths that nobody has made absolute start here.
    pub(crate) directory: &'a Path,
    /// Name of the project.
    pub(crate) project: &'a str,
    /// For names without a value.
    pub(crate) environment: &'a Environment,
    /// Profiles that are on.
    pub(crate) profiles: Vec<String>,
    /// For `env_file`.
    pub(crate) files: &'a dyn Files,
    /// Names in messages are relative to it.
    pub(crate) current_directory: &'a Path,
    /// The texts; `env_file` adds to them.
    pub(crate) sources: &'a mut Sources,
    /// Complaints.
    pub(crate) diagnostics: &'a mut Vec<Diagnostic>,
}

/// Characters of the names of services, networks and volumes.
fn is_name(name: &str) -> bool {
    let fits = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
    !name.is_empty() && name.bytes().all(fits)
}

impl Reader<'_> {
    /// Reads the whole tree. The services are not split by profile yet, and nobody has
    /// looked whether what they refer to is there.
    pub(crate) fn project(&mut self, tree: &Node) -> Project {
        let empty = Map::default();
        let top = tree.as_map().unwrap_or(&empty);
        let services = self.section(top, "services", Self::service);
        let networks = self.section(top, "networks", Self::network);
        let volumes = self.section(top, "volumes", Self::volume);
        Project {
            name: self.project.to_owned(),
            directory: self.directory.to_owned(),
            files: Vec::new(),
            services: services.into_iter().collect::<BTreeMap<String, Service>>(),
            disabled: BTreeMap::new(),
            networks: networks.into_iter().collect::<BTreeMap<String, Network>>(),
            volumes: volumes.into_iter().collect::<BTreeMap<String, Volume>>(),
            profiles: self.profiles.clone(),
        }
    }

    fn section<T>(
        &mut self,
        top: &Map,
        name: &str,
        read: impl Fn(&mut Self, &crate::yaml::Entry, &At<'_>) -> Option<T>,
    ) -> Vec<(String, T)> {
        let at = At::Top.key(name);
        let entries = match top.get(name).map(|node| (&node.value, node)) {
            None | Some((Value::Null, _)) => return Vec::new(),
            Some((Value::Map(map), _)) => map,
            Some((_, node)) => {
                self.wrong(node, &at, "a mapping of names");
                return Vec::new();
            }
        };
        let mut section = Vec::new();
        for entry in entries.iter().filter(|entry| !entry.key.starts_with("x-")) {
            if !is_name(&entry.key) {
                self.diagnostics.push(
                    Diagnostic::error(format!("`{}` cannot be a name in `{name}`", entry.key))
                        .at(entry.key_span)
                        .hint("names have letters, digits, `.`, `_` and `-`"),
                );
                continue;
            }
            if let Some(value) = read(self, entry, &at.key(&entry.key)) {
                section.push((entry.key.clone(), value));
            }
        }
        section
    }
}
