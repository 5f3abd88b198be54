//! A busybox container on a plan, and the tests' small language about it.

use std::collections::BTreeMap;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use model::container::{
    DEFAULT_CAPABILITIES, DnsPlan, ExitRecord, Isolation, Limits, LogPlan, NetworkMode, PlanPaths,
    ProcessPlan, RestartPolicy, RootfsPlan, RunState, Seccomp, StopPlan,
};
use model::{ContainerId, ContainerPlan};
use runtime::attach::{self, Client, Options, Outcome, Stdio};
use runtime::frames::{Reply, Request, Stream};
use runtime::liveness::{self, Observed};
use runtime::supervise;

const APPLETS: &[&str] = &[
    "sh", "cat", "echo", "sleep", "true", "false", "seq", "stty", "tty", "dd", "head", "kill",
    "md5sum", "printf", "tr", "test", "touch", "ps", "yes", "wc", "id", "ls", "grep",
];

/// One container; ended and removed on drop.
pub(crate) struct Container {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) plan: ContainerPlan,
}

/// A container that would run this shell script.
#[must_use]
pub(crate) fn script(text: &str) -> Container {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    for name in [
        "layer/bin",
        "layer/proc",
        "layer/etc",
        "layer/dev",
        "layer/sys",
        "layer/tmp",
        "upper",
        "work",
        "run",
    ] {
        std::fs::create_dir_all(at(name)).unwrap();
    }
    std::fs::copy("/bin/busybox", at("layer/bin/busybox")).unwrap();
    for applet in APPLETS {
        std::os::unix::fs::symlink("busybox", at("layer/bin").join(applet)).unwrap();
    }
    let mut id = [0; 32];
    rustix::rand::getrandom(&mut id, rustix::rand::GetRandomFlags::empty()).unwrap();
    let plan = ContainerPlan {
        version: 1,
        id: ContainerId::from_random(id),
        name: "box".into(),
        hostname: "box".into(),
        rootfs: RootfsPlan {
            layers: vec![at("layer")],
            upper: at("upper"),
            work: at("work"),
            read_only: false,
            volatile: false,
        },
        process: process(&["/bin/sh", "-c", text]),
        mounts: Vec::new(),
        network: NetworkMode::None,
        extra_hosts: Vec::new(),
        stop: StopPlan {
            signal: 15,
            grace_ms: 300,
        },
        restart: RestartPolicy::No,
        health: None,
        paths: PlanPaths {
            run_dir: at("run/box"),
            log: Some(at("log")),
            exit: at("exit.json"),
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
    };
    Container { dir, plan }
}

/// A process with these arguments.
pub(crate) fn process(argv: &[&str]) -> ProcessPlan {
    ProcessPlan {
        argv: argv.iter().map(|&a| a.to_owned()).collect(),
        env: vec!["PATH=/bin".into()],
        cwd: "/".into(),
        user: String::new(),
        tty: false,
        stdin_open: false,
        capabilities: DEFAULT_CAPABILITIES.map(str::to_owned).to_vec(),
        no_new_privileges: false,
        ..ProcessPlan::default()
    }
}

impl Container {
    pub(crate) fn with(mut self, change: impl FnOnce(&mut ContainerPlan)) -> Self {
        change(&mut self.plan);
        self
    }

    pub(crate) fn run_base(&self) -> PathBuf {
        self.dir.path().join("run")
    }

    pub(crate) fn plan_path(&self) -> PathBuf {
        self.dir.path().join("config.json")
    }

    pub(crate) fn run_dir(&self) -> &std::path::Path {
        &self.plan.paths.run_dir
    }

    pub(crate) fn exit(&self) -> &std::path::Path {
        &self.plan.paths.exit
    }

    /// Starts a supervisor; says nothing about the outcome.
    pub(crate) fn spawn(&self) -> Client {
        std::fs::write(self.plan_path(), serde_json::to_vec(&self.plan).unwrap()).unwrap();
        supervise::spawn(&self.run_base(), &self.plan_path()).unwrap()
    }

    /// Starts it, which must succeed.
    pub(crate) fn start(&self) -> Client {
        let mut client = self.spawn();
        client.started().unwrap_or_else(|e| panic!("{e:?}"));
        client
    }

    pub(crate) fn connect(&self) -> Client {
        Client::connect(self.run_dir()).unwrap()
    }

    pub(crate) fn wait(&self) -> i32 {
        runtime::control::wait(self.run_dir(), self.exit()).unwrap()
    }

    pub(crate) fn observe(&self) -> Observed {
        liveness::observe(self.run_dir(), self.exit()).unwrap()
    }

    pub(crate) fn state(&self) -> RunState {
        match self.observe() {
            Observed::Running(state) => *state,
            other => panic!("not running: {other:?}"),
        }
    }

    pub(crate) fn exit_record(&self) -> ExitRecord {
        supervise::read_exit(self.exit())
            .unwrap()
            .expect("an exit record")
    }

    /// Waits until the supervisor is gone.
    pub(crate) fn ended(&self) {
        eventually("it has ended", || {
            !liveness::is_held(self.run_dir()).unwrap()
        });
    }

    /// All lines of the log.
    pub(crate) fn log(&self) -> String {
        let mut text = String::new();
        let path = self.plan.paths.log.as_ref().unwrap();
        let take = &mut |record: runtime::logs::LogRecord| {
            text.push_str(&String::from_utf8_lossy(&record.bytes));
            true
        };
        let query = runtime::logs::LogQuery::default();
        runtime::logs::read(path, &query, runtime::logs::Follow::No, take).unwrap();
        text
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        if let Ok(Observed::Running(state)) = liveness::observe(self.run_dir(), self.exit()) {
            let _ = runtime::process::signal(state.supervisor, &state.boot_id, 9);
            eventually("the supervisor ends", || {
                !liveness::is_held(self.run_dir()).unwrap()
            });
        }
        let _ = liveness::reap(self.run_dir(), self.exit());
    }
}

/// Waits for a condition; generous, because only failures pay.
pub(crate) fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(20);
    while !condition() {
        assert!(Instant::now() < end, "in vain: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Attached as a program would be: replies in, requests out.
pub(crate) struct Attached {
    pub(crate) client: Client,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    pub(crate) skipped: u64,
    pub(crate) code: Option<i32>,
}

pub(crate) fn attach(mut client: Client, request: runtime::frames::AttachRequest) -> Attached {
    client.send(&Request::Attach(request)).unwrap();
    Attached {
        client,
        stdout: String::new(),
        stderr: String::new(),
        skipped: 0,
        code: None,
    }
}

impl Attached {
    pub(crate) fn send(&mut self, text: &str) -> &mut Self {
        self.client.send(&Request::Input(text.into())).unwrap();
        self
    }

    pub(crate) fn take(&mut self) -> bool {
        match self.client.receive().unwrap() {
            Some(Reply::Output(Stream::Stdout, b)) => self.stdout += &String::from_utf8_lossy(&b),
            Some(Reply::Output(Stream::Stderr, b)) => self.stderr += &String::from_utf8_lossy(&b),
            Some(Reply::Skipped(count)) => self.skipped += count,
            Some(Reply::Exit(code)) => self.code = Some(code),
            Some(_) => {}
            None => return false,
        }
        true
    }

    /// Reads until the output holds this.
    pub(crate) fn until(&mut self, text: &str) -> &mut Self {
        let mut searched = 0;
        while !self.stdout[searched..].contains(text) {
            // What is looked for may lie across two frames.
            searched = self
                .stdout
                .floor_char_boundary(self.stdout.len().saturating_sub(text.len()));
            let more = self.code.is_none() && self.take();
            assert!(more, "ended without {text:?}: {:?}", self.stdout);
        }
        self
    }

    /// Reads to the end.
    pub(crate) fn end(mut self) -> Self {
        while self.code.is_none() && self.take() {}
        self
    }
}

/// Runs the real client on pipes: what it printed, and how it ended.
pub(crate) fn run_client(client: &mut Client, input: &str, options: &Options) -> (String, Outcome) {
    let (stdin, feed) = std::io::pipe().unwrap();
    let input = input.to_owned();
    let writer = std::thread::spawn(move || {
        // Who ends before reading everything is not at fault.
        let _ = std::io::Write::write_all(&mut { feed }, input.as_bytes());
    });
    let (mut shown, stdout) = std::io::pipe().unwrap();
    let reader = std::thread::spawn(move || std::io::read_to_string(&mut shown).unwrap());
    let stderr = stdout.try_clone().unwrap();
    let stdio = Stdio {
        stdin: stdin.as_fd(),
        stdout: stdout.as_fd(),
        stderr: stderr.as_fd(),
    };
    let outcome = attach::run(client, stdio, options).unwrap();
    drop((stdin, stdout, stderr));
    writer.join().unwrap();
    (reader.join().unwrap(), outcome)
}
