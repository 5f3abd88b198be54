//! Docker's flags: each is set, and what it does is observed from inside the container.
//! Flags about memory, processors and the like are in the tests of limits.

#![expect(
    clippy::unwrap_used,
    reason = "a test that panics has failed, which is meant"
)]

mod kit;

use kit::bases::Base;
use kit::{Outcome, Shim};

/// One flag: what is typed before the image, what a shell inside says, and what that must be.
/// `*` stands for anything.
struct Row {
    flags: &'static [&'static str],
    script: &'static str,
    seen: &'static str,
}

const fn row(flags: &'static [&'static str], script: &'static str, seen: &'static str) -> Row {
    Row {
        flags,
        script,
        seen,
    }
}

/// The same for root and a plain user.
const ROWS: &[Row] = &[
    // Names. Without a network, name servers are written down as they are.
    row(&["-h", "box"], "hostname; echo $HOSTNAME", "box\nbox"),
    row(&["--hostname", "box"], "hostname", "box"),
    row(
        &["--domainname", "nis"],
        "cat /proc/sys/kernel/domainname",
        "nis",
    ),
    row(
        &["--add-host", "db:10.0.0.7"],
        "grep db /etc/hosts",
        "10.0.0.7\tdb",
    ),
    row(
        &[
            "--dns",
            "9.9.9.9",
            "--dns-search",
            "one",
            "--dns-option",
            "ndots:3",
        ],
        "cat /etc/resolv.conf",
        "nameserver 9.9.9.9\nsearch one\noptions ndots:3",
    ),
    // The program and its surroundings.
    row(&["-e", "A=1", "--env", "B="], "echo $A-${B-unset}", "1-"),
    row(&["-w", "/tmp"], "pwd", "/tmp"),
    row(&["-u", "7:8"], "id -u; id -g", "7\n8"),
    row(&["-u", "7", "--group-add", "77"], "id -G", "0 77"),
    row(
        &["--group-add", "nogroup"],
        "id -G | tr ' ' '\\n' | grep -x 65534",
        "65534",
    ),
    row(&["-t=false", "-i=false"], "test -t 0 || echo none", "none"),
    row(&["--init"], "echo $$; cut -d' ' -f4 /proc/$$/stat", "2\n1"),
    row(&["--init=false"], "echo $$", "1"),
    row(
        &["--ulimit", "nofile=100:200"],
        "ulimit -Sn; ulimit -Hn",
        "100\n200",
    ),
    row(&["--ulimit", "core=0"], "ulimit -c", "0"),
    row(
        &["--oom-score-adj", "77"],
        "cat /proc/self/oom_score_adj",
        "77",
    ),
    // Files.
    row(
        &["--read-only"],
        "touch /x 2>&1 || true",
        "*Read-only file system",
    ),
    row(
        &["--tmpfs", "/m"],
        "grep ' /m ' /proc/mounts",
        "tmpfs /m tmpfs rw,nosuid,nodev,noexec,*",
    ),
    row(
        &["--tmpfs", "/m:exec,size=1m,mode=750"],
        "stat -c %a /m; df -k /m | tail -1",
        "750\n* 1024 *",
    ),
    row(&["--tmpfs", "/bin/x:uid=5"], "stat -c %u /bin/x", "5"),
    row(
        &["--tmpfs", "/etc:tmpcopyup"],
        "grep -c root /etc/passwd; touch /etc/x",
        "*1",
    ),
    row(
        &["--mount", "type=tmpfs,dst=/m,tmpfs-size=1m,tmpfs-mode=0700"],
        "stat -c %a /m; df -k /m | tail -1",
        "700\n* 1024 *",
    ),
    row(&["--mount", "type=volume,dst=/m"], "touch /m/x; ls /m", "x"),
    row(
        &["--mount", "src=named,dst=/m,readonly"],
        "touch /m/x 2>&1 || true",
        "*Read-only*",
    ),
    row(
        &["--mount", "type=bind,src=./dir,dst=/m"],
        "cat /m/file",
        "from outside",
    ),
    row(
        &["--mount", "type=bind,\"src=./di,r\",dst=/m"],
        "cat /m/file",
        "with a comma",
    ),
    row(
        &["--mount", "type=bind,src=./dir,dst=/m,ro"],
        "touch /m/x 2>&1 || true",
        "*Read-only*",
    ),
    row(
        &["--mount", "type=bind,src=./dir/file,dst=/m"],
        "cat /m",
        "from outside",
    ),
    row(
        &["--mount", "type=bind,src=./made,dst=/m,bind-create-src"],
        "touch /m/x; ls /m",
        "x",
    ),
    row(
        &[
            "--mount",
            "type=bind,src=./dir,dst=/m,bind-propagation=rslave",
        ],
        "cat /m/file",
        "from outside",
    ),
    row(
        &["--mount", "type=image,src=busybox,dst=/m"],
        "ls /m/bin/busybox; touch /m/x 2>&1 || true",
        "/m/bin/busybox\n*Read-only*",
    ),
    row(
        &["--mount", "type=image,src=busybox,dst=/m,image-subpath=bin"],
        "ls /m/busybox",
        "/m/busybox",
    ),
    row(
        &["-v", "./dir:/m:ro"],
        "touch /m/x 2>&1 || true",
        "*Read-only*",
    ),
    row(
        &["-v", "./dir:/m:z,rslave,noexec"],
        "grep ' /m ' /proc/mounts",
        "*noexec*",
    ),
    row(
        &["-v", "sub:/m"],
        "mkdir -p /m/below && echo deep > /m/below/f",
        "",
    ),
    row(
        &["--mount", "src=sub,dst=/m,volume-subpath=below"],
        "cat /m/f",
        "deep",
    ),
    row(&["-v", "named:/bin/n:nocopy"], "ls /bin/n", ""),
    // Capabilities and confinement.
    row(
        &["--cap-drop", "ALL"],
        "grep CapBnd /proc/self/status",
        "*0000000000000000",
    ),
    row(
        &["--cap-drop", "all", "--cap-add", "cap_chown"],
        "grep CapEff /proc/self/status",
        "*0000000000000001",
    ),
    row(
        &["--cap-add", "NET_RAW"],
        "grep CapEff /proc/self/status",
        "*00000000800425fb",
    ),
    row(
        &["--cap-drop", "CHOWN"],
        "chown 5 /etc/passwd 2>&1 || true",
        "*Operation not permitted",
    ),
    row(
        &["--security-opt", "no-new-privileges"],
        "grep NoNewPrivs /proc/self/status",
        "*1",
    ),
    row(
        &["--security-opt", "seccomp=unconfined"],
        "grep Seccomp: /proc/self/status",
        "*0",
    ),
    row(
        &["--security-opt", "seccomp=profile.json"],
        "mkdir /x 2>&1 || true",
        "*Operation not permitted",
    ),
    row(
        &[
            "--security-opt",
            "apparmor=unconfined",
            "--security-opt",
            "label=disable",
        ],
        "echo runs",
        "runs",
    ),
    row(
        &["--security-opt", "mask=/etc/passwd:/root"],
        "wc -c < /etc/passwd; ls -A /root",
        "0",
    ),
    row(
        &["--security-opt", "unmask=/proc/sys"],
        "grep -c ' /proc/sys ' /proc/mounts || true",
        "0",
    ),
    row(
        &["--security-opt", "systempaths=unconfined"],
        "grep -c ' /proc/' /proc/mounts || true",
        "0",
    ),
    row(
        &["--privileged"],
        "grep Seccomp: /proc/self/status; grep -c ' /proc/' /proc/mounts; \
        grep ' /sys ' /proc/mounts",
        "*0\n0\nsysfs /sys sysfs rw,*",
    ),
    row(
        &["--privileged"],
        "ls -d /dev/null; mount -t tmpfs none /tmp && echo mounted",
        "/dev/null\nmounted",
    ),
    // Namespaces.
    row(
        &[
            "--sysctl",
            "net.core.somaxconn=77",
            "--sysctl",
            "kernel.shmmax=123456",
        ],
        "cat /proc/sys/net/core/somaxconn /proc/sys/kernel/shmmax",
        "77\n123456",
    ),
    row(
        &["--shm-size", "1m"],
        "df -k /dev/shm | tail -1",
        "* 1024 *",
    ),
    row(
        &["--ipc", "none"],
        "ls -d /dev/shm 2>&1 || true",
        "*No such file*",
    ),
    row(
        &["--ipc", "shareable"],
        "df -k /dev/shm | tail -1",
        "* 65536 *",
    ),
    row(
        &["--device", "/dev/null:/dev/other:rw"],
        "echo x > /dev/other && stat -c '%t %T' /dev/other",
        "1 3",
    ),
    row(
        &["--device", "/dev/zero:/deep/zero"],
        "head -c 3 /deep/zero | wc -c",
        "3",
    ),
    row(&["--device-cgroup-rule", "c 1:3 rwm"], "echo runs", "runs"),
    // What belongs to the container and is seen elsewhere only.
    row(
        &[
            "--stop-signal",
            "SIGQUIT",
            "--stop-timeout",
            "3",
            "--annotation",
            "a=b",
            "-l",
            "c=d",
        ],
        "echo runs",
        "runs",
    ),
    row(
        &[
            "--log-driver",
            "json-file",
            "--log-opt",
            "max-size=1m",
            "--log-opt",
            "max-file=3",
        ],
        "echo runs",
        "runs",
    ),
    row(
        &[
            "--pull",
            "never",
            "--quiet",
            "--sig-proxy=false",
            "--detach-keys",
            "ctrl-x",
        ],
        "echo runs",
        "runs",
    ),
    row(
        &["--expose", "80", "--expose", "90-91/udp"],
        "echo runs",
        "runs",
    ),
    row(&["--userns", "host"], "id -u", "0"),
];

/// What is typed, and what the one message must have in it.
const REFUSED: &[(&[&str], &[&str])] = &[
    (
        &["--link", "a"],
        &["--link is not supported", "network create"],
    ),
    (&["--runtime=runc"], &["--runtime is not supported"]),
    (
        &["--isolation", "process"],
        &["--isolation is not supported"],
    ),
    (
        &["--link-local-ip", "169.254.1.1"],
        &["--link-local-ip is not supported"],
    ),
    (
        &["--kernel-memory", "1m"],
        &["--kernel-memory is not supported"],
    ),
    (
        &["--storage-opt", "size=1g"],
        &["--storage-opt is not supported"],
    ),
    (
        &["--volume-driver", "nfs"],
        &["--volume-driver is not supported"],
    ),
    (
        &["--cpu-rt-runtime", "1"],
        &["--cpu-rt-runtime is not supported"],
    ),
    (
        &["--cgroup-parent", "x"],
        &["--cgroup-parent is not supported"],
    ),
    (&["--ip6", "::1"], &["--ip6 is not supported"]),
    (
        &["--use-api-socket"],
        &["--use-api-socket is not supported"],
    ),
    (&["--rm", "--restart", "always"], &["--rm and --restart"]),
    (&["-d", "-a", "stdout"], &["--attach and --detach"]),
    (&["-a", "nowhere"], &["--attach `nowhere`"]),
    (
        &["--no-healthcheck", "--health-cmd", "true"],
        &["--no-healthcheck"],
    ),
    (
        &["--health-interval", "5"],
        &["--health-interval `5`", "30s"],
    ),
    (&["--restart", "sometimes"], &["--restart `sometimes`"]),
    (&["--pull", "perhaps"], &["--pull `perhaps`"]),
    (&["--uts", "host", "-h", "x"], &["--hostname", "--uts"]),
    (
        &["--network", "container:x", "--dns", "1.1.1.1"],
        &["--dns", "another container"],
    ),
    (
        &["--network", "container:x", "-p", "80"],
        &["--publish", "another container"],
    ),
    (&["--ip", "10.0.0.1"], &["--ip needs a network"]),
    (&["--mac-address", "01:00:00:00:00:00"], &["--mac-address"]),
    (&["--dns", "localhost"], &["--dns `localhost`"]),
    (&["--ulimit", "nofile=2:1"], &["nofile=2:1", "soft"]),
    (&["--ulimit", "magic=1"], &["magic"]),
    (
        &["--sysctl", "vm.swappiness=1"],
        &["vm.swappiness", "whole machine"],
    ),
    (
        &["--sysctl", "kernel.hostname=x"],
        &["kernel.hostname", "--hostname"],
    ),
    (&["--security-opt", "magic"], &["--security-opt `magic`"]),
    (&["--security-opt", "seccomp=absent.json"], &["absent.json"]),
    (
        &["--security-opt", "seccomp=dir/file"],
        &["dir/file", "1:2"],
    ),
    (&["--security-opt", "apparmor=mine"], &["AppArmor", "mine"]),
    (&["--cap-add", "MAGIC"], &["MAGIC", "capabilities(7)"]),
    (&["--device", "/dev/absent"], &["/dev/absent"]),
    (
        &["--device", "/etc/passwd"],
        &["/etc/passwd is not a device"],
    ),
    (&["--device", "acme.com/gpu=0"], &["acme.com/gpu=0"]),
    (&["--device-cgroup-rule", "x 1:3 r"], &["x 1:3 r"]),
    (&["--gpus", "all"], &["GPU", "cdi"]),
    (&["--pid", "container:absent"], &["absent"]),
    (&["--ipc", "elsewhere"], &["--ipc `elsewhere`"]),
    (&["--cgroupns", "container:x"], &["--cgroupns"]),
    (&["--userns", "magic"], &["--userns `magic`"]),
    (&["--shm-size", "0"], &["--shm-size"]),
    (
        &["--shm-size", "1m", "--ipc", "host"],
        &["--shm-size", "--ipc"],
    ),
    (
        &["--mount", "type=bind,src=/absent/x,dst=/m"],
        &["/absent/x"],
    ),
    (&["--mount", "type=bind,src=./dir"], &["target"]),
    (&["--mount", "type=magic,dst=/m"], &["magic"]),
    (&["--mount", "colour=red,dst=/m"], &["colour"]),
    (
        &["--mount", "type=tmpfs,dst=/m,volume-nocopy"],
        &["volume-nocopy", "volume"],
    ),
    (&["-v", "./dir:/m", "--tmpfs", "/m"], &["two mounts", "/m"]),
    (&["-v", "./dir:/m:colour"], &["colour"]),
    (&["--volumes-from", "absent"], &["absent"]),
    (&["--tmpfs", "m"], &["absolute"]),
    (&["--log-driver", "syslog"], &["syslog", "json-file"]),
    (&["--log-opt", "colour=red"], &["colour=red"]),
    (&["--expose", "eighty"], &["--expose `eighty`"]),
    (&["--stop-signal", "SIGMAGIC"], &["SIGMAGIC"]),
    (&["--env-file", "absent.env"], &["absent.env"]),
    (&["--label-file", "absent.labels"], &["absent.labels"]),
    (&["--group-add", "nobodys"], &["nobodys"]),
    (&["--memory", "1k"], &["--memory", "6m"]),
    (&["--memory-swap", "1g"], &["--memory-swap", "--memory"]),
    (&["--cpus", "some"], &["--cpus `some`"]),
    (
        &["--cpus", "1", "--cpu-quota", "5000"],
        &["--cpus excludes"],
    ),
    (&["--cpuset-cpus", "a"], &["--cpuset-cpus `a`"]),
    (&["--blkio-weight", "5"], &["--blkio-weight"]),
    (&["--device-read-bps", "sda:1"], &["--device-read-bps"]),
    (&["--oom-score-adj", "2000"], &["--oom-score-adj"]),
];

/// Whether a text is a pattern's, `*` being anything.
fn fits(text: &str, pattern: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap();
    let Some(mut rest) = text.strip_prefix(first) else {
        return false;
    };
    let parts: Vec<&str> = parts.collect();
    let Some((last, middle)) = parts.split_last() else {
        return rest.is_empty();
    };
    for part in middle {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

fn prepare(shim: &Shim) {
    shim.has(&[Base::Busybox]);
    shim.write("dir/file", "from outside");
    shim.write("di,r/file", "with a comma");
    let profile = r#"{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[
        {"names":["mkdir","mkdirat"],"action":"SCMP_ACT_ERRNO"}]}"#;
    shim.write("profile.json", profile);
}

/// `shim run --rm FLAGS busybox sh -c SCRIPT`.
fn run(shim: &Shim, flags: &[&str], script: &str) -> Outcome {
    let end = ["busybox", "sh", "-c", script];
    shim.run(&[&["run", "--rm", "--network", "none"], flags, &end].concat())
}

fn sh(shim: &Shim, flags: &[&str], script: &str) -> String {
    run(shim, flags, script).succeeded()
}

fn sleeper(shim: &Shim, name: &str, flags: &[&str]) {
    let end = ["busybox", "sleep", "1000"];
    let start = ["run", "-d", "--name", name, "--stop-timeout", "0"];
    shim.ok(&[&start, flags, &end].concat());
}

as_root_and_user! {

fn each_flag_is_seen_from_inside(shim: &Shim) {
    prepare(shim);
    let mut wrong = Vec::new();
    for Row { flags, script, seen } in ROWS {
        let outcome = run(shim, flags, script);
        let said = outcome.stdout.trim_end();
        if outcome.code != 0 || !fits(said, seen) {
            wrong.push(format!("{flags:?}: {}\n{said}\n{}", outcome.code, outcome.stderr));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn what_cannot_be_is_refused_with_one_message(shim: &Shim) {
    prepare(shim);
    let mut wrong = Vec::new();
    for (flags, parts) in REFUSED {
        // Whether one is left over is looked at in the end.
        let rm: &[&str] = if flags.contains(&"-d") { &[] } else { &["--rm"] };
        let network: &[&str] = match flags.contains(&"--network") {
            true => &[],
            false => &["--network", "none"],
        };
        let outcome = shim.run(&[&["run"], rm, network, flags, &["busybox", "true"]].concat());
        let errors = outcome.stderr.lines().filter(|l| l.starts_with("error")).count();
        let told = parts.iter().all(|part| outcome.stderr.contains(part));
        if outcome.code != 125 || errors != 1 || !told {
            wrong.push(format!("{flags:?}: {}\n{}", outcome.code, outcome.stderr));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(shim.ok(&["ps", "-aq"]), "", "nothing half made");
}

fn namespaces_are_shared_on_request(shim: &Shim) {
    prepare(shim);
    let own = |kind: &str| {
        std::fs::read_link(format!("/proc/self/ns/{kind}")).unwrap().display().to_string()
    };
    for (flag, kind) in [("--pid", "pid"), ("--ipc", "ipc"), ("--uts", "uts"), ("--cgroupns", "cgroup")] {
        let look = format!("readlink /proc/self/ns/{kind}");
        assert_ne!(sh(shim, &[], &look), own(kind), "{flag}");
        assert_eq!(sh(shim, &[flag, "host"], &look), own(kind), "{flag}");
    }
    sleeper(shim, "lender", &["--network", "none", "--ipc", "shareable", "-h", "lender"]);
    shim.ok(&["exec", "lender", "touch", "/dev/shm/here"]);
    let flags = ["--pid", "container:lender", "--ipc", "container:lender", "--uts", "container:lender"];
    let seen = sh(shim, &flags, "hostname; ls /dev/shm; ps | grep -c '[s]leep 1000'");
    assert_eq!(seen, "lender\nhere\n1");
    sleeper(shim, "alone", &["--network", "none"]);
    let refused = run(shim, &["--ipc", "container:alone"], "true");
    refused.failed(&["alone", "shareable"]);
}

fn files_tell_of_the_container(shim: &Shim) {
    prepare(shim);
    let flags = ["run", "-d", "--name", "one", "--network", "none", "--cidfile", "id", "--pidfile", "pid"];
    let id = shim.ok(&[&flags[..], &["busybox", "sleep", "1000"]].concat());
    assert_eq!(std::fs::read_to_string(shim.path("id")).unwrap(), id);
    let pid = shim.ok(&["inspect", "--format", "{{.State.Pid}}", "one"]);
    assert_eq!(std::fs::read_to_string(shim.path("pid")).unwrap().trim(), pid);
    let again = shim.run(&["run", "--cidfile", "id", "busybox", "true"]);
    assert_eq!(again.code, 125);
    again.failed(&["exists already", "hint:"]);
    shim.ok(&["rm", "-f", "one"]);
}

fn labels_and_variables_come_from_files(shim: &Shim) {
    prepare(shim);
    shim.write("labels", "# of mine\ntier=web\nbare\n");
    shim.write("vars", "A=from file\nB=2\n");
    let flags = ["--name", "one", "--label-file", "labels", "-l", "bare=no", "--env-file", "vars", "-e", "B=3"];
    let end = ["--network", "none", "busybox", "sh", "-c", "echo $A $B"];
    shim.ok(&[&["create"], &flags[..], &end].concat());
    let labels = shim.ok(&["inspect", "--format", "{{json .Config.Labels}}", "one"]);
    let labels: serde_json::Value = serde_json::from_str(&labels).unwrap();
    assert_eq!((&labels["tier"], &labels["bare"]), (&"web".into(), &"no".into()));
    assert_eq!(shim.ok(&["start", "-a", "one"]), "from file 3");
}

fn mounts_of_others_are_taken_over(shim: &Shim) {
    prepare(shim);
    sleeper(shim, "giver", &["--network", "none", "-v", "./dir:/d", "-v", "data:/v"]);
    shim.ok(&["exec", "giver", "touch", "/v/made"]);
    assert_eq!(sh(shim, &["--volumes-from", "giver"], "cat /d/file; ls /v"), "from outsidemade");
    let refused = "touch /v/x 2>&1 || true";
    assert!(sh(shim, &["--volumes-from", "giver:ro"], refused).contains("Read-only"));
    let own = ["--volumes-from", "giver", "--tmpfs", "/v"];
    assert_eq!(sh(shim, &own, "ls /v"), "", "its own mount comes first");
}

fn the_small_init_reaps_and_passes_signals_on(shim: &Shim) {
    prepare(shim);
    let script = "(sleep 0.1 &) ; sleep 0.5; ps -o stat | grep -c Z; exit 7";
    let outcome = run(shim, &["--init"], script);
    assert_eq!((outcome.code, outcome.stdout.trim()), (7, "0"), "{}", outcome.stderr);
    let absent = shim.run(&["run", "--rm", "--network", "none", "--init", "busybox", "nosuch"]);
    assert_eq!(absent.code, 127, "{}", absent.stderr);
    let script = "trap 'exit 9' TERM; echo ready; while :; do sleep 0.1; done";
    shim.ok(&["run", "-d", "--name", "one", "--init", "--network", "none", "busybox", "sh", "-c", script]);
    let ready = || shim.ok(&["logs", "one"]) == "ready";
    assert!(kit::web::wait_until(kit::web::PATIENCE, ready));
    shim.ok(&["stop", "one"]);
    assert_eq!(shim.ok(&["inspect", "--format", "{{.State.ExitCode}}", "one"]), "9");
}

fn streams_are_chosen(shim: &Shim) {
    prepare(shim);
    let script = "echo out; echo err >&2";
    let attached = |streams: &[&str]| {
        let outcome = run(shim, streams, script);
        (outcome.stdout, outcome.stderr)
    };
    assert_eq!(attached(&["-a", "stdout"]), ("out\n".into(), String::new()));
    assert_eq!(attached(&["-a", "STDERR"]), (String::new(), "err\n".into()));
    assert_eq!(attached(&["-a", "stdout", "-a", "stderr"]), ("out\n".into(), "err\n".into()));
}

fn health_flags_change_single_values(shim: &Shim) {
    prepare(shim);
    let flags = ["--health-cmd", "test -e /ok", "--health-interval", "1s", "--health-retries", "2",
                 "--health-timeout", "3s", "--health-start-period", "4s", "--health-start-interval", "100ms"];
    sleeper(shim, "one", &[&flags[..], &["--network", "none"]].concat());
    let check = shim.ok(&["inspect", "--format", "{{json .Config.Healthcheck}}", "one"]);
    assert!(check.contains("test -e /ok"), "{check}");
    shim.ok(&["exec", "one", "touch", "/ok"]);
    let status = || shim.ok(&["inspect", "--format", "{{.State.Health.Status}}", "one"]) == "healthy";
    assert!(kit::web::wait_until(kit::web::PATIENCE, status));
}

fn exec_has_flags_of_its_own(shim: &Shim) {
    prepare(shim);
    shim.write("vars", "A=file\n");
    sleeper(shim, "one", &["--network", "none", "--ulimit", "nofile=100", "--group-add", "77"]);
    let exec = |flags: &[&str], script: &str| {
        shim.ok(&[&["exec"], flags, &["one", "sh", "-c", script]].concat())
    };
    assert_eq!(exec(&["-u", "5:6", "-w", "/tmp", "-e", "B=2", "--env-file", "vars"],
                    "id -u; pwd; echo $A$B"), "5\n/tmp\nfile2");
    assert_eq!(exec(&[], "ulimit -n; id -G | tr ' ' '\\n' | grep -x 77"), "100\n77");
    let bits = |flags: &[&str]| exec(flags, "sed -n 's/CapEff:.//p' /proc/self/status");
    assert_eq!(bits(&[]), "00000000800405fb");
    let all = u64::from_str_radix(&bits(&["--privileged"]), 16).unwrap();
    assert!(all & (1 << 21) != 0, "CAP_SYS_ADMIN: {all:x}");
    exec(&["-d"], "touch /made");
    let made = || shim.run(&["exec", "one", "test", "-e", "/made"]).code == 0;
    assert!(kit::web::wait_until(kit::web::PATIENCE, made));
    for (args, code) in [
        (&["one", "sh", "-c", "exit 42"][..], 42),
        (&["one", "nosuch"], 127),
        (&["one", "/etc/passwd"], 126),
        (&["absent", "true"], 1),
        (&["--magic", "one", "true"], 125),
    ] {
        assert_eq!(shim.run(&[&["exec"], args].concat()).code, code, "{args:?}");
    }
}

fn an_unknown_image_is_told_with_dockers_codes(shim: &Shim) {
    prepare(shim);
    let run = shim.run(&["run", "--pull", "never", "no/such", "true"]);
    assert_eq!(run.code, 125);
    run.failed(&["no/such"]);
    let create = shim.run(&["create", "--pull", "never", "no/such", "true"]);
    assert_eq!(create.code, 1);
    create.failed(&["no/such"]);
}

}
