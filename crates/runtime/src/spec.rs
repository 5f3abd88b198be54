//! The plan in the words of the OCI runtime specification.
//!
//! Only what libcontainer is to do itself: the namespaces, the file systems that belong to
//! them, masked paths. Everything else is mounted before, and confined after it.

use std::path::{Path, PathBuf};

use model::ContainerPlan;
use model::container::NetworkMode;
use oci_spec::OciSpecError;
use oci_spec::runtime::{
    Capabilities, LinuxBuilder, LinuxCapabilitiesBuilder, LinuxNamespace, LinuxNamespaceBuilder,
    LinuxNamespaceType, Mount, MountBuilder, ProcessBuilder, RootBuilder, Spec, SpecBuilder,
    UserBuilder,
};
use sys::caps::Set;

use crate::identity::User;

/// What is hidden: it tells about the machine, or lets one reach into it.
const MASKED: [&str; 12] = [
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
];

/// What may be read but not written.
const READ_ONLY: [&str; 5] = [
    "/proc/bus",
    "/proc/fs",
    "/proc/irq",
    "/proc/sys",
    "/proc/sysrq-trigger",
];

/// What a specification is made from.
pub(crate) struct Input<'a> {
    pub(crate) plan: &'a ContainerPlan,
    pub(crate) user: &'a User,
    pub(crate) rootfs: &'a Path,
    pub(crate) capabilities: Set,
    pub(crate) cgroup: &'a str,
    /// A path that leads to the network namespace to join; `None` stays in the host's.
    pub(crate) netns: Option<PathBuf>,
    pub(crate) rootless: bool,
}

/// Writes the plan as an OCI specification.
pub(crate) fn build(input: &Input<'_>) -> Result<Spec, OciSpecError> {
    let texts = |list: &[&str]| {
        list.iter()
            .map(|text| (*text).to_owned())
            .collect::<Vec<_>>()
    };
    let mut linux = LinuxBuilder::default()
        .namespaces(namespaces(input)?)
        .cgroups_path(input.cgroup)
        .masked_paths(texts(&MASKED))
        .readonly_paths(texts(&READ_ONLY))
        .build()?;
    // The type's own defaults would have libcontainer write limits that nobody asked for.
    linux.set_resources(None);
    let root = RootBuilder::default()
        .path(input.rootfs)
        .readonly(input.plan.rootfs.read_only)
        .build()?;
    SpecBuilder::default()
        .version("1.0.2")
        .root(root)
        .hostname(input.plan.hostname.clone())
        .mounts(mounts(input)?)
        .process(process(input)?)
        .linux(linux)
        .build()
}

/// The program and its environment are the executor's business; here they only have to be
/// there. The working directory, user and groups are libcontainer's to set.
fn process(input: &Input<'_>) -> Result<oci_spec::runtime::Process, OciSpecError> {
    let user = UserBuilder::default()
        .uid(input.user.uid)
        .gid(input.user.gid)
        // Never empty: libcontainer would then leave ours in place.
        .additional_gids(input.user.groups.clone())
        .build()?;
    let names: Vec<_> = input.capabilities.names().collect();
    let kept: Capabilities = serde_json::from_value(names.into()).map_err(OciSpecError::SerDe)?;
    let capabilities = LinuxCapabilitiesBuilder::default()
        .bounding(kept.clone())
        .effective(kept.clone())
        .permitted(kept)
        .inheritable(Capabilities::new())
        .ambient(Capabilities::new())
        .build()?;
    let mut process = ProcessBuilder::default()
        .terminal(false)
        .args(input.plan.process.argv.clone())
        .env(Vec::<String>::new())
        .cwd(&input.plan.process.cwd)
        .user(user)
        .capabilities(capabilities)
        .build()?;
    // As above; and whether setuid programs work is decided when we confine.
    process.set_rlimits(None).set_no_new_privileges(None);
    Ok(process)
}

fn namespaces(input: &Input<'_>) -> Result<Vec<LinuxNamespace>, OciSpecError> {
    use LinuxNamespaceType::{Cgroup, Ipc, Mount, Network, Pid, Uts};
    let new = |kind| LinuxNamespaceBuilder::default().typ(kind).build();
    let mut all: Vec<_> = [Mount, Pid, Ipc, Uts, Cgroup]
        .into_iter()
        .map(new)
        .collect::<Result<_, _>>()?;
    if let Some(path) = &input.netns {
        all.push(
            LinuxNamespaceBuilder::default()
                .typ(Network)
                .path(path)
                .build()?,
        );
    }
    Ok(all)
}

fn mounts(input: &Input<'_>) -> Result<Vec<Mount>, OciSpecError> {
    let quiet = ["nosuid", "noexec", "nodev"];
    let sealed = ["nosuid", "noexec", "nodev", "ro"];
    let host_network = matches!(input.plan.network, NetworkMode::Host);
    // A user may mount a sysfs only for a network namespace of their own.
    let sysfs = match host_network && input.rootless {
        true => mount(
            "/sys",
            "bind",
            "/sys",
            &["rbind", "nosuid", "noexec", "nodev", "ro"],
        )?,
        false => mount("/sys", "sysfs", "sysfs", &sealed)?,
    };
    let mut all = vec![
        mount("/proc", "proc", "proc", &quiet)?,
        mount("/dev/mqueue", "mqueue", "mqueue", &quiet)?,
        sysfs,
    ];
    if !(host_network && input.rootless) {
        all.push(mount("/sys/fs/cgroup", "cgroup", "cgroup", &sealed)?);
    }
    Ok(all)
}

fn mount(target: &str, kind: &str, source: &str, options: &[&str]) -> Result<Mount, OciSpecError> {
    MountBuilder::default()
        .destination(target)
        .typ(kind)
        .source(source)
        .options(
            options
                .iter()
                .map(|option| (*option).to_owned())
                .collect::<Vec<_>>(),
        )
        .build()
}
