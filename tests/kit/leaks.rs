//! Counts what a store's containers leave behind: in every test's teardown, and around
//! what a test repeats or kills.

#![allow(dead_code, reason = "each test crate uses a part of it")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::web::wait_until;
use super::{Outcome, SHIM, Shim};

/// Supervisors and the gateway end a moment after the command that made them needless.
const PATIENCE: Duration = Duration::from_secs(20);
/// Where version 2 of cgroups may be.
const CGROUPS: [&str; 2] = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"];
/// Directories of the store that hold nothing once there are no containers.
const EMPTY: [&str; 4] = ["tmp", "trash", "containers", "names"];

impl Shim {
    /// What is left of containers though there are none any more; a sentence each.
    pub(crate) fn leaks(&self) -> Vec<String> {
        let mut found = Vec::new();
        let mut tell = |what: &str, which: Vec<String>| {
            found.extend(
                which
                    .into_iter()
                    .map(|name| format!("{what} {name} is left")),
            );
        };
        tell("process", self.processes().iter().map(describe).collect());
        tell("mount", self.mounts());
        tell("cgroup", self.cgroups());
        for directory in EMPTY {
            let mut names = self.stored(directory);
            names.retain(|name| !name.ends_with(".lock"));
            tell(&format!("{directory}/"), names);
        }
        let files = self.runtime_files();
        tell(
            "file",
            files.iter().map(|f| f.display().to_string()).collect(),
        );
        let directories = std::fs::read_dir(self.run_dir().join("c"));
        let directories = directories.into_iter().flatten().flatten();
        tell(
            "directory",
            directories
                .map(|e| e.path().display().to_string())
                .collect(),
        );
        found
    }

    /// Nothing may be left of this store's containers, all of which are removed.
    #[track_caller]
    pub(crate) fn leaks_nothing(&self) {
        let mut left = Vec::new();
        let clean = wait_until(PATIENCE, || {
            left = self.leaks();
            left.is_empty()
        });
        assert!(
            clean,
            "leaks of {}:\n{}",
            self.root().display(),
            left.join("\n")
        );
    }

    /// Mounts of this store in our own namespace.
    fn mounts(&self) -> Vec<String> {
        let (root, state) = (self.root(), self.run_dir());
        let marks = [root.to_str().unwrap(), state.to_str().unwrap()];
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
        let ours = mounts
            .lines()
            .filter(|line| marks.iter().any(|mark| line.contains(mark)));
        ours.map(str::to_owned).collect()
    }

    /// Cgroups of containers that this store has, or had: the log of each test's own
    /// containers is their ids in `seen`.
    fn cgroups(&self) -> Vec<String> {
        let seen = self.seen.lock().unwrap();
        let exists = |id: &&String| {
            let places = CGROUPS
                .iter()
                .map(|root| Path::new(root).join("shim").join(id));
            places.into_iter().any(|place| place.exists())
        };
        seen.iter().filter(exists).cloned().collect()
    }

    /// Remembers the ids of the containers that there are now.
    pub(crate) fn see(&self) {
        let names = self.stored("containers");
        self.seen.lock().unwrap().extend(names);
    }

    /// Removes all containers, as a test's end does.
    pub(crate) fn remove_all(&self) -> Outcome {
        self.see();
        let all = self.run(&["ps", "-aq"]).stdout;
        let ids: Vec<&str> = all.split_whitespace().collect();
        // What was healed lies in the trash until a command empties it, notes of the killed
        // until one enters the user namespace, and a gateway whose last user was killed
        // waits a while for another.
        let clean = self.leaks().is_empty();
        match ids.is_empty() {
            true if clean => self.run(&["ps", "-q"]),
            true => self.run(&["container", "prune", "-f"]),
            false => self.run(&[&["rm", "-f", "-v"], ids.as_slice()].concat()),
        }
    }

    /// A script of the checkout with the program, its store and the caller's variables.
    pub(crate) fn script(&self, path: &str, args: &[&str]) -> Outcome {
        let program = super::bases::source(path);
        let program = program.to_str().unwrap();
        let mut command = match &self.user {
            Some(user) => user.command(program),
            None => Command::new(program),
        };
        command.args(args).current_dir(self.directory.path());
        command.env_clear().env("SHIM", SHIM);
        for (name, value) in self.command(&[]).get_envs() {
            command.env(name, value.unwrap());
        }
        Outcome::of(&mut command, path, b"")
    }

    /// Runs a shell script of this test's directory with the store on a tmpfs, which
    /// nobody else sees.
    pub(crate) fn on_tmpfs(&self, options: &str, script: &str) -> Outcome {
        std::fs::create_dir(self.root()).unwrap();
        let owner = match &self.user {
            Some(user) => {
                user.own(&self.root());
                user.owner()
            }
            None => "uid=0,gid=0".to_owned(),
        };
        let mount = format!(
            "mount -t tmpfs -o {options},mode=700,{owner} tmpfs '{}' && exec \"$@\"",
            self.root().display()
        );
        let mut inner = match &self.user {
            Some(user) => user.command("sh"),
            None => Command::new("sh"),
        };
        inner.arg(self.path(script));
        let mut command = Command::new("unshare");
        command.args(["-m", "sh", "-c", &mount, "sh"]);
        command.arg(inner.get_program()).args(inner.get_args());
        command.current_dir(self.directory.path());
        command.env_clear().env("SHIM", SHIM);
        for (name, value) in self.command(&[]).get_envs() {
            command.env(name, value.unwrap());
        }
        Outcome::of(&mut command, script, b"")
    }

    /// Open descriptors of this store's gateway; none if there is no gateway.
    pub(crate) fn gateway_fds(&self) -> usize {
        let state = self.run_dir().display().to_string();
        let is_gateway = |pid: &&u32| {
            let bytes = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            let text = String::from_utf8_lossy(&bytes).into_owned();
            text.contains("__gateway") && text.contains(&state)
        };
        let pids = self.processes();
        let gateway = pids.iter().find(is_gateway);
        gateway.map_or(0, |pid| {
            std::fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, Iterator::count)
        })
    }
}

/// Whether one of a process's descriptors is below one of these directories.
pub(super) fn holds(proc: &Path, marks: &[&str]) -> bool {
    let entries = std::fs::read_dir(proc.join("fd")).into_iter().flatten();
    let links = entries
        .flatten()
        .filter_map(|e| std::fs::read_link(e.path()).ok());
    links
        .map(|link: PathBuf| link.display().to_string())
        .any(|link| marks.iter().any(|mark| link.starts_with(mark)))
}

fn describe(pid: &u32) -> String {
    let text = std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    format!("{pid} ({})", text.replace('\0', " ").trim())
}

/// Ids of containers that there were.
pub(super) type Seen = std::sync::Mutex<BTreeSet<String>>;
