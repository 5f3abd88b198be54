//! Names: known, unknown, misplaced.

use text::{Sources, render};

use super::*;
use crate::yaml::parse;

fn complaints(text: &str) -> String {
    let mut sources = Sources::new();
    let file = sources.add("compose.yaml", text);
    let (documents, mut diagnostics) = parse(file, text);
    for document in &documents {
        check(document, &sources, &mut diagnostics);
    }
    render(&sources, &diagnostics, false)
}

#[test]
fn honoured_keys_are_not_mentioned() {
    let text = "name: x\nx-note: {a: 1}\nservices:\n  web:\n    image: a\n    x-more: 1\n    \
                environment: {A: 1}\n    healthcheck: {test: x}\n";
    assert_eq!(complaints(text), "");
}

#[test]
fn what_is_not_honoured_is_named_once() {
    let text = "version: '3'\nservices:\n  web:\n    cap_add: [NET_ADMIN]\n    deploy:\n      \
                replicas: 2\n      resources:\n        reservations: {cpus: '1'}\n    \
                develop:\n      watch:\n        - path: .\nsecrets:\n  s: {file: x}\n";
    insta::assert_snapshot!(complaints(text), @"
    warning: `version` is obsolete and ignored
     --> compose.yaml:1:1
      |
    1 | version: '3'
      | ^^^^^^^

    warning: `services.web.cap_add` is not honoured yet
     --> compose.yaml:4:5
      |
    4 |     cap_add: [NET_ADMIN]
      |     ^^^^^^^

    warning: `services.web.deploy.replicas` is not honoured yet
     --> compose.yaml:6:7
      |
    6 |       replicas: 2
      |       ^^^^^^^^

    warning: `services.web.deploy.resources.reservations.cpus` has no effect here
     --> compose.yaml:8:24
      |
    8 |         reservations: {cpus: '1'}
      |                        ^^^^

    warning: `services.web.develop` is not honoured yet
     --> compose.yaml:9:5
      |
    9 |     develop:
      |     ^^^^^^^

    warning: `secrets` is not honoured yet
      --> compose.yaml:12:1
       |
    12 | secrets:
       | ^^^^^^^
    ");
}

#[test]
fn unknown_keys_are_refused_with_a_proposal() {
    insta::assert_snapshot!(complaints("services:\n  web:\n    imagee: a\n    context: .\n"), @"
    error: unknown key `services.web.imagee`
     --> compose.yaml:3:5
      |
    3 |     imagee: a
      |     ^^^^^^
    hint: did you mean `image`?

    error: unknown key `services.web.context`
     --> compose.yaml:4:5
      |
    4 |     context: .
      |     ^^^^^^^
    hint: `context` is a key of `build`
    ");
    insta::assert_snapshot!(complaints("ports: [1]\nsecrets:\n  s: {fil: x}\n"), @"
    error: unknown key `ports`
     --> compose.yaml:1:1
      |
    1 | ports: [1]
      | ^^^^^
    hint: `ports` is a key of a service

    warning: `secrets` is not honoured yet
     --> compose.yaml:2:1
      |
    2 | secrets:
      | ^^^^^^^

    error: unknown key `secrets.s.fil`
     --> compose.yaml:3:7
      |
    3 |   s: {fil: x}
      |       ^^^
    hint: did you mean `file`?
    ");
}

#[test]
fn the_table_is_sorted_and_knows_each_key_once() {
    fn walk(shape: &Shape) {
        match shape {
            Shape::Keys(keys) => {
                assert!(keys.is_sorted_by_key(|key| key.name), "{keys:?}");
                assert!(keys.windows(2).all(|pair| pair[0].name != pair[1].name));
                keys.iter().for_each(|key| walk(&key.shape));
            }
            Shape::Each(shape) | Shape::Items(shape) => walk(shape),
            Shape::Any | Shape::Table => {}
        }
    }
    walk(&table::TOP);
}

/// The example as printed in the users' own document, its indentation lost.
const PRINTED: &str = r#"version: "3"
services:
db:
    image: postgres:latest
    environment:
    POSTGRES_USER: user
    POSTGRES_PASSWORD: password
api:
    build:
    context: .
    dockerfile: Dockerfile
    environment:
    DATABASE_URL: postgresql://user:password@db:5432/mydb
    ports:
    - "8000:8000"
web:
    build:
    context: .
    dockerfile: Dockerfile
    environment:
    API_URL: http://api:8000
    ports:
    - "3000:3000"
"#;

#[test]
fn flattened_services_are_recognised() {
    insta::assert_snapshot!(complaints(PRINTED), @r#"
    warning: `version` is obsolete and ignored
     --> compose.yaml:1:1
      |
    1 | version: "3"
      | ^^^^^^^

    error: `db`, `api` and `web` look like services that need indenting under `services:`
      --> compose.yaml:3:1
       |
     2 | services:
       | -------- has nothing under it
     3 | db:
       | ^^
    ...
     8 | api:
       | ---
    ...
    16 | web:
       | ---
    hint: indent lines 3 to 23 by two more spaces

    error: `POSTGRES_USER` and `POSTGRES_PASSWORD` look as if they belonged under `environment:`
     --> compose.yaml:6:5
      |
    5 |     environment:
      |     ----------- has nothing under it
    6 |     POSTGRES_USER: user
      |     ^^^^^^^^^^^^^
    7 |     POSTGRES_PASSWORD: password
      |     -----------------
    hint: indent lines 6 to 7 by two more spaces

    error: `context` and `dockerfile` look as if they belonged under `build:`
      --> compose.yaml:10:5
       |
     9 |     build:
       |     ----- has nothing under it
    10 |     context: .
       |     ^^^^^^^
    11 |     dockerfile: Dockerfile
       |     ----------
    hint: indent lines 10 to 11 by two more spaces

    error: `DATABASE_URL` looks as if it belonged under `environment:`
      --> compose.yaml:13:5
       |
    12 |     environment:
       |     ----------- has nothing under it
    13 |     DATABASE_URL: postgresql://user:password@db:5432/mydb
       |     ^^^^^^^^^^^^
    hint: indent line 13 by two more spaces

    error: `context` and `dockerfile` look as if they belonged under `build:`
      --> compose.yaml:18:5
       |
    17 |     build:
       |     ----- has nothing under it
    18 |     context: .
       |     ^^^^^^^
    19 |     dockerfile: Dockerfile
       |     ----------
    hint: indent lines 18 to 19 by two more spaces

    error: `API_URL` looks as if it belonged under `environment:`
      --> compose.yaml:21:5
       |
    20 |     environment:
       |     ----------- has nothing under it
    21 |     API_URL: http://api:8000
       |     ^^^^^^^
    hint: indent line 21 by two more spaces
    "#);
}

#[test]
fn services_at_the_top_are_recognised_without_the_word() {
    insta::assert_snapshot!(complaints("web:\n  image: a\ndb:\n  image: b\n"), @"
    error: `web` and `db` look like services that need indenting under `services:`
     --> compose.yaml:1:1
      |
    1 | web:
      | ^^^
    2 |   image: a
    3 | db:
      | --
    hint: write `services:` above, and indent lines 1 to 4 by two spaces
    ");
    insta::assert_snapshot!(complaints("services:\n  a: {image: x}\nweb:\n  build: .\n"), @"
    error: `web` looks like a service that needs indenting under `services:`
     --> compose.yaml:3:1
      |
    1 | services:
      | -------- is here
    2 |   a: {image: x}
    3 | web:
      | ^^^
    hint: move lines 3 to 4 under `services:` and indent by two spaces
    ");
}
