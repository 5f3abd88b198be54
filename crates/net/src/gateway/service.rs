//! Networks and published ports as the control thread has them made: what it asks of the
//! router and the front thread.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::sync::{Arc, RwLock};

use model::network::{NetworkPlan, PublishedPort};

use crate::error::Result;
use crate::gateway::front::{self, Order, Target};
use crate::gateway::poll::Mailbox;
use crate::gateway::ports::Opened;
use crate::gateway::router::{Router, Wire};
use crate::gateway::world::{Seat, World};
use crate::subnet::Subnet;

/// The parts that carry traffic.
pub(super) struct Service {
    pub(super) router: Arc<Router>,
    pub(super) front: Mailbox<Order>,
    /// The networks that have a bridge.
    networks: BTreeMap<String, Subnet>,
}

impl Service {
    /// Makes the router namespace, or takes `router` over, and starts the threads.
    pub(super) fn start(router: Option<OwnedFd>, world: &Arc<RwLock<World>>) -> Result<Self> {
        let (router, transparent) = Router::start(router)?;
        let front = front::start(Arc::clone(world), Arc::clone(&router), transparent)?;
        Ok(Self {
            router,
            front,
            networks: BTreeMap::new(),
        })
    }

    pub(super) fn open_network(&mut self, seat: &Seat) -> Result<()> {
        if !self.networks.contains_key(&seat.network) {
            let sockets = self.router.open_network(&seat.network, seat.subnet)?;
            self.front.post(Order::OpenNames {
                network: seat.network.clone(),
                sockets,
            });
            self.networks.insert(seat.network.clone(), seat.subnet);
        }
        Ok(())
    }

    pub(super) fn close_network(&mut self, name: &str) {
        if let Some(subnet) = self.networks.remove(name) {
            self.front.post(Order::CloseNames {
                network: name.to_owned(),
            });
            self.router.close_network(name, subnet);
        }
    }

    pub(super) fn publish(&self, owner: u64, port: &PublishedPort, opened: Opened, wire: &Wire) {
        let target = Target {
            address: std::net::SocketAddrV4::new(wire.seat.address, port.container_port),
            gateway: wire.seat.subnet.gateway(),
            internal: wire.seat.internal,
        };
        let number = port.host_port.expect("an opened port has a number");
        let everywhere = port.host_ip.is_none_or(|ip| ip.is_unspecified());
        let host = (number, everywhere);
        self.front.post(Order::Publish {
            owner,
            opened,
            host,
            target,
        });
    }
}

/// The place that has the default route: the first with a way out.
pub(super) fn main_wire(wires: &[Wire]) -> &Wire {
    let main = wires
        .iter()
        .find(|wire| wire.default_route)
        .or(wires.first());
    main.expect("a plan without attachments is refused before")
}

/// A container's places, with the interfaces that go there.
pub(super) fn wires(plan: &NetworkPlan, seats: Vec<Seat>) -> Vec<Wire> {
    let way_out = seats.iter().position(|seat| !seat.internal);
    let wire = |(number, seat)| Wire {
        seat,
        near: format!("v{}{number}", plan.container.short()),
        far: format!("eth{number}"),
        default_route: way_out == Some(number),
    };
    seats.into_iter().enumerate().map(wire).collect()
}
