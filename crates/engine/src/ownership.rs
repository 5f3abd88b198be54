//! Who the caller is inside a container.
//!
//! A plain user's containers share one user namespace, where the caller is root. An image
//! whose user is somebody else would then write files into a bind mount that the caller
//! cannot even delete, and could not read the caller's own. Such a container gets a
//! nested namespace in which its user *is* the caller, over copies of the layers that
//! have the owners to match. Entry points that start as root keep the shared one.

use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use model::ContainerPlan;
use model::container::{IdMap, Ids, MountKind, UserMode};
use model::image::ImageConfig;
use runtime::identity::{self, User, UserError};
use store::Image;
use sys::fs::{DirFd, FileType, OFlags};

use crate::{Engine, Error, Result, Rung};

/// `/etc/passwd` and the like; more is not read.
const SMALL_FILE: u64 = 1 << 20;

impl Engine {
    /// Decides a new container's ids, and gives it the layers that go with them. The
    /// returned sentence tells the user what they would not expect.
    pub(crate) fn settle_ids(
        &self,
        plan: &mut ContainerPlan,
        image: &Image,
    ) -> Result<Option<String>> {
        let mut note = None;
        if let UserMode::KeepId { uid, gid } = &plan.isolation.user
            && self.settings.rootless
            && plan.process.user == image.config.config.user
        {
            // As podman has it, whoever keeps their ids is who they are inside.
            let (uid, gid) = (uid.unwrap_or(caller("uid")?), gid.unwrap_or(caller("gid")?));
            plan.process.user = format!("{uid}:{gid}");
        }
        let stack = plan.rootfs.layers.clone();
        if self.settings.rung == Rung::OneId
            && let Some((uid, gid)) = keeper(plan, &stack, &image.config)
        {
            plan.process.user = format!("{uid}:{gid}");
            note = Some(format!(
                "{} runs as user {uid} from its start: it keeps its data as that user, and \
                 without subordinate ids a container has one user only",
                plan.name
            ));
        }
        plan.ids = self.ids(plan, &stack)?;
        if let Some(ids) = plan
            .ids
            .as_ref()
            .filter(|_| self.settings.rung == Rung::Full)
        {
            plan.rootfs.layers = self.store.layers().stack_for(&image.layers, ids)?;
        }
        Ok(note)
    }

    /// Refuses to run containers where nothing would set them apart.
    pub(crate) fn may_run(&self) -> Result<()> {
        match self.settings.rung {
            Rung::Full | Rung::OneId => Ok(()),
            Rung::Bare => Err(Error::invalid_hint(
                "containers cannot run here: neither mounts nor namespaces can be had",
                "run shim outside this container, or start this one with --privileged; \
                 build, pull, push, save and load work as it is",
            )),
        }
    }

    /// The ids of one step of a build.
    pub(crate) fn step_ids(&self, plan: &ContainerPlan) -> Result<Option<Ids>> {
        match self.settings.rung {
            Rung::OneId => self.ids(plan, &plan.rootfs.layers),
            Rung::Full | Rung::Bare => Ok(None),
        }
    }

    fn ids(&self, plan: &ContainerPlan, stack: &[PathBuf]) -> Result<Option<Ids>> {
        let mode = &plan.isolation.user;
        if !self.settings.rootless {
            return match mode {
                UserMode::Default | UserMode::Host => Ok(None),
                UserMode::KeepId { .. } => Err(Error::invalid_hint(
                    "--userns=keep-id is for plain users: root's ids are the container's",
                    "run it without the flag",
                )),
                UserMode::Auto { .. } => Err(no_auto()),
            };
        }
        let user = user_of(plan, stack)?;
        let (uid, gid) = match mode {
            UserMode::Auto { .. } => return Err(no_auto()),
            UserMode::Host => (0, 0),
            UserMode::KeepId { uid, gid } => {
                (uid.unwrap_or(caller("uid")?), gid.unwrap_or(caller("gid")?))
            }
            UserMode::Default if shares_files(plan) || self.settings.rung == Rung::OneId => {
                (user.uid, if user.uid == 0 { 0 } else { user.gid })
            }
            UserMode::Default => (0, 0),
        };
        if self.settings.rung == Rung::OneId {
            return one_id(&user, (uid, gid));
        }
        let count = sys::userns::mapped_ids()?;
        Ok(((uid, gid) != (0, 0)).then(|| Ids {
            users: IdMap::swapped(uid, count),
            groups: IdMap::swapped(gid, count),
        }))
    }
}

/// Through whose eyes a container's files are described, where that is not our own. Where
/// one id is all there is, they are as they are in images: root's, unless noted otherwise.
pub(crate) fn shown(plan: &ContainerPlan) -> Option<&Ids> {
    plan.ids
        .as_ref()
        .filter(|ids| ids.users.outside(0).is_some())
}

/// A container's root, as we see it.
pub(crate) fn root_of(plan: &ContainerPlan) -> (u32, u32) {
    let outside = |map: &IdMap| map.outside(0).unwrap_or(0);
    plan.ids
        .as_ref()
        .map_or((0, 0), |ids| (outside(&ids.users), outside(&ids.groups)))
}

/// Why a path of the host cannot be mounted although it may be there: which directory on its
/// way is closed, to whom, and what would open it.
pub(crate) fn closed(path: &Path, target: &str) -> Error {
    let above: Vec<&Path> = path.ancestors().skip(1).collect();
    let found = above
        .iter()
        .find_map(|p| Some((*p, std::fs::metadata(p).ok()?)));
    let (directory, found) = match found {
        Some((directory, found)) => (directory.display().to_string(), Some(found)),
        None => (path.display().to_string(), None),
    };
    let owner = found.map_or_else(String::new, |found| {
        let owner = match found.uid() {
            0 => "you".to_owned(),
            UNMAPPED => "a user of the host who is none of your ids".to_owned(),
            other => format!("your subordinate user {other}"),
        };
        format!(
            " belongs to {owner}, with mode {:04o}, and",
            found.mode() & 0o7777
        )
    });
    let map = sys::process::read_proc("self/uid_map").unwrap_or_default();
    let lines = map.lines().filter_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let [inside, outside, count] = fields[..] else {
            return None;
        };
        Some(format!("{count} from {outside} on are {inside} and up"))
    });
    let mapping = lines.collect::<Vec<_>>().join(", ");
    Error::invalid_hint(
        format!(
            "cannot mount {} at {target}: Permission denied: {directory}{owner} does not let you \
             pass (of the host's users, {mapping} in containers)",
            path.display()
        ),
        format!(
            "run `chmod o+x {directory}` as its owner, mount another path, or run this as root"
        ),
    )
}

/// What the kernel shows for an owner who has no number here (`overflowuid`).
const UNMAPPED: u32 = 65_534;

/// Where there is one id, it is the container's user or nobody is.
fn one_id(user: &User, (uid, gid): (u32, u32)) -> Result<Option<Ids>> {
    if user.uid != uid {
        return Err(Error::invalid_hint(
            format!(
                "user {} cannot run in the container: without subordinate ids its only user is {uid}",
                user.uid
            ),
            "get a range of subordinate ids, as the warning says",
        ));
    }
    Ok(((uid, gid) != (0, 0)).then(|| Ids {
        users: IdMap::single(uid),
        groups: IdMap::single(gid),
    }))
}

fn no_auto() -> Error {
    Error::invalid_hint(
        "--userns=auto is not supported: all containers of a user share one range of ids",
        "use --userns=keep-id or --userns=host",
    )
}

/// Whether it has files that outlive it. Containers that share a volume must agree on
/// what its owners mean, so that a volume counts as a bind mount does.
fn shares_files(plan: &ContainerPlan) -> bool {
    let shared =
        |kind: &MountKind| matches!(kind, MountKind::Bind { .. } | MountKind::Volume { .. });
    plan.mounts.iter().any(|mount| shared(&mount.kind))
}

/// The caller's id on the host: the first line of our mapping begins with the caller.
fn caller(kind: &str) -> Result<u32> {
    let map = sys::process::read_proc(&format!("self/{kind}_map"))?;
    let outside = map.split_ascii_whitespace().nth(1);
    Ok(outside.and_then(|id| id.parse().ok()).unwrap_or(0))
}

fn user_of(plan: &ContainerPlan, stack: &[PathBuf]) -> Result<User> {
    let read = |path: &str| read_small(stack, Path::new(path)).unwrap_or_default();
    let user = identity::resolve_in(&read("etc/passwd"), &read("etc/group"), &plan.process.user);
    user.map_err(|error: UserError| Error::invalid(error.to_string()))
}

/// Reads a regular file of a stack of layers, topmost first.
fn read_small(stack: &[PathBuf], path: &Path) -> Option<String> {
    for layer in stack {
        let layer = DirFd::open(layer).ok()?;
        let flags = OFlags::RDONLY | OFlags::NONBLOCK;
        let Ok(file) = layer.open_in_root(path, flags) else {
            continue;
        };
        if !file.metadata().ok()?.is_file() {
            return None;
        }
        let mut bytes = Vec::new();
        file.take(SMALL_FILE).read_to_end(&mut bytes).ok()?;
        return Some(String::from_utf8_lossy(&bytes).into_owned());
    }
    None
}

/// The user that an image keeps its data as, where it starts as root and its volumes all
/// belong to one other user: such entry points step down to that user, which a container
/// of one id cannot, and all that we know do without if they start as that user.
fn keeper(plan: &ContainerPlan, stack: &[PathBuf], image: &ImageConfig) -> Option<(u32, u32)> {
    let named_by_caller = plan.process.user != image.config.user;
    if named_by_caller || !matches!(image.config.user.as_str(), "" | "0" | "root" | "0:0") {
        return None;
    }
    if plan.isolation.user != UserMode::Default {
        return None;
    }
    let owner = |path: &String| noted_owner(stack, path.trim_start_matches('/').as_ref());
    let mut owners = image.config.volumes.keys().map(owner);
    let first = owners.next()??;
    (first.0 != 0 && owners.all(|other| other == Some(first))).then_some(first)
}

fn noted_owner(stack: &[PathBuf], path: &Path) -> Option<(u32, u32)> {
    let name = path.file_name()?;
    for layer in stack {
        let parent = path.parent().unwrap_or(Path::new(""));
        let Ok(parent) = DirFd::open(layer).and_then(|dir| dir.open_dir_below(parent)) else {
            continue;
        };
        match parent.stat(name).ok()? {
            None => {}
            Some(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::Directory => {
                return parent.noted_owner(name).ok()?;
            }
            Some(_) => return None,
        }
    }
    None
}
