//! The main job: the seed example comes up from its compose file, in one command, as root
//! and as a plain user; and what its document tells of debugging is true.

#![expect(
    clippy::unwrap_used,
    reason = "a test that panics has failed, which is meant"
)]

mod kit;

use std::fs::File;

use kit::bases::{Base, source};
use kit::terminal::{Terminal, plain};
use kit::web::{Neighbour, PATIENCE, get, get_until, wait_until};
use kit::{Shim, free_port};

/// Leaves the container running.
const DETACH: &str = "\x10\x11";
const CTRL_D: &str = "\x04";

/// The seed example publishes fixed ports: one test at a time.
fn ports() -> File {
    let lock = File::create("/run/shim-test-seed.lock").expect("the tests run as root");
    lock.lock().unwrap();
    lock
}

/// `shim -f seed/docker-compose.yml ARGS`.
fn seed(shim: &Shim, args: &[&str]) -> kit::Outcome {
    shim.run(&[&["-f", "seed/docker-compose.yml"], args].concat())
}

/// Ids and first processes of the project's containers.
fn containers(shim: &Shim) -> Vec<String> {
    let ids = seed(shim, &["compose", "ps", "-q"]).succeeded();
    let of = |id: &str| shim.ok(&["inspect", "--format", "{{.Id}} {{.State.Pid}}", id]);
    ids.lines().map(of).collect()
}

/// Waits for a line of a container's log with all of this in it.
fn logs_until(shim: &Shim, container: &str, parts: &[&str]) {
    let mut log = String::new();
    let met = wait_until(PATIENCE, || {
        log = shim.ok(&["logs", container]);
        log.lines()
            .any(|line| parts.iter().all(|part| line.contains(part)))
    });
    assert!(met, "no {parts:?} in the log of {container}:\n{log}");
}

as_root_and_user! {

fn the_seed_example_comes_up_and_goes_down(shim: &Shim) {
    let _ports = ports();
    shim.has(&[Base::Debian, Base::Postgres]);
    shim.copy("tests/seed", "seed");

    let plan = seed(shim, &["up", "-d", "--dry-run"]).succeeded();
    let builds: Vec<_> = plan.lines().filter(|line| line.starts_with("build")).collect();
    assert_eq!(builds, ["build image seed-api, seed-web"]);
    let up = seed(shim, &["up", "-d"]);
    assert_eq!(up.stderr.matches("COPY . . Building").count(), 1, "{}", up.stderr);
    up.succeeded();
    let id = |name: &str| shim.ok(&["image", "inspect", "--format", "{{.Id}}", name]);
    assert_eq!(id("seed-api"), id("seed-web"), "one image, two names");

    get_until(3000, "/", "a row from PostgreSQL");

    let neighbour = Neighbour::new(0);
    let address = neighbour.address.to_string();
    let answer = neighbour.get(8000, "/visits");
    assert!(answer.contains(&format!("\"client\":\"{address}\"")), "{answer}");
    logs_until(shim, "seed-api-1", &[&address, "/visits"]);

    let before = containers(shim);
    assert_eq!(before.len(), 3);
    seed(shim, &["up", "-d"]).succeeded();
    assert_eq!(containers(shim), before, "the second `up` does nothing");

    let namespaces = shim.namespaces();
    assert!(!namespaces.is_empty());
    seed(shim, &["down", "-v"]).succeeded();
    shim.leaves_no_trace(&namespaces);
    assert!(get(3000, "/").is_none(), "nobody listens any more");
}

fn the_debugger_answers_whoever_attaches(shim: &Shim) {
    shim.has(&[Base::App]);
    shim.copy("tests/debug", "debug");
    let port = free_port();
    shim.write("debug/.env", format!("PORT={port}\n"));
    shim.ok(&["-f", "debug/compose.yaml", "up", "-d"]);
    get_until(port, "/health", "true");
    let ask = || std::thread::spawn(move || get(port, "/add?a=40&b=2").unwrap());
    let attach = || Terminal::run(&shim.command(&["attach", "fmtm-web-1"]));

    let mut terminal = attach();
    let answer = ask();
    terminal.expect("ipdb>");
    terminal.press("p a+b\r");
    terminal.expect("42");
    terminal.expect("ipdb>");
    terminal.press("n\r");
    terminal.expect("--Return--");
    terminal.expect("ipdb>");
    terminal.press("c\r");
    assert!(answer.join().unwrap().contains("{\"sum\":42}"), "`c` lets the request end");
    terminal.expect("GET /add");
    terminal.press(DETACH);
    let (code, _) = terminal.end();
    assert_eq!(code, 0);
    assert!(shim.ok(&["ps", "--format", "{{.Names}}"]).contains("fmtm-web-1"), "it lives on");

    // The second: the prompt was there before anybody looked.
    let prompts = || plain(shim.ok(&["logs", "fmtm-web-1"]).as_bytes()).matches("ipdb>").count();
    let before = prompts();
    let answer = ask();
    assert!(wait_until(PATIENCE, || prompts() > before));
    let mut terminal = attach();
    terminal.expect("ipdb>");
    terminal.press("p 'again', a*b\r");
    terminal.expect("('again', 80)");
    terminal.expect("ipdb>");
    terminal.press(CTRL_D);
    assert!(answer.join().unwrap().contains("500"), "the debugger was left, the request failed");
    terminal.press(DETACH);
    assert_eq!(terminal.end().0, 0);
    get_until(port, "/health", "true");

    let namespaces = shim.namespaces();
    shim.ok(&["-f", "debug/compose.yaml", "down", "-v"]);
    shim.leaves_no_trace(&namespaces);
}

fn a_datagram_arrives_with_its_senders_address(shim: &Shim) {
    shim.has(&[Base::App]);
    let echo = "import socket\n\
                s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n\
                s.bind(('0.0.0.0', 9000))\n\
                print('ready', flush=True)\n\
                while True:\n  \
                  data, peer = s.recvfrom(9999)\n  \
                  print('from', peer[0], flush=True)\n  \
                  s.sendto(peer[0].encode() + b' ' + data, peer)\n";
    let port = free_port();
    let publish = format!("{port}:9000/udp");
    let run = ["run", "-d", "--name", "echo", "-p", &publish, Base::APP];
    shim.ok(&[&run[..], &["python3", "-c", echo]].concat());
    logs_until(shim, "echo", &["ready"]);

    let neighbour = Neighbour::new(1);
    let address = neighbour.address.to_string();
    let answer = neighbour.ask("UDP", port, b"hello");
    assert_eq!(answer, format!("{address} hello"));
    logs_until(shim, "echo", &["from", &address]);

    let namespaces = shim.namespaces();
    shim.ok(&["rm", "-f", "-v", "echo"]);
    shim.leaves_no_trace(&namespaces);
}

}

#[test]
fn the_seed_as_printed_is_refused_with_its_lines() {
    let shim = Shim::as_user();
    shim.write(
        "docker-compose.yml",
        std::fs::read(source("tests/seed/as-printed.yml")).unwrap(),
    );
    let said = shim.run(&["up", "-d"]).failed(&[
        "`db`, `api` and `web` look like services",
        "need indenting under `services:`",
        "docker-compose.yml:3:1",
        "hint: indent",
    ]);
    for line in ["3 | db:", "8 | api:", "16 | web:"] {
        assert!(said.contains(line), "no `{line}` in\n{said}");
    }
    assert_eq!(shim.ok(&["ps", "-aq"]), "");
}
