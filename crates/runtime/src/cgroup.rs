//! The container's own cgroups, and nothing else in the host's hierarchies.
//!
//! Version 2 is an address first, for the device filter and to find processes by; root's
//! containers always have a cgroup there, a plain user's where one is delegated to them.
//! Limits are enforced by whichever version has the controller. One of version 1 is joined
//! only for a limit that asks for it: a process cannot be born there, and moving it waits
//! for an RCU grace period, about 7 ms.
//!
//! ```text
//! <root or delegated cgroup of version 2>/shim/<id>
//! /sys/fs/cgroup/<controller of version 1>/shim/<id>
//! ```
//!
//! | module | what it does |
//! | --- | --- |
//! | `machine` | which hierarchies there are, and which of them are ours to use |
//! | `limit` | what can be limited, and the reasons why it cannot |
//! | `writes` | limits → values of files, for both versions; pure |
//! | `place` | a container's cgroups: made, joined, changed, read, removed |
//! | `tree` | directories and files of cgroups |
//! | `manager` | a user's systemd, which owns what is delegated to them |

mod limit;
mod machine;
mod manager;
mod place;
mod tree;
mod writes;

pub use limit::{Gap, Limit, LimitError};
pub(crate) use place::{Place, oom_killed, place_of, prepare};
pub use place::{gaps, remove, update};
