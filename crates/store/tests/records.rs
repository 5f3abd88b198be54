//! Images, containers, volumes, networks, projects, the build cache, collection.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use std::collections::BTreeMap;

use common::{Bench, digest, tar};
use model::container::{
    DnsPlan, Isolation, Limits, LogPlan, MountOptions, PlanPaths, ProcessPlan, RestartPolicy,
    RootfsPlan, Seccomp, StopPlan,
};
use model::network::Attachment;
use model::{
    ContainerId, ContainerPlan, ImageConfig, MountKind, MountPlan, NetworkMode, NetworkPlan,
    Reference,
};
use store::images::Removal;
use store::networks::NetworkOptions;
use store::{ContainerImage, ContainerRecord, Error, Image, Options, Store};

fn reference(text: &str) -> Reference {
    text.parse().unwrap()
}

/// An image with one file, whose content makes it another image.
fn image(bench: &Bench, content: &str, name: Option<&str>) -> Image {
    let rootfs = tar(&[("file", content)]);
    let name = name.map(reference);
    let config = ImageConfig {
        created: Some("2026-01-02T03:04:05Z".into()),
        ..ImageConfig::default()
    };
    bench
        .store
        .import(&rootfs[..], config, name.as_ref())
        .unwrap()
}

fn plan(bench: &Bench, id: &ContainerId, name: &str) -> ContainerPlan {
    let dir = bench.store.containers().dir(id);
    ContainerPlan {
        version: 1,
        id: id.clone(),
        name: name.into(),
        hostname: name.into(),
        rootfs: RootfsPlan {
            layers: Vec::new(),
            upper: dir.join("upper"),
            work: dir.join("work"),
            read_only: false,
            volatile: false,
        },
        process: ProcessPlan {
            argv: vec!["true".into()],
            env: Vec::new(),
            cwd: "/".into(),
            user: String::new(),
            tty: false,
            stdin_open: false,
            capabilities: Vec::new(),
            no_new_privileges: false,
            ..ProcessPlan::default()
        },
        mounts: Vec::new(),
        network: NetworkMode::None,
        extra_hosts: Vec::new(),
        stop: StopPlan {
            signal: 15,
            grace_ms: 10_000,
        },
        restart: RestartPolicy::No,
        health: None,
        paths: PlanPaths {
            run_dir: dir.join("run"),
            log: None,
            exit: dir.join("exit"),
            gateway: dir.join("gateway"),
        },
        wait_for_attach: false,
        seccomp: Seccomp::Default,
        ids: None,
        after_exit: None,
        domainname: String::new(),
        dns: DnsPlan::default(),
        exposed: Vec::new(),
        isolation: Isolation::default(),
        limits: Limits::default(),
        init: false,
        logging: LogPlan::default(),
        pid_file: None,
        annotations: BTreeMap::new(),
    }
}

fn record(bench: &Bench, image: &Image, name: &str, durable: bool) -> ContainerRecord {
    ContainerRecord {
        version: 1,
        id: bench.store.containers().new_id().unwrap(),
        name: name.into(),
        created: format!("2026-01-01T00:00:0{}Z", name.len() % 10),
        image: ContainerImage {
            name: "app".into(),
            id: image.id.clone(),
            digest: image.digest.clone(),
        },
        layers: image.layers.clone(),
        mounted: Vec::new(),
        command: vec!["true".into()],
        config: Default::default(),
        labels: BTreeMap::new(),
        auto_remove: !durable,
        anonymous_volumes: Vec::new(),
        durable,
    }
}

fn container(bench: &Bench, image: &Image, name: &str) -> ContainerRecord {
    let record = record(bench, image, name, true);
    bench
        .store
        .containers()
        .create(&record, &plan(bench, &record.id, name))
        .unwrap();
    record
}

#[test]
fn images_are_found_by_name_and_by_id() {
    let bench = Bench::new();
    let images = bench.store.images();
    let app = image(&bench, "1", Some("app"));
    let found = |text: &str| images.resolve(text).map(|(image, name)| (image.id, name));
    let named = Some(reference("app:latest"));
    assert_eq!(found("app").unwrap(), (app.id.clone(), named.clone()));
    assert_eq!(
        found("docker.io/library/app:latest").unwrap(),
        (app.id.clone(), named.clone())
    );
    assert_eq!(
        found(&format!("app@{}", app.digest)).unwrap(),
        (app.id.clone(), named)
    );
    for text in [
        app.id.as_str(),
        app.id.hex(),
        app.id.short(),
        &app.id.hex()[..3],
    ] {
        assert_eq!(found(text).unwrap(), (app.id.clone(), None), "{text}");
    }
    for text in ["other", "app:2", "", "sha256:", "../app", "a b"] {
        assert!(matches!(found(text), Err(Error::NoImage(_))), "{text}");
    }
    // More images than there are first digits.
    for n in 0..17 {
        let _ = image(&bench, &format!("more {n}"), None);
    }
    let first = |i: &store::ImageSummary| i.id.hex()[..1].to_owned();
    let mut firsts: Vec<String> = images.list().unwrap().iter().map(first).collect();
    firsts.sort();
    let shared = firsts.windows(2).find(|w| w[0] == w[1]).unwrap()[0].clone();
    assert!(
        matches!(found(&shared), Err(Error::Ambiguous { kind: "image", .. })),
        "{shared}"
    );
}

#[test]
fn a_name_moves_and_leaves_the_old_image_nameless() {
    let bench = Bench::new();
    let images = bench.store.images();
    let old = image(&bench, "1", Some("app"));
    let new = image(&bench, "2", Some("app"));
    images
        .tag(&new.id, &reference("example.org/app:2"))
        .unwrap();
    let listed = images.list().unwrap();
    let names = |id: &model::Digest| {
        listed
            .iter()
            .find(|i| i.id == *id)
            .unwrap()
            .references
            .clone()
    };
    assert_eq!(names(&old.id), []);
    assert_eq!(
        names(&new.id),
        [reference("app"), reference("example.org/app:2")]
    );
    assert_eq!(images.unused().unwrap().len(), 2);
    assert_eq!(
        images.remove(old.id.as_str(), true).unwrap(),
        [Removal::Deleted(old.id)]
    );
    assert_eq!(images.list().unwrap().len(), 1);
}

#[test]
fn images_are_removed_as_docker_does() {
    let bench = Bench::new();
    let images = bench.store.images();
    let app = image(&bench, "1", Some("app"));
    images.tag(&app.id, &reference("app:2")).unwrap();
    let several = images.remove(app.id.short(), false).unwrap_err();
    assert_eq!(
        several.to_string(),
        format!("image {} is named app:2, app:latest", app.id.short())
    );
    assert_eq!(
        images.remove("app:2", false).unwrap(),
        [Removal::Untagged(reference("app:2"))]
    );

    let user = container(&bench, &app, "user");
    let used = images.remove("app", false).unwrap_err();
    assert_eq!(
        used.to_string(),
        format!(
            "image app is in use by container {} (user)",
            user.id.short()
        )
    );
    let gone = [
        Removal::Untagged(reference("app")),
        Removal::Deleted(app.id.clone()),
    ];
    assert_eq!(images.remove("app", true).unwrap(), gone);
    assert!(matches!(images.resolve("app"), Err(Error::NoImage(_))));
    // Its layers live on under the container, and go with it.
    bench.store.collect().unwrap();
    assert!(bench.store.layers().has(&app.layers[0]));
    bench.store.containers().remove(&user.id).unwrap();
    let collected = bench.store.collect().unwrap().unwrap();
    assert_eq!((collected.layers, collected.blobs), (1, 2));
    assert!(!bench.store.layers().has(&app.layers[0]));
    assert_eq!(bench.list("blobs/sha256"), [""; 0]);
}

#[test]
fn collection_spares_what_is_needed_and_waits_for_who_makes_references() {
    let bench = Bench::new();
    let app = image(&bench, "1", Some("app"));
    let cached = bench
        .store
        .layers()
        .adopt_tar(&tar(&[("cached", "1")])[..])
        .unwrap();
    let loose = bench
        .store
        .layers()
        .adopt_tar(&tar(&[("loose", "1")])[..])
        .unwrap();
    let value = serde_json::json!({ "steps": [{ "layer": cached.diff_id }] });
    bench
        .store
        .build_cache()
        .put(&digest(b"key"), &value)
        .unwrap();
    let blob = bench.store.blobs().put(b"loose", None).unwrap();

    let shared = bench.store.share().unwrap();
    assert_eq!(
        bench.store.collect().unwrap(),
        None,
        "somebody makes references"
    );
    drop(shared);
    let collected = bench.store.collect().unwrap().unwrap();
    assert_eq!((collected.layers, collected.blobs), (1, 1));
    assert!(!bench.store.layers().has(&loose.diff_id) && !bench.store.blobs().has(&blob));
    assert!(bench.store.layers().has(&cached.diff_id));
    bench.store.images().resolve("app").unwrap();
    assert!(bench.store.layers().has(&app.layers[0]));

    assert_eq!(
        bench.store.build_cache().get(&digest(b"key")).unwrap(),
        Some(value)
    );
    assert_eq!(bench.store.build_cache().clear().unwrap(), 1);
    assert_eq!(bench.store.collect().unwrap().unwrap().layers, 1);
}

#[test]
fn an_image_without_its_layers_is_not_recorded() {
    let bench = Bench::new();
    let app = image(&bench, "1", Some("app"));
    std::fs::remove_dir_all(bench.root().join("layers").join(app.layers[0].hex())).unwrap();
    let error = bench
        .store
        .images()
        .put(&app.digest, Some(&reference("again")))
        .unwrap_err();
    assert!(matches!(error, Error::NoLayer(_)), "{error}");
    assert!(
        bench
            .store
            .images()
            .get(&reference("again"))
            .unwrap()
            .is_none()
    );
}

#[test]
fn containers_are_found_and_names_are_claimed_once() {
    let bench = Bench::new();
    let containers = bench.store.containers();
    let app = image(&bench, "1", None);
    let web = container(&bench, &app, "web");
    for text in [
        "web",
        web.id.as_str(),
        web.id.short(),
        &web.id.as_str()[..5],
    ] {
        assert_eq!(containers.find(text).unwrap(), web, "{text}");
    }
    assert_eq!(containers.plan(&web.id).unwrap().name, "web");
    for dir in ["upper", "work"] {
        assert!(containers.dir(&web.id).join(dir).is_dir());
    }
    let second = record(&bench, &app, "web", false);
    let error = containers
        .create(&second, &plan(&bench, &second.id, "web"))
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "the container name `web` is in use by container {}",
            web.id.short()
        )
    );
    assert!(error.hint().is_some());
    assert_eq!(containers.list().unwrap(), std::slice::from_ref(&web));
    bench.nothing_half_made();

    for bad in ["", "-x", "a/b", "..", "a b", &"x".repeat(201)] {
        let bad = record(&bench, &app, bad, false);
        let error = containers
            .create(&bad, &plan(&bench, &bad.id, &bad.name))
            .unwrap_err();
        assert!(matches!(error, Error::BadName { .. }), "{error}");
    }
    containers.rename(&web.id, "www").unwrap();
    assert!(containers.find("web").is_err());
    assert_eq!(containers.find("www").unwrap().name, "www");
    assert_eq!(containers.plan(&web.id).unwrap().name, "www");
    let again = container(&bench, &app, "web");
    assert!(matches!(
        containers.rename(&again.id, "www"),
        Err(Error::NameTaken { .. })
    ));
    containers.remove(&web.id).unwrap();
    assert!(matches!(containers.find("www"), Err(Error::NoContainer(_))));
    assert!(matches!(
        containers.remove(&web.id),
        Err(Error::NoContainer(_))
    ));
    let _ = container(&bench, &app, "www");
}

#[test]
fn a_claim_that_a_crash_left_is_taken_over() {
    let bench = Bench::new();
    let app = image(&bench, "1", None);
    let dead = bench.store.containers().new_id().unwrap();
    std::fs::write(bench.root().join("names/web"), dead.as_str()).unwrap();
    std::fs::write(bench.root().join("names/half"), "12ab").unwrap();
    assert!(matches!(
        bench.store.containers().find("web"),
        Err(Error::NoContainer(_))
    ));
    let _ = container(&bench, &app, "web");
    let _ = container(&bench, &app, "half");
}

#[test]
fn a_name_is_claimed_by_one_of_many() {
    let bench = Bench::new();
    let app = image(&bench, "1", None);
    let made = std::thread::scope(|scope| {
        let create = || {
            let record = record(&bench, &app, "web", false);
            bench
                .store
                .containers()
                .create(&record, &plan(&bench, &record.id, "web"))
                .is_ok()
        };
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(create)).collect();
        threads
            .into_iter()
            .filter(|_| true)
            .map(|t| t.join().unwrap())
            .filter(|ok| *ok)
            .count()
    });
    assert_eq!(made, 1);
    assert_eq!(bench.store.containers().list().unwrap().len(), 1);
}

#[test]
fn a_container_is_locked_by_one() {
    let bench = Bench::new();
    let app = image(&bench, "1", None);
    let web = container(&bench, &app, "web");
    let containers = bench.store.containers();
    let held = containers.lock(&web.id).unwrap();
    assert!(containers.try_lock(&web.id).unwrap().is_none());
    drop(held);
    assert!(containers.try_lock(&web.id).unwrap().is_some());
    let absent = containers.new_id().unwrap();
    assert!(matches!(
        containers.lock(&absent),
        Err(Error::NoContainer(_))
    ));
}

#[test]
fn volumes_are_made_once_and_kept_while_mounted() {
    let bench = Bench::new();
    let volumes = bench.store.volumes();
    let labels = BTreeMap::from([("a".to_owned(), "b".to_owned())]);
    let made = volumes.create(Some("data"), &labels).unwrap();
    assert_eq!(
        volumes.create(Some("data"), &BTreeMap::new()).unwrap(),
        made
    );
    std::fs::write(volumes.data("data").join("file"), "kept").unwrap();
    let anonymous = volumes.create(None, &BTreeMap::new()).unwrap();
    assert!(anonymous.anonymous && anonymous.name.len() == 64);
    assert_eq!(volumes.list().unwrap().len(), 2);

    let app = image(&bench, "1", None);
    let user = record(&bench, &app, "user", true);
    let mut with = plan(&bench, &user.id, "user");
    with.mounts.push(MountPlan {
        target: "/data".into(),
        kind: MountKind::Volume {
            source: volumes.data("data"),
            name: "data".into(),
            copy_up: true,
        },
        read_only: false,
        options: MountOptions::default(),
    });
    bench.store.containers().create(&user, &with).unwrap();
    let error = volumes.remove("data").unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "volume data is in use by container {} (user)",
            user.id.short()
        )
    );
    bench.store.containers().remove(&user.id).unwrap();
    volumes.remove("data").unwrap();
    assert!(matches!(volumes.get("data"), Err(Error::NoVolume(_))));
    assert!(matches!(
        volumes.get("../names"),
        Err(Error::BadName { .. })
    ));
}

#[test]
fn a_network_is_kept_while_attached() {
    let bench = Bench::new();
    let network = bench
        .store
        .networks()
        .create("net", &NetworkOptions::default())
        .unwrap();
    let app = image(&bench, "1", None);
    let user = record(&bench, &app, "user", true);
    let mut with = plan(&bench, &user.id, "user");
    with.network = NetworkMode::Gateway(NetworkPlan {
        container: user.id.clone(),
        name: "user".into(),
        attachments: vec![Attachment {
            network: "net".into(),
            subnet: network.subnet,
            address: None,
            aliases: Vec::new(),
            internal: false,
            mac: None,
        }],
        published: Vec::new(),
        host_loopback: false,
        servers: Vec::new(),
    });
    bench.store.containers().create(&user, &with).unwrap();
    assert!(matches!(
        bench.store.networks().remove("net"),
        Err(Error::InUse { .. })
    ));
    bench.store.containers().remove(&user.id).unwrap();
    bench.store.networks().remove("net").unwrap();
}

#[test]
fn projects_keep_what_the_engine_gives() {
    let bench = Bench::new();
    let projects = bench.store.projects();
    assert_eq!(projects.get("shop").unwrap(), None);
    let state = serde_json::json!({ "services": ["db", "web"] });
    let lock = projects.lock("shop").unwrap();
    projects.put("shop", &state).unwrap();
    std::fs::write(projects.logs("shop").unwrap().join("db.log"), "x").unwrap();
    let _ = projects.logs("other").unwrap();
    assert_eq!(projects.get("shop").unwrap(), Some(state));
    assert_eq!(projects.list().unwrap(), ["shop"]);
    assert!(projects.remove("shop").unwrap() && !projects.remove("shop").unwrap());
    drop(lock);
    assert_eq!(projects.list().unwrap(), [""; 0]);
}

#[test]
fn records_of_a_later_version_are_not_misread() {
    let bench = Bench::new();
    bench
        .store
        .volumes()
        .create(Some("data"), &BTreeMap::new())
        .unwrap();
    let path = bench.root().join("volumes/data/record.json");
    std::fs::write(&path, r#"{"version":9,"name":{"new":"shape"}}"#).unwrap();
    let error = bench.store.volumes().get("data").unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "{} has version 9, this program reads up to 1",
            path.display()
        )
    );
}

#[test]
fn two_commands_may_make_the_store_at_once() {
    let temp = tempfile::tempdir().unwrap();
    let root = temp.path().join("a/b/store");
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| Store::open(&root, Options::default()).unwrap());
        }
    });
}
