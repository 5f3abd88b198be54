//! A small language for containers under test: a busybox root, a plan, and what came out.
//!
//! A start needs a fresh process with one thread, so everything runs through the example
//! `launch`. Everything here needs root; it is an error, not a skip, to lack it.

use std::collections::BTreeMap;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use model::container::{
    DEFAULT_CAPABILITIES, DnsPlan, Isolation, Limits, LogPlan, MountKind, MountOptions, MountPlan,
    NetworkMode, PlanPaths, ProcessPlan, RestartPolicy, RootfsPlan, Seccomp, StopPlan,
};
use model::{ContainerId, ContainerPlan};

/// Who starts containers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum By {
    Root,
    /// With ranges of subordinate ids.
    User,
    /// Without.
    PlainUser,
}

impl By {
    fn name(self) -> Option<&'static str> {
        match self {
            Self::Root => None,
            Self::User => Some("shimtest"),
            Self::PlainUser => Some("shimplain"),
        }
    }
}

/// A container that has not been started yet.
pub(crate) struct Box_ {
    pub(crate) directory: tempfile::TempDir,
    pub(crate) plan: ContainerPlan,
    by: By,
}

/// What came out.
#[must_use]
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Outcome {
    /// The text after `key:` of a file like `/proc/self/status`.
    pub(crate) fn field(&self, key: &str) -> &str {
        let prefix = format!("{key}:");
        let line = self
            .stdout
            .lines()
            .find_map(|line| line.strip_prefix(&prefix));
        line.unwrap_or_else(|| panic!("no {key} in {self:?}"))
            .trim()
    }

    #[track_caller]
    pub(crate) fn succeeded(self) -> Self {
        assert_eq!(self.code, 0, "{self:?}");
        self
    }

    #[track_caller]
    pub(crate) fn failed_with(self, code: i32, words: &str) -> Self {
        assert_eq!(self.code, code, "{self:?}");
        assert!(self.stderr.contains(words), "`{words}` in {self:?}");
        self
    }
}

const APPLETS: [&str; 19] = [
    "sh", "cat", "ls", "id", "sleep", "echo", "env", "stat", "tty", "mknod", "touch", "head",
    "mkdir", "rm", "pwd", "test", "ln", "stty", "chown",
];

/// A container for a shell script.
pub(crate) fn script(by: By, text: &str) -> Box_ {
    command(by, &["sh", "-c", text])
}

/// A container for a command.
pub(crate) fn command(by: By, argv: &[&str]) -> Box_ {
    assert!(rustix::process::getuid().is_root(), "these tests need root");
    if let Some(user) = by.name() {
        make_user(user, by == By::User);
    }
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    std::fs::set_permissions(directory.path(), PermissionsExt::from_mode(0o755)).unwrap();
    for name in [
        "lower/bin",
        "lower/etc",
        "lower/tmp",
        "upper",
        "work",
        "run",
    ] {
        std::fs::create_dir_all(at(name)).unwrap();
    }
    std::fs::copy("/bin/busybox", at("lower/bin/busybox")).unwrap();
    for applet in APPLETS {
        symlink("busybox", at("lower/bin").join(applet)).unwrap();
    }
    let passwd = "root:x:0:0::/root:/bin/sh\napp:x:1000:1000::/home/app:/bin/sh\n";
    std::fs::write(at("lower/etc/passwd"), passwd).unwrap();
    std::fs::write(at("lower/etc/group"), "root:x:0:\ndata:x:33:app\n").unwrap();
    let plan = plan(directory.path(), argv);
    Box_ {
        directory,
        plan,
        by,
    }
}

fn plan(directory: &Path, argv: &[&str]) -> ContainerPlan {
    let at = |name: &str| directory.join(name);
    let texts = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect();
    let mut id = [0; 32];
    rustix::rand::getrandom(&mut id, rustix::rand::GetRandomFlags::empty()).unwrap();
    ContainerPlan {
        version: 1,
        id: ContainerId::from_random(id),
        name: "box".into(),
        hostname: "box".into(),
        rootfs: RootfsPlan {
            layers: vec![at("lower")],
            upper: at("upper"),
            work: at("work"),
            read_only: false,
            volatile: false,
        },
        process: ProcessPlan {
            argv: texts(argv),
            env: vec!["PATH=/bin".into()],
            cwd: "/".into(),
            user: String::new(),
            tty: false,
            stdin_open: false,
            capabilities: texts(&DEFAULT_CAPABILITIES),
            no_new_privileges: false,
            ..ProcessPlan::default()
        },
        mounts: Vec::new(),
        network: NetworkMode::None,
        extra_hosts: Vec::new(),
        stop: StopPlan {
            signal: 15,
            grace_ms: 1000,
        },
        restart: RestartPolicy::No,
        health: None,
        paths: PlanPaths {
            run_dir: at("run"),
            log: None,
            exit: at("exit"),
            gateway: at("gateway"),
        },
        wait_for_attach: false,
        seccomp: Seccomp::Default,
        ids: None,
        after_exit: None,
        domainname: String::new(),
        dns: DnsPlan::default(),
        exposed: Vec::new(),
        isolation: Isolation::default(),
        limits: Limits::default(),
        init: false,
        logging: LogPlan::default(),
        pid_file: None,
        annotations: BTreeMap::new(),
    }
}

impl Box_ {
    pub(crate) fn at(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) fn mount(&mut self, target: &str, kind: MountKind, read_only: bool) {
        self.plan.mounts.push(MountPlan {
            target: target.into(),
            kind,
            read_only,
            options: MountOptions::default(),
        });
    }

    pub(crate) fn bind(&mut self, source: &str, target: &str, read_only: bool) {
        let source = self.at(source);
        self.mount(target, MountKind::Bind { source }, read_only);
    }

    fn launch(&self, verb: &str, arguments: &[&str]) -> Command {
        let plan = self.at("plan.json");
        std::fs::write(&plan, serde_json::to_vec(&self.plan).unwrap()).unwrap();
        let program = launch_program();
        let mut command = match self.by.name() {
            None => Command::new(program),
            Some(user) => {
                // As root of the namespace it has to own what it is to write.
                let mut chown = Command::new("chown");
                chown
                    .args(["-Rh", &format!("{user}:")])
                    .arg(self.directory.path());
                assert!(chown.status().unwrap().success());
                let mut command = Command::new("setpriv");
                command.args([&format!("--reuid={user}"), &format!("--regid={user}")]);
                command.args(["--init-groups", "--"]).arg(program);
                command
            }
        };
        command
            .arg(verb)
            .arg(plan)
            .args(arguments)
            .stdin(Stdio::null());
        command
    }

    pub(crate) fn run(&self) -> Outcome {
        outcome(self.launch("run", &[]))
    }

    /// With its output thrown away.
    pub(crate) fn run_unheard(&self) -> i32 {
        let mut command = self.launch("run", &[]);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        command.status().unwrap().code().unwrap_or(-1)
    }

    pub(crate) fn step(&self) -> Outcome {
        let outcome = outcome(self.launch("step", &[]));
        self.assert_no_cgroup();
        outcome
    }

    pub(crate) fn assert_no_cgroup(&self) {
        for root in ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"] {
            let own = format!("{root}/shim/{}", self.plan.id);
            assert!(!Path::new(&own).exists(), "{own}");
        }
    }

    /// Starts it and waits until it runs; killed when dropped.
    pub(crate) fn spawn(&self) -> Running<'_> {
        let child = self.launch("run", &[]).spawn().unwrap();
        let running = Running {
            container: self,
            child,
        };
        while !running.state().exists() {
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        running
    }
}

/// A container that runs.
pub(crate) struct Running<'a> {
    container: &'a Box_,
    pub(crate) child: Child,
}

impl Running<'_> {
    fn state(&self) -> PathBuf {
        self.container.at("run/state.json")
    }

    pub(crate) fn exec(&self, argv: &[&str]) -> Outcome {
        outcome(self.container.launch("exec", argv))
    }

    /// The first process's number on the host.
    pub(crate) fn init(&self) -> i32 {
        let text = std::fs::read(self.state()).unwrap();
        let state: model::container::RunState = serde_json::from_slice(&text).unwrap();
        state.init.unwrap().pid
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        runtime::launch::clean_up(&self.container.plan);
        if !std::thread::panicking() {
            self.container.assert_no_cgroup();
        }
    }
}

fn outcome(mut command: Command) -> Outcome {
    let output = command.output().unwrap();
    Outcome {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// Copied to where every user may read and execute it.
pub(crate) fn launch_program() -> PathBuf {
    static COPY: std::sync::OnceLock<PathBuf> = std::sync::OnceLock::new();
    COPY.get_or_init(|| {
        let mut built = std::env::current_exe().unwrap();
        built.pop();
        built.pop();
        built.push("examples/launch");
        assert!(
            built.exists(),
            "build it first: cargo build -p runtime --examples"
        );
        // One file for all runs of the tests, put in place whole.
        let copy = std::env::temp_dir().join("shim-launch-example");
        let half_made = copy.with_extension(std::process::id().to_string());
        std::fs::copy(&built, &half_made).unwrap();
        std::fs::set_permissions(&half_made, PermissionsExt::from_mode(0o755)).unwrap();
        std::fs::rename(&half_made, &copy).unwrap();
        copy
    })
    .clone()
}

/// Once and for all: users stay, as any machine that runs these tests has them.
fn make_user(name: &str, ranges: bool) {
    static LOCK: std::sync::Mutex<()> = std::sync::Mutex::new(());
    let _lock = LOCK.lock();
    let passwd = std::fs::read_to_string("/etc/passwd").unwrap();
    if !passwd.contains(&format!("\n{name}:")) {
        assert!(
            Command::new("useradd")
                .args(["-m", name])
                .status()
                .unwrap()
                .success()
        );
    }
    for (file, flag) in [
        ("/etc/subuid", "--add-subuids"),
        ("/etc/subgid", "--add-subgids"),
    ] {
        let text = std::fs::read_to_string(file).unwrap_or_default();
        let has = text
            .lines()
            .any(|line| line.starts_with(&format!("{name}:")));
        if ranges && !has {
            let status = Command::new("usermod")
                .args([flag, "200000-265535", name])
                .status();
            assert!(status.unwrap().success());
        }
        if !ranges && has {
            let kept: Vec<_> = text
                .lines()
                .filter(|line| !line.starts_with(&format!("{name}:")))
                .collect();
            std::fs::write(file, kept.join("\n") + "\n").unwrap();
        }
    }
}

/// Gives a file of the root file system away, which only root can.
pub(crate) fn give(path: &Path, uid: u32, mode: u32) {
    chown(path, Some(uid), Some(uid)).unwrap();
    std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
}
