//! From a service of a compose file to a container to make.

use compose::{Health, HealthTest, Port, Project, Service, ServiceNetwork, VolumeKind};
use model::container::MountOptions;
use model::container::{Limits, Unenforceable};
use model::image::{ImageConfig, ImageHealth};
use model::{ContainerPlan, HealthCheck, MountKind, PublishedPort};
use text::Diagnostic;

use super::labels;
use crate::{
    ContainerRecord, MountRequest, MountSource, NetworkAttachment, NetworkRequest, PullPolicy,
    RunRequest,
};

/// What the file asks for and no container gets, each where its service is written.
pub fn unsupported(project: &Project) -> Vec<Diagnostic> {
    let complain = |service: &Service| {
        let message = format!("service `{}`: `init` is not supported yet", service.name);
        Diagnostic::warning(message)
            .at(service.span)
            .hint("the image's own program is process 1; it must reap its children itself")
    };
    let services = project.services.values();
    services.filter(|s| s.init).map(complain).collect()
}

/// The container that a service wants. `image` is what it will run; `host_port` chooses
/// the host's side of a published port.
pub(super) fn request(
    project: &Project,
    service: &Service,
    image: &ImageConfig,
    host_port: &dyn Fn(&Port) -> Option<u16>,
) -> RunRequest {
    let (set, unset): (Vec<_>, Vec<_>) = service
        .environment
        .iter()
        .partition(|(_, value)| value.is_some());
    let port = |port: &Port| PublishedPort {
        host_ip: port.host_ip,
        host_port: host_port(port),
        container_port: port.target,
        transport: port.transport,
    };
    let mut request = RunRequest {
        image: project.image_name(service),
        // `up` has pulled and built already.
        pull: PullPolicy::Never,
        argv: service.command.clone().unwrap_or_default(),
        entrypoint: service.entrypoint.clone(),
        name: Some(project.container_name(service, 1)),
        hostname: service.hostname.clone(),
        env: set
            .into_iter()
            .map(|(name, value)| (name.clone(), value.clone().unwrap_or_default()))
            .collect(),
        unset_env: unset.into_iter().map(|(name, _)| name.clone()).collect(),
        user: service.user.clone(),
        workdir: service.working_dir.clone(),
        mounts: mounts(project, service),
        publish: service.ports.iter().map(port).collect(),
        network: network(project, service),
        read_only: service.read_only,
        labels: labels_of(project, service),
        tty: service.tty,
        stdin_open: service.stdin_open,
        restart: Some(service.restart),
        health: service
            .health
            .as_ref()
            .map(|health| health_check(health, image)),
        stop_signal: service.stop_signal.clone(),
        stop_timeout: service.stop_grace_period,
        platform: service.platform.clone(),
        limits: Limits {
            // The file's reader has been told.
            unenforceable: Unenforceable::Warn,
            ..service.limits.limits.clone()
        },
        ..RunRequest::default()
    };
    for (name, address) in &service.extra_hosts {
        request.add_host(name, address);
    }
    request
}

/// Has a container that replaces another take over its anonymous volumes: what is in
/// them stays, as with compose.
pub(super) fn keep_volumes(
    request: &mut RunRequest,
    image: &ImageConfig,
    old: &ContainerPlan,
    record: &ContainerRecord,
) {
    for mount in &old.mounts {
        let MountKind::Volume { name, .. } = &mount.kind else {
            continue;
        };
        if !record.anonymous_volumes.contains(name) {
            continue;
        }
        let target = |path: &str| path.trim_end_matches('/') == mount.target.trim_end_matches('/');
        let wanted = request.mounts.iter_mut().find(|m| target(&m.target));
        match wanted.map(|m| &mut m.source) {
            Some(MountSource::Anonymous { kept, .. }) => *kept = Some(name.clone()),
            Some(_) => {}
            None if image.config.volumes.keys().any(|path| target(path)) => {
                request.mounts.push(MountRequest {
                    target: mount.target.clone(),
                    read_only: false,
                    options: MountOptions::default(),
                    source: MountSource::Anonymous {
                        copy_up: true,
                        kept: Some(name.clone()),
                    },
                });
            }
            None => {}
        }
    }
}

fn mounts(project: &Project, service: &Service) -> Vec<MountRequest> {
    let volumes = service.volumes.iter().map(|mount| MountRequest {
        target: mount.target.clone(),
        read_only: mount.read_only,
        options: MountOptions::default(),
        source: match &mount.kind {
            VolumeKind::Named { volume, copy_up } => MountSource::Volume {
                name: project
                    .volumes
                    .get(volume)
                    .map_or_else(|| volume.clone(), |v| v.name.clone()),
                labels: volume_labels(project, volume),
                copy_up: *copy_up,
            },
            VolumeKind::Anonymous { copy_up } => MountSource::Anonymous {
                copy_up: *copy_up,
                kept: None,
            },
            VolumeKind::Bind {
                source,
                create_host_path,
            } => MountSource::Bind {
                path: source.clone(),
                create: *create_host_path,
            },
            VolumeKind::Tmpfs { size, mode } => MountSource::Tmpfs {
                size: *size,
                mode: *mode,
            },
        },
    });
    let tmpfs = service.tmpfs.iter().map(|mount| MountRequest {
        target: mount.target.clone(),
        read_only: mount.read_only,
        options: MountOptions::default(),
        source: MountSource::Tmpfs {
            size: mount.size,
            mode: mount.mode,
        },
    });
    volumes.chain(tmpfs).collect()
}

/// A project volume's own labels, and those that tell whose it is.
pub(super) fn volume_labels(project: &Project, key: &str) -> Vec<(String, String)> {
    let own = project
        .volumes
        .get(key)
        .into_iter()
        .flat_map(|v| v.labels.clone());
    let ours = [
        (labels::PROJECT, project.name.as_str()),
        (labels::VOLUME, key),
    ];
    own.chain(ours.map(|(k, v)| (k.to_owned(), v.to_owned())))
        .collect()
}

fn network(project: &Project, service: &Service) -> NetworkRequest {
    match &service.network {
        ServiceNetwork::None => NetworkRequest::None,
        ServiceNetwork::Host => NetworkRequest::Host,
        ServiceNetwork::Container(name) => NetworkRequest::Container(name.clone()),
        ServiceNetwork::Service(name) => {
            let other = project.services.get(name);
            let container = other.map(|s| project.container_name(s, 1));
            NetworkRequest::Container(container.unwrap_or_else(|| name.clone()))
        }
        ServiceNetwork::Networks(list) => {
            let mut list: Vec<_> = list.iter().collect();
            list.sort_by_key(|attachment| std::cmp::Reverse(attachment.priority));
            let attachment = |attachment: &&compose::Attachment| {
                let network = project.networks.get(&attachment.network);
                let mut aliases = attachment.aliases.clone();
                aliases.push(service.name.clone());
                NetworkAttachment {
                    network: network.map_or_else(|| attachment.network.clone(), |n| n.name.clone()),
                    aliases,
                    address: attachment.ipv4_address,
                    mac: None,
                }
            };
            NetworkRequest::Named(list.iter().map(attachment).collect())
        }
    }
}

fn labels_of(project: &Project, service: &Service) -> Vec<(String, String)> {
    let files: Vec<_> = project
        .files
        .iter()
        .map(|f| f.display().to_string())
        .collect();
    let ours = [
        (labels::PROJECT, project.name.clone()),
        (labels::SERVICE, service.name.clone()),
        (labels::NUMBER, "1".to_owned()),
        (labels::ONE_OFF, "False".to_owned()),
        (labels::DIRECTORY, project.directory.display().to_string()),
        (labels::FILES, files.join(",")),
    ];
    let own = service.labels.iter().map(|(k, v)| (k.clone(), v.clone()));
    own.chain(ours.map(|(k, v)| (k.to_owned(), v))).collect()
}

/// A service's health check over its image's, field by field, then docker's defaults.
fn health_check(health: &Health, image: &ImageConfig) -> Option<HealthCheck> {
    let base = image.config.healthcheck.clone().unwrap_or_default();
    let nanos =
        |d: Option<std::time::Duration>, default| d.map_or(default, |d| d.as_nanos() as u64);
    let test = match &health.test {
        None => base.test,
        Some(HealthTest::Disabled) => return None,
        Some(HealthTest::Command(argv)) => std::iter::once("CMD".to_owned())
            .chain(argv.iter().cloned())
            .collect(),
        Some(HealthTest::Shell(line)) => vec!["CMD-SHELL".to_owned(), line.clone()],
    };
    let merged = ImageHealth {
        test,
        interval: nanos(health.interval, base.interval),
        timeout: nanos(health.timeout, base.timeout),
        start_period: nanos(health.start_period, base.start_period),
        start_interval: nanos(health.start_interval, base.start_interval),
        retries: health.retries.map_or(base.retries, u64::from),
    };
    crate::container_plan::image_health(&merged, image)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::project::plan::request_of as project;

    fn wanted(text: &'static str, image: &ImageConfig) -> RunRequest {
        let project = project(text).project;
        let service = &project.services["a"];
        request(&project, service, image, &|port| {
            port.published.map(|p| p.1)
        })
    }

    #[test]
    fn a_service_becomes_a_container() {
        let text = "\
name: p
services:
  a:
    image: i
    environment: { A: '1', B: }
    ports: ['8000-8009:80']
    extra_hosts: ['one=10.0.0.1', 'self=host-gateway']
    volumes: ['data:/data:ro', '/loose']
    tmpfs: ['/run:size=1m']
    networks: { low: { priority: 1, aliases: [x] }, high: { priority: 2 } }
volumes: { data: { labels: { k: v } } }
networks: { low: , high: }
";
        let it = wanted(text, &ImageConfig::default());
        assert_eq!(it.name.as_deref(), Some("p-a-1"));
        assert_eq!(it.env, [("A".to_owned(), "1".to_owned())]);
        assert_eq!(it.unset_env, ["B"]);
        assert_eq!(it.publish[0].host_port, Some(8009));
        assert!(it.host_loopback);
        let host = net::gateway::HOST_ALIAS.to_string();
        assert_eq!(it.extra_hosts[0].1, "10.0.0.1");
        assert_eq!(it.extra_hosts[1], ("self".to_owned(), host));
        let [data, loose, run] = it.mounts.as_slice() else {
            panic!("{:?}", it.mounts);
        };
        assert!(data.read_only && !run.read_only);
        assert!(
            matches!(&data.source, MountSource::Volume { name, labels, .. }
            if name == "p_data" && labels.contains(&("k".into(), "v".into())))
        );
        assert_eq!(loose.source, MountSource::anonymous());
        let NetworkRequest::Named(networks) = &it.network else {
            panic!("{:?}", it.network);
        };
        let names: Vec<_> = networks.iter().map(|n| n.network.as_str()).collect();
        assert_eq!(names, ["p_high", "p_low"]);
        assert_eq!(networks[1].aliases, ["x", "a"]);
    }

    #[test]
    fn a_health_check_is_merged_with_the_images_field_by_field() {
        let mut image = ImageConfig::default();
        image.config.healthcheck = Some(ImageHealth {
            test: vec!["CMD".into(), "probe".into()],
            timeout: 2_000_000_000,
            ..ImageHealth::default()
        });
        let check = |health: &'static str| wanted(health, &image).health;
        let slower = "services: { a: { image: i, healthcheck: { interval: 7s } } }";
        let merged = check(slower).unwrap().unwrap();
        assert_eq!(merged.argv, ["probe"]);
        assert_eq!(
            (merged.interval_ms, merged.timeout_ms, merged.retries),
            (7_000, 2_000, 3)
        );
        let own = "services: { a: { image: i, healthcheck: { test: exit 1 } } }";
        assert_eq!(
            check(own).unwrap().unwrap().argv,
            ["/bin/sh", "-c", "exit 1"]
        );
        let off = "services: { a: { image: i, healthcheck: { disable: true } } }";
        assert_eq!(check(off), Some(None));
        assert_eq!(
            check("services: { a: { image: i } }"),
            None,
            "the image's own"
        );
    }

    #[test]
    fn what_is_not_honoured_is_named() {
        let project = project("services: { a: { image: i, init: true }, b: { image: i } }").project;
        let complaints = unsupported(&project);
        assert_eq!(complaints.len(), 1);
        assert!(complaints[0].message.contains("`a`: `init`") && complaints[0].span.is_some());
    }
}
