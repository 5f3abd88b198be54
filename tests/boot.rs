//! Restart policies when there is nobody left to follow them: supervisors killed, machines
//! started anew; and how a machine is told to see to it.

#![expect(
    clippy::unwrap_used,
    reason = "a test that panics has failed, which is meant"
)]

mod kit;

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use kit::bases::Base;
use kit::web::{PATIENCE, wait_until};
use kit::{Outcome, Shim, run};

fn until(what: &str, holds: impl FnMut() -> bool) {
    assert!(wait_until(PATIENCE, holds), "in vain: {what}");
}

/// A container that waits for its end, of which nobody asks twice.
fn sleeper(shim: &Shim, name: &str, flags: &[&str]) -> String {
    let first = [
        "run",
        "-d",
        "--network",
        "none",
        "--stop-signal",
        "KILL",
        "--name",
        name,
    ];
    shim.ok(&[&first, flags, &["busybox", "sleep", "10000"]].concat())
}

fn run_dir(shim: &Shim, id: &str) -> PathBuf {
    shim.run_dir().join("c").join(&id[..16])
}

fn state(shim: &Shim, id: &str) -> serde_json::Value {
    let text = std::fs::read(run_dir(shim, id).join("state.json")).unwrap();
    serde_json::from_slice(&text).unwrap()
}

fn supervisor(shim: &Shim, id: &str) -> String {
    state(shim, id)["supervisor"]["pid"].to_string()
}

/// SIGKILL, and that it has come about.
fn kill(pid: &str) {
    run("kill", &["-KILL", pid]);
    until("the kernel has ended it", || {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status"));
        status.map_or(true, |status| status.contains("State:\tZ"))
    });
}

/// `name status` of all containers, sorted; the status' first word.
fn all(shim: &Shim) -> Vec<String> {
    let text = shim.ok(&["ps", "-a", "--format", "{{.Names}} {{.State}}"]);
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    lines.sort();
    lines
}

/// What a reboot leaves of this store: no process, no runtime directory, and a boot
/// identifier that is another one's.
fn reboot(shim: &Shim, ids: &[&str], keep_runtime: bool) {
    let another = |path: &Path| {
        if let Ok(text) = std::fs::read(path) {
            let mut state: serde_json::Value = serde_json::from_slice(&text).unwrap();
            state["boot_id"] = "00000000-0000-4000-8000-000000000000".into();
            std::fs::write(path, serde_json::to_vec(&state).unwrap()).unwrap();
        }
    };
    for id in ids {
        if run_dir(shim, id).join("state.json").exists() {
            kill(&supervisor(shim, id));
        }
    }
    until("the containers are gone with them", || {
        shim.processes().is_empty()
    });
    for id in ids {
        another(&run_dir(shim, id).join("state.json"));
        another(&shim.root().join("containers").join(id).join("running.json"));
    }
    if !keep_runtime {
        std::fs::remove_dir_all(shim.run_dir()).unwrap();
    }
}

as_root_and_user! {
    fn the_next_command_follows_the_policy_of_a_killed_supervisor(shim: &Shim) {
        shim.has(&[Base::Busybox]);
        let plain = sleeper(shim, "plain", &[]);
        let always = sleeper(shim, "always", &["--restart", "always"]);
        let failing = sleeper(shim, "failing", &["--restart", "on-failure:3"]);
        let gone = sleeper(shim, "gone", &["--rm"]);
        for id in [&plain, &always, &failing, &gone] {
            kill(&supervisor(shim, id));
        }
        let first = shim.run(&["ps", "-a", "--format", "{{.Names}} {{.State}}"]);
        assert!(first.stderr.contains("always had ended"), "{}", first.stderr);
        assert!(first.stderr.contains("plain has ended"), "{}", first.stderr);
        let mut seen: Vec<_> = first.stdout.lines().collect();
        seen.sort();
        let want = ["always running", "failing running", "plain exited"];
        assert_eq!(seen, want, "right at the first call");
        let again = shim.run(&["ps", "-q"]);
        assert_eq!(again.stderr, "", "told once");
        assert_eq!(shim.ok(&["inspect", "--format", "{{.State.ExitCode}}", "plain"]), "137");
        // A user who wants it to end is heard, whoever ended it.
        kill(&supervisor(shim, &always));
        shim.ok(&["stop", "always"]);
        assert_eq!(all(shim), ["always exited", "failing running", "plain exited"]);
    }

    fn a_boot_brings_back_what_was_promised(shim: &Shim) {
        shim.has(&[Base::Busybox]);
        let policies = [
            ("always", "always"), ("always-stopped", "always"), ("on-failure", "on-failure"),
            ("plain", "no"), ("unless", "unless-stopped"), ("unless-stopped", "unless-stopped"),
        ];
        let start = |(name, policy): &(&str, &str)| sleeper(shim, name, &["--restart", policy]);
        for keep_runtime in [false, true] {
            let ids: Vec<String> = policies.iter().map(start).collect();
            let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
            shim.ok(&["create", "--network", "none", "--name", "fresh", "--restart", "always", "busybox"]);
            shim.ok(&["stop", "always-stopped", "unless-stopped"]);
            reboot(shim, &ids, keep_runtime);
            // Whoever has one of the numbers now is none of ours.
            let bystander = Bystander::start();
            if keep_runtime {
                bystander.takes_the_place_of(&run_dir(shim, ids[0]).join("state.json"));
            }
            let started = shim.ok(&["boot", "run"]);
            let mut started: Vec<&str> = started.lines().collect();
            started.sort();
            let want = ["always", "always-stopped", "on-failure", "unless"];
            assert_eq!(started, want);
            let want = [
                "always running", "always-stopped running", "fresh created", "on-failure running",
                "plain exited", "unless running", "unless-stopped exited",
            ];
            assert_eq!(all(shim), want);
            let plain = ["inspect", "--format", "{{.State.ExitCode}} {{.State.Error}}", "plain"];
            assert_eq!(shim.ok(&plain), "255 the machine went down");
            bystander.lives();
            assert_eq!(shim.ok(&["boot", "run"]), "", "all that was due is done");
            let names: Vec<&str> = policies.iter().map(|(name, _)| *name).collect();
            shim.ok(&[&["rm", "-f", "fresh"], names.as_slice()].concat());
        }
    }

    fn a_machine_that_goes_down_stops_containers_and_keeps_promises(shim: &Shim) {
        shim.has(&[Base::Busybox]);
        sleeper(shim, "unless", &["--restart", "unless-stopped"]);
        sleeper(shim, "plain", &[]);
        shim.ok(&["boot", "stop"]);
        assert_eq!(all(shim), ["plain exited", "unless exited"]);
        assert_eq!(shim.ok(&["boot", "run"]), "unless");
        assert_eq!(all(shim), ["plain exited", "unless running"]);
    }

    fn systemd_accepts_the_unit(shim: &Shim) {
        let flags: &[&str] = match shim.rootless() {
            true => &["--systemd"],
            false => &["--unit-dir", "units"],
        };
        let install = |flags: &[&str]| shim.ok(&[&["boot", "install"], flags].concat());
        let unit = PathBuf::from(install(flags));
        assert!(unit.starts_with(shim.path("")), "{}", unit.display());
        let text = std::fs::read_to_string(&unit).unwrap();
        let manager = if shim.rootless() { "--user" } else { "--system" };
        let mut verify = std::process::Command::new("systemd-analyze");
        verify.args([manager, "verify", unit.to_str().unwrap()]);
        verify.env("XDG_RUNTIME_DIR", shim.path("")).env("SYSTEMD_LOG_LEVEL", "warning");
        let outcome = Outcome::of(&mut verify, "systemd-analyze verify", b"");
        assert!(!outcome.stderr.contains("shim"), "{}", outcome.stderr);
        outcome.succeeded();

        let name = unit.file_name().unwrap();
        let target = if shim.rootless() { "default" } else { "multi-user" };
        let link = unit.with_file_name(format!("{target}.target.wants")).join(name);
        assert_eq!(std::fs::read_link(&link).unwrap(), unit);
        install(flags);
        assert_eq!(std::fs::read_to_string(&unit).unwrap(), text, "twice is once");
        let printed = shim.ok(&[&["boot", "install", "--print"], flags].concat());
        assert_eq!(printed, text.trim_end());

        // What the unit executes works, quoted as systemd wants it.
        shim.has(&[Base::Busybox]);
        let id = sleeper(shim, "c", &["--restart", "always"]);
        reboot(shim, &[&id], false);
        let line = text.lines().find_map(|l| l.strip_prefix("ExecStart=-")).unwrap();
        let words: Vec<&str> = line.split(' ').map(|word| word.trim_matches('"')).collect();
        assert_eq!(words[0], std::fs::canonicalize(kit::SHIM).unwrap().to_str().unwrap());
        assert_eq!(shim.ok(&words[1..]), "c");

        shim.ok(&[&["boot", "remove"], flags].concat());
        assert!(!unit.exists() && std::fs::symlink_metadata(&link).is_err());
        shim.ok(&[&["boot", "remove"], flags].concat());
    }
}

/// Busybox' crontab program, with a directory of its own for the tables. It insists on
/// being root's.
#[test]
fn a_crontab_gets_one_line_and_keeps_the_others() {
    let shim = Shim::as_root();
    let tables = shim.path("tables");
    std::fs::create_dir(&tables).unwrap();
    let text = format!(
        "#!/bin/sh\nexec busybox crontab -c '{}' \"$@\"\n",
        tables.display()
    );
    let program = shim.write("bin/crontab", text);
    std::fs::set_permissions(&program, PermissionsExt::from_mode(0o755)).unwrap();
    let boot = |verb: &str| {
        let mut command = shim.command(&["boot", verb, "--cron"]);
        let path = format!("{}:/usr/bin:/bin", shim.path("bin").display());
        Outcome::of(command.env("PATH", path), verb, b"").succeeded()
    };
    let table = || std::fs::read_to_string(tables.join("root")).unwrap_or_default();
    let line = boot("install");
    assert_eq!(table(), format!("{line}\n"));
    let others = "# mine\n0 3 * * * /bin/true\n";
    std::fs::write(
        tables.join("root"),
        format!("{others}{line}\n@reboot /bin/false\n"),
    )
    .unwrap();
    boot("install");
    assert_eq!(table(), format!("{others}@reboot /bin/false\n{line}\n"));
    boot("install");
    assert_eq!(table().matches("@reboot").count(), 2, "twice is once");

    // As cron executes it.
    shim.has(&[Base::Busybox]);
    let id = sleeper(&shim, "c", &["--restart", "unless-stopped"]);
    reboot(&shim, &[&id], false);
    let command = line.strip_prefix("@reboot ").unwrap();
    assert_eq!(
        String::from_utf8(run("sh", &["-c", command])).unwrap(),
        "c\n"
    );
    assert_eq!(all(&shim), ["c running"]);

    boot("remove");
    assert_eq!(table(), format!("{others}@reboot /bin/false\n"));
    boot("remove");
}

/// A process that a stale record happens to name.
struct Bystander(std::process::Child);

impl Bystander {
    fn start() -> Self {
        Self(
            std::process::Command::new("sleep")
                .arg("1000")
                .spawn()
                .unwrap(),
        )
    }

    /// The record says that this is the container's first process, of another boot.
    fn takes_the_place_of(&self, state: &Path) {
        let mut value: serde_json::Value =
            serde_json::from_slice(&std::fs::read(state).unwrap()).unwrap();
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.0.id())).unwrap();
        let fields: Vec<&str> = stat.rsplit_once(") ").unwrap().1.split(' ').collect();
        value["init"]["pid"] = self.0.id().into();
        value["init"]["start_time"] = fields[19].parse::<u64>().unwrap().into();
        std::fs::write(state, serde_json::to_vec(&value).unwrap()).unwrap();
    }

    fn lives(mut self) {
        assert!(
            self.0.try_wait().unwrap().is_none(),
            "a stranger was killed"
        );
    }
}

impl Drop for Bystander {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// `ps` is right at the first call, every time.
#[test]
#[ignore = "it takes minutes"]
fn a_thousand_killed_supervisors() {
    let shim = Shim::as_root();
    shim.has(&[Base::Busybox]);
    let mut id = sleeper(&shim, "c", &[]);
    for round in 0..1000 {
        let pid = supervisor(&shim, &id);
        let first = state(&shim, &id)["init"]["pid"].to_string();
        run("kill", &["-KILL", &pid]);
        until("the kernel has ended it", || {
            let status = std::fs::read_to_string(format!("/proc/{pid}/status"));
            status.map_or(true, |status| status.contains("State:\tZ"))
        });
        assert_eq!(shim.ok(&["ps", "-q"]), "", "round {round}");
        let stat = std::fs::read_to_string(format!("/proc/{first}/stat")).unwrap_or_default();
        assert!(
            stat.is_empty() || stat.contains(") Z "),
            "round {round}: {stat}"
        );
        shim.ok(&["rm", "c"]);
        id = sleeper(&shim, "c", &[]);
    }
}
