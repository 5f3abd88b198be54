//! A container's place in the hierarchies: found, made, limited, joined.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use model::container::{Limits, Unenforceable};
use model::{ContainerId, ContainerPlan, DeviceAccess, DeviceKind, DeviceRule};

use super::limit::{Controller, Gap, Limit, LimitError};
use super::machine::{Base, Machine, Seat, old_mount, unified_path};
use super::writes::{self, Version, Write};
use super::{manager, tree};

/// Ours, below the root of a hierarchy or what is delegated to us of it.
const PARENT: &str = "shim";

/// Podman's. In version 2 it costs nothing; in version 1 every start would have to join a
/// hierarchy that it has no other use for, which takes about 7 ms (the kernel waits for an
/// RCU grace period), so there nobody has a limit who did not ask.
const DEFAULT_PIDS: i64 = 2048;

/// What a container's processes are born in and join. All of it was opened beforehand.
#[derive(Debug)]
pub(crate) struct Place {
    directory: Option<OwnedFd>,
    /// `cgroup.procs` of each further hierarchy: version 1's.
    others: Vec<OwnedFd>,
}

impl Place {
    /// The directory of the container's cgroup of version 2, for its first process to be
    /// born in; without one it stays where its supervisor is.
    pub(crate) fn directory(&self) -> Option<BorrowedFd<'_>> {
        self.directory.as_ref().map(AsFd::as_fd)
    }

    /// Moves a process, which was born in the directory, into the hierarchies of version 1
    /// that limits ask for; 0 is the caller. The first move of a burst waits for an RCU
    /// grace period, so this is best done while the process has something else to do. Only
    /// writes to open files: the caller may be the child of a fork.
    pub(crate) fn admit(&self, pid: i32) -> sys::Result<()> {
        self.others.iter().try_for_each(|fd| tree::admit(fd, pid))
    }
}

/// Which limits this machine cannot enforce for the caller, in the order of docker's
/// flags. What it can do is decided here, so a start has no surprises left.
pub fn gaps(limits: &Limits) -> sys::Result<Vec<Gap>> {
    Ok(Seats::find(&Machine::read()?, limits).gaps)
}

/// Where each controller that is needed sits, and which limits are lost.
struct Seats {
    taken: BTreeMap<Controller, Seat>,
    gaps: Vec<Gap>,
}

impl Seats {
    fn find(machine: &Machine, limits: &Limits) -> Self {
        let mut seats = Self {
            taken: BTreeMap::new(),
            gaps: Vec::new(),
        };
        for (limit, controller) in writes::asked(limits) {
            match machine.seat(limit, controller) {
                Ok(seat) => drop(seats.taken.insert(controller, seat)),
                Err(gap) => seats.gaps.push(gap),
            }
        }
        seats
    }

    fn need_version_2(&self) -> impl Iterator<Item = Controller> {
        let all = self.taken.iter();
        all.filter(|(_, seat)| **seat == Seat::V2).map(|(c, _)| *c)
    }

    /// What is written for a controller, without what is lost.
    fn writes(&self, limits: &Limits, controller: Controller) -> Result<Vec<Write>, LimitError> {
        let version = match self.taken.get(&controller) {
            Some(Seat::V1(_)) => Version::V1,
            Some(Seat::V2) | None => Version::V2,
        };
        let mut all = writes::writes(limits, controller, version, &block_device)?;
        let lost = |limit: Limit| self.gaps.iter().any(|gap| gap.limit == limit);
        all.retain(|write| !lost(write.limit));
        Ok(all)
    }
}

fn block_device(path: &Path) -> Option<(u32, u32)> {
    let stat = rustix::fs::stat(path).ok()?;
    let is_block =
        rustix::fs::FileType::from_raw_mode(stat.st_mode) == rustix::fs::FileType::BlockDevice;
    is_block.then(|| {
        (
            rustix::fs::major(stat.st_rdev),
            rustix::fs::minor(stat.st_rdev),
        )
    })
}

/// Makes the container's cgroups, with its limits and, as root, the device filter. A plain
/// user's container has one where one is delegated to them.
pub(crate) fn prepare(plan: &ContainerPlan) -> Result<Place, LimitError> {
    let machine = Machine::read()?;
    let seats = Seats::find(&machine, &plan.limits);
    if let (Some(gap), Unenforceable::Refuse) = (seats.gaps.first(), plan.limits.unenforceable) {
        return Err(LimitError::Unenforceable(gap.clone()));
    }
    let own = own_directory(&machine, &plan.id, seats.need_version_2().next().is_some())?;
    let directory = match &own {
        Some(own) => Some(make_version_2(own, &seats, &plan.limits)?),
        None => None,
    };
    if let Some(directory) = directory.as_ref().filter(|_| !machine.is_rootless())
        && !plan.isolation.privileged
    {
        sys::bpf::allow_only(directory, &device_rules(plan))?;
    }
    let mut others = Vec::new();
    for (controller, seat) in &seats.taken {
        if let Seat::V1(mount) = seat {
            let own = mount.join(PARENT).join(plan.id.as_str());
            make_version_1(&own, *controller)?;
            tree::apply(&own, &seats.writes(&plan.limits, *controller)?)?;
            others.push(tree::open_members(&own)?);
        }
    }
    Ok(Place { directory, others })
}

/// Where the container's cgroup of version 2 is to be, if it can have one.
fn own_directory(
    machine: &Machine,
    id: &ContainerId,
    needed: bool,
) -> Result<Option<PathBuf>, LimitError> {
    let base = match machine.base() {
        Base::Here(base) => base,
        // Not asked without need: it is a round trip, and the user's systemd takes the
        // containers with it when it ends.
        Base::ByManager(_) if !needed => return Ok(None),
        Base::ByManager(_) => {
            manager::take_in()?;
            match machine.base() {
                Base::Here(base) => base,
                Base::ByManager(base) => return Err(not_ours(&base)),
                Base::Nowhere => return Ok(None),
            }
        }
        Base::Nowhere if machine.is_rootless() => return Ok(None),
        Base::Nowhere => {
            return Err(not_ours(
                machine.root().unwrap_or(Path::new("/sys/fs/cgroup")),
            ));
        }
    };
    Ok(Some(base.join(PARENT).join(id.as_str())))
}

fn not_ours(base: &Path) -> LimitError {
    LimitError::NoCgroup {
        cause: format!("{} cannot be written", base.display()),
        remedy: "have the outer container started with a writable /sys/fs/cgroup".into(),
    }
}

fn make_version_2(own: &Path, seats: &Seats, limits: &Limits) -> Result<OwnedFd, LimitError> {
    let needed: Vec<_> = seats.need_version_2().collect();
    tree::make(own, |parent| {
        let base = parent.parent().unwrap_or(parent);
        for controller in &needed {
            tree::pass_on(base, *controller)?;
            tree::pass_on(parent, *controller)?;
        }
        // Accounting for `stats`, and the limit that everybody has.
        for controller in [Controller::Memory, Controller::Pids] {
            let _ = tree::passes_on_freely(base, controller)
                && tree::passes_on_freely(parent, controller);
        }
        Ok(())
    })?;
    let default = Limits {
        pids: Some(limits.pids.unwrap_or(DEFAULT_PIDS)),
        ..Limits::default()
    };
    if !needed.contains(&Controller::Pids) && own.join("pids.max").exists() {
        tree::apply(own, &seats.writes(&default, Controller::Pids)?)?;
    }
    for controller in needed {
        tree::apply(own, &seats.writes(limits, controller)?)?;
    }
    Ok(tree::open(own)?)
}

fn make_version_1(own: &Path, controller: Controller) -> sys::Result<()> {
    let inherit = controller == Controller::Cpuset;
    tree::make(own, |parent| match inherit {
        true => tree::inherit_cpuset(parent),
        false => Ok(()),
    })?;
    match inherit {
        true => tree::inherit_cpuset(own),
        false => Ok(()),
    }
}

/// What may be opened: the usual devices, those of the plan, and what its rules add.
fn device_rules(plan: &ContainerPlan) -> Vec<DeviceRule> {
    let devices = plan.isolation.devices.iter().map(|device| DeviceRule {
        kind: Some(device.kind),
        major: Some(device.major),
        minor: Some(device.minor),
        access: device.access,
    });
    let rules = plan.isolation.device_rules.iter().copied();
    DEVICES.into_iter().chain(devices).chain(rules).collect()
}

/// The devices that every container has. Any node may be made: it does no harm where it
/// cannot be opened.
const DEVICES: [DeviceRule; 11] = [
    DeviceRule::character(1, 3),
    DeviceRule::character(1, 5),
    DeviceRule::character(1, 7),
    DeviceRule::character(1, 8),
    DeviceRule::character(1, 9),
    DeviceRule::character(5, 0),
    DeviceRule::character(5, 1),
    DeviceRule::character(5, 2),
    DeviceRule {
        minor: None,
        ..DeviceRule::character(136, 0)
    },
    nodes(DeviceKind::Character),
    nodes(DeviceKind::Block),
];

const fn nodes(kind: DeviceKind) -> DeviceRule {
    DeviceRule {
        kind: Some(kind),
        major: None,
        minor: None,
        access: DeviceAccess {
            read: false,
            write: false,
            make: true,
        },
    }
}

/// The cgroups that the process is in on the container's account, in whichever hierarchy:
/// what is not the container's own does not carry its id.
fn memberships(
    machine: &Machine,
    pid: i32,
    id: &ContainerId,
) -> Vec<(Option<Controller>, PathBuf)> {
    let text = sys::process::read_proc(&format!("{pid}/cgroup")).unwrap_or_default();
    let own = |path: &str| {
        // The container may have made further ones below its own.
        let end = path.find(id.as_str())? + id.as_str().len();
        Some(path[..end].trim_start_matches('/').to_owned())
    };
    let version_2 = unified_path(&text).and_then(own).zip(machine.root());
    let mut all: Vec<_> = version_2
        .map(|(path, root)| (None, root.join(path)))
        .into_iter()
        .collect();
    for line in text.lines() {
        let mut fields = line.splitn(3, ':').skip(1);
        let (Some(names), Some(path)) = (fields.next(), fields.next()) else {
            continue;
        };
        let old = |c: &Controller| names.split(',').any(|name| name == c.old_name());
        if let (Some(controller), Some(path)) = (Controller::ALL.into_iter().find(old), own(path))
            && let Some(mount) = old_mount(controller)
        {
            all.push((Some(controller), mount.join(path)));
        }
    }
    all
}

/// The place of a running container, whose first process this is, for another process. It
/// must be found before the container's mounts are entered.
pub(crate) fn place_of(pid: i32, id: &ContainerId) -> sys::Result<Place> {
    let machine = Machine::read()?;
    let all = memberships(&machine, pid, id);
    let managed = |path: &Path| machine.manager().is_some_and(|m| path.starts_with(m));
    if all.iter().any(|(_, path)| managed(path)) && matches!(machine.base(), Base::ByManager(_)) {
        // Whoever comes from another session may not move there by themselves.
        manager::take_in()?;
    }
    let mut place = Place {
        directory: None,
        others: Vec::new(),
    };
    for (controller, path) in all {
        match controller {
            None => place.directory = Some(tree::open(&path)?),
            Some(_) => place.others.push(tree::open_members(&path)?),
        }
    }
    Ok(place)
}

/// Puts other limits on a running container, whose first process this is. They are all
/// that it is to have: what is absent stays as it is.
pub fn update(pid: i32, id: &ContainerId, limits: &Limits) -> Result<(), LimitError> {
    let machine = Machine::read()?;
    let seats = Seats::find(&machine, limits);
    if let Some(gap) = seats.gaps.first() {
        return Err(LimitError::Unenforceable(gap.clone()));
    }
    let all = memberships(&machine, pid, id);
    let directory = |wanted| {
        let mut all = all.iter();
        all.find(|(c, _)| *c == wanted)
            .map(|(_, path)| path.clone())
    };
    let version_2 = directory(None).ok_or_else(|| LimitError::NoCgroup {
        cause: "it was started without".into(),
        remedy: "start it anew: what is asked for then holds from the beginning".into(),
    })?;
    for (controller, seat) in &seats.taken {
        let writes = seats.writes(limits, *controller)?;
        let Seat::V1(mount) = seat else {
            let parents: Vec<_> = version_2.ancestors().skip(1).take(2).collect();
            for parent in parents.iter().rev() {
                tree::pass_on(parent, *controller)?;
            }
            tree::apply(&version_2, &writes)?;
            continue;
        };
        if let Some(own) = directory(Some(*controller)) {
            tree::apply(&own, &writes)?;
            continue;
        }
        let own = mount.join(PARENT).join(id.as_str());
        make_version_1(&own, *controller)?;
        tree::apply(&own, &writes)?;
        tree::take_over(&version_2, &own)?;
    }
    Ok(())
}

/// Whether the kernel has killed a process of the container for lack of memory. Asked
/// after its end, and before [`remove`].
pub(crate) fn oom_killed(id: &ContainerId) -> bool {
    let Ok(machine) = Machine::read() else {
        return false;
    };
    directories(&machine, id).iter().any(|cgroup| {
        ["memory.events", "memory.oom_control"].iter().any(|name| {
            let text = std::fs::read_to_string(cgroup.join(name)).unwrap_or_default();
            let counts = text
                .lines()
                .filter_map(|line| line.strip_prefix("oom_kill "));
            counts.into_iter().any(|count| count != "0")
        })
    })
}

/// Where the container's cgroups may be, in all hierarchies.
fn directories(machine: &Machine, id: &ContainerId) -> Vec<PathBuf> {
    let old = Controller::ALL.into_iter().filter_map(old_mount);
    let places = machine.places().into_iter().chain(old);
    places
        .map(|place| place.join(PARENT).join(id.as_str()))
        .collect()
}

/// Removes the container's cgroups, and ours above them if they were the last. Those that
/// are missing or still in use are left.
pub fn remove(id: &ContainerId) {
    if let Ok(machine) = Machine::read() {
        directories(&machine, id)
            .iter()
            .for_each(|own| tree::remove(own));
    }
}
