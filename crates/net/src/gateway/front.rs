//! The thread that meets everybody first: it accepts TCP connections in both directions and
//! hands them to the workers, and deals with datagrams and questions about names itself.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4};
use std::os::fd::OwnedFd;
use std::sync::mpsc::Sender;
use std::sync::{Arc, PoisonError, RwLock};
use std::thread;
use std::time::Duration;

use model::network::Transport;
use rustix::io::Errno;
use rustix::net::{SocketFlags, sockopt};

use crate::error::{Error, Result};
use crate::gateway::datagrams::{Datagrams, Side};
use crate::gateway::names::Names;
use crate::gateway::poll::{EventFlags, INBOX, Inbox, Mailbox, Poller, Table};
use crate::gateway::ports::Opened;
use crate::gateway::privilege;
use crate::gateway::router::{NameSockets, Router, Transparent};
use crate::gateway::worker::{Pair, Workers};
use crate::gateway::world::World;

/// The largest datagram.
const DATAGRAM: usize = 65_536;
/// Connections accepted, or datagrams taken, before others have their turn.
pub(super) const TURN: usize = 64;

/// Where a published port leads.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Target {
    /// Into the container.
    pub(crate) address: SocketAddrV4,
    /// The bridge's address, for clients that cannot keep their own.
    pub(crate) gateway: Ipv4Addr,
    /// The container has no route back to clients outside.
    pub(crate) internal: bool,
}

/// What the front thread is told.
pub(crate) enum Order {
    /// Lead an opened port into a container.
    Publish {
        /// The container's number.
        owner: u64,
        /// The socket.
        opened: Opened,
        /// Its port on the host, and is it on every address?
        host: (u16, bool),
        /// Where to.
        target: Target,
    },
    /// Close a container's ports and break its flows, then say so.
    Release {
        /// The container's number.
        owner: u64,
        /// Its addresses.
        containers: Vec<Ipv4Addr>,
        /// Told when the ports are free again.
        done: Sender<()>,
    },
    /// Answer a network's questions about names.
    OpenNames {
        /// The network's name.
        network: String,
        /// Where they arrive.
        sockets: NameSockets,
    },
    /// Stop answering them.
    CloseNames {
        /// The network's name.
        network: String,
    },
}

/// What all the parts of the front thread use.
pub(super) struct Base {
    pub(super) poller: Poller,
    pub(super) world: Arc<RwLock<World>>,
    pub(super) router: Arc<Router>,
    pub(super) buffer: Vec<u8>,
    /// The sockets that somebody else begins to speak on.
    pub(super) doors: Table<Door>,
}

/// A socket that somebody else begins to speak on.
pub(super) struct Door {
    pub(super) socket: Arc<OwnedFd>,
    pub(super) kind: DoorKind,
}

pub(super) enum DoorKind {
    OutTcp,
    OutUdp,
    Published {
        owner: u64,
        transport: Transport,
        host: (u16, bool),
        target: Target,
    },
    NamesUdp {
        network: String,
    },
    NamesTcp {
        network: String,
    },
}

/// The kinds of numbers that the poller reports, in their upper halves.
const DOOR: u64 = 0;
const NEAR: u64 = 1 << 32;
const FAR: u64 = 2 << 32;
const RELAY: u64 = 3 << 32;

struct Front {
    base: Base,
    inbox: Inbox<Order>,
    workers: Workers,
    datagrams: Datagrams,
    names: Names,
}

/// Starts the front thread and the workers.
pub(crate) fn start(
    world: Arc<RwLock<World>>,
    router: Arc<Router>,
    transparent: Transparent,
) -> Result<Mailbox<Order>> {
    let (mailbox, inbox) = Mailbox::new()?;
    let poller = Poller::new()?;
    inbox.watch(&poller)?;
    let base = Base {
        poller,
        world,
        router,
        buffer: Vec::new(),
        doors: Table::default(),
    };
    let workers = Workers::start()?;
    let (datagrams, names) = (Datagrams::default(), Names::default());
    let mut front = Front {
        base,
        inbox,
        workers,
        datagrams,
        names,
    };
    front.base.open_door(transparent.tcp, DoorKind::OutTcp)?;
    front.base.open_door(transparent.udp, DoorKind::OutUdp)?;
    thread::Builder::new()
        .name("front".to_owned())
        .stack_size(privilege::STACK)
        .spawn(move || {
            // Better no service than one that reads strangers' bytes with capabilities.
            if privilege::keep_none().is_ok() {
                front.base.buffer = vec![0; DATAGRAM];
                front.run();
            }
        })
        .map_err(|e| sys::Error::new("start", "the front thread", e))?;
    Ok(mailbox)
}

impl Front {
    fn run(&mut self) {
        loop {
            let limit = self.names.patience().or(self.datagrams.patience());
            for happening in self.base.poller.wait(limit) {
                if happening.token == INBOX {
                    self.obey();
                    continue;
                }
                let number = (happening.token & u64::from(u32::MAX)) as usize;
                match happening.token - number as u64 {
                    DOOR => self.answer_door(number),
                    NEAR => self.datagrams.forward(&mut self.base, number, Side::Near),
                    FAR => self.datagrams.forward(&mut self.base, number, Side::Far),
                    RELAY => self.names.relayed(&mut self.base, number),
                    _ => {}
                }
            }
            self.names.tidy(&mut self.base);
            self.datagrams.tidy();
        }
    }

    fn obey(&mut self) {
        for order in self.inbox.take() {
            match order {
                Order::Publish {
                    owner,
                    opened,
                    host,
                    target,
                } => {
                    let Opened { socket, transport } = opened;
                    let kind = DoorKind::Published {
                        owner,
                        transport,
                        host,
                        target,
                    };
                    // Out of memory is the only reason left; the port then stays silent.
                    let _ = self.base.open_door(socket, kind);
                }
                Order::OpenNames { network, sockets } => {
                    let _ = self.base.open_door(
                        sockets.udp,
                        DoorKind::NamesUdp {
                            network: network.clone(),
                        },
                    );
                    let _ = self
                        .base
                        .open_door(sockets.tcp, DoorKind::NamesTcp { network });
                }
                Order::CloseNames { network } => self.base.close_doors(|kind| {
                    matches!(kind,
                        DoorKind::NamesUdp { network: it } | DoorKind::NamesTcp { network: it }
                            if *it == network)
                }),
                Order::Release {
                    owner,
                    containers,
                    done,
                } => {
                    self.base.close_doors(
                        |kind| matches!(kind, DoorKind::Published { owner: it, .. } if *it == owner),
                    );
                    self.datagrams.drop_all_of(&containers);
                    self.workers.drop_all_of(&containers);
                    let _ = done.send(());
                }
            }
        }
    }

    fn answer_door(&mut self, number: usize) {
        let Some(door) = self.base.doors.get(number) else {
            return;
        };
        let socket = Arc::clone(&door.socket);
        match door.kind {
            DoorKind::OutTcp => {
                for stream in accepted(&socket) {
                    self.carry(stream, |base, stream| base.connect_out(stream));
                }
            }
            DoorKind::Published {
                transport: Transport::Tcp,
                target,
                ..
            } => {
                for stream in accepted(&socket) {
                    self.carry(stream, |base, stream| base.connect_in(stream, &target));
                }
            }
            DoorKind::OutUdp => self.datagrams.take_outgoing(&mut self.base, &socket),
            DoorKind::Published {
                transport: Transport::Udp,
                target,
                ..
            } => {
                self.datagrams
                    .take_incoming(&mut self.base, number, &socket, &target);
            }
            DoorKind::NamesUdp { .. } => self.names.ask(&mut self.base, &socket),
            DoorKind::NamesTcp { .. } => {
                for stream in accepted(&socket) {
                    self.names.converse(&self.base, stream);
                }
            }
        }
    }

    /// Has a worker carry an accepted stream on, or breaks it.
    fn carry(
        &self,
        accepted: OwnedFd,
        connect: impl FnOnce(&Base, &OwnedFd) -> Result<(OwnedFd, Ipv4Addr)>,
    ) {
        match connect(&self.base, &accepted) {
            Ok((connecting, container)) => {
                self.workers.carry(Pair {
                    accepted,
                    connecting,
                    container,
                });
            }
            // The caller sees a reset, as from a machine that refuses.
            Err(_) => drop(sockopt::set_socket_linger(&accepted, Some(Duration::ZERO))),
        }
    }
}

impl Base {
    fn open_door(&mut self, socket: OwnedFd, kind: DoorKind) -> Result<()> {
        let socket = Arc::new(socket);
        let number = self.doors.insert(Door {
            socket: Arc::clone(&socket),
            kind,
        });
        self.poller
            .add(&socket, DOOR | number as u64, EventFlags::IN)
    }

    fn close_doors(&mut self, test: impl Fn(&DoorKind) -> bool) {
        for number in self.doors.numbers(|door| test(&door.kind)) {
            self.doors.remove(number);
        }
    }

    /// Watches the near or far socket of a datagram flow.
    pub(super) fn watch_flow(&self, socket: &OwnedFd, number: usize, side: Side) -> Result<()> {
        let kind = match side {
            Side::Near => NEAR,
            Side::Far => FAR,
        };
        self.poller
            .add(socket, kind | number as u64, EventFlags::IN)
    }

    /// Watches the socket that a question was relayed through.
    pub(super) fn watch_relay(&self, socket: &OwnedFd, number: usize) -> Result<()> {
        self.poller
            .add(socket, RELAY | number as u64, EventFlags::IN)
    }

    /// Begins the host's half of a stream that a container opened.
    fn connect_out(&self, accepted: &OwnedFd) -> Result<(OwnedFd, Ipv4Addr)> {
        let client = v4(rustix::net::getpeername(accepted).ok().flatten())?;
        let target = v4(rustix::net::getsockname(accepted).ok())?;
        let way = self
            .way_out(*client.ip(), target, Transport::Tcp)
            .ok_or(Error::Gone)?;
        let socket = sys::net::tcp_socket(false)?;
        connect(&socket, way)?;
        Ok((socket, *client.ip()))
    }

    /// Where traffic of a container goes on the host's side; `None` is nowhere.
    pub(super) fn way_out(
        &self,
        client: Ipv4Addr,
        target: SocketAddrV4,
        transport: Transport,
    ) -> Option<SocketAddrV4> {
        let world = self.world.read().unwrap_or_else(PoisonError::into_inner);
        let way = world
            .way_out(client, *target.ip())
            .map(|ip| SocketAddrV4::new(ip, target.port()));
        // Ports that are published on every address are on the bridge's address, too.
        let gateway = || {
            let published = world.is_gateway_of(client, *target.ip())
                && self.is_published(target.port(), transport);
            published.then(|| SocketAddrV4::new(Ipv4Addr::LOCALHOST, target.port()))
        };
        way.or_else(gateway)
    }

    fn is_published(&self, port: u16, wanted: Transport) -> bool {
        let test = |door: &Door| match door.kind {
            DoorKind::Published {
                transport, host, ..
            } => transport == wanted && host == (port, true),
            _ => false,
        };
        !self.doors.numbers(test).is_empty()
    }

    /// Begins the container's half of a stream that came to a published port.
    fn connect_in(&self, accepted: &OwnedFd, target: &Target) -> Result<(OwnedFd, Ipv4Addr)> {
        let address = |any: Option<rustix::net::SocketAddrAny>| {
            any.and_then(|any| SocketAddr::try_from(any).ok())
                .ok_or(Error::Gone)
        };
        let client = address(rustix::net::getpeername(accepted).ok().flatten())?;
        let local = address(rustix::net::getsockname(accepted).ok())?;
        let client = self.as_client(client, Some(local.ip()), target);
        let container = *target.address.ip();
        let socket = self.router.tcp_socket()?;
        if bind_as(&socket, client)
            .and_then(|()| connect(&socket, target.address))
            .is_ok()
        {
            return Ok((socket, container));
        }
        // The client has two connections from one port to two ports that lead here.
        let socket = self.router.tcp_socket()?;
        bind_as(&socket, SocketAddrV4::new(*client.ip(), 0))?;
        connect(&socket, target.address)?;
        Ok((socket, container))
    }

    /// The address that a container sees a client as: its own wherever answers to that can
    /// find us, else the bridge's.
    pub(super) fn as_client(
        &self,
        client: SocketAddr,
        local: Option<IpAddr>,
        target: &Target,
    ) -> SocketAddrV4 {
        match client {
            SocketAddr::V4(it) if !target.internal && self.is_elsewhere(*it.ip(), local) => it,
            _ => SocketAddrV4::new(target.gateway, 0),
        }
    }

    fn is_elsewhere(&self, client: Ipv4Addr, local: Option<IpAddr>) -> bool {
        let inside = || {
            self.world
                .read()
                .unwrap_or_else(PoisonError::into_inner)
                .is_inside(client)
        };
        let own = || {
            let probe = sys::net::udp_socket(false);
            probe.is_ok_and(|probe| {
                rustix::net::bind(&probe, &SocketAddr::from((client, 0))).is_ok()
            })
        };
        !client.is_loopback() && local != Some(client.into()) && !inside() && !own()
    }
}

/// Takes what connections wait, a turn's worth.
fn accepted(listener: &OwnedFd) -> impl Iterator<Item = OwnedFd> {
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    (0..TURN).map_while(move |_| {
        match rustix::io::retry_on_intr(|| rustix::net::accept_with(listener, flags)) {
            Ok(stream) => Some(stream),
            Err(Errno::MFILE | Errno::NFILE) => {
                // The connection stays in the queue and would be reported again at once.
                thread::sleep(Duration::from_millis(5));
                None
            }
            Err(_) => None,
        }
    })
}

/// Gives a socket of the router namespace its address; with port 0, a port that is only
/// chosen, and then shared, at the connection.
pub(super) fn bind_as(socket: &OwnedFd, address: SocketAddrV4) -> Result<()> {
    if address.port() == 0 {
        sys::net::set_late_port(socket)?;
    }
    rustix::net::bind(socket, &address)
        .map_err(|errno| sys::Error::new("bind to", address.to_string(), errno).into())
}

/// Begins to connect.
pub(super) fn connect(socket: &OwnedFd, to: SocketAddrV4) -> Result<()> {
    match rustix::net::connect(socket, &to) {
        Ok(()) | Err(Errno::INPROGRESS) => Ok(()),
        Err(errno) => Err(sys::Error::new("connect to", to.to_string(), errno).into()),
    }
}

fn v4(address: Option<rustix::net::SocketAddrAny>) -> Result<SocketAddrV4> {
    match address.and_then(|any| SocketAddr::try_from(any).ok()) {
        Some(SocketAddr::V4(address)) => Ok(address),
        _ => Err(Error::Gone),
    }
}
