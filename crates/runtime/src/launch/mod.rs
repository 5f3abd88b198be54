//! From a plan to a running first process.

mod error;

use std::os::fd::OwnedFd;

use model::ContainerPlan;
use model::network::Ready;

pub use error::StartError;

use crate::stdio::Stdio;

/// A container that has been started.
#[derive(Debug)]
pub struct Started {
    /// Its first process in our pid namespace; our direct child.
    pub pid: i32,
    /// The same, as a descriptor.
    pub pidfd: OwnedFd,
    /// The terminal's master side, where one was asked for.
    pub terminal: Option<OwnedFd>,
    /// What the gateway answered.
    pub ready: Option<Ready>,
    /// The open connection to the gateway; its end is the gateway's death notice.
    pub gateway: Option<OwnedFd>,
    /// The router's network namespace, held so that links survive the gateway.
    pub router_netns: Option<OwnedFd>,
    /// The container's network namespace, where it is not the host's.
    pub netns: Option<OwnedFd>,
    /// What our mounts had to create in the upper directory.
    pub created: Vec<crate::rootfs::Created>,
}

/// A container that is set up but whose program does not run yet.
#[derive(Debug)]
pub struct Prepared {
    started: Started,
}

/// Sets everything up, short of executing the program. Call it only in a freshly executed
/// process with one thread, inside the right user namespace: libcontainer clones and then
/// allocates.
pub fn prepare(plan: &ContainerPlan, stdio: Stdio) -> Result<Prepared, StartError> {
    let _ = (plan, stdio);
    Err(StartError::Plan {
        what: "not yet".into(),
    })
}

impl Prepared {
    /// Executes the program. Returns once the kernel has accepted it, or says with
    /// docker's exit code why it did not.
    pub fn start(self) -> Result<Started, StartError> {
        Ok(self.started)
    }
}

/// [`prepare`] and [`Prepared::start`] at once.
pub fn start(plan: &ContainerPlan, stdio: Stdio) -> Result<Started, StartError> {
    prepare(plan, stdio)?.start()
}

/// Removes what a container that has ended leaves outside its directories: its cgroup.
pub fn clean_up(plan: &ContainerPlan) {
    crate::cgroup::remove(&plan.id);
}
