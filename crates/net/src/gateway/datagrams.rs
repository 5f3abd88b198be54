//! UDP: a flow for every pair of addresses, until it has been silent for a while.
//!
//! Each flow has a *near* socket in the router namespace, connected to the container and bound
//! to the other side's address, so that the container sees the true sender both ways. The *far*
//! side is a socket of its own for what a container began, and the published port's shared
//! one for what a client began.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use model::network::Transport;
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags};

use crate::error::Result;
use crate::gateway::front::{Base, TURN, Target, bind_as, connect};
use crate::gateway::poll::Table;

/// A flow that was silent for this long is forgotten.
const SILENCE: Duration = Duration::from_secs(60);
/// Flows at once; a port scan should not eat the machine's descriptors.
const MOST: usize = 4096;
/// How often silence is looked for.
const INTERVAL: Duration = Duration::from_secs(10);

/// The two sockets of a flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    /// In the router namespace.
    Near,
    /// In the host's.
    Far,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Key {
    Out {
        container: SocketAddrV4,
        target: SocketAddrV4,
    },
    In {
        door: usize,
        client: SocketAddr,
        local: Option<IpAddr>,
    },
}

struct Flow {
    key: Key,
    container: Ipv4Addr,
    near: OwnedFd,
    far: Far,
    used: Instant,
}

enum Far {
    Own(OwnedFd),
    Shared {
        socket: Arc<OwnedFd>,
        client: SocketAddr,
        local: Option<IpAddr>,
    },
}

/// All the flows.
#[derive(Default)]
pub(super) struct Datagrams {
    flows: Table<Flow>,
    known: HashMap<Key, usize>,
    tidied: Option<Instant>,
}

impl Datagrams {
    /// How long may pass until [`tidy`](Self::tidy).
    pub(super) fn patience(&self) -> Option<Duration> {
        (!self.flows.is_empty()).then_some(INTERVAL)
    }

    /// Forgets silent flows.
    pub(super) fn tidy(&mut self) {
        let now = Instant::now();
        if self.tidied.is_some_and(|last| now < last + INTERVAL) {
            return;
        }
        self.tidied = Some(now);
        self.drop_where(|flow| now >= flow.used + SILENCE);
    }

    /// Forgets the flows of containers that are gone.
    pub(super) fn drop_all_of(&mut self, containers: &[Ipv4Addr]) {
        self.drop_where(|flow| containers.contains(&flow.container));
    }

    fn drop_where(&mut self, test: impl Fn(&Flow) -> bool) {
        for number in self.flows.numbers(test) {
            self.drop(number);
        }
    }

    fn drop(&mut self, number: usize) {
        if let Some(flow) = self.flows.remove(number) {
            self.known.remove(&flow.key);
        }
    }

    /// Takes datagrams that containers sent to somewhere else.
    pub(super) fn take_outgoing(&mut self, base: &mut Base, socket: &OwnedFd) {
        for _ in 0..TURN {
            let datagram = match sys::net::receive_datagram(socket, &mut base.buffer) {
                Ok(datagram) => datagram,
                Err(Errno::INTR) => continue,
                Err(_) => return,
            };
            let (SocketAddr::V4(container), Some(SocketAddr::V4(target))) =
                (datagram.from, datagram.to)
            else {
                continue;
            };
            let key = Key::Out { container, target };
            let number = match self.known.get(&key) {
                Some(number) => Some(*number),
                None => self.open_out(base, container, target),
            };
            self.pass(base, number, Side::Near, datagram.length);
        }
    }

    fn open_out(
        &mut self,
        base: &Base,
        container: SocketAddrV4,
        target: SocketAddrV4,
    ) -> Option<usize> {
        let way = base.way_out(*container.ip(), target, Transport::Udp)?;
        let make = || -> Result<(OwnedFd, OwnedFd)> {
            let far = sys::net::udp_socket(false)?;
            connect(&far, way)?;
            let near = base.router.udp_socket()?;
            bind_as(&near, target)?;
            connect(&near, container)?;
            Ok((near, far))
        };
        let (near, far) = make().ok()?;
        let key = Key::Out { container, target };
        self.open(base, key, *container.ip(), near, Far::Own(far))
    }

    /// Takes datagrams that clients sent to a published port.
    pub(super) fn take_incoming(
        &mut self,
        base: &mut Base,
        door: usize,
        socket: &Arc<OwnedFd>,
        target: &Target,
    ) {
        for _ in 0..TURN {
            let datagram = match sys::net::receive_datagram(socket, &mut base.buffer) {
                Ok(datagram) => datagram,
                Err(Errno::INTR) => continue,
                Err(_) => return,
            };
            let local = datagram.to.map(|to| to.ip());
            let key = Key::In {
                door,
                client: datagram.from,
                local,
            };
            let number = match self.known.get(&key) {
                Some(number) => Some(*number),
                None => self.open_in(base, key, socket, target),
            };
            self.pass(base, number, Side::Far, datagram.length);
        }
    }

    fn open_in(
        &mut self,
        base: &Base,
        key: Key,
        socket: &Arc<OwnedFd>,
        target: &Target,
    ) -> Option<usize> {
        let Key::In { client, local, .. } = key else {
            return None;
        };
        let make = || -> Result<OwnedFd> {
            let near = base.router.udp_socket()?;
            bind_as(&near, base.as_client(client, local, target))?;
            connect(&near, target.address)?;
            Ok(near)
        };
        let near = make().ok()?;
        let far = Far::Shared {
            socket: Arc::clone(socket),
            client,
            local,
        };
        self.open(base, key, *target.address.ip(), near, far)
    }

    fn open(
        &mut self,
        base: &Base,
        key: Key,
        container: Ipv4Addr,
        near: OwnedFd,
        far: Far,
    ) -> Option<usize> {
        if self.flows.len() >= MOST {
            return None;
        }
        let number = self.flows.insert(Flow {
            key,
            container,
            near,
            far,
            used: Instant::now(),
        });
        self.known.insert(key, number);
        let flow = self.flows.get(number).expect("just put there");
        let watched = base
            .watch_flow(&flow.near, number, Side::Near)
            .and_then(|()| match &flow.far {
                Far::Own(far) => base.watch_flow(far, number, Side::Far),
                Far::Shared { .. } => Ok(()),
            });
        if watched.is_err() {
            self.drop(number);
            return None;
        }
        Some(number)
    }

    /// Takes what came to one side of a flow to the other.
    pub(super) fn forward(&mut self, base: &mut Base, number: usize, from: Side) {
        for _ in 0..TURN {
            let Some(flow) = self.flows.get(number) else {
                return;
            };
            let socket = match (from, &flow.far) {
                (Side::Near, _) => &flow.near,
                (Side::Far, Far::Own(far)) => far,
                (Side::Far, Far::Shared { .. }) => return,
            };
            match rustix::net::recv(socket, &mut base.buffer[..], RecvFlags::empty()) {
                Ok((length, _)) => self.pass(base, Some(number), from, length),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return,
                // Nobody listens there. The next datagram may find somebody.
                Err(Errno::CONNREFUSED) => {}
                Err(_) => return self.drop(number),
            }
        }
    }

    /// Sends the first `length` bytes of the buffer on. What cannot be sent is lost, as
    /// datagrams are.
    fn pass(&mut self, base: &Base, number: Option<usize>, from: Side, length: usize) {
        let Some(flow) = number.and_then(|number| self.flows.get_mut(number)) else {
            return;
        };
        flow.used = Instant::now();
        let bytes = &base.buffer[..length];
        let _ = match (from, &flow.far) {
            (Side::Far, _) => rustix::net::send(&flow.near, bytes, SendFlags::NOSIGNAL).map(drop),
            (Side::Near, Far::Own(far)) => {
                rustix::net::send(far, bytes, SendFlags::NOSIGNAL).map(drop)
            }
            (
                Side::Near,
                Far::Shared {
                    socket,
                    client,
                    local,
                },
            ) => sys::net::send_datagram(socket, bytes, *client, *local),
        };
    }
}
