//! What can go wrong on the way to a connected container.

use model::network::Transport;

/// Result of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// A network act that failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The gateway process could not be started.
    #[error("the network gateway does not start: {0}")]
    Start(String),
    /// The gateway went away in the middle of a request.
    #[error("the network gateway ended before it answered")]
    Gone,
    /// The gateway said something else than an answer.
    #[error("the network gateway's answer makes no sense")]
    Confused(#[source] serde_json::Error),
    /// The gateway refused, and says why.
    #[error("{message}")]
    Refused {
        /// What and why.
        message: String,
        /// What the user can do.
        hint: Option<String>,
    },
    /// A published port is taken.
    #[error("port {port}/{} on {address} is in use{}", transport.as_str(), by(holder))]
    PortInUse {
        /// The address it was wanted on.
        address: std::net::IpAddr,
        /// The port.
        port: u16,
        /// TCP or UDP.
        transport: Transport,
        /// Who has it, when that can be seen, e.g. `nginx (pid 812)`.
        holder: Option<String>,
    },
    /// A published port below the first one that users may have.
    #[error("port {port}/{} on {address} is reserved for root", transport.as_str())]
    PortReserved {
        /// The address it was wanted on.
        address: std::net::IpAddr,
        /// The port.
        port: u16,
        /// TCP or UDP.
        transport: Transport,
        /// The first port that is not reserved.
        first_free: u16,
    },
    /// An address of the host that the host does not have.
    #[error(
        "port {port} cannot be published on {address}: this machine does not have that address"
    )]
    NoSuchAddress {
        /// The address.
        address: std::net::IpAddr,
        /// The port.
        port: u16,
    },
    /// A fixed address that is not in its network.
    #[error("address {address} is not a usable address of network {network} ({subnet})")]
    AddressOutside {
        /// The address.
        address: std::net::Ipv4Addr,
        /// The network's name.
        network: String,
        /// Its subnet.
        subnet: String,
    },
    /// A fixed address that another container has.
    #[error("address {address} of network {network} is in use by container {holder}")]
    AddressTaken {
        /// The address.
        address: std::net::Ipv4Addr,
        /// The network's name.
        network: String,
        /// The container's name.
        holder: String,
    },
    /// A hardware address that no interface can have.
    #[error("no interface can have the hardware address {mac}, wanted in network {network}")]
    MacUnusable {
        /// The hardware address.
        mac: String,
        /// The network's name.
        network: String,
    },
    /// All addresses of a network are in use.
    #[error("network {network} ({subnet}) has no free address left")]
    SubnetFull {
        /// The network's name.
        network: String,
        /// Its subnet.
        subnet: String,
    },
    /// Two networks whose subnets share addresses.
    #[error("subnet {subnet} of network {network} overlaps with network {other}")]
    SubnetOverlap {
        /// The network's name.
        network: String,
        /// Its subnet.
        subnet: String,
        /// The network that was there before.
        other: String,
    },
    /// A subnet that leaves no room for a gateway and a container.
    #[error("subnet {subnet} of network {network} is not a usable IPv4 subnet")]
    SubnetUnusable {
        /// The network's name.
        network: String,
        /// The subnet.
        subnet: String,
    },
    /// A plan that nothing can be done for.
    #[error("container {0} has no network to attach to")]
    NoAttachment(String),
    /// The kernel refused.
    #[error(transparent)]
    Kernel(#[from] sys::Error),
    /// A file of the gateway's own.
    #[error("cannot {act} {path}")]
    File {
        /// A verb.
        act: &'static str,
        /// The file.
        path: std::path::PathBuf,
        /// The kernel's answer.
        #[source]
        source: std::io::Error,
    },
}

impl Error {
    /// What the user can do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Refused { hint, .. } => hint.clone(),
            Self::PortInUse { .. } => {
                Some("publish another host port, or end the program that has this one".to_owned())
            }
            Self::PortReserved {
                port, first_free, ..
            } => Some(format!(
                "publish a port from {first_free} up, or allow it once for this machine: \
                 sudo sysctl -w net.ipv4.ip_unprivileged_port_start={port}"
            )),
            Self::NoSuchAddress { .. } => {
                Some("`ip address` lists the addresses of this machine".to_owned())
            }
            Self::AddressTaken { .. } => {
                Some("leave the address out, or choose another".to_owned())
            }
            Self::MacUnusable { .. } => Some(
                "choose one whose first byte is even, e.g. 02:42:ac:11:00:02, and not all zero"
                    .to_owned(),
            ),
            Self::SubnetFull { .. } | Self::SubnetUnusable { .. } => {
                Some("give the network a larger subnet".to_owned())
            }
            Self::Kernel(error) if error.object == sys::nft::RULESET => Some(
                "the kernel needs nf_tables with its `tproxy` and `socket` expressions \
                 (modules nft_tproxy and nft_socket; root loads them with modprobe)"
                    .to_owned(),
            ),
            _ => None,
        }
    }

    /// The message with its causes, as one sentence for the wire.
    pub(crate) fn sentence(&self) -> String {
        let mut text = self.to_string();
        let mut cause = std::error::Error::source(self);
        while let Some(next) = cause {
            text.push_str(": ");
            text.push_str(&next.to_string());
            cause = next.source();
        }
        text
    }
}

fn by(holder: &Option<String>) -> String {
    holder
        .as_ref()
        .map_or_else(String::new, |holder| format!(" by {holder}"))
}
