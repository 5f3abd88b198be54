//! Exec sessions and health checks in a running container.

use model::container::ProcessPlan;
use model::health::{HealthCheck, HealthStatus};
use runtime::attach::{Client, ClientError, Options, Outcome};
use runtime::frames::{AttachRequest, Request};
use runtime::{control, session};
use sys::pty::WindowSize;

use crate::Test;
use crate::kit::{Container, attach, eventually, process, run_client, script};

pub(crate) const TESTS: &[Test] = &[
    ("exec_gives_output_and_code", exec_gives_output_and_code),
    (
        "signals_are_as_a_program_expects_them",
        signals_are_as_a_program_expects_them,
    ),
    (
        "exec_of_what_is_not_there_is_127_and_126",
        exec_of_what_is_not_there_is_127_and_126,
    ),
    (
        "exec_in_an_ended_container_is_refused",
        exec_in_an_ended_container_is_refused,
    ),
    (
        "exec_moves_a_hundred_megabytes",
        exec_moves_a_hundred_megabytes,
    ),
    ("exec_with_a_terminal", exec_with_a_terminal),
    ("exec_outlives_its_client", exec_outlives_its_client),
    ("exec_detached", exec_detached),
    (
        "exec_does_not_wait_for_what_it_left_behind",
        exec_does_not_wait_for_what_it_left_behind,
    ),
    ("exec_passes_signals", exec_passes_signals),
    ("exec_ends_with_its_container", exec_ends_with_its_container),
    ("healthy_at_the_first_success", healthy_at_the_first_success),
    ("unhealthy_and_why", unhealthy_and_why),
    (
        "a_check_that_hangs_is_ended_with_all_it_started",
        a_check_that_hangs_is_ended_with_all_it_started,
    ),
];

fn sleeper() -> Container {
    let container = script("echo up; exec sleep 1000");
    drop(container.start());
    container
}

fn shell(text: &str) -> ProcessPlan {
    process(&["sh", "-c", text])
}

fn exec(container: &Container, process: ProcessPlan, detached: bool) -> Client {
    let state = container.state();
    session::exec(
        &container.run_base(),
        &container.plan_path(),
        &state,
        process,
        detached,
    )
    .unwrap()
}

/// Executes and attaches to it.
fn exec_attached(container: &Container, process: ProcessPlan) -> Client {
    let mut client = exec(container, process, false);
    let request = AttachRequest {
        input: true,
        input_once: true,
        ..AttachRequest::default()
    };
    client.send(&Request::Attach(request)).unwrap();
    client.started().unwrap();
    client
}

fn output(container: &Container, process: ProcessPlan, input: &str) -> (String, Outcome) {
    let options = Options {
        input: true,
        input_once: true,
        ..Options::default()
    };
    run_client(&mut exec_attached(container, process), input, &options)
}

fn exec_gives_output_and_code() {
    let container = sleeper();
    let (shown, outcome) = output(&container, shell("echo out; echo err >&2; exit 42"), "");
    assert_eq!((shown.len(), outcome), (8, Outcome::Exited(42)));
    let (_, outcome) = output(&container, shell("kill -9 $$"), "");
    assert_eq!(outcome, Outcome::Exited(137));
    let (shown, _) = output(
        &container,
        shell("kill -0 1 && echo alive; ls /proc/self/fd | wc -l"),
        "",
    );
    // Three, and the directory that is being listed.
    assert_eq!(shown, "alive\n4\n");
}

fn signals_are_as_a_program_expects_them() {
    let look = ["grep", "-E", "Sig(Ign|Blk)", "/proc/self/status"];
    let container = script("").with(|plan| plan.process = process(&look));
    drop(container.start());
    container.ended();
    let (shown, _) = output(&sleeper(), process(&look), "");
    for (case, seen) in [("run", container.log()), ("exec", shown)] {
        let masks = seen.lines().map(|line| line.split_once(":\t").unwrap().1);
        let masks: Vec<_> = masks.map(|m| u64::from_str_radix(m, 16).unwrap()).collect();
        // Signals 32 and 33 belong to the C library, which may have them ignored.
        let [blocked, ignored] = masks[..] else {
            panic!("{case}: {seen:?}")
        };
        assert_eq!((blocked, ignored & !(3 << 31)), (0, 0), "{case}: {seen:?}");
    }
}

fn exec_of_what_is_not_there_is_127_and_126() {
    let container = sleeper();
    for (program, code) in [("nowhere", 127), ("/etc", 126), ("/no/where", 127)] {
        let mut client = exec(&container, process(&[program]), false);
        match client.started() {
            Err(ClientError::Failed(failure)) => {
                assert_eq!(failure.code, code, "{failure:?}");
                assert!(failure.message.contains(program), "{failure:?}");
            }
            other => panic!("{program}: {other:?}"),
        }
    }
}

fn exec_in_an_ended_container_is_refused() {
    let container = script("sleep 1000");
    drop(container.start());
    let state = container.state();
    control::kill(container.run_dir(), 9).unwrap();
    container.ended();
    let (base, plan) = (container.run_base(), container.plan_path());
    let mut client = session::exec(&base, &plan, &state, process(&["true"]), false).unwrap();
    assert_eq!(
        client.started().unwrap_err().to_string(),
        "container box is not running"
    );
}

fn exec_moves_a_hundred_megabytes() {
    let container = sleeper();
    let mut cat = process(&["cat"]);
    cat.stdin_open = true;
    let input = "z".repeat(100 << 20);
    let (shown, outcome) = output(&container, cat, &input);
    assert_eq!(outcome, Outcome::Exited(0));
    assert!(shown == input, "{} bytes came back", shown.len());
}

fn exec_with_a_terminal() {
    let container = sleeper();
    let mut shell = process(&["sh"]);
    shell.tty = true;
    shell.stdin_open = true;
    let mut client = exec(&container, shell, false);
    let size = Some(WindowSize { rows: 11, cols: 22 });
    let request = AttachRequest {
        input: true,
        size,
        ..AttachRequest::default()
    };
    let mut attached = {
        let mut started = attach(client_started(&mut client, request), request);
        started.send("stty size\n").until("11 22");
        started
    };
    attached
        .client
        .send(&Request::Resize(WindowSize { rows: 33, cols: 44 }))
        .unwrap();
    attached
        .send("stty size; tty\n")
        .until("33 44")
        .until("/dev/pts/");
    attached.send("exit 8\n");
    assert_eq!(attached.end().code, Some(8));
}

/// Replaces the client by one that has been told that it started.
fn client_started(client: &mut Client, request: AttachRequest) -> Client {
    let (spare, _) = std::os::unix::net::UnixStream::pair().unwrap();
    client.send(&Request::Attach(request)).unwrap();
    client.started().unwrap();
    std::mem::replace(client, Client::from_socket(spare))
}

fn exec_outlives_its_client() {
    let container = sleeper();
    let client = exec_attached(
        &container,
        shell("echo begun; sleep 0.3; echo late > /tmp/late"),
    );
    drop(client);
    let late = container.dir.path().join("upper/tmp/late");
    eventually("it went on", || {
        std::fs::read_to_string(&late).is_ok_and(|t| t == "late\n")
    });
}

fn exec_detached() {
    let container = sleeper();
    let mut client = exec(
        &container,
        shell("yes | head -c 1000000; echo done > /tmp/done"),
        true,
    );
    client.started().unwrap();
    drop(client);
    let done = container.dir.path().join("upper/tmp/done");
    eventually("it went on", || {
        std::fs::read_to_string(&done).is_ok_and(|t| t == "done\n")
    });
}

fn exec_does_not_wait_for_what_it_left_behind() {
    let container = sleeper();
    let (shown, outcome) = output(&container, shell("sleep 1000 & echo here; exit 5"), "");
    assert_eq!((shown.as_str(), outcome), ("here\n", Outcome::Exited(5)));
}

fn exec_passes_signals() {
    let container = sleeper();
    let text = "trap 'exit 6' USR1; echo up; while :; do sleep 0.05; done";
    let client = exec_attached(&container, shell(text));
    let mut attached = attach(client, AttachRequest::default());
    attached
        .until("up\n")
        .client
        .send(&Request::Signal(10))
        .unwrap();
    assert_eq!(attached.end().code, Some(6));
}

fn exec_ends_with_its_container() {
    let container = sleeper();
    let client = exec_attached(&container, process(&["sleep", "1000"]));
    control::kill(container.run_dir(), 9).unwrap();
    assert_eq!(
        attach(client, AttachRequest::default()).end().code,
        Some(137)
    );
}

fn checked(text: &str, check: &str) -> Container {
    script(text).with(|plan| {
        plan.health = Some(HealthCheck {
            argv: vec!["sh".into(), "-c".into(), check.into()],
            interval_ms: 500,
            timeout_ms: 300,
            start_period_ms: 0,
            start_interval_ms: 5000,
            retries: 2,
        });
    })
}

fn health(container: &Container) -> model::container::HealthState {
    container.state().health.unwrap()
}

fn healthy_at_the_first_success() {
    let container = checked(
        "sleep 0.3; touch /tmp/up; sleep 1000",
        "echo checked; test -e /tmp/up",
    );
    drop(container.start());
    let watch = control::watch(container.run_dir()).unwrap();
    let mut seen = watch.map(|s| s.unwrap().health.unwrap());
    let healthy = seen.find(|h| h.status != HealthStatus::Starting).unwrap();
    assert_eq!(
        (healthy.status, healthy.failing_streak),
        (HealthStatus::Healthy, 0)
    );
    let last = healthy.log.last().unwrap();
    assert_eq!((last.exit_code, last.output.as_str()), (0, "checked\n"));
    assert!(last.start < last.end);
    // It stays so, with an executed-anew supervisor, and leaves nothing behind.
    eventually("it is checked again", || {
        health(&container).log.last() != Some(last)
    });
    assert_eq!(health(&container).status, HealthStatus::Healthy);
    control::kill(container.run_dir(), 9).unwrap();
    assert_eq!(container.wait(), 137);
}

fn unhealthy_and_why() {
    let container = checked("sleep 1000", "echo no >&2; exit 3");
    drop(container.start());
    eventually("it is unhealthy", || {
        health(&container).status == HealthStatus::Unhealthy
    });
    let state = health(&container);
    assert!(
        state.failing_streak >= 2 && state.log.len() == 5,
        "{state:?}"
    );
    assert_eq!(
        (state.log[4].exit_code, state.log[4].output.as_str()),
        (3, "no\n")
    );
}

fn a_check_that_hangs_is_ended_with_all_it_started() {
    let check = "echo slow; sleep 77777 & (sleep 77778; true) | cat";
    let container = checked("while :; do sleep 0.1; done", check);
    drop(container.start());
    eventually("it was given up", || !health(&container).log.is_empty());
    let probe = health(&container).log[0].clone();
    assert_eq!(probe.exit_code, -1);
    let said = "Health check exceeded timeout (300ms): slow\n";
    assert_eq!(probe.output, said);
    // Another one may be running by now, so few are left, not none.
    eventually("it was given up again", || {
        health(&container).log.len() == 5
    });
    let sleeps = |line: &&String| line.contains("sleep\x007777");
    let left = all_commands().iter().filter(sleeps).count();
    assert!(left <= 2, "{left} processes of checks are left");
    control::kill(container.run_dir(), 9).unwrap();
    container.ended();
}

/// Command lines of the machine's processes.
fn all_commands() -> Vec<String> {
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    let line = |entry: std::fs::DirEntry| std::fs::read(entry.path().join("cmdline")).ok();
    let lines = entries.filter_map(line);
    lines
        .map(|line| String::from_utf8_lossy(&line).into_owned())
        .collect()
}
