//! What a crash leaves in the store, and what the next command makes of it.

#![allow(
    clippy::unwrap_used,
    reason = "a test that panics has failed, which is meant"
)]

mod common;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Mutex;

use common::Bench;
use model::ContainerId;
use store::{Options, Store};

static TOLD: Mutex<Vec<(String, Option<String>)>> = Mutex::new(Vec::new());

fn tell(error: &(dyn std::error::Error + 'static), hint: Option<String>) {
    TOLD.lock().unwrap().push((error.to_string(), hint));
}

/// Another command opens the store.
fn next(root: &Path) -> (Store, Vec<store::Abandoned>) {
    let options = Options {
        on_damage: Some(tell),
        ..Options::default()
    };
    Store::open_healing(root, options).unwrap()
}

/// A directory that looks like a container's.
fn recorded(bench: &Bench, id: &ContainerId, record: &str, plan: &str) {
    let dir = bench.store.containers().dir(id);
    std::fs::create_dir(&dir).unwrap();
    std::fs::write(dir.join("record.json"), record).unwrap();
    std::fs::write(dir.join("config.json"), plan).unwrap();
}

#[test]
fn a_name_goes_with_the_maker_of_its_container() {
    let bench = Bench::new();
    let [lost, kept] = [(); 2].map(|()| bench.store.containers().new_id().unwrap());
    let names = bench.root().join("names");
    std::fs::write(names.join("lost"), lost.as_str()).unwrap();
    std::fs::write(names.join("kept"), kept.as_str()).unwrap();
    recorded(&bench, &kept, "{}", "{}");
    // What a maker leaves that was killed between its claim and the rename.
    std::fs::create_dir(bench.root().join("tmp/half")).unwrap();
    next(bench.root());
    assert!(!names.join("lost").exists());
    assert!(names.join("kept").exists());
    bench.nothing_half_made();
}

#[test]
fn an_anonymous_volume_goes_with_the_maker_of_its_container() {
    let bench = Bench::new();
    let volumes = bench.store.volumes();
    let [one, two] = [(); 2].map(|()| bench.store.containers().new_id().unwrap());
    let (lost, claim) = volumes.create_for(&one).unwrap();
    next(bench.root());
    assert_eq!(
        volumes.list().unwrap(),
        std::slice::from_ref(&lost),
        "its maker lives"
    );

    // A killed process lets go of the lock and leaves the file.
    let path = bench
        .root()
        .join("tmp")
        .join(format!("volume.{}", lost.name));
    let text = std::fs::read(&path).unwrap();
    drop(claim);
    std::fs::write(&path, &text).unwrap();
    next(bench.root());
    assert_eq!(volumes.list().unwrap(), []);
    bench.nothing_half_made();

    let (kept, claim) = volumes.create_for(&two).unwrap();
    drop(claim);
    recorded(&bench, &two, "{}", "{}");
    std::fs::write(
        bench
            .root()
            .join("tmp")
            .join(format!("volume.{}", kept.name)),
        two.as_str(),
    )
    .unwrap();
    next(bench.root());
    assert_eq!(volumes.list().unwrap(), [kept], "its container came to be");
    bench.nothing_half_made();
}

#[test]
fn a_container_that_was_to_run_is_given_back_once() {
    let bench = Bench::new();
    let id = bench.store.containers().new_id().unwrap();
    let claim = bench.store.claim_run(&id).unwrap();
    assert!(next(bench.root()).1.is_empty(), "its maker lives");
    drop(claim);
    std::fs::write(bench.root().join("tmp").join(format!("run.{id}")), "").unwrap();
    let abandoned = next(bench.root()).1;
    assert_eq!(abandoned[0].id, id);
    assert!(next(bench.root()).1.is_empty(), "somebody looks after it");
    drop(abandoned);
    for found in next(bench.root()).1 {
        found.settled();
    }
    assert!(next(bench.root()).1.is_empty());
    bench.nothing_half_made();
}

#[test]
fn what_does_not_outlive_its_boot_goes_after_it() {
    let bench = Bench::new();
    let id = bench.store.containers().new_id().unwrap();
    recorded(&bench, &id, "", "{}");
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
    let mark = bench.store.containers().dir(&id).join("boot");
    std::fs::write(&mark, boot.trim()).unwrap();
    assert_eq!(bench.store.containers().list().unwrap(), []);
    assert_eq!(
        bench.list("containers").len(),
        1,
        "damaged, and of this boot"
    );
    std::fs::write(&mark, "00000000-0000-4000-8000-000000000000").unwrap();
    assert_eq!(bench.store.containers().list().unwrap(), []);
    assert_eq!(bench.list("containers"), [""; 0]);
}

#[test]
fn damaged_records_are_told_of_and_keep_everything() {
    let bench = Bench::new();
    let volumes = bench.store.volumes();
    volumes.create(Some("data"), &BTreeMap::new()).unwrap();
    volumes.create(Some("free"), &BTreeMap::new()).unwrap();
    std::fs::write(bench.root().join("volumes/data/record.json"), "{").unwrap();
    let id = bench.store.containers().new_id().unwrap();
    let source = volumes.data("data").display().to_string();
    let plan = format!("{{\"mounts\":[{{\"source\":\"{source}\"");
    recorded(&bench, &id, "{\"version\":1,", &plan);
    std::fs::write(bench.root().join("networks/front.json"), "").unwrap();

    let (store, _) = next(bench.root());
    assert_eq!(store.containers().list().unwrap(), []);
    assert_eq!(store.networks().list().unwrap(), []);
    let names: Vec<String> = store
        .volumes()
        .list()
        .unwrap()
        .into_iter()
        .map(|v| v.name)
        .collect();
    assert_eq!(names, ["data", "free"]);
    let told = TOLD.lock().unwrap().clone();
    let hint_for = |part: &str| {
        let told = told.iter().find(|(what, _)| what.contains(part));
        told.unwrap_or_else(|| panic!("nobody told of {part}"))
            .1
            .clone()
            .unwrap()
    };
    assert!(hint_for(&format!("containers/{id}/record.json is damaged")).contains("shim rm -f"));
    assert!(hint_for("volumes/data/record.json").contains("shim volume create data"));
    assert!(hint_for("networks/front.json").contains("shim network rm front"));

    assert_eq!(
        store.collect().unwrap(),
        None,
        "nobody knows what it refers to"
    );
    let unused: Vec<String> = store
        .volumes()
        .unused()
        .unwrap()
        .into_iter()
        .map(|v| v.name)
        .collect();
    assert_eq!(unused, ["free"], "the damaged plan mentions the other one");
    assert!(store.volumes().remove("data").is_err());
    assert_eq!(
        store.containers().find_damaged(&id.as_str()[..8]).unwrap(),
        id
    );
    store.containers().remove(&id).unwrap();
    store.networks().remove("front").unwrap();
    store
        .volumes()
        .create(Some("data"), &BTreeMap::new())
        .unwrap();
    assert!(
        std::fs::read_to_string(bench.root().join("volumes/data/record.json"))
            .unwrap()
            .contains("created")
    );
    assert!(store.collect().unwrap().is_some());
}

#[test]
fn a_volume_is_not_removed_while_a_container_is_recorded() {
    let bench = Bench::new();
    let store = bench.store.clone();
    store
        .volumes()
        .create(Some("data"), &BTreeMap::new())
        .unwrap();
    let uses = store.share_uses().unwrap();
    let remover = std::thread::spawn(move || store.volumes().remove("data"));
    std::thread::sleep(std::time::Duration::from_millis(100));
    // The look that a `create` makes, and the record that follows it.
    assert!(
        bench.store.volumes().get("data").is_ok(),
        "removed under a maker's eyes"
    );
    let id = bench.store.containers().new_id().unwrap();
    let plan = format!("\"{}\"", bench.store.volumes().data("data").display());
    recorded(&bench, &id, "{}", &plan[..plan.len() - 1]);
    drop(uses);
    let error = remover.join().unwrap().unwrap_err();
    assert!(error.to_string().contains("in use"), "{error}");
}
