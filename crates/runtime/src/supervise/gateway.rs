//! What a supervisor does when its gateway dies: a successor takes over the links that
//! exist, which the router namespace, held by us, has kept.

use std::os::fd::AsFd;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use model::container::NetworkMode;
use model::network::Ready;
use model::{ContainerPlan, NetworkPlan};

use super::core::Network;
use crate::gateway_client;

/// Time between two attempts.
pub(crate) const PAUSE: Duration = Duration::from_millis(250);

/// The hidden entry of our program that makes sure that a gateway runs.
const ENTRY: &str = "__ensure-gateway";

/// Attaches again; false when that has to be tried later.
pub(crate) fn reconnect(
    plan: &ContainerPlan,
    ready: Option<&Ready>,
    network: &mut Network,
    run_base: &Path,
) -> bool {
    let (NetworkMode::Gateway(wanted), Some(netns)) = (&plan.network, &network.netns) else {
        return true;
    };
    let wanted = as_it_is(wanted, ready);
    let router = network.router_netns.as_ref().map(AsFd::as_fd);
    match gateway_client::attach(&plan.paths.gateway, &wanted, netns.as_fd(), router) {
        Ok(attached) => {
            network.gateway = Some(attached.connection);
            if attached.router_netns.is_some() {
                network.router_netns = attached.router_netns;
            }
            true
        }
        Err(_) => {
            spawn(run_base);
            false
        }
    }
}

/// The plan with the addresses and ports that the container has now.
fn as_it_is(plan: &NetworkPlan, ready: Option<&Ready>) -> NetworkPlan {
    let mut plan = plan.clone();
    if let Some(ready) = ready {
        for attachment in &mut plan.attachments {
            let link = ready.links.iter().find(|l| l.network == attachment.network);
            attachment.address = link.map(|l| l.address).or(attachment.address);
        }
        plan.published.clone_from(&ready.published);
    }
    plan
}

/// Starts the entry; it takes a lock, so that of many supervisors one prevails. Its end
/// is reaped with the other children.
fn spawn(run_base: &Path) {
    let _ = Command::new("/proc/self/exe")
        .arg(ENTRY)
        .arg(run_base)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
}
