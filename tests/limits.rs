//! Limits: enforced by whichever cgroups this machine has, or refused aloud.
//!
//! The same tests run on hosts of cgroup version 1, where a plain user can have no limit,
//! and of version 2, where they can: `scripts/vm-test` boots one.

#![expect(
    clippy::unwrap_used,
    reason = "a test that panics has failed, which is meant"
)]

mod kit;

use std::path::{Path, PathBuf};

use kit::bases::Base;
use kit::web::{PATIENCE, wait_until};
use kit::{Outcome, Shim, User};

const CGROUPS: &str = "/sys/fs/cgroup";
const MEGABYTE: u64 = 1 << 20;

/// Whether version 2 is all there is.
fn is_version_2() -> bool {
    Path::new(CGROUPS).join("cgroup.controllers").exists()
}

/// Whether this caller's limits can be enforced: root's always, a plain user's where
/// systemd has delegated them a cgroup.
fn enforced(shim: &Shim) -> bool {
    !shim.rootless() || is_version_2()
}

fn run_args<'a>(flags: &[&'a str], command: &[&'a str]) -> Vec<&'a str> {
    [&["run", "--network", "none"], flags, &["busybox"], command].concat()
}

fn with_limits(shim: &Shim, word: &str, args: &[&str]) -> Outcome {
    let name = format!("SHIM_LIMITS={word} shim {}", args.join(" "));
    Outcome::of(shim.command(args).env("SHIM_LIMITS", word), &name, b"")
}

/// A running container with these flags.
fn sleeper(shim: &Shim, name: &str, flags: &[&str]) {
    let flags = [&["-d", "--name", name], flags].concat();
    shim.ok(&run_args(&flags, &["sleep", "1000"]));
}

/// The container's cgroups, of all versions: the lines of its first process's list that
/// carry its id.
fn cgroups(shim: &Shim, name: &str) -> Vec<PathBuf> {
    let state = shim.ok(&["inspect", "--format", "{{.State.Pid}} {{.Id}}", name]);
    let (pid, id) = state.split_once(' ').unwrap();
    let list = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
    let own = list.lines().filter(|line| line.ends_with(id));
    let directory = |line: &str| {
        let fields: Vec<_> = line.splitn(3, ':').collect();
        let mount = match (fields[1], is_version_2()) {
            ("", true) => "",
            ("", false) => "unified",
            (controller, _) => controller,
        };
        Path::new(CGROUPS)
            .join(mount)
            .join(fields[2].trim_start_matches('/'))
    };
    own.map(directory).collect()
}

/// What a file of the container's cgroups says, under either version's name.
#[track_caller]
fn limit(shim: &Shim, container: &str, old: &str, new: &str) -> String {
    let all = cgroups(shim, container);
    let name = if is_version_2() { new } else { old };
    let found = all
        .iter()
        .find_map(|own| std::fs::read_to_string(own.join(name)).ok());
    let found = found.unwrap_or_else(|| panic!("no {name} in {all:?}"));
    found.trim().to_owned()
}

#[test]
fn the_image_is_there() {
    assert!(kit::bases::archive(Base::Busybox).exists());
}

as_root_and_user! {
    fn memory_that_is_lacking_ends_the_container_and_is_told(shim: &Shim) {
        shim.has(&[Base::Busybox]);
        // It keeps its last line, which never ends.
        let args = run_args(&["--name", "hungry", "--memory", "64m"], &["tail", "/dev/zero"]);
        if !enforced(shim) {
            let said = shim.run(&args);
            assert_eq!(said.code, 125);
            said.failed(&["--memory cannot be enforced", "version 1", "hint:", "SHIM_LIMITS=warn"]);
            assert_eq!(shim.ok(&["ps", "-aq"]), "", "nothing half made");
            return;
        }
        assert_eq!(shim.run(&args).code, 137);
        let state = "{{.State.OOMKilled}} {{.State.ExitCode}} {{.HostConfig.Memory}}";
        let state = shim.ok(&["inspect", "--format", state, "hungry"]);
        assert_eq!(state, format!("true 137 {}", 64 * MEGABYTE));
        // Another end by the same signal is none for lack of memory.
        sleeper(shim, "killed", &["--memory", "64m"]);
        shim.ok(&["kill", "killed"]);
        shim.ok(&["wait", "killed"]);
        let state = shim.ok(&["inspect", "--format", "{{.State.OOMKilled}} {{.State.ExitCode}}", "killed"]);
        assert_eq!(state, "false 137");
    }

    fn flags_reach_the_kernel_in_its_own_terms(shim: &Shim) {
        shim.has(&[Base::Busybox]);
        let flags = [
            "--memory", "64m", "--memory-swap", "80m", "--memory-reservation", "32m",
            "--cpus", "0.5", "--cpu-shares", "512", "--cpuset-cpus", "0", "--pids-limit", "20",
        ];
        if !enforced(shim) {
            let said = shim.run(&run_args(&flags, &["true"]));
            said.failed(&["--memory cannot be enforced"]);
            return;
        }
        sleeper(shim, "limited", &flags);
        let get = |old, new| limit(shim, "limited", old, new);
        let bytes = |megabytes: u64| (megabytes * MEGABYTE).to_string();
        assert_eq!(get("memory.limit_in_bytes", "memory.max"), bytes(64));
        assert_eq!(get("memory.soft_limit_in_bytes", "memory.low"), bytes(32));
        let swap = if is_version_2() { 16 } else { 80 };
        assert_eq!(get("memory.memsw.limit_in_bytes", "memory.swap.max"), bytes(swap));
        let quota = if is_version_2() { "50000 100000" } else { "50000" };
        assert_eq!(get("cpu.cfs_quota_us", "cpu.max"), quota);
        let weight = if is_version_2() { "20" } else { "512" };
        assert_eq!(get("cpu.shares", "cpu.weight"), weight);
        assert_eq!(get("cpuset.cpus", "cpuset.cpus"), "0");
        assert_eq!(get("pids.max", "pids.max"), "20");
        // Those who come later are inside as well.
        assert_eq!(shim.ok(&["exec", "limited", "nproc"]), "1");
        let members = "grep -c /limited /proc/self/cgroup; cat /proc/self/cgroup";
        let list = shim.ok(&["exec", "limited", "sh", "-c", members]);
        let first = shim.ok(&["exec", "limited", "cat", "/proc/1/cgroup"]);
        assert!(list.ends_with(&first), "{list}\n{first}");
    }

    fn a_fork_bomb_is_bounded(shim: &Shim) {
        shim.has(&[Base::Busybox]);
        if !enforced(shim) {
            let said = shim.run(&run_args(&["--pids-limit", "20"], &["true"]));
            said.failed(&["--pids-limit cannot be enforced"]);
            return;
        }
        let bomb = "b() { b & b; }; trap '' TERM; (b) 2>/dev/null & sleep 1000";
        let flags = ["-d", "--name", "bomb", "--pids-limit", "20"];
        shim.ok(&run_args(&flags, &["sh", "-c", bomb]));
        let refused = || limit(shim, "bomb", "pids.events", "pids.events") != "max 0";
        assert!(wait_until(PATIENCE, refused), "it never ran into its limit");
        let count: u32 = limit(shim, "bomb", "pids.current", "pids.current").parse().unwrap();
        assert!(count <= 20, "{count}");
        shim.ok(&["rm", "-f", "bomb"]);
    }

    fn who_asks_for_nothing_gets_what_costs_nothing(shim: &Shim) {
        shim.has(&[Base::Busybox]);
        sleeper(shim, "plain", &[]);
        let own = cgroups(shim, "plain");
        let pids = own.iter().find_map(|own| std::fs::read_to_string(own.join("pids.max")).ok());
        match (is_version_2(), shim.rootless()) {
            // In version 1 every start would wait for it.
            (false, false) => assert!(pids.is_none() && own.len() == 1, "{own:?}"),
            (true, false) => assert_eq!(pids.unwrap().trim(), "2048"),
            // A cgroup of their own would mean asking systemd.
            (_, true) => assert!(own.is_empty(), "{own:?}"),
        }
    }

    fn what_cannot_be_enforced_is_told_where_that_is_asked_for(shim: &Shim) {
        shim.has(&[Base::Busybox]);
        // Version 2 has no swappiness of single containers; users have nothing in version 1.
        let (flag, value) = match (is_version_2(), shim.rootless()) {
            (true, _) => ("--memory-swappiness", "10"),
            (false, true) => ("--cpus", "0.5"),
            (false, false) => return assert!(shim.run(&run_args(&["--rm", "--memory-swappiness", "10"], &["true"])).code == 0),
        };
        let args = run_args(&["--rm", flag, value], &["echo", "ran"]);
        let refusal = format!("error: {flag} cannot be enforced: ");
        for strict in [shim.run(&args), with_limits(shim, "strict", &args)] {
            assert_eq!((strict.code, strict.stdout.as_str()), (125, ""));
            assert!(strict.stderr.starts_with(&refusal), "{}", strict.stderr);
        }
        let warned = with_limits(shim, "warn", &args);
        assert_eq!((warned.code, warned.stdout.as_str()), (0, "ran\n"));
        let warning = format!("warning: {flag} cannot be enforced: ");
        assert_eq!(warned.stderr.matches(&warning).count(), 1, "{}", warned.stderr);
        with_limits(shim, "perhaps", &args).failed(&["SHIM_LIMITS is `perhaps`", "strict"]);
    }

    fn a_compose_files_limits_hold_or_each_key_is_named_once(shim: &Shim) {
        shim.has(&[Base::Busybox]);
        let text = "\
name: p
services:
  web:
    image: busybox
    command: sleep 1000
    network_mode: none
    mem_limit: 64m
    deploy: { resources: { limits: { cpus: '0.5' } } }
  other: { image: busybox, command: sleep 1000, network_mode: none }
";
        shim.write("compose.yaml", text);
        if enforced(shim) {
            let up = shim.run(&["up", "-d"]);
            assert_eq!(up.code, 0, "{}", up.stderr);
            assert!(!up.stderr.contains("enforced"), "{}", up.stderr);
            let memory = limit(shim, "p-web-1", "memory.limit_in_bytes", "memory.max");
            assert_eq!(memory, (64 * MEGABYTE).to_string());
            let quota = limit(shim, "p-web-1", "cpu.cfs_quota_us", "cpu.max");
            assert!(quota.starts_with("50000"), "{quota}");
            shim.ok(&["down", "-t", "0"]);
            return;
        }
        let strict = with_limits(shim, "strict", &["up", "-d"]);
        strict.failed(&["error: service `web`: `mem_limit` cannot be enforced"]);
        assert_eq!(shim.ok(&["ps", "-aq"]), "");
        let up = shim.run(&["up", "-d"]);
        assert_eq!(up.code, 0, "{}", up.stderr);
        for key in ["mem_limit", "deploy.resources.limits.cpus"] {
            let warning = format!("warning: service `web`: `{key}` cannot be enforced: ");
            assert_eq!(up.stderr.matches(&warning).count(), 1, "{}", up.stderr);
        }
        assert_eq!(up.stderr.matches("cannot be enforced").count(), 2, "{}", up.stderr);
        shim.ok(&["down", "-t", "0"]);
    }

    fn a_value_that_the_kernel_refuses_leaves_nothing_behind(shim: &Shim) {
        shim.has(&[Base::Busybox]);
        if !enforced(shim) {
            return shim.run(&run_args(&["--cpuset-cpus", "99"], &["true"])).failed(&["--cpuset-cpus"]).clear();
        }
        let said = shim.run(&run_args(&["--rm", "--cpuset-cpus", "4000"], &["true"]));
        assert_eq!(said.code, 125);
        said.failed(&["--cpuset-cpus", "4000"]);
        let shims = |directory: &Path| directory.join("shim").exists();
        let all = std::fs::read_dir(CGROUPS).unwrap().map(|entry| entry.unwrap().path());
        assert!(!all.filter(|path| path.ends_with("cpuset")).any(|path| shims(&path)));
    }
}

#[test]
fn reading_from_a_disk_is_throttled() {
    let shim = Shim::as_root();
    shim.has(&[Base::Busybox]);
    let disks = std::fs::read_dir("/sys/block").unwrap();
    let names = disks.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let disk = names
        .filter(|name| !name.starts_with("loop") && !name.starts_with("ram"))
        .min();
    let disk = disk.expect("this machine has a disk");
    let number = std::fs::read_to_string(format!("/sys/block/{disk}/dev")).unwrap();
    let flag = format!("/dev/{disk}:1mb");
    sleeper(&shim, "slow", &["--device-read-bps", &flag]);
    let throttle = limit(&shim, "slow", "blkio.throttle.read_bps_device", "io.max");
    let wanted = match is_version_2() {
        true => format!("{} rbps=1048576 ", number.trim()),
        false => format!("{} 1048576", number.trim()),
    };
    assert!(throttle.starts_with(&wanted), "{throttle}");
    let said = shim.run(&run_args(
        &["--device-read-bps", "/dev/null:1mb"],
        &["true"],
    ));
    said.failed(&["--device-read-bps", "/dev/null is not a block device"]);
}

#[test]
fn limits_change_while_a_container_runs() {
    let shim = Shim::as_root();
    shim.has(&[Base::Busybox]);
    sleeper(&shim, "c", &["--memory", "64m"]);
    // Both ways, though memory must never exceed memory and swap together; and a
    // controller that was not there before.
    for megabytes in [128, 32] {
        let memory = format!("{megabytes}m");
        shim.ok(&[
            "update",
            "--memory",
            &memory,
            "--memory-swap",
            &memory,
            "--pids-limit",
            "9",
            "c",
        ]);
        let limit = |old, new| limit(&shim, "c", old, new);
        let bytes = (megabytes * MEGABYTE).to_string();
        assert_eq!(limit("memory.limit_in_bytes", "memory.max"), bytes);
        assert_eq!(limit("pids.max", "pids.max"), "9");
    }
    assert_eq!(
        shim.ok(&["inspect", "--format", "{{.HostConfig.PidsLimit}}", "c"]),
        "9"
    );
}

#[test]
fn nothing_is_left_of_a_limited_container() {
    let shim = Shim::as_root();
    shim.has(&[Base::Busybox]);
    let flags = [
        "--memory",
        "64m",
        "--cpus",
        "1",
        "--cpuset-cpus",
        "0",
        "--pids-limit",
        "50",
    ];
    sleeper(&shim, "c", &flags);
    let own = cgroups(&shim, "c");
    assert!(!own.is_empty() && own.iter().all(|path| path.exists()));
    shim.ok(&["exec", "c", "true"]);
    shim.ok(&["rm", "-f", "c"]);
    let left: Vec<_> = own.iter().filter(|path| path.exists()).collect();
    assert!(left.is_empty(), "{left:?}");
}

/// A unit of the machine's systemd that is delegated to a user: the processes in it must
/// move to a leaf before its children can have controllers.
#[test]
#[ignore = "needs cgroup version 2 alone and systemd: scripts/vm-test"]
fn a_delegated_unit_is_used_as_it_is() {
    let shim = Shim::as_user();
    shim.has(&[Base::Busybox]);
    let user = User::with_ranges();
    let root = format!("SHIM_ROOT={}", shim.root().display());
    let runtime = format!("XDG_RUNTIME_DIR={}", user.runtime.display());
    let script = format!(
        "{} run --rm --network none --memory 64m --pids-limit 30 --cpus 0.5 busybox \
         sh -c 'cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/pids.max; cat /proc/self/cgroup'; \
         cat /proc/self/cgroup",
        kit::SHIM
    );
    let args = [
        "--quiet",
        "--wait",
        "--pipe",
        "--collect",
        "-p",
        "Delegate=yes",
        "-p",
        "User=shimtest",
        "-E",
        &root,
        "-E",
        &runtime,
        "-E",
        "PATH=/usr/bin:/bin:/usr/sbin",
        "sh",
        "-c",
        &script,
    ];
    let out = String::from_utf8(kit::run("systemd-run", &args)).unwrap();
    assert!(out.starts_with("67108864\n30\n0::/\n"), "{out}");
    assert!(out.trim_end().ends_with("/shim-callers"), "{out}");
}
