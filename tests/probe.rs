//! What a process in a container sees and may do, in full: a program inside prints it, and
//! `tests/probe/golden.txt` says what it should be, for `run` and `exec`, as root and as a
//! plain user.
//!
//! A line of that file holds for all four, unless words in brackets before it say for which:
//! `[exec user] umask: 022`. So what is the same everywhere stands there once, and what is
//! not stands out. With `SHIM_PROBE_DIR` set, what was found is written there, too.

#![expect(
    clippy::unwrap_used,
    reason = "a test that panics has failed, which is meant"
)]

mod kit;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use kit::bases::{Base, source};
use kit::terminal::Terminal;
use kit::web::{PATIENCE, wait_until};
use kit::{Outcome, Shim, run};

/// The probe, compiled once.
fn probe() -> &'static Path {
    static PROBE: OnceLock<(tempfile::TempDir, PathBuf)> = OnceLock::new();
    let (_, path) = PROBE.get_or_init(|| {
        let directory = tempfile::Builder::new()
            .prefix("shim-probe-")
            .tempdir()
            .unwrap();
        let path = directory.path().join("probe");
        let code = source("tests/probe/probe.c");
        let flags = ["-static", "-O1", "-Wall", "-o", path.to_str().unwrap()];
        run("gcc", &[&flags[..], &[code.to_str().unwrap()]].concat());
        (directory, path)
    });
    path
}

/// An image with the probe and a handful of accounts in it, and nothing else.
fn load(shim: &Shim) {
    shim.write("image/probe", std::fs::read(probe()).unwrap());
    let accounts = "root:x:0:0:root:/root:/bin/sh\napp:x:1000:1001::/home/app:/bin/sh\n";
    shim.write("image/etc/passwd", accounts);
    shim.write(
        "image/etc/group",
        "root:x:0:\nwheel:x:10:root\napp:x:1001:\ndata:x:33:app\n",
    );
    let image = shim.path("image").display().to_string();
    std::fs::create_dir(shim.path("image/tmp")).unwrap();
    run("chmod", &["0755", &format!("{image}/probe")]);
    run("chmod", &["1777", &format!("{image}/tmp")]);
    let tar = shim.path("image.tar").display().to_string();
    let owners = ["--owner=0", "--group=0", "--numeric-owner"];
    run(
        "tar",
        &[&["-C", &image, "-cf", &tar], &owners[..], &["."]].concat(),
    );
    let path = "ENV PATH=/";
    shim.ok(&["import", "-c", path, &tar, "probe:latest"]);
}

/// What the host has, as the caller sees it: the words that the probe compares with.
fn reference(shim: &Shim) -> Vec<String> {
    let place = shim.write("reference", std::fs::read(probe()).unwrap());
    run("chmod", &["0755", place.to_str().unwrap()]);
    let words = shim.outside(&place, &["reference"]).succeeded();
    words.lines().map(str::to_owned).collect()
}

/// The probe's lines from `shim ARGS… REFERENCE…`.
fn ask(shim: &Shim, args: &[&str]) -> Vec<String> {
    let words = reference(shim);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let text = shim.ok(&[args, &words].concat());
    text.lines()
        .map(|line| line.trim_end().to_owned())
        .collect()
}

/// The lines of the golden file that hold for all of these words.
fn golden(words: &[&str]) -> Vec<String> {
    let text = std::fs::read_to_string(source("tests/probe/golden.txt")).unwrap();
    let lines = text
        .lines()
        .filter(|line| !line.starts_with('#') && !line.is_empty());
    let meant = |line: &str| match line
        .strip_prefix('[')
        .and_then(|line| line.split_once("] "))
    {
        None => Some(line.to_owned()),
        Some((tags, rest)) => {
            let fits = tags.split(' ').all(|tag| words.contains(&tag));
            fits.then(|| rest.to_owned())
        }
    };
    lines.filter_map(meant).collect()
}

fn record(found: &[String], words: &[&str]) {
    if let Some(directory) = std::env::var_os("SHIM_PROBE_DIR") {
        let name = format!("{}.txt", words.join("-"));
        std::fs::write(Path::new(&directory).join(name), found.join("\n") + "\n").unwrap();
    }
}

#[track_caller]
fn compare(found: &[String], words: &[&str]) {
    let golden = golden(words);
    let (is, should): (BTreeSet<_>, BTreeSet<_>) =
        (found.iter().collect(), golden.iter().collect());
    let wrong: Vec<_> = is.difference(&should).collect();
    let missing: Vec<_> = should.difference(&is).collect();
    assert!(
        wrong.is_empty() && missing.is_empty(),
        "{words:?}\nfound: {wrong:#?}\nshould be: {missing:#?}"
    );
}

fn user_word(shim: &Shim) -> &'static str {
    if shim.rootless() { "user" } else { "root" }
}

as_root_and_user! {
    fn run_and_exec_show_the_golden_file(shim: &Shim) {
        load(shim);
        let who = user_word(shim);
        let flags = ["--network", "none"];
        let ran = ask(shim, &[&["run", "--rm"], &flags[..], &["probe", "/probe"]].concat());
        shim.ok(&[&["run", "-d", "--name", "p"], &flags[..], &["probe", "/probe", "wait"]].concat());
        let executed = ask(shim, &["exec", "p", "/probe"]);
        record(&ran, &["run", who]);
        record(&executed, &["exec", who]);
        compare(&ran, &["run", who]);
        compare(&executed, &["exec", who]);
    }

    fn another_user_has_no_capability(shim: &Shim) {
        load(shim);
        let none = ["--network", "none"];
        let seen = |args: &[&str]| {
            let lines = ask(shim, args);
            let kept = |line: &&String| line.starts_with("user:") || line.starts_with("status Cap");
            lines.iter().filter(kept).cloned().collect::<Vec<_>>().join("\n")
        };
        let sets = "status CapInh: 0000000000000000\nstatus CapPrm: 0000000000000000\n\
                    status CapEff: 0000000000000000\nstatus CapBnd: 00000000800405fb\n\
                    status CapAmb: 0000000000000000";
        shim.ok(&[&["run", "-d", "--name", "p"], &none[..], &["probe", "/probe", "wait"]].concat());
        for (user, is) in [
            ("app", "1000:1001 groups 33 1001"),
            ("1000:33", "1000:33 groups 33"),
            ("4242", "4242:0 groups 0"),
            ("app:wheel", "1000:10 groups 10"),
        ] {
            let flags = ["run", "--rm", "-u", user];
            let ran = seen(&[&flags[..], &none, &["probe", "/probe"]].concat());
            assert_eq!(ran, format!("user: {is}\n{sets}"), "run -u {user}");
            let executed = seen(&["exec", "-u", user, "p", "/probe"]);
            assert_eq!(executed, ran, "exec -u {user}");
        }
        for (user, told) in [
            ("nobody", "unable to find user nobody"),
            ("app:none", "unable to find group none"),
            // To the kernel this one means "as before": root.
            ("4294967295", "in range 0-2147483647"),
            ("-1", "in range 0-2147483647"),
            ("app:4294967295", "in range 0-2147483647"),
            ("99999999999", "in range 0-2147483647"),
        ] {
            let run = [&["run", "--rm", &format!("-u={user}")], &none[..], &["probe", "/probe", "wait"]];
            shim.run(&run.concat()).failed(&[told]);
            let exec = ["exec", &format!("-u={user}"), "p", "/probe", "wait"];
            shim.run(&exec).failed(&[told]);
        }
    }

    fn a_profile_of_the_users_decides(shim: &Shim) {
        shim.has(&[Base::Busybox]);
        load(shim);
        let profile = r#"{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
            {"names": ["chmod", "fchmodat", "fchmodat2"], "action": "SCMP_ACT_ERRNO", "errnoRet": 113},
            {"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_KILL_PROCESS"},
            {"names": ["sync"], "action": "SCMP_ACT_ERRNO", "excludes": {"caps": ["CAP_SYS_ADMIN"]}}
        ]}"#;
        shim.write("profile.json", profile);
        let flags = ["--network", "none", "--security-opt", "seccomp=profile.json"];
        let script = "chmod 600 /etc/passwd; mkdir /made; echo $?";
        let ran = shim.run(&[&["run", "--rm"], &flags[..], &["busybox", "sh", "-c", script]].concat());
        assert!(ran.stderr.contains("No route to host"), "{}", ran.stderr);
        assert_eq!(ran.stdout, "159\n", "128 + SIGSYS");
        shim.ok(&[&["run", "-d", "--name", "c"], &flags[..], &["busybox", "sleep", "1000"]].concat());
        let executed = shim.run(&["exec", "c", "sh", "-c", script]);
        assert_eq!((executed.stdout, executed.stderr), (ran.stdout, ran.stderr));

        let found = ask(shim, &[&["run", "--rm"], &flags[..], &["probe", "/probe"]].concat());
        for line in ["session keyring: own", "call ioctl TIOCSTI: EBADF", "call int 0x80: refused"] {
            assert!(found.iter().any(|found| found == line), "{line}: {found:#?}");
        }

        shim.write("bad.json", profile.replace("chmod", "chomd"));
        shim.write("worse.json", profile.replace("excludes", "exclude"));
        let all = shim.ok(&["ps", "-aq"]);
        for (option, told) in [
            ("seccomp=bad.json", &["bad.json:", "`chomd`"][..]),
            ("seccomp=worse.json", &["worse.json:4:", "`exclude`"]),
            ("seccomp=absent.json", &["absent.json", "No such file"]),
            ("seccomp=/dev/zero", &["/dev/zero"]),
        ] {
            let run = ["run", "--rm", "--security-opt", option, "busybox", "true"];
            shim.run(&run).failed(told);
        }
        assert_eq!(shim.ok(&["ps", "-aq"]), all, "nothing half made");
    }

    fn what_is_asked_for_is_lifted_and_no_more(shim: &Shim) {
        load(shim);
        let seen = |flags: &[&str]| {
            let run = ["run", "--rm", "--network", "none"];
            ask(shim, &[&run[..], flags, &["probe", "/probe"]].concat())
        };
        let differs = |flags: &[&str]| {
            let (usual, now) = (golden(&["run", user_word(shim)]), seen(flags));
            let new = now.into_iter().filter(|line| !usual.contains(line));
            new.collect::<Vec<_>>()
        };
        let lines = |lines: &[&str]| lines.iter().map(|line| (*line).to_owned()).collect::<Vec<_>>();
        let none = "0000000000000000";
        assert_eq!(
            differs(&["--cap-drop", "ALL", "--security-opt", "no-new-privileges"]),
            lines(&[
                &format!("status CapPrm: {none}"),
                &format!("status CapEff: {none}"),
                &format!("status CapBnd: {none}"),
                "status NoNewPrivs: 1",
                "call chroot: EPERM",
                "call setresuid 1000: EPERM",
            ])
        );
        let time = differs(&["--cap-add", "SYS_TIME"]);
        let calls = time.into_iter().filter(|line| line.starts_with("call"));
        let lifted = ["call settimeofday: EFAULT", "call clock_settime: EFAULT"];
        assert_eq!(calls.collect::<Vec<_>>(), lifted);
        let admin = differs(&["--cap-add", "SYS_ADMIN"]);
        for line in ["call unshare CLONE_NEWNS: ok", "call fspick: EFAULT", "call setns: EBADF"] {
            assert!(admin.iter().any(|found| found == line), "{line}: {admin:#?}");
        }
        let keys: Vec<_> = admin.iter().filter(|line| line.contains("key")).collect();
        assert_eq!(keys, Vec::<&String>::new(), "keyrings know no namespaces");
        let unconfined = differs(&["--security-opt", "seccomp=unconfined"]);
        for line in ["status Seccomp: 0", "session keyring: own", "call ioctl TIOCSTI: EBADF"] {
            assert!(unconfined.iter().any(|found| found == line), "{line}: {unconfined:#?}");
        }
        assert!(!unconfined.iter().any(|line| line.contains("Cap")), "{unconfined:#?}");
    }

    fn what_is_shown_on_a_terminal_cannot_speak_to_it(shim: &Shim) {
        shim.has(&[Base::Busybox]);
        let hostile = "\x1b]0;owned\x07\u{9b}2J\u{202e}";
        let harmless = "\\x1b]0;owned\\x07\\u{9b}2J\\u{202e}";
        let label = format!("say={hostile}");
        shim.ok(&["create", "--name", "c", "-l", &label, "--network", "none", "busybox", "true"]);
        let format = "{{.Config.Labels.say}}";
        let args = ["inspect", "--format", format, "c"];
        assert_eq!(shim.ok(&args), hostile, "a pipe gets every byte");
        Terminal::run(&shim.command(&args)).expect(harmless);
        let wrong = ["inspect", &format!("no{hostile}")];
        let told = shim.run(&wrong).failed(&["no such"]);
        assert!(told.contains(hostile), "{told}");
        Terminal::run(&shim.command(&wrong)).expect(harmless);
        let ps = ["ps", "-a", "--format", "table \x1b[32m{{.Names}}\x1b[0m {{.Labels}}"];
        Terminal::run(&shim.command(&ps)).expect(harmless);
    }

    fn our_program_is_read_only_wherever_it_runs_inside(shim: &Shim) {
        shim.has(&[Base::Busybox]);
        // The kernel executes whoever executes this as the script's interpreter; there it
        // waits for somebody to write to the fifo.
        shim.write("ctx/trick", "#!/proc/self/exe up\n");
        let made = "FROM busybox\nENV COMPOSE_FILE=/fifo SHIM_ROOT=/tmp/s HOME=/tmp\n\
                    COPY --chmod=755 trick /trick\nRUN mkfifo /fifo\n";
        shim.write("ctx/Dockerfile", made);
        shim.ok(&["build", "-q", "-t", "trick", "ctx"]);
        let flags = ["run", "-d", "--network", "none"];
        shim.ok(&[&flags[..], &["--name", "c", "trick", "/trick", &mark(shim, "run")]].concat());
        attack(shim, "run");

        shim.ok(&["exec", "-d", "c", "/trick", &mark(shim, "exec")]);
        attack(shim, "exec");

        shim.ok(&[&flags[..], &["--init", "--name", "i", "busybox", "sleep", "1000"]].concat());
        let pid = shim.ok(&["inspect", "--format", "{{.State.Pid}}", "i"]);
        assert_read_only(&pid, "init", "echo found; echo broken >/proc/1/exe");

        let check = format!("HEALTHCHECK --interval=1s CMD [\"/trick\", \"{}\"]", mark(shim, "health"));
        shim.write("checked/Dockerfile", format!("FROM trick\n{check}\nCMD sleep 1000\n"));
        shim.ok(&["build", "-q", "-t", "checked", "checked"]);
        shim.ok(&[&flags[..], &["checked"]].concat());
        attack(shim, "health");

        let step = format!("FROM trick\nRUN [\"/trick\", \"{}\"]\n", mark(shim, "step"));
        shim.write("step/Dockerfile", step);
        let mut build = shim.command(&["build", "-q", "step"]);
        let mut build = build.stdin(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        attack(shim, "step");
        build.kill().unwrap();
        build.wait().unwrap();
    }
}

/// A word that only one process of all tests has among its arguments.
fn mark(shim: &Shim, way: &str) -> String {
    let directory = shim.root();
    let own = directory.parent().unwrap().file_name().unwrap();
    format!("mark-{}-{way}", own.to_str().unwrap())
}

/// Writes to our program where it runs in a container as the interpreter of a script, as
/// the container's root could.
fn attack(shim: &Shim, way: &str) {
    let mark = mark(shim, way);
    let victim = || {
        let entries = std::fs::read_dir("/proc").unwrap().flatten();
        let mut pids = entries.filter_map(|entry| entry.file_name().into_string().ok());
        pids.find(|pid| {
            let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            let line = String::from_utf8_lossy(&line).into_owned();
            line.starts_with("/proc/self/exe\0up\0") && line.contains(&mark)
        })
    };
    assert!(
        wait_until(PATIENCE, || victim().is_some()),
        "nothing runs as {mark}"
    );
    let script = format!(
        "for p in /proc/[0-9]*; do case $(tr '\\0' ' ' <$p/cmdline) in \
         '/proc/self/exe up'*{mark}*) echo found; echo broken >$p/exe;; esac; done"
    );
    assert_read_only(&victim().unwrap(), way, &script);
}

/// The script, run among the processes of a container, finds our program there and cannot
/// write to it.
fn assert_read_only(pid: &str, way: &str, script: &str) {
    let inside = ["-a", "-t", pid, "/bin/sh", "-c", script];
    let outcome = Outcome::of(Command::new("nsenter").args(inside), "nsenter", b"");
    assert!(
        outcome.stdout.starts_with("found\n"),
        "{way}: {}",
        outcome.stderr
    );
    let refused = ["Read-only file system", "Operation not permitted"];
    assert!(
        refused.iter().any(|why| outcome.stderr.contains(why)),
        "{way}: {}",
        outcome.stderr
    );
}
