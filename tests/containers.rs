//! Containers from end to end: their flags, their life, what they may see and do, and
//! that nothing of them is left.

#![expect(
    clippy::unwrap_used,
    reason = "a test that panics has failed, which is meant"
)]

mod kit;

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use kit::bases::Base;
use kit::terminal::Terminal;
use kit::web::{PATIENCE, wait_until};
use kit::{Outcome, Shim, digest_of, run};

/// Podman's eleven capabilities, as the kernel prints them.
const CAPABILITIES: &str = "00000000800405fb";
const NO_CAPABILITIES: &str = "0000000000000000";
/// Ctrl-P Ctrl-Q.
const DETACH: &str = "\x10\x11";
/// Ends a container's shell when it is asked to, and otherwise never.
const SLEEP: &str = "trap 'exit 0' TERM; while :; do sleep 1000 & wait $!; done";

/// Busybox without network: quick, and all that most of these need.
fn run_args<'a>(flags: &[&'a str], command: &[&'a str]) -> Vec<&'a str> {
    [&["run", "--network", "none"], flags, &["busybox"], command].concat()
}

/// `shim run --rm FLAGS busybox sh -c SCRIPT`, which must succeed.
fn sh(shim: &Shim, flags: &[&str], script: &str) -> String {
    shim.ok(&run_args(
        &[&["--rm"], flags].concat(),
        &["sh", "-c", script],
    ))
}

/// A container of this name that waits for its end.
fn sleeper(shim: &Shim, name: &str, flags: &[&str]) -> String {
    let flags = [&["-d", "--name", name], flags].concat();
    shim.ok(&run_args(&flags, &["sh", "-c", SLEEP]))
}

fn inspect(shim: &Shim, container: &str, template: &str) -> String {
    shim.ok(&["inspect", "--format", template, container])
}

fn pid(shim: &Shim, container: &str) -> i32 {
    inspect(shim, container, "{{.State.Pid}}").parse().unwrap()
}

fn until(what: &str, holds: impl FnMut() -> bool) {
    assert!(wait_until(PATIENCE, holds), "in vain: {what}");
}

/// An image of this name from a tree that `make` adds to; busybox is in it already.
fn image(shim: &Shim, name: &str, make: impl FnOnce(&Path)) {
    let directory = tempfile::tempdir().unwrap();
    let tree = directory.path();
    std::fs::set_permissions(tree, PermissionsExt::from_mode(0o755)).unwrap();
    std::fs::create_dir_all(tree.join("bin")).unwrap();
    std::fs::copy("/bin/busybox", tree.join("bin/busybox")).expect("busybox is installed");
    for applet in ["sh", "cat", "head", "ls", "id", "mount", "mknod", "echo"] {
        symlink("busybox", tree.join("bin").join(applet)).unwrap();
    }
    make(tree);
    let tar = shim.write(&format!("{name}.tar"), "");
    run(
        "tar",
        &[
            "-C",
            tree.to_str().unwrap(),
            "-cf",
            tar.to_str().unwrap(),
            ".",
        ],
    );
    shim.ok(&["import", tar.to_str().unwrap(), name]);
}

/// The program started by a shell that does something first, such as opening files.
fn after(shim: &Shim, script: &str, args: &[&str]) -> Outcome {
    let wanted = shim.command(args);
    let mut command = Command::new("/bin/sh");
    command.args(["-c", &format!("{script}; exec \"$@\""), "sh"]);
    command
        .arg(wanted.get_program())
        .args(wanted.get_args())
        .env_clear();
    command.current_dir(wanted.get_current_dir().unwrap());
    command.envs(wanted.get_envs().filter_map(|(k, v)| Some((k, v?))));
    Outcome::of(&mut command, &args.join(" "), b"")
}

/// Fields of `/proc/PID/status` that say what a process may do.
fn confinement(status: &str) -> Vec<String> {
    let wanted = [
        "CapInh",
        "CapPrm",
        "CapEff",
        "CapBnd",
        "CapAmb",
        "NoNewPrivs",
        "Seccomp",
    ];
    let value = |key: &&str| {
        let line = status
            .lines()
            .find_map(|l| l.strip_prefix(key)?.strip_prefix(':'));
        format!("{key} {}", line.unwrap_or("?").trim())
    };
    wanted.iter().map(value).collect()
}

fn confined(effective: &str) -> Vec<String> {
    let (none, all) = (NO_CAPABILITIES, CAPABILITIES);
    let caps = [none, effective, effective, all, none];
    let names = ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"];
    let mut wanted: Vec<String> = names
        .iter()
        .zip(caps)
        .map(|(n, c)| format!("{n} {c}"))
        .collect();
    wanted.extend(["NoNewPrivs 0".into(), "Seccomp 2".into()]);
    wanted
}

/// Major and minor number of a disk of this machine.
fn disk() -> [String; 2] {
    let partitions = std::fs::read_to_string("/proc/partitions").unwrap();
    let line = partitions.lines().nth(2).expect("this machine has a disk");
    let mut fields = line.split_ascii_whitespace().map(str::to_owned);
    [fields.next().unwrap(), fields.next().unwrap()]
}

/// The n-th of many blocks that differ from each other.
fn block(n: u64) -> Vec<u8> {
    let mut bytes: Vec<u8> = (0..BLOCK).map(|i| (i % 251) as u8).collect();
    bytes[..8].copy_from_slice(&n.to_le_bytes());
    bytes
}

const BLOCK: usize = 1 << 20;
const BLOCKS: u64 = 200;

as_root_and_user! {

fn flags_of_run_mean_what_docker_means(shim: &Shim) {
    shim.has(&[Base::Busybox]);
    shim.write("vars", "# a comment\nFROM_FILE=a b\nBOTH=file\n\n");
    let flags = ["--env-file", "vars", "-e", "BOTH=flag", "-e", "EMPTY=", "-e", "UNSET_HERE"];
    let seen = sh(shim, &flags, "echo \"$FROM_FILE|$BOTH|$EMPTY|${UNSET_HERE-unset}|$HOME\"");
    assert_eq!(seen, "a b|flag||unset|/root");

    let flags = ["-w", "/made/here", "-u", "65534:65534", "--hostname", "box"];
    let seen = sh(shim, &flags, "echo $PWD $(id -u):$(id -g) $(hostname) $HOSTNAME");
    assert_eq!(seen, "/made/here 65534:65534 box box");

    let plain = |flags: &[&str], command: &[&str]| {
        shim.ok(&run_args(&[&["--rm"], flags].concat(), command))
    };
    assert_eq!(plain(&["--entrypoint", "echo"], &["a", "-n"]), "a -n");
    assert_eq!(plain(&["--entrypoint", ""], &["echo", "b"]), "b");

    let flags = ["--read-only", "--tmpfs", "/scratch:size=1m,mode=0700"];
    let script = "touch /file 2>&1; touch /scratch/file && stat -c %a /scratch; \
                  head -c 2000000 /dev/zero > /scratch/file; stat -c %s /scratch/file";
    let seen = sh(shim, &flags, script);
    assert!(seen.contains("Read-only file system"), "{seen}");
    assert!(seen.ends_with("700\n1048576"), "{seen}");

    let both = shim.run(&run_args(&["--rm"], &["sh", "-c", "echo out; echo err >&2; exit 42"]));
    assert_eq!((both.code, both.stdout.as_str(), both.stderr.as_str()), (42, "out\n", "err\n"));
    let input = run_args(&["--rm", "-i"], &["cat"]);
    assert_eq!(shim.run_with(&input, b"from outside").succeeded(), "from outside");
    let closed = run_args(&["--rm"], &["cat"]);
    assert_eq!(shim.run_with(&closed, b"from outside").succeeded(), "", "without -i");
}

fn a_terminal_is_the_containers(shim: &Shim) {
    shim.has(&[Base::Busybox]);
    let args = run_args(&["--rm", "-it"], &["sh"]);
    let mut terminal = Terminal::run(&shim.command(&args));
    terminal.press("tty; stty size; echo $TERM; exit 7\r");
    terminal.expect("/dev/pts/0");
    terminal.expect("24 80");
    terminal.expect("xterm");
    assert_eq!(terminal.end().0, 7);
    assert_eq!(shim.ok(&["ps", "-aq"]), "");
    // Nobody sits there.
    shim.run(&args).failed(&["not a terminal", "hint:"]);
}

fn binds_show_the_hosts_files(shim: &Shim) {
    shim.has(&[Base::Busybox]);
    shim.write("dir/file", "from the host");
    let dir = shim.path("dir").display().to_string();
    let bind = |suffix: &str| format!("{dir}:/data{suffix}");
    let seen = sh(shim, &["-v", &bind("")], "cat /data/file; echo new > /data/made");
    assert_eq!(seen, "from the host");
    let made = shim.path("dir/made");
    assert_eq!(std::fs::read_to_string(&made).unwrap(), "new\n");
    let owner = std::fs::metadata(&dir).unwrap().uid();
    assert_eq!(std::fs::metadata(&made).unwrap().uid(), owner, "root inside is the caller");

    let seen = sh(shim, &["-v", &bind(":ro")], "cat /data/file; touch /data/x 2>&1 || true");
    assert!(seen.starts_with("from the host") && seen.contains("Read-only"), "{seen}");
    assert_eq!(sh(shim, &["-v", "./dir/file:/one"], "cat /one"), "from the host", "one file");
    sh(shim, &["-v", "./absent/dir:/x"], "touch /x/y");
    assert!(shim.path("absent/dir/y").exists(), "an absent source is made");
}

fn volumes_keep_and_start_with_the_images_content(shim: &Shim) {
    shim.has(&[Base::Busybox]);
    let run = "RUN mkdir /data && echo image > /data/f && chown -R 65534:123 /data \\\n\
               && chmod 2750 /data";
    shim.write("ctx/Dockerfile", format!("FROM busybox\n{run}\nVOLUME /data\n"));
    shim.ok(&["build", "-q", "-t", "withdata", "ctx"]);
    let data = |flags: &[&str], script: &str| {
        let image = ["withdata", "sh", "-c", script];
        shim.ok(&[&["run", "--rm", "--network", "none"], flags, &image].concat())
    };
    let look = "cat /data/f; stat -c '%u:%g %a' /data /data/f";
    let fresh = "image\n65534:123 2750\n65534:123 644";

    assert_eq!(data(&["-v", "named:/data"], look), fresh);
    data(&["-v", "named:/data"], "echo mine > /data/f");
    let kept = data(&["-v", "named:/data"], "cat /data/f");
    assert_eq!(kept, "mine", "a used volume is left as it is");
    assert_eq!(data(&["-v", "named:/elsewhere"], "cat /elsewhere/f /data/f"), "mine\nimage");
    assert_eq!(data(&["-v", "empty:/data:nocopy"], "ls /data"), "");
    let refused = data(&["-v", "named:/data:ro"], "touch /data/x 2>&1 || true");
    assert!(refused.contains("Read-only"), "{refused}");

    assert_eq!(data(&["-v", "/anonymous"], look), fresh, "that of VOLUME is fresh each time");
    assert_eq!(shim.ok(&["volume", "ls", "-q"]), "empty\nnamed", "the others went with --rm");

    let id = shim.ok(&["create", "-v", "/anonymous", "-v", "named:/data", "withdata", "true"]);
    assert_eq!(shim.ok(&["volume", "ls", "-q"]).lines().count(), 3);
    shim.run(&["volume", "rm", "named"]).failed(&["named", "in use"]);
    shim.ok(&["rm", "-v", &id]);
    assert_eq!(shim.ok(&["volume", "ls", "-q"]), "empty\nnamed");
    shim.ok(&["volume", "rm", "empty", "named"]);
}

fn a_container_is_made_started_stopped_removed(shim: &Shim) {
    shim.has(&[Base::Busybox]);
    let flags = ["create", "--network", "none", "--name", "one", "-l", "tier=web", "--label", "x"];
    let script = "echo started; trap 'echo asked; exit 3' TERM; \
                  while :; do sleep 1000 & wait; done";
    let id = shim.ok(&[&flags[..], &["busybox", "sh", "-c", script]].concat());
    assert_eq!(id.len(), 64);
    assert_eq!(shim.ok(&["ps", "-q"]), "");
    let row = |format: &str| shim.ok(&["ps", "-a", "--format", format]);
    let made = row("{{.ID}} {{.Names}} {{.Image}} {{.Status}}");
    assert_eq!(made, format!("{} one busybox Created", &id[..12]));
    shim.run(&["create", "--name", "one", "busybox"]).failed(&["`one`", "hint:"]);

    assert_eq!(shim.ok(&["start", "one"]), "one");
    until("it writes", || shim.ok(&["logs", "one"]) == "started");
    assert!(row("{{.Status}}").starts_with("Up "));
    assert_eq!(inspect(shim, "one", "{{.State.Status}} {{.Config.Labels.tier}}"), "running web");
    shim.run(&["rm", "one"]).failed(&["one is running", "hint:", "rm -f"]);

    assert_eq!(shim.ok(&["stop", "one"]), "one");
    assert_eq!(inspect(shim, "one", "{{.State.Status}} {{.State.ExitCode}}"), "exited 3");
    assert!(row("{{.Status}}").starts_with("Exited (3)"), "its own handler ended it");
    assert_eq!(shim.ok(&["logs", "one"]), "started\nasked");
    shim.ok(&["start", &id[..6]]);
    until("it writes again", || shim.ok(&["logs", "one"]).ends_with("asked\nstarted"));

    sleeper(shim, "two", &[]);
    let names = |flags: &[&str]| {
        let all = shim.ok(&[&["ps", "--format", "{{.Names}}"], flags].concat());
        let mut all: Vec<&str> = all.lines().collect();
        all.sort_unstable();
        all.join(" ")
    };
    assert_eq!(names(&[]), "one two");
    assert_eq!(names(&["--filter", "name=tw"]), "two");
    assert_eq!(names(&["--filter", "label=tier=web"]), "one");
    assert_eq!(names(&["--filter", "label=x"]), "one");
    assert_eq!(names(&["-a", "--filter", "status=exited"]), "");
    assert_eq!(names(&["--filter", &format!("id={}", &id[..8])]), "one");
    shim.run(&["ps", "--filter", "colour=red"]).failed(&["colour=red", "hint:"]);
    assert_eq!(shim.ok(&["ps", "-q", "--no-trunc", "--filter", "name=one"]), id);
    let table = shim.ok(&["ps"]);
    assert!(table.starts_with("CONTAINER ID   IMAGE"), "{table}");
    let rows = row("json");
    let json: serde_json::Value = serde_json::from_str(rows.lines().last().unwrap()).unwrap();
    assert_eq!(json["Names"], "one");

    assert_eq!(shim.ok(&["rm", "-f", "one", "two"]), "one\ntwo");
    assert_eq!(shim.ok(&["ps", "-aq"]), "");
    shim.run(&["start", "one"]).failed(&["no such container", "one"]);
    shim.ok(&["rm", "-f", "one"]);
}

fn signals_arrive_and_end_what_does_not_listen(shim: &Shim) {
    shim.has(&[Base::Busybox]);
    let script = "trap 'echo usr1' USR1; trap '' TERM; trap 'echo quit; exit 9' QUIT; \
                  echo ready; while :; do sleep 1000 & wait $!; done";
    let start = |name: &str, flags: &[&str]| {
        let flags = [&["-d", "--name", name], flags].concat();
        shim.ok(&run_args(&flags, &["sh", "-c", script]));
        until("it is ready", || shim.ok(&["logs", name]) == "ready");
    };
    start("deaf", &[]);
    shim.ok(&["kill", "-s", "USR1", "deaf"]);
    until("the handler runs", || shim.ok(&["logs", "deaf"]).ends_with("usr1"));
    shim.ok(&["stop", "-t", "0", "deaf"]);
    assert_eq!(inspect(shim, "deaf", "{{.State.ExitCode}}"), "137");
    start("asked", &["--stop-signal", "SIGQUIT"]);
    shim.ok(&["stop", "asked"]);
    assert_eq!(inspect(shim, "asked", "{{.State.ExitCode}}"), "9");
    start("killed", &[]);
    shim.ok(&["kill", "killed"]);
    until("it ends", || inspect(shim, "killed", "{{.State.Status}}") == "exited");
    assert_eq!(inspect(shim, "killed", "{{.State.ExitCode}}"), "137");
    shim.run(&["kill", "killed"]).failed(&["killed is not running"]);
    shim.run(&["kill", "-s", "NOPE", "deaf"]).failed(&["NOPE"]);
}

fn exit_codes_are_dockers(shim: &Shim) {
    shim.has(&[Base::Busybox]);
    let code = |command: &[&str]| shim.run(&run_args(&["--rm"], command)).code;
    assert_eq!(code(&["sh", "-c", "exit 42"]), 42);
    let absent = shim.run(&run_args(&["--rm"], &["/no/such"]));
    assert_eq!(absent.code, 127, "{}", absent.stderr);
    absent.failed(&["/no/such"]);
    let denied = shim.run(&run_args(&["--rm"], &["/etc/passwd"]));
    assert_eq!(denied.code, 126, "{}", denied.stderr);
    denied.failed(&["/etc/passwd"]);
    assert_eq!(shim.run(&["run", "--nonsense", "busybox"]).code, 125);
    assert_eq!(shim.run(&run_args(&["--rm", "-u", "nobody-here"], &["true"])).code, 125);

    sleeper(shim, "c", &[]);
    let exec = |command: &[&str]| shim.run(&[&["exec", "c"], command].concat()).code;
    assert_eq!(exec(&["sh", "-c", "exit 42"]), 42);
    assert_eq!(exec(&["sh", "-c", "kill -TERM $$"]), 128 + 15);
    assert_eq!(exec(&["sh", "-c", "kill -KILL $$"]), 128 + 9);
    assert_eq!(exec(&["/no/such"]), 127);
    assert_eq!(exec(&["/etc/passwd"]), 126);
    assert_eq!(shim.ok(&["ps", "-q"]).lines().count(), 1, "the others left nothing");
}

fn logs_are_kept_and_followed(shim: &Shim) {
    shim.has(&[Base::Busybox]);
    let script = "for i in 1 2 3; do echo line $i; done; echo wrong >&2; printf unfinished";
    shim.run(&run_args(&["--name", "done"], &["sh", "-c", script])).succeeded();
    let logs = shim.run(&["logs", "done"]);
    assert_eq!(logs.stdout, "line 1\nline 2\nline 3\nunfinished");
    assert_eq!(logs.stderr, "wrong\n");
    let tail = shim.run(&["logs", "--tail", "3", "done"]);
    assert_eq!((tail.stdout.as_str(), tail.stderr.as_str()), ("line 3\nunfinished", "wrong\n"));
    assert_eq!(shim.ok(&["logs", "-n", "0", "done"]), "");
    let stamped = shim.ok(&["logs", "-t", "--tail", "4", "done"]);
    let (time, rest) = stamped.lines().next().unwrap().split_once(' ').unwrap();
    assert!(time.len() == 30 && time.ends_with('Z') && rest == "line 2", "{stamped}");
    assert_eq!(shim.ok(&["logs", "--since", "2037-01-01T00:00:00Z", "done"]), "");
    assert_eq!(shim.ok(&["logs", "--since", "10m", "done"]), logs.stdout);

    let slow = "echo first; while [ ! -e /go ]; do sleep 0.1; done; echo last";
    shim.ok(&run_args(&["-d", "--name", "slow"], &["sh", "-c", slow]));
    let follower = std::thread::scope(|scope| {
        let follower = scope.spawn(|| shim.run(&["logs", "-f", "slow"]));
        until("it begins", || shim.ok(&["logs", "slow"]) == "first");
        shim.ok(&["exec", "slow", "touch", "/go"]);
        follower.join().unwrap()
    });
    assert_eq!(follower.succeeded(), "first\nlast", "it ends with the container");
}

fn exec_joins_a_container(shim: &Shim) {
    shim.has(&[Base::Busybox]);
    sleeper(shim, "c", &["-e", "BASE=1", "-w", "/tmp"]);
    let exec = |flags: &[&str], script: &str| {
        shim.ok(&[&["exec"], flags, &["c", "sh", "-c", script]].concat())
    };
    assert_eq!(exec(&[], "echo $BASE $PWD $(id -u)"), "1 /tmp 0");
    let flags = ["-u", "nobody", "-w", "/etc", "-e", "BASE=2", "-e", "MORE=3"];
    assert_eq!(exec(&flags, "echo $BASE $MORE $PWD $(id -u):$(id -g)"), "2 3 /etc 65534:65534");
    let both = shim.run_with(&["exec", "-i", "c", "sh", "-c", "cat; echo err >&2"], b"in");
    assert_eq!((both.stdout.as_str(), both.stderr.as_str()), ("in", "err\n"));
    shim.ok(&["exec", "-d", "c", "sh", "-c", "echo made > /file"]);
    let made = || shim.run(&["exec", "c", "cat", "/file"]).stdout == "made\n";
    until("it works in the background", made);

    let mut terminal = Terminal::run(&shim.command(&["exec", "-it", "c", "sh"]));
    terminal.press("tty; stty size\r");
    terminal.expect("/dev/pts/");
    terminal.expect("24 80");
    terminal.press("exit 5\r");
    assert_eq!(terminal.end().0, 5);

    shim.ok(&["stop", "c"]);
    shim.run(&["exec", "c", "true"]).failed(&["c is not running", "hint:"]);
}

fn who_attaches_may_leave(shim: &Shim) {
    shim.has(&[Base::Busybox]);
    shim.ok(&run_args(&["-dit", "--name", "c"], &["sh"]));
    let mut terminal = Terminal::run(&shim.command(&["attach", "c"]));
    terminal.press("word=kept; echo is $word\r");
    terminal.expect("is kept");
    terminal.press(DETACH);
    assert_eq!(terminal.end().0, 0);
    assert_eq!(inspect(shim, "c", "{{.State.Status}}"), "running");

    let keys = ["attach", "--detach-keys", "ctrl-x,x", "c"];
    let mut terminal = Terminal::run(&shim.command(&keys));
    terminal.press("echo still $word\r");
    terminal.expect("still kept");
    terminal.press("\x18x");
    assert_eq!(terminal.end().0, 0);

    let mut terminal = Terminal::run(&shim.command(&["attach", "c"]));
    terminal.press("exit 6\r");
    assert_eq!(terminal.end().0, 6, "the container's code is that of its client");
    shim.run(&["attach", "c"]).failed(&["c is not running", "hint:"]);
    shim.run(&["attach", "--detach-keys", "ctrl-", "c"]).failed(&[]);
}

fn inspect_speaks_templates(shim: &Shim) {
    shim.has(&[Base::Busybox]);
    let flags = ["-v", "kept:/data", "-e", "A=b c", "-u", "65534", "--restart", "on-failure:4"];
    let id = sleeper(shim, "c", &flags);
    for (template, value) in [
        ("{{.Id}}", id.as_str()),
        ("{{.Name}}", "/c"),
        ("{{.Config.User}} {{.Config.Image}}", "65534 busybox"),
        ("{{.State.Running}} {{.State.ExitCode}}", "true 0"),
        ("{{.HostConfig.NetworkMode}}", "none"),
        ("{{with .HostConfig.RestartPolicy}}{{.Name}}{{.MaximumRetryCount}}{{end}}", "on-failure4"),
        ("{{range .Mounts}}{{.Type}} {{.Name}} {{.Destination}}{{end}}", "volume kept /data"),
        ("{{json .Args}}", &format!("[\"-c\",\"{SLEEP}\"]")),
        ("{{len .Args}} {{index .Args 0}}", "2 -c"),
    ] {
        assert_eq!(inspect(shim, "c", template), value, "{template}");
    }
    let env = inspect(shim, "c", "{{range .Config.Env}}{{println .}}{{end}}");
    assert!(env.lines().any(|line| line == "A=b c"), "{env}");
    let all: serde_json::Value = serde_json::from_str(&shim.ok(&["inspect", "c"])).unwrap();
    assert_eq!(all[0]["Id"], id.as_str());
    shim.run(&["inspect", "--format", "{{.Nope", "c"]).failed(&[]);
    shim.run(&["inspect", "nobody"]).failed(&["nobody"]);
}

fn export_writes_what_the_container_sees(shim: &Shim) {
    shim.has(&[Base::Busybox]);
    let script = "mkdir -m 711 /d; echo text > /d/f; chown 12:34 /d/f; chmod 4640 /d/f; \
                  ln /d/f /d/hard; ln -s f /d/soft; mkfifo /d/pipe; rm /etc/group; \
                  echo made; exec sleep 1000";
    shim.ok(&run_args(&["-d", "--name", "c"], &["sh", "-c", script]));
    until("it is done", || shim.ok(&["logs", "c"]) == "made");
    let listing = |name: &str| {
        let file = shim.path(name);
        let file = file.to_str().unwrap();
        shim.ok(&["export", "-o", file, "c"]);
        let listed = String::from_utf8(run("tar", &["--numeric-owner", "-tvf", file])).unwrap();
        assert_eq!(run("tar", &["-xOf", file, "d/f"]), b"text\n");
        listed
    };
    let lines = |listing: &str| -> BTreeSet<String> {
        // Size, day and hour aside.
        let part = |line: &str| {
            let mut words: Vec<&str> = line.split_whitespace().collect();
            words.drain(2..5);
            words.join(" ")
        };
        listing.lines().filter(|l| l.contains(" d/")).map(part).collect()
    };
    let wanted = BTreeSet::from([
        "drwx--x--x 0/0 d/".to_owned(),
        "-rwSr----- 12/34 d/f".to_owned(),
        "hrwSr----- 12/34 d/hard link to d/f".to_owned(),
        "lrwxrwxrwx 0/0 d/soft -> f".to_owned(),
        "prw-r--r-- 0/0 d/pipe".to_owned(),
    ]);
    let running = listing("running.tar");
    assert_eq!(lines(&running), wanted, "{running}");
    assert!(!running.contains("etc/group"), "{running}");
    shim.ok(&["kill", "c"]);
    until("it ends", || inspect(shim, "c", "{{.State.Status}}") == "exited");
    assert_eq!(lines(&listing("stopped.tar")), wanted);

    shim.ok(&["import", "stopped.tar", "again"]);
    let look = "cat /d/soft; stat -c '%u:%g %a %h' /d/f";
    let args = ["run", "--rm", "--network", "none", "again", "sh", "-c", look];
    assert_eq!(shim.ok(&args), "text\n12:34 4640 2");
}

fn two_hundred_megabytes_go_through_exec_and_back(shim: &Shim) {
    shim.has(&[Base::Busybox]);
    sleeper(shim, "c", &[]);
    let mut command = shim.command(&["exec", "-i", "c", "cat"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let mut stdout = child.stdout.take().unwrap();
    let feeder = std::thread::spawn(move || {
        let mut bytes = block(0);
        for n in 0..BLOCKS {
            bytes[..8].copy_from_slice(&n.to_le_bytes());
            stdin.write_all(&bytes).unwrap();
        }
    });
    let (mut wanted, mut seen) = (block(0), vec![0; BLOCK]);
    for n in 0..BLOCKS {
        stdout.read_exact(&mut seen).unwrap();
        wanted[..8].copy_from_slice(&n.to_le_bytes());
        assert!(seen == wanted, "block {n} differs");
    }
    assert_eq!(stdout.read(&mut seen).unwrap(), 0, "nothing more");
    feeder.join().unwrap();
    assert!(child.wait().unwrap().success());
}

fn processes_are_confined(shim: &Shim) {
    shim.has(&[Base::Busybox]);
    // Files that the caller holds open are not the container's.
    let opened = "exec 7</etc/passwd 9>/dev/null";
    let status = "cat /proc/$$/status; ls /proc/$$/fd; true";
    for (user, effective) in [("0", CAPABILITIES), ("65534", NO_CAPABILITIES)] {
        let args = run_args(&["--rm", "-u", user], &["sh", "-c", status]);
        let seen = after(shim, opened, &args).succeeded();
        assert_eq!(confinement(&seen), confined(effective), "run as {user}");
        assert!(seen.ends_with("\n0\n1\n2"), "{seen}");

        let name = format!("c{user}");
        sleeper(shim, &name, &["-u", user]);
        let seen = after(shim, opened, &["exec", &name, "sh", "-c", status]).succeeded();
        assert_eq!(confinement(&seen), confined(effective), "exec as {user}");
        assert!(seen.ends_with("\n0\n1\n2"), "{seen}");
        let first = shim.ok(&["exec", &name, "ls", "/proc/1/fd"]);
        assert_eq!(first, "0\n1\n2", "the first process as {user}");
    }
    let groups = sh(shim, &[], "id -G");
    assert_eq!(groups, "0", "none of the caller's groups");
    let script = "mount -t tmpfs x /mnt; unshare -U true; chroot / true && echo chroot; \
                  mknod /n c 1 3; dmesg; echo 1 > /proc/sys/kernel/panic; \
                  ls /sys/firmware /proc/acpi";
    let seen = shim.run(&run_args(&["--rm"], &["sh", "-c", &format!("mkdir /mnt; {script}")]));
    assert_eq!(seen.stdout.trim(), "chroot\n/proc/acpi:\n\n/sys/firmware:", "{}", seen.stderr);
}

fn setuid_programs_gain_what_they_should(shim: &Shim) {
    shim.has(&[Base::Busybox]);
    // With a configuration of its own busybox keeps what setuid gave it.
    image(shim, "suid", |tree| {
        let own = tree.join("bin/suid");
        std::fs::copy("/usr/bin/setpriv", &own).unwrap();
        std::fs::set_permissions(&own, PermissionsExt::from_mode(0o4755)).unwrap();
        let libraries = String::from_utf8(run("ldd", &["/usr/bin/setpriv"])).unwrap();
        for library in libraries.split_whitespace().filter(|word| word.starts_with('/')) {
            let to = tree.join(&library[1..]);
            std::fs::create_dir_all(to.parent().unwrap()).unwrap();
            std::fs::copy(library, to).unwrap();
        }
    });
    let args = ["run", "--rm", "--network", "none", "-u", "65534:65534", "suid"];
    let seen = shim.ok(&[&args[..], &["suid", "--dump"]].concat());
    assert!(seen.contains("uid: 65534\neuid: 0\n"), "{seen}");
    assert!(seen.contains("no_new_privs: 0"), "{seen}");
}

fn a_hostile_root_is_replaced_or_refused(shim: &Shim) {
    for directory in ["proc", "dev", "sys", "etc", "run"] {
        for kind in ["link", "file"] {
            let outside = shim.path(&format!("outside-{directory}"));
            let _ = std::fs::create_dir(&outside);
            let mark = shim.write(&format!("outside-{directory}/mark"), "untouched");
            let name = format!("hostile-{directory}-{kind}");
            image(shim, &name, |tree| match kind {
                "link" => symlink(&outside, tree.join(directory)).unwrap(),
                _ => std::fs::write(tree.join(directory), "a file").unwrap(),
            });
            let script = "ls /proc/self/status /dev/null && mount";
            let ran = shim.run(&["run", "--rm", &name, "sh", "-c", script]);
            match ran.code {
                0 => assert!(ran.stdout.contains("proc on /proc type proc"), "{name}: {ran:?}"),
                _ => assert!(ran.failed(&[]).contains(directory), "{name}"),
            }
            let entries = std::fs::read_dir(&outside).unwrap();
            let found: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
            assert_eq!(found, std::slice::from_ref(&mark), "{name}");
            assert_eq!(std::fs::read_to_string(mark).unwrap(), "untouched", "{name}");
            let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
            assert!(!mounts.contains(outside.to_str().unwrap()), "{name}: {mounts}");
            assert_eq!(shim.ok(&["ps", "-aq"]), "", "{name}");
        }
    }
}

fn block_devices_do_not_open(shim: &Shim) {
    let [major, minor] = disk();
    let node = |path: &Path| {
        run("mknod", &["-m", "666", path.to_str().unwrap(), "b", &major, &minor]);
    };
    image(shim, "devices", |tree| node(&tree.join("disk")));
    let dir = shim.path("dir");
    std::fs::create_dir(&dir).unwrap();
    node(&dir.join("disk"));
    let bind = format!("{}:/bind", dir.display());
    let script = format!(
        "for f in /disk /bind/disk; do head -c1 $f && echo OPENED $f; done; \
         mknod /made b {major} {minor} && head -c1 /made && echo OPENED; \
         mknod /dev/made b {major} {minor} && head -c1 /dev/made && echo OPENED; \
         mknod /dev/shm/made b {major} {minor} && head -c1 /dev/shm/made && echo OPENED; \
         head -c1 /dev/null /dev/zero >/dev/null && echo usual ones do"
    );
    let args = ["run", "--rm", "--network", "none", "-v", &bind, "devices", "sh", "-c", &script];
    let seen = shim.run(&args);
    assert_eq!(seen.stdout.trim(), "usual ones do", "{}", seen.stderr);
    let refused = ["/bind/disk: Permission denied", "/bind/disk: Operation not permitted"];
    assert!(refused.iter().any(|part| seen.stderr.contains(part)), "{}", seen.stderr);
    if !shim.rootless() {
        assert!(seen.stderr.contains("/disk: Permission denied"), "{}", seen.stderr);
    }
    std::fs::remove_file(dir.join("disk")).unwrap();
}

fn a_container_cannot_write_to_our_program(shim: &Shim) {
    shim.has(&[Base::Busybox]);
    // The kernel executes our own program as the interpreter of this script, and there
    // it waits for a password.
    image(shim, "trick", |tree| {
        for name in ["env", "readlink", "seq", "sleep", "tr"] {
            symlink("busybox", tree.join("bin").join(name)).unwrap();
        }
        std::fs::write(tree.join("trick"), "#!/proc/self/exe login\n").unwrap();
        std::fs::set_permissions(tree.join("trick"), PermissionsExt::from_mode(0o755)).unwrap();
    });
    let before = (digest_of(Path::new(kit::SHIM)), std::fs::metadata(kit::SHIM).unwrap().mtime());
    let wait = ["run", "-d", "--name", "c", "--network", "none", "trick", "sleep", "1000"];
    shim.ok(&wait);
    let trick = ["exec", "-i", "c", "/trick", "-u", "me", "--password-stdin"];
    let mut victim = shim.command(&trick);
    let mut victim = victim.stdin(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let stdin = victim.stdin.take().unwrap();
    let find = "for p in /proc/[0-9]*; do tr '\\0' ' ' < $p/cmdline 2>/dev/null; echo $p; done";
    let mut caught = None;
    until("our program runs inside", || {
        let seen = shim.ok(&["exec", "c", "sh", "-c", find]);
        let line = seen.lines().find(|line| line.contains("password-stdin /proc/"));
        caught = line.map(|line| line.rsplit_once(' ').unwrap().1.to_owned());
        caught.is_some()
    });
    let proc = caught.unwrap();
    let hold = format!(
        "exec 5<{proc}/exe || exit 0; echo held; echo broken > {proc}/exe && echo WRITTEN; \
         while [ -e {proc}/exe ] && [ -n \"$(cat {proc}/cmdline)\" ]; do sleep 0.1; done; \
         for i in $(seq 100); do echo broken > /proc/self/fd/5 && echo WRITTEN; done"
    );
    let attack = std::thread::scope(|scope| {
        let attack = scope.spawn(|| shim.run(&["exec", "c", "sh", "-c", &hold]));
        std::thread::sleep(std::time::Duration::from_millis(500));
        drop(stdin);
        victim.wait().unwrap();
        attack.join().unwrap()
    });
    assert!(!attack.stdout.contains("WRITTEN"), "{}", attack.stderr);
    let now = (digest_of(Path::new(kit::SHIM)), std::fs::metadata(kit::SHIM).unwrap().mtime());
    assert_eq!(now, before, "the program is whole");
    shim.ok(&["version"]);
}

fn restart_policies_are_followed(shim: &Shim) {
    shim.has(&[Base::Busybox]);
    let flags = ["-d", "--name", "failing", "--restart", "on-failure:2"];
    shim.ok(&run_args(&flags, &["sh", "-c", "echo try; exit 4"]));
    until("it gives up", || inspect(shim, "failing", "{{.State.Status}}") == "exited");
    assert_eq!(inspect(shim, "failing", "{{.RestartCount}} {{.State.ExitCode}}"), "2 4");
    assert_eq!(shim.ok(&["logs", "failing"]), "try\ntry\ntry");

    shim.ok(&run_args(&["-d", "--name", "fine", "--restart", "on-failure"], &["true"]));
    until("it ends", || inspect(shim, "fine", "{{.State.Status}}") == "exited");
    assert_eq!(inspect(shim, "fine", "{{.RestartCount}}"), "0");

    sleeper(shim, "always", &["--restart", "always"]);
    let first = pid(shim, "always");
    // Ended with the container, or just before it: its own exit code says nothing.
    let _ = shim.run(&["exec", "always", "sh", "-c", "kill -TERM 1"]);
    until("it comes back", || ![0, first].contains(&pid(shim, "always")));
    assert_eq!(inspect(shim, "always", "{{.State.Status}} {{.RestartCount}}"), "running 1");
    shim.ok(&["stop", "always"]);
    assert_eq!(inspect(shim, "always", "{{.State.Status}}"), "exited", "a stop is the end");
    shim.run(&run_args(&["--rm", "--restart", "always"], &["true"])).failed(&["--rm", "--restart"]);
}

fn health_is_checked(shim: &Shim) {
    shim.has(&[Base::Busybox]);
    let check = "HEALTHCHECK --interval=1s --timeout=5s --retries=2 CMD test -e /ok && echo good";
    shim.write("ctx/Dockerfile", format!("FROM busybox\n{check}\nCMD sleep 1000\n"));
    shim.ok(&["build", "-q", "-t", "checked", "ctx"]);
    shim.ok(&["run", "-d", "--name", "c", "--network", "none", "checked"]);
    let status = || inspect(shim, "c", "{{.State.Health.Status}}");
    until("it is unhealthy", || status() == "unhealthy");
    let up = shim.ok(&["ps", "--format", "{{.Status}}"]);
    assert!(up.ends_with("(unhealthy)"), "{up}");
    shim.ok(&["exec", "c", "touch", "/ok"]);
    until("it is healthy", || status() == "healthy");
    let output = inspect(shim, "c", "{{range .State.Health.Log}}{{.ExitCode}} {{.Output}}{{end}}");
    assert!(output.contains("0 good"), "{output}");
}

fn a_container_ends_with_its_supervisor(shim: &Shim) {
    shim.has(&[Base::Busybox]);
    sleeper(shim, "c", &[]);
    let first = pid(shim, "c");
    let stat = std::fs::read_to_string(format!("/proc/{first}/stat")).unwrap();
    let parent = stat.rsplit_once(") ").unwrap().1.split(' ').nth(1).unwrap().to_owned();
    let name = std::fs::read_to_string(format!("/proc/{parent}/cmdline")).unwrap();
    assert!(name.contains("__"), "pid {parent} is not ours: {name}");
    run("kill", &["-KILL", &parent]);
    let status = format!("/proc/{parent}/status");
    until("the kernel has ended it", || {
        std::fs::read_to_string(&status).map_or(true, |status| status.contains("State:\tZ"))
    });
    assert_eq!(shim.ok(&["ps", "-q"]), "", "at once");
    assert_eq!(inspect(shim, "c", "{{.State.Status}} {{.State.ExitCode}}"), "exited 137");
    until("its process is gone", || !Path::new(&format!("/proc/{first}")).exists());
    shim.ok(&["start", "c"]);
    assert_eq!(shim.ok(&["exec", "c", "echo", "again"]), "again");
    shim.ok(&["rm", "-f", "c"]);
    shim.leaves_no_trace(&BTreeSet::new());
}

fn a_hundred_containers_leave_nothing(shim: &Shim) {
    shim.has(&[Base::Busybox]);
    sleeper(shim, "holder", &[]);
    let namespaces = shim.namespaces();
    std::thread::scope(|scope| {
        for worker in 0..4 {
            scope.spawn(move || {
                for i in 0..25 {
                    let word = format!("{worker}-{i}");
                    let network = if i % 5 == 0 { "bridge" } else { "none" };
                    let flags = ["run", "--rm", "-v", "/anonymous", "--network", network];
                    let args = [&flags[..], &["busybox", "echo", &word]].concat();
                    assert_eq!(shim.ok(&args), word);
                }
            });
        }
    });
    assert_eq!(shim.ok(&["ps", "-aq"]).lines().count(), 1);
    shim.ok(&["rm", "-f", "holder"]);
    shim.leaves_no_trace(&namespaces);
    for directory in ["containers", "names", "volumes"] {
        let left = shim.stored(directory);
        assert!(left.iter().all(|name| name.ends_with(".lock")), "{directory}: {left:?}");
    }
}

}
