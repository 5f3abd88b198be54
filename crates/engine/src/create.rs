//! Making a container: image, volumes, networks, record. Nothing runs yet.

use model::event::{Event, EventSink};
use model::image::ImageConfig;
use model::network::Attachment;
use model::{ContainerId, NetworkMode, NetworkPlan, PublishedPort};
use store::networks::NetworkOptions;
use store::{ContainerImage, ContainerRecord, Image};

use crate::container_plan::{self, Resolved};
use crate::mounts::Made;
use crate::{Engine, Error, NetworkAttachment, NetworkRequest, Result, RunRequest};

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
        let mut request = request.clone();
        self.settle_limits(&mut request.limits, events)?;
        let request = &request;
        self.may_run()?;
        // From the first look for the image on: its layers must still be there at the end.
        let _shared = self.store.share()?;
        let image = self.image(
            &request.image,
            request.pull,
            request.platform.as_ref(),
            events,
        )?;
        let mut made = Made::of(id);
        let created = self.record(request, &image, id, &mut made, events);
        if created.is_err() {
            // Volumes of a container that never came to be hold nothing.
            made.fresh
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
        made: &mut Made,
        events: &dyn EventSink,
    ) -> Result<ContainerRecord> {
        let containers = self.store.containers();
        // Nobody removes a volume or network between our look and our record.
        let _uses = self.store.share_uses()?;
        let (isolation, device_edits) = self.borders(request, events)?;
        let mounts = self.mounts(request, image, &device_edits.mounts, made, events)?;
        let published = published(request, &image.config, events)?;
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
                    network: self.network(request, id, &name, &published)?,
                    hostname: self.hostname_there(&request.network)?,
                    name: name.clone(),
                    layers: layers.clone(),
                    dir: containers.dir(id),
                    run_dir: self.settings.container_run_dir(id),
                    gateway: self.settings.gateway_socket(),
                    mounts: mounts.clone(),
                    isolation: isolation.clone(),
                    device_edits: device_edits.clone(),
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
                mounted: made.mounted.clone(),
                command: plan.process.argv.clone(),
                config: crate::run_config::run_config(request, &image.config, &plan),
                labels: request.labels.iter().cloned().collect(),
                auto_remove: request.auto_remove,
                anonymous_volumes: made.all.clone(),
                durable: !request.auto_remove,
            };
            match containers.create(&record, &plan) {
                Ok(()) => {
                    note.into_iter()
                        .for_each(|text| events.send(Event::Warning { text }));
                    self.note_container(&record, "create", &[]);
                    return Ok(record);
                }
                Err(store::Error::NameTaken { .. }) if request.name.is_none() && attempt < 20 => {}
                Err(error) => return Err(error.into()),
            }
        }
        unreachable!("the loop ends by returning")
    }

    fn network(
        &self,
        request: &RunRequest,
        id: &ContainerId,
        name: &str,
        published: &[PublishedPort],
    ) -> Result<NetworkMode> {
        let gateway = |attachments| {
            NetworkMode::Gateway(NetworkPlan {
                container: id.clone(),
                name: name.to_owned(),
                attachments,
                published: published.to_vec(),
                host_loopback: request.host_loopback,
                servers: request.dns.servers.clone(),
            })
        };
        let mode = match &request.network {
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
        match published.first() {
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

    /// The name of whose network is used, which `/etc/hosts` there knows.
    fn hostname_there(&self, network: &NetworkRequest) -> Result<Option<String>> {
        match network {
            NetworkRequest::Host => {
                let name = rustix::system::uname().nodename().to_owned();
                Ok(name.into_string().ok())
            }
            NetworkRequest::Container(other) => {
                let containers = self.store.containers();
                let plan = containers.plan(&containers.find(other)?.id)?;
                Ok(Some(plan.hostname))
            }
            _ => Ok(None),
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
            mac: wanted.mac.clone(),
        })
    }
}

/// The request's ports, and with `publish_all` those that are exposed and not among them.
/// As with docker, they mean nothing on the host's own network.
fn published(
    request: &RunRequest,
    image: &ImageConfig,
    events: &dyn EventSink,
) -> Result<Vec<PublishedPort>> {
    let mut ports = request.publish.clone();
    if request.publish_all {
        for (container_port, transport) in container_plan::exposed(request, image)? {
            let taken =
                |p: &PublishedPort| p.container_port == container_port && p.transport == transport;
            if !ports.iter().any(taken) {
                ports.push(PublishedPort {
                    host_ip: None,
                    host_port: None,
                    container_port,
                    transport,
                });
            }
        }
    }
    if request.network == NetworkRequest::Host && !ports.is_empty() {
        ports.clear();
        events.send(Event::Warning {
            text: "published ports mean nothing with the network `host`: the container's ports \
                   are the host's"
                .into(),
        });
    }
    Ok(ports)
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
    fn reads_the_kernel_routing_table() {
        let table = "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\n\
                     eth0\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\t0\n\
                     eth0\t000200C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\n";
        assert_eq!(host_subnets(table), [("192.0.2.0".parse().unwrap(), 24)]);
    }
}
