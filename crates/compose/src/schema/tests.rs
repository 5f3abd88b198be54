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
    insta::assert_snapshot!(complaints(text), @"");
}

#[test]
fn unknown_keys_are_refused_with_a_proposal() {
    insta::assert_snapshot!(complaints("services:\n  web:\n    imagee: a\n    context: .\n"), @"");
    insta::assert_snapshot!(complaints("ports: [1]\nsecrets:\n  s: {fil: x}\n"), @"");
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
    insta::assert_snapshot!(complaints(PRINTED), @"");
}

#[test]
fn services_at_the_top_are_recognised_without_the_word() {
    insta::assert_snapshot!(complaints("web:\n  image: a\ndb:\n  image: b\n"), @"");
    insta::assert_snapshot!(complaints("services:\n  a: {image: x}\nweb:\n  build: .\n"), @"");
}
