//! Several files: `-f`, `extends`, `include`, `.env`, names.

use super::*;
use crate::VolumeKind;

#[test]
fn the_project_name_has_four_sources() {
    let named = "name: from-file\nservices: {a: {image: x}}\n";
    let plain = "services: {a: {image: x}}\n";
    let name = |case: Case| case.load_ok().name;
    assert_eq!(name(case(plain)), "app");
    assert_eq!(name(case(named)), "from-file");
    assert_eq!(name(case(named).env("COMPOSE_PROJECT_NAME", "env")), "env");
    let flag = case(named).env("COMPOSE_PROJECT_NAME", "env");
    assert_eq!(
        name(flag.with(|r| r.project_name = Some("flag".into()))),
        "flag"
    );
    let dotenv = case(plain).beside("/srv/app/.env", "COMPOSE_PROJECT_NAME=dot\n");
    assert_eq!(name(dotenv), "dot");
    let later = case(named).file("/srv/app/b.yaml", "name: ${X:-second}\n");
    assert_eq!(name(later), "second");
    let strange = case(plain).with(|r| r.project_directory = "/srv/My App_1".into());
    assert_eq!(name(strange), "myapp_1");
    insta::assert_snapshot!(case("name: Not Good\nservices: {a: {image: x}}\n").complaints(), @"
    error: `Not Good` cannot be a project name
     --> compose.yaml:1:7
      |
    1 | name: Not Good
      |       ^^^^^^^^
    hint: project names have lower-case letters, digits, `-` and `_`, and begin with a letter or digit
    ");
}

#[test]
fn the_project_name_is_a_variable() {
    let text = "name: shop\nservices: {a: {image: \"x/${COMPOSE_PROJECT_NAME}\"}}\n";
    assert_eq!(
        case(text).load_ok().services["a"].image.as_deref(),
        Some("x/shop")
    );
}

#[test]
fn the_environment_is_stronger_than_files_of_variables() {
    let text = "services: {a: {image: \"x:${TAG}\", environment: [TAG, OTHER, NOWHERE]}}\n";
    let image = |case: Case| case.load_ok().services["a"].image.clone().unwrap();
    let dotenv = || case(text).beside("/srv/app/.env", "TAG=file\nOTHER=${TAG}2\n");
    assert_eq!(image(dotenv()), "x:file");
    assert_eq!(image(dotenv().env("TAG", "env")), "x:env");
    let environment = dotenv().env("TAG", "env").load_ok().services["a"]
        .environment
        .clone();
    assert_eq!(environment["OTHER"].as_deref(), Some("env2"));
    assert_eq!(environment["NOWHERE"], None);
    let two = dotenv()
        .beside("/a.env", "TAG=a\n")
        .beside("/b.env", "TAG=b$TAG\n");
    assert_eq!(
        image(two.with(|r| r.env_files = vec!["/a.env".into(), "/b.env".into()])),
        "x:ba"
    );
    let gone = case(text).with(|r| r.env_files = vec!["/gone.env".into()]);
    insta::assert_snapshot!(gone.complaints(), @"error: cannot read /gone.env: there is no such file");
}

#[test]
fn files_are_merged_in_their_order() {
    let project = case("services: {a: {image: x, ports: ['1:1'], volumes: ['./a:/v']}}\n")
        .file(
            "/srv/app/o.yaml",
            "services: {a: {ports: ['1:1', '2:2'], volumes: ['b:/v'], build: sub}}\nvolumes: {b: }\n",
        )
        .load_ok();
    let a = &project.services["a"];
    assert_eq!(a.ports.len(), 2);
    assert_eq!(a.volumes.len(), 1);
    assert!(matches!(&a.volumes[0].kind, VolumeKind::Named { volume, .. } if volume == "b"));
    assert_eq!(a.build.as_ref().unwrap().context, "/srv/app/sub");
    assert_eq!(project.files.len(), 2);
}

#[test]
fn an_override_does_not_reset_the_build_context() {
    let project = case("services: {a: {build: ./app}}\n")
        .file("/srv/app/o.yaml", "services: {a: {build: {target: dev}}}\n")
        .load_ok();
    assert_eq!(
        project.services["a"].build.as_ref().unwrap().context,
        "/srv/app/app"
    );
}

#[test]
fn extends_within_a_file_and_from_another() {
    let text = r#"
services:
  base: {image: x, environment: {A: 1}}
  web:
    extends: base
    environment: {B: 2}
  api:
    extends: {file: deploy/common.yaml, service: api}
    environment: {B: 2}
"#;
    let common = r#"
services:
  root: {image: y, env_file: api.env, volumes: ["./src:/src"]}
  api: {extends: {service: root}, build: .}
"#;
    let project = case(text)
        .beside("/srv/app/deploy/common.yaml", common)
        .beside("/srv/app/deploy/api.env", "FROM_FILE=1\n")
        .load_ok();
    let (web, api) = (&project.services["web"], &project.services["api"]);
    assert_eq!(web.environment.len(), 2);
    assert_eq!(api.build.as_ref().unwrap().context, "/srv/app/deploy");
    assert_eq!(api.environment["FROM_FILE"].as_deref(), Some("1"));
    let VolumeKind::Bind { source, .. } = &api.volumes[0].kind else {
        panic!("{api:?}")
    };
    assert_eq!(source, &PathBuf::from("/srv/app/deploy/src"));
    assert_eq!(project.services.len(), 3);
}

#[test]
fn extends_in_vain_is_an_error() {
    let cycle = "services:\n  a: {extends: b}\n  b: {extends: a}\n";
    insta::assert_snapshot!(case(cycle).complaints(), @"
    error: services extend each other: a → b → a
     --> compose.yaml:2:16
      |
    2 |   a: {extends: b}
      |                ^

    error: services extend each other: b → a → b
     --> compose.yaml:3:16
      |
    3 |   b: {extends: a}
      |                ^
    ");
    let unknown = "services:\n  a: {extends: bas}\n  base: {image: x}\n";
    insta::assert_snapshot!(case(unknown).complaints(), @"
    error: there is no service `bas` in compose.yaml to extend
     --> compose.yaml:2:16
      |
    2 |   a: {extends: bas}
      |                ^^^
    hint: did you mean `base`?
    ");
    let gone = "services:\n  a: {extends: {file: gone.yaml, service: b}}\n";
    insta::assert_snapshot!(case(gone).complaints(), @"
    error: cannot read gone.yaml: there is no such file
     --> compose.yaml:2:23
      |
    2 |   a: {extends: {file: gone.yaml, service: b}}
      |                       ^^^^^^^^^
    ");
}

#[test]
fn included_files_are_projects_of_their_own() {
    let text = "include: [sub/compose.yaml]\nservices: {web: {image: x, depends_on: [db]}}\n";
    let sub =
        "services: {db: {image: \"pg:${TAG}\", volumes: ['./d:/d', 'v:/v']}}\nvolumes: {v: }\n";
    let project = case(text)
        .beside("/srv/app/sub/compose.yaml", sub)
        .beside("/srv/app/sub/.env", "TAG=16\n")
        .load_ok();
    let db = &project.services["db"];
    assert_eq!(db.image.as_deref(), Some("pg:16"));
    let VolumeKind::Bind { source, .. } = &db.volumes[0].kind else {
        panic!("{db:?}")
    };
    assert_eq!(source, &PathBuf::from("/srv/app/sub/d"));
    assert_eq!(project.volumes["v"].name, "app_v");
}

#[test]
fn includes_in_a_circle_are_refused() {
    let text = "include: [b.yaml]\nservices: {a: {image: x}}\n";
    let back = "include: [compose.yaml]\nservices: {b: {image: x}}\n";
    let circle = case(text).beside("/srv/app/b.yaml", back);
    insta::assert_snapshot!(circle.complaints(), @"
    error: files include each other: compose.yaml → b.yaml → compose.yaml
     --> b.yaml:1:11
      |
    1 | include: [compose.yaml]
      |           ^^^^^^^^^^^^
    ");
    let remote = case("include: ['oci://x/y']\nservices: {a: {image: x}}\n");
    assert!(remote.complaints().contains("only files can be"));
}

#[test]
fn endless_files_are_refused() {
    /// As a directory that links to itself would look.
    struct Endless(&'static str);
    impl Files for Endless {
        fn read(&self, _: &std::path::Path) -> std::io::Result<String> {
            Ok(self.0.to_owned())
        }

        fn exists(&self, _: &std::path::Path) -> bool {
            false
        }
    }
    for text in [
        "include: [d/a.yaml]\nservices: {a: {image: x}}\n",
        "services: {a: {extends: {file: d/a.yaml, service: a}}}\n",
    ] {
        let request = LoadRequest {
            files: vec!["/a.yaml".into()],
            ..LoadRequest::default()
        };
        let request = LoadRequest {
            project_name: Some("p".into()),
            ..request
        };
        let loaded = load(&request, &Endless(text));
        let complaint = loaded.diagnostics.iter().find(|d| d.is_error()).unwrap();
        assert_eq!(complaint.message, "more than 256 files to read");
    }
}

#[test]
fn absent_and_empty_files_are_errors() {
    insta::assert_snapshot!(Case::new().complaints(), @"
    error: no compose file in /srv/app or above
    hint: looked for compose.yaml, compose.yml, docker-compose.yaml, docker-compose.yml
    hint: name one with `-f`
    ");
    insta::assert_snapshot!(Case::new().with(|r| r.files.push("/srv/app/x.yaml".into())).complaints(), @"error: cannot read x.yaml: there is no such file");
    assert!(case("").complaints().contains("the compose file is empty"));
    case("networks: {a: }\n").load_ok();
    insta::assert_snapshot!(case("- a\n").complaints(), @"
    error: the file holds a list, not a mapping
     --> compose.yaml:1:1
      |
    1 | - a
      | ^^^
    hint: a compose file begins with `services:`
    ");
    insta::assert_snapshot!(case("services:\n").complaints(), @"
    error: there are no services
     --> compose.yaml:1:1
      |
    1 | services:
      | ^^^^^^^^
    hint: a compose file names them under `services:`
    ");
}
