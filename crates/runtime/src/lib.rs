//! A container plan becomes a supervised process that one can attach to, execute in, stop.
//!
//! It knows nothing of images, of compose files or of the store: a [`model::ContainerPlan`] is all it is told.
//!
//! | module | what it does |
//! | --- | --- |
//! | [`userns`] | a plain user's first act: the user namespace |
//! | [`own_exe`] | our program, so that no container can overwrite it |
//! | [`launch`] | plan → running first process |
//! | [`init`] | process 1 of a container that asked for one |
//! | [`rootfs`] | the root file system, hostile until proven otherwise |
//! | [`identity`] | `USER` against the container's own passwd and group files |
//! | [`confine`] | the last steps before a container's program |
//! | [`exec`] | another process in a running container |
//! | [`step`] | a build's RUN instruction: no supervisor, no record |
//! | [`process`] | processes that cannot be confused with later ones |
//! | [`supervise`] | the process that holds a container: streams, log, socket, restarts |
//! | [`session`] | the process that holds an `exec` |
//! | [`frames`] | what is said over their sockets |
//! | [`attach`], [`control`] | the clients' side of that |
//! | [`freezer`] | pausing |
//! | [`journal`] | what has happened, for `events` |
//! | [`liveness`] | whether a container lives, and what to do if its supervisor does not |
//! | [`logs`] | the container's log, written and read |

pub mod attach;
pub mod cgroup;
pub mod confine;
pub mod control;
pub mod exec;
pub mod frames;
pub mod freezer;
pub mod gateway_client;
mod health;
pub mod identity;
pub mod init;
pub mod journal;
pub mod launch;
pub mod liveness;
pub mod logs;
pub mod own_exe;
pub mod process;
pub mod program;
mod resources;
pub mod rootfs;
pub mod seccomp_profile;
pub mod session;
pub mod stdio;
pub mod step;
pub mod supervise;
pub mod userns;
