//! The main thread: one connection a container, and the order in which things are done.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::mpsc;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use model::network::{Link, NetworkPlan, PublishedPort, Ready, Reply, Request};
use rustix::net::RecvFlags;

use crate::client::LONGEST_MESSAGE;
use crate::error::{Error, Result};
use crate::gateway::front::Order;
use crate::gateway::poll::{EventFlags, Poller, Table};
use crate::gateway::ports;
use crate::gateway::router::Wire;
use crate::gateway::service::{Service, main_wire, wires};
use crate::gateway::survivors::{Survivors, Tenant};
use crate::gateway::world::World;
use crate::hosts::Resolvers;

/// How long the gateway outlives its last container: the next command may want it again.
const IDLE: Duration = Duration::from_secs(10);
/// How long the front thread may take to close a container's ports.
const RELEASE: Duration = Duration::from_secs(2);
/// How often those who wait look whether whom they wait for has died.
const LOOK: Duration = Duration::from_millis(50);
const LISTENER: u64 = u64::MAX - 1;

/// The gateway's memory and its parts.
pub(crate) struct Control {
    poller: Poller,
    listener: OwnedFd,
    world: Arc<RwLock<World>>,
    /// The router namespace of an earlier gateway, until it is taken over.
    inherited: Option<OwnedFd>,
    /// Made when the first container comes.
    service: Option<Service>,
    connections: Table<Connection>,
    survivors: Survivors,
    /// Newcomers, until the survivors of an earlier gateway are back.
    newcomers: Vec<Newcomer>,
    next_owner: u64,
    end_when_idle: bool,
    idle_since: Option<Instant>,
}

/// Somebody who has to wait.
struct Newcomer {
    connection: usize,
    plan: NetworkPlan,
    fds: Vec<OwnedFd>,
}

struct Connection {
    socket: OwnedFd,
    /// It asked for the end and waits for that only.
    waits_for_end: bool,
    attached: Option<Attached>,
}

/// What a container has, to be given back.
struct Attached {
    owner: u64,
    name: String,
    wires: Vec<Wire>,
    ports: Vec<PublishedPort>,
    tenant: Tenant,
}

impl Control {
    /// The gateway behind a listening socket.
    pub(crate) fn new(
        listener: OwnedFd,
        inherited: Option<OwnedFd>,
        survivors: Survivors,
    ) -> Result<Self> {
        let poller = Poller::new()?;
        poller.add(&listener, LISTENER, EventFlags::IN)?;
        Ok(Self {
            poller,
            listener,
            world: Arc::default(),
            inherited,
            service: None,
            connections: Table::default(),
            survivors,
            newcomers: Vec::new(),
            next_owner: 0,
            end_when_idle: false,
            idle_since: None,
        })
    }

    /// Serves until nobody needs the gateway.
    pub(crate) fn run(&mut self) {
        loop {
            let idle = self.idle_for();
            if idle.is_some_and(|idle| self.end_when_idle || idle >= IDLE) {
                return self.survivors.forget();
            }
            let held = (!self.newcomers.is_empty()).then_some(LOOK);
            let limit = held.or(idle.map(|idle| IDLE.saturating_sub(idle)));
            for happening in self.poller.wait(limit) {
                match happening.token {
                    LISTENER => self.welcome(),
                    number => self.hear(number as usize),
                }
            }
            self.let_newcomers_in();
        }
    }

    /// For how long nobody has been connected; `None` while somebody is.
    fn idle_for(&mut self) -> Option<Duration> {
        if !self
            .connections
            .numbers(|connection| !connection.waits_for_end)
            .is_empty()
        {
            self.idle_since = None;
            return None;
        }
        Some(self.idle_since.get_or_insert_with(Instant::now).elapsed())
    }

    fn welcome(&mut self) {
        let Ok(socket) = sys::unix::accept(&self.listener) else {
            return;
        };
        let own = rustix::process::geteuid().as_raw();
        if !sys::unix::peer(&socket).is_ok_and(|peer| peer.uid == own) {
            return;
        }
        let connection = Connection {
            socket,
            waits_for_end: false,
            attached: None,
        };
        let number = self.connections.insert(connection);
        let connection = self.connections.get(number).expect("just put there");
        if self
            .poller
            .add(&connection.socket, number as u64, EventFlags::IN)
            .is_err()
        {
            self.connections.remove(number);
        }
    }

    fn hear(&mut self, number: usize) {
        let Some(connection) = self.connections.get(number) else {
            return;
        };
        let packet = match sys::unix::recv(&connection.socket, LONGEST_MESSAGE) {
            Ok(Some(packet)) => packet,
            Ok(None) | Err(_) => return self.lose(number),
        };
        match serde_json::from_slice(&packet.bytes) {
            Ok(Request::Attach { plan, adopt: true }) => {
                self.attach(number, &plan, true, packet.fds);
            }
            Ok(Request::Attach { plan, adopt: false }) => {
                // A survivor that starts anew does not wait for itself.
                self.survivors.is_back(&plan.container);
                self.newcomers.push(Newcomer {
                    connection: number,
                    plan,
                    fds: packet.fds,
                });
            }
            Ok(Request::EndWhenIdle) => {
                self.end_when_idle = true;
                if let Some(connection) = self.connections.get_mut(number) {
                    connection.waits_for_end = connection.attached.is_none();
                }
            }
            Err(_) => self.lose(number),
        }
    }

    fn let_newcomers_in(&mut self) {
        if self.newcomers.is_empty() || self.survivors.are_awaited() {
            return;
        }
        let reserved = self.survivors.addresses();
        self.world_mut(|world| world.reserve(reserved));
        while !self.newcomers.is_empty() {
            let Newcomer {
                connection,
                plan,
                fds,
            } = self.newcomers.remove(0);
            self.attach(connection, &plan, false, fds);
        }
    }

    fn attach(&mut self, number: usize, plan: &NetworkPlan, adopt: bool, fds: Vec<OwnedFd>) {
        // A container that ended a moment ago may have what this one wants.
        let gone = self
            .connections
            .numbers(|connection| has_ended(&connection.socket));
        gone.into_iter().for_each(|number| self.lose(number));
        // We stay: whoever waits for our end would wait as long as this container runs.
        self.end_when_idle = false;
        let waiting = self.connections.numbers(|it| it.waits_for_end);
        waiting.into_iter().for_each(|number| self.lose(number));
        let again = self
            .connections
            .get(number)
            .is_some_and(|it| it.attached.is_some());
        let outcome = match again {
            true => Err(Error::Start(format!(
                "container {} is attached already",
                plan.name
            ))),
            false => self.try_attach(number, plan, adopt, fds),
        };
        let (reply, attached) = match outcome {
            Ok((ready, attached)) => (Reply::Ready(ready), Some(attached)),
            Err(error) => {
                let (message, hint) = (error.sentence(), error.hint());
                (Reply::Failed { message, hint }, None)
            }
        };
        let Some(connection) = self.connections.get_mut(number) else {
            return;
        };
        let made = attached.is_some();
        connection.attached = connection.attached.take().or(attached);
        if made {
            self.survivors.is_back(&plan.container);
            self.write_record();
        }
        let Some(connection) = self.connections.get(number) else {
            return;
        };
        let router = self
            .service
            .as_ref()
            .filter(|_| made)
            .map(|service| service.router.namespace());
        let fds: Vec<_> = router.into_iter().collect();
        let text = serde_json::to_vec(&reply).expect("a reply has only string keys");
        if sys::unix::send(&connection.socket, &text, &fds).is_err() {
            self.lose(number);
        }
    }

    /// Before the answer: whoever has one is missed if we are killed.
    fn write_record(&self) {
        let attached = self.connections.iter();
        self.survivors
            .write(attached.filter_map(|it| it.attached.as_ref().map(|it| &it.tenant)));
    }

    fn try_attach(
        &mut self,
        number: usize,
        plan: &NetworkPlan,
        adopt: bool,
        fds: Vec<OwnedFd>,
    ) -> Result<(Ready, Attached)> {
        let mut fds = fds.into_iter();
        let netns = fds
            .next()
            .ok_or_else(|| Error::NoAttachment(plan.name.clone()))?;
        self.start_service(fds.next())?;
        self.next_owner += 1;
        let owner = self.next_owner;
        let seats = self.world_mut(|world| world.seat(owner, plan))?;
        let wires = wires(plan, seats);
        let addresses = wires.iter().map(|wire| wire.seat.address);
        let tenant = Tenant::new(plan.container.clone(), self.peer(number), addresses);
        let mut attached = Attached {
            owner,
            name: plan.name.clone(),
            wires,
            ports: Vec::new(),
            tenant,
        };
        match self.connect(plan, adopt, &netns, &mut attached) {
            Ok(links) => {
                let main = main_wire(&attached.wires);
                let ready = Ready {
                    nameserver: main.seat.subnet.gateway(),
                    published: attached.ports.clone(),
                    links,
                    search: Resolvers::of_host().search,
                };
                Ok((ready, attached))
            }
            Err(error) => {
                self.give_back(attached, true);
                Err(error)
            }
        }
    }

    /// Who attaches a container. No process has the number 0, and nobody waits for that one.
    fn peer(&self, number: usize) -> i32 {
        let socket = self.connections.get(number).map(|it| &it.socket);
        socket.map_or(0, |it| sys::unix::peer(it).map_or(0, |peer| peer.pid))
    }

    /// Ports first: they are what is most likely refused, and the cheapest to give back.
    fn connect(
        &mut self,
        plan: &NetworkPlan,
        adopt: bool,
        netns: &OwnedFd,
        attached: &mut Attached,
    ) -> Result<Vec<Link>> {
        let mut opened = Vec::new();
        for wanted in &plan.published {
            let (port, sockets) = ports::open(wanted).map_err(|error| self.own_holder(error))?;
            opened.extend(sockets.into_iter().map(|socket| (port.clone(), socket)));
            attached.ports.push(port);
        }
        let service = self.service.as_mut().expect("started before");
        let mut links = Vec::new();
        for wire in &attached.wires {
            service.open_network(&wire.seat)?;
            links.push(service.router.connect(netns.as_fd(), wire.clone(), adopt)?);
        }
        let main = main_wire(&attached.wires);
        for (port, socket) in opened {
            service.publish(attached.owner, &port, socket, main);
        }
        Ok(links)
    }

    fn start_service(&mut self, router: Option<OwnedFd>) -> Result<()> {
        if self.service.is_none() {
            let router = router.or(self.inherited.take());
            self.service = Some(Service::start(router, &self.world)?);
        }
        Ok(())
    }

    /// A port that another of our containers has is named by the container, not by us.
    fn own_holder(&self, error: Error) -> Error {
        let Error::PortInUse {
            address,
            port,
            transport,
            holder,
        } = error
        else {
            return error;
        };
        let has_it = |connection: &Connection| {
            let published = connection
                .attached
                .iter()
                .flat_map(|attached| &attached.ports);
            let mut ports = published.map(|it| (it.host_port, it.transport));
            ports.any(|it| it == (Some(port), transport))
        };
        let number = self.connections.numbers(has_it).first().copied();
        let attached = number.and_then(|number| self.connections.get(number)?.attached.as_ref());
        let holder = attached
            .map(|it| format!("container {}", it.name))
            .or(holder);
        Error::PortInUse {
            address,
            port,
            transport,
            holder,
        }
    }

    fn lose(&mut self, number: usize) {
        self.newcomers.retain(|it| it.connection != number);
        if let Some(Connection {
            attached: Some(attached),
            ..
        }) = self.connections.remove(number)
        {
            self.give_back(attached, false);
            self.write_record();
        }
    }

    /// Takes back all that a container had. Links that were just made for nothing are removed
    /// at once; those of a dead container usually go with its namespace, which costs less.
    fn give_back(&mut self, attached: Attached, at_once: bool) {
        self.world_mut(|world| world.remove(attached.owner));
        let Some(service) = self.service.as_mut() else {
            return;
        };
        let world = self.world.read().unwrap_or_else(PoisonError::into_inner);
        for wire in &attached.wires {
            match at_once {
                true => service.router.undo(wire.near.clone()),
                false => service
                    .router
                    .disconnect(wire.near.clone(), wire.seat.address),
            }
            if !world.is_used(&wire.seat.network) {
                service.close_network(&wire.seat.network);
            }
        }
        drop(world);
        let containers = attached
            .wires
            .iter()
            .map(|wire| wire.seat.address)
            .collect();
        let (done, released) = mpsc::channel();
        service.front.post(Order::Release {
            owner: attached.owner,
            containers,
            done,
        });
        // The ports must be free before anybody else is answered.
        let _ = released.recv_timeout(RELEASE);
    }

    fn world_mut<T>(&self, change: impl FnOnce(&mut World) -> T) -> T {
        change(&mut self.world.write().unwrap_or_else(PoisonError::into_inner))
    }
}

fn has_ended(socket: &OwnedFd) -> bool {
    let flags = RecvFlags::PEEK | RecvFlags::DONTWAIT;
    matches!(
        rustix::net::recv(socket, &mut [0; 1][..], flags),
        Ok((0, _))
    )
}
