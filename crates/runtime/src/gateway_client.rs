//! The container's side of the connection to the gateway.

use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::Path;

use model::NetworkPlan;
use model::network::Ready;

use crate::launch::StartError;

/// A connection over which a container was attached.
#[derive(Debug)]
pub struct Attached {
    /// The gateway's answer.
    pub ready: Ready,
    /// The connection; its end is the gateway's death notice.
    pub connection: OwnedFd,
    /// The router's network namespace.
    pub router_netns: Option<OwnedFd>,
}

/// Attaches a container's network namespace and waits for the answer. `router_netns` is
/// given when a dead gateway's successor is to take over what exists.
pub fn attach(
    socket: &Path,
    plan: &NetworkPlan,
    netns: BorrowedFd<'_>,
    router_netns: Option<BorrowedFd<'_>>,
) -> Result<Attached, StartError> {
    let _ = (socket, plan, netns, router_netns);
    Err(StartError::Network {
        message: "not yet".into(),
        hint: None,
    })
}
