//! A container's own user namespace, below the one that all containers of the user share.
//!
//! It only renumbers: the mounts, the network and all else still belong to the shared one,
//! so nothing inside has a say over them, and files keep the ids they have there. The
//! process joins it last of all, right before it becomes the user.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use model::ContainerPlan;
use model::container::{IdMap, Ids, ProcessRef};
use rustix::fs::{AtFlags, Gid, OFlags, Uid};
use sys::ns::Kind;

use crate::identity::User;
use crate::rootfs::Root;

/// What we make in every container, from its root; the root itself is what overlay takes
/// from the upper directory.
const OURS: [&str; 6] = [
    ".",
    "dev",
    "dev/shm",
    "etc/hosts",
    "etc/hostname",
    "etc/resolv.conf",
];

/// A namespace to join.
#[derive(Debug)]
pub(crate) struct Nested {
    namespace: OwnedFd,
    ids: Ids,
}

/// Why a user cannot be had in a container.
#[derive(Debug, thiserror::Error)]
pub enum NestedError {
    /// Its id is not among those that the container has.
    #[error("user {uid}:{gid} has no place in the ids of container {name}")]
    NoSuchId {
        /// User id.
        uid: u32,
        /// Group id.
        gid: u32,
        /// The container.
        name: String,
    },
    /// The kernel refused.
    #[error(transparent)]
    Sys(#[from] sys::Error),
}

impl Nested {
    /// For the first process of a container; `None` where it needs none. The calling
    /// process has one thread and is in the shared namespace.
    pub(crate) fn of_plan(plan: &ContainerPlan, user: &User) -> Result<Option<Self>, NestedError> {
        let Some(ids) = &plan.ids else {
            return Ok(None);
        };
        if !has(ids, user) {
            return Err(no_such_id(plan, user));
        }
        Self::make(ids.clone()).map(Some)
    }

    /// For a further process of a running container. Where one id is all there is, it may
    /// be another user than the first: then that user is the caller, too.
    pub(crate) fn of_running(
        plan: &ContainerPlan,
        init: ProcessRef,
        user: &User,
    ) -> Result<Option<Self>, NestedError> {
        if let Some(ids) = plan.ids.as_ref().filter(|ids| has(ids, user)) {
            let namespace = sys::ns::open_of(init.pid, Kind::User)?;
            let ids = ids.clone();
            return Ok(Some(Self { namespace, ids }));
        }
        match (sys::userns::maps_one_id()?, (user.uid, user.gid)) {
            (true, (0, 0)) => Ok(None),
            (true, (uid, gid)) => Self::make(Ids {
                users: IdMap::single(uid),
                groups: IdMap::single(gid),
            })
            .map(Some),
            (false, _) if plan.ids.is_none() => Ok(None),
            (false, _) => Err(no_such_id(plan, user)),
        }
    }

    fn make(ids: Ids) -> Result<Self, NestedError> {
        let namespace = sys::userns::make(&ids.users.to_string(), &ids.groups.to_string())?;
        Ok(Self { namespace, ids })
    }

    /// Gives what we have made to the container's root, which is somebody else than us: its
    /// user would else own it, and could change what root alone may.
    pub(crate) fn give_to_root(&self, root: &Root, plan: &ContainerPlan) -> sys::Result<()> {
        let (Some(uid), Some(gid)) = (self.ids.users.outside(0), self.ids.groups.outside(0)) else {
            return Ok(());
        };
        for path in OURS {
            if plan
                .mounts
                .iter()
                .any(|m| m.target.trim_matches('/') == path)
            {
                continue;
            }
            let Ok(fd) = root.open(Path::new(path), OFlags::PATH) else {
                continue;
            };
            let owner = rustix::fs::fstat(&fd).map(|stat| stat.st_uid);
            if owner != Ok(0) {
                continue;
            }
            let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
            let here = AtFlags::EMPTY_PATH;
            rustix::fs::chownat(&fd, "", Some(uid), Some(gid), here)
                .map_err(|errno| sys::Error::new("change the owner of", path, errno))?;
        }
        Ok(())
    }

    /// What a user id inside is in the shared namespace.
    pub(crate) fn outside(nested: Option<&Self>, uid: u32) -> u32 {
        nested.and_then(|n| n.ids.users.outside(uid)).unwrap_or(uid)
    }

    /// Moves the calling process in, where it then has all capabilities.
    pub(crate) fn join(nested: Option<&Self>) -> sys::Result<()> {
        match nested {
            Some(nested) => sys::ns::join(nested.namespace.as_fd(), Kind::User),
            None => Ok(()),
        }
    }
}

impl AsFd for Nested {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.namespace.as_fd()
    }
}

fn has(ids: &Ids, user: &User) -> bool {
    ids.users.outside(user.uid).is_some() && ids.groups.outside(user.gid).is_some()
}

fn no_such_id(plan: &ContainerPlan, user: &User) -> NestedError {
    NestedError::NoSuchId {
        uid: user.uid,
        gid: user.gid,
        name: plan.name.clone(),
    }
}
