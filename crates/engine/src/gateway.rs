//! Starting the gateway, and letting it go.

use std::os::fd::{AsFd, OwnedFd};
use std::process::{Command, Stdio};

use rustix::event::{PollFd, PollFlags, Timespec};

use crate::{Engine, Result};

/// How long a gateway that nobody needs may take to end.
const END: Timespec = Timespec {
    tv_sec: 2,
    tv_nsec: 0,
};

/// The hidden entry of our program that is the gateway.
pub const GATEWAY_ENTRY: &str = "__gateway";

impl Engine {
    /// Starts the gateway if there is none. It stays as long as the connection does.
    pub(crate) fn ensure_gateway(&self) -> Result<net::Client> {
        std::fs::create_dir_all(&self.settings.run).map_err(|source| crate::Error::File {
            act: "create",
            path: self.settings.run.clone(),
            source,
        })?;
        let spawn = |ready| self.spawn_gateway(&ready);
        Ok(net::Client::ensure(&self.settings.run, spawn)?)
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
        let Some(client) = net::Client::connect(&self.settings.run)? else {
            return Ok(());
        };
        let needs_it = |c: &crate::ContainerView| {
            c.observed.is_alive() && matches!(c.plan.network, model::NetworkMode::Gateway(_))
        };
        if self.steps_run() || self.list()?.iter().any(needs_it) {
            return Ok(());
        }
        match client.end_when_idle() {
            // It was ending already.
            Ok(()) | Err(net::Error::Gone) => {}
            Err(error) => return Err(error.into()),
        }
        // Its end closes the connection. A container that starts just now keeps it alive.
        let mut fds = [PollFd::new(&client, PollFlags::IN)];
        let _ = rustix::event::poll(&mut fds, Some(&END));
        Ok(())
    }
}

/// `shim __gateway RUN_DIR`, with the pipe that tells of its start as standard input.
/// Gives the exit code.
pub fn run_gateway(run_dir: std::path::PathBuf) -> i32 {
    let ready = std::io::stdin().as_fd().try_clone_to_owned().ok();
    // Later commands of a plain user join the namespace that we are in.
    // Root's commands need nobody to join, and would not sweep what a crash leaves.
    let initial = sys::userns::is_initial().unwrap_or(false);
    let _holder = (!initial).then(|| runtime::userns::announce(&run_dir));
    let config = net::gateway::GatewayConfig {
        socket: net::socket_path(&run_dir),
        run_dir,
        router_netns: None,
        ready,
    };
    net::gateway::main(config)
}
