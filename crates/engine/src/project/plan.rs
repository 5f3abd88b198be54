//! From what is wanted and what is there to what is to be done.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use compose::{PullPolicy, Service, ServiceNetwork};
use model::Platform;

use super::{Observed, UpRequest, labels};

/// What is to be done, in an order in which it can be done.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    /// Pulls and builds, then networks, volumes, and containers by dependency.
    pub actions: Vec<Action>,
    /// Containers of the project whose service is not in its files.
    pub orphans: Vec<String>,
}

/// One thing to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Pull an image.
    Pull {
        /// Its name.
        image: String,
        /// Another platform than the machine's own.
        platform: Option<Platform>,
    },
    /// Build an image, once for all services that build the same.
    Build {
        /// The service whose `build` is taken.
        service: String,
        /// Names that the result gets.
        tags: Vec<String>,
    },
    /// Make a network.
    CreateNetwork {
        /// Key in the file.
        key: String,
        /// Its name.
        name: String,
    },
    /// Make a volume.
    CreateVolume {
        /// Key in the file.
        key: String,
        /// Its name.
        name: String,
    },
    /// Stop and remove a container that nobody wants.
    Remove {
        /// The container.
        container: String,
    },
    /// Make and start a container.
    Create {
        /// Its service.
        service: String,
        /// Its name.
        container: String,
    },
    /// Replace a container.
    Recreate {
        /// Its service.
        service: String,
        /// Its name.
        container: String,
        /// Why, a field each.
        reasons: Vec<String>,
    },
    /// Stop and start a container, as something that it depends on is replaced.
    Restart {
        /// Its service.
        service: String,
        /// Its name.
        container: String,
        /// The service that it depends on.
        dependency: String,
    },
    /// Start a container that is as it should be.
    Start {
        /// Its service.
        service: String,
        /// Its name.
        container: String,
    },
    /// Leave a container alone.
    Keep {
        /// Its service.
        service: String,
        /// Its name.
        container: String,
    },
}

impl Action {
    /// The service whose container it is about.
    pub fn service(&self) -> Option<&str> {
        match self {
            Self::Create { service, .. }
            | Self::Recreate { service, .. }
            | Self::Restart { service, .. }
            | Self::Start { service, .. }
            | Self::Keep { service, .. } => Some(service),
            _ => None,
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pull { image, .. } => write!(f, "pull image {image}"),
            Self::Build { tags, .. } => write!(f, "build image {}", tags.join(", ")),
            Self::CreateNetwork { name, .. } => write!(f, "create network {name}"),
            Self::CreateVolume { name, .. } => write!(f, "create volume {name}"),
            Self::Remove { container } => write!(f, "remove container {container}"),
            Self::Create { container, .. } => write!(f, "create container {container}"),
            Self::Recreate {
                container, reasons, ..
            } => {
                write!(f, "recreate container {container} ({})", reasons.join("; "))
            }
            Self::Restart {
                container,
                dependency,
                ..
            } => write!(f, "restart container {container} (with {dependency})"),
            Self::Start { container, .. } => write!(f, "start container {container}"),
            Self::Keep { container, .. } => write!(f, "keep container {container}"),
        }
    }
}

/// Decides what is to be done. Pure.
pub fn plan(request: &UpRequest, observed: &Observed) -> Plan {
    let project = &request.project;
    let wanted = wanted_services(request);
    let mut plan = Plan::default();
    plan_images(request, observed, &wanted, &mut plan);
    let used = |service: &&Service| wanted.contains(&service.name);
    let services: Vec<&Service> = project.services.values().filter(used).collect();
    for (key, network) in &project.networks {
        let is_used = services.iter().any(|s| uses_network(s, key));
        if is_used && !network.external && !observed.networks.contains(&network.name) {
            plan.actions.push(Action::CreateNetwork {
                key: key.clone(),
                name: network.name.clone(),
            });
        }
    }
    for (key, volume) in &project.volumes {
        if !volume.external && !observed.volumes.contains(&volume.name) {
            plan.actions.push(Action::CreateVolume {
                key: key.clone(),
                name: volume.name.clone(),
            });
        }
    }
    plan_orphans(request, observed, &mut plan);
    let mut begun = BTreeMap::new();
    for service in in_order(&services) {
        // A crash while one container replaced another leaves both.
        for surplus in observed.of(&service.name).into_iter().skip(1) {
            let container = surplus.record.name.clone();
            plan.actions.push(Action::Remove { container });
        }
        let action = plan_container(request, observed, service, &begun);
        let beginning = match action {
            Action::Create { .. } | Action::Recreate { .. } => Some(Beginning::Replaced),
            Action::Start { .. } | Action::Restart { .. } => Some(Beginning::Started),
            _ => None,
        };
        begun.extend(beginning.map(|beginning| (service.name.clone(), beginning)));
        plan.actions.push(action);
    }
    plan
}

/// How a service that others depend on begins to run.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Beginning {
    /// In a new container.
    Replaced,
    /// In its old one.
    Started,
}

/// The services that were named and all that they depend on; all if none was named.
pub(super) fn wanted_services(request: &UpRequest) -> BTreeSet<String> {
    let project = &request.project;
    if request.services.is_empty() {
        return project.services.keys().cloned().collect();
    }
    let mut wanted = BTreeSet::new();
    let mut queue = request.services.clone();
    while let Some(name) = queue.pop() {
        let Some(service) = project.services.get(&name) else {
            continue;
        };
        if wanted.insert(name) {
            queue.extend(service.depends_on.keys().cloned());
        }
    }
    wanted
}

/// Plans pulls, and one build for all services that build the same.
fn plan_images(
    request: &UpRequest,
    observed: &Observed,
    wanted: &BTreeSet<String>,
    plan: &mut Plan,
) {
    let project = &request.project;
    let mut builds: Vec<(&Service, Vec<String>)> = Vec::new();
    for service in project
        .services
        .values()
        .filter(|s| wanted.contains(&s.name))
    {
        let image = project.image_name(service);
        let present = observed.images.contains_key(&image);
        // Another service may build the image that this one runs.
        let builder = std::iter::once(service)
            .chain(project.services.values())
            .find(|s| s.build.is_some() && project.image_name(s) == image);
        match builder {
            Some(builder) => {
                if !(request.build || builder.pull_policy == PullPolicy::Build || !present) {
                    continue;
                }
                let same = |other: &&Service| {
                    other.build == builder.build && other.platform == builder.platform
                };
                match builds.iter_mut().find(|(known, _)| same(known)) {
                    Some((_, tags)) if tags.contains(&image) => {}
                    Some((_, tags)) => tags.push(image),
                    None => builds.push((builder, vec![image])),
                }
            }
            None => {
                let pull = service.pull_policy == PullPolicy::Always
                    || (!present && service.pull_policy != PullPolicy::Never);
                let platform = service.platform.clone();
                let action = Action::Pull { image, platform };
                if pull && !plan.actions.contains(&action) {
                    plan.actions.push(action);
                }
            }
        }
    }
    plan.actions
        .extend(builds.into_iter().map(|(builder, tags)| Action::Build {
            service: builder.name.clone(),
            tags,
        }));
}

pub(super) fn uses_network(service: &Service, key: &str) -> bool {
    match &service.network {
        compose::ServiceNetwork::Networks(list) => list.iter().any(|a| a.network == key),
        _ => false,
    }
}

fn plan_orphans(request: &UpRequest, observed: &Observed, plan: &mut Plan) {
    for container in &observed.containers {
        let service = container.record.labels.get(labels::SERVICE);
        let known = service.is_some_and(|s| {
            request.project.services.contains_key(s) || request.project.disabled.contains_key(s)
        });
        let name = container.record.name.clone();
        match (known, request.remove_orphans) {
            (true, _) => {}
            (false, true) => plan.actions.push(Action::Remove { container: name }),
            (false, false) => plan.orphans.push(name),
        }
    }
}

/// Dependencies before dependants; otherwise by name. The loader has refused cycles.
pub(super) fn in_order<'p>(services: &[&'p Service]) -> Vec<&'p Service> {
    let mut done = BTreeSet::new();
    let mut out = Vec::new();
    let by_name: BTreeMap<&str, &'p Service> =
        services.iter().map(|s| (s.name.as_str(), *s)).collect();
    fn visit<'p>(
        service: &'p Service,
        by_name: &BTreeMap<&str, &'p Service>,
        done: &mut BTreeSet<&'p str>,
        out: &mut Vec<&'p Service>,
    ) {
        if !done.insert(service.name.as_str()) {
            return;
        }
        for dependency in service.depends_on.keys() {
            if let Some(dependency) = by_name.get(dependency.as_str()) {
                visit(dependency, by_name, done, out);
            }
        }
        out.push(service);
    }
    by_name
        .values()
        .for_each(|service| visit(service, &by_name, &mut done, &mut out));
    out
}

/// `begun` are the services before it that begin to run.
fn plan_container(
    request: &UpRequest,
    observed: &Observed,
    service: &Service,
    begun: &BTreeMap<String, Beginning>,
) -> Action {
    let project = &request.project;
    let (name, container) = (service.name.clone(), project.container_name(service, 1));
    let Some(found) = observed.of(&service.name).into_iter().next() else {
        return Action::Create {
            service: name,
            container,
        };
    };
    let mut reasons = Vec::new();
    if request.force_recreate {
        reasons.push("asked for".to_owned());
    }
    if found.record.name != container {
        reasons.push(format!("name {} → {container}", found.record.name));
    }
    let host = match &service.network {
        ServiceNetwork::Service(other) => begun.get_key_value(other),
        _ => None,
    };
    if let Some((other, Beginning::Replaced)) = host {
        reasons.push(format!("{other}, whose network it is in, is replaced"));
    }
    let image = project.image_name(service);
    match observed.images.get(&image) {
        Some(id) if *id != found.record.image.id.as_str() => {
            reasons.push("the image has changed".to_owned());
        }
        // Of an image that is pulled or built first, `apply` finds out.
        _ => {}
    }
    match observed.fingerprints.get(found.record.id.as_str()) {
        Some(old) => {
            let shown = |value: &Option<serde_json::Value>| match value {
                Some(value) => value.to_string(),
                None => "none".to_owned(),
            };
            let new = compose::fingerprint(service);
            reasons.extend(compose::changed_fields(old, &new).iter().map(|change| {
                format!(
                    "{} {} → {}",
                    change.field,
                    shown(&change.old),
                    shown(&change.new)
                )
            }));
        }
        None => reasons.push("it is not known what it was made from".to_owned()),
    }
    let replaced = service.depends_on.iter().find(|(name, dependency)| {
        dependency.restart && begun.get(*name) == Some(&Beginning::Replaced)
    });
    let with = host
        .map(|(name, _)| name)
        .or(replaced.map(|(name, _)| name));
    match (reasons.is_empty(), found.observed.is_alive(), with) {
        (false, _, _) => Action::Recreate {
            service: name,
            container,
            reasons,
        },
        (true, true, Some(dependency)) => Action::Restart {
            service: name,
            container,
            dependency: dependency.clone(),
        },
        (true, true, None) => Action::Keep {
            service: name,
            container,
        },
        (true, false, _) => Action::Start {
            service: name,
            container,
        },
    }
}

#[cfg(test)]
pub(super) use tests::request as request_of;

#[cfg(test)]
mod tests {
    use std::io;
    use std::path::Path;

    use super::*;

    struct Text(&'static str);

    impl compose::Files for Text {
        fn read(&self, path: &Path) -> io::Result<String> {
            match path == Path::new("/p/compose.yaml") {
                true => Ok(self.0.to_owned()),
                false => Err(io::ErrorKind::NotFound.into()),
            }
        }

        fn exists(&self, path: &Path) -> bool {
            path == Path::new("/p/compose.yaml")
        }
    }

    const THREE: &str = "
services:
  web: { build: ., depends_on: [api], ports: ['3000:3000'] }
  api: { build: ., depends_on: [db], environment: { DEBUG: 'True' } }
  db: { image: 'postgres:latest', volumes: ['data:/var/lib/postgresql/data'] }
volumes: { data: }
";

    pub(in crate::project) fn request(text: &'static str) -> UpRequest {
        let loaded = compose::load(
            &compose::LoadRequest {
                files: vec!["/p/compose.yaml".into()],
                project_directory: "/p".into(),
                ..compose::LoadRequest::default()
            },
            &Text(text),
        );
        UpRequest {
            project: loaded.project.expect("the file is right"),
            services: Vec::new(),
            build: false,
            force_recreate: false,
            remove_orphans: false,
            wait: false,
            grace: None,
        }
    }

    fn lines(plan: &Plan) -> Vec<String> {
        plan.actions.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn an_empty_store_gets_everything_in_order() {
        let plan = plan(&request(THREE), &Observed::default());
        assert_eq!(
            lines(&plan),
            [
                "pull image postgres:latest",
                "build image p-api, p-web",
                "create network p_default",
                "create volume p_data",
                "create container p-db-1",
                "create container p-api-1",
                "create container p-web-1",
            ]
        );
    }

    #[test]
    fn only_what_was_named_and_what_it_needs() {
        let mut request = request(THREE);
        request.services = vec!["api".into()];
        let plan = plan(&request, &Observed::default());
        assert!(lines(&plan).contains(&"create container p-db-1".to_owned()));
        assert!(
            !lines(&plan).iter().any(|line| line.contains("web")),
            "{plan:?}"
        );
    }

    #[test]
    fn what_is_there_is_not_made_again() {
        let request = request(THREE);
        let mut observed = Observed {
            networks: vec!["p_default".into()],
            volumes: vec!["p_data".into()],
            ..Observed::default()
        };
        for image in ["postgres:latest", "p-api", "p-web"] {
            observed.images.insert(image.into(), "sha256:1".into());
        }
        let plan = plan(&request, &observed);
        assert!(
            lines(&plan)
                .iter()
                .all(|line| line.starts_with("create container")),
            "{plan:?}"
        );
    }

    const IMAGE: &str = "sha256:0123456789012345678901234567890123456789012345678901234567890123";

    /// A running container of a service, made from what the request says.
    fn container(request: &UpRequest, service: &str, digit: char, observed: &mut Observed) {
        let id: model::ContainerId = String::from(digit).repeat(64).parse().unwrap();
        let digest: model::Digest = IMAGE.parse().unwrap();
        let resolved = crate::container_plan::Resolved {
            id: id.clone(),
            name: format!("p-{service}-1"),
            layers: Vec::new(),
            dir: "/d".into(),
            run_dir: "/r".into(),
            gateway: "/g".into(),
            mounts: Vec::new(),
            network: model::NetworkMode::None,
            hostname: None,
            remove_arguments: Vec::new(),
            isolation: Default::default(),
            device_edits: Default::default(),
        };
        let asked = crate::RunRequest {
            argv: vec!["x".into()],
            ..crate::RunRequest::default()
        };
        let plan = crate::container_plan::plan(&asked, &Default::default(), resolved).unwrap();
        let record = crate::ContainerRecord {
            version: 1,
            id: id.clone(),
            name: plan.name.clone(),
            created: String::new(),
            image: store::ContainerImage {
                name: "i".into(),
                id: digest.clone(),
                digest,
            },
            layers: Vec::new(),
            mounted: Vec::new(),
            command: Vec::new(),
            config: Default::default(),
            labels: [(labels::SERVICE.to_owned(), service.to_owned())].into(),
            auto_remove: false,
            anonymous_volumes: Vec::new(),
            durable: true,
        };
        let state = serde_json::json!({
            "boot_id": "", "supervisor": { "pid": 1, "start_time": 1 }, "init": null,
            "phase": "running", "started_at": "", "restarts": 0,
        });
        let state = serde_json::from_value(state).unwrap();
        let fingerprint = compose::fingerprint(&request.project.services[service]);
        observed
            .fingerprints
            .insert(id.as_str().to_owned(), fingerprint);
        observed.containers.push(crate::ContainerView {
            record,
            plan,
            observed: crate::Liveness::Running(state),
        });
    }

    #[test]
    fn a_replaced_service_takes_its_dependants_along() {
        let text = "\
name: p
services:
  host: { image: i }
  guest: { image: i, network_mode: 'service:host' }
  near: { image: i, depends_on: { host: { condition: service_started, restart: true } } }
  far: { image: i, depends_on: [host] }
";
        let request = request(text);
        let mut observed = Observed::default();
        for (service, digit) in [("host", '1'), ("guest", '2'), ("near", '3'), ("far", '4')] {
            container(&request, service, digit, &mut observed);
        }
        container(&request, "far", '5', &mut observed);
        observed.images.insert("i".into(), IMAGE.into());
        observed.networks.push("p_default".into());
        let host = "1".repeat(64);
        observed
            .fingerprints
            .get_mut(&host)
            .unwrap()
            .insert("user".into(), "other".into());
        assert_eq!(
            lines(&plan(&request, &observed)),
            [
                "recreate container p-host-1 (user \"other\" → none)",
                "remove container p-far-1",
                "keep container p-far-1",
                "recreate container p-guest-1 (host, whose network it is in, is replaced)",
                "restart container p-near-1 (with host)",
            ]
        );
    }

    #[test]
    fn an_image_that_another_service_builds_is_not_pulled() {
        let text = "name: p\nservices:\n  a: { image: own }\n  b: { image: own, build: . }\n";
        let mut request = request(text);
        request.services = vec!["a".into()];
        let plan = plan(&request, &Observed::default());
        assert_eq!(lines(&plan)[0], "build image own");
        assert!(!lines(&plan).iter().any(|line| line.contains("p-b-1")));
    }

    #[test]
    fn waves_follow_dependencies() {
        let request = request(THREE);
        let services: Vec<&Service> = request.project.services.values().collect();
        let names: Vec<&str> = in_order(&services)
            .iter()
            .map(|s| s.name.as_str())
            .collect();
        assert_eq!(names, ["db", "api", "web"]);
    }
}
