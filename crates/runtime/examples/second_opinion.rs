//! Runs a shell script in a container of libcontainer's, as the runtime specification's
//! reference for what a container of ours looks like from inside.
//!
//! `second_opinion SCRATCH SCRIPT`: the root file system is `SCRATCH/rootfs`; libcontainer's
//! own files go to SCRATCH. As root only. Exits as the script does.

#![expect(clippy::unwrap_used, reason = "a failed step of a test says where")]

use std::collections::HashSet;
use std::os::fd::AsFd;
use std::path::Path;

use libcontainer::container::builder::ContainerBuilder;
use libcontainer::oci_spec::runtime::{
    Capabilities, Capability, LinuxBuilder, LinuxCapabilitiesBuilder, LinuxNamespaceBuilder,
    LinuxNamespaceType, Mount, MountBuilder, Process, ProcessBuilder, RootBuilder, Spec,
    SpecBuilder, UserBuilder, get_default_maskedpaths, get_default_mounts,
    get_default_readonly_paths,
};
use libcontainer::syscall::syscall::SyscallType;
use rustix::process::{Pid, WaitOptions};
use sys::mount::Attributes;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [scratch, script] = arguments.as_slice() else {
        panic!("usage: second_opinion SCRATCH SCRIPT");
    };
    let scratch = Path::new(scratch);
    show_cgroup2();
    spec(scratch, script)
        .save(scratch.join("config.json"))
        .unwrap();
    let mut container = ContainerBuilder::new("opinion".into(), SyscallType::default())
        .with_root_path(scratch.join("state"))
        .unwrap()
        .as_init(scratch)
        .with_systemd(false)
        .with_detach(true)
        .build()
        .unwrap();
    let pid = Pid::from_raw(container.pid().unwrap().as_raw());
    container.start().unwrap();
    let (_, status) = rustix::process::waitpid(pid, WaitOptions::empty())
        .unwrap()
        .unwrap();
    let _ = container.delete(true);
    std::process::exit(status.exit_status().unwrap_or(-1));
}

/// It decides by what is mounted there which version it uses; on a host with both, version
/// 1 would have it join a dozen hierarchies.
fn show_cgroup2() {
    sys::ns::private_mounts().unwrap();
    let tree = sys::mount::filesystem("cgroup2", &[], Attributes::default()).unwrap();
    let target = std::fs::File::open("/sys/fs/cgroup").unwrap();
    sys::mount::attach(tree.as_fd(), target.as_fd()).unwrap();
}

fn spec(scratch: &Path, script: &str) -> Spec {
    use LinuxNamespaceType::{Cgroup, Ipc, Mount, Network, Pid, Uts};
    let namespaces: Vec<_> = [Mount, Pid, Ipc, Uts, Cgroup, Network]
        .map(|kind| LinuxNamespaceBuilder::default().typ(kind).build().unwrap())
        .into();
    let mut linux = LinuxBuilder::default()
        .namespaces(namespaces)
        .cgroups_path("/shim-second-opinion")
        .masked_paths(get_default_maskedpaths())
        .readonly_paths(get_default_readonly_paths())
        .build()
        .unwrap();
    // The type's own defaults would have it write limits that nobody asked for.
    linux.set_resources(None);
    let root = RootBuilder::default()
        .path(scratch.join("rootfs"))
        .build()
        .unwrap();
    SpecBuilder::default()
        .version("1.0.2")
        .root(root)
        .hostname("box")
        .mounts(mounts())
        .process(process(script))
        .linux(linux)
        .build()
        .unwrap()
}

/// The specification's own, but `/proc` and the groups as docker has them.
fn mounts() -> Vec<Mount> {
    let quiet = ["nosuid", "noexec", "nodev"];
    let sealed = ["nosuid", "noexec", "nodev", "ro"];
    let mut mounts = get_default_mounts();
    mounts.retain(|mount| {
        !["/proc", "/sys/fs/cgroup"]
            .map(Path::new)
            .contains(&mount.destination().as_path())
    });
    mounts.insert(0, mount("/proc", "proc", &quiet));
    mounts.push(mount("/sys/fs/cgroup", "cgroup", &sealed));
    mounts
}

fn mount(target: &str, kind: &str, options: &[&str]) -> Mount {
    let options: Vec<_> = options.iter().map(|option| (*option).to_owned()).collect();
    MountBuilder::default()
        .destination(target)
        .typ(kind)
        .source(kind)
        .options(options)
        .build()
        .unwrap()
}

fn process(script: &str) -> Process {
    let kept: HashSet<Capability> = model::container::DEFAULT_CAPABILITIES
        .iter()
        .map(|name| serde_json::from_value((*name).into()).unwrap())
        .collect();
    let kept: Capabilities = kept;
    let capabilities = LinuxCapabilitiesBuilder::default()
        .bounding(kept.clone())
        .effective(kept.clone())
        .permitted(kept)
        .inheritable(Capabilities::new())
        .ambient(Capabilities::new())
        .build()
        .unwrap();
    // An empty list of groups would leave ours in place.
    let user = UserBuilder::default()
        .uid(0u32)
        .gid(0u32)
        .additional_gids([0])
        .build()
        .unwrap();
    let words = ["sh", "-c", script].map(str::to_owned);
    let mut process = ProcessBuilder::default()
        .terminal(false)
        .args(words)
        .env(["PATH=/bin".to_owned(), "HOME=/root".to_owned()])
        .cwd("/")
        .user(user)
        .capabilities(capabilities)
        .build()
        .unwrap();
    process.set_rlimits(None).set_no_new_privileges(None);
    process
}
