//! Compose projects from end to end: what a file means, what `up` does with it, what it
//! refuses.

#![expect(
    clippy::unwrap_used,
    reason = "a test that panics has failed, which is meant"
)]

mod kit;

use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};

use kit::bases::Base;
use kit::web::{PATIENCE, get, get_until, wait_until};
use kit::{Outcome, Shim, free_port};
use serde_json::Value;

/// Stays until it is told to go.
const STAY: &str = "trap exit TERM; while :; do sleep 0.1; done";

/// Writes `app/compose.yaml`.
fn project(shim: &Shim, text: &str) {
    shim.write("app/compose.yaml", text.replace("STAY", STAY));
}

/// `shim -f app/compose.yaml ARGS`.
fn app(shim: &Shim, args: &[&str]) -> Outcome {
    shim.run(&[&["-f", "app/compose.yaml"], args].concat())
}

/// The same, inside `app` and with variables.
fn with_variables(shim: &Shim, variables: &[(&str, &str)], args: &[&str]) -> String {
    let mut command = shim.command(args);
    command
        .current_dir(shim.path("app"))
        .envs(variables.iter().copied());
    output(&mut command)
}

fn output(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}\n{said}");
    String::from_utf8(output.stdout).unwrap()
}

fn config(shim: &Shim, variables: &[(&str, &str)], flags: &[&str]) -> Value {
    let args = [flags, &["config", "--format", "json"]].concat();
    serde_json::from_str(&with_variables(shim, variables, &args)).unwrap()
}

/// The id of a service's container, empty if it has none.
fn id(shim: &Shim, service: &str) -> String {
    app(shim, &["compose", "ps", "-a", "-q", service]).succeeded()
}

#[test]
fn config_prints_the_seed_example_as_it_is_meant() {
    let shim = Shim::as_user();
    let directory = shim.copy("tests/seed", "seed");
    let flags = ["-f", "seed/docker-compose.yml"];
    let said = shim.run(&[&flags[..], &["config", "--format", "json"]].concat());
    assert!(
        said.stderr.contains("`version` is obsolete"),
        "{}",
        said.stderr
    );
    let json: Value = serde_json::from_str(&said.succeeded()).unwrap();
    assert_eq!(json["name"], "seed");
    let api = &json["services"]["api"];
    assert_eq!(api["build"]["context"], directory.to_str().unwrap());
    assert_eq!(
        api["environment"]["DATABASE_URL"],
        "postgresql://user:password@db:5432/mydb"
    );
    assert_eq!(api["ports"][0]["target"], 8000);
    assert_eq!(api["ports"][0]["published"], "8000");
    assert_eq!(json["services"]["db"]["healthcheck"]["retries"], 12);

    let yaml = shim.ok(&[&flags[..], &["config"]].concat());
    assert!(yaml.starts_with("name: seed\n"), "{yaml}");
    shim.write("again/compose.yaml", &yaml);
    let again = shim.run(&["-f", "again/compose.yaml", "config"]);
    assert_eq!(
        again.stderr, "",
        "what is printed can be read without a complaint"
    );
    assert_eq!(again.succeeded(), yaml);
}

#[test]
fn variables_come_from_the_shell_then_from_dotenv_then_from_the_default() {
    let shim = Shim::as_user();
    project(
        &shim,
        "services:\n  web:\n    image: busybox:${TAG:-latest}\n    environment:\n      \
         A: ${A:-default}\n      B: ${B:-default}\n      C: ${C:-default}\n      \
         D: cost $$5\n      E: ${A:+set}\n",
    );
    shim.write("app/.env", "A=file\nB=file # a comment\n");
    let environment = |config: &Value| config["services"]["web"]["environment"].clone();
    let found = config(&shim, &[("A", "shell")], &[]);
    assert_eq!(found["services"]["web"]["image"], "busybox:latest");
    let wanted = serde_json::json!(
        { "A": "shell", "B": "file", "C": "default", "D": "cost $5", "E": "set" }
    );
    let mut seen = environment(&found);
    // Printed so that it means the same when it is read again.
    seen["D"] = seen["D"].as_str().unwrap().replace("$$", "$").into();
    assert_eq!(seen, wanted);
    shim.write("app/other.env", "B=other\n");
    let found = config(&shim, &[("TAG", "1")], &["--env-file", "other.env"]);
    assert_eq!(found["services"]["web"]["image"], "busybox:1");
    assert_eq!(environment(&found)["A"], "default");
    assert_eq!(environment(&found)["B"], "other");
}

#[test]
fn a_variable_that_must_be_set_is_named_with_its_line() {
    let shim = Shim::as_user();
    project(
        &shim,
        "services:\n  web:\n    image: busybox:${TAG:?choose a tag}\n",
    );
    app(&shim, &["config"]).failed(&["TAG", "choose a tag", "compose.yaml:3:"]);
}

#[test]
fn profiles_choose_services() {
    let shim = Shim::as_user();
    project(
        &shim,
        "services:\n  web:\n    image: busybox\n  tool:\n    image: busybox\n    \
         profiles: [debug]\n",
    );
    let services = |variables: &[(&str, &str)], flags: &[&str]| {
        with_variables(
            &shim,
            variables,
            &[flags, &["config", "--services"]].concat(),
        )
    };
    assert_eq!(services(&[], &[]), "web\n");
    assert_eq!(services(&[], &["--profile", "debug"]), "tool\nweb\n");
    assert_eq!(
        services(&[("COMPOSE_PROFILES", "debug")], &[]),
        "tool\nweb\n"
    );
    assert_eq!(services(&[], &["--profile", "other"]), "web\n");
    let plan = app(&shim, &["up", "--dry-run", "tool"]).succeeded();
    assert!(
        plan.contains("create container app-tool-1"),
        "named, it is on: {plan}"
    );
}

#[test]
fn later_files_override_earlier_ones() {
    let shim = Shim::as_user();
    project(
        &shim,
        "services:\n  web:\n    image: busybox\n    environment: { A: one, B: one }\n    \
         ports: ['8000:80']\n",
    );
    let second = "services:\n  web:\n    environment: { B: two }\n    ports: ['8001:81']\n";
    shim.write("app/second.yaml", second);
    let check = |found: &Value| {
        let web = &found["services"]["web"];
        assert_eq!(
            web["environment"],
            serde_json::json!({ "A": "one", "B": "two" })
        );
        assert_eq!(web["ports"].as_array().unwrap().len(), 2, "{web}");
    };
    check(&config(
        &shim,
        &[],
        &["-f", "compose.yaml", "-f", "second.yaml"],
    ));
    check(&config(
        &shim,
        &[("COMPOSE_FILE", "compose.yaml:second.yaml")],
        &[],
    ));
    shim.write("app/compose.override.yaml", second);
    check(&config(&shim, &[], &[]));
}

#[test]
fn mistakes_are_shown_where_they_are() {
    let shim = Shim::as_user();
    project(
        &shim,
        "services:\n  web:\n    image: busybox\n    comand: sleep 1\n   ports: []\n",
    );
    app(&shim, &["up", "-d"]).failed(&["error", "app/compose.yaml:5:", "ports"]);
    project(
        &shim,
        "services:\n  web:\n    image: busybox\n    ports: ['eighty:80']\n",
    );
    app(&shim, &["up", "-d"]).failed(&["eighty", "app/compose.yaml:4:"]);
    project(
        &shim,
        "services:\n  web:\n    image: busybox\n    depends_on: [bd]\n  db:\n    image: a\n",
    );
    app(&shim, &["up", "-d"]).failed(&["`bd`", "compose.yaml:4:", "`db`"]);
    project(
        &shim,
        "services:\n  web:\n    image: busybox\n    gpus: all\n",
    );
    let said = app(&shim, &["config"]);
    assert!(
        said.stderr.contains("warning") && said.stderr.contains("gpus"),
        "{}",
        said.stderr
    );
    assert!(said.stderr.contains("compose.yaml:4:"), "{}", said.stderr);
    let _ = said.succeeded();
    shim.run(&["up", "-d"])
        .failed(&["no compose file in", "hint:"]);
    shim.run(&["-f", "absent.yaml", "up", "-d"])
        .failed(&["absent.yaml"]);
    assert_eq!(shim.ok(&["ps", "-aq"]), "");
}

as_root_and_user! {

fn a_failing_one_shot_stops_its_dependants(shim: &Shim) {
    shim.has(&[Base::Busybox]);
    project(shim, "\
services:
  migrate:
    image: busybox
    command: ['sh', '-c', 'echo first; echo the table is locked >&2; exit 3']
  web:
    image: busybox
    command: ['sh', '-c', 'STAY']
    depends_on:
      migrate: { condition: service_completed_successfully }
  page:
    image: busybox
    command: ['sh', '-c', 'STAY']
    depends_on: [web]
");
    app(shim, &["up", "-d"]).failed(&["migrate", "exit code 3", "first", "the table is locked"]);
    assert_eq!(id(shim, "web"), "");
    assert_eq!(id(shim, "page"), "");
    let namespaces = shim.namespaces();
    app(shim, &["down", "-v"]).succeeded();
    shim.leaves_no_trace(&namespaces);
}

fn dependants_wait_for_what_they_depend_on(shim: &Shim) {
    shim.has(&[Base::Busybox]);
    project(shim, "\
services:
  db:
    image: busybox
    command: ['sh', '-c', 'sleep 1; touch /data/ready; STAY']
    volumes: ['data:/data']
    healthcheck:
      test: ['CMD', 'test', '-f', '/data/ready']
      interval: 200ms
      retries: 100
  migrate:
    image: busybox
    command: ['sh', '-c', 'test -f /data/ready && sleep 1 && touch /data/migrated']
    volumes: ['data:/data']
    depends_on:
      db: { condition: service_healthy }
  web:
    image: busybox
    command: ['sh', '-c', 'test -f /data/migrated && echo in order; STAY']
    volumes: ['data:/data']
    depends_on:
      migrate: { condition: service_completed_successfully }
volumes:
  data:
");
    app(shim, &["up", "-d"]).succeeded();
    let logs = || app(shim, &["compose", "logs", "web"]).succeeded();
    let met = wait_until(PATIENCE, || logs().contains("in order"));
    assert!(met, "{}", logs());
    let table = app(shim, &["compose", "ps", "-a"]).succeeded();
    let row = |name: &str| {
        let row = table.lines().find(|line| line.starts_with(name));
        row.unwrap_or_else(|| panic!("no {name} in\n{table}")).to_owned()
    };
    assert!(row("app-db-1").contains("(healthy)"), "{table}");
    assert!(row("app-migrate-1").contains("Exited (0)"), "{table}");
    assert!(row("app-web-1").contains("Up "), "{table}");
    assert_eq!(shim.ok(&["volume", "ls", "-q"]), "app_data");
    app(shim, &["down"]).succeeded();
    assert_eq!(shim.ok(&["volume", "ls", "-q"]), "app_data", "data stays without -v");
    app(shim, &["down", "-v"]).succeeded();
    assert_eq!(shim.ok(&["volume", "ls", "-q"]), "");
}

fn an_unhealthy_dependency_is_told_with_what_its_check_said(shim: &Shim) {
    shim.has(&[Base::Busybox]);
    project(shim, "\
services:
  db:
    image: busybox
    command: ['sh', '-c', 'echo starting; STAY']
    healthcheck:
      test: echo no space left; exit 1
      interval: 100ms
      retries: 2
  web:
    image: busybox
    depends_on:
      db: { condition: service_healthy }
");
    app(shim, &["up", "-d"]).failed(&["service db is unhealthy", "no space left", "starting"]);
    assert_eq!(id(shim, "web"), "");
    app(shim, &["down", "-t", "1"]).succeeded();
}

fn a_change_recreates_only_its_service(shim: &Shim) {
    shim.has(&[Base::Busybox]);
    let text = |value: &str| format!("\
services:
  api:
    image: busybox
    command: ['sh', '-c', 'STAY']
    environment: {{ A: {value} }}
  web:
    image: busybox
    command: ['sh', '-c', 'STAY']
");
    project(shim, &text("one"));
    app(shim, &["up", "-d"]).succeeded();
    let names = shim.ok(&["ps", "--format", "{{.Names}}"]);
    let mut names: Vec<_> = names.lines().collect();
    names.sort_unstable();
    assert_eq!(names, ["app-api-1", "app-web-1"]);
    let before = (id(shim, "api"), id(shim, "web"));

    project(shim, &text("two"));
    let plan = app(shim, &["up", "-d", "--dry-run"]).succeeded();
    for part in ["recreate container app-api-1", "one", "two", "keep container app-web-1"] {
        assert!(plan.contains(part), "no `{part}` in\n{plan}");
    }
    app(shim, &["up", "-d"]).succeeded();
    let after = (id(shim, "api"), id(shim, "web"));
    assert_ne!(before.0, after.0);
    assert_eq!(before.1, after.1);
    let seen = app(shim, &["compose", "exec", "-T", "api", "sh", "-c", "echo $A"]).succeeded();
    assert_eq!(seen, "two");
    app(shim, &["up", "-d", "--force-recreate", "web"]).succeeded();
    assert_ne!(id(shim, "web"), after.1);
    assert_eq!(id(shim, "api"), after.0);
}

fn two_at_once_do_it_once(shim: &Shim) {
    shim.has(&[Base::Busybox]);
    project(shim, "\
services:
  api:
    image: busybox
    command: ['sh', '-c', 'STAY']
  web:
    image: busybox
    command: ['sh', '-c', 'STAY']
");
    let both = std::thread::scope(|scope| {
        let up = || app(shim, &["up", "-d"]);
        let threads = [scope.spawn(up), scope.spawn(up)];
        threads.map(|thread| thread.join().unwrap())
    });
    for outcome in both {
        outcome.succeeded();
    }
    let names = app(shim, &["compose", "ps", "--format", "{{.Name}}"]).succeeded();
    assert_eq!(names, "app-api-1\napp-web-1");
}

fn orphans_are_named_and_removed_when_asked(shim: &Shim) {
    shim.has(&[Base::Busybox]);
    let service = |name: &str| {
        format!("  {name}:\n    image: busybox\n    command: ['sh', '-c', 'STAY']\n")
    };
    project(shim, &format!("services:\n{}{}", service("old"), service("web")));
    app(shim, &["up", "-d"]).succeeded();
    project(shim, &format!("services:\n{}", service("web")));
    let said = app(shim, &["up", "-d"]);
    assert!(said.stderr.contains("app-old-1"), "{}", said.stderr);
    assert!(said.stderr.contains("--remove-orphans"), "{}", said.stderr);
    said.succeeded();
    assert!(shim.ok(&["ps", "--format", "{{.Names}}"]).contains("app-old-1"), "it stays");
    app(shim, &["up", "-d", "--remove-orphans"]).succeeded();
    assert_eq!(shim.ok(&["ps", "-a", "--format", "{{.Names}}"]), "app-web-1");
}

fn services_talk_by_name_and_answer_the_everyday_verbs(shim: &Shim) {
    shim.has(&[Base::Busybox]);
    let port = free_port();
    shim.write("app/Dockerfile", "FROM busybox\nRUN echo built > /www/index.html\n");
    project(shim, &format!("\
services:
  api:
    build: .
    command: httpd -f -p 80 -h /www
    stop_grace_period: 0s
    ports: ['{port}:80']
    networks:
      default: {{ aliases: [backend] }}
  web:
    image: busybox
    hostname: page
    command: ['sh', '-c', 'echo hello; STAY']
"));
    app(shim, &["compose", "build"]).succeeded();
    assert!(shim.ok(&["images"]).contains("app-api"));
    let up = app(shim, &["up", "-d"]);
    assert!(!up.stderr.contains("RUN"), "it is built already: {}", up.stderr);
    up.succeeded();
    get_until(port, "/", "built");
    for name in ["api", "backend", "app-api-1"] {
        let url = format!("http://{name}/");
        let page = app(shim, &["compose", "exec", "-T", "web", "wget", "-q", "-O", "-", &url]);
        assert_eq!(page.succeeded(), "built", "{name}");
    }
    assert_eq!(app(shim, &["compose", "exec", "-T", "web", "hostname"]).succeeded(), "page");
    let failed = app(shim, &["compose", "exec", "-T", "web", "sh", "-c", "exit 3"]);
    assert_eq!(failed.code, 3);
    let logs = app(shim, &["compose", "logs"]).succeeded();
    assert!(logs.lines().any(|line| line == "web-1  | hello"), "{logs}");
    let rows = app(shim, &["compose", "ps", "--format", "{{.Service}} {{.Name}}"]).succeeded();
    assert_eq!(rows, "api app-api-1\nweb app-web-1");
    app(shim, &["compose", "exec", "-T", "wbe", "true"])
        .failed(&["no such service: wbe", "did you mean `web`?"]);
    app(shim, &["compose", "logs", "wbe"]).failed(&["no such service: wbe", "`web`"]);
    app(shim, &["up", "-d", "wbe"]).failed(&["no such service: wbe", "`web`"]);
    let namespaces = shim.namespaces();
    app(shim, &["down", "-v"]).succeeded();
    shim.leaves_no_trace(&namespaces);
    assert!(get(port, "/").is_none());
}

fn the_foreground_shows_logs_until_it_is_interrupted(shim: &Shim) {
    shim.has(&[Base::Busybox]);
    project(shim, "\
services:
  once:
    image: busybox
    command: echo hello
");
    let shown = app(shim, &["up"]).succeeded();
    assert!(shown.lines().any(|line| line == "once-1  | hello"), "{shown}");

    project(shim, "\
services:
  stays:
    image: busybox
    command: ['sh', '-c', 'echo hello; STAY']
");
    let mut command = shim.command(&["-f", "app/compose.yaml", "up"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(child.stdout.take().unwrap()));
    assert_eq!(lines.next().unwrap().unwrap(), "stays-1  | hello");
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert_eq!(shim.ok(&["ps", "-q"]), "", "they are stopped");
    assert!(!id(shim, "stays").is_empty(), "and kept");
    app(shim, &["down"]).succeeded();
}

fn a_port_in_use_is_told_with_its_holder(shim: &Shim) {
    shim.has(&[Base::Busybox]);
    let holder = TcpListener::bind("0.0.0.0:0").unwrap();
    let port = holder.local_addr().unwrap().port();
    let text = "\
services:
  web:
    image: busybox
    command: ['sh', '-c', 'STAY']
    ports: ['PORT:80']
";
    project(shim, &text.replace("PORT", &port.to_string()));
    let said = app(shim, &["up", "-d"]).failed(&["app-web-1", &format!("{port}/tcp"), "in use", "hint:"]);
    if !shim.rootless() {
        // A plain user cannot see whose process it is.
        assert!(said.contains(&format!("pid {}", std::process::id())), "{said}");
    }
    assert_eq!(shim.ok(&["ps", "-q"]), "");
    drop(holder);
    app(shim, &["up", "-d"]).succeeded();
    let namespaces = shim.namespaces();
    app(shim, &["down"]).succeeded();
    shim.leaves_no_trace(&namespaces);
}

fn what_cannot_be_read_is_named(shim: &Shim) {
    shim.has(&[Base::Busybox]);
    project(shim, "services:\n  web:\n    build: .\n");
    app(shim, &["up", "-d"]).failed(&["no Dockerfile", "app/Dockerfile", "hint:"]);
    project(shim, "services:\n  web:\n    build: ./absent\n");
    app(shim, &["up", "-d"]).failed(&["app/absent"]);
    shim.write("app/Dockerfile", "FROM busybox\nRUN true\nCOYP a b\n");
    project(shim, "services:\n  web:\n    build: .\n");
    app(shim, &["up", "-d"]).failed(&["Dockerfile:3:1", "COYP", "COPY"]);
    shim.write("app/Dockerfile", "FROM busybox\nRUN echo it went wrong; exit 7\n");
    app(shim, &["up", "-d"]).failed(&["exit code 7", "it went wrong", "Dockerfile:2"]);
    let text = "\
services:
  web:
    image: busybox
    volumes:
      - type: bind
        source: SOURCE
        target: /data
        bind: { create_host_path: false }
";
    project(shim, &text.replace("SOURCE", "./absent"));
    app(shim, &["up", "-d"]).failed(&["app/absent", "/data", "No such file"]);
    if shim.rootless() {
        let mut closed = tempfile::Builder::new();
        closed.permissions(PermissionsExt::from_mode(0o700));
        let secret = closed.tempdir().unwrap();
        let inside = secret.path().join("inside");
        std::fs::create_dir(&inside).unwrap();
        project(shim, &text.replace("SOURCE", inside.to_str().unwrap()));
        app(shim, &["up", "-d"]).failed(&[inside.to_str().unwrap(), "Permission denied", "hint:"]);
    }
    assert_eq!(shim.ok(&["ps", "-aq"]), "");
    app(shim, &["down", "-v"]).succeeded();
    shim.leaves_no_trace(&shim.namespaces());
}

}
