//! What a service may use of the machine: keys of the service itself, and those of
//! `deploy.resources`, which say some of the same.

use std::path::PathBuf;

use model::container::DeviceLimit;
use model::units;

use super::Reader;
use crate::at::At;
use crate::project::{LimitKey, ServiceLimits};
use crate::yaml::{Map, Node, Value};

/// Thousand-millionths in a processor.
const NANO: f64 = 1e9;

impl Reader<'_> {
    /// All limits of a service.
    pub(super) fn limits(&mut self, map: &Map, at: &At<'_>) -> ServiceLimits {
        let mut found = ServiceLimits::default();
        self.memory_limits(map, at, &mut found);
        self.cpu_limits(map, at, &mut found);
        if let Some((node, pids)) = self.noted(map, "pids_limit", "--pids-limit", at, &mut found) {
            found.limits.pids = self.whole(node, &pids);
        }
        if let Some((blkio, at)) = Self::get(map, "blkio_config", at)
            && let Some(blkio) = self.map(blkio, &at)
        {
            self.io_limits(blkio, &at, &mut found);
        }
        self.deployed(map, at, &mut found);
        found
    }

    fn memory_limits(&mut self, map: &Map, at: &At<'_>, found: &mut ServiceLimits) {
        if let Some((node, at)) = self.noted(map, "mem_limit", "--memory", at, found) {
            found.limits.memory = self.bytes(node, &at);
        }
        let key = "mem_reservation";
        if let Some((node, at)) = self.noted(map, key, "--memory-reservation", at, found) {
            found.limits.memory_reservation = self.bytes(node, &at);
        }
        if let Some((node, at)) = self.noted(map, "memswap_limit", "--memory-swap", at, found) {
            found.limits.memory_swap = match node.scalar_text().as_deref() {
                Some("-1") => Some(-1),
                _ => self.bytes(node, &at).and_then(|n| i64::try_from(n).ok()),
            };
        }
        let key = "mem_swappiness";
        if let Some((node, at)) = self.noted(map, key, "--memory-swappiness", at, found) {
            let percent = self.whole::<u32>(node, &at);
            if percent.is_some_and(|percent| percent > 100) {
                self.invalid(node, &at, "want 0 to 100");
            }
            found.limits.memory_swappiness = percent;
        }
        if self.boolean_of(map, "oom_kill_disable", at) == Some(true) {
            self.noted(map, "oom_kill_disable", "--oom-kill-disable", at, found);
            found.limits.oom_kill_disable = true;
        }
    }

    fn cpu_limits(&mut self, map: &Map, at: &At<'_>, found: &mut ServiceLimits) {
        if let Some((node, at)) = self.noted(map, "cpus", "--cpus", at, found) {
            found.limits.nano_cpus = self.processors(node, &at);
        }
        if let Some((node, at)) = self.noted(map, "cpu_shares", "--cpu-shares", at, found) {
            found.limits.cpu_shares = self.whole(node, &at);
        }
        if let Some((node, at)) = self.noted(map, "cpu_quota", "--cpu-quota", at, found) {
            found.limits.cpu_quota = self.microseconds(node, &at);
        }
        if let Some((node, at)) = self.noted(map, "cpu_period", "--cpu-period", at, found) {
            let period = self.microseconds(node, &at);
            found.limits.cpu_period = period.and_then(|n| u64::try_from(n).ok());
        }
        if let Some((node, at)) = self.noted(map, "cpuset", "--cpuset-cpus", at, found) {
            found.limits.cpuset_cpus = self.scalar(node, &at);
        }
        if let (Some(_), Some(_)) = (found.limits.nano_cpus, found.limits.cpu_quota)
            && let Some(node) = map.get("cpu_quota")
        {
            self.invalid(
                node,
                &at.key("cpu_quota"),
                "`cpus` says the same; leave one out",
            );
        }
    }

    fn io_limits(&mut self, map: &Map, at: &At<'_>, found: &mut ServiceLimits) {
        if let Some((node, at)) = self.noted(map, "weight", "--blkio-weight", at, found) {
            let weight = self.whole::<u16>(node, &at);
            if weight.is_some_and(|weight| weight != 0 && !(10..=1000).contains(&weight)) {
                self.invalid(node, &at, "want 10 to 1000");
            }
            found.limits.blkio_weight = weight;
        }
        let keys = [
            ("weight_device", "--blkio-weight-device", "weight"),
            ("device_read_bps", "--device-read-bps", "rate"),
            ("device_write_bps", "--device-write-bps", "rate"),
            ("device_read_iops", "--device-read-iops", "rate"),
            ("device_write_iops", "--device-write-iops", "rate"),
        ];
        for (key, flag, value) in keys {
            let Some((node, at)) = self.noted(map, key, flag, at, found) else {
                continue;
            };
            let devices = self.devices(node, &at, value);
            let limits = &mut found.limits;
            *match key {
                "weight_device" => &mut limits.blkio_weight_device,
                "device_read_bps" => &mut limits.device_read_bps,
                "device_write_bps" => &mut limits.device_write_bps,
                "device_read_iops" => &mut limits.device_read_iops,
                _ => &mut limits.device_write_iops,
            } = devices;
        }
    }

    fn devices(&mut self, node: &Node, at: &At<'_>, value: &str) -> Vec<DeviceLimit> {
        let mut devices = Vec::new();
        for (index, item) in self.list(node, at).iter().enumerate() {
            let at = at.item(index);
            let Some(map) = self.map(item, &at) else {
                continue;
            };
            let path = self.word_of(map, "path", &at).map(PathBuf::from);
            let number = Self::get(map, value, &at).and_then(|(n, at)| self.bytes(n, &at));
            match (path, number) {
                (Some(path), Some(value)) => devices.push(DeviceLimit { path, value }),
                _ => self.invalid(item, &at, format_args!("want `path` and `{value}`")),
            }
        }
        devices
    }

    /// `deploy.resources`. What both places say must be the same.
    fn deployed(&mut self, map: &Map, at: &At<'_>, found: &mut ServiceLimits) {
        let Some((deploy, at)) = Self::get(map, "deploy", at) else {
            return;
        };
        let Some((resources, at)) = deploy.as_map().and_then(|m| Self::get(m, "resources", &at))
        else {
            return;
        };
        let Some(resources) = resources.as_map() else {
            return;
        };
        if let Some((reserved, at)) = Self::get(resources, "reservations", &at)
            && let Some(reserved) = self.map(reserved, &at)
            && let Some((node, at)) =
                self.noted(reserved, "memory", "--memory-reservation", &at, found)
        {
            let bytes = self.bytes(node, &at);
            self.agree(
                node,
                &at,
                "mem_reservation",
                &mut found.limits.memory_reservation,
                bytes,
            );
        }
        let Some((limits, at)) = Self::get(resources, "limits", &at) else {
            return;
        };
        let Some(limits) = self.map(limits, &at) else {
            return;
        };
        if let Some((node, at)) = self.noted(limits, "memory", "--memory", &at, found) {
            let bytes = self.bytes(node, &at);
            self.agree(node, &at, "mem_limit", &mut found.limits.memory, bytes);
        }
        if let Some((node, at)) = self.noted(limits, "cpus", "--cpus", &at, found) {
            let nano = self.processors(node, &at);
            self.agree(node, &at, "cpus", &mut found.limits.nano_cpus, nano);
        }
        if let Some((node, at)) = self.noted(limits, "pids", "--pids-limit", &at, found) {
            let pids = self.whole(node, &at);
            self.agree(node, &at, "pids_limit", &mut found.limits.pids, pids);
        }
    }

    fn agree<T: PartialEq>(
        &mut self,
        node: &Node,
        at: &At<'_>,
        other: &str,
        slot: &mut Option<T>,
        value: Option<T>,
    ) {
        match (&*slot, &value) {
            (Some(before), Some(now)) if before != now => {
                self.invalid(node, at, format_args!("`{other}` says otherwise"));
            }
            _ => *slot = value,
        }
    }

    /// The value of a key unless it is absent or null; where it stands is noted.
    fn noted<'n, 'p>(
        &mut self,
        map: &'n Map,
        key: &'p str,
        flag: &'static str,
        at: &'p At<'p>,
        found: &mut ServiceLimits,
    ) -> Option<(&'n Node, At<'p>)> {
        let (node, at) = Self::get(map, key, at)?;
        found.keys.push(LimitKey {
            flag,
            // Without `services` and the service's name.
            key: at.steps().get(2..).unwrap_or_default().join("."),
            span: node.span,
        });
        Some((node, at))
    }

    fn bytes(&mut self, node: &Node, at: &At<'_>) -> Option<u64> {
        let text = self.scalar(node, at)?;
        units::parse_size(&text)
            .map_err(|why| self.invalid(node, at, why))
            .ok()
    }

    fn processors(&mut self, node: &Node, at: &At<'_>) -> Option<u64> {
        let text = self.scalar(node, at)?;
        let number = text.trim().parse::<f64>().ok();
        match number.filter(|number| (0.0..=1e6).contains(number)) {
            // Docker's word for "no limit".
            Some(0.0) => None,
            Some(number) => Some((number * NANO).round() as u64),
            None => {
                let why = format_args!("`{text}` is not a number of processors, such as 0.5");
                self.invalid(node, at, why);
                None
            }
        }
    }

    /// A number of them, or a duration.
    fn microseconds(&mut self, node: &Node, at: &At<'_>) -> Option<i64> {
        match &node.value {
            Value::Text(text) if text.trim().parse::<i64>().is_err() => {
                let duration = units::parse_duration(text);
                let duration = duration.map_err(|why| self.invalid(node, at, why)).ok()?;
                i64::try_from(duration.as_micros()).ok()
            }
            _ => self.whole(node, at),
        }
    }
}
