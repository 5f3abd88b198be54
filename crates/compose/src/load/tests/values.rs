//! Values: what they must be, and what is said when they are not.

use proptest::prelude::*;

use super::*;
use crate::{HealthTest, PullPolicy, ServiceNetwork};

/// A service `a` with an image and this beside it.
fn service(text: &str) -> Case {
    let indented = text.replace('\n', "\n    ");
    case(&format!("services:\n  a:\n    image: x\n    {indented}\n"))
}

fn read(text: &str) -> crate::Service {
    service(text).project().services["a"].clone()
}

#[test]
fn scalars_reach_the_environment_as_docker_gives_them() {
    let text = "environment:\n  BOOL: True\n  NO: no\n  OCTAL: 0440\n  THOUSAND: 1_000\n  \
                VERSION: 1.10\n  QUOTED: \"0440\"\n  DATE: 2001-01-01\n  EMPTY: ''";
    let environment = read(text).environment;
    let shown: Vec<String> = environment
        .iter()
        .map(|(name, value)| format!("{name}={}", value.as_deref().unwrap_or("(unset)")))
        .collect();
    assert_eq!(
        shown.join(" "),
        "BOOL=true DATE=2001-01-01 EMPTY= NO=no OCTAL=288 QUOTED=0440 THOUSAND=1000 VERSION=1.1"
    );
}

#[test]
fn env_files_are_weaker_than_the_environment() {
    let text = "env_file:\n  - a.env\n  - {path: b.env, required: true}\n  \
                - {path: gone.env, required: false}\n  - {path: raw.env, format: raw}\n\
                environment: {B: own, C: }";
    let project = service(text)
        .beside("/srv/app/a.env", "A=1\nB=a\nC=file\nHOME_=${HOST}\n")
        .beside("/srv/app/b.env", "A=2\nD=${A}${B}\n")
        .beside("/srv/app/raw.env", "E='$x'\n")
        .env("HOST", "h")
        .load_ok();
    let environment = &project.services["a"].environment;
    let value = |name: &str| environment[name].as_deref().unwrap();
    assert_eq!((value("A"), value("B"), value("C")), ("2", "own", "file"));
    assert_eq!(
        (value("D"), value("HOME_"), value("E")),
        ("2own", "h", "'$x'")
    );
    insta::assert_snapshot!(service("env_file: gone.env").complaints(), @"
    error: cannot read gone.env: there is no such file
     --> compose.yaml:4:15
      |
    4 |     env_file: gone.env
      |               ^^^^^^^^
    hint: `required: false` lets the file be absent
    ");
    let broken = service("env_file: b.env").beside("/srv/app/b.env", "A=1\nB='x\n");
    insta::assert_snapshot!(broken.complaints(), @"
    error: `'` is never closed
     --> b.env:2:3
      |
    2 | B='x
      |   ^^
      |
     ::: compose.yaml:4:15
      |
    4 |     env_file: b.env
      |               ----- read from here
    ");
}

#[test]
fn commands_and_health_checks() {
    assert_eq!(
        read("command: sh -c 'a b'").command.unwrap(),
        ["sh", "-c", "a b"]
    );
    assert_eq!(read("entrypoint: []").entrypoint.unwrap(), [""; 0]);
    assert_eq!(read("entrypoint: ''").entrypoint.unwrap(), [""; 0]);
    assert_eq!(read("command:").command, None);
    let test = |text: &str| {
        read(&format!("healthcheck: {{test: {text}}}"))
            .health
            .unwrap()
            .test
            .unwrap()
    };
    assert_eq!(test("'curl x'"), HealthTest::Shell("curl x".into()));
    assert_eq!(
        test("[CMD, a, b]"),
        HealthTest::Command(vec!["a".into(), "b".into()])
    );
    assert_eq!(test("[CMD-SHELL, a b]"), HealthTest::Shell("a b".into()));
    assert_eq!(test("[NONE]"), HealthTest::Disabled);
    assert_eq!(
        read("healthcheck: {disable: true}").health.unwrap().test,
        Some(HealthTest::Disabled)
    );
    insta::assert_snapshot!(service("command: migrate && serve").complaints(), @"
    warning: `services.a.command` ends at `&&`: no shell reads it
     --> compose.yaml:4:14
      |
    4 |     command: migrate && serve
      |              ^^^^^^^^^^^^^^^^
    hint: write `sh -c '…'` around it, or put the sign in quotes
    ");
    insta::assert_snapshot!(service("healthcheck: {test: [curl, x], interval: 5}").complaints(), @r#"
    error: `services.a.healthcheck.test` needs `CMD`, `CMD-SHELL` or `NONE` as its first word
     --> compose.yaml:4:25
      |
    4 |     healthcheck: {test: [curl, x], interval: 5}
      |                         ^^^^^^^^^
    hint: write `["CMD", "program", "argument"]`, or one string for the shell

    error: `services.a.healthcheck.interval` must be a duration with its unit
     --> compose.yaml:4:46
      |
    4 |     healthcheck: {test: [curl, x], interval: 5}
      |                                              ^
    hint: `5s` for seconds
    "#);
}

#[test]
#[expect(clippy::too_many_lines, reason = "what it shows is long")]
fn every_complaint_comes_at_once() {
    let text = "tty: maybe\nstdin_open: yes\nports: ['80:x', {published: 1}, [1]]\n\
                restart: allways\nnetworks: {n: {ipv4_address: 300.1.1.1}}\nnetwork_mode: host\n\
                user: 1000\ncommand: [sleep, 10]\nexpose: [x]\nextra_hosts: ['a:b']\n\
                stop_grace_period: soon\ndepends_on: {b: {condition: ready}}\ntmpfs: ['run', '/a:size=x']\n\
                volumes: ['a:b:c:d', 'v', {type: bind, target: /x}]\nlabels: x\nenvironment: {A: [1]}\n\
                platform: linux\npull_policy: sometimes\ncontainer_name: '-x'";
    insta::assert_snapshot!(service(text).complaints(), @r#"
    error: `services.a.tty` must be true or false, but is a string
     --> compose.yaml:4:10
      |
    4 |     tty: maybe
      |          ^^^^^

    warning: `services.a.stdin_open`: `yes` is not a boolean of YAML 1.2
     --> compose.yaml:5:17
      |
    5 |     stdin_open: yes
      |                 ^^^
    hint: write `true`

    error: `services.a.ports[0]`: `x` is not a port (1 to 65535) in `80:x`
     --> compose.yaml:6:13
      |
    6 |     ports: ['80:x', {published: 1}, [1]]
      |             ^^^^^^

    error: `services.a.ports[1]`: `target`, the container's port, is missing
     --> compose.yaml:6:21
      |
    6 |     ports: ['80:x', {published: 1}, [1]]
      |                     ^^^^^^^^^^^^^^

    error: `services.a.ports[2]` must be a string or a number, but is a list
     --> compose.yaml:6:37
      |
    6 |     ports: ['80:x', {published: 1}, [1]]
      |                                     ^^^

    error: `services.a.restart`: unknown value `allways`
     --> compose.yaml:7:14
      |
    7 |     restart: allways
      |              ^^^^^^^
    hint: did you mean `always`?
    hint: it can be no, always, unless-stopped, on-failure, on-failure:3

    error: `services.a` has both `network_mode` and `networks`
     --> compose.yaml:8:15
      |
    8 |     networks: {n: {ipv4_address: 300.1.1.1}}
      |               ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
    9 |     network_mode: host
      |                   ---- and this
    hint: keep one of them

    error: `services.a.user` must be a string, but is a number
      --> compose.yaml:10:11
       |
    10 |     user: 1000
       |           ^^^^
    hint: put it in quotes: `"1000"`

    error: `services.a.command[1]` must be a string, but is a number
      --> compose.yaml:11:22
       |
    11 |     command: [sleep, 10]
       |                      ^^
    hint: put it in quotes: `"10"`

    error: `services.a.expose[0]`: `x` is not a port
      --> compose.yaml:12:14
       |
    12 |     expose: [x]
       |              ^

    error: `services.a.extra_hosts.a`: `b` is neither an IP address nor `host-gateway`
      --> compose.yaml:13:19
       |
    13 |     extra_hosts: ['a:b']
       |                   ^^^^^

    error: `services.a.stop_grace_period`: `soon` is not a duration (want e.g. 90s, 1m30s, 500ms)
      --> compose.yaml:14:24
       |
    14 |     stop_grace_period: soon
       |                        ^^^^

    error: service `a` depends on `b`, which is not a service here
      --> compose.yaml:15:18
       |
    15 |     depends_on: {b: {condition: ready}}
       |                  ^

    error: `services.a.depends_on.b.condition`: unknown value `ready`
      --> compose.yaml:15:33
       |
    15 |     depends_on: {b: {condition: ready}}
       |                                 ^^^^^
    hint: it can be service_started, service_healthy, service_completed_successfully

    error: `services.a.tmpfs[0]`: `run` is not an absolute path in the container
      --> compose.yaml:16:13
       |
    16 |     tmpfs: ['run', '/a:size=x']
       |             ^^^^^

    error: `services.a.tmpfs[1]`: `x` is not a size (want e.g. 512m, 1.5gb, 4096)
      --> compose.yaml:16:20
       |
    16 |     tmpfs: ['run', '/a:size=x']
       |                    ^^^^^^^^^^^

    error: `services.a.volumes[0]`: too many colons in `a:b:c:d`
      --> compose.yaml:17:15
       |
    17 |     volumes: ['a:b:c:d', 'v', {type: bind, target: /x}]
       |               ^^^^^^^^^
    hint: a volume is written `source:target`, `source:target:ro` or `target`

    error: `services.a.volumes[1]`: `v` is not an absolute path in the container
      --> compose.yaml:17:26
       |
    17 |     volumes: ['a:b:c:d', 'v', {type: bind, target: /x}]
       |                          ^^^

    error: `services.a.volumes[2]`: `source` is missing
      --> compose.yaml:17:31
       |
    17 |     volumes: ['a:b:c:d', 'v', {type: bind, target: /x}]
       |                               ^^^^^^^^^^^^^^^^^^^^^^^^

    error: `services.a.labels` must be a mapping, or a list of `NAME=value`, but is a string
      --> compose.yaml:18:13
       |
    18 |     labels: x
       |             ^

    error: `services.a.environment.A` must be a string or a number, but is a list
      --> compose.yaml:19:22
       |
    19 |     environment: {A: [1]}
       |                      ^^^

    error: `services.a.platform`: `linux` is not a platform (want os/architecture[/variant], e.g. linux/amd64)
      --> compose.yaml:20:15
       |
    20 |     platform: linux
       |               ^^^^^

    error: `services.a.pull_policy`: unknown value `sometimes`
      --> compose.yaml:21:18
       |
    21 |     pull_policy: sometimes
       |                  ^^^^^^^^^
    hint: it can be always, never, missing, build

    error: `services.a.container_name`: `-x`: names have letters, digits, `.`, `_` and `-`, and begin with a letter or digit
      --> compose.yaml:22:21
       |
    22 |     container_name: '-x'
       |                     ^^^^
    "#);
}

#[test]
fn services_must_have_something_to_run() {
    let text = "services:\n  a: {tty: true}\n  b:\n  c: []\n  'd e': {image: x}\n  f: {image: 'x y'}\n  g: {provider: {type: z}}\n";
    insta::assert_snapshot!(case(text).complaints(), @"
    error: service `a` has neither `image` nor `build`
     --> compose.yaml:2:3
      |
    2 |   a: {tty: true}
      |   ^

    error: service `b` has neither `image` nor `build`
     --> compose.yaml:3:3
      |
    3 |   b:
      |   ^

    error: `services.c` must be a mapping, but is a list
     --> compose.yaml:4:6
      |
    4 |   c: []
      |      ^^

    error: `d e` cannot be a name in `services`
     --> compose.yaml:5:3
      |
    5 |   'd e': {image: x}
      |   ^^^^^
    hint: names have letters, digits, `.`, `_` and `-`

    error: `services.f.image`: invalid reference format: `x y`
     --> compose.yaml:6:14
      |
    6 |   f: {image: 'x y'}
      |              ^^^^^

    error: service `g` is run by a provider, which is not supported yet
     --> compose.yaml:7:3
      |
    7 |   g: {provider: {type: z}}
      |   ^

    warning: `services.g.provider` is not honoured yet
     --> compose.yaml:7:7
      |
    7 |   g: {provider: {type: z}}
      |       ^^^^^^^^
    ");
}

#[test]
fn networks_are_ordered_by_priority() {
    let text = "services:\n  a:\n    image: x\n    networks: {b: , c: {priority: 5, aliases: [z]}, a: }\n\
                networks: {a: , b: {external: true}, c: {name: real, ipam: {config: [{subnet: 10.1.2.3/16}]}}}\n";
    let project = case(text).load_ok();
    let ServiceNetwork::Networks(networks) = &project.services["a"].network else {
        panic!()
    };
    assert_eq!(
        networks
            .iter()
            .map(|n| n.network.as_str())
            .collect::<Vec<_>>(),
        ["c", "a", "b"]
    );
    assert_eq!(project.networks["b"].name, "b");
    assert_eq!(
        project.networks["c"].subnet,
        Some(("10.1.0.0".parse().unwrap(), 16))
    );
    let old =
        "services: {a: {image: x, network_mode: none}}\nnetworks: {n: {external: {name: pre}}}\n";
    assert_eq!(case(old).load_ok().networks["n"].name, "pre");
}

#[test]
fn small_words_have_their_meaning() {
    assert_eq!(
        read("pull_policy: if_not_present").pull_policy,
        PullPolicy::Missing
    );
    assert_eq!(
        read("restart: on-failure:3").restart,
        model::RestartPolicy::OnFailure { max_retries: 3 }
    );
    assert_eq!(
        read("extra_hosts: ['a:1.2.3.4', 'b=[::1]']")
            .extra_hosts
            .len(),
        2
    );
    assert_eq!(
        read("extra_hosts: ['b=::1', 'c=host-gateway']").extra_hosts[1].1,
        "host-gateway"
    );
    assert_eq!(
        read("build: {context: 'https://x/y.git', dockerfile: D}")
            .build
            .unwrap()
            .dockerfile,
        "D"
    );
    let home = service("volumes: ['~/x:/x']")
        .env("HOME", "/home/u")
        .load_ok();
    let crate::VolumeKind::Bind { source, .. } = &home.services["a"].volumes[0].kind else {
        panic!()
    };
    assert_eq!(source, &PathBuf::from("/home/u/x"));
}

#[test]
fn limits_are_read_from_both_places_and_written_out_where_they_were() {
    let text = "mem_limit: 64m\nmemswap_limit: -1\ncpus: 0.5\npids_limit: 10\ncpuset: 0\n\
                cpu_quota: 20ms\nblkio_config: {device_read_bps: [{path: /dev/a, rate: 1mb}]}\n\
                deploy: {resources: {limits: {memory: 64M, cpus: '0.50'}, reservations: {memory: 1k}}}";
    // Time within a period, and a number of processors: one of them.
    assert!(service(text).complaints().contains("`cpus` says the same"));
    let text = text.replace("cpu_quota: 20ms", "cpu_shares: 512");
    let read = read(&text).limits;
    let limits = &read.limits;
    assert_eq!(limits.memory, Some(64 << 20));
    assert_eq!(limits.memory_swap, Some(-1));
    assert_eq!(limits.memory_reservation, Some(1024));
    assert_eq!(limits.nano_cpus, Some(500_000_000));
    assert_eq!(limits.cpu_shares, Some(512));
    assert_eq!(limits.pids, Some(10));
    assert_eq!(limits.cpuset_cpus.as_deref(), Some("0"));
    assert_eq!(limits.device_read_bps[0].value, 1 << 20);
    let keys: Vec<_> = read.keys.iter().map(|k| k.key.as_str()).collect();
    assert!(keys.contains(&"mem_limit") && keys.contains(&"deploy.resources.limits.memory"));
    let yaml = crate::to_yaml(&service(&text).load_ok());
    for line in [
        "mem_limit: \"67108864\"",
        "pids_limit: 10",
        "        memory: \"67108864\"",
        "rate: \"1048576\"",
    ] {
        assert!(yaml.contains(line), "{line}\n{yaml}");
    }
    let other = service("mem_limit: 1m\ndeploy: {resources: {limits: {memory: 2m}}}");
    assert!(other.complaints().contains("`mem_limit` says otherwise"));
    let bad = service("cpus: many\nmem_limit: 1x\npids_limit: 1.5");
    let said = bad.complaints();
    for word in [
        "`many` is not a number of processors",
        "services.a.mem_limit",
        "services.a.pids_limit",
    ] {
        assert!(said.contains(word), "{said}");
    }
}

#[test]
fn what_is_not_honoured_still_loads() {
    let text = "cap_add: [X]\ndeploy: {replicas: 2}\nvolumes: ['/a:/a:rshared']\n\
                pull_policy: daily";
    insta::assert_snapshot!(service(text).complaints(), @"
    warning: `services.a.cap_add` is not honoured yet
     --> compose.yaml:4:5
      |
    4 |     cap_add: [X]
      |     ^^^^^^^

    warning: `services.a.deploy.replicas` is not honoured yet
     --> compose.yaml:5:14
      |
    5 |     deploy: {replicas: 2}
      |              ^^^^^^^^

    warning: `services.a.volumes[0]`: option `rshared` is not honoured yet
     --> compose.yaml:6:15
      |
    6 |     volumes: ['/a:/a:rshared']
      |               ^^^^^^^^^^^^^^^

    warning: `services.a.pull_policy`: `daily` is not honoured yet; it means `missing`
     --> compose.yaml:7:18
      |
    7 |     pull_policy: daily
      |                  ^^^^^
    ");
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(text in "([a-z: \\-\\[\\]{}&*!#|>'\"$\n]|services:|image: x|<<: \\*a|&a |\n  |\n    ){0,40}") {
        let _ = case(&text).load();
    }

    #[test]
    fn no_value_makes_it_panic(key in 0usize..34, value in "[a-z0-9:/\\[\\]{}, .'$\\-]{0,20}") {
        const KEYS: [&str; 34] = [
            "image", "build", "command", "entrypoint", "environment", "env_file", "ports", "expose",
            "volumes", "tmpfs", "depends_on", "healthcheck", "restart", "tty", "stdin_open",
            "container_name", "hostname", "networks", "network_mode", "labels", "user",
            "working_dir", "profiles", "stop_signal", "stop_grace_period", "read_only", "init",
            "extra_hosts", "pull_policy", "platform", "extends", "deploy", "secrets", "ulimits",
        ];
        let _ = case(&format!("services:\n  a:\n    {}: {value}\n", KEYS[key])).load();
    }
}
