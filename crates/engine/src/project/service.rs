//! From a service of a compose file to a container to make.

use compose::{Health, HealthTest, Project, Service, ServiceNetwork, VolumeKind};
use model::image::{ImageConfig, ImageHealth};
use model::{HealthCheck, PublishedPort};

use super::labels;
use crate::{MountRequest, MountSource, NetworkAttachment, NetworkRequest, PullPolicy, RunRequest};

/// The container that a service wants. `image` is what it will run.
pub(super) fn request(project: &Project, service: &Service, image: &ImageConfig) -> RunRequest {
    let (set, unset): (Vec<_>, Vec<_>) = service
        .environment
        .iter()
        .partition(|(_, value)| value.is_some());
    let hosts = service.extra_hosts.iter();
    let (gateway, extra_hosts): (Vec<_>, Vec<_>) = hosts
        .cloned()
        .partition(|(_, address)| address == "host-gateway");
    RunRequest {
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
        extra_hosts,
        host_loopback: !gateway.is_empty(),
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
        ..RunRequest::default()
    }
}

fn mounts(project: &Project, service: &Service) -> Vec<MountRequest> {
    let volumes = service.volumes.iter().map(|mount| MountRequest {
        target: mount.target.clone(),
        read_only: mount.read_only,
        source: match &mount.kind {
            VolumeKind::Named { volume, copy_up } => MountSource::Volume {
                name: project
                    .volumes
                    .get(volume)
                    .map_or_else(|| volume.clone(), |v| v.name.clone()),
                labels: volume_labels(project, volume),
                copy_up: *copy_up,
            },
            VolumeKind::Anonymous { .. } => MountSource::Anonymous,
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

fn port(port: &compose::Port) -> PublishedPort {
    PublishedPort {
        host_ip: port.host_ip,
        host_port: port.published.map(|(first, _)| first),
        container_port: port.target,
        transport: port.transport,
    }
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
