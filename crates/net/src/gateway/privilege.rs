//! What the threads of the gateway may do.
//!
//! Capabilities belong to threads. Those that read what containers send have none; the two
//! that make links, ports and namespaces keep what that takes.

use sys::caps::Set;

use crate::error::Result;

/// Enough for every thread here; what is not touched is not paid for.
pub(crate) const STACK: usize = 256 * 1024;

/// What the control and router threads keep: links, namespaces, low ports, and seeing who has
/// a port that is wanted.
const KEPT: [&str; 5] = [
    "NET_ADMIN",
    "SYS_ADMIN",
    "NET_BIND_SERVICE",
    "SYS_PTRACE",
    "DAC_READ_SEARCH",
];

/// Leaves the calling thread, and threads that it starts, with what the gateway needs.
pub(crate) fn keep_few() -> Result<()> {
    sys::caps::forbid_new_privileges()?;
    let kept = Set::from_names(KEPT).expect("the kernel's own names");
    sys::caps::set(kept.intersection(sys::caps::permitted()?))?;
    Ok(())
}

/// Leaves the calling thread with nothing.
pub(crate) fn keep_none() -> Result<()> {
    sys::caps::set(Set::EMPTY)?;
    Ok(())
}
