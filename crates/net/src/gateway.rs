//! The gateway process.

use std::os::fd::OwnedFd;
use std::path::PathBuf;

/// What the gateway is told at its start.
#[derive(Debug)]
pub struct GatewayConfig {
    /// Where to listen; [`socket_path`](crate::socket_path) of `run_dir`.
    pub socket: PathBuf,
    /// Holds `gateway.lock` and `gateway.json`.
    pub run_dir: PathBuf,
    /// The router namespace of a gateway that died, when one is known.
    pub router_netns: Option<OwnedFd>,
    /// Written `ready` to as soon as the gateway listens, or what is in the way.
    pub ready: Option<OwnedFd>,
}

/// Runs the gateway until no container needs it. Gives the exit code.
///
/// The process must be in the host's network namespace and, when it is a user's, in our
/// user namespace already.
pub fn main(config: GatewayConfig) -> i32 {
    let _ = config;
    1
}
