//! Starting the gateway, and letting it go.

use std::os::fd::{AsFd, OwnedFd};
use std::process::{Command, Stdio};

use crate::{Engine, Result};

/// The hidden entry of our program that is the gateway.
pub const GATEWAY_ENTRY: &str = "__gateway";

impl Engine {
    /// Starts the gateway if there is none.
    pub(crate) fn ensure_gateway(&self) -> Result<()> {
        std::fs::create_dir_all(&self.settings.run).map_err(|source| crate::Error::File {
            act: "create",
            path: self.settings.run.clone(),
            source,
        })?;
        net::Client::ensure(&self.settings.run, |ready| self.spawn_gateway(&ready))?;
        Ok(())
    }

    /// Its two arguments are the runtime directory and, as standard input, the pipe that
    /// tells when it listens.
    fn spawn_gateway(&self, ready: &OwnedFd) -> std::io::Result<()> {
        let program = runtime::own_exe::protect().map_err(std::io::Error::other)?;
        Command::new(program.path())
            .arg(GATEWAY_ENTRY)
            .arg(&self.settings.run)
            .env_clear()
            .current_dir("/")
            .stdin(Stdio::from(ready.try_clone()?))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        Ok(())
    }

    /// Tells the gateway to end at once if no container needs it any more, and waits for
    /// that: after `stop`, `rm` and `down` nothing of ours is left running.
    pub fn gateway_may_end(&self) -> Result<()> {
        if self.list()?.iter().any(|c| {
            c.observed.is_alive() && matches!(c.plan.network, model::NetworkMode::Gateway(_))
        }) {
            return Ok(());
        }
        if let Some(client) = net::Client::connect(&self.settings.run)? {
            client.end_when_idle()?;
            client.wait_for_end();
        }
        Ok(())
    }
}

/// `shim __gateway RUN_DIR`, with the pipe that tells of its start as standard input.
/// Gives the exit code.
pub fn run_gateway(run_dir: std::path::PathBuf) -> i32 {
    let ready = std::io::stdin().as_fd().try_clone_to_owned().ok();
    // Later commands of a plain user join the namespace that we are in.
    let _holder = runtime::userns::announce(&run_dir);
    let config = net::gateway::GatewayConfig {
        socket: net::socket_path(&run_dir),
        run_dir,
        router_netns: None,
        ready,
    };
    net::gateway::main(config)
}
