//! What is written, read again, and compared.

use super::*;
use crate::load::tests::{Case, case};

/// Loads what was written, and expects the same project.
fn again(project: &Project) -> Project {
    let mut copy = Case::new()
        .file("/other/compose.yaml", &to_yaml(project))
        .load_ok();
    let (directory, files) = (project.directory.clone(), project.files.clone());
    (copy.directory, copy.files) = (directory, files);
    for service in copy.services.values_mut() {
        service.span = project.services[&service.name].span;
    }
    copy
}

const FULL: &str = r#"
name: shop
services:
  db:
    image: postgres:16
    environment: {POSTGRES_PASSWORD: "p$$w", PGDATA: , N: 1}
    volumes:
      - data:/var/lib/postgresql/data
      - /scratch
      - ./conf:/etc/conf:ro
      - {type: tmpfs, target: /t, tmpfs: {size: 64m, mode: 0700}}
      - {type: volume, source: data, target: /d2, volume: {nocopy: true}}
    healthcheck: {test: pg_isready, interval: 1m30s, retries: 3, start_period: 500ms}
    stop_grace_period: 1m
    tmpfs: ["/run:size=1m,mode=755", /tmp]
    networks: {back: {aliases: [pg], ipv4_address: 10.9.0.4, priority: 3}, default: }
  web:
    build: {context: ., target: dev, args: {A: 1, EMPTY: }}
    command: ["sh", "-c", "echo $$HOME\nexec run"]
    entrypoint: []
    depends_on: {db: {condition: service_healthy, restart: true}}
    ports: ["8000:80", "127.0.0.1:9000-9002:90/udp", "1234"]
    labels: [a=b, "c"]
    expose: [3000]
    extra_hosts: ["h:10.0.0.1", "g:host-gateway"]
    restart: on-failure:3
    platform: linux/amd64
    pull_policy: build
    init: true
    tty: true
    stdin_open: true
    read_only: true
    user: "1000"
    working_dir: /w
    hostname: h
    container_name: shop-web
    stop_signal: SIGINT
    healthcheck: {disable: true}
  side:
    image: busybox
    network_mode: service:web
volumes: {data: {name: real, labels: {x: y}}, ext: {external: true}}
networks: {back: {internal: true, ipam: {config: [{subnet: 10.9.0.0/16}]}}}
"#;

#[test]
#[expect(clippy::too_many_lines, reason = "what it shows is long")]
fn the_canonical_form() {
    let project = case(FULL).load_ok();
    insta::assert_snapshot!(to_yaml(&project), @r#"
    name: shop
    services:
      db:
        environment:
          "N": "1"
          PGDATA: null
          POSTGRES_PASSWORD: p$$w
        healthcheck:
          test:
            - CMD-SHELL
            - pg_isready
          interval: 1m30s
          retries: 3
          start_period: 500ms
        image: postgres:16
        networks:
          back:
            aliases:
              - pg
            ipv4_address: 10.9.0.4
            priority: 3
          default: null
        stop_grace_period: 1m0s
        tmpfs:
          - /run:size=1048576,mode=755
          - /tmp
        volumes:
          - type: volume
            source: data
            target: /var/lib/postgresql/data
          - type: volume
            target: /scratch
          - type: bind
            source: /srv/app/conf
            target: /etc/conf
            read_only: true
            bind:
              create_host_path: true
          - type: tmpfs
            target: /t
            tmpfs:
              size: "67108864"
              mode: 448
          - type: volume
            source: data
            target: /d2
            volume:
              nocopy: true
      side:
        depends_on:
          web:
            condition: service_started
            required: true
            restart: true
        image: busybox
        network_mode: service:web
      web:
        build:
          args:
            A: "1"
            EMPTY: null
          context: /srv/app
          dockerfile: Dockerfile
          target: dev
        command:
          - sh
          - -c
          - |-
            echo $$HOME
            exec run
        container_name: shop-web
        depends_on:
          db:
            condition: service_healthy
            required: true
            restart: true
        entrypoint: []
        expose:
          - 3000/tcp
        extra_hosts:
          - h=10.0.0.1
          - g=host-gateway
        healthcheck:
          disable: true
        hostname: h
        init: true
        labels:
          a: b
          c: ""
        networks:
          default: null
        platform: linux/amd64
        ports:
          - mode: ingress
            target: 80
            published: "8000"
            protocol: tcp
          - mode: ingress
            host_ip: 127.0.0.1
            target: 90
            published: "9000-9002"
            protocol: udp
          - mode: ingress
            target: 1234
            protocol: tcp
        pull_policy: build
        read_only: true
        restart: on-failure:3
        stdin_open: true
        stop_signal: SIGINT
        tty: true
        user: "1000"
        working_dir: /w
    networks:
      back:
        name: shop_back
        internal: true
        ipam:
          config:
            - subnet: 10.9.0.0/16
      default:
        name: shop_default
    volumes:
      data:
        name: real
        labels:
          x: "y"
      ext:
        name: ext
        external: true
    "#);
}

#[test]
fn what_is_written_loads_as_the_same_project() {
    let project = case(FULL).load_ok();
    assert_eq!(again(&project), project);
}

#[test]
fn json_has_the_same_content() {
    let project = case("services: {a: {image: x, command: [echo, $$A]}}\n").load_ok();
    let want = serde_json::json!({
        "name": "app",
        "services": {"a": {
            "image": "x", "command": ["echo", "$$A"], "networks": {"default": null},
        }},
        "networks": {"default": {"name": "app_default"}},
    });
    assert_eq!(to_json(&project), want);
}

#[test]
fn changes_are_named_field_by_field() {
    let print = |text: &str| fingerprint(&case(text).load_ok().services["a"]);
    let old = print(
        "services: {b: {image: b}, a: {image: x, environment: {A: 1, B: 2}, ports: ['1:1']}}\n",
    );
    let new = print(
        "services: {b: {image: b}, a: {image: x, environment: {A: 1, B: 3, C: 4}, tty: true, \
         depends_on: [b], pull_policy: always}}\n",
    );
    let changes = changed_fields(&old, &new);
    let show = |value: &Option<Value>| value.as_ref().map_or("-".into(), ToString::to_string);
    let lines: Vec<String> = changes
        .iter()
        .map(|change| {
            format!(
                "{}: {} → {}",
                change.field,
                show(&change.old),
                show(&change.new)
            )
        })
        .collect();
    insta::assert_snapshot!(lines.join("\n"), @r#"
    environment.B: "2" → "3"
    environment.C: - → "4"
    ports: [{"mode":"ingress","protocol":"tcp","published":"1","target":1}] → -
    tty: - → true
    "#);
    assert_eq!(changed_fields(&old, &old), []);
}
