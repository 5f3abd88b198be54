//! What one does with containers besides running them: transcripts of the commands that
//! docker has for that.

#![expect(
    clippy::unwrap_used,
    reason = "a test that panics has failed, which is meant"
)]

mod kit;

use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::process::Stdio;

use kit::bases::Base;
use kit::web::{PATIENCE, wait_until};
use kit::{Outcome, Shim, run};

/// Ends a container's shell when it is asked to, and otherwise never.
const SLEEP: &str = "trap 'exit 0' TERM; while :; do sleep 1000 & wait $!; done";

/// Busybox without network: quick, and all that most of these need.
fn run_args<'a>(flags: &[&'a str], command: &[&'a str]) -> Vec<&'a str> {
    [&["run", "--network", "none"], flags, &["busybox"], command].concat()
}

/// A container of this name that waits for its end.
fn sleeper(shim: &Shim, name: &str, flags: &[&str]) -> String {
    let flags = [&["-d", "--name", name], flags].concat();
    shim.ok(&run_args(&flags, &["sh", "-c", SLEEP]))
}

/// A container of this name that has ended after this script.
fn ended(shim: &Shim, name: &str, script: &str) {
    let _ = shim.run(&run_args(&["--name", name], &["sh", "-c", script]));
}

fn inspect(shim: &Shim, container: &str, template: &str) -> String {
    shim.ok(&["inspect", "--format", template, container])
}

fn exec(shim: &Shim, container: &str, script: &str) -> String {
    shim.ok(&["exec", container, "sh", "-c", script])
}

fn until(what: &str, holds: impl FnMut() -> bool) {
    assert!(wait_until(PATIENCE, holds), "in vain: {what}");
}

/// Lists a tar's names, sorted.
fn names(tar: &Path) -> Vec<String> {
    let list = String::from_utf8(run("tar", &["-tf", tar.to_str().unwrap()])).unwrap();
    let mut names: Vec<String> = list.lines().map(str::to_owned).collect();
    names.sort();
    names
}

/// `shim ARGS` with its output in a file.
fn into_file(shim: &Shim, args: &[&str], name: &str) -> std::path::PathBuf {
    let path = shim.path(name);
    let mut command = shim.command(args);
    command.stdout(std::fs::File::create(&path).unwrap());
    let status = command.stdin(Stdio::null()).status().unwrap();
    assert!(status.success(), "shim {}", args.join(" "));
    path
}

/// Fields of docker's API and their types (moby: api/swagger.yaml): string, integer,
/// boolean, array, object, or an integer that may be absent. Empty arrays and objects may
/// be `null`.
const DOCKERS: [(&str, &str); 6] = [
    (
        "",
        "Id:s Created:s Path:s Args:a State:o Image:s ResolvConfPath:s HostnamePath:s HostsPath:s \
          LogPath:s Name:s RestartCount:i Driver:s Platform:s MountLabel:s ProcessLabel:s \
          AppArmorProfile:s ExecIDs:a HostConfig:o GraphDriver:o SizeRw:i SizeRootFs:i Mounts:a \
          Config:o NetworkSettings:o",
    ),
    (
        "State",
        "Status:s Running:b Paused:b Restarting:b OOMKilled:b Dead:b Pid:i ExitCode:i Error:s \
               StartedAt:s FinishedAt:s",
    ),
    (
        "Config",
        "Hostname:s Domainname:s User:s AttachStdin:b AttachStdout:b AttachStderr:b \
                ExposedPorts:o Tty:b OpenStdin:b StdinOnce:b Env:a Cmd:a Image:s Volumes:o \
                WorkingDir:s Entrypoint:a OnBuild:a Labels:o StopSignal:s StopTimeout:i",
    ),
    (
        "HostConfig",
        "Binds:a ContainerIDFile:s LogConfig:o NetworkMode:s PortBindings:o \
                    RestartPolicy:o AutoRemove:b VolumeDriver:s VolumesFrom:a ConsoleSize:a CapAdd:a \
                    CapDrop:a CgroupnsMode:s Dns:a DnsOptions:a DnsSearch:a ExtraHosts:a GroupAdd:a \
                    IpcMode:s Cgroup:s Links:a OomScoreAdj:i PidMode:s Privileged:b PublishAllPorts:b \
                    ReadonlyRootfs:b SecurityOpt:a UTSMode:s UsernsMode:s ShmSize:i Runtime:s \
                    Isolation:s CpuShares:i Memory:i NanoCpus:i CgroupParent:s BlkioWeight:i \
                    BlkioWeightDevice:a BlkioDeviceReadBps:a BlkioDeviceWriteBps:a \
                    BlkioDeviceReadIOps:a BlkioDeviceWriteIOps:a CpuPeriod:i CpuQuota:i \
                    CpuRealtimePeriod:i CpuRealtimeRuntime:i CpusetCpus:s CpusetMems:s Devices:a \
                    DeviceCgroupRules:a DeviceRequests:a MemoryReservation:i MemorySwap:i \
                    MemorySwappiness:n OomKillDisable:b PidsLimit:n Ulimits:a CpuCount:i CpuPercent:i \
                    IOMaximumIOps:i IOMaximumBandwidth:i MaskedPaths:a ReadonlyPaths:a",
    ),
    (
        "NetworkSettings",
        "Bridge:s SandboxID:s SandboxKey:s Ports:o HairpinMode:b \
                         LinkLocalIPv6Address:s LinkLocalIPv6PrefixLen:i SecondaryIPAddresses:a \
                         SecondaryIPv6Addresses:a EndpointID:s Gateway:s GlobalIPv6Address:s \
                         GlobalIPv6PrefixLen:i IPAddress:s IPPrefixLen:i IPv6Gateway:s MacAddress:s \
                         Networks:o",
    ),
    (
        "NetworkSettings.Networks.none",
        "IPAMConfig:o Links:a Aliases:a MacAddress:s DriverOpts:o \
                                       NetworkID:s EndpointID:s Gateway:s IPAddress:s IPPrefixLen:i \
                                       IPv6Gateway:s GlobalIPv6Address:s GlobalIPv6PrefixLen:i \
                                       DNSNames:a",
    ),
];

as_root_and_user! {

fn several_at_once_and_what_fails_does_not_stop_the_rest(shim: &Shim) {
    shim.has(&[Base::Busybox]);
    sleeper(shim, "a", &[]);
    sleeper(shim, "b", &[]);
    for command in ["restart", "stop", "start"] {
        let outcome = shim.run(&[command, "a", "nosuch", "b"]);
        assert_eq!((outcome.code, outcome.stdout.as_str()), (1, "a\nb\n"), "{command}");
        outcome.failed(&["no such container", "nosuch"]);
    }
    shim.ok(&["stop", "a", "b"]);
    let outcome = shim.run(&["wait", "a", "nosuch", "b"]);
    assert_eq!((outcome.code, outcome.stdout.as_str()), (1, "0\n0\n"));
}

fn a_restart_is_a_stop_and_a_start(shim: &Shim) {
    shim.has(&[Base::Busybox]);
    let script = format!("echo run >> /runs; {SLEEP}");
    shim.ok(&run_args(&["-d", "--name", "c"], &["sh", "-c", &script]));
    until("the first run", || shim.run(&["exec", "c", "cat", "/runs"]).code == 0);
    let first = inspect(shim, "c", "{{.State.Pid}}");
    assert_eq!(shim.ok(&["restart", "-t", "5", "c"]), "c");
    assert_ne!(inspect(shim, "c", "{{.State.Pid}}"), first);
    until("the second run", || exec(shim, "c", "cat /runs") == "run\nrun");
    shim.ok(&["stop", "c"]);
    assert_eq!(shim.ok(&["restart", "c"]), "c", "one that has ended is started");
    assert_eq!(inspect(shim, "c", "{{.State.Status}}"), "running");
}

fn a_container_that_would_be_removed_survives_its_restart(shim: &Shim) {
    shim.has(&[Base::Busybox]);
    sleeper(shim, "c", &["--rm"]);
    exec(shim, "c", "echo kept > /file");
    shim.ok(&["restart", "c"]);
    assert_eq!(exec(shim, "c", "cat /file"), "kept");
    shim.ok(&["stop", "c"]);
    until("its removal", || shim.ok(&["ps", "-aq"]).is_empty());
}

fn waiting_gives_the_exit_code(shim: &Shim) {
    shim.has(&[Base::Busybox]);
    shim.ok(&run_args(&["-d", "--name", "c"], &["sh", "-c", "sleep 0.3; exit 42"]));
    assert_eq!(shim.ok(&["wait", "c"]), "42");
    assert_eq!(shim.ok(&["wait", "--condition", "not-running", "c"]), "42");
    let next = shim.command(&["wait", "--condition", "next-exit", "c"]);
    let next = piped(next);
    shim.ok(&["start", "c"]);
    assert_eq!(Outcome::from_child(next, "wait").succeeded(), "42");
    let removed = piped(shim.command(&["wait", "--condition", "removed", "c"]));
    shim.ok(&["rm", "c"]);
    assert_eq!(Outcome::from_child(removed, "wait").succeeded(), "42");
    shim.ok(&["create", "--name", "fresh", "busybox"]);
    assert_eq!(shim.ok(&["wait", "fresh"]), "0", "one that was never started does not run");
    shim.run(&["wait", "--condition", "tomorrow", "fresh"]).failed(&["tomorrow"]);
}

fn names_can_be_changed(shim: &Shim) {
    shim.has(&[Base::Busybox]);
    sleeper(shim, "old", &[]);
    shim.ok(&["create", "--name", "other", "busybox"]);
    assert_eq!(shim.ok(&["rename", "old", "new"]), "");
    assert_eq!(inspect(shim, "new", "{{.Name}}"), "/new");
    shim.run(&["inspect", "old"]).failed(&["no such object"]);
    shim.run(&["rename", "new", "other"]).failed(&["other"]);
    shim.run(&["rename", "new", "new"]).failed(&["already has that name"]);
    shim.run(&["rename", "new", "../x"]).failed(&["../x"]);
    shim.ok(&["stop", "new"]);
}

fn what_cannot_start_stays_as_created_with_its_exit_code(shim: &Shim) {
    shim.has(&[Base::Busybox]);
    let outcome = shim.run(&run_args(&["--name", "c"], &["/no/such/program"]));
    assert_eq!(outcome.code, 127);
    outcome.failed(&["/no/such/program"]);
    let state = inspect(shim, "c", "{{.State.Status}} {{.State.ExitCode}} {{.State.Running}}");
    assert_eq!(state, "created 127 false");
    assert!(inspect(shim, "c", "{{.State.Error}}").contains("/no/such/program"));
    assert_eq!(shim.ok(&["ps", "-a", "--format", "{{.Names}} {{.Status}}"]), "c Created");
    let again = shim.run(&run_args(&["--rm", "--name", "d"], &["/no/such/program"]));
    assert_eq!(again.code, 127);
    assert_eq!(shim.ok(&["ps", "-a", "--format", "{{.Names}}"]), "c", "with --rm nothing stays");
}

fn inspect_says_what_a_docker_client_reads(shim: &Shim) {
    shim.has(&[Base::Busybox]);
    shim.write("image/Dockerfile", "FROM busybox\nENTRYPOINT [\"sh\", \"-c\"]\nCMD [\"exit 3\"]\n\
                LABEL from=image\nSTOPSIGNAL SIGQUIT\nEXPOSE 9000\nENV A=1\nVOLUME /vol\n");
    shim.ok(&["build", "-q", "-t", "img", "image"]);
    let flags = ["create", "--name", "c", "--network", "none", "--label", "own=1", "-e", "B=2",
                 "--restart", "on-failure:4", "-v", "data:/data:ro", "img", SLEEP];
    shim.ok(&flags);
    let document = |name: &str| -> serde_json::Value {
        let list: serde_json::Value = serde_json::from_str(&shim.ok(&["inspect", "-s", name])).unwrap();
        list[0].clone()
    };
    for running in [false, true] {
        if running {
            shim.ok(&["start", "c"]);
        }
        let seen = document("c");
        for (part, kinds) in DOCKERS {
            let part = part.split('.').filter(|p| !p.is_empty()).fold(&seen, |v, key| &v[key]);
            for word in kinds.split_whitespace() {
                let (key, kind) = word.split_once(':').unwrap();
                let value = part.get(key).unwrap_or_else(|| panic!("no {key} in {part}"));
                let fits = match kind {
                    "s" => value.is_string(),
                    "i" => value.is_i64() || value.is_u64(),
                    "b" => value.is_boolean(),
                    "a" => value.is_array() || value.is_null(),
                    "o" => value.is_object() || value.is_null(),
                    _ => value.is_i64() || value.is_null(),
                };
                assert!(fits, "{key} is {value}, not of type {kind}");
            }
        }
        let mount = seen["Mounts"].as_array().unwrap().iter().find(|m| m["Destination"] == "/data").unwrap();
        assert_eq!((&mount["Type"], &mount["Name"], &mount["RW"]), (&"volume".into(), &"data".into(), &false.into()));
        assert_eq!(seen["HostConfig"]["Binds"], serde_json::json!(["data:/data:ro"]));
        assert_eq!(seen["State"]["Running"], running);
    }
    let seen = inspect(shim, "c", "{{json .Config.Entrypoint}} {{.Config.StopSignal}} {{json .Config.Labels}} {{.Config.Env}}");
    assert!(seen.starts_with("[\"sh\",\"-c\"] SIGQUIT {\"from\":\"image\",\"own\":\"1\"} [PATH="), "{seen}");
    assert!(seen.ends_with("A=1 B=2]"), "{seen}");
    assert_eq!(inspect(shim, "c", "{{index .Config.Cmd 0}}"), SLEEP);
    assert_eq!(inspect(shim, "c", "{{.HostConfig.RestartPolicy.Name}} {{.HostConfig.RestartPolicy.MaximumRetryCount}}"), "on-failure 4");
    // Other kinds, by flag or one after the other.
    assert_eq!(inspect(shim, "data", "{{.Driver}}"), "local");
    assert_eq!(inspect(shim, "img", "{{.Os}}"), "linux");
    assert_eq!(shim.ok(&["inspect", "--type", "volume", "-f", "{{.Name}}", "data"]), "data");
    shim.run(&["inspect", "--type", "image", "c"]).failed(&["no such image"]);
    shim.run(&["inspect", "--type", "planet", "c"]).failed(&["planet"]);
    let both = shim.run(&["inspect", "-f", "{{.Name}}", "c", "nosuch", "data"]);
    assert_eq!((both.code, both.stdout.as_str()), (1, "/c\ndata\n"));
}

fn lists_are_filtered_and_laid_out(shim: &Shim) {
    shim.has(&[Base::Busybox]);
    sleeper(shim, "up", &["--label", "a=1", "--label", "b=x,y", "-v", "data:/data"]);
    ended(shim, "three", "echo 12345 > /file; exit 3");
    shim.write("image/Dockerfile", "FROM busybox\nEXPOSE 81\n");
    shim.ok(&["build", "-q", "-t", "exposing", "image"]);
    shim.ok(&["create", "--name", "fresh", "--label", "a=2", "exposing"]);
    let names = |args: &[&str]| {
        shim.ok(&[&["ps", "--format", "{{.Names}}"], args].concat()).replace('\n', " ")
    };
    for (args, wanted) in [
        (&[][..], "up"),
        (&["-a"], "fresh three up"),
        (&["-n", "2"], "fresh three"),
        (&["-l"], "fresh"),
        (&["-f", "status=exited"], "three"),
        (&["-f", "status=exited", "-f", "status=created"], "fresh three"),
        (&["-f", "exited=3"], "three"),
        (&["-f", "exited=0"], ""),
        (&["-a", "-f", "name=e"], "fresh three"),
        (&["-a", "-f", "name=^three$"], "three"),
        (&["-a", "-f", "label=a"], "fresh up"),
        (&["-a", "-f", "label=a=1"], "up"),
        (&["-a", "-f", "label=a", "-f", "label=b"], "up"),
        (&["-a", "-f", "before=three"], "up"),
        (&["-a", "-f", "since=three"], "fresh"),
        (&["-a", "-f", "volume=data"], "up"),
        (&["-a", "-f", "volume=/data"], "up"),
        (&["-a", "-f", "network=none"], "three up"),
        (&["-a", "-f", "expose=81"], "fresh"),
        (&["-a", "-f", "health=none", "-f", "status=running"], "up"),
        (&["-a", "-f", "ancestor=busybox"], "fresh three up"),
        (&["-a", "-f", "ancestor=exposing", "-f", "name=fresh"], "fresh"),
        (&["-a", "-f", "ancestor=other"], ""),
    ] {
        assert_eq!(names(args), wanted, "{args:?}");
    }
    shim.run(&["ps", "-f", "is-task=true"]).failed(&["invalid filter `is-task=true`"]);
    shim.run(&["ps", "-f", "colour=red"]).failed(&["invalid filter", "want one of ancestor"]);
    shim.run(&["ps", "-f", "before=nosuch"]).failed(&["no such container"]);
    let heading = |args: &[&str]| shim.ok(args).lines().next().unwrap().split("  ")
        .map(str::trim).filter(|w| !w.is_empty()).collect::<Vec<_>>().join("|");
    let usual = "CONTAINER ID|IMAGE|COMMAND|CREATED|STATUS|PORTS|NAMES";
    assert_eq!(heading(&["ps"]), usual);
    assert_eq!(heading(&["ps", "--format", "table"]), usual);
    assert_eq!(heading(&["ps", "-s"]), format!("{usual}|SIZE"));
    assert_eq!(heading(&["ps", "--format", "table {{.ID}}\\t{{.RunningFor}}\\t{{.CreatedAt}}"]),
               "CONTAINER ID|CREATED|CREATED AT");
    let size = shim.ok(&["ps", "-a", "-s", "-f", "name=three", "--format", "{{.Size}}"]);
    assert!(size.starts_with("6B (virtual "), "{size}");
    assert_eq!(shim.ok(&["ps", "--format", "{{.Label \"b\"}}"]), "x,y");
    let row: serde_json::Value = serde_json::from_str(&shim.ok(&["ps", "--format", "json"])).unwrap();
    let keys: Vec<&String> = row.as_object().unwrap().keys().collect();
    assert_eq!(keys, ["Command", "CreatedAt", "ID", "Image", "Labels", "LocalVolumes", "Mounts", "Names",
                      "Networks", "Ports", "RunningFor", "Size", "State", "Status"]);
    assert_eq!(shim.ok(&["ps", "-q", "--no-trunc"]).len(), 64);
}

fn events_are_told_as_they_come(shim: &Shim) {
    shim.has(&[Base::Busybox]);
    // Names that no id begins with: filters take either.
    let watch = piped(shim.command(&["events", "--since", "1h", "--format", "{{.Type}} {{.Action}} {{.Actor.Attributes.name}}"]));
    let ended = shim.run(&run_args(&["--name", "one", "--label", "l=1"], &["sh", "-c", "exit 3"]));
    assert_eq!(ended.code, 3);
    sleeper(shim, "two", &[]);
    exec(shim, "two", "exit 0");
    shim.ok(&["rename", "two", "three"]);
    shim.ok(&["restart", "three"]);
    shim.ok(&["rm", "-f", "one", "three"]);
    shim.ok(&["volume", "create", "v"]);
    shim.ok(&["volume", "rm", "v"]);
    shim.ok(&["tag", "busybox", "other:1"]);
    let mut since = shim.command(&["events", "--since", "10m", "--until", "0s", "--format", "json"]);
    let journal = Outcome::of(&mut since, "events", b"").succeeded();
    interrupt(&watch);
    let seen = Outcome::from_child(watch, "events").succeeded();
    let seen: Vec<&str> = seen.lines().collect();
    let wanted = ["container create one", "container start one", "container die one", "container create two",
                  "container start two", "container exec_create: sh -c exit 0 two",
                  "container exec_start: sh -c exit 0 two", "container exec_die two", "container rename three"];
    assert_eq!(&seen[..wanted.len()], wanted, "{seen:?}");
    for rest in ["container kill two", "container stop two", "container restart three", "container destroy one",
                 "container destroy three", "volume create v", "volume destroy v", "image tag other:1"] {
        assert!(seen.contains(&rest), "no `{rest}` in {seen:?}");
    }
    // What is over is told again, in docker's JSON, as far as it is kept.
    let events: Vec<serde_json::Value> = journal.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    let die = events.iter().find(|e| e["Action"] == "die").unwrap();
    assert_eq!(die["Actor"]["Attributes"]["exitCode"], "3");
    assert_eq!((&die["Actor"]["Attributes"]["l"], &die["from"]), (&"1".into(), &"busybox".into()));
    assert_eq!((&die["status"], &die["scope"]), (&"die".into(), &"local".into()));
    assert!(die["timeNano"].as_i64().unwrap() / 1_000_000_000 == die["time"].as_i64().unwrap());
    let past = |filters: &[&str]| {
        let mut args = vec!["events", "--since", "10m", "--until", "0s"];
        filters.iter().for_each(|filter| args.extend(["--filter", filter]));
        shim.ok(&args).lines().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(past(&["event=die", "container=one"]).len(), 1);
    assert!(past(&["event=die", "container=one"])[0].contains(" container die "));
    assert_eq!(past(&["type=volume"]).len(), 2);
    assert_eq!(past(&["label=l=1", "event=create", "event=start"]).len(), 2);
    assert_eq!(past(&["image=other:1", "type=image"]).len(), 1);
    shim.run(&["events", "--filter", "colour=red"]).failed(&["invalid filter"]);
    shim.run(&["events", "--since", "whenever"]).failed(&["invalid --since"]);
}

fn processes_are_listed_as_ps_does(shim: &Shim) {
    shim.has(&[Base::Busybox]);
    sleeper(shim, "c", &[]);
    until("its sleep", || shim.ok(&["top", "c"]).lines().count() == 3);
    let list = shim.ok(&["top", "c"]);
    let words = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let lines: Vec<Vec<String>> = list.lines().map(words).collect();
    assert_eq!(lines[0].join(" "), "UID PID PPID C STIME TTY TIME CMD");
    assert_eq!(lines[1][0], "root");
    assert_eq!(lines[1][1], inspect(shim, "c", "{{.State.Pid}}"), "the host's numbers");
    assert_eq!(lines[2][2], lines[1][1]);
    assert!(list.ends_with("sleep 1000"), "{list}");
    let custom = shim.ok(&["top", "c", "-o", "pid,comm=PROGRAM"]);
    assert_eq!(words(custom.lines().next().unwrap()), ["PID", "PROGRAM"]);
    assert!(custom.ends_with("sleep"), "{custom}");
    assert!(shim.ok(&["top", "c", "aux"]).starts_with("USER"));
    shim.run(&["top", "c", "-o", "colour"]).failed(&["no column `colour`"]);
    shim.run(&["top", "c", "-Z"]).failed(&["-Z"]);
    shim.ok(&["stop", "c"]);
    shim.run(&["top", "c"]).failed(&["not running"]);
}

fn usage_is_measured(shim: &Shim) {
    shim.has(&[Base::Busybox]);
    let script = format!("(while :; do :; done) & {SLEEP}");
    shim.ok(&run_args(&["-d", "--name", "busy"], &["sh", "-c", &script]));
    shim.ok(&["create", "--name", "still", "busybox"]);
    let table = shim.ok(&["stats", "--no-stream"]);
    let mut lines = table.lines();
    assert_eq!(lines.next().unwrap().split("  ").map(str::trim).filter(|w| !w.is_empty()).collect::<Vec<_>>(),
               ["CONTAINER ID", "NAME", "CPU %", "MEM USAGE / LIMIT", "MEM %", "NET I/O", "BLOCK I/O", "PIDS"]);
    assert_eq!(lines.count(), 1, "only what runs");
    let cpu: f64 = shim.ok(&["stats", "--no-stream", "--format", "{{.CPUPerc}}", "busy"])
        .trim_end_matches('%').parse().unwrap();
    assert!(cpu > 1.0, "{cpu}");
    let all = shim.ok(&["stats", "-a", "--no-stream", "--format", "{{.Name}} {{.PIDs}}"]);
    assert_eq!(all, "still 0\nbusy 3");
    let row: serde_json::Value =
        serde_json::from_str(&shim.ok(&["stats", "--no-stream", "--format", "json", "busy"])).unwrap();
    let keys: Vec<&String> = row.as_object().unwrap().keys().collect();
    assert_eq!(keys, ["BlockIO", "CPUPerc", "Container", "ID", "MemPerc", "MemUsage", "Name", "NetIO", "PIDs"]);
    shim.run(&["stats", "--no-stream", "nosuch"]).failed(&["no such container"]);
}

fn a_restart_policy_can_be_changed(shim: &Shim) {
    shim.has(&[Base::Busybox]);
    shim.ok(&run_args(&["-d", "--name", "c"], &["sh", "-c", "echo run; sleep 1; exit 3"]));
    assert_eq!(shim.ok(&["update", "--restart", "on-failure:1", "c"]), "c");
    assert_eq!(inspect(shim, "c", "{{.HostConfig.RestartPolicy.Name}}"), "on-failure");
    until("its second run's end", || {
        inspect(shim, "c", "{{.State.Status}} {{.RestartCount}}") == "exited 1"
    });
    assert_eq!(shim.ok(&["logs", "c"]), "run\nrun");
    shim.run(&["update", "c"]).failed(&["nothing to update"]);
    shim.run(&["update", "--restart", "maybe", "c"]).failed(&["invalid --restart"]);
    shim.run(&["update", "--memory", "1k", "c"]).failed(&["6 MiB"]);
    let some = shim.run(&["update", "--restart", "no", "nosuch", "c"]);
    assert_eq!((some.code, some.stdout.as_str()), (1, "c\n"));
}

fn differences_are_told(shim: &Shim) {
    shim.has(&[Base::Busybox]);
    ended(shim, "c", "mkdir /new; echo x > /new/file; rm /etc/group; chmod 600 /etc/passwd; \
                      touch /gone; rm /gone");
    let wanted = "C /etc\nD /etc/group\nC /etc/passwd\nA /new\nA /new/file";
    let shown = shim.ok(&["diff", "c"]);
    let lines: Vec<&str> = shown.lines().filter(|l| !l.contains("/root")).collect();
    assert_eq!(lines.join("\n"), wanted);
    shim.run(&["diff", "nosuch"]).failed(&["no such container"]);
}

fn a_commit_is_an_image_of_the_changes(shim: &Shim) {
    shim.has(&[Base::Busybox]);
    let flags = ["-d", "--name", "c", "-e", "FROM_RUN=1", "-w", "/tmp"];
    shim.ok(&run_args(&flags, &["sh", "-c", SLEEP]));
    exec(shim, "c", "mkdir /new && echo kept > /new/file; rm /etc/group; rm -rf /var; mkdir /var; \
                     echo y > /var/only");
    let args = ["commit", "-a", "Ann", "-m", "why", "-c", "CMD [\"cat\", \"/new/file\"]",
                "--change", "ENV ADDED=\"two words\"", "-c", "LABEL l=1", "c", "made:1"];
    let id = shim.ok(&args);
    assert!(id.starts_with("sha256:"), "{id}");
    assert_eq!(shim.ok(&["run", "--rm", "--network", "none", "made:1"]), "kept");
    let script = "ls /etc/group /var; echo $FROM_RUN $ADDED $PWD";
    let seen = shim.run(&["run", "--rm", "--network", "none", "made:1", "sh", "-c", script]);
    assert_eq!(seen.stdout, "/var:\nonly\n1 two words /tmp\n");
    assert!(seen.stderr.contains("/etc/group"), "{}", seen.stderr);
    assert_eq!(inspect(shim, "made:1", "{{.Author}} {{.Config.Labels.l}}"), "Ann 1");
    // The same changes give the same layer.
    let layer = |name: &str| {
        inspect(shim, name, "{{json .RootFS.Layers}}").split(',').next_back().unwrap().to_owned()
    };
    shim.ok(&["commit", "-p=false", "c", "made:2"]);
    assert_eq!(layer("made:1"), layer("made:2"));
    assert_eq!(exec(shim, "c", "cat /new/file"), "kept", "the container goes on");
    shim.run(&["commit", "-c", "RUN x", "c"]).failed(&["invalid change"]);
    shim.run(&["commit", "c", "Bad Name"]).failed(&["Bad Name"]);
}

fn copies_follow_dockers_rules(shim: &Shim) {
    shim.has(&[Base::Busybox]);
    sleeper(shim, "c", &[]);
    shim.write("dir/a", "a\n");
    shim.write("dir/sub/b", "b\n");
    shim.write("one", "1\n");
    // To the container: file to name, into a directory, over a file.
    shim.ok(&["cp", "one", "c:/tmp/named"]);
    shim.ok(&["cp", "one", "c:/tmp"]);
    shim.ok(&["cp", "one", "c:tmp/named"]);
    // A directory to a name, into a directory, its content alone.
    shim.ok(&["cp", "dir", "c:/copy"]);
    shim.ok(&["cp", "dir/", "c:/tmp"]);
    exec(shim, "c", "mkdir /flat");
    shim.ok(&["cp", "dir/.", "c:/flat"]);
    let files = exec(shim, "c", "find /tmp /copy /flat -type f | sort");
    assert_eq!(files, "/copy/a\n/copy/sub/b\n/flat/a\n/flat/sub/b\n/tmp/dir/a\n/tmp/dir/sub/b\n\
                       /tmp/named\n/tmp/one");
    assert_eq!(exec(shim, "c", "stat -c %u:%g /copy/sub/b"), "0:0");
    let said = shim.run(&["cp", "one", "c:/tmp"]);
    assert!(said.stderr.contains("Successfully copied"), "{}", said.stderr);
    assert_eq!(shim.run(&["cp", "-q", "one", "c:/tmp"]).stderr, "");
    // And back.
    shim.ok(&["cp", "c:/copy", "back"]);
    shim.ok(&["cp", "c:/copy/sub/b", "."]);
    shim.ok(&["cp", "c:/copy/.", "back/sub"]);
    assert_eq!(std::fs::read_to_string(shim.path("back/sub/sub/b")).unwrap(), "b\n");
    let (mine, theirs) = (shim.path("b"), shim.path("one"));
    let owner = |path: &Path| std::fs::metadata(path).unwrap().uid();
    assert_eq!(owner(&mine), owner(&theirs), "the caller's");
    // A link is copied as a link, unless -L.
    exec(shim, "c", "ln -s /copy/a /tmp/link; ln -s /copy /tmp/dirlink");
    shim.ok(&["cp", "c:/tmp/link", "link"]);
    assert_eq!(std::fs::read_link(shim.path("link")).unwrap(), Path::new("/copy/a"));
    shim.ok(&["cp", "-L", "c:/tmp/link", "followed"]);
    assert_eq!(std::fs::read_to_string(shim.path("followed")).unwrap(), "a\n");
    // A destination's link is followed.
    shim.ok(&["cp", "one", "c:/tmp/dirlink"]);
    assert_eq!(exec(shim, "c", "cat /copy/one"), "1");
    for (args, part) in [
        (["cp", "nosuch", "c:/tmp"], "nosuch does not exist"),
        (["cp", "c:/nosuch", "x"], "c:/nosuch does not exist"),
        (["cp", "one", "c:/no/such/dir/x"], "does not exist"),
        (["cp", "one", "c:/newdir/"], "destination directory c:/newdir/ does not exist"),
        (["cp", "dir", "c:/tmp/one"], "which is a file"),
        (["cp", "c:/copy/a/", "x"], "not a directory"),
        (["cp", "one", "dir"], "neither"),
        (["cp", "c:/a", "c:/b"], "between containers"),
        (["cp", "nosuch:/a", "."], "no such container"),
    ] {
        shim.run(&args).failed(&[part]);
    }
    shim.ok(&["stop", "c"]);
    // The same with one that does not run, and it can be started again.
    shim.ok(&["cp", "one", "c:/tmp/late"]);
    shim.ok(&["cp", "c:/tmp/late", "late"]);
    assert_eq!(std::fs::read_to_string(shim.path("late")).unwrap(), "1\n");
    shim.ok(&["start", "c"]);
    assert_eq!(exec(shim, "c", "cat /tmp/late"), "1");
}

fn copies_go_through_pipes(shim: &Shim) {
    shim.has(&[Base::Busybox]);
    sleeper(shim, "c", &["-v", "data:/data"]);
    exec(shim, "c", "mkdir -p /src/sub; echo x > /src/sub/f; chown 7:8 /src/sub/f");
    let tar = into_file(shim, &["cp", "c:/src", "-"], "src.tar");
    assert_eq!(names(&tar), ["src/", "src/sub/", "src/sub/f"]);
    let tar = into_file(shim, &["cp", "c:/src/sub/f", "-"], "f.tar");
    assert_eq!(names(&tar), ["f"]);
    let bytes = std::fs::read(shim.path("src.tar")).unwrap();
    shim.run_with(&["cp", "-", "c:/data"], &bytes).succeeded();
    assert_eq!(exec(shim, "c", "cat /data/src/sub/f; stat -c %u:%g /data/src/sub/f"), "x\n7:8");
    shim.run_with(&["cp", "-", "c:/nosuch"], &bytes).failed(&["must be a directory"]);
    shim.run_with(&["cp", "-", "c:/src/sub/f"], &bytes).failed(&["must be a directory"]);
    shim.run_with(&["cp", "-", "c:/data"], b"this is no tar at all").failed(&[]);
    shim.ok(&["rm", "-f", "c"]);
    // Into a volume of one that does not run.
    shim.ok(&["create", "--name", "d", "-v", "data:/data", "busybox"]);
    let tar = into_file(shim, &["cp", "d:/data/src/.", "-"], "content.tar");
    assert_eq!(names(&tar), ["./", "./sub/", "./sub/f"].map(|n| n.trim_start_matches("./").to_owned())
        .map(|n| if n.is_empty() { "./".to_owned() } else { n }));
}

fn no_image_leads_a_copy_out_of_its_root(shim: &Shim) {
    let tree = tempfile::tempdir().unwrap();
    std::fs::set_permissions(tree.path(), PermissionsExt::from_mode(0o755)).unwrap();
    let outside = shim.path("outside");
    std::fs::create_dir(&outside).unwrap();
    std::fs::set_permissions(&outside, PermissionsExt::from_mode(0o777)).unwrap();
    std::fs::write(outside.join("secret"), "secret").unwrap();
    std::fs::create_dir_all(tree.path().join("bin")).unwrap();
    std::fs::copy("/bin/busybox", tree.path().join("bin/sh")).unwrap();
    symlink(&outside, tree.path().join("abs")).unwrap();
    symlink(format!("../../../../../..{}", outside.display()), tree.path().join("rel")).unwrap();
    symlink("/proc/1/root", tree.path().join("magic")).unwrap();
    symlink("loop", tree.path().join("loop")).unwrap();
    let tar = shim.write("hostile.tar", "");
    run("tar", &["-C", tree.path().to_str().unwrap(), "-cf", tar.to_str().unwrap(), "."]);
    shim.ok(&["import", tar.to_str().unwrap(), "hostile"]);
    shim.write("file", "x");
    for running in [false, true] {
        let name = if running { "run" } else { "made" };
        shim.ok(&["create", "--name", name, "--network", "none", "hostile", "/bin/sh", "-c", SLEEP]);
        if running {
            shim.ok(&["start", name]);
        }
        for link in ["abs", "rel", "magic"] {
            let inside = format!("{name}:/{link}");
            for path in [format!("{inside}/secret"), format!("{inside}{}/secret", outside.display())] {
                let outcome = shim.run(&["cp", "-L", &path, "stolen"]);
                assert_ne!(outcome.code, 0, "{path}");
            }
            let _ = shim.run(&["cp", "file", &format!("{inside}/planted")]);
            let _ = shim.run(&["cp", "file", &inside]);
        }
        shim.run(&["cp", &format!("{name}:/loop/x"), "stolen"]).failed(&["too many links"]);
        // What is copied out stays below where it goes.
        shim.ok(&["cp", &format!("{name}:/abs"), "copied-link"]);
        std::fs::remove_file(shim.path("copied-link")).unwrap();
    }
    assert!(!shim.path("stolen").exists());
    let left: Vec<_> = std::fs::read_dir(&outside).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(left, ["secret"], "nothing was planted outside");
}

}

#[test]
fn a_paused_container_does_nothing_but_end() {
    let shim = &Shim::as_root();
    shim.has(&[Base::Busybox]);
    let script = format!("while :; do echo >> /beat; sleep 0.02; done & {SLEEP}");
    shim.ok(&run_args(&["-d", "--name", "c"], &["sh", "-c", &script]));
    until("its beat", || shim.run(&["cp", "c:/beat", "-"]).code == 0);
    assert_eq!(shim.ok(&["pause", "c"]), "c");
    assert_eq!(
        inspect(
            shim,
            "c",
            "{{.State.Status}} {{.State.Paused}} {{.State.Running}}"
        ),
        "paused true true"
    );
    assert!(
        shim.ok(&["ps", "--format", "{{.Status}}"])
            .ends_with(" (Paused)")
    );
    assert_eq!(
        shim.ok(&["ps", "-q", "--filter", "status=paused"])
            .lines()
            .count(),
        1
    );
    let beat = || {
        into_file(shim, &["cp", "c:/beat", "-"], "beat.tar")
            .metadata()
            .unwrap()
            .len()
    };
    let still = beat();
    std::thread::sleep(std::time::Duration::from_millis(200));
    assert_eq!(beat(), still);
    shim.run(&["pause", "c"]).failed(&["already paused"]);
    shim.run(&["exec", "c", "true"])
        .failed(&["paused", "unpause"]);
    shim.run(&["rm", "c"]).failed(&["paused"]);
    assert_eq!(shim.ok(&["unpause", "c"]), "c");
    shim.run(&["unpause", "c"]).failed(&["not paused"]);
    exec(shim, "c", "true");
    shim.ok(&["pause", "c"]);
    assert_eq!(shim.ok(&["stop", "-t", "20", "c"]), "c");
    assert_eq!(
        inspect(shim, "c", "{{.State.ExitCode}}"),
        "0",
        "it heard the signal"
    );
    for end in [["kill", "c"].as_slice(), &["rm", "-f", "c"]] {
        shim.ok(&["start", "c"]);
        shim.ok(&["pause", "c"]);
        shim.ok(end);
    }
    assert_eq!(shim.ok(&["ps", "-aq"]), "");
    shim.run(&["pause", "c"]).failed(&["no such container"]);
}

#[test]
fn a_user_without_a_cgroup_is_told_why_nothing_is_paused() {
    let shim = &Shim::as_user();
    shim.has(&[Base::Busybox]);
    sleeper(shim, "c", &[]);
    shim.run(&["pause", "c"]).failed(&[
        "cannot pause container c",
        "no cgroup of its own",
        "hint:",
    ]);
    assert_eq!(inspect(shim, "c", "{{.State.Status}}"), "running");
}

/// Ctrl-C.
fn interrupt(child: &std::process::Child) {
    std::thread::sleep(std::time::Duration::from_millis(500));
    run("kill", &["-INT", &child.id().to_string()]);
}

#[test]
fn limits_can_be_changed_while_it_runs() {
    let shim = &Shim::as_root();
    shim.has(&[Base::Busybox]);
    sleeper(shim, "c", &["--memory", "64m", "--pids-limit", "50"]);
    shim.ok(&["update", "--memory", "32m", "--pids-limit", "20", "c"]);
    assert_eq!(
        inspect(
            shim,
            "c",
            "{{.HostConfig.Memory}} {{.HostConfig.PidsLimit}}"
        ),
        "33554432 20"
    );
    let script = "for i in $(seq 40); do sleep 5 & done; wait";
    let many = shim.run(&["exec", "c", "sh", "-c", script]);
    assert!(many.stderr.contains("fork"), "{}", many.stderr);
    assert!(
        shim.ok(&["stats", "--no-stream", "--format", "{{.MemUsage}}", "c"])
            .ends_with(" / 32MiB")
    );
}

fn piped(mut command: std::process::Command) -> std::process::Child {
    command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .stdin(Stdio::null());
    let child = command.spawn().unwrap();
    // It has to look before the container changes.
    std::thread::sleep(std::time::Duration::from_millis(300));
    child
}
