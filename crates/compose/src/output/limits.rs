//! A service's limits, under the keys that they were written with.

use model::container::{DeviceLimit, Limits};

use super::Out;
use super::canonical::Fields;
use crate::project::ServiceLimits;

/// Adds them to a service.
pub(super) fn put(out: &mut Fields, service: &ServiceLimits) {
    let mut blkio = Fields::default();
    let mut limits = Fields::default();
    let mut reservations = Fields::default();
    for key in &service.keys {
        let Some(value) = value(&service.limits, key.flag) else {
            continue;
        };
        let (group, name) = key.key.rsplit_once('.').unwrap_or(("", &key.key));
        match group {
            "" => out.put(name, value),
            "blkio_config" => blkio.put(name, value),
            "deploy.resources.limits" => limits.put(name, value),
            _ => reservations.put(name, value),
        }
    }
    let mut resources = Fields::default();
    resources.group("limits", limits);
    resources.group("reservations", reservations);
    let mut deploy = Fields::default();
    deploy.group("resources", resources);
    out.group("blkio_config", blkio);
    out.group("deploy", deploy);
}

impl Fields {
    fn group(&mut self, key: &str, group: Self) {
        match group.done() {
            Out::Map(entries) => self.map(key, entries),
            other => self.put(key, other),
        }
    }
}

/// Sizes as text, as docker prints them; counts as numbers.
fn value(limits: &Limits, flag: &str) -> Option<Out> {
    let text = |n: Option<String>| n.map(Out::Text);
    let bytes = |n: Option<u64>| text(n.map(|n| n.to_string()));
    let number = |n: Option<i64>| n.map(Out::Int);
    match flag {
        "--memory" => bytes(limits.memory),
        "--memory-reservation" => bytes(limits.memory_reservation),
        "--memory-swap" => text(limits.memory_swap.map(|n| n.to_string())),
        "--memory-swappiness" => number(limits.memory_swappiness.map(i64::from)),
        "--oom-kill-disable" => Some(Out::Bool(limits.oom_kill_disable)),
        "--cpus" => text(limits.nano_cpus.map(|nano| (nano as f64 / 1e9).to_string())),
        "--cpu-shares" => number(limits.cpu_shares.and_then(|n| i64::try_from(n).ok())),
        "--cpu-quota" => number(limits.cpu_quota),
        "--cpu-period" => number(limits.cpu_period.and_then(|n| i64::try_from(n).ok())),
        "--cpuset-cpus" => text(limits.cpuset_cpus.clone()),
        "--pids-limit" => number(limits.pids),
        "--blkio-weight" => number(limits.blkio_weight.map(i64::from)),
        "--blkio-weight-device" => devices(&limits.blkio_weight_device, "weight"),
        "--device-read-bps" => devices(&limits.device_read_bps, "rate"),
        "--device-write-bps" => devices(&limits.device_write_bps, "rate"),
        "--device-read-iops" => devices(&limits.device_read_iops, "rate"),
        "--device-write-iops" => devices(&limits.device_write_iops, "rate"),
        _ => None,
    }
}

fn devices(list: &[DeviceLimit], value: &str) -> Option<Out> {
    let one = |device: &DeviceLimit| {
        let path = device.path.to_string_lossy().into_owned();
        Out::Map(vec![
            ("path".to_owned(), Out::Text(path)),
            (value.to_owned(), Out::Text(device.value.to_string())),
        ])
    };
    (!list.is_empty()).then(|| Out::List(list.iter().map(one).collect()))
}
