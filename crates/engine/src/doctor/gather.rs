//! Looking at the machine.

use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use model::container::Limits;
use sys::probe::Reach;

use super::{Facts, Mapper, Namespaces, Space};
use crate::Result;

const MAPPERS: [&str; 2] = ["newuidmap", "newgidmap"];
const DIRECTORIES: [&str; 5] = [
    "/usr/bin",
    "/bin",
    "/usr/local/bin",
    "/usr/sbin",
    "/run/wrappers/bin",
];

/// Magic numbers of file systems (`statfs(2)`), those that a store is likely to lie on.
const KINDS: [(i64, &str); 10] = [
    (0xef53, "ext4"),
    (0x5846_5342, "xfs"),
    (0x9123_683e, "btrfs"),
    (0x0102_1994, "tmpfs"),
    (0x794c_7630, "overlay"),
    (0x6969, "nfs"),
    (0x2fc1_2fc1, "zfs"),
    (0x6573_5546, "fuse"),
    (0xf2f5_2010, "f2fs"),
    (0x0102_1997, "9p"),
];

impl Facts {
    /// Looks at everything that a store in `root` with runtime state in `run` depends on;
    /// `bundles` is where certificates are looked for. Only for a process with one thread,
    /// outside any namespace of ours. Makes and removes a directory beside the store.
    pub fn gather(root: &Path, run: &Path, bundles: &[PathBuf]) -> Result<Self> {
        let uid = rustix::process::getuid().as_raw();
        let passwd = read("/etc/passwd");
        let user = sys::userns::user_name(&passwd, uid).map_or(uid.to_string(), str::to_owned);
        let (subuid, subgid) = (read("/etc/subuid"), read("/etc/subgid"));
        let range = |file: &str| {
            sys::userns::find_range(file, &user, uid).map(|range| (range.first, range.count))
        };
        let store = existing(root);
        let runtime = existing(run);
        let may_mount = sys::caps::permitted()?.contains(sys::caps::Set::SYS_ADMIN);
        let reach = reach(&store, uid != 0 || !may_mount)?;
        let confined = uid == 0 && !may_mount && matches!(reach, Reach::Nothing(_));
        Ok(Self {
            uid,
            kernel: rustix::system::uname()
                .release()
                .to_string_lossy()
                .into_owned(),
            missing_calls: missing_calls(),
            filters: sys::probe::filters(),
            namespaces: Namespaces {
                reach,
                allowed: switch("kernel/unprivileged_userns_clone").map(|value| value != 0),
                most: switch("user/max_user_namespaces"),
                apparmor: switch("kernel/apparmor_restrict_unprivileged_userns").map(|v| v != 0),
            },
            confined,
            subuid: range(&subuid),
            subgid: range(&subgid),
            free_ids: sys::userns::first_free(&subuid).max(sys::userns::first_free(&subgid)),
            mappers: MAPPERS.map(mapper).to_vec(),
            cgroups: cgroups(),
            limits: limits()?,
            runtime_in_memory: kind_of(&runtime) == "tmpfs",
            runtime_of_session: Path::new("/run/user").join(uid.to_string()).is_dir(),
            runtime: run.to_owned(),
            store_kind: kind_of(&store),
            space: space(&store),
            store: root.to_owned(),
            first_port: switch("net/ipv4/ip_unprivileged_port_start").unwrap_or(1024) as u32,
            lingers: lingers(&user),
            certificates: bundles
                .iter()
                .filter(|path| path.is_file())
                .cloned()
                .collect(),
            name_servers: name_servers(&read("/etc/resolv.conf")),
            year: jiff::Zoned::now().year(),
            clock_kept: sys::probe::clock_is_synchronised(),
            user,
        })
    }
}

fn read(path: &str) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}

fn switch(name: &str) -> Option<u64> {
    let text = sys::process::read_proc(&format!("sys/{name}")).ok()?;
    text.trim().parse().ok()
}

fn missing_calls() -> Vec<&'static str> {
    let calls = sys::probe::calls().into_iter();
    calls
        .filter(|(_, there)| !there)
        .map(|(name, _)| name)
        .collect()
}

/// The closest directory on the way to a path that is there.
fn existing(path: &Path) -> PathBuf {
    let mut there = path.ancestors().filter(|ancestor| ancestor.is_dir());
    there.next().map_or_else(|| "/".into(), Path::to_owned)
}

/// Tries on the store's file system, in a directory that is gone afterwards.
fn reach(store: &Path, make_user: bool) -> Result<Reach> {
    let scratch = store.join(format!(".shim-doctor-{}", std::process::id()));
    let made = std::fs::DirBuilder::new().mode(0o700).create(&scratch);
    let directories = made.and_then(|()| {
        ["lower", "upper", "work"]
            .iter()
            .try_for_each(|name| std::fs::create_dir(scratch.join(name)))
    });
    let found = match directories {
        Ok(()) => sys::probe::reach(&scratch, make_user)?,
        // Then namespaces are what can be told.
        Err(_) => sys::probe::reach(Path::new("/nonexistent"), make_user)?,
    };
    let _ = std::fs::remove_dir_all(&scratch);
    Ok(found)
}

fn mapper(name: &'static str) -> Mapper {
    let paths = DIRECTORIES.map(|directory| Path::new(directory).join(name));
    let path = paths.into_iter().find(|path| path.exists());
    let privileged = path.as_ref().is_some_and(|path| {
        let setuid = std::fs::metadata(path)
            .is_ok_and(|found| found.uid() == 0 && found.mode() & 0o4000 != 0);
        let mut value = [0u8; 64];
        setuid || rustix::fs::getxattr(path, "security.capability", &mut value[..]).is_ok()
    });
    Mapper {
        name,
        path,
        privileged,
    }
}

fn cgroups() -> String {
    let kind = |path: &str| kind_number(Path::new(path));
    const CGROUP2: i64 = 0x6367_7270;
    if kind("/sys/fs/cgroup") == Some(CGROUP2) {
        "version 2".into()
    } else if kind("/sys/fs/cgroup/unified") == Some(CGROUP2) {
        "versions 1 and 2".into()
    } else if Path::new("/sys/fs/cgroup/memory").exists() {
        "version 1".into()
    } else {
        "none mounted".into()
    }
}

/// One of each kind of limit, asked for as `run` would.
fn limits() -> Result<Vec<(&'static str, String, String)>> {
    let asked = Limits {
        memory: Some(64 << 20),
        nano_cpus: Some(500_000_000),
        cpuset_cpus: Some("0".into()),
        pids: Some(1000),
        blkio_weight: Some(100),
        ..Limits::default()
    };
    let gaps = runtime::cgroup::gaps(&asked)?.into_iter();
    Ok(gaps
        .map(|gap| (gap.limit.flag(), gap.cause, gap.remedy))
        .collect())
}

fn kind_number(path: &Path) -> Option<i64> {
    rustix::fs::statfs(path).ok().map(|found| found.f_type)
}

fn kind_of(path: &Path) -> String {
    let number = kind_number(path).unwrap_or_default();
    let known = KINDS.iter().find(|(magic, _)| *magic == number);
    known.map_or_else(
        || format!("file system {number:#x}"),
        |(_, name)| (*name).into(),
    )
}

fn space(path: &Path) -> Option<Space> {
    let found = rustix::fs::statvfs(path).ok()?;
    Some(Space {
        bytes: found.f_bavail.saturating_mul(found.f_frsize),
        // Some file systems make inodes as they go, and count none.
        files: (found.f_files > 0).then_some(found.f_favail),
    })
}

/// logind notes by an empty file who may linger.
fn lingers(user: &str) -> Option<bool> {
    Path::new("/run/systemd/users")
        .is_dir()
        .then(|| Path::new("/var/lib/systemd/linger").join(user).exists())
}

fn name_servers(resolv_conf: &str) -> Vec<String> {
    let lines = resolv_conf.lines();
    lines
        .filter_map(|line| line.trim().strip_prefix("nameserver"))
        .filter(|rest| rest.starts_with([' ', '\t']))
        .filter_map(|rest| rest.split_whitespace().next().map(str::to_owned))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_can_be_looked_at() {
        let directory = tempfile::tempdir().unwrap();
        let (root, run) = (
            directory.path().join("not/yet/there"),
            directory.path().join("run"),
        );
        let facts = Facts::gather(&root, &run, &[]).unwrap();
        assert_eq!(facts.missing_calls, [""; 0]);
        assert_eq!(facts.namespaces.reach, Reach::Overlay, "{facts:?}");
        assert!(
            facts.kernel.contains('.') && facts.space.is_some(),
            "{facts:?}"
        );
        let left = std::fs::read_dir(directory.path()).unwrap().count();
        assert_eq!(left, 0, "what was tried is gone");
    }

    #[test]
    fn name_servers_are_read() {
        let text =
            "# nameserver 1.1.1.1\nnameserver 10.0.0.1\nnameserver\t::1 # x\nnameservers x\n";
        assert_eq!(name_servers(text), ["10.0.0.1", "::1"]);
    }
}
