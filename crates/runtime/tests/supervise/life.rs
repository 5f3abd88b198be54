//! A container's life under its supervisor.

use model::container::*;
use runtime::attach::Options;
use runtime::frames::AttachRequest;
use runtime::liveness::{self, Observed};

use crate::kit::*;

type Test = (&'static str, fn());

pub(crate) const TESTS: &[Test] = &[
    ("runs_and_records_the_exit", runs_and_records_the_exit),
    (
        "a_program_that_is_not_there_is_127",
        a_program_that_is_not_there_is_127,
    ),
    (
        "the_start_waits_for_the_first_client",
        the_start_waits_for_the_first_client,
    ),
];

fn runs_and_records_the_exit() {
    let container = script("echo out; echo err >&2; exit 7");
    let client = container.start();
    assert_eq!(container.wait(), 7);
    let record = container.exit_record();
    assert_eq!(
        (record.code, record.error, record.stopped_by_user),
        (7, None, false)
    );
    assert!(record.started_at < record.finished_at);
    assert_eq!(container.log(), "out\nerr\n");
    assert!(matches!(container.observe(), Observed::Exited(_)));
    drop(client);
}

fn a_program_that_is_not_there_is_127() {
    let container = script("").with(|plan| plan.process = process(&["nowhere"]));
    let error = container.spawn().started().unwrap_err();
    let said = error.to_string();
    assert!(said.contains("nowhere"), "{said}");
    eventually("it has ended", || {
        !liveness::is_held(container.run_dir()).unwrap()
    });
    assert_eq!(container.exit_record().code, 127);
}

fn the_start_waits_for_the_first_client() {
    let container = script("cat; echo done").with(|plan| {
        plan.wait_for_attach = true;
        plan.process.stdin_open = true;
    });
    let mut client = container.spawn();
    eventually("the socket is there", || {
        container.run_dir().join("ctl").exists()
    });
    assert_eq!(container.state().phase, RunPhase::Created);
    let options = Options {
        input: true,
        input_once: true,
        lossless: true,
        ..Options::default()
    };
    let null = std::fs::File::open("/dev/null").unwrap();
    let stdio = runtime::attach::Stdio {
        stdin: std::os::fd::AsFd::as_fd(&null),
        stdout: std::os::fd::AsFd::as_fd(&null),
        stderr: std::os::fd::AsFd::as_fd(&null),
    };
    runtime::attach::request(&mut client, stdio, &options).unwrap();
    client.started().unwrap();
    let (shown, outcome) = run_client(&mut client, "hello\n", &options);
    assert_eq!(shown, "hello\ndone\n");
    assert_eq!(outcome, runtime::attach::Outcome::Exited(0));
    let _ = AttachRequest::default();
}
