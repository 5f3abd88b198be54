//! A container's own user namespace, below the one that all containers of the user share.
//!
//! It only renumbers: the mounts, the network and all else still belong to the shared one,
//! so nothing inside has a say over them, and files keep the ids they have there. The
//! process joins it last of all, right before it becomes the user.

use std::os::fd::{AsFd, OwnedFd};

use model::ContainerPlan;
use model::container::{IdMap, Ids, ProcessRef};
use sys::ns::Kind;

use crate::identity::User;

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
