//! Where this machine's cgroups are, and which of them we may use.
//!
//! The mounts are looked for where everybody has them: version 2 at `/sys/fs/cgroup` or,
//! beside version 1, in `unified` below it; version 1 in directories named after the
//! controllers. Within version 2 our place is the highest cgroup above us that we may
//! write: for root that of the whole machine, for a user the one delegated to them.

use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::Access;
use sys::mount::Attributes;

use super::limit::{Controller, Gap, Limit};

const MOUNT: &str = "/sys/fs/cgroup";
const UNIFIED: &str = "/sys/fs/cgroup/unified";
const CGROUP2: u64 = 0x6367_7270;
const CGROUP1: u64 = 0x0027_e0eb;

/// What was found.
#[derive(Debug)]
pub(super) struct Machine {
    /// Inside a user namespace: a plain user.
    rootless: bool,
    /// The root of version 2.
    root: Option<PathBuf>,
    /// Holds a root that is mounted nowhere.
    _detached: Option<OwnedFd>,
}

/// Where a container's cgroup of version 2 may be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Base {
    /// Below this directory.
    Here(PathBuf),
    /// Below this one, once the user's systemd has taken us in.
    ByManager(PathBuf),
    /// Nowhere.
    Nowhere,
}

/// Where a limit is enforced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Seat {
    /// By a controller of version 1, mounted here.
    V1(PathBuf),
    /// By version 2, in the container's cgroup.
    V2,
}

impl Machine {
    pub(super) fn read() -> sys::Result<Self> {
        let rootless = !is_root()?;
        let visible = [MOUNT, UNIFIED].into_iter().find(|path| is(path, CGROUP2));
        if let Some(root) = visible {
            return Ok(Self {
                rootless,
                root: Some(root.into()),
                _detached: None,
            });
        }
        // A host with version 1 alone still has a kernel that knows the other.
        let detached = match rootless {
            true => None,
            false => sys::mount::filesystem("cgroup2", &[], Attributes::default()).ok(),
        };
        let root = |fd: &OwnedFd| PathBuf::from(format!("/proc/self/fd/{}", fd.as_raw_fd()));
        Ok(Self {
            rootless,
            root: detached.as_ref().map(root),
            _detached: detached,
        })
    }

    pub(super) fn is_rootless(&self) -> bool {
        self.rootless
    }

    /// The root of version 2.
    pub(super) fn root(&self) -> Option<&Path> {
        self.root.as_deref()
    }

    /// Our own cgroup of version 2.
    fn own(&self) -> Option<PathBuf> {
        let text = sys::process::read_proc("self/cgroup").ok()?;
        Some(self.root.as_deref()?.join(unified_path(&text)?))
    }

    /// Where containers' cgroups of version 2 go.
    pub(super) fn base(&self) -> Base {
        let Some(root) = self.root.as_deref() else {
            return Base::Nowhere;
        };
        let own = self.own().filter(|own| own.is_dir());
        let own = own.unwrap_or_else(|| root.to_owned());
        // Without a gap: moving about needs the right to write to all on the way.
        let above = own.ancestors().take_while(|path| path.starts_with(root));
        match above.take_while(|path| may_use(path)).last() {
            Some(highest) => Base::Here(highest.to_owned()),
            None => match self.manager().filter(|path| may_use(path)) {
                Some(path) => Base::ByManager(path),
                None => Base::Nowhere,
            },
        }
    }

    /// The cgroup that systemd has delegated to the user's own instance.
    pub(super) fn manager(&self) -> Option<PathBuf> {
        let uid = self.rootless.then(outer_uid)??;
        let name = format!("user.slice/user-{uid}.slice/user@{uid}.service");
        Some(self.root.as_deref()?.join(name))
    }

    /// Where the container's cgroup may be, for those who only know its name.
    pub(super) fn places(&self) -> Vec<PathBuf> {
        let base = match self.base() {
            Base::Here(path) | Base::ByManager(path) => Some(path),
            Base::Nowhere => None,
        };
        let mut places: Vec<_> = base.into_iter().chain(self.manager()).collect();
        places.dedup();
        places
    }

    /// Which interface enforces what a controller does, or why none.
    pub(super) fn seat(&self, limit: Limit, controller: Controller) -> Result<Seat, Gap> {
        let gap = |cause: String, remedy: &str| {
            Err(Gap {
                limit,
                cause,
                remedy: remedy.to_owned(),
            })
        };
        let name = controller.name();
        if let Some(mount) = old_mount(controller) {
            if self.rootless {
                let cause = format!(
                    "the {} controller of this machine belongs to cgroup version 1, which only root may use",
                    controller.old_name()
                );
                return gap(cause, BOOT_VERSION_2);
            }
            return match may_make(&mount) {
                true => Ok(Seat::V1(mount)),
                false => gap(format!("{} is read-only here", mount.display()), WRITABLE),
            };
        }
        let Some(root) = self.root() else {
            return gap(
                format!("no cgroup file system is mounted at {MOUNT}"),
                MOUNT_IT,
            );
        };
        let has = |directory: &Path| {
            let file = std::fs::read_to_string(directory.join("cgroup.controllers"));
            file.is_ok_and(|text| text.split_ascii_whitespace().any(|word| word == name))
        };
        if super::writes::only_version_1(limit) {
            let cause = "cgroup version 2 does not have it".to_owned();
            return gap(cause, "leave it out");
        }
        match self.base() {
            Base::Here(base) | Base::ByManager(base) if has(&base) => Ok(Seat::V2),
            Base::Here(base) | Base::ByManager(base) => match has(root) {
                true => gap(
                    format!(
                        "the {name} controller is not delegated to {}",
                        base.display()
                    ),
                    DELEGATE_MORE,
                ),
                false => gap(format!("this kernel offers no {name} controller"), KERNEL),
            },
            Base::Nowhere if !has(root) => {
                gap(format!("this kernel offers no {name} controller"), KERNEL)
            }
            Base::Nowhere if self.rootless => {
                let own = self.own().unwrap_or_else(|| root.to_owned());
                let cause = format!("the cgroup {} is not delegated to this user", own.display());
                gap(cause, DELEGATE)
            }
            Base::Nowhere => gap(format!("{} is read-only here", root.display()), WRITABLE),
        }
    }
}

const BOOT_VERSION_2: &str = "boot the machine with `systemd.unified_cgroup_hierarchy=1` on the \
     kernel's command line, or run it as root";
const DELEGATE: &str = "log in through systemd (`loginctl enable-linger` starts the user's \
     instance), or run it in a unit with `Delegate=yes`, or as root";
const DELEGATE_MORE: &str = "as root, put `[Service]` and `Delegate=cpu cpuset io memory pids` into \
     /etc/systemd/system/user@.service.d/delegate.conf, then `systemctl daemon-reload`, and log \
     in again";
const KERNEL: &str = "boot a kernel that has it, without `cgroup_disable=` on its command line";
const WRITABLE: &str = "have the outer container started with a writable /sys/fs/cgroup";
const MOUNT_IT: &str = "as root, `mount -t cgroup2 none /sys/fs/cgroup`";

/// Where a controller of version 1 is mounted, if it is.
pub(super) fn old_mount(controller: Controller) -> Option<PathBuf> {
    let path = format!("{MOUNT}/{}", controller.old_name());
    is(&path, CGROUP1).then(|| path.into())
}

fn is(path: &str, magic: u64) -> bool {
    rustix::fs::statfs(path).is_ok_and(|stat| u64::try_from(stat.f_type) == Ok(magic))
}

/// Root of the machine, not of a user's namespace.
fn is_root() -> sys::Result<bool> {
    Ok(rustix::process::geteuid().is_root() && sys::userns::is_initial()?)
}

/// The caller as the host sees them: what their namespace maps its root to.
pub(super) fn outer_uid() -> Option<u32> {
    let uid = rustix::process::geteuid().as_raw();
    let map = sys::process::read_proc("self/uid_map").ok()?;
    outer_id(&map, uid)
}

fn outer_id(map: &str, id: u32) -> Option<u32> {
    map.lines().find_map(|line| {
        let mut fields = line.split_ascii_whitespace().map(str::parse::<u32>);
        let (inside, outside, count) = (
            fields.next()?.ok()?,
            fields.next()?.ok()?,
            fields.next()?.ok()?,
        );
        let offset = id.checked_sub(inside).filter(|offset| *offset < count)?;
        outside.checked_add(offset)
    })
}

/// The path of version 2 in a `/proc/PID/cgroup`, relative to the root.
pub(super) fn unified_path(text: &str) -> Option<&str> {
    let line = text.lines().find_map(|line| line.strip_prefix("0::/"))?;
    // Outside of what our namespace shows.
    (!line.starts_with("..")).then_some(line.trim_end_matches(" (deleted)"))
}

fn may_make(directory: &Path) -> bool {
    rustix::fs::access(directory, Access::WRITE_OK | Access::EXEC_OK).is_ok()
}

/// Whether we may make a cgroup here, give it controllers, and move processes about.
fn may_use(directory: &Path) -> bool {
    let write = |name| rustix::fs::access(directory.join(name), Access::WRITE_OK).is_ok();
    may_make(directory) && write("cgroup.procs") && write("cgroup.subtree_control")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_path_is_found_among_the_others() {
        let hybrid = "4:memory:/a\n1:name=systemd:/b\n0::/user.slice/x y\n";
        assert_eq!(unified_path(hybrid), Some("user.slice/x y"));
        assert_eq!(unified_path("0::/\n"), Some(""));
        assert_eq!(unified_path("0::/../other\n"), None);
        assert_eq!(unified_path("4:memory:/a\n"), None);
    }

    #[test]
    fn ids_are_looked_up_in_a_mapping() {
        let map = "         0       1000          1\n         1     200000      65536\n";
        assert_eq!(outer_id(map, 0), Some(1000));
        assert_eq!(outer_id(map, 10), Some(200_009));
        assert_eq!(outer_id(map, 65_537), None);
        assert_eq!(outer_id("0 0 4294967295", 1000), Some(1000));
    }
}
