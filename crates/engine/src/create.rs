//! Making a container: image, volumes, networks, record. Nothing runs yet.

use std::collections::BTreeMap;
use std::path::Path;

use model::container::MountOptions;
use model::event::{Event, EventSink};
use model::network::Attachment;
use model::{ContainerId, MountKind, MountPlan, NetworkMode, NetworkPlan};
use store::networks::NetworkOptions;
use store::{ContainerImage, ContainerRecord, Image};

use crate::container_plan::{self, Resolved};
use crate::{
    Engine, Error, MountRequest, MountSource, NetworkAttachment, NetworkRequest, Result, RunRequest,
};

/// Docker's name for the network of containers that ask for none.
pub const DEFAULT_NETWORK: &str = "bridge";

impl Engine {
    /// Makes a container.
    pub fn create(&self, request: &RunRequest, events: &dyn EventSink) -> Result<ContainerRecord> {
        let id = self.store.containers().new_id()?;
        self.create_as(&id, request, events)
    }

    /// The same with a given id.
    pub(crate) fn create_as(
        &self,
        id: &ContainerId,
        request: &RunRequest,
        events: &dyn EventSink,
    ) -> Result<ContainerRecord> {
        // From the first look for the image on: its layers must still be there at the end.
        let _shared = self.store.share()?;
        let image = self.image(
            &request.image,
            request.pull,
            request.platform.as_ref(),
            events,
        )?;
        let mut anonymous = Anonymous::of(id);
        let created = self.record(request, &image, id, &mut anonymous, events);
        if created.is_err() {
            // Volumes of a container that never came to be hold nothing.
            anonymous
                .fresh
                .iter()
                .for_each(|(name, _)| drop(self.store.volumes().remove(name)));
        }
        created
    }

    fn record(
        &self,
        request: &RunRequest,
        image: &Image,
        id: &ContainerId,
        anonymous: &mut Anonymous,
        events: &dyn EventSink,
    ) -> Result<ContainerRecord> {
        let containers = self.store.containers();
        // Nobody removes a volume or network between our look and our record.
        let _uses = self.store.share_uses()?;
        let mounts = self.mounts(request, image, anonymous)?;
        let layers = self.store.layers().stack(&image.layers)?;
        for attempt in 0.. {
            let name = match &request.name {
                Some(name) => name.clone(),
                None => crate::names::name(random()?, attempt),
            };
            let mut plan = container_plan::plan(
                request,
                &image.config,
                Resolved {
                    id: id.clone(),
                    network: self.network(&request.network, id, &name, request)?,
                    name: name.clone(),
                    layers: layers.clone(),
                    dir: containers.dir(id),
                    run_dir: self.settings.container_run_dir(id),
                    gateway: self.settings.gateway_socket(),
                    mounts: mounts.clone(),
                    remove_arguments: vec![
                        self.settings.root.display().to_string(),
                        self.settings.run.display().to_string(),
                        id.as_str().to_owned(),
                    ],
                },
            )?;
            let note = self.settle_ids(&mut plan, image)?;
            let record = ContainerRecord {
                version: store::containers::RECORD_VERSION,
                id: id.clone(),
                name,
                created: crate::now(),
                image: ContainerImage {
                    name: request.image.clone(),
                    id: image.id.clone(),
                    digest: image.digest.clone(),
                },
                layers: image.layers.clone(),
                command: plan.process.argv.clone(),
                config: crate::run_config::run_config(request, &image.config, &plan),
                labels: request.labels.iter().cloned().collect(),
                auto_remove: request.auto_remove,
                anonymous_volumes: anonymous.all.clone(),
                durable: !request.auto_remove,
            };
            match containers.create(&record, &plan) {
                Ok(()) => {
                    note.into_iter().for_each(|text| events.send(Event::Warning { text }));
                    return Ok(record);
                }
                Err(store::Error::NameTaken { .. }) if request.name.is_none() && attempt < 20 => {}
                Err(error) => return Err(error.into()),
            }
        }
        unreachable!("the loop ends by returning")
    }

    /// The request's mounts, and a volume for each `VOLUME` of the image that it does not
    /// mount over.
    fn mounts(
        &self,
        request: &RunRequest,
        image: &Image,
        anonymous: &mut Anonymous,
    ) -> Result<Vec<MountPlan>> {
        let mut mounts = Vec::new();
        for mount in &request.mounts {
            mounts.push(self.mount(mount, anonymous)?);
        }
        let trimmed = |path: &str| path.trim_end_matches('/').to_owned();
        for target in image.config.config.volumes.keys() {
            if !mounts
                .iter()
                .any(|m: &MountPlan| trimmed(&m.target) == trimmed(target))
            {
                let mount = MountRequest {
                    target: target.clone(),
                    source: MountSource::anonymous(),
                    read_only: false,
                };
                mounts.push(self.mount(&mount, anonymous)?);
            }
        }
        outer_first(&mut mounts);
        Ok(mounts)
    }

    fn mount(&self, request: &MountRequest, anonymous: &mut Anonymous) -> Result<MountPlan> {
        let volumes = self.store.volumes();
        let kind = match &request.source {
            MountSource::Bind { path, create } => {
                check_bind(path, &request.target, *create)?;
                MountKind::Bind {
                    source: path.clone(),
                }
            }
            MountSource::Volume {
                name,
                labels,
                copy_up,
            } => {
                let labels: BTreeMap<_, _> = labels.iter().cloned().collect();
                let volume = volumes.create(Some(name), &labels)?;
                MountKind::Volume {
                    source: volumes.data(&volume.name),
                    name: volume.name,
                    copy_up: *copy_up,
                }
            }
            MountSource::Anonymous { copy_up, kept } => {
                let name = match kept.as_ref().filter(|name| volumes.get(name).is_ok()) {
                    Some(kept) => kept.clone(),
                    None => {
                        let (fresh, claim) = volumes.create_for(&anonymous.container)?;
                        anonymous.fresh.push((fresh.name.clone(), claim));
                        fresh.name
                    }
                };
                anonymous.all.push(name.clone());
                MountKind::Volume {
                    source: volumes.data(&name),
                    name,
                    copy_up: *copy_up,
                }
            }
            MountSource::Tmpfs { size, mode } => MountKind::Tmpfs {
                size: *size,
                mode: *mode,
            },
        };
        if !request.target.starts_with('/') {
            let message = format!(
                "the mount point `{}` is not an absolute path",
                request.target
            );
            return Err(Error::invalid(message));
        }
        Ok(MountPlan {
            target: request.target.clone(),
            kind,
            read_only: request.read_only,
            options: MountOptions::default(),
        })
    }

    fn network(
        &self,
        network: &NetworkRequest,
        id: &ContainerId,
        name: &str,
        request: &RunRequest,
    ) -> Result<NetworkMode> {
        let gateway = |attachments| {
            NetworkMode::Gateway(NetworkPlan {
                container: id.clone(),
                name: name.to_owned(),
                attachments,
                published: request.publish.clone(),
                host_loopback: request.host_loopback,
                servers: Vec::new(),
            })
        };
        let mode = match network {
            NetworkRequest::None => NetworkMode::None,
            NetworkRequest::Host => NetworkMode::Host,
            NetworkRequest::Container(other) => {
                let other = self.store.containers().find(other)?;
                NetworkMode::Container {
                    run_dir: self.settings.container_run_dir(&other.id),
                }
            }
            NetworkRequest::Default => {
                let wanted = NetworkAttachment {
                    network: DEFAULT_NETWORK.to_owned(),
                    ..NetworkAttachment::default()
                };
                gateway(vec![self.attachment(&wanted, id)?])
            }
            NetworkRequest::Named(list) => {
                let attachments = list.iter().map(|wanted| self.attachment(wanted, id));
                gateway(attachments.collect::<Result<_>>()?)
            }
        };
        let word = match &mode {
            NetworkMode::Gateway(_) => return Ok(mode),
            NetworkMode::None => "none",
            NetworkMode::Host => "host",
            NetworkMode::Container { .. } => "container:…",
        };
        match request.publish.first() {
            None => Ok(mode),
            Some(port) => Err(Error::invalid_hint(
                format!(
                    "port {}/{} cannot be published with the network `{word}`",
                    port.container_port,
                    port.transport.as_str()
                ),
                "drop the published ports, or join a network that is not none, host or container:…",
            )),
        }
    }

    fn attachment(&self, wanted: &NetworkAttachment, id: &ContainerId) -> Result<Attachment> {
        let networks = self.store.networks();
        let record = match wanted.network == DEFAULT_NETWORK {
            true => networks.ensure(DEFAULT_NETWORK, &network_options())?,
            false => networks.get(&wanted.network)?,
        };
        let mut aliases = wanted.aliases.clone();
        aliases.push(id.short().to_owned());
        Ok(Attachment {
            network: record.name,
            subnet: record.subnet,
            address: wanted.address,
            aliases,
            internal: record.internal,
            mac: None,
        })
    }
}

/// Anonymous volumes of a container in the making.
struct Anonymous {
    /// The container.
    container: ContainerId,
    /// Those that it will have.
    all: Vec<String>,
    /// Those of them that were made for it, claimed until it is recorded.
    fresh: Vec<(String, store::Claim)>,
}

impl Anonymous {
    fn of(container: &ContainerId) -> Self {
        Self {
            container: container.clone(),
            all: Vec::new(),
            fresh: Vec::new(),
        }
    }
}

/// Outer mounts come first, so that none hides another.
fn outer_first(mounts: &mut [MountPlan]) {
    mounts.sort_by_key(|m| m.target.trim_end_matches('/').matches('/').count());
}

/// Options for a network of ours: any subnet that the host does not route elsewhere.
pub(crate) fn network_options() -> NetworkOptions {
    let routes = std::fs::read_to_string("/proc/net/route").unwrap_or_default();
    NetworkOptions {
        avoid: host_subnets(&routes),
        ..NetworkOptions::default()
    }
}

/// Destinations in `/proc/net/route`, the default route aside. The numbers are in the
/// machine's byte order (kernel: net/ipv4/fib_trie.c).
fn host_subnets(routes: &str) -> Vec<(std::net::Ipv4Addr, u8)> {
    let number = |text: &str| u32::from_str_radix(text, 16).ok().map(u32::from_be);
    let parse = |line: &str| {
        let mut fields = line.split_whitespace();
        let destination = number(fields.nth(1)?)?;
        let mask = number(fields.nth(5)?)?;
        (mask != 0).then(|| (destination.into(), mask.count_ones() as u8))
    };
    routes.lines().skip(1).filter_map(parse).collect()
}

/// A bind's source must exist, unless it may be made.
fn check_bind(path: &Path, target: &str, create: bool) -> Result<()> {
    let fail = |source| Error::Mount {
        path: path.to_owned(),
        target: target.to_owned(),
        source,
    };
    match std::fs::metadata(path) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && create => {
            std::fs::create_dir_all(path).map_err(fail)
        }
        Err(error) => Err(fail(error)),
    }
}

fn random() -> Result<[u8; 4]> {
    let mut bytes = [0; 4];
    rustix::rand::getrandom(&mut bytes[..], rustix::rand::GetRandomFlags::empty())
        .map_err(|errno| sys::Error::new("read", "random bytes", errno))?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outer_mounts_come_first_and_the_rest_stays_in_order() {
        let mount = |target: &str| MountPlan {
            target: target.into(),
            kind: MountKind::Tmpfs {
                size: None,
                mode: None,
            },
            read_only: false,
            options: MountOptions::default(),
        };
        let mut mounts = ["/a/b/c", "/z/", "/a/b", "/a", "/z/y/"].map(mount);
        outer_first(&mut mounts);
        let targets = mounts.map(|m| m.target);
        assert_eq!(targets, ["/z/", "/a", "/a/b", "/z/y/", "/a/b/c"]);
    }

    #[test]
    fn reads_the_kernel_routing_table() {
        let table = "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\n\
                     eth0\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\t0\n\
                     eth0\t000200C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\n";
        assert_eq!(host_subnets(table), [("192.0.2.0".parse().unwrap(), 24)]);
    }
}
