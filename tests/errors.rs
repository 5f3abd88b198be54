//! What goes wrong is said once, with its place and a hint, and leaves nothing behind.

#![expect(
    clippy::unwrap_used,
    reason = "a test that panics has failed, which is meant"
)]

mod kit;

use std::collections::BTreeSet;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};

use kit::bases::Base;
use kit::web::{PATIENCE, wait_until};
use kit::{Layout, Outcome, Server, Shim, free_port};

/// It failed with one message that has all of `parts` in it, and a hint.
fn said_once(outcome: Outcome, parts: &[&str]) -> String {
    let said = outcome.failed(parts);
    let errors = said
        .lines()
        .filter(|line| line.starts_with("error"))
        .count();
    assert_eq!(errors, 1, "one message:\n{said}");
    let hints = said
        .lines()
        .filter(|line| line.contains("hint: ") || line.contains("help: "));
    assert!(hints.count() >= 1, "a hint:\n{said}");
    said
}

/// Nothing runs, nothing is half-made.
fn nothing_left(shim: &Shim) {
    shim.leaves_no_trace(&BTreeSet::new());
    assert_eq!(
        shim.stored("containers")
            .iter()
            .filter(|n| !n.ends_with(".lock"))
            .count(),
        0
    );
}

/// Runs a command where no user namespace can be made: in one of the test's own, whose
/// limit is none.
fn without_namespaces(shim: &Shim, args: &[&str]) -> Outcome {
    let wanted = shim.command(args);
    let limit = "echo 0 > /proc/sys/user/max_user_namespaces && exec \"$@\" < /dev/null";
    let mut command = Command::new("unshare");
    // Who is nobody yet loses all capabilities when it executes; the second shell gets
    // them back.
    command.args([
        "--user",
        "/bin/sh",
        "-c",
        "read go; exec /bin/sh -c \"$@\"",
        "sh",
        limit,
        "sh",
    ]);
    command
        .arg(wanted.get_program())
        .args(wanted.get_args())
        .env_clear();
    command.envs(wanted.get_envs().filter_map(|(k, v)| Some((k, v?))));
    command.current_dir(wanted.get_current_dir().unwrap());
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let proc = std::path::PathBuf::from(format!("/proc/{}", child.id()));
    let own = std::fs::read_link("/proc/self/ns/user").unwrap();
    let moved = || std::fs::read_link(proc.join("ns/user")).unwrap() != own;
    assert!(wait_until(PATIENCE, moved));
    for file in ["uid_map", "gid_map"] {
        std::fs::write(proc.join(file), "0 0 4294967294\n").unwrap();
    }
    child.stdin.take().unwrap().write_all(b"go\n").unwrap();
    Outcome::from_child(child, &args.join(" "))
}

as_root_and_user! {

fn images_that_cannot_be_had(shim: &Shim) {
    let server = Server::open();
    let absent = server.name("no/such:1");
    let run = |image: &str| shim.run(&["run", "--rm", image, "true"]);
    let outcome = run(&absent);
    assert_eq!(outcome.code, 125);
    said_once(outcome, &[&absent, "not found"]);
    let nobody = format!("127.0.0.1:{}/app:1", free_port());
    said_once(run(&nobody), &[&nobody, "cannot reach", "Connection refused"]);
    said_once(shim.run(&["run", "--pull", "never", "nothing", "true"]), &["nothing"]);
    said_once(shim.run(&["create", &absent]), &[&absent, "not found"]);
    shim.write("ctx/Dockerfile", format!("FROM {absent}\nRUN true\n"));
    said_once(shim.run(&["build", "ctx"]), &["Dockerfile:1:6", &absent, "not found"]);

    let guarded = Server::guarded();
    guarded.fill(&Layout::busybox().source(), "app:1", &["--dest-creds", "kim:pass:word"]);
    let login = format!("shim login {}", guarded.host);
    said_once(run(&guarded.name("app:1")), &[&guarded.host, "denies access", &login]);
    let login = ["login", "-u", "kim", "--password-stdin", &guarded.host];
    said_once(shim.run_with(&login, b"guess\n"), &[&guarded.host, "kim"]);
    nothing_left(shim);
    assert_eq!(shim.ok(&["images", "-q"]), "");
}

fn build_files_with_mistakes(shim: &Shim) {
    shim.write("empty/file", "");
    said_once(shim.run(&["build", "empty"]), &["empty/Dockerfile"]);
    said_once(shim.run(&["build", "-f", "nope", "empty"]), &["nope"]);
    said_once(shim.run(&["build", "no/such/directory"]), &["no/such/directory"]);

    shim.write("ctx/Dockerfile", "FROM busybox\nENV A=1\nCOYP a b\n");
    said_once(shim.run(&["build", "ctx"]), &["Dockerfile:3:1", "COYP a b", "`COPY`?"]);
    shim.write("ctx/Dockerfile", "FROM busybox\nRUN --mount=type=nonsense true\n");
    shim.run(&["build", "ctx"]).failed(&["Dockerfile:2:", "nonsense"]);
    shim.write("ctx/Dockerfile", "RUN true\n");
    shim.run(&["build", "ctx"]).failed(&["Dockerfile:1:1", "RUN true"]);

    shim.has(&[Base::Busybox]);
    shim.write("ctx/Dockerfile", "FROM busybox\nCOPY absent /\n");
    shim.run(&["build", "ctx"]).failed(&["Dockerfile:2:", "COPY absent /", "no `absent`"]);
    shim.write("ctx/Dockerfile", "FROM busybox\nRUN echo before; exit 9\n");
    shim.run(&["build", "-t", "half", "ctx"]).failed(&["Dockerfile:2:", "9"]);
    shim.run(&["inspect", "half"]).failed(&["half"]);
    nothing_left(shim);
}

fn compose_files_with_mistakes(shim: &Shim) {
    for command in [&["up", "-d"][..], &["config"], &["down"], &["compose", "ps"]] {
        said_once(shim.run(command), &["compose.yaml"]);
    }
    shim.run(&["-f", "nope.yaml", "up"]).failed(&["cannot read nope.yaml"]);

    let file = |text: &str| drop(shim.write("compose.yaml", text));
    let up = || shim.run(&["up", "-d"]);
    file("services:\n  web:\n    image: busybox\n   command: [\n");
    up().failed(&["compose.yaml:4:"]);
    file("services:\n  web:\n    image: busybox\n    ports: [\"eighty\"]\n");
    up().failed(&["compose.yaml:4:13", "ports: [\"eighty\"]"]);
    file("services:\n  web:\n    imaeg: busybox\n");
    up().failed(&["compose.yaml:", "web"]);
    file("services:\n  web:\n    image: busybox\n    depends_on: [db]\n");
    up().failed(&["compose.yaml:4:18", "db"]);

    file("services:\n  web:\n    image: busybox\n");
    let (exec, logs) = (["compose", "exec", "wbe", "true"], ["compose", "logs", "wbe"]);
    for command in [&["up", "-d", "wbe"][..], &exec, &logs] {
        said_once(shim.run(command), &["wbe", "web"]);
    }
    nothing_left(shim);
}

fn mounts_that_cannot_be_made(shim: &Shim) {
    shim.has(&[Base::Busybox]);
    shim.write("file", "");
    let run = |volume: &str| {
        let outcome = shim.run(&["run", "--rm", "-v", volume, "busybox", "true"]);
        assert_eq!(outcome.code, 125, "{volume}");
        outcome
    };
    let below = shim.path("file/below").display().to_string();
    said_once(run("./file/below:/x"), &[&below, "/x"]);
    if shim.rootless() {
        let closed = tempfile::tempdir().unwrap();
        std::fs::set_permissions(closed.path(), PermissionsExt::from_mode(0o700)).unwrap();
        std::fs::create_dir(closed.path().join("inside")).unwrap();
        let path = closed.path().join("inside").display().to_string();
        said_once(run(&format!("{path}:/x")), &[&path, "/x"]);
    }
    said_once(run("a/b:/x"), &["a/b"]);
    said_once(run("name:relative"), &["relative"]);
    nothing_left(shim);
}

fn containers_that_cannot_start(shim: &Shim) {
    shim.has(&[Base::Busybox]);
    let run = |flags: &[&str]| shim.run(&[&["run", "-d", "--name", "c"], flags].concat());
    run(&["busybox", "/no/such"]).failed(&["/no/such"]);
    let _ = shim.run(&["rm", "-f", "c"]);
    run(&["-u", "zoe", "busybox", "true"]).failed(&["zoe"]);
    let _ = shim.run(&["rm", "-f", "c"]);
    run(&["-p", "70000:80", "busybox", "true"]).failed(&["70000:80", "hint:"]);
    run(&["--entrypoint", "", "busybox"]).failed(&["no command", "hint:"]);
    run(&["--network", "nowhere", "busybox", "true"]).failed(&["nowhere"]);
    run(&["--memory", "1k", "busybox", "true"]).failed(&["memory"]);
    let _ = shim.run(&["rm", "-f", "c"]);
    run(&["-w", "relative", "busybox", "true"]).failed(&["relative"]);
    run(&["--restart", "sometimes", "busybox", "true"]).failed(&["sometimes", "hint:"]);
    shim.run(&["stop", "nobody"]).failed(&["nobody"]);
    shim.run(&["logs", "nobody"]).failed(&["nobody"]);
    nothing_left(shim);
}

}

#[test]
fn a_machine_without_user_namespaces_is_told_the_remedy() {
    let shim = Shim::as_user();
    let outcome = without_namespaces(&shim, &["run", "--rm", "busybox", "true"]);
    assert_eq!(outcome.code, 125, "{outcome:?}");
    let parts = [
        "user namespaces",
        "shimtest",
        "sysctl -w user.max_user_namespaces=",
    ];
    said_once(outcome, &parts);
    assert!(shim.processes().is_empty());
    assert_eq!(shim.stored("tmp"), [""; 0]);
}
