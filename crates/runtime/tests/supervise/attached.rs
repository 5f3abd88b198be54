//! Clients: attached, slow, several, leaving.

use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use runtime::attach::{self, Options, Outcome, Stdio};
use runtime::frames::{AttachRequest, Request};
use runtime::liveness;
use sys::pty::WindowSize;

use crate::Test;
use crate::kit::{Container, attach as attached, eventually, run_client, script};

pub(crate) const TESTS: &[Test] = &[
    (
        "the_start_waits_for_the_first_client",
        the_start_waits_for_the_first_client,
    ),
    (
        "a_launcher_that_leaves_takes_the_start_back",
        a_launcher_that_leaves_takes_the_start_back,
    ),
    (
        "a_stop_takes_a_waiting_start_back",
        a_stop_takes_a_waiting_start_back,
    ),
    (
        "a_terminal_is_shared_and_left",
        a_terminal_is_shared_and_left,
    ),
    (
        "a_real_terminal_goes_raw_and_comes_back",
        a_real_terminal_goes_raw_and_comes_back,
    ),
    (
        "a_late_client_sees_the_last_lines_and_a_redraw",
        a_late_client_sees_the_last_lines_and_a_redraw,
    ),
    (
        "a_cursor_question_without_client_is_answered",
        a_cursor_question_without_client_is_answered,
    ),
    (
        "a_hundred_megabytes_arrive_whole",
        a_hundred_megabytes_arrive_whole,
    ),
    (
        "a_hundred_megabytes_of_input_arrive_whole",
        a_hundred_megabytes_of_input_arrive_whole,
    ),
    (
        "a_stalled_client_blocks_nobody",
        a_stalled_client_blocks_nobody,
    ),
    (
        "a_signal_overtakes_input_that_is_not_read",
        a_signal_overtakes_input_that_is_not_read,
    ),
    (
        "attachments_survive_the_supervisors_change",
        attachments_survive_the_supervisors_change,
    ),
    ("nonsense_is_refused", nonsense_is_refused),
];

fn lossless() -> Options {
    Options {
        input: true,
        input_once: true,
        lossless: true,
        ..Options::default()
    }
}

/// Begins a container that waits for its client, as `run` in the foreground does.
fn foreground(container: &Container, options: &Options) -> attach::Client {
    let mut client = container.spawn();
    let null = std::fs::File::open("/dev/null").unwrap();
    let stdio = Stdio {
        stdin: null.as_fd(),
        stdout: null.as_fd(),
        stderr: null.as_fd(),
    };
    attach::request(&mut client, stdio, options).unwrap();
    client.started().unwrap();
    client
}

fn waiting(text: &str) -> Container {
    script(text).with(|plan| {
        plan.wait_for_attach = true;
        plan.process.stdin_open = true;
    })
}

fn terminal(text: &str) -> Container {
    script(text).with(|plan| {
        plan.process.tty = true;
        plan.process.stdin_open = true;
    })
}

fn with_input() -> AttachRequest {
    AttachRequest {
        input: true,
        replay: 4096,
        ..AttachRequest::default()
    }
}

fn the_start_waits_for_the_first_client() {
    let container = waiting("cat; echo done");
    let mut client = foreground(&container, &lossless());
    let (shown, outcome) = run_client(&mut client, "hello\n", &lossless());
    assert_eq!(shown, "hello\ndone\n");
    assert_eq!(outcome, Outcome::Exited(0));
}

fn a_launcher_that_leaves_takes_the_start_back() {
    let container = waiting("echo never");
    let client = container.spawn();
    eventually("it waits", || container.run_dir().join("ctl").exists());
    drop(client);
    container.ended();
    assert_eq!(container.exit_record().code, 125);
    assert_eq!(container.log(), "");
}

fn a_stop_takes_a_waiting_start_back() {
    let container = waiting("echo never");
    let mut client = container.spawn();
    eventually("it waits", || container.run_dir().join("ctl").exists());
    container
        .connect()
        .send(&Request::Stop {
            signal: None,
            grace_ms: None,
        })
        .unwrap();
    let said = client.started().unwrap_err().to_string();
    assert!(said.contains("taken back"), "{said}");
    container.ended();
}

fn a_terminal_is_shared_and_left() {
    let container =
        terminal("tty; while read line; do echo \"got $line\"; done; echo over; exit 9");
    drop(container.start());
    let mut first = attached(container.connect(), with_input());
    first.until("/dev/pts/0").send("one\n").until("got one");
    let mut second = attached(container.connect(), with_input());
    second.until("got one").send("two\n").until("got two");
    first
        .until("got two")
        .client
        .send(&Request::Detach)
        .unwrap();
    drop(first);
    second.send("three\n").until("got three");
    // Ctrl-D is the terminal's business, not the connection's.
    second.send("\x04");
    let second = second.end();
    assert!(second.stdout.ends_with("over\r\n"), "{:?}", second.stdout);
    assert_eq!(second.code, Some(9));
}

/// Runs the client on one side of a terminal, with a user on the other.
fn at_a_terminal(container: &Container, options: Options, user: impl FnOnce(&OwnedFd)) -> Outcome {
    let pty = sys::pty::open(WindowSize { rows: 31, cols: 97 }).unwrap();
    let mut client = container.connect();
    let theirs = pty.slave.try_clone().unwrap();
    let side = std::thread::spawn(move || {
        let stdio = Stdio {
            stdin: theirs.as_fd(),
            stdout: theirs.as_fd(),
            stderr: theirs.as_fd(),
        };
        attach::request(&mut client, stdio, &options).unwrap();
        attach::run(&mut client, stdio, &options).unwrap()
    });
    user(&pty.master);
    let outcome = side.join().unwrap();
    let modes = rustix::termios::tcgetattr(&pty.slave).unwrap().local_modes;
    assert!(
        modes.contains(rustix::termios::LocalModes::ECHO),
        "still raw"
    );
    outcome
}

fn type_in(terminal: &OwnedFd, text: &str) {
    rustix::io::write(terminal, text.as_bytes()).unwrap();
}

fn read_until(terminal: &OwnedFd, text: &str) -> String {
    let mut seen = String::new();
    let mut chunk = [0; 4096];
    while !seen.contains(text) {
        let count = rustix::io::read(terminal, &mut chunk).unwrap();
        seen += &String::from_utf8_lossy(&chunk[..count]);
    }
    seen
}

fn a_real_terminal_goes_raw_and_comes_back() {
    let container = terminal("echo ready; while read line; do stty size; done; exit 2");
    drop(container.start());
    let options = Options {
        tty: true,
        input: true,
        replay: 4096,
        ..Options::default()
    };
    for _ in 0..2 {
        let outcome = at_a_terminal(&container, options.clone(), |terminal| {
            read_until(terminal, "ready");
            type_in(terminal, "\r");
            read_until(terminal, "31 97");
            type_in(terminal, "\x10\x11");
        });
        assert_eq!(outcome, Outcome::Detached);
        assert!(liveness::is_held(container.run_dir()).unwrap());
    }
    let outcome = at_a_terminal(&container, options, |terminal| {
        read_until(terminal, "ready");
        type_in(terminal, "\x04");
    });
    assert_eq!(outcome, Outcome::Exited(2));
}

fn a_late_client_sees_the_last_lines_and_a_redraw() {
    let text =
        "trap 'echo redraw' WINCH; seq 1 5000; echo -n 'prompt> '; while :; do sleep 0.05; done";
    let container = terminal(text);
    drop(container.start());
    eventually("it printed", || container.log().contains("\n5000\r\n"));
    let request = AttachRequest {
        size: Some(WindowSize { rows: 24, cols: 80 }),
        ..with_input()
    };
    let mut late = attached(container.connect(), request);
    late.until("prompt> ").until("redraw");
    assert!(late.stdout.len() < 6000);
    let first = late.stdout.lines().next().unwrap();
    assert!(
        first.len() == 4 && first.parse::<u32>().is_ok(),
        "{first:?}"
    );
}

fn a_cursor_question_without_client_is_answered() {
    let text = "stty raw -echo; printf '\\033[6n'; head -c 6 | wc -c; sleep 1000";
    let container = terminal(text);
    drop(container.start());
    eventually("it was answered", || container.log().contains('6'));
}

fn a_hundred_megabytes_arrive_whole() {
    let container = waiting("dd if=/dev/zero bs=1M count=100 2>/dev/null | tr '\\0' x; exit 3");
    let mut client = foreground(&container, &lossless());
    let (shown, outcome) = run_client(&mut client, "", &lossless());
    assert_eq!(shown.len(), 100 << 20);
    assert_eq!(outcome, Outcome::Exited(3));
}

fn a_hundred_megabytes_of_input_arrive_whole() {
    let container = waiting("wc -c");
    let mut client = foreground(&container, &lossless());
    let input = "y".repeat(100 << 20);
    let (shown, outcome) = run_client(&mut client, &input, &lossless());
    assert_eq!(shown.trim(), (100 << 20).to_string());
    assert_eq!(outcome, Outcome::Exited(0));
}

fn a_stalled_client_blocks_nobody() {
    let container = waiting("read x; seq 1 400000; echo end");
    let options = lossless();
    // Asks for everything and reads nothing.
    let stalled = foreground(&container, &options);
    let mut other = attached(container.connect(), with_input());
    // It reads, but as one of two it may be too slow for some of it.
    other.send("go\n");
    let other = other.end();
    assert_eq!(other.code, Some(0));
    assert!(other.skipped > 0 || other.stdout.ends_with("end\n"));
    assert_eq!(container.exit_record().code, 0);
    let stalled = attached(stalled, AttachRequest::default()).end();
    assert!(stalled.skipped > 0 || stalled.stdout.ends_with("end\n"));
}

fn a_signal_overtakes_input_that_is_not_read() {
    let container = waiting("trap 'exit 6' USR1; while :; do sleep 0.05; done");
    let mut client = foreground(&container, &lossless());
    for _ in 0..4 {
        client.send(&Request::Input(vec![b'x'; 60_000])).unwrap();
    }
    client.send(&Request::Signal(10)).unwrap();
    assert_eq!(
        attached(client, AttachRequest::default()).end().code,
        Some(6)
    );
}

fn attachments_survive_the_supervisors_change() {
    let container = terminal("while read line; do echo \"got $line\"; done");
    drop(container.start());
    let mut client = attached(container.connect(), with_input());
    client.send("before\n").until("got before");
    let pid = container.state().supervisor.pid;
    eventually("it executed itself", || {
        let path = format!("/proc/{pid}/cmdline");
        std::fs::read_to_string(path).unwrap().contains("--resume")
    });
    client.send("after\n").until("got after");
    let mut late = attached(container.connect(), with_input());
    late.until("got before").until("got after");
}

fn nonsense_is_refused() {
    let container = script("sleep 1000");
    drop(container.start());
    let mut client = container.connect();
    client
        .send(&Request::Exec(Box::new(runtime::frames::ExecRequest {
            process: crate::kit::process(&["true"]),
            detached: false,
        })))
        .unwrap();
    let reply = client.receive().unwrap();
    assert!(
        matches!(reply, Some(runtime::frames::Reply::Refused(_))),
        "{reply:?}"
    );
    let mut socket =
        std::os::unix::net::UnixStream::connect(container.run_dir().join("ctl")).unwrap();
    std::io::Write::write_all(&mut socket, &[255; 64]).unwrap();
    socket
        .set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    let mut answer = Vec::new();
    std::io::Read::read_to_end(&mut socket, &mut answer).unwrap();
    assert!(String::from_utf8_lossy(&answer).contains("longer than allowed"));
    assert_eq!(container.state().phase, model::container::RunPhase::Running);
}
