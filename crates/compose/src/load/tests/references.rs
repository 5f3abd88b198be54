//! What refers to what: services, networks, volumes, profiles, cycles.

use super::*;

#[test]
fn what_is_not_there_is_named_with_its_line() {
    let text = r#"
services:
  web:
    image: x
    depends_on: [dbb]
    networks: [frnt]
    volumes: [data:/d, src/app:/app]
  db:
    image: x
    network_mode: service:cache
networks: {front: }
"#;
    insta::assert_snapshot!(case(text).complaints(), @"
    error: service `web` depends on `dbb`, which is not a service here
     --> compose.yaml:5:18
      |
    5 |     depends_on: [dbb]
      |                  ^^^
    hint: did you mean `db`?

    error: service `web` uses network `frnt`, which is not defined
     --> compose.yaml:6:16
      |
    6 |     networks: [frnt]
      |                ^^^^
    hint: did you mean `front`?
    hint: define it at the top of the file: `networks: {frnt: }`

    error: service `web` uses volume `data`, which is not defined
     --> compose.yaml:7:15
      |
    7 |     volumes: [data:/d, src/app:/app]
      |               ^^^^^^^
    hint: define it at the top of the file: `volumes: {data: }`
    hint: or write `./data` for a path of the host

    error: service `web` uses volume `src/app`, which is not defined
     --> compose.yaml:7:24
      |
    7 |     volumes: [data:/d, src/app:/app]
      |                        ^^^^^^^^^^^^
    hint: for a path of the host write `./src/app`

    error: service `db` shares the network of `cache`, which is not a service here
      --> compose.yaml:10:5
       |
    10 |     network_mode: service:cache
       |     ^^^^^^^^^^^^
    ");
}

#[test]
fn cycles_are_reported_with_their_path() {
    let text = "services:\n  a: {image: x, depends_on: [b]}\n  b: {image: x, depends_on: [c]}\n  \
                c: {image: x, depends_on: [a, d]}\n  d: {image: x}\n";
    insta::assert_snapshot!(case(text).complaints(), @"
    error: services depend on each other: a → b → c → a
     --> compose.yaml:4:30
      |
    4 |   c: {image: x, depends_on: [a, d]}
      |                              ^
    ");
    let own = "services:\n  a: {image: x, depends_on: [a]}\n";
    assert!(
        case(own)
            .complaints()
            .contains("depend on each other: a → a")
    );
    let shared =
        "services:\n  a: {image: x, network_mode: 'service:b'}\n  b: {image: x, depends_on: [a]}\n";
    assert!(
        case(shared)
            .complaints()
            .contains("depend on each other: a → b → a")
    );
}

#[test]
fn a_diamond_is_no_cycle() {
    let text = "services:\n  a: {image: x, depends_on: [b, c]}\n  b: {image: x, depends_on: [d]}\n  \
                c: {image: x, depends_on: [d]}\n  d: {image: x}\n";
    case(text).load_ok();
}

const PROFILES: &str = "services:\n  web: {image: x, depends_on: {debug: {required: false}}}\n  \
                        debug: {image: x, profiles: [tools, dev]}\n  test: {image: x, profiles: [ci]}\n";

#[test]
fn profiles_switch_services_on() {
    let on = |case: Case| {
        let project = case.load_ok();
        project.services.into_keys().collect::<Vec<_>>().join(" ")
    };
    let profiles = |names: &[&str]| {
        let names = names.iter().map(|name| (*name).to_owned()).collect();
        case(PROFILES).with(|request| request.profiles = names)
    };
    assert_eq!(on(profiles(&[])), "web");
    assert_eq!(on(profiles(&[""])), "web");
    assert_eq!(on(profiles(&["dev"])), "debug web");
    assert_eq!(on(profiles(&["*"])), "debug test web");
    assert_eq!(
        on(case(PROFILES).env("COMPOSE_PROFILES", "ci, tools")),
        "debug test web"
    );
    assert_eq!(
        on(case(PROFILES).with(|r| r.services = vec!["test".into()])),
        "test web"
    );
}

#[test]
fn a_dependency_whose_profile_is_off_is_an_error_unless_optional() {
    let project = case(PROFILES).load_ok();
    assert!(project.services["web"].depends_on.is_empty());
    assert!(project.disabled.contains_key("debug"));
    let text =
        "services:\n  web: {image: x, depends_on: [db]}\n  db: {image: x, profiles: [data]}\n";
    insta::assert_snapshot!(case(text).complaints(), @"
    error: service `web` depends on `db`, which runs only in a profile
     --> compose.yaml:2:32
      |
    2 |   web: {image: x, depends_on: [db]}
      |                                ^^
    hint: switch it on: `--profile data`
    hint: `required: false` lets it be absent
    ");
}

#[test]
fn what_is_switched_off_may_be_unfinished() {
    let text = "services:\n  a: {image: x}\n  b: {profiles: [p], image: 'x:', env_file: gone}\n  \
                c: {profiles: [p]}\n";
    case(text).load_ok();
    let on = case(text).with(|request| request.profiles = vec!["p".into()]);
    assert!(on.load().project.is_none());
}

#[test]
fn shared_networks_imply_a_dependency() {
    let text = "services:\n  a: {image: x, network_mode: 'service:b'}\n  b: {image: x}\n";
    let project = case(text).load_ok();
    assert!(project.services["a"].depends_on["b"].restart);
}

#[test]
fn container_names_are_unique() {
    let text =
        "services:\n  a: {image: x, container_name: same}\n  b: {image: x, container_name: same}\n";
    insta::assert_snapshot!(case(text).complaints(), @"
    error: services `a` and `b` both have the container name `same`
     --> compose.yaml:3:17
      |
    2 |   a: {image: x, container_name: same}
      |                 -------------- also here
    3 |   b: {image: x, container_name: same}
      |                 ^^^^^^^^^^^^^^
    ");
}

#[test]
fn the_default_network_can_be_described_or_unused() {
    let text = "services:\n  a: {image: x}\nnetworks: {default: {name: pre, external: true}}\n";
    let project = case(text).load_ok();
    assert_eq!(
        (
            project.networks["default"].name.as_str(),
            project.networks.len()
        ),
        ("pre", 1)
    );
    let project = case("services:\n  a: {image: x, network_mode: host}\n").load_ok();
    assert!(project.networks.is_empty());
}
