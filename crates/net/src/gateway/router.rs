//! The router namespace and the one thread that lives in it.
//!
//! Bridges, links and every socket that must belong to the router namespace are made by this
//! thread: a user's gateway that once left the host's network namespace could never return to
//! it. Sockets stay where they were made, so everybody else only borrows them.

use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use model::network::Link;
use rustix::io::Errno;
use rustix::net::sockopt;
use sys::netlink::{Route, VethEnd};

use crate::error::{Error, Result};
use crate::gateway::privilege;
use crate::gateway::world::Seat;
use crate::subnet::{Subnet, mac, mac_text};

/// Of packets that belong to sockets of ours.
const MARK: u32 = 1;
/// The routing table for them.
const TABLE: u8 = 100;
/// The largest that a veth takes with room for headers: fewer, larger packets.
const MTU: u32 = 65_520;
/// Always the first interface of a network namespace.
const LOOPBACK: u32 = 1;
/// Ready-made sockets: a published port's connection should not wait for this thread.
const SPARE_SOCKETS: usize = 16;
/// How long the kernel may take to remove a dead container's links before we do.
const LINGER: Duration = Duration::from_secs(1);

type Job = Box<dyn FnOnce(&mut Inside) + Send>;

/// The router namespace, from outside.
#[derive(Debug)]
pub(crate) struct Router {
    jobs: Sender<Job>,
    namespace: OwnedFd,
    spare: Mutex<Vec<OwnedFd>>,
}

/// The sockets that traffic outwards arrives at.
#[derive(Debug)]
pub(crate) struct Transparent {
    /// TCP, listening.
    pub(crate) tcp: OwnedFd,
    /// UDP, telling original destinations.
    pub(crate) udp: OwnedFd,
}

/// The sockets that one network's questions about names arrive at.
#[derive(Debug)]
pub(crate) struct NameSockets {
    /// UDP.
    pub(crate) udp: OwnedFd,
    /// TCP, listening.
    pub(crate) tcp: OwnedFd,
}

/// A container's place in a network, to be wired.
#[derive(Debug, Clone)]
pub(crate) struct Wire {
    /// Where.
    pub(crate) seat: Seat,
    /// The near interface.
    pub(crate) near: String,
    /// The container's interface.
    pub(crate) far: String,
    /// Does the container's default route go here?
    pub(crate) default_route: bool,
}

/// What the router thread has at hand.
struct Inside {
    home: OwnedFd,
    route: Route,
    leaving: Vec<Leaving>,
}

/// An interface to remove unless the kernel does first.
struct Leaving {
    interface: String,
    /// The container's address, if it is a container's.
    address: Option<Ipv4Addr>,
    due: Instant,
}

impl Router {
    /// Makes the router namespace, or takes over the one that an earlier gateway made.
    pub(crate) fn start(adopt: Option<OwnedFd>) -> Result<(Arc<Self>, Transparent)> {
        let (jobs, inbox) = mpsc::channel::<Job>();
        let (tell, told) = mpsc::channel();
        let body = move || match open(adopt) {
            Ok((mut inside, transparent)) => {
                let namespace = inside.home.try_clone();
                let namespace = namespace
                    .map_err(|e| sys::Error::new("duplicate", "the router namespace", e).into());
                let _ = tell.send(namespace.map(|namespace| (namespace, transparent)));
                inside.serve(&inbox);
            }
            Err(error) => {
                let _ = tell.send(Err(error));
            }
        };
        thread::Builder::new()
            .name("router".to_owned())
            .stack_size(privilege::STACK)
            .spawn(body)
            .map_err(|e| sys::Error::new("start", "the router thread", e))?;
        let (namespace, transparent) = told.recv().unwrap_or(Err(Error::Gone))?;
        let spare = Mutex::default();
        Ok((
            Arc::new(Self {
                jobs,
                namespace,
                spare,
            }),
            transparent,
        ))
    }

    /// The router namespace itself.
    pub(crate) fn namespace(&self) -> BorrowedFd<'_> {
        self.namespace.as_fd()
    }

    /// Has the router thread do something, and waits.
    fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut Inside) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let (tell, told) = mpsc::channel();
        self.post(move |inside| {
            let _ = tell.send(job(inside));
        });
        told.recv().unwrap_or(Err(Error::Gone))
    }

    /// Has the router thread do something later.
    fn post(&self, job: impl FnOnce(&mut Inside) + Send + 'static) {
        // The thread ends with the process only.
        let _ = self.jobs.send(Box::new(job));
    }

    /// Makes a network's bridge if it is not there, and the sockets of its name service.
    pub(crate) fn open_network(&self, name: &str, subnet: Subnet) -> Result<NameSockets> {
        let bridge = bridge_name(name, subnet);
        self.run(move |inside| {
            inside.bridge(&bridge, subnet)?;
            name_sockets(subnet.gateway())
        })
    }

    /// Forgets a network that nobody is in any more.
    pub(crate) fn close_network(&self, name: &str, subnet: Subnet) {
        let bridge = bridge_name(name, subnet);
        self.post(move |inside| inside.leave(bridge, None));
    }

    /// Connects a container's network namespace. With `keep`, a link that is there stays.
    pub(crate) fn connect(&self, netns: BorrowedFd<'_>, wire: Wire, keep: bool) -> Result<Link> {
        let netns = netns
            .try_clone_to_owned()
            .map_err(|e| sys::Error::new("duplicate", "a network namespace", e))?;
        self.run(move |inside| inside.connect(&netns, &wire, keep))
    }

    /// Removes a container's link, after the time that the kernel itself may take.
    pub(crate) fn disconnect(&self, near: String, address: Ipv4Addr) {
        self.post(move |inside| inside.leave(near, Some(address)));
    }

    /// Removes a link that was just made.
    pub(crate) fn undo(&self, near: String) {
        self.post(move |inside| {
            let _ = inside.route.delete_link(&near);
        });
    }

    /// A TCP socket of the router namespace that may have any address.
    pub(crate) fn tcp_socket(self: &Arc<Self>) -> Result<OwnedFd> {
        let mut spare = self.spare.lock().unwrap_or_else(PoisonError::into_inner);
        let one = spare.pop();
        let left = spare.len();
        drop(spare);
        if left == SPARE_SOCKETS / 4 || one.is_none() {
            let router = Arc::clone(self);
            self.post(move |_| router.stock_up());
        }
        match one {
            Some(socket) => Ok(socket),
            None => self.run(|_| any_address(sys::net::tcp_socket(false)?)),
        }
    }

    fn stock_up(&self) {
        let mut spare = self.spare.lock().unwrap_or_else(PoisonError::into_inner);
        while spare.len() < SPARE_SOCKETS {
            match sys::net::tcp_socket(false)
                .map_err(Error::from)
                .and_then(any_address)
            {
                Ok(socket) => spare.push(socket),
                Err(_) => return,
            }
        }
    }

    /// A UDP socket of the router namespace that may have any address.
    pub(crate) fn udp_socket(&self) -> Result<OwnedFd> {
        self.run(|_| any_address(sys::net::udp_socket(false)?))
    }
}

impl Inside {
    fn serve(&mut self, inbox: &Receiver<Job>) {
        loop {
            let job = match self.leaving.iter().map(|leaving| leaving.due).min() {
                None => inbox.recv().map_err(|_| RecvTimeoutError::Disconnected),
                Some(due) => inbox.recv_timeout(due.saturating_duration_since(Instant::now())),
            };
            match job {
                Ok(job) => job(self),
                Err(RecvTimeoutError::Timeout) => {
                    let now = Instant::now();
                    self.remove_where(|leaving| leaving.due <= now);
                }
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    fn leave(&mut self, interface: String, address: Option<Ipv4Addr>) {
        self.leaving.push(Leaving {
            interface,
            address,
            due: Instant::now() + LINGER,
        });
    }

    /// Removes what is left over. Nobody uses it, so a failure has nobody to be told to.
    fn remove_where(&mut self, test: impl Fn(&Leaving) -> bool) {
        for leaving in self.leaving.extract_if(.., |leaving| test(leaving)) {
            let _ = self.route.delete_link(&leaving.interface);
        }
    }

    fn bridge(&mut self, name: &str, subnet: Subnet) -> Result<u32> {
        self.leaving.retain(|leaving| leaving.interface != name);
        if let Some(index) = self.route.link_index(name)? {
            return Ok(index);
        }
        let index = self.route.add_bridge(name, mac(subnet.gateway()), MTU)?;
        self.route
            .add_address(index, subnet.gateway(), subnet.prefix())?;
        // With br_netfilter loaded, bridged packets would meet the proxy rule and vanish; the
        // module sets this anew in every namespace, possibly after ours was made.
        sysctl("net/bridge/bridge-nf-call-iptables", "0")?;
        Ok(index)
    }

    fn connect(&mut self, netns: &OwnedFd, wire: &Wire, keep: bool) -> Result<Link> {
        let subnet = wire.seat.subnet;
        let address = wire.seat.address;
        let bridge = self.bridge(&bridge_name(&wire.seat.network, subnet), subnet)?;
        self.leaving
            .retain(|leaving| leaving.interface != wire.near);
        self.remove_where(|leaving| leaving.address == Some(address));
        if !(keep && self.route.link_index(&wire.near)?.is_some()) {
            if keep {
                // The other half was in a router namespace that is lost.
                self.visit(netns, |route| Ok(route.delete_link(&wire.far)?))?;
            }
            self.add_link(netns, wire, bridge)?;
            self.visit(netns, |route| {
                // Later it is the container's own to set.
                if !keep {
                    without_cookies()?;
                }
                configure(route, wire)
            })?;
        }
        Ok(Link {
            network: wire.seat.network.clone(),
            address,
            prefix: subnet.prefix(),
            gateway: subnet.gateway(),
            mac: mac_text(wire.seat.mac),
        })
    }

    fn add_link(&self, netns: &OwnedFd, wire: &Wire, bridge: u32) -> Result<()> {
        let near = VethEnd {
            name: &wire.near,
            mac: None,
        };
        let far = VethEnd {
            name: &wire.far,
            mac: Some(wire.seat.mac),
        };
        let add = || self.route.add_veth(&near, bridge, &far, netns.as_fd(), MTU);
        match add() {
            // Left over from the container's last run.
            Err(error) if error.errno() == Some(Errno::EXIST) => {
                self.route.delete_link(&wire.near)?;
                Ok(add()?)
            }
            other => Ok(other?),
        }
    }

    /// Does something in another network namespace.
    fn visit<T>(&self, netns: &OwnedFd, act: impl FnOnce(&Route) -> Result<T>) -> Result<T> {
        sys::net::enter_namespace(netns.as_fd())?;
        let done = Route::open()
            .map_err(Error::from)
            .and_then(|route| act(&route));
        // A router thread in a container's namespace would make every later socket there.
        sys::net::enter_namespace(self.home.as_fd())
            .expect("a thread may return to a namespace that it owns");
        done
    }
}

/// Gives a container's interface its address and routes.
fn configure(route: &Route, wire: &Wire) -> Result<()> {
    let missing = || sys::Error::new("find the interface", &wire.far, Errno::NODEV);
    let index = route.link_index(&wire.far)?.ok_or_else(missing)?;
    sysctl(&format!("net/ipv6/conf/{}/disable_ipv6", wire.far), "1")?;
    route.set_up(LOOPBACK)?;
    route.add_address(index, wire.seat.address, wire.seat.subnet.prefix())?;
    route.set_up(index)?;
    if wire.default_route {
        route.add_default_route(wire.seat.subnet.gateway())?;
    }
    Ok(())
}

fn open(adopt: Option<OwnedFd>) -> Result<(Inside, Transparent)> {
    let replace = adopt.is_some();
    let home = match adopt {
        Some(namespace) => {
            sys::net::enter_namespace(namespace.as_fd())?;
            namespace
        }
        None => sys::net::new_namespace()?,
    };
    prepare()?;
    let route = Route::open()?;
    route.set_up(LOOPBACK)?;
    let transparent = transparent_sockets()?;
    let port = local_port(&transparent.tcp)?;
    sys::nft::load_transparent_proxy(port, MARK, replace)?;
    route.add_mark_rule(MARK, TABLE)?;
    route.add_local_everything(TABLE, LOOPBACK)?;
    Ok((
        Inside {
            home,
            route,
            leaving: Vec::new(),
        },
        transparent,
    ))
}

/// The settings of the router namespace.
fn prepare() -> Result<()> {
    without_cookies()?;
    // Networks do not reach each other through here, and no packet comes out unproxied.
    sysctl("net/ipv4/ip_forward", "0")?;
    sysctl("net/ipv6/conf/all/disable_ipv6", "1")?;
    sysctl("net/ipv6/conf/default/disable_ipv6", "1")?;
    // Packets arrive for addresses that would be routed nowhere.
    sysctl("net/ipv4/conf/all/rp_filter", "0")?;
    sysctl("net/ipv4/conf/default/rp_filter", "0")?;
    // All of a published port's local clients share one address: ports must come back fast.
    sysctl("net/ipv4/tcp_tw_reuse", "1")?;
    sysctl("net/ipv4/ip_local_port_range", "10000 65535")?;
    // Sockets here take the addresses and ports of others, by threads without privileges.
    sysctl("net/ipv4/ip_unprivileged_port_start", "0")?;
    sysctl("net/bridge/bridge-nf-call-iptables", "0")
}

/// Turns SYN cookies off in the thread's network namespace.
///
/// A server with a full queue that answers with cookies remembers nothing of a connection,
/// drops what it cannot queue, and takes any later segment that begins up to three bytes late
/// for the first: the cookie's three numbers for the segment size lie side by side, so one
/// that is wrong by one is still a valid one (`__cookie_v4_check`). Those bytes are lost
/// without an error. Without cookies the connection is asked for again a second later.
/// Floods with invented addresses, which cookies are for, do not come here: all that reaches
/// a container from outside has spoken to the gateway first.
fn without_cookies() -> Result<()> {
    sysctl("net/ipv4/tcp_syncookies", "0")?;
    // Without them the kernel lets strangers have three quarters of this, which is a queue of
    // 96 on a small machine.
    sysctl("net/ipv4/tcp_max_syn_backlog", "4096")
}

/// Sets a kernel parameter of the thread's network namespace. One that this kernel does not
/// have needs no setting.
fn sysctl(name: &str, value: &str) -> Result<()> {
    let path = std::path::Path::new("/proc/sys").join(name);
    match std::fs::write(&path, value) {
        Err(source) if source.kind() != std::io::ErrorKind::NotFound => Err(Error::File {
            act: "write",
            path,
            source,
        }),
        _ => Ok(()),
    }
}

fn transparent_sockets() -> Result<Transparent> {
    let tcp = any_address(sys::net::tcp_socket(false)?)?;
    bind(&tcp, Ipv4Addr::UNSPECIFIED, 0)?;
    listen(&tcp)?;
    let udp = any_address(sys::net::udp_socket(false)?)?;
    sys::net::set_receive_original(&udp)?;
    bind(&udp, Ipv4Addr::UNSPECIFIED, local_port(&tcp)?)?;
    Ok(Transparent { tcp, udp })
}

/// Transparent although they have an address of ours: the rule that lets packets through to
/// their socket, instead of into the proxy, looks for just that.
fn name_sockets(gateway: Ipv4Addr) -> Result<NameSockets> {
    let udp = any_address(sys::net::udp_socket(false)?)?;
    bind(&udp, gateway, 53)?;
    let tcp = any_address(sys::net::tcp_socket(false)?)?;
    bind(&tcp, gateway, 53)?;
    listen(&tcp)?;
    Ok(NameSockets { udp, tcp })
}

fn any_address(socket: OwnedFd) -> Result<OwnedFd> {
    sys::net::set_transparent(&socket)?;
    sockopt::set_socket_reuseaddr(&socket, true)
        .map_err(|errno| sys::Error::new("share the address of", "a socket", errno))?;
    Ok(socket)
}

fn bind(socket: &OwnedFd, address: Ipv4Addr, port: u16) -> Result<()> {
    let address = SocketAddr::from((address, port));
    rustix::net::bind(socket, &address)
        .map_err(|errno| sys::Error::new("bind to", address.to_string(), errno).into())
}

fn listen(socket: &OwnedFd) -> Result<()> {
    rustix::net::listen(socket, 4096)
        .map_err(|errno| sys::Error::new("listen on", "a socket", errno).into())
}

fn local_port(socket: &OwnedFd) -> Result<u16> {
    let fail = |errno| sys::Error::new("read the address of", "a socket", errno);
    let address = rustix::net::getsockname(socket).map_err(fail)?;
    Ok(SocketAddr::try_from(address).map_err(fail)?.port())
}

/// The name of a network's bridge. The same in every gateway, so that one that takes over
/// finds it.
fn bridge_name(network: &str, subnet: Subnet) -> String {
    let text = format!("{network}/{subnet}");
    // FNV-1a: spread out, and the same in every version of ours.
    let hash = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    format!("br-{:012x}", hash >> 16)
}
