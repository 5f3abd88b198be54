//! Processes of a container, as `/proc` shows them: for `top` and `stats`.

use std::collections::BTreeSet;
use std::path::Path;

use model::ContainerId;

use crate::{ContainerRecord, Engine, Result};

/// Clock ticks a second in `/proc` (kernel: USER_HZ, fixed at 100).
pub const TICKS: u64 = 100;

/// One process.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Process {
    /// Its number, as the caller sees it.
    pub pid: i32,
    /// Its parent's.
    pub parent: i32,
    /// Process group.
    pub group: i32,
    /// Session.
    pub session: i32,
    /// Effective user.
    pub uid: u32,
    /// One letter: `R`, `S`, `D`, `T`, `Z`, ….
    pub state: char,
    /// Device number of its terminal; 0 for none.
    pub tty: i32,
    /// Nice value.
    pub nice: i32,
    /// Threads.
    pub threads: u64,
    /// Processor time in ticks.
    pub cpu: u64,
    /// The same of children that it has waited for.
    pub children_cpu: u64,
    /// Start, in ticks since boot.
    pub start: u64,
    /// Bytes of address space.
    pub virtual_bytes: u64,
    /// Bytes in memory.
    pub resident_bytes: u64,
    /// Its program's name.
    pub name: String,
    /// Program and arguments; empty for a thread of the kernel and the dead.
    pub argv: Vec<String>,
}

impl Engine {
    /// The processes of a running container, oldest first.
    pub fn processes(&self, record: &ContainerRecord) -> Result<Vec<Process>> {
        let (init, _) = self.init_of(record)?;
        let mut found: Vec<Process> = members(init.pid, &record.id)
            .into_iter()
            .filter_map(read)
            .collect();
        found.sort_by_key(|p| (p.start, p.pid));
        Ok(found)
    }
}

/// Numbers of a container's processes: those of its cgroup, else of its pid namespace,
/// else its first process with all that come from it.
pub(crate) fn members(init: i32, id: &ContainerId) -> BTreeSet<i32> {
    let mut found = BTreeSet::new();
    if let Some(cgroup) = runtime::freezer::cgroup_of(init, id, "") {
        of_cgroup(&cgroup, &mut found);
        return found;
    }
    let namespace = |pid: &str| std::fs::read_link(format!("/proc/{pid}/ns/pid")).ok();
    let theirs = namespace(&init.to_string());
    if theirs.is_some() && theirs != namespace("self") {
        let inside = |pid: &i32| namespace(&pid.to_string()) == theirs;
        return all().into_iter().filter(inside).collect();
    }
    found.insert(init);
    let parents: Vec<(i32, i32)> = all()
        .into_iter()
        .filter_map(|pid| Some((pid, read(pid)?.parent)))
        .collect();
    loop {
        let before = found.len();
        for (pid, parent) in &parents {
            if found.contains(parent) {
                found.insert(*pid);
            }
        }
        if found.len() == before {
            return found;
        }
    }
}

fn of_cgroup(directory: &Path, found: &mut BTreeSet<i32>) {
    let list = std::fs::read_to_string(directory.join("cgroup.procs")).unwrap_or_default();
    found.extend(list.lines().filter_map(|line| line.parse::<i32>().ok()));
    for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            of_cgroup(&entry.path(), found);
        }
    }
}

fn all() -> Vec<i32> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    entries
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect()
}

/// `None` for one that has gone.
fn read(pid: i32) -> Option<Process> {
    let file = |name: &str| std::fs::read_to_string(format!("/proc/{pid}/{name}")).ok();
    let mut process = parse_stat(&file("stat")?)?;
    let status = file("status")?;
    let uids = status.lines().find_map(|line| line.strip_prefix("Uid:"))?;
    process.uid = uids.split_whitespace().nth(1)?.parse().ok()?;
    let line = std::fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    let words = line.split(|b| *b == 0).map(String::from_utf8_lossy);
    process.argv = words.map(std::borrow::Cow::into_owned).collect();
    // Each word ends in a zero byte.
    process.argv.pop();
    Some(process)
}

/// `/proc/PID/stat` (proc_pid_stat(5)); the name in it may hold anything.
fn parse_stat(text: &str) -> Option<Process> {
    const PAGE: u64 = 4096;
    let (head, tail) = text.rsplit_once(')')?;
    let (pid, name) = head.split_once('(')?;
    let fields: Vec<&str> = tail.split_whitespace().collect();
    // The first of them is the third of the manual.
    let number = |field: usize| fields.get(field - 3)?.parse::<i64>().ok();
    let positive = |field: usize| number(field).map(|n| n.max(0).unsigned_abs());
    let small = |field: usize| number(field).and_then(|n| i32::try_from(n).ok());
    Some(Process {
        pid: pid.trim().parse().ok()?,
        name: name.to_owned(),
        state: fields.first()?.chars().next()?,
        parent: small(4)?,
        group: small(5)?,
        session: small(6)?,
        tty: small(7)?,
        cpu: positive(14)? + positive(15)?,
        children_cpu: positive(16)? + positive(17)?,
        nice: small(19)?,
        threads: positive(20)?,
        start: positive(22)?,
        virtual_bytes: positive(23)?,
        resident_bytes: positive(24)? * PAGE,
        ..Process::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_may_hold_anything() {
        let text =
            "42 (a) b (c)) S 1 42 42 34816 42 4194304 1 2 3 4 50 60 7 8 20 -5 3 0 900 8192 2 0";
        let process = parse_stat(text).unwrap();
        assert_eq!(
            (process.pid, process.name.as_str(), process.state),
            (42, "a) b (c)", 'S')
        );
        assert_eq!(
            (process.parent, process.cpu, process.children_cpu),
            (1, 110, 15)
        );
        assert_eq!((process.nice, process.threads, process.start), (-5, 3, 900));
        assert_eq!(
            (process.virtual_bytes, process.resident_bytes),
            (8192, 8192)
        );
        assert!(parse_stat("nonsense").is_none());
    }

    #[test]
    fn we_are_a_process() {
        let own = read(std::process::id() as i32).unwrap();
        assert!(!own.argv.is_empty() && own.resident_bytes > 0, "{own:?}");
    }
}
