//! How much of the machine a container uses: from its cgroups where it has them, else
//! summed over its processes.

use std::path::{Path, PathBuf};
use std::time::Instant;

use crate::processes::{TICKS, members};
use crate::{ContainerRecord, Engine, Liveness, Process, Result};

/// Counters at one moment.
#[derive(Debug, Clone, Copy)]
pub struct ContainerUsage {
    /// When.
    pub at: Instant,
    /// Nanoseconds of processor time.
    pub cpu: u64,
    /// Bytes of memory, without what the kernel can drop.
    pub memory: u64,
    /// Bytes of memory that it may use: its limit, or all there is.
    pub memory_limit: u64,
    /// Bytes received over the network.
    pub received: u64,
    /// Bytes sent.
    pub sent: u64,
    /// Bytes read from disks.
    pub read: u64,
    /// Bytes written.
    pub written: u64,
    /// Processes and threads.
    pub pids: u64,
}

impl ContainerUsage {
    /// Processor time since an earlier moment, in per cent of one processor.
    pub fn cpu_percent(&self, before: &Self) -> f64 {
        let wall = self.at.saturating_duration_since(before.at).as_nanos();
        match wall {
            0 => 0.0,
            wall => self.cpu.saturating_sub(before.cpu) as f64 / wall as f64 * 100.0,
        }
    }
}

impl Engine {
    /// What a container uses; `None` if it does not run.
    pub fn container_usage(&self, record: &ContainerRecord) -> Result<Option<ContainerUsage>> {
        let Liveness::Running(state) = self.observe(record)? else {
            return Ok(None);
        };
        let Some(init) = state.init else {
            return Ok(None);
        };
        let cgroup =
            |controller: &str| runtime::freezer::cgroup_of(init.pid, &record.id, controller);
        let pids = members(init.pid, &record.id);
        let processes = self.processes(record).unwrap_or_default();
        let unified = cgroup("");
        let (received, sent) = network(init.pid);
        let own = |file: &str| unified.as_ref().map(|dir| dir.join(file));
        let (read, written) = own("io.stat")
            .and_then(|path| io_stat(&path))
            .or_else(|| cgroup("blkio").and_then(|dir| blkio(&dir)))
            .unwrap_or_else(|| process_io(pids.iter().copied()));
        let plan = self.plan(record)?;
        Ok(Some(ContainerUsage {
            at: Instant::now(),
            cpu: own("cpu.stat")
                .and_then(|path| keyed(&path, "usage_usec"))
                .map_or_else(|| process_cpu(&processes), |micros| micros * 1000),
            memory: own("memory.current")
                .and_then(|path| memory(&path, "inactive_file"))
                .or_else(|| {
                    let file = cgroup("memory")?.join("memory.usage_in_bytes");
                    memory(&file, "total_inactive_file")
                })
                .unwrap_or_else(|| processes.iter().map(|p| p.resident_bytes).sum()),
            memory_limit: plan.limits.memory.unwrap_or_else(machine_memory),
            received,
            sent,
            read,
            written,
            pids: own("pids.current")
                .and_then(|path| number(&path))
                .or_else(|| number(&cgroup("pids")?.join("pids.current")))
                .unwrap_or_else(|| processes.iter().map(|p| p.threads).sum()),
        }))
    }
}

fn number(path: &Path) -> Option<u64> {
    std::fs::read_to_string(path).ok()?.trim().parse().ok()
}

/// The value of a line `KEY VALUE`.
fn keyed(path: &Path, key: &str) -> Option<u64> {
    let text = std::fs::read_to_string(path).ok()?;
    text.lines()
        .find_map(|line| line.strip_prefix(key)?.strip_prefix(' ')?.parse().ok())
}

/// As docker counts: without files that were not used of late.
fn memory(current: &Path, inactive: &str) -> Option<u64> {
    let cached = keyed(&current.with_file_name("memory.stat"), inactive).unwrap_or(0);
    Some(number(current)?.saturating_sub(cached))
}

fn machine_memory() -> u64 {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let total = text.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let kib = total.and_then(|t| t.split_whitespace().next()?.parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}

fn process_cpu(processes: &[Process]) -> u64 {
    let ticks: u64 = processes.iter().map(|p| p.cpu + p.children_cpu).sum();
    ticks * (1_000_000_000 / TICKS)
}

/// Sums over the interfaces of a process's network namespace, the loopback aside.
fn network(pid: i32) -> (u64, u64) {
    let text = std::fs::read_to_string(format!("/proc/{pid}/net/dev")).unwrap_or_default();
    let lines = text.lines().filter_map(|line| line.split_once(':'));
    lines
        .filter(|(name, _)| name.trim() != "lo")
        .fold((0, 0), |(received, sent), (_, counters)| {
            let field = |n: usize| {
                let mut fields = counters.split_whitespace();
                fields
                    .nth(n)
                    .and_then(|f| f.parse::<u64>().ok())
                    .unwrap_or(0)
            };
            (received + field(0), sent + field(8))
        })
}

/// `8:0 rbytes=1 wbytes=2 …`, a line a device. `None` without the controller.
fn io_stat(path: &PathBuf) -> Option<(u64, u64)> {
    let text = std::fs::read_to_string(path).ok()?;
    let sum = |key: &str| {
        let words = text.split_whitespace();
        let values = words.filter_map(|word| word.strip_prefix(key)?.parse::<u64>().ok());
        values.sum()
    };
    Some((sum("rbytes="), sum("wbytes=")))
}

/// `8:0 Read 1`, a line a device and act.
fn blkio(directory: &Path) -> Option<(u64, u64)> {
    let text = std::fs::read_to_string(directory.join("blkio.throttle.io_service_bytes")).ok()?;
    let sum = |act: &str| {
        let lines = text.lines().filter_map(|line| line.split_once(' '));
        let values =
            lines.filter_map(|(_, rest)| rest.strip_prefix(act)?.trim().parse::<u64>().ok());
        values.sum()
    };
    Some((sum("Read "), sum("Write ")))
}

fn process_io(pids: impl Iterator<Item = i32>) -> (u64, u64) {
    pids.fold((0, 0), |(read, written), pid| {
        let text = std::fs::read_to_string(format!("/proc/{pid}/io")).unwrap_or_default();
        let field = |key: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(key));
            line.and_then(|l| l.trim().parse::<u64>().ok()).unwrap_or(0)
        };
        (read + field("read_bytes:"), written + field("write_bytes:"))
    })
}
