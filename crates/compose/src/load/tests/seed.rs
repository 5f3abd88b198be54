//! The example of the users' own document: as it is meant, and as it is printed.

use super::*;
use crate::{ServiceNetwork, VolumeKind};

const MEANT: &str = r#"version: "3"
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
fn as_meant_it_loads_with_one_warning() {
    insta::assert_snapshot!(case(MEANT).complaints(), @r#"
    warning: `version` is obsolete and ignored
     --> compose.yaml:1:1
      |
    1 | version: "3"
      | ^^^^^^^
    "#);
    let project = case(MEANT).project();
    assert_eq!(project.name, "app");
    assert_eq!(
        project.services.keys().collect::<Vec<_>>(),
        ["api", "db", "web"]
    );
    let (api, web) = (&project.services["api"], &project.services["web"]);
    assert_eq!(api.build, web.build);
    assert_eq!(
        api.build.as_ref().unwrap().dockerfile,
        "/srv/app/Dockerfile"
    );
    assert_eq!(project.container_name(web, 1), "app-web-1");
    assert_eq!(project.image_name(web), "app-web");
    assert_eq!(project.networks["default"].name, "app_default");
    assert_eq!(
        (web.ports[0].published, web.ports[0].target),
        (Some((3000, 3000)), 3000)
    );
}

/// Its indentation is lost: the services have become keys of the file, and their
/// environment has become keys of the services.
fn printed() -> String {
    let keep = |line: &str| line.starts_with("version") || line.starts_with("services");
    let level = |line: &str| (line.len() - line.trim_start().len()) / 2;
    let printed = |line: &str| match level(line) {
        _ if keep(line) => line.to_owned(),
        1 => line.trim_start().to_owned(),
        _ => format!("    {}", line.trim_start()),
    };
    MEANT.lines().map(|line| printed(line) + "\n").collect()
}

#[test]
fn as_printed_it_is_refused_with_the_lines_and_the_reason() {
    insta::assert_snapshot!(case(&printed()).complaints(), @r#"
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
fn a_usual_stack_of_three_loads_whole() {
    let text = r#"
services:
  db:
    image: postgres:16
    restart: no
    env_file: .env.db
    volumes: [db_data:/var/lib/postgresql/data, ./init:/docker-entrypoint-initdb.d:ro]
    healthcheck:
      test: ["CMD-SHELL", "pg_isready -U $${POSTGRES_USER}"]
      interval: 5s
      retries: 10
  api:
    build: .
    command: uvicorn app:app --host 0.0.0.0 --port ${API_PORT:-8000}
    depends_on: {db: {condition: service_healthy}}
    ports: ["${API_PORT:-8000}:8000"]
    volumes: [".:/app", "/app/node_modules/"]
    tty: true
    stdin_open: true
volumes: {db_data: }
"#;
    let project = case(text)
        .beside("/srv/app/.env.db", "POSTGRES_USER=u\n")
        .load_ok();
    let (db, api) = (&project.services["db"], &project.services["api"]);
    assert_eq!(db.restart, model::RestartPolicy::No);
    assert_eq!(db.environment["POSTGRES_USER"].as_deref(), Some("u"));
    assert_eq!(project.volumes["db_data"].name, "app_db_data");
    assert_eq!(api.command.as_ref().unwrap().last().unwrap(), "8000");
    assert_eq!(api.volumes[1].target, "/app/node_modules");
    assert_eq!(api.volumes[1].kind, VolumeKind::Anonymous { copy_up: true });
    assert!(matches!(&api.network, ServiceNetwork::Networks(n) if n[0].network == "default"));
    let Some(crate::HealthTest::Shell(line)) = &db.health.as_ref().unwrap().test else {
        panic!("{:?}", db.health);
    };
    assert_eq!(line, "pg_isready -U ${POSTGRES_USER}");
}
