//! What a store's containers leave on the machine: processes, mounts, namespaces, files.

#![allow(dead_code, reason = "each test crate uses a part of it")]

use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::Shim;
use super::server::run;
use super::web::wait_until;

/// Kinds of namespaces, as named below `/proc/PID/ns`.
const NAMESPACES: [&str; 6] = ["net", "mnt", "pid", "ipc", "uts", "user"];
/// The kernel takes namespaces and processes apart behind our back.
const PATIENCE: Duration = Duration::from_secs(20);

impl Shim {
    /// Where the runtime state of this store is.
    pub(crate) fn run_dir(&self) -> PathBuf {
        let base = self
            .user
            .as_ref()
            .map_or(Path::new("/run"), |user| &user.runtime);
        let text = format!("printf %s '{}' | sha256sum", self.root().display());
        let sum = String::from_utf8(run("sh", &["-c", &text])).unwrap();
        base.join("shim").join(&sum[..12])
    }

    /// Processes of this store: ours, and those of its containers.
    pub(crate) fn processes(&self) -> Vec<u32> {
        let (root, state) = (self.root(), self.run_dir());
        let marks = [root.to_str().unwrap(), state.to_str().unwrap()];
        let mentions = |path: PathBuf| {
            let bytes = std::fs::read(path).unwrap_or_default();
            let text = String::from_utf8_lossy(&bytes).into_owned();
            marks.iter().any(|mark| text.contains(mark))
        };
        pids()
            .into_iter()
            .filter(|pid| *pid != std::process::id())
            .filter(|pid| {
                let proc = PathBuf::from(format!("/proc/{pid}"));
                mentions(proc.join("cmdline"))
                    || mentions(proc.join("mountinfo"))
                    || super::leaks::holds(&proc, &marks)
            })
            .collect()
    }

    /// The namespaces that this store's processes are in and this test is not.
    pub(crate) fn namespaces(&self) -> BTreeSet<String> {
        let mut all: BTreeSet<String> = self
            .processes()
            .into_iter()
            .flat_map(namespaces_of)
            .collect();
        for own in namespaces_of(std::process::id()) {
            all.remove(&own);
        }
        all
    }

    /// Files of the runtime directory that are not locks.
    pub(crate) fn runtime_files(&self) -> Vec<PathBuf> {
        let lock = |path: &Path| path.extension().is_some_and(|e| e == "lock");
        // What has happened may be asked for later.
        let journal = |path: &Path| path.file_stem().is_some_and(|stem| stem == "events");
        let mut files = files_below(&self.run_dir());
        files.retain(|path| !lock(path) && !journal(path) && !path.is_dir());
        files
    }

    /// Nothing of this store may be left outside it: no process, mount, namespace (of
    /// those given), network but the default one, volume, nor file but locks; and as a
    /// plain user nothing that belongs to root.
    pub(crate) fn leaves_no_trace(&self, namespaces: &BTreeSet<String>) {
        let gone = wait_until(PATIENCE, || self.processes().is_empty());
        assert!(gone, "processes are left: {}", describe(&self.processes()));
        let held = || -> BTreeSet<String> {
            let all: BTreeSet<String> = pids().into_iter().flat_map(namespaces_of).collect();
            all.intersection(namespaces).cloned().collect()
        };
        let gone = wait_until(PATIENCE, || held().is_empty());
        assert!(gone, "namespaces are left: {:?}", held());
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
        let state = self.run_dir();
        for mark in [self.root().to_str().unwrap(), state.to_str().unwrap()] {
            assert!(
                !mounts.contains(mark),
                "a mount is left: {mark} in\n{mounts}"
            );
        }
        assert_eq!(self.ok(&["ps", "-aq"]), "", "containers are left");
        let networks = self.stored("networks");
        let default = |name: &String| name.starts_with("bridge.") || name.ends_with(".lock");
        assert!(
            networks.iter().all(default),
            "networks are left: {networks:?}"
        );
        assert_eq!(self.ok(&["volume", "ls", "-q"]), "", "volumes are left");
        assert_eq!(
            self.runtime_files(),
            Vec::<PathBuf>::new(),
            "runtime files are left"
        );
        assert_eq!(
            self.stored("tmp"),
            Vec::<String>::new(),
            "half-made things are left"
        );
        if self.rootless() {
            self.owns_everything();
        }
    }

    /// Nothing in the test's directory belongs to root.
    pub(crate) fn owns_everything(&self) {
        for path in files_below(self.directory.path()) {
            let Ok(found) = std::fs::symlink_metadata(&path) else {
                continue;
            };
            assert_ne!(found.uid(), 0, "{} belongs to root", path.display());
        }
    }
}

/// All processes of the machine.
fn pids() -> Vec<u32> {
    let names = std::fs::read_dir("/proc").unwrap();
    names
        .filter_map(|e| e.ok()?.file_name().to_str()?.parse().ok())
        .collect()
}

fn namespaces_of(pid: u32) -> Vec<String> {
    let read = |kind: &&str| std::fs::read_link(format!("/proc/{pid}/ns/{kind}")).ok();
    let links = NAMESPACES.iter().filter_map(read);
    links.map(|link| link.display().to_string()).collect()
}

fn describe(pids: &[u32]) -> String {
    let line = |pid: &u32| {
        let text = std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        format!("{pid} ({})", text.replace('\0', " ").trim())
    };
    pids.iter().map(line).collect::<Vec<_>>().join(", ")
}

/// Everything below a directory, directories included.
fn files_below(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
        let path = entry.path();
        if entry.file_type().is_ok_and(|t| t.is_dir()) {
            found.extend(files_below(&path));
        }
        found.push(path);
    }
    found
}
