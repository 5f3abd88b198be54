//! Containers seen from inside: what confines them, what they are given.

#![expect(clippy::unwrap_used, reason = "a failed test says where")]

mod kit;

use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

use kit::By::{PlainUser, Root, User};
use kit::{By, command, give, launch_program, script};
use model::container::{MountKind, NetworkMode};

const STATUS: &str = "cat /proc/self/status; ls /proc/1/fd; id";

/// `DEFAULT_CAPABILITIES`, as the kernel's bits.
const DEFAULT_SET: &str = "00000000800405fb";
const NO_SET: &str = "0000000000000000";

#[track_caller]
fn assert_confined(outcome: &kit::Outcome, effective: &str) {
    for (key, value) in [
        ("Seccomp", "2"),
        ("NoNewPrivs", "0"),
        ("CapInh", NO_SET),
        ("CapPrm", effective),
        ("CapEff", effective),
        ("CapBnd", DEFAULT_SET),
        ("CapAmb", NO_SET),
        ("SigIgn", NO_SET),
        ("SigBlk", NO_SET),
    ] {
        assert_eq!(outcome.field(key), value, "{key}");
    }
}

#[test]
fn the_first_process_is_confined() {
    for by in [Root, User] {
        let outcome = script(by, STATUS).run().succeeded();
        assert_confined(&outcome, DEFAULT_SET);
        assert!(
            outcome.stdout.contains("\n0\n1\n2\nuid=0"),
            "{by:?}: {outcome:?}"
        );
    }
}

#[test]
fn a_user_has_no_capabilities() {
    for by in [Root, User] {
        let mut container = script(by, STATUS);
        container.plan.process.user = "app".into();
        let outcome = container.run().succeeded();
        assert_confined(&outcome, NO_SET);
        assert_eq!(outcome.field("Groups"), "33 1000");
        assert!(
            outcome.stdout.contains("uid=1000(app) gid=1000"),
            "{outcome:?}"
        );
    }
}

#[test]
fn an_executed_process_is_confined_alike() {
    for (by, user, effective) in [
        (Root, "", DEFAULT_SET),
        (User, "", DEFAULT_SET),
        (Root, "app", NO_SET),
        (User, "app", NO_SET),
    ] {
        let mut container = script(by, "sleep 60");
        container.plan.process.user = user.into();
        let running = container.spawn();
        let outcome = running.exec(&["sh", "-c", "cat /proc/self/status; ls /proc/$$/fd; exit 3"]);
        assert_eq!(outcome.code, 3, "{outcome:?}");
        assert_confined(&outcome, effective);
        assert!(outcome.stdout.ends_with("\n0\n1\n2\n"), "{outcome:?}");
    }
}

#[test]
fn programs_that_do_not_run_give_dockers_codes() {
    for by in [Root, User] {
        let says = |argv: &[&str], code, words| {
            let container = command(by, argv);
            let _ = container.run().failed_with(code, words);
        };
        says(
            &["nope"],
            127,
            "exec: \"nope\": executable file not found in $PATH",
        );
        says(
            &["/nope"],
            127,
            "exec: \"/nope\": no such file or directory",
        );
        says(
            &["/etc/passwd"],
            126,
            "exec: \"/etc/passwd\": permission denied",
        );
        says(&["sh", "-c", "exit 42"], 42, "");
        says(&["sh", "-c", "kill -9 $$"], 0, "");
        let container = script(by, "sleep 60");
        let running = container.spawn();
        let _ = running
            .exec(&["nope"])
            .failed_with(127, "not found in $PATH");
        let _ = running
            .exec(&["/etc"])
            .failed_with(126, "permission denied");
    }
}

#[test]
fn an_unknown_user_is_refused() {
    let mut container = script(Root, "true");
    container.plan.process.user = "zoe".into();
    let _ = container.run().failed_with(125, "unable to find user zoe");
}

#[test]
fn setuid_programs_work() {
    let mut container = command(Root, &["/bin/probe", "euid"]);
    let probe = container.at("lower/bin/probe");
    std::fs::copy(launch_program(), &probe).unwrap();
    std::fs::set_permissions(&probe, PermissionsExt::from_mode(0o4755)).unwrap();
    container.plan.process.user = "app".into();
    assert_eq!(container.run().succeeded().stdout, "0\n");
    container.plan.process.no_new_privileges = true;
    assert_eq!(container.run().succeeded().stdout, "1000\n");
}

#[test]
fn block_devices_do_not_open() {
    let disk = std::fs::read_to_string("/proc/partitions").unwrap();
    let numbers: Vec<String> = disk
        .lines()
        .nth(2)
        .map(|line| {
            line.split_ascii_whitespace()
                .take(2)
                .map(str::to_owned)
                .collect()
        })
        .expect("this machine has a disk");
    let [major, minor] = [&numbers[0], &numbers[1]];
    let text = format!(
        "head -c1 /shipped; mknod /made b {major} {minor} && head -c1 /made; \
         mknod /dev/made b {major} {minor} && head -c1 /dev/made; \
         mknod /dev/mem c 1 1 && head -c1 /dev/mem"
    );
    let mut container = script(Root, &text);
    container.plan.process.capabilities.push("CAP_MKNOD".into());
    let shipped = container.at("lower/shipped");
    let status = std::process::Command::new("mknod")
        .arg(&shipped)
        .args(["b", major, minor])
        .status();
    assert!(status.unwrap().success());
    let outcome = container.run();
    assert_eq!(
        (outcome.code, outcome.stdout.as_str()),
        (1, ""),
        "{outcome:?}"
    );
    // On the overlay the mount forbids it, in /dev the device filter.
    assert!(
        outcome.stderr.contains("/shipped: Permission denied"),
        "{outcome:?}"
    );
    assert!(
        outcome.stderr.contains("/made: Permission denied"),
        "{outcome:?}"
    );
    assert!(
        outcome
            .stderr
            .contains("/dev/made: Operation not permitted"),
        "{outcome:?}"
    );
    assert!(
        outcome.stderr.contains("/dev/mem: Operation not permitted"),
        "{outcome:?}"
    );
}

#[test]
fn links_in_place_of_needed_directories_are_replaced() {
    for by in [Root, User] {
        let container = script(by, "ls -d /proc/1 /dev/null /sys/class /run; ls /trap");
        let trap = container.at("lower/trap");
        std::fs::create_dir(&trap).unwrap();
        symlink("/trap", container.at("lower/proc")).unwrap();
        symlink("../../../../../../../../trap", container.at("lower/dev")).unwrap();
        std::fs::write(container.at("lower/sys"), "not a directory").unwrap();
        symlink("/etc", container.at("lower/run")).unwrap();
        let outcome = container.run().succeeded();
        assert_eq!(
            outcome.stdout, "/dev/null\n/proc/1\n/run\n/sys/class\n",
            "{outcome:?}"
        );
        assert!(trap.read_dir().unwrap().next().is_none());
    }
}

#[test]
fn a_link_in_place_of_etc_is_refused() {
    let container = script(Root, "true");
    std::fs::remove_dir_all(container.at("lower/etc")).unwrap();
    symlink("/host-etc", container.at("lower/etc")).unwrap();
    let _ = container
        .run()
        .failed_with(125, "the image's /etc is not a directory");
}

#[test]
fn links_below_etc_stay_inside() {
    for by in [Root, User] {
        let container = script(by, "cat /etc/hosts /run/deep/resolv; cat /trap/hosts");
        let outside = container.at("outside");
        std::fs::write(&outside, "untouched").unwrap();
        std::fs::create_dir(container.at("lower/trap")).unwrap();
        let climbing = format!("../../../../../../..{}", outside.display());
        symlink(climbing, container.at("lower/etc/hostname")).unwrap();
        symlink("/trap/hosts", container.at("lower/etc/hosts")).unwrap();
        symlink("../run/deep/resolv", container.at("lower/etc/resolv.conf")).unwrap();
        let outcome = container.run().succeeded();
        assert_eq!(
            outcome.stdout.matches("127.0.0.1\tlocalhost").count(),
            2,
            "{outcome:?}"
        );
        assert_eq!(std::fs::read_to_string(&outside).unwrap(), "untouched");
    }
}

#[test]
fn a_mount_target_through_a_link_stays_inside() {
    let mut container = script(Root, "cat /data/file; ls /real");
    std::fs::create_dir(container.at("lower/real")).unwrap();
    symlink("../../../../../real", container.at("lower/data")).unwrap();
    std::fs::create_dir(container.at("source")).unwrap();
    std::fs::write(container.at("source/file"), "bound\n").unwrap();
    container.bind("source", "/data", true);
    assert_eq!(container.run().succeeded().stdout, "bound\nfile\n");
}

#[test]
fn binds_show_the_source() {
    for by in [Root, User] {
        let text = "cat /in/file /one; touch /in/new; touch /ro/new; touch /one && pwd";
        let mut container = script(by, text);
        for name in ["rw", "ro"] {
            std::fs::create_dir(container.at(name)).unwrap();
        }
        std::fs::write(container.at("rw/file"), "text\n").unwrap();
        std::fs::write(container.at("file"), "single\n").unwrap();
        container.bind("rw", "/in", false);
        container.bind("ro", "/ro", true);
        container.bind("file", "/one", false);
        container.plan.process.cwd = "/not/there/yet".into();
        let outcome = container.run().succeeded();
        assert_eq!(outcome.stdout, "text\nsingle\n/not/there/yet\n");
        assert!(
            outcome.stderr.contains("/ro/new: Read-only file system"),
            "{outcome:?}"
        );
        assert!(container.at("rw/new").exists());
    }
}

#[test]
fn impossible_mounts_are_refused() {
    let refused = |source: &str, target: &str, words: &str| {
        let mut container = script(Root, "true");
        std::fs::write(container.at("file"), "").unwrap();
        container.bind(source, target, false);
        let _ = container.run().failed_with(125, words);
    };
    refused("absent", "/x", "bind source path does not exist: ");
    refused("file", "/bin", "cannot mount file ");
    refused("file", "/proc/version", "cannot mount on /proc/version");
    refused("run", "/", "cannot mount on /");
}

#[test]
fn a_new_volume_takes_the_images_content() {
    for by in [Root, User] {
        let text = "stat -c '%n %a %u' /data /data/* /data/deep/*; echo more > /data/new";
        let mut container = script(by, text);
        let lower = container.at("lower/data/deep");
        std::fs::create_dir_all(&lower).unwrap();
        std::fs::write(lower.join("file"), "content").unwrap();
        symlink("deep/file", container.at("lower/data/link")).unwrap();
        std::fs::create_dir_all(container.at("volume/data")).unwrap();
        std::fs::set_permissions(lower.join("file"), PermissionsExt::from_mode(0o640)).unwrap();
        std::fs::set_permissions(
            container.at("lower/data"),
            PermissionsExt::from_mode(0o2751),
        )
        .unwrap();
        if by == Root {
            give(&lower.join("file"), 1000, 0o4750);
        }
        let source = container.at("volume/data");
        let kind = MountKind::Volume {
            source,
            name: "v".into(),
            copy_up: true,
        };
        container.mount("/data", kind, false);
        let outcome = container.run().succeeded();
        let file = if by == Root {
            "/data/deep/file 4750 1000"
        } else {
            "/data/deep/file 640 0"
        };
        for line in ["/data 2751 0", "/data/deep 755 0", file] {
            assert!(outcome.stdout.contains(line), "{by:?} {line}: {outcome:?}");
        }
        assert!(container.at("volume/data/new").exists());
        assert!(container.at("volume/data/link").is_symlink());
        let names: Vec<_> = container.at("volume").read_dir().unwrap().collect();
        assert_eq!(names.len(), 1, "nothing half-made stays");
        // A volume that has content keeps it.
        std::fs::remove_file(container.at("volume/data/link")).unwrap();
        let _ = container.run().succeeded();
        assert!(!container.at("volume/data/link").is_symlink());
    }
}

#[test]
fn memory_is_mounted_with_its_size_and_mode() {
    let mut container = script(Root, "stat -c %a /m; cat /proc/mounts; touch /m/file");
    container.mount(
        "/m",
        MountKind::Tmpfs {
            size: Some(1 << 20),
            mode: Some(0o700),
        },
        false,
    );
    let outcome = container.run().succeeded();
    assert!(outcome.stdout.starts_with("700\n"));
    assert!(
        outcome
            .stdout
            .contains("/m tmpfs rw,nosuid,nodev,noexec,relatime,size=1024k")
    );
}

#[test]
fn a_read_only_root_is_read_only() {
    for by in [Root, User] {
        let mut container = script(by, "touch /x; touch /dev/shm/x && cat /etc/hostname");
        container.plan.rootfs.read_only = true;
        let outcome = container.run().succeeded();
        assert_eq!(outcome.stdout, "box\n");
        assert!(
            outcome.stderr.contains("Read-only file system"),
            "{outcome:?}"
        );
    }
}

#[test]
fn a_terminal_is_the_containers_own() {
    for by in [Root, User] {
        let mut container = script(by, "tty; stty size; echo $TERM; echo > /dev/tty");
        container.plan.process.tty = true;
        let outcome = container.run().succeeded();
        assert_eq!(outcome.stdout, "/dev/pts/0\r\n24 80\r\nxterm\r\n\r\n");
        container.plan.process.argv = vec!["sleep".into(), "60".into()];
        std::fs::remove_file(container.at("run/state.json")).unwrap();
        let running = container.spawn();
        assert_eq!(running.exec(&["tty"]).succeeded().stdout, "/dev/pts/1\r\n");
    }
}

#[test]
fn the_network_namespace_is_ready_for_use() {
    for by in [Root, User] {
        let text = "cat /sys/class/net/lo/flags /proc/sys/net/ipv4/ip_unprivileged_port_start; \
                    ls /sys/class/net; cat /proc/sys/net/ipv4/ping_group_range";
        let outcome = script(by, text).run().succeeded();
        let last = if by == Root { "2147483647" } else { "65536" };
        assert_eq!(outcome.stdout, format!("0x9\n0\nlo\n0\t{last}\n"));
    }
}

#[test]
fn output_to_nowhere_is_accepted() {
    let container = script(Root, "echo lost && echo lost >&2; echo $? > /code");
    let _ = container.run_unheard();
    assert_eq!(
        std::fs::read_to_string(container.at("upper/code")).unwrap(),
        "0\n"
    );
}

#[test]
fn networks_can_be_shared() {
    for by in [Root, User] {
        let first = script(by, "sleep 60");
        let running = first.spawn();
        let namespace = running
            .exec(&["stat", "-Lc", "%i", "/proc/self/ns/net"])
            .succeeded();
        let mut second = command(by, &["stat", "-Lc", "%i", "/proc/self/ns/net"]);
        second.plan.network = NetworkMode::Container {
            run_dir: first.at("run"),
        };
        if by == User {
            // The second joins the first's user namespace, as everything of one user does.
            let notes = second.at("run/userns.d");
            std::fs::create_dir(&notes).unwrap();
            for note in first.at("run/userns.d").read_dir().unwrap().flatten() {
                std::fs::copy(note.path(), notes.join(note.file_name())).unwrap();
            }
        }
        assert_eq!(second.run().succeeded().stdout, namespace.stdout);
        drop(running);
        let _ = second.run().failed_with(125, "is not running");
        let mut host = command(by, &["stat", "-Lc", "%i", "/proc/self/ns/net"]);
        host.plan.network = NetworkMode::Host;
        let ours = std::fs::metadata("/proc/self/ns/net").unwrap().ino();
        assert_eq!(host.run().succeeded().stdout.trim(), ours.to_string());
    }
}

#[test]
fn a_container_dies_with_its_supervisor() {
    for by in [Root, User] {
        let container = script(by, "sleep 60");
        let mut running = container.spawn();
        let pidfd = sys::process::pidfd_open(running.init()).unwrap().unwrap();
        running.child.kill().unwrap();
        running.child.wait().unwrap();
        let mut poll = [rustix::event::PollFd::new(
            &pidfd,
            rustix::event::PollFlags::IN,
        )];
        rustix::event::poll(&mut poll, None).unwrap();
    }
}

#[test]
fn nothing_is_left_behind() {
    for by in [Root, User] {
        let run_and_check = |container: &kit::Box_| {
            let _ = container.run();
            let at = container.directory.path().display().to_string();
            let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap();
            assert!(!mounts.contains(&at), "{mounts}");
            container.assert_no_cgroup();
            assert!(!container.at("run/oci").exists());
        };
        run_and_check(&script(by, "true"));
        run_and_check(&command(by, &["nope"]));
        let mut unknown = script(by, "true");
        unknown.plan.process.user = "zoe".into();
        run_and_check(&unknown);
    }
}

#[test]
fn the_ending_of_one_sweeps_what_a_crash_left_of_another() {
    let root = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"]
        .map(|path| std::path::Path::new(path).join("shim"))
        .into_iter()
        .find(|path| path.parent().unwrap().join("cgroup.procs").exists())
        .expect("this machine has cgroups of version 2");
    let young = root.join("0".repeat(64));
    std::fs::create_dir_all(&young).unwrap();
    let _ = script(Root, "true").run();
    assert!(young.exists(), "it might be about to be used");
    let long_ago = std::time::SystemTime::now() - std::time::Duration::from_secs(3600);
    std::fs::File::open(&young)
        .unwrap()
        .set_modified(long_ago)
        .unwrap();
    let _ = script(Root, "true").run();
    assert!(!young.exists());
}

#[test]
fn a_step_leaves_only_what_it_made() {
    for by in [Root, User] {
        let text = "echo out; echo err >&2; echo made > /made; cat /etc/resolv.conf; exit 7";
        let mut container = script(by, text);
        std::fs::create_dir(container.at("cache")).unwrap();
        container.bind("cache", "/var/cache/deep", false);
        let outcome = container.step();
        assert_eq!(
            (outcome.code, outcome.stdout.as_str()),
            (7, "out\nerr\n"),
            "{outcome:?}"
        );
        let mut left: Vec<_> = container
            .at("upper")
            .read_dir()
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        left.sort();
        assert_eq!(left, ["etc", "made"]);
        assert!(
            container
                .at("upper/etc")
                .read_dir()
                .unwrap()
                .next()
                .is_none()
        );
        let _ = command(by, &["nope"])
            .step()
            .failed_with(125, "exec: \"nope\"");
    }
}

#[test]
fn a_user_without_range_has_one_id_that_passes_for_all() {
    let script = script(
        PlainUser,
        "id -u; echo x > /tmp/f; chown 33:33 /tmp/f; stat -c %u /tmp/f",
    );
    let outcome = script.run().succeeded();
    assert_eq!(outcome.stdout, "0\n0\n", "{outcome:?}");
}

#[test]
fn a_user_restarts_nothing_among_anothers_processes() {
    use model::container::{NamespaceMode, RestartPolicy};
    let mut container = script(User, "true");
    container.plan.restart = RestartPolicy::Always;
    let run_dir = container.at("other");
    container.plan.isolation.pid = NamespaceMode::Container { run_dir };
    let _ = container.run().failed_with(125, "restart policy");
}

/// The image's working directory and program were once resolved while the host's
/// directories were still open.
#[test]
fn no_path_leads_through_our_descriptors() {
    let host = format!(
        "../../../../../../..{}",
        std::env::current_exe().unwrap().display()
    );
    for by in [Root, User] {
        for number in 3..24 {
            let directory = format!("/proc/self/fd/{number}");
            let mut container = command(by, &["ls", &host]);
            container.plan.process.cwd.clone_from(&directory);
            let outcome = container.run();
            assert_ne!(outcome.code, 0, "{directory}: {outcome:?}");
            let program = format!("{directory}/../../../../../../../bin/busybox");
            let outcome = command(by, &[&program, "true"]).run();
            assert_ne!(outcome.code, 0, "{program}: {outcome:?}");
        }
        let container = script(by, "sleep 60");
        let running = container.spawn();
        let outcome = running.exec(&["ls", "/proc/self/fd"]).succeeded();
        assert_eq!(outcome.stdout, "0\n1\n2\n3\n", "{outcome:?}");
    }
}

#[test]
fn commands_of_a_user_share_one_namespace() {
    let container = script(By::User, "sleep 60");
    let running = container.spawn();
    let read = |pid: i32| {
        std::fs::metadata(format!("/proc/{pid}/ns/user"))
            .unwrap()
            .ino()
    };
    let outside = read(running.init());
    let inside = running
        .exec(&["stat", "-Lc", "%i", "/proc/self/ns/user"])
        .succeeded();
    assert_eq!(inside.stdout.trim(), outside.to_string());
    assert_ne!(outside, read(std::process::id().cast_signed()));
}

#[test]
fn our_program_lies_on_a_read_only_mount() {
    let output = std::process::Command::new(launch_program())
        .arg("overwrite")
        .output()
        .unwrap();
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        "true\n",
        "{output:?}"
    );
}
