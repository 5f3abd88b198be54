//! Networks as the gateway needs them, and the words exchanged with it.
//!
//! One connection a container over a `SOCK_SEQPACKET` unix socket, one JSON message a
//! packet. The supervisor sends [`Request::Attach`] together with an fd of the
//! container's network namespace; the gateway answers [`Reply::Ready`] together with an
//! fd of the router namespace, or [`Reply::Failed`]. The connection then stays open:
//! its end on either side is the notice of death.

use std::net::{IpAddr, Ipv4Addr};

use serde::{Deserialize, Serialize};

use crate::ContainerId;

/// What the gateway does for one container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkPlan {
    /// Whose it is.
    pub container: ContainerId,
    /// The container's name, answered in all its networks.
    pub name: String,
    /// At least one; the first gives the default route.
    pub attachments: Vec<Attachment>,
    /// Ports of the host that lead into the container.
    pub published: Vec<PublishedPort>,
    /// May the container reach the host's loopback as `host.docker.internal`?
    #[serde(default)]
    pub host_loopback: bool,
    /// Name servers for what is not one of the gateway's own names; the host's own when
    /// empty. Those in one of the container's networks are asked there, others from the host.
    #[serde(default)]
    pub servers: Vec<IpAddr>,
}

/// One network of a container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attachment {
    /// The network's name.
    pub network: String,
    /// Its subnet, e.g. 10.89.0.0 and 24. The gateway has the first address.
    pub subnet: (Ipv4Addr, u8),
    /// A fixed address, else the gateway chooses. A gateway that restarts is given the
    /// address that the container already has.
    #[serde(default)]
    pub address: Option<Ipv4Addr>,
    /// Further names in this network.
    #[serde(default)]
    pub aliases: Vec<String>,
    /// No way to the outside.
    #[serde(default)]
    pub internal: bool,
    /// The interface's hardware address, `xx:xx:xx:xx:xx:xx` and not a multicast one; made
    /// from the address when absent.
    #[serde(default)]
    pub mac: Option<String>,
}

/// A transport that ports are published for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Transport {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

impl Transport {
    /// `tcp` or `udp`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        }
    }
}

/// One published port.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublishedPort {
    /// Address on the host; `None` is every address, IPv4 and IPv6.
    pub host_ip: Option<IpAddr>,
    /// Port on the host; `None` lets the kernel choose.
    pub host_port: Option<u16>,
    /// Port in the container.
    pub container_port: u16,
    /// TCP or UDP.
    pub transport: Transport,
}

/// A message to the gateway.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "request", rename_all = "kebab-case")]
pub enum Request {
    /// Connect a container. The network namespace's fd comes along. A second fd, if
    /// there is one, is the router namespace that an earlier gateway made: links in it
    /// are kept (`adopt`).
    Attach {
        /// What to do.
        plan: NetworkPlan,
        /// Links and addresses exist already; only names and ports are taken up.
        #[serde(default)]
        adopt: bool,
    },
    /// End as soon as no container is connected, instead of 10 s later.
    EndWhenIdle,
}

/// The gateway's answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "reply", rename_all = "kebab-case")]
pub enum Reply {
    /// The container is connected.
    Ready(Ready),
    /// It is not, and nothing was left behind.
    Failed {
        /// What and why, one sentence, e.g. `port 8000/tcp on 0.0.0.0 is in use by nginx (pid 812)`.
        message: String,
        /// What the user can do.
        hint: Option<String>,
    },
}

/// What a connected container has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ready {
    /// In the order of the plan's attachments; interfaces are `eth0`, `eth1`, ….
    pub links: Vec<Link>,
    /// With the host's port filled in.
    pub published: Vec<PublishedPort>,
    /// What goes into `/etc/resolv.conf`.
    pub nameserver: Ipv4Addr,
    /// The host's search domains, for the same file.
    #[serde(default)]
    pub search: Vec<String>,
}

/// One interface of a container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// The network's name.
    pub network: String,
    /// The container's address.
    pub address: Ipv4Addr,
    /// Length of the subnet's prefix in bits.
    pub prefix: u8,
    /// The bridge's address.
    pub gateway: Ipv4Addr,
    /// `xx:xx:xx:xx:xx:xx`.
    pub mac: String,
}
