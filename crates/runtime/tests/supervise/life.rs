//! A container's life under its supervisor: start, stop, restart, the end.

use std::time::Duration;

use model::container::{RestartPolicy, RunPhase};
use runtime::control;
use runtime::liveness::{self, Observed};

use crate::Test;
use crate::kit::{eventually, process, script};

pub(crate) const TESTS: &[Test] = &[
    ("runs_and_records_the_exit", runs_and_records_the_exit),
    (
        "a_program_that_is_not_there_is_127",
        a_program_that_is_not_there_is_127,
    ),
    ("a_second_start_is_refused", a_second_start_is_refused),
    ("stop_asks_before_it_kills", stop_asks_before_it_kills),
    (
        "stop_kills_what_does_not_listen",
        stop_kills_what_does_not_listen,
    ),
    ("kill_sends_the_signal", kill_sends_the_signal),
    ("on_failure_restarts_so_often", on_failure_restarts_so_often),
    ("a_stop_ends_restarting", a_stop_ends_restarting),
    (
        "a_killed_supervisor_takes_its_container_along",
        a_killed_supervisor_takes_its_container_along,
    ),
    (
        "a_settled_supervisor_is_small",
        a_settled_supervisor_is_small,
    ),
    ("watching_shows_each_change", watching_shows_each_change),
    (
        "what_follows_is_executed_and_waited_for",
        what_follows_is_executed_and_waited_for,
    ),
    ("sigterm_ends_it_in_order", sigterm_ends_it_in_order),
    (
        "a_thousand_children_leave_no_zombie",
        a_thousand_children_leave_no_zombie,
    ),
];

fn runs_and_records_the_exit() {
    let container = script("echo out; echo err >&2; exit 7");
    let _client = container.start();
    assert_eq!(container.wait(), 7);
    let record = container.exit_record();
    assert_eq!(
        (record.code, record.error, record.stopped_by_user),
        (7, None, false)
    );
    assert!(record.started_at < record.finished_at);
    let mut lines: Vec<_> = container.log().lines().map(str::to_owned).collect();
    lines.sort();
    assert_eq!(lines, ["err", "out"]);
    assert!(matches!(container.observe(), Observed::Exited(_)));
    assert!(!container.run_dir().join("ctl").exists());
}

fn a_program_that_is_not_there_is_127() {
    let container = script("").with(|plan| plan.process = process(&["nowhere"]));
    let said = container.spawn().started().unwrap_err().to_string();
    assert!(said.contains("nowhere"), "{said}");
    container.ended();
    assert_eq!(container.exit_record().code, 127);
    assert!(container.exit_record().error.unwrap().contains("nowhere"));
}

fn a_second_start_is_refused() {
    let container = script("sleep 1000");
    let _client = container.start();
    let said = container.spawn().started().unwrap_err().to_string();
    assert_eq!(said, "container box is already running");
    assert_eq!(container.state().phase, RunPhase::Running);
}

fn stop_asks_before_it_kills() {
    let container = script("trap 'echo bye; exit 3' TERM; echo up; while :; do sleep 0.05; done");
    let _client = container.start();
    eventually("it is up", || container.log() == "up\n");
    let patience = Some(Duration::from_secs(20));
    let code = control::stop(container.run_dir(), container.exit(), None, patience).unwrap();
    assert_eq!(code, 3);
    assert!(container.exit_record().stopped_by_user);
    assert_eq!(container.log(), "up\nbye\n");
}

fn stop_kills_what_does_not_listen() {
    let container = script("trap '' TERM; echo up; while :; do sleep 0.05; done");
    let _client = container.start();
    eventually("it is up", || container.log() == "up\n");
    let code = control::stop(container.run_dir(), container.exit(), None, None).unwrap();
    assert_eq!(code, 137);
}

fn kill_sends_the_signal() {
    let container = script("trap 'echo again' HUP; echo up; while :; do sleep 0.05; done");
    let _client = container.start();
    eventually("it is up", || container.log() == "up\n");
    control::kill(container.run_dir(), 1).unwrap();
    eventually("it heard", || container.log() == "up\nagain\n");
    let said = control::kill(container.run_dir(), 99)
        .unwrap_err()
        .to_string();
    assert!(said.contains("signal 99"), "{said}");
    control::kill(container.run_dir(), 9).unwrap();
    assert_eq!(container.wait(), 137);
    assert!(container.exit_record().stopped_by_user);
}

fn on_failure_restarts_so_often() {
    let container = script("echo run; exit 4")
        .with(|plan| plan.restart = RestartPolicy::OnFailure { max_retries: 2 });
    let _client = container.start();
    assert_eq!(container.wait(), 4);
    assert_eq!(container.log(), "run\nrun\nrun\n");
    assert_eq!(container.exit_record().restarts, 2);
}

fn a_stop_ends_restarting() {
    let container = script("echo run; exit 0").with(|plan| plan.restart = RestartPolicy::Always);
    let _client = container.start();
    eventually("it waits for its third run", || {
        let state = container.state();
        state.phase == RunPhase::Restarting && state.restarts >= 3 && state.init.is_none()
    });
    control::stop(container.run_dir(), container.exit(), None, None).unwrap();
    assert!(container.exit_record().stopped_by_user);
    assert!(matches!(container.observe(), Observed::Exited(_)));
}

fn a_killed_supervisor_takes_its_container_along() {
    let container = script("sleep 1000");
    let _client = container.start();
    let state = container.state();
    let init = state.init.unwrap();
    runtime::process::signal(state.supervisor, &state.boot_id, 9).unwrap();
    eventually("the loss is seen", || container.observe() == Observed::Dead);
    let record = liveness::reap(container.run_dir(), container.exit())
        .unwrap()
        .unwrap();
    assert_eq!(record.code, 137);
    assert_eq!(record.started_at, state.started_at);
    eventually("the process is gone", || {
        runtime::process::open(init, &state.boot_id)
            .unwrap()
            .is_none()
    });
    assert_eq!(container.observe(), Observed::Exited(record));
    // And it can be started again.
    let _client = container.start();
    assert_ne!(container.state().init, Some(init));
}

fn a_settled_supervisor_is_small() {
    let container = script("sleep 1000");
    let _client = container.start();
    let before = container.state().supervisor;
    let file =
        |name: &str| std::fs::read_to_string(format!("/proc/{}/{name}", before.pid)).unwrap();
    eventually("it executed itself", || {
        file("cmdline").contains("--resume")
    });
    assert_eq!(container.state().supervisor, before);
    let rollup = file("smaps_rollup");
    let anonymous = rollup
        .lines()
        .find(|l| l.starts_with("Anonymous:"))
        .unwrap();
    let kib: u64 = anonymous
        .split_whitespace()
        .nth(1)
        .unwrap()
        .parse()
        .unwrap();
    assert!(kib < 400, "{rollup}");
    assert_eq!(
        control::status(container.run_dir()).unwrap(),
        container.state()
    );
    control::kill(container.run_dir(), 15).unwrap();
    control::kill(container.run_dir(), 9).unwrap();
    assert_eq!(container.wait(), 137);
}

fn watching_shows_each_change() {
    let container = script("sleep 0.2; exit 1")
        .with(|plan| plan.restart = RestartPolicy::OnFailure { max_retries: 1 });
    let _client = container.start();
    let watch = control::watch(container.run_dir()).unwrap();
    let seen: Vec<_> = watch
        .map(|s| s.unwrap())
        .map(|s| (s.phase, s.restarts))
        .collect();
    assert_eq!(
        seen,
        [
            (RunPhase::Running, 0),
            (RunPhase::Restarting, 1),
            (RunPhase::Running, 1)
        ]
    );
}

fn what_follows_is_executed_and_waited_for() {
    let container = script("true");
    let mark = container.dir.path().join("mark");
    let words = vec![crate::FOLLOWS.to_owned(), mark.to_str().unwrap().to_owned()];
    let container = container.with(|plan| plan.after_exit = Some(words));
    let mut client = container.start();
    client.closed().unwrap();
    assert!(mark.exists());
    assert!(!liveness::is_held(container.run_dir()).unwrap());
}

fn sigterm_ends_it_in_order() {
    let container =
        script("trap 'exit 5' TERM; echo up; while :; do sleep 0.05; done").with(|plan| {
            plan.restart = RestartPolicy::Always;
            plan.stop.grace_ms = 20_000;
        });
    let _client = container.start();
    eventually("it is up", || container.log() == "up\n");
    let state = container.state();
    runtime::process::signal(state.supervisor, &state.boot_id, 15).unwrap();
    container.ended();
    let record = container.exit_record();
    assert_eq!((record.code, record.stopped_by_user), (5, false));
}

fn a_thousand_children_leave_no_zombie() {
    let text = "i=0; while [ $i -lt 1000 ]; do (true &); i=$((i+1)); done; echo done; sleep 1000";
    let container = script(text);
    let _client = container.start();
    eventually("all ran", || container.log() == "done\n");
    let supervisor = container.state().supervisor.pid;
    let path = format!("/proc/{supervisor}/task/{supervisor}/children");
    let children = std::fs::read_to_string(path).unwrap();
    assert_eq!(children.split_whitespace().count(), 1, "{children}");
}
