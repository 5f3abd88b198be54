//! Who is where: networks, containers, their addresses and names. No sockets.
//!
//! The one table that all threads share. Only the control thread writes it.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::{AtomicUsize, Ordering};

use model::ContainerId;
use model::network::{Attachment, NetworkPlan};

use crate::dns::{Answer, Query};
use crate::error::{Error, Result};
use crate::subnet::{Subnet, mac, parse_mac};

/// What stands for the host's loopback in a container. Outside every subnet, so that it takes
/// the default route to us.
pub const HOST_ALIAS: Ipv4Addr = Ipv4Addr::new(169, 254, 1, 2);

/// The names of [`HOST_ALIAS`].
const HOST_NAMES: [&str; 2] = ["host.docker.internal", "host.containers.internal"];

/// Everything that is connected.
#[derive(Debug, Default)]
pub(crate) struct World {
    networks: BTreeMap<String, Network>,
    containers: BTreeMap<u64, Container>,
    /// Addresses that containers have who are not back with this gateway yet.
    reserved: Vec<Ipv4Addr>,
    /// Turns the order of answers with several addresses.
    turn: AtomicUsize,
}

#[derive(Debug)]
struct Network {
    subnet: Subnet,
    /// The address given out last.
    last: Option<Ipv4Addr>,
}

/// A name server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Server {
    /// Where.
    pub(crate) address: IpAddr,
    /// Is it in one of our networks, to be asked from there?
    pub(crate) inside: bool,
}

impl Server {
    /// One that the host reaches.
    pub(crate) fn outside(address: IpAddr) -> Self {
        Self {
            address,
            inside: false,
        }
    }
}

/// One connected container.
#[derive(Debug)]
pub(crate) struct Container {
    id: ContainerId,
    name: String,
    host_loopback: bool,
    servers: Vec<IpAddr>,
    seats: Vec<Seat>,
}

impl Container {
    /// Has it no way to the outside?
    fn is_shut_in(&self) -> bool {
        self.seats.iter().all(|seat| seat.internal)
    }
}

/// A container's place in one network.
#[derive(Debug, Clone)]
pub(crate) struct Seat {
    /// The network's name.
    pub(crate) network: String,
    /// Its subnet.
    pub(crate) subnet: Subnet,
    /// The container's address.
    pub(crate) address: Ipv4Addr,
    /// No way to the outside.
    pub(crate) internal: bool,
    /// The container's hardware address in it.
    pub(crate) mac: [u8; 6],
    aliases: Vec<String>,
}

impl World {
    /// Gives a container its addresses. From now on its names are known.
    pub(crate) fn seat(&mut self, token: u64, plan: &NetworkPlan) -> Result<Vec<Seat>> {
        if plan.attachments.is_empty() {
            return Err(Error::NoAttachment(plan.name.clone()));
        }
        let container = Container {
            id: plan.container.clone(),
            name: plan.name.clone(),
            host_loopback: plan.host_loopback,
            servers: plan.servers.clone(),
            seats: Vec::new(),
        };
        self.containers.insert(token, container);
        for attachment in &plan.attachments {
            match self.seat_in(attachment) {
                Ok(seat) => self
                    .containers
                    .get_mut(&token)
                    .expect("put there above")
                    .seats
                    .push(seat),
                Err(error) => {
                    self.remove(token);
                    return Err(error);
                }
            }
        }
        Ok(self.containers[&token].seats.clone())
    }

    fn seat_in(&mut self, wanted: &Attachment) -> Result<Seat> {
        let unusable = |mac: &String| Error::MacUnusable {
            mac: mac.clone(),
            network: wanted.network.clone(),
        };
        let chosen = wanted.mac.as_ref();
        let chosen = chosen.map(|mac| parse_mac(mac).ok_or_else(|| unusable(mac)));
        let chosen = chosen.transpose()?;
        let subnet = self.admit(wanted)?;
        let network = wanted.network.clone();
        let last = self.networks.get(&network).and_then(|network| network.last);
        let address = match wanted.address {
            Some(address) if !subnet.offers(address) => {
                return Err(Error::AddressOutside {
                    address,
                    network,
                    subnet: subnet.to_string(),
                });
            }
            Some(address) => match self.at(address) {
                Some((holder, _)) => {
                    let holder = holder.name.clone();
                    return Err(Error::AddressTaken {
                        address,
                        network,
                        holder,
                    });
                }
                None => address,
            },
            None => match subnet.next_free(last, |address| self.is_taken(address)) {
                Some(address) => {
                    self.networks
                        .entry(network.clone())
                        .and_modify(|n| n.last = Some(address));
                    address
                }
                None => {
                    return Err(Error::SubnetFull {
                        network,
                        subnet: subnet.to_string(),
                    });
                }
            },
        };
        Ok(Seat {
            network,
            subnet,
            address,
            internal: wanted.internal,
            mac: chosen.unwrap_or_else(|| mac(address)),
            aliases: wanted.aliases.clone(),
        })
    }

    /// Makes a network known; refuses one that shares addresses with another.
    fn admit(&mut self, wanted: &Attachment) -> Result<Subnet> {
        let network = wanted.network.clone();
        let (address, prefix) = wanted.subnet;
        let text = format!("{address}/{prefix}");
        let subnet = Subnet::new(address, prefix).ok_or_else(|| Error::SubnetUnusable {
            network: network.clone(),
            subnet: text,
        })?;
        self.forget_empty_networks(&network, subnet);
        let other = self.networks.iter().find(|(name, known)| {
            known.subnet.overlaps(subnet) && (**name != network || known.subnet != subnet)
        });
        if let Some((other, _)) = other {
            let other = other.clone();
            return Err(Error::SubnetOverlap {
                network,
                subnet: subnet.to_string(),
                other,
            });
        }
        self.networks
            .entry(network)
            .or_insert(Network { subnet, last: None });
        Ok(subnet)
    }

    /// Networks are remembered after their last container, so that addresses are not reused
    /// at once; until something else wants the addresses.
    fn forget_empty_networks(&mut self, name: &str, subnet: Subnet) {
        let used: Vec<_> = self
            .containers
            .values()
            .flat_map(|c| &c.seats)
            .map(|seat| seat.network.clone())
            .collect();
        self.networks.retain(|known, network| {
            let same = known == name && network.subnet == subnet;
            same || used.contains(known) || (known != name && !network.subnet.overlaps(subnet))
        });
    }

    /// Takes a container and its names out; gives the places that it had.
    pub(crate) fn remove(&mut self, token: u64) -> Vec<Seat> {
        self.containers
            .remove(&token)
            .map(|container| container.seats)
            .unwrap_or_default()
    }

    /// Is anybody still in the network?
    pub(crate) fn is_used(&self, network: &str) -> bool {
        self.containers
            .values()
            .flat_map(|c| &c.seats)
            .any(|seat| seat.network == network)
    }

    /// Sets the addresses that nobody is given, though whoever names one gets it.
    pub(crate) fn reserve(&mut self, addresses: Vec<Ipv4Addr>) {
        self.reserved = addresses;
    }

    fn is_taken(&self, address: Ipv4Addr) -> bool {
        self.reserved.contains(&address) || self.at(address).is_some()
    }

    /// The container that has an address.
    fn at(&self, address: Ipv4Addr) -> Option<(&Container, &Seat)> {
        self.containers.values().find_map(|container| {
            let seat = container
                .seats
                .iter()
                .find(|seat| seat.address == address)?;
            Some((container, seat))
        })
    }

    /// Is the address in one of our networks?
    pub(crate) fn is_inside(&self, address: Ipv4Addr) -> bool {
        self.networks
            .values()
            .any(|network| network.subnet.contains(address))
    }

    /// Where traffic from `client` to `target` goes on the host's side; `None` is nowhere.
    ///
    /// Networks do not reach each other through us, an internal one reaches nothing, and the
    /// host's loopback is reached by those who may, through its alias only.
    pub(crate) fn way_out(&self, client: Ipv4Addr, target: Ipv4Addr) -> Option<Ipv4Addr> {
        let (container, seat) = self.at(client)?;
        if seat.internal {
            return None;
        }
        if target == HOST_ALIAS {
            return container.host_loopback.then_some(Ipv4Addr::LOCALHOST);
        }
        let ordinary = !target.is_loopback()
            && !target.is_multicast()
            && !target.is_broadcast()
            && target.octets()[0] != 0;
        (ordinary && !self.is_inside(target)).then_some(target)
    }

    /// Is `address` the bridge that `client` is on?
    pub(crate) fn is_gateway_of(&self, client: Ipv4Addr, address: Ipv4Addr) -> bool {
        self.at(client)
            .is_some_and(|(_, seat)| seat.subnet.gateway() == address)
    }

    /// Our answer to `client`'s question; `None` when it is for the servers outside.
    pub(crate) fn answer(&self, client: Ipv4Addr, query: &Query) -> Option<Answer> {
        let Some((container, _)) = self.at(client) else {
            return Some(Answer::Failure);
        };
        let ours = match query {
            Query::Address(name) => self.addresses(container, name).map(Answer::Addresses),
            // The name exists, it has no such record.
            Query::Other(name) => self
                .addresses(container, name)
                .map(|_| Answer::Addresses(vec![])),
            Query::Name(address) => self.name_of(container, *address),
            Query::Foreign => None,
        };
        let named = match query {
            Query::Address(name) | Query::Other(name) => HOST_NAMES.contains(&name.as_str()),
            Query::Name(_) | Query::Foreign => false,
        };
        let nobody_to_ask = container.is_shut_in()
            && self
                .servers(client)
                .is_none_or(|servers| servers.is_empty());
        ours.or((named || nobody_to_ask).then_some(Answer::NoSuchName))
    }

    /// Whom to ask what we cannot answer to `client`, and whether inside; `None` is whomever
    /// the host asks.
    ///
    /// A server in a network of the container's is reached there only. Those of other
    /// networks of ours are out of its reach, here as for all its packets.
    pub(crate) fn servers(&self, client: Ipv4Addr) -> Option<Vec<Server>> {
        let (container, _) = self.at(client)?;
        if container.servers.is_empty() {
            return None;
        }
        let place = |address: &IpAddr| {
            let near = |ip: Ipv4Addr| {
                let mut seats = container.seats.iter();
                seats.any(|seat| seat.subnet.contains(ip))
            };
            let inside = matches!(address, IpAddr::V4(ip) if near(*ip));
            let others = matches!(address, IpAddr::V4(ip) if self.is_inside(*ip));
            (inside || !others && !container.is_shut_in()).then_some(Server {
                address: *address,
                inside,
            })
        };
        Some(container.servers.iter().filter_map(place).collect())
    }

    /// The addresses of a name in the networks that `asker` is in, turned by one each time.
    fn addresses(&self, asker: &Container, name: &str) -> Option<Vec<Ipv4Addr>> {
        if HOST_NAMES.contains(&name) {
            return asker.host_loopback.then(|| vec![HOST_ALIAS]);
        }
        let mut found: Vec<_> = self
            .neighbours(asker)
            .filter(|(container, seat)| {
                container.name.eq_ignore_ascii_case(name)
                    || container.id.short() == name
                    || seat
                        .aliases
                        .iter()
                        .any(|alias| alias.eq_ignore_ascii_case(name))
            })
            .map(|(_, seat)| seat.address)
            .collect();
        if found.is_empty() {
            return None;
        }
        let turn = self.turn.fetch_add(1, Ordering::Relaxed) % found.len();
        found.rotate_left(turn);
        Some(found)
    }

    fn name_of(&self, asker: &Container, address: Ipv4Addr) -> Option<Answer> {
        let found = self
            .neighbours(asker)
            .find(|(_, seat)| seat.address == address);
        match found {
            Some((container, _)) => Some(Answer::Name(container.name.clone())),
            None => self.is_inside(address).then_some(Answer::NoSuchName),
        }
    }

    /// Every container, with its place, in every network that `asker` is in.
    fn neighbours<'a>(
        &'a self,
        asker: &'a Container,
    ) -> impl Iterator<Item = (&'a Container, &'a Seat)> {
        self.containers
            .values()
            .flat_map(|container| container.seats.iter().map(move |seat| (container, seat)))
            .filter(|(_, seat)| asker.seats.iter().any(|own| own.network == seat.network))
    }
}

#[cfg(test)]
mod tests;
