//! House rules that a compiler does not know: which crate may depend on which, how large
//! files may grow, what libraries must not do.

#![allow(
    clippy::unwrap_used,
    reason = "a test that panics has failed, which is meant"
)]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
const MAX_LINES: usize = 1000;

/// For each crate of ours, those it may know. Arrows only go down.
const LAYERS: [(&str, &[&str]); 12] = [
    ("text", &[]),
    ("model", &[]),
    ("sys", &["model"]),
    ("dockerfile", &["text", "model"]),
    ("compose", &["text", "model"]),
    ("store", &["sys", "model"]),
    ("registry", &["sys", "model"]),
    ("runtime", &["sys", "model"]),
    ("net", &["sys", "model"]),
    ("build", &["dockerfile", "text", "store", "sys", "model"]),
    (
        "engine",
        &[
            "compose",
            "dockerfile",
            "build",
            "runtime",
            "registry",
            "net",
            "store",
            "text",
            "sys",
            "model",
        ],
    ),
    (
        "shim",
        &["engine", "compose", "runtime", "net", "text", "model"],
    ),
];

/// Foreign crates that only one crate of ours may name.
const DOORS: [(&str, &[&str]); 10] = [
    ("reqwest", &["registry"]),
    ("libcontainer", &["runtime"]),
    ("tar", &["store"]),
    ("flate2", &["store"]),
    ("ruzstd", &["store"]),
    ("saphyr-parser", &["compose"]),
    ("domain", &["net"]),
    ("tokio", &["registry"]),
    ("clap", &["shim"]),
    ("indicatif", &["shim"]),
];

fn metadata() -> serde_json::Value {
    let out = Command::new(env!("CARGO"))
        .args([
            "metadata",
            "--no-deps",
            "--format-version",
            "1",
            "--offline",
        ])
        .current_dir(ROOT)
        .output()
        .unwrap();
    assert!(
        out.status.success(),
        "{}",
        String::from_utf8_lossy(&out.stderr)
    );
    serde_json::from_slice(&out.stdout).unwrap()
}

/// Crate → its dependencies outside of tests.
fn dependencies() -> BTreeMap<String, Vec<String>> {
    let metadata = metadata();
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    let of = |package: &serde_json::Value| {
        let all = package["dependencies"].as_array().unwrap().iter();
        let built = all
            .filter(|d| d["kind"].is_null())
            .map(|d| text(&d["name"]))
            .collect();
        (text(&package["name"]), built)
    };
    metadata["packages"]
        .as_array()
        .unwrap()
        .iter()
        .map(of)
        .collect()
}

#[test]
fn arrows_only_go_down() {
    let layers: BTreeMap<_, _> = LAYERS.into_iter().collect();
    let mut wrong = Vec::new();
    for (name, dependencies) in dependencies() {
        let Some(allowed) = layers.get(name.as_str()) else {
            wrong.push(format!("crate {name} has no place in the layers"));
            continue;
        };
        for dependency in dependencies
            .iter()
            .filter(|d| layers.contains_key(d.as_str()))
        {
            if !allowed.contains(&dependency.as_str()) {
                wrong.push(format!("{name} may not know {dependency}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn foreign_crates_have_one_door() {
    let doors: BTreeMap<_, _> = DOORS.into_iter().collect();
    let mut wrong = Vec::new();
    for (name, dependencies) in dependencies() {
        for dependency in dependencies {
            if doors
                .get(dependency.as_str())
                .is_some_and(|d| !d.contains(&name.as_str()))
            {
                wrong.push(format!("{name} may not name {dependency}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn every_dependency_has_its_line() {
    let map = fs::read_to_string(Path::new(ROOT).join("crates/README.md")).unwrap();
    let ours: Vec<&str> = LAYERS.iter().map(|(name, _)| *name).collect();
    let mut missing = Vec::new();
    for dependency in dependencies().into_values().flatten() {
        if !ours.contains(&dependency.as_str()) && !map.contains(&format!("`{dependency}`")) {
            missing.push(dependency);
        }
    }
    // And the table names nothing that has gone.
    let known: Vec<String> = dependencies().into_values().flatten().collect();
    let table = map.split("## Dependencies").nth(1).unwrap();
    for row in table.lines().filter(|line| line.starts_with("| `")) {
        let first = row.split('|').nth(1).unwrap();
        let names = first.split('`').skip(1).step_by(2);
        missing.extend(
            names
                .filter(|n| !known.contains(&n.to_string()))
                .map(|n| format!("{n} (gone)")),
        );
    }
    missing.sort();
    missing.dedup();
    assert!(
        missing.is_empty(),
        "not in the table of crates/README.md: {missing:?}"
    );
}

fn sources(directory: &Path, out: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).unwrap().map(Result::unwrap) {
        let path = entry.path();
        if path.is_dir() {
            sources(&path, out);
        } else if path.extension().is_some_and(|e| e == "rs") {
            out.push(path);
        }
    }
}

/// Files that hold tests only.
fn is_test(path: &Path) -> bool {
    let part = |p: &std::ffi::OsStr| p == "tests" || p == "tests.rs" || p == "examples";
    path.iter().any(part)
}

fn library_sources() -> Vec<(PathBuf, String)> {
    let mut paths = Vec::new();
    sources(&Path::new(ROOT).join("crates"), &mut paths);
    assert!(paths.len() > 100, "the sources were not found");
    paths.retain(|path| !is_test(path.strip_prefix(ROOT).unwrap()));
    paths
        .into_iter()
        .map(|path| (path.clone(), fs::read_to_string(path).unwrap()))
        .collect()
}

/// The part of a file before its tests.
fn code(text: &str) -> &str {
    text.split("\n#[cfg(test)]\nmod tests {").next().unwrap()
}

#[test]
fn files_stay_small() {
    let mut large = Vec::new();
    for (path, text) in library_sources() {
        let lines = code(&text).lines().count();
        if lines > MAX_LINES {
            large.push(format!("{}: {lines} lines", path.display()));
        }
    }
    assert!(large.is_empty(), "{large:#?}");
}

#[test]
fn libraries_do_not_print_exit_or_unwrap() {
    let banned = [
        ".unwrap()",
        "println!(",
        "eprintln!(",
        "dbg!(",
        "todo!(",
        "unimplemented!(",
    ];
    let mut found = Vec::new();
    for (path, text) in library_sources() {
        for (number, line) in code(&text).lines().enumerate() {
            let line = line.trim_start();
            if line.starts_with("//") {
                continue;
            }
            let program = path.starts_with(Path::new(ROOT).join("crates/shim"));
            let environment =
                !program && (line.contains("std::env::var") || line.contains("env::current_dir"));
            if environment || banned.iter().any(|word| line.contains(word)) {
                found.push(format!("{}:{}: {line}", path.display(), number + 1));
            }
        }
    }
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn unsafe_lives_in_one_crate() {
    let mut found = Vec::new();
    for (path, text) in library_sources() {
        if path.starts_with(Path::new(ROOT).join("crates/sys")) {
            continue;
        }
        let uses = |line: &str| {
            let line = line.trim_start();
            !line.starts_with("//") && (line.contains("unsafe {") || line.contains("unsafe fn"))
        };
        if code(&text).lines().any(uses) {
            found.push(path.display().to_string());
        }
    }
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn scripts_are_short() {
    for entry in fs::read_dir(Path::new(ROOT).join("scripts"))
        .unwrap()
        .map(Result::unwrap)
    {
        let path = entry.path();
        if path.is_file() {
            let lines = fs::read_to_string(&path).unwrap().lines().count();
            assert!(lines <= 250, "{}: {lines} lines", path.display());
        }
    }
}
