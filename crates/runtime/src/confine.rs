//! The last steps before a container's program runs, the same for its first process, for
//! `exec` and for health checks.
//!
//! The order is forced by the kernel: a filter may only be loaded with `CAP_SYS_ADMIN` (we
//! do not force `no_new_privs` on programs, setuid ones are to work), dropping from the
//! bounding set needs `CAP_SETPCAP`, and the filter itself must not refuse what comes
//! after it. So both capabilities are kept until the filter is in place, and go last.

use model::container::{ProcessPlan, Seccomp};
use sys::caps::{self, Set};
use sys::seccomp::Program;

use crate::seccomp_profile::ProfileError;

/// All that confines a process; made before the fork, so that little is left to do after.
#[derive(Debug, Clone)]
pub struct Confinement {
    bounding: Set,
    /// Effective and permitted at the end; nothing for a user other than root.
    wanted: Set,
    filter: Option<Program>,
    /// Where one id is all there is: lets changes of owner and user succeed.
    faked: Option<Program>,
    no_new_privileges: bool,
}

/// Why a process cannot be confined as its plan asks.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfineError {
    /// A capability that no kernel knows.
    #[error("unknown capability {0}")]
    UnknownCapability(String),
    /// A profile of system calls that cannot be used.
    #[error(transparent)]
    Profile(#[from] ProfileError),
}

impl Confinement {
    /// What confines a process of this plan that runs as `uid`. Capabilities that we do
    /// not have ourselves cannot be given and are left out.
    pub fn new(
        process: &ProcessPlan,
        seccomp: &Seccomp,
        uid: u32,
        ours: Set,
    ) -> Result<Self, ConfineError> {
        let names = process.capabilities.iter().map(String::as_str);
        let asked = Set::from_names(names)
            .map_err(|name| ConfineError::UnknownCapability(name.to_owned()))?;
        let filter = crate::seccomp_profile::program(seccomp, asked)?;
        let bounding = asked.intersection(ours);
        let wanted = if uid == 0 { bounding } else { Set::EMPTY };
        let no_new_privileges = process.no_new_privileges;
        Ok(Self {
            bounding,
            wanted,
            filter,
            faked: sys::userns::maps_one_id()
                .unwrap_or(false)
                .then(crate::userns::faked::filter),
            no_new_privileges,
        })
    }

    /// Capabilities that must be left until [`Confinement::apply`].
    pub fn needed(&self) -> Set {
        self.bounding.union(Set::SYS_ADMIN).union(Set::SETPCAP)
    }

    /// Confines the calling process, for good. It already has its final user and groups.
    pub fn apply(&self) -> sys::Result<()> {
        // Before the filter: a profile may refuse it. Where one id is all there is, setuid
        // programs have nobody to become anyway.
        if self.no_new_privileges || self.faked.is_some() {
            caps::forbid_new_privileges()?;
        }
        caps::clear_ambient()?;
        caps::limit_bounding(self.bounding)?;
        caps::set(self.wanted.union(Set::SYS_ADMIN))?;
        if let Some(filter) = &self.filter {
            filter.load()?;
        }
        caps::set(self.wanted)?;
        match &self.faked {
            // Only now, for it pretends to change capabilities. It needs none to be loaded,
            // since no new privileges can be had.
            Some(faked) => faked.load(),
            None => Ok(()),
        }
    }
}
