//! What refers to something else, and whether that is there.

use std::collections::{BTreeMap, BTreeSet};

use text::{Diagnostic, Span, suggest};

use crate::profiles;
use crate::project::{
    Condition, Dependency, Network, Project, Service, ServiceNetwork, VolumeKind,
};
use crate::yaml::Node;

/// Splits the services by profile, adds what is implied (the default network,
/// dependencies of shared networks), and complains about what refers to nothing.
pub(crate) fn check(project: &mut Project, tree: &Node, diagnostics: &mut Vec<Diagnostic>) {
    split_by_profile(project);
    let mut checker = Checker {
        tree,
        project,
        diagnostics,
    };
    let mut complete = BTreeMap::new();
    for service in checker.project.services.values() {
        complete.insert(service.name.clone(), service.clone());
    }
    for service in complete.values_mut() {
        checker.dependencies(service);
        checker.networks(service);
        checker.volumes(service);
    }
    checker.container_names(&complete);
    checker.cycles(&complete);
    project.services = complete;
    add_default_network(project);
}

fn split_by_profile(project: &mut Project) {
    let on = project.profiles.clone();
    let enabled =
        |service: &Service| profiles::switch_on(&on, service.profiles.iter().map(String::as_str));
    let services = std::mem::take(&mut project.services);
    (project.services, project.disabled) = services
        .into_iter()
        .partition(|(_, service)| enabled(service));
}

fn add_default_network(project: &mut Project) {
    let uses = |service: &Service| match &service.network {
        ServiceNetwork::Networks(list) => list.iter().any(|one| one.network == "default"),
        _ => false,
    };
    if project
        .services
        .values()
        .chain(project.disabled.values())
        .any(uses)
    {
        let name = format!("{}_default", project.name);
        project
            .networks
            .entry("default".into())
            .or_insert_with(|| Network {
                name,
                external: false,
                internal: false,
                subnet: None,
                labels: BTreeMap::new(),
            });
    }
}

struct Checker<'a> {
    tree: &'a Node,
    project: &'a Project,
    diagnostics: &'a mut Vec<Diagnostic>,
}

impl Checker<'_> {
    /// Where a path of keys is written, as far as it goes.
    fn place(&self, service: &Service, path: &[&str]) -> Span {
        let mut node = Some(self.tree);
        let mut span = service.span;
        for key in ["services", &service.name].iter().chain(path) {
            let entry = node.and_then(Node::as_map).and_then(|map| map.entry(key));
            let Some(entry) = entry else { break };
            span = entry.key_span;
            node = Some(&entry.value);
        }
        span
    }

    fn dependencies(&mut self, service: &mut Service) {
        for (name, dependency) in service.depends_on.clone() {
            if self.project.services.contains_key(&name) {
                continue;
            }
            if !dependency.required && self.project.disabled.contains_key(&name) {
                service.depends_on.remove(&name);
                continue;
            }
            let span = self.place(service, &["depends_on", &name]);
            let complaint = self.absent(service, &name, "depends on").at(span);
            let switched_off = self.project.disabled.contains_key(&name);
            self.diagnostics.push(match switched_off {
                true => complaint.hint("`required: false` lets it be absent"),
                false => complaint,
            });
        }
        let ServiceNetwork::Service(other) = &service.network else {
            return;
        };
        if !self.project.services.contains_key(other) {
            let span = self.place(service, &["network_mode"]);
            let complaint = self
                .absent(service, other, "shares the network of")
                .at(span);
            self.diagnostics.push(complaint);
            return;
        }
        let implied = Dependency {
            condition: Condition::Started,
            required: true,
            restart: true,
        };
        service.depends_on.entry(other.clone()).or_insert(implied);
    }

    /// A complaint about a service that is not there, or switched off.
    fn absent(&self, service: &Service, name: &str, relation: &str) -> Diagnostic {
        let start = format!("service `{}` {relation} `{name}`", service.name);
        match self
            .project
            .disabled
            .get(name)
            .and_then(|other| other.profiles.first())
        {
            Some(profile) => Diagnostic::error(format!("{start}, which runs only in a profile"))
                .hint(format!("switch it on: `--profile {profile}`")),
            None => {
                let names = self
                    .project
                    .services
                    .keys()
                    .filter(|key| **key != service.name);
                let nearest = suggest::nearest(name, names.map(String::as_str));
                Diagnostic::error(format!("{start}, which is not a service here"))
                    .did_you_mean(nearest)
            }
        }
    }

    fn networks(&mut self, service: &Service) {
        let ServiceNetwork::Networks(attachments) = &service.network else {
            return;
        };
        for attachment in attachments {
            let network = &attachment.network;
            if network == "default" || self.project.networks.contains_key(network) {
                continue;
            }
            let names = self.project.networks.keys().map(String::as_str);
            let message = format!(
                "service `{}` uses network `{network}`, which is not defined",
                service.name
            );
            self.diagnostics.push(
                Diagnostic::error(message)
                    .at(self.place(service, &["networks", network]))
                    .did_you_mean(suggest::nearest(network, names))
                    .hint(format!(
                        "define it at the top of the file: `networks: {{{network}: }}`"
                    )),
            );
        }
    }

    fn volumes(&mut self, service: &Service) {
        for mount in &service.volumes {
            let VolumeKind::Named { volume, .. } = &mount.kind else {
                continue;
            };
            if self.project.volumes.contains_key(volume) {
                continue;
            }
            let names = self.project.volumes.keys().map(String::as_str);
            let message = format!(
                "service `{}` uses volume `{volume}`, which is not defined",
                service.name
            );
            let diagnostic = Diagnostic::error(message)
                .at(self.mount_place(service, volume))
                .did_you_mean(suggest::nearest(volume, names));
            self.diagnostics.push(match volume.contains('/') {
                true => diagnostic.hint(format!("for a path of the host write `./{volume}`")),
                false => diagnostic
                    .hint(format!(
                        "define it at the top of the file: `volumes: {{{volume}: }}`"
                    ))
                    .hint(format!("or write `./{volume}` for a path of the host")),
            });
        }
    }

    /// Where a service mounts a volume.
    fn mount_place(&self, service: &Service, volume: &str) -> Span {
        let node = ["services", &service.name, "volumes"]
            .iter()
            .try_fold(self.tree, |node, key| node.as_map()?.get(key));
        let items = match node.map(|node| &node.value) {
            Some(crate::yaml::Value::List(items)) => items.as_slice(),
            _ => &[],
        };
        let source = |item: &&Node| {
            let source = item.as_map().and_then(|map| map.get("source"));
            source.and_then(Node::as_text) == Some(volume)
        };
        items
            .iter()
            .find(source)
            .map_or(service.span, |item| item.span)
    }

    fn container_names(&mut self, services: &BTreeMap<String, Service>) {
        let mut owners: BTreeMap<&str, &Service> = BTreeMap::new();
        for service in services.values() {
            let Some(name) = &service.container_name else {
                continue;
            };
            let Some(first) = owners.insert(name, service) else {
                continue;
            };
            let message = format!(
                "services `{}` and `{}` both have the container name `{name}`",
                first.name, service.name
            );
            self.diagnostics.push(
                Diagnostic::error(message)
                    .at(self.place(service, &["container_name"]))
                    .related(self.place(first, &["container_name"]), "also here"),
            );
        }
    }

    fn cycles(&mut self, services: &BTreeMap<String, Service>) {
        let mut done = BTreeSet::new();
        for name in services.keys() {
            if let Some(path) = find_cycle(services, name, &mut done) {
                let last = &services[path[path.len() - 2]];
                let span = self.place(last, &["depends_on", path[path.len() - 1]]);
                let message = format!("services depend on each other: {}", path.join(" → "));
                self.diagnostics.push(Diagnostic::error(message).at(span));
            }
        }
    }
}

/// A path from a service back to itself, found depth first from `start`. Services in
/// `done` lead to none that has not been reported.
fn find_cycle<'s>(
    services: &'s BTreeMap<String, Service>,
    start: &'s str,
    done: &mut BTreeSet<&'s str>,
) -> Option<Vec<&'s str>> {
    // Each step of the path with the dependencies still to be followed.
    let below = |name: &str| services.get(name).map(|service| service.depends_on.keys());
    let mut path: Vec<&str> = vec![start];
    let mut open = vec![below(start)?];
    if !done.insert(start) {
        return None;
    }
    while let Some(rest) = open.last_mut() {
        let Some(next) = rest.next() else {
            open.pop();
            path.pop();
            continue;
        };
        if let Some(at) = path.iter().position(|name| name == next) {
            let mut cycle = path.split_off(at);
            cycle.push(next);
            return Some(cycle);
        }
        if let Some(dependencies) = below(next)
            && done.insert(next)
        {
            path.push(next);
            open.push(dependencies);
        }
    }
    None
}
