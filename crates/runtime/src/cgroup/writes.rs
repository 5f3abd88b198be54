//! From limits to what is written into which file of a cgroup. Pure.
//!
//! Values follow docker (that is, runc). The files are described in the kernel's
//! `Documentation/admin-guide/cgroup-v2.rst` and `cgroup-v1/`.

use std::path::Path;

use model::container::{DeviceLimit, Limits};

use super::limit::{Controller, Limit, LimitError};

/// Microseconds; what `--cpus` divides.
const PERIOD: u64 = 100_000;
/// The least quota that the kernel takes, in microseconds.
const LEAST_QUOTA: u64 = 1_000;

/// Which of the two interfaces a controller is used through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Version {
    V1,
    V2,
}

/// A value for a file of the container's cgroup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Write {
    pub(super) limit: Limit,
    pub(super) controller: Controller,
    /// The first of these that exists.
    pub(super) files: &'static [&'static str],
    pub(super) value: String,
    /// Nobody asked for this one in so many words: where its file is missing, it is left.
    pub(super) implied: bool,
}

/// A block device's major and minor number; `None` if it is none.
pub(super) type Numbers<'a> = &'a dyn Fn(&Path) -> Option<(u32, u32)>;

/// Limits that were asked for, each with the controller it needs, in the order of writing.
pub(super) fn asked(limits: &Limits) -> Vec<(Limit, Controller)> {
    use Controller::{Cpu, Cpuset, Io, Memory, Pids};
    let l = limits;
    let all = [
        (l.memory.is_some(), Limit::Memory, Memory),
        (
            l.memory_reservation.is_some(),
            Limit::MemoryReservation,
            Memory,
        ),
        (asks_for_swap(l), Limit::MemorySwap, Memory),
        (
            l.memory_swappiness.is_some(),
            Limit::MemorySwappiness,
            Memory,
        ),
        (l.oom_kill_disable, Limit::OomKillDisable, Memory),
        (l.nano_cpus.is_some(), Limit::Cpus, Cpu),
        (positive(l.cpu_shares).is_some(), Limit::CpuShares, Cpu),
        (l.cpu_quota.is_some(), Limit::CpuQuota, Cpu),
        (positive(l.cpu_period).is_some(), Limit::CpuPeriod, Cpu),
        (l.cpuset_cpus.is_some(), Limit::CpusetCpus, Cpuset),
        (l.cpuset_mems.is_some(), Limit::CpusetMems, Cpuset),
        (l.pids.is_some_and(|pids| pids > 0), Limit::Pids, Pids),
        (
            l.blkio_weight.is_some_and(|w| w > 0),
            Limit::BlkioWeight,
            Io,
        ),
        (
            !l.blkio_weight_device.is_empty(),
            Limit::BlkioWeightDevice,
            Io,
        ),
        (!l.device_read_bps.is_empty(), Limit::DeviceReadBps, Io),
        (!l.device_write_bps.is_empty(), Limit::DeviceWriteBps, Io),
        (!l.device_read_iops.is_empty(), Limit::DeviceReadIops, Io),
        (!l.device_write_iops.is_empty(), Limit::DeviceWriteIops, Io),
    ];
    let asked = all.into_iter().filter(|(asked, ..)| *asked);
    asked
        .map(|(_, limit, controller)| (limit, controller))
        .collect()
}

/// Whether a limit of swap was asked for; 0 is docker's word for "not said".
fn asks_for_swap(limits: &Limits) -> bool {
    limits.memory_swap.is_some_and(|swap| swap != 0)
}

fn positive(value: Option<u64>) -> Option<u64> {
    value.filter(|value| *value > 0)
}

/// What version 2 has no file for.
pub(super) fn only_version_1(limit: Limit) -> bool {
    matches!(limit, Limit::MemorySwappiness | Limit::OomKillDisable)
}

/// What is written for one controller.
pub(super) fn writes(
    limits: &Limits,
    controller: Controller,
    version: Version,
    numbers: Numbers<'_>,
) -> Result<Vec<Write>, LimitError> {
    let values = match controller {
        Controller::Memory => memory(limits, version),
        Controller::Cpu => cpu(limits, version),
        Controller::Cpuset => cpuset(limits),
        Controller::Pids => pids(limits),
        Controller::Io => io(limits, version, numbers)?,
    };
    let write = |(limit, files, value, implied)| Write {
        limit,
        controller,
        files,
        value,
        implied,
    };
    Ok(values.into_iter().map(write).collect())
}

type Value = (Limit, &'static [&'static str], String, bool);

fn memory(limits: &Limits, version: Version) -> Vec<Value> {
    let mut values: Vec<Value> = Vec::new();
    if let Some(bytes) = limits.memory {
        let file: &[&str] = match version {
            Version::V1 => &["memory.limit_in_bytes"],
            Version::V2 => &["memory.max"],
        };
        values.push((Limit::Memory, file, bytes.to_string(), false));
    }
    values.extend(swap(limits, version));
    if let Some(bytes) = limits.memory_reservation {
        let file: &[&str] = match version {
            Version::V1 => &["memory.soft_limit_in_bytes"],
            Version::V2 => &["memory.low"],
        };
        values.push((Limit::MemoryReservation, file, bytes.to_string(), false));
    }
    if version == Version::V1 {
        if let Some(percent) = limits.memory_swappiness {
            let file = &["memory.swappiness"];
            values.push((Limit::MemorySwappiness, file, percent.to_string(), false));
        }
        if limits.oom_kill_disable {
            let file = &["memory.oom_control"];
            values.push((Limit::OomKillDisable, file, "1".into(), false));
        }
    }
    values
}

/// Docker counts memory and swap together, as version 1 does; version 2 counts swap alone.
/// Nothing said means as much swap as memory.
fn swap(limits: &Limits, version: Version) -> Option<Value> {
    let said = limits.memory_swap.filter(|swap| *swap != 0);
    let memory = limits.memory;
    let together = match (said, memory) {
        (Some(swap), _) => u64::try_from(swap).ok(),
        (None, Some(memory)) => Some(memory.saturating_mul(2)),
        (None, None) => return None,
    };
    let (file, value): (&[&str], _) = match (version, together) {
        (Version::V1, None) => (&["memory.memsw.limit_in_bytes"], "-1".to_owned()),
        (Version::V1, Some(bytes)) => (&["memory.memsw.limit_in_bytes"], bytes.to_string()),
        (Version::V2, None) => (&["memory.swap.max"], "max".to_owned()),
        (Version::V2, Some(bytes)) => {
            let swap = bytes.saturating_sub(memory.unwrap_or(0));
            (&["memory.swap.max"], swap.to_string())
        }
    };
    Some((Limit::MemorySwap, file, value, said.is_none()))
}

fn cpu(limits: &Limits, version: Version) -> Vec<Value> {
    let mut values: Vec<Value> = Vec::new();
    if let Some(shares) = positive(limits.cpu_shares) {
        values.push(match version {
            Version::V1 => (Limit::CpuShares, &["cpu.shares"], shares.to_string(), false),
            Version::V2 => {
                let weight = weight_of_shares(shares).to_string();
                (Limit::CpuShares, &["cpu.weight"], weight, false)
            }
        });
    }
    let (limit, quota, period) = match limits.nano_cpus {
        Some(nano) => {
            let quota = u64::try_from(u128::from(nano) * u128::from(PERIOD) / 1_000_000_000);
            let quota = quota.unwrap_or(u64::MAX).max(LEAST_QUOTA);
            (Limit::Cpus, Some(Some(quota)), Some(PERIOD))
        }
        None => {
            let quota = limits.cpu_quota.filter(|quota| *quota != 0);
            let limit = match quota {
                Some(_) => Limit::CpuQuota,
                None => Limit::CpuPeriod,
            };
            (
                limit,
                quota.map(|q| u64::try_from(q).ok()),
                positive(limits.cpu_period),
            )
        }
    };
    if quota.is_none() && period.is_none() {
        return values;
    }
    match version {
        Version::V1 => {
            if let Some(period) = period {
                values.push((limit, &["cpu.cfs_period_us"], period.to_string(), false));
            }
            if let Some(quota) = quota {
                let quota = quota.map_or("-1".to_owned(), |q| q.to_string());
                values.push((limit, &["cpu.cfs_quota_us"], quota, false));
            }
        }
        Version::V2 => {
            let quota = quota.flatten().map_or("max".to_owned(), |q| q.to_string());
            let period = period.unwrap_or(PERIOD);
            values.push((limit, &["cpu.max"], format!("{quota} {period}"), false));
        }
    }
    values
}

/// Version 1's 2 to 262144 on version 2's 1 to 10000, linearly.
fn weight_of_shares(shares: u64) -> u64 {
    let shares = shares.clamp(2, 262_144);
    1 + (shares - 2) * 9_999 / 262_142
}

fn cpuset(limits: &Limits) -> Vec<Value> {
    let cpus = limits.cpuset_cpus.iter();
    let mems = limits.cpuset_mems.iter();
    let cpus =
        cpus.map(|set| -> Value { (Limit::CpusetCpus, &["cpuset.cpus"], set.clone(), false) });
    let mems =
        mems.map(|set| -> Value { (Limit::CpusetMems, &["cpuset.mems"], set.clone(), false) });
    cpus.chain(mems).collect()
}

fn pids(limits: &Limits) -> Vec<Value> {
    let value = |pids: i64| match pids > 0 {
        true => pids.to_string(),
        false => "max".to_owned(),
    };
    let pids = limits.pids.iter();
    pids.map(|pids| -> Value { (Limit::Pids, &["pids.max"], value(*pids), *pids <= 0) })
        .collect()
}

fn io(limits: &Limits, version: Version, numbers: Numbers<'_>) -> Result<Vec<Value>, LimitError> {
    let mut values: Vec<Value> = Vec::new();
    if let Some(weight) = limits.blkio_weight.filter(|weight| *weight > 0) {
        let (files, value): (&[&str], u64) = match version {
            Version::V1 => (&["blkio.weight", "blkio.bfq.weight"], weight.into()),
            Version::V2 => (&["io.bfq.weight", "io.weight"], weight.into()),
        };
        values.push((Limit::BlkioWeight, files, value.to_string(), false));
    }
    let throttles = [
        (
            Limit::DeviceReadBps,
            &limits.device_read_bps,
            "rbps",
            &["blkio.throttle.read_bps_device"],
        ),
        (
            Limit::DeviceWriteBps,
            &limits.device_write_bps,
            "wbps",
            &["blkio.throttle.write_bps_device"],
        ),
        (
            Limit::DeviceReadIops,
            &limits.device_read_iops,
            "riops",
            &["blkio.throttle.read_iops_device"],
        ),
        (
            Limit::DeviceWriteIops,
            &limits.device_write_iops,
            "wiops",
            &["blkio.throttle.write_iops_device"],
        ),
    ];
    for device in &limits.blkio_weight_device {
        let limit = Limit::BlkioWeightDevice;
        let (major, minor) = number(limit, device, numbers)?;
        let files: &[&str] = match version {
            Version::V1 => &["blkio.weight_device", "blkio.bfq.weight_device"],
            Version::V2 => &["io.bfq.weight", "io.weight"],
        };
        values.push((
            limit,
            files,
            format!("{major}:{minor} {}", device.value),
            false,
        ));
    }
    for (limit, devices, key, file) in throttles {
        for device in devices {
            let (major, minor) = number(limit, device, numbers)?;
            let value = device.value;
            values.push(match version {
                Version::V1 => (limit, file, format!("{major}:{minor} {value}"), false),
                Version::V2 => (
                    limit,
                    &["io.max"],
                    format!("{major}:{minor} {key}={value}"),
                    false,
                ),
            });
        }
    }
    Ok(values)
}

fn number(
    limit: Limit,
    device: &DeviceLimit,
    numbers: Numbers<'_>,
) -> Result<(u32, u32), LimitError> {
    numbers(&device.path).ok_or_else(|| LimitError::NotBlockDevice {
        limit,
        path: device.path.clone(),
    })
}

/// The weight that a file takes for one asked for in docker's scale of 10 to 1000.
/// `io.weight` counts from 1 to 10000, the scheduler's own files as docker does.
pub(super) fn weight_for(file: &str, value: &str) -> String {
    if file != "io.weight" {
        return value.to_owned();
    }
    let (device, weight) = value.rsplit_once(' ').unwrap_or(("default", value));
    let weight: u64 = weight.parse().unwrap_or(100);
    let scaled = 1 + weight.saturating_sub(10) * 9_999 / 990;
    format!("{device} {scaled}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(limits: &Limits, version: Version) -> Vec<String> {
        let disk = |path: &Path| (path == Path::new("/dev/disk")).then_some((8, 0));
        let controllers = Controller::ALL.into_iter();
        let all = controllers.flat_map(|c| writes(limits, c, version, &disk).unwrap());
        all.map(|w| format!("{}={}", w.files[0], w.value)).collect()
    }

    #[test]
    fn memory_and_swap_are_counted_together_by_docker_and_version_1() {
        let mut limits = Limits {
            memory: Some(64 << 20),
            ..Limits::default()
        };
        let v2 = |l: &Limits| plan(l, Version::V2);
        let v1 = |l: &Limits| plan(l, Version::V1);
        let max = "memory.max=67108864".to_owned();
        let limit = "memory.limit_in_bytes=67108864".to_owned();
        // As much swap as memory, if nothing is said.
        assert_eq!(
            v2(&limits),
            [max.clone(), "memory.swap.max=67108864".into()]
        );
        assert_eq!(
            v1(&limits),
            [
                limit.clone(),
                "memory.memsw.limit_in_bytes=134217728".into()
            ]
        );
        limits.memory_swap = Some(0);
        assert_eq!(v2(&limits)[1], "memory.swap.max=67108864");
        limits.memory_swap = Some(64 << 20);
        assert_eq!(v2(&limits)[1], "memory.swap.max=0");
        assert_eq!(v1(&limits)[1], "memory.memsw.limit_in_bytes=67108864");
        limits.memory_swap = Some(-1);
        assert_eq!(v2(&limits)[1], "memory.swap.max=max");
        assert_eq!(v1(&limits)[1], "memory.memsw.limit_in_bytes=-1");
    }

    #[test]
    fn version_1_alone_has_swappiness_and_waiting() {
        let limits = Limits {
            memory_reservation: Some(1),
            memory_swappiness: Some(0),
            oom_kill_disable: true,
            ..Limits::default()
        };
        let v1 = [
            "memory.soft_limit_in_bytes=1",
            "memory.swappiness=0",
            "memory.oom_control=1",
        ];
        assert_eq!(plan(&limits, Version::V1), v1);
        assert_eq!(plan(&limits, Version::V2), ["memory.low=1"]);
        let lost: Vec<_> = asked(&limits)
            .into_iter()
            .filter(|(limit, _)| only_version_1(*limit))
            .map(|(limit, _)| limit.flag())
            .collect();
        assert_eq!(lost, ["--memory-swappiness", "--oom-kill-disable"]);
    }

    #[test]
    fn processors_time() {
        let cpus = |nano| Limits {
            nano_cpus: Some(nano),
            ..Limits::default()
        };
        assert_eq!(
            plan(&cpus(1_500_000_000), Version::V2),
            ["cpu.max=150000 100000"]
        );
        assert_eq!(
            plan(&cpus(10_000_000), Version::V2),
            ["cpu.max=1000 100000"]
        );
        // Below what the kernel takes.
        assert_eq!(plan(&cpus(1), Version::V2), ["cpu.max=1000 100000"]);
        let v1 = ["cpu.cfs_period_us=100000", "cpu.cfs_quota_us=50000"];
        assert_eq!(plan(&cpus(500_000_000), Version::V1), v1);
        let quota = |quota, period| Limits {
            cpu_quota: quota,
            cpu_period: period,
            ..Limits::default()
        };
        assert_eq!(
            plan(&quota(Some(-1), None), Version::V2),
            ["cpu.max=max 100000"]
        );
        assert_eq!(
            plan(&quota(None, Some(50_000)), Version::V2),
            ["cpu.max=max 50000"]
        );
        assert_eq!(
            plan(&quota(None, Some(50_000)), Version::V1),
            ["cpu.cfs_period_us=50000"]
        );
        assert_eq!(
            plan(&quota(Some(-1), None), Version::V1),
            ["cpu.cfs_quota_us=-1"]
        );
    }

    #[test]
    fn weights_change_their_scale() {
        assert_eq!(
            [2, 1024, 262_144, 1, u64::MAX].map(weight_of_shares),
            [1, 39, 10_000, 1, 10_000]
        );
        assert_eq!(weight_for("io.weight", "10"), "default 1");
        assert_eq!(weight_for("io.weight", "8:0 1000"), "8:0 10000");
        assert_eq!(weight_for("io.bfq.weight", "500"), "500");
    }

    #[test]
    fn devices_are_written_by_number() {
        let disk = |value| {
            vec![DeviceLimit {
                path: "/dev/disk".into(),
                value,
            }]
        };
        let limits = Limits {
            device_read_bps: disk(1024),
            device_write_iops: disk(5),
            ..Limits::default()
        };
        assert_eq!(
            plan(&limits, Version::V2),
            ["io.max=8:0 rbps=1024", "io.max=8:0 wiops=5"]
        );
        let v1 = [
            "blkio.throttle.read_bps_device=8:0 1024",
            "blkio.throttle.write_iops_device=8:0 5",
        ];
        assert_eq!(plan(&limits, Version::V1), v1);
        let refused = writes(&limits, Controller::Io, Version::V2, &|_| None).unwrap_err();
        assert_eq!(
            refused.to_string(),
            "--device-read-bps: /dev/disk is not a block device"
        );
    }

    #[test]
    fn the_rest_is_written_as_it_is() {
        let limits = Limits {
            cpuset_cpus: Some("0-1".into()),
            cpuset_mems: Some("0".into()),
            pids: Some(-1),
            cpu_shares: Some(1024),
            ..Limits::default()
        };
        let v2 = [
            "cpu.weight=39",
            "cpuset.cpus=0-1",
            "cpuset.mems=0",
            "pids.max=max",
        ];
        assert_eq!(plan(&limits, Version::V2), v2);
        // No limit is no request.
        let asked: Vec<_> = asked(&limits).into_iter().map(|(limit, _)| limit).collect();
        assert_eq!(
            asked,
            [Limit::CpuShares, Limit::CpusetCpus, Limit::CpusetMems]
        );
    }
}
