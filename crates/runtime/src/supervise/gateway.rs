//! What a supervisor does when its gateway dies: a successor takes over the links that
//! exist, which the router namespace, held by us, has kept.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use model::container::NetworkMode;
use model::network::Ready;
use model::{ContainerPlan, NetworkPlan};
use rustix::process::{Pid, WaitOptions};
use sys::process::Fork;

use super::core::Network;
use crate::gateway_client;

/// Time between two attempts.
pub(crate) const PAUSE: Duration = Duration::from_millis(250);

/// The hidden entry of our program that is a gateway. Whoever starts one holds the lock,
/// and gives it a pipe as standard input, which it closes when it listens or gives up.
const ENTRY: &str = "__gateway";
const LOCK: &str = "gateway-start.lock";

const KILL: i32 = 9;

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
            spawn(plan, run_base);
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

/// Makes sure that a gateway listens, and waits for that: a restart needs one.
pub(crate) fn ensure(plan: &ContainerPlan, run_base: &Path) {
    let wanted = matches!(plan.network, NetworkMode::Gateway(_));
    if wanted
        && sys::unix::connect(&plan.paths.gateway).is_err()
        && let Some(pid) = spawn(plan, run_base)
    {
        let _ = rustix::process::waitpid(Some(pid), WaitOptions::empty());
    }
}

/// Starts a gateway if there is none. A fork does it, which the main loop reaps: it takes
/// a lock, so that of many supervisors one prevails, and waits.
fn spawn(plan: &ContainerPlan, run_base: &Path) -> Option<Pid> {
    match sys::process::fork() {
        Ok(Fork::Child) => {
            let _ = sys::process::set_parent_death_signal(KILL);
            let _ = start(&plan.paths.gateway, run_base);
            sys::process::exit_now(0)
        }
        Ok(Fork::Parent(pid)) => Pid::from_raw(pid),
        Err(_) => None,
    }
}

fn start(socket: &Path, run_base: &Path) -> io::Result<()> {
    let lock = File::create(run_base.join(LOCK))?;
    lock.lock()?;
    if sys::unix::connect(socket).is_ok() {
        return Ok(());
    }
    let (mut told, tell) = io::pipe()?;
    Command::new("/proc/self/exe")
        .arg(ENTRY)
        .arg(run_base)
        .env_clear()
        .current_dir("/")
        .stdin(OwnedFd::from(tell))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    told.read_to_end(&mut Vec::new()).map(drop)
}
