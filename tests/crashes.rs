//! The command is killed at random moments of `pull`, `up`, `down`, `run`, `create`, `stop`
//! and `rm`. Whatever the moment: the next command works, no image is half visible, nothing
//! is left over.
//!
//! The moments come from a seed, which a failure prints; `SHIM_TEST_SEED` repeats them.

#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a test that panics has failed, which is meant"
)]

mod kit;

use std::process::Stdio;
use std::time::{Duration, Instant, SystemTime};

use kit::bases::{Base, archive};
use kit::web::{PATIENCE, wait_until};
use kit::{Server, Shim, run};

/// Kills of `pull`, `up` and `down` in each of the two tests.
const ROUNDS: usize = 25;
/// Kills of commands on one container, in each of two more.
const MORE_ROUNDS: usize = 30;
/// Random bytes in each layer of the image that is pulled: enough for a kill to hit.
const LAYER_BYTES: usize = 6 << 20;

const PROJECT: &str = "
services:
  api:
    image: IMAGE
    command: httpd -f -p 80 -h /www
    stop_grace_period: 0s
    volumes: ['data:/data']
    ports: ['80']
  web:
    image: IMAGE
    command: sleep 1000
    stop_grace_period: 0s
    depends_on: [api]
volumes:
  data:
";

/// Xorshift: moments need not be more random than that.
struct Moments(u64);

impl Moments {
    fn new() -> Self {
        let given = std::env::var("SHIM_TEST_SEED").ok();
        let clock = || {
            SystemTime::now()
                .duration_since(SystemTime::UNIX_EPOCH)
                .unwrap()
        };
        let seed = given.map_or_else(|| clock().as_nanos() as u64, |text| text.parse().unwrap());
        println!("SHIM_TEST_SEED={seed}");
        Self(seed | 1)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// A moment of something that takes about so long.
    fn within(&mut self, whole: Duration) -> Duration {
        let micros = whole.as_micros() as u64 * 11 / 10;
        Duration::from_micros(self.next() % micros.max(1))
    }
}

/// A registry with one image of three layers.
fn registry() -> Server {
    let server = Server::open();
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name).display().to_string();
    let from = format!("docker-archive:{}", archive(Base::Busybox).display());
    let image = format!("{}:latest", path("layout"));
    run(
        "skopeo",
        &["copy", "--quiet", &from, &format!("oci:{image}")],
    );
    run("umoci", &["unpack", "--image", &image, &path("bundle")]);
    for name in ["one", "two"] {
        let mut bytes = vec![0; LAYER_BYTES];
        rustix::rand::getrandom(&mut bytes[..], rustix::rand::GetRandomFlags::empty()).unwrap();
        std::fs::write(directory.path().join("bundle/rootfs").join(name), bytes).unwrap();
        run(
            "umoci",
            &[
                "repack",
                "--refresh-bundle",
                "--image",
                &image,
                &path("bundle"),
            ],
        );
    }
    server.fill(&format!("oci:{image}"), "app:1", &[]);
    server
}

/// The command that is killed, what brings the state before it back, and what must hold
/// after it was run again.
struct Victim<'s> {
    shim: &'s Shim,
    image: String,
}

impl Victim<'_> {
    fn args<'a>(&'a self, act: &str) -> Vec<&'a str> {
        match act {
            "pull" => vec!["pull", &self.image],
            "up" => vec!["-f", "app/compose.yaml", "up", "-d"],
            _ => vec!["-f", "app/compose.yaml", "down", "-v"],
        }
    }

    /// What has to be so before the act makes sense.
    fn prepare(&self, act: &str) {
        match act {
            "pull" => {
                self.shim.ok(&self.args("down"));
                let _ = self.shim.run(&["rmi", "-f", &self.image]);
            }
            "up" => drop(self.shim.ok(&self.args("down"))),
            _ => drop(self.shim.ok(&self.args("up"))),
        }
    }

    /// Lets the act run so long, then kills it. Whether it was still running.
    fn kill(&self, act: &str, after: Duration) -> bool {
        kill(self.shim.command(&self.args(act)), after)
    }

    /// What others see right after the kill.
    fn look(&self) {
        self.shim.ok(&["ps", "-a"]);
        let names = self
            .shim
            .ok(&["images", "--format", "{{.Repository}}:{{.Tag}}"]);
        if names.lines().any(|name| name == self.image) {
            self.works();
        }
    }

    /// The image is whole.
    fn works(&self) {
        let script = "wc -c < /one; wc -c < /two";
        let said = self.shim.ok(&[
            "run",
            "--rm",
            "--network",
            "none",
            &self.image,
            "sh",
            "-c",
            script,
        ]);
        assert_eq!(said, format!("{LAYER_BYTES}\n{LAYER_BYTES}"));
    }

    /// The same act again, to its end.
    fn again(&self, act: &str) {
        self.shim.ok(&self.args(act));
        match act {
            "pull" => self.works(),
            "up" => {
                let exec = ["-f", "app/compose.yaml", "compose", "exec", "-T", "web"];
                let ask = ["wget", "-q", "-O", "-", "http://api/"];
                let page = || self.shim.run(&[&exec[..], &ask].concat());
                let mut last = String::new();
                let met = wait_until(PATIENCE, || {
                    last = page().stderr;
                    last.contains("404")
                });
                assert!(met, "web does not reach api: {last}");
                let rows = self
                    .shim
                    .ok(&["-f", "app/compose.yaml", "compose", "ps", "-q"]);
                assert_eq!(rows.lines().count(), 2);
            }
            _ => {
                assert_eq!(self.shim.ok(&["ps", "-aq"]), "");
                assert_eq!(self.shim.ok(&["volume", "ls", "-q"]), "");
            }
        }
    }
}

as_root_and_user! {

fn a_killed_command_harms_nothing(shim: &Shim) {
    let server = registry();
    let victim = Victim { shim, image: server.name("app:1") };
    shim.write("app/compose.yaml", PROJECT.replace("IMAGE", &victim.image));
    let mut moments = Moments::new();
    let mut hits = 0;
    let acts = ["pull", "up", "down"];
    let whole = acts.map(|act| {
        victim.prepare(act);
        let start = Instant::now();
        victim.again(act);
        start.elapsed()
    });
    for round in 0..ROUNDS {
        let which = (moments.next() % 3) as usize;
        let (act, after) = (acts[which], moments.within(whole[which]));
        println!("round {round}: {act}, killed after {after:?}");
        victim.prepare(act);
        hits += usize::from(victim.kill(act, after));
        victim.look();
        victim.again(act);
    }
    assert_ne!(hits, 0, "every command had ended before it was killed");
    let namespaces = shim.namespaces();
    victim.again("down");
    shim.ok(&["rmi", "-f", &victim.image]);
    shim.leaves_no_trace(&namespaces);
    for directory in ["containers", "names", "layers", "trash", "projects"] {
        let left: Vec<_> = shim.stored(directory).into_iter().filter(|n| !n.ends_with(".lock")).collect();
        assert_eq!(left, Vec::<String>::new(), "{directory}");
    }
}

fn a_killed_command_leaves_no_part_of_a_container(shim: &Shim) {
    shim.has(&[Base::Busybox]);
    let mut moments = Moments::new();
    let mut hits = 0;
    let whole = DEEDS.map(|deed| {
        let start = Instant::now();
        let began = prepare(shim, deed);
        let start = if began { Instant::now() } else { start };
        shim.ok(deed);
        let whole = start.elapsed();
        shim.remove_all().succeeded();
        whole
    });
    for round in 0..MORE_ROUNDS {
        // Each as often as the others.
        let which = round % DEEDS.len();
        let (deed, after) = (DEEDS[which], moments.within(whole[which]));
        println!("round {round}: {deed:?}, killed after {after:?}");
        prepare(shim, deed);
        hits += usize::from(kill(shim.command(deed), after));
        shim.ok(&["ps", "-a"]);
        shim.see();
        if deed[..2] == ["run", "--rm"] {
            // Nobody has to remove it.
            let gone = wait_until(PATIENCE, || shim.ok(&["ps", "-aq"]).is_empty());
            assert!(gone, "{}", shim.ok(&["ps", "-a"]));
        }
        shim.remove_all().succeeded();
        assert_eq!(shim.ok(&["volume", "ls", "-q"]), "", "anonymous volumes are left");
        shim.leaks_nothing();
    }
    assert_ne!(hits, 0, "every command had ended before it was killed");
}

}

/// Commands on one container, with what makes the most parts of one.
const DEEDS: [&[&str]; 6] = [
    &[
        "run",
        "--rm",
        "-v",
        "/a",
        "-v",
        "/b",
        "--network",
        "none",
        "busybox",
        "true",
    ],
    &["run", "--rm", "-v", "/a", "-p", "80", "busybox", "true"],
    &[
        "run", "-d", "--name", "c", "-v", "/a", "busybox", "sleep", "1000",
    ],
    &[
        "create", "--name", "c", "-v", "/a", "-v", "/b", "busybox", "true",
    ],
    &["stop", "-t", "0", "c"],
    &["rm", "-f", "-v", "c"],
];

/// Makes the container that a deed is done to; whether there is one.
fn prepare(shim: &Shim, deed: &[&str]) -> bool {
    let needs = matches!(deed[0], "stop" | "rm");
    if needs {
        shim.ok(DEEDS[2]);
    }
    needs
}

/// Lets a command run so long, then kills it. Whether it was still running.
fn kill(mut command: std::process::Command, after: Duration) -> bool {
    let mut child = command
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    std::thread::sleep(after);
    let running = child.try_wait().unwrap().is_none();
    child.kill().unwrap();
    child.wait().unwrap();
    running
}
