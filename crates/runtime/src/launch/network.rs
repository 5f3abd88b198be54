//! The container's network namespace.

use std::os::fd::{AsFd, OwnedFd};

use model::ContainerPlan;
use model::container::NetworkMode;
use sys::ns::Kind;

use super::{StartError, namespaces};
use crate::gateway_client::{self, Attached};

/// A container's network, connected.
#[derive(Debug)]
pub(super) struct Network {
    /// `None` for the host's own.
    pub(super) netns: Option<OwnedFd>,
    pub(super) attached: Option<Attached>,
}

/// Makes or finds the network namespace, and has the gateway connect it. Call it on a
/// thread of its own, which ends soon: it is left in the namespace.
pub(super) fn connect(plan: &ContainerPlan) -> Result<Network, StartError> {
    let (netns, attached) = match &plan.network {
        NetworkMode::Host => (None, None),
        NetworkMode::None => (Some(make()?), None),
        NetworkMode::Container { run_dir } => (Some(namespaces::of(run_dir, Kind::Network)?), None),
        NetworkMode::Gateway(network) => {
            let netns = make()?;
            let attached =
                gateway_client::attach(&plan.paths.gateway, network, netns.as_fd(), None)?;
            (Some(netns), Some(attached))
        }
    };
    Ok(Network { netns, attached })
}

fn make() -> sys::Result<OwnedFd> {
    let namespace = sys::ns::enter_new_network()?;
    sys::ns::raise_loopback()?;
    // In a namespace of one's own, ping and low ports need no privilege.
    sys::ns::write_sysctl("net/ipv4/ping_group_range", &ping_groups())?;
    sys::ns::write_sysctl("net/ipv4/ip_unprivileged_port_start", "0")?;
    Ok(namespace)
}

/// All groups that have a mapping here, which must begin with group 0.
fn ping_groups() -> String {
    let map = sys::process::read_proc("self/gid_map").unwrap_or_default();
    format!("0\t{}", last_mapped(&map))
}

fn last_mapped(map: &str) -> u64 {
    let mut next = 0;
    for line in map.lines() {
        let mut numbers = line
            .split_ascii_whitespace()
            .filter_map(|n| n.parse::<u64>().ok());
        let (Some(first), Some(_), Some(count)) = (numbers.next(), numbers.next(), numbers.next())
        else {
            continue;
        };
        if first == next {
            next = first + count;
        }
    }
    // The kernel's own limit.
    next.saturating_sub(1).min(i32::MAX as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_mapped_group() {
        assert_eq!(last_mapped("0 0 4294967295\n"), 2_147_483_647);
        assert_eq!(last_mapped("0 1000 1\n1 200000 65536\n"), 65_536);
        assert_eq!(last_mapped("0 1000 1\n5 200000 65536\n"), 0);
        assert_eq!(last_mapped(""), 0);
    }
}
