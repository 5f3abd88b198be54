//! Docker's `HostConfig`: what was asked of the host for a container.

use engine::ContainerRecord;
use model::container::{
    DEFAULT_CAPABILITIES, DeviceLimit, IpcMode, Limits, NamespaceMode, RestartPolicy, Seccomp,
    UserMode,
};
use model::{ContainerPlan, MountKind, NetworkMode};
use serde_json::{Map, Value, json};

use super::container::bindings;

/// Docker's default of `/dev/shm`: 64 MiB.
const SHM_SIZE: u64 = 64 << 20;

/// The whole of it.
pub(super) fn host_config(plan: &ContainerPlan, record: &ContainerRecord) -> Value {
    let mut out = Map::new();
    for part in [
        files(plan, record),
        network(plan),
        rights(plan),
        limits(&plan.limits),
        fixed(),
    ] {
        if let Value::Object(part) = part {
            out.extend(part);
        }
    }
    Value::Object(out)
}

fn files(plan: &ContainerPlan, record: &ContainerRecord) -> Value {
    let (name, retries) = match plan.restart {
        RestartPolicy::No => ("no", 0),
        RestartPolicy::Always => ("always", 0),
        RestartPolicy::UnlessStopped => ("unless-stopped", 0),
        RestartPolicy::OnFailure { max_retries } => ("on-failure", max_retries),
    };
    let mut tmpfs = Map::new();
    let mut binds = Vec::new();
    for mount in &plan.mounts {
        let end = if mount.read_only { ":ro" } else { "" };
        match &mount.kind {
            MountKind::Bind { source } => {
                binds.push(format!("{}:{}{end}", source.display(), mount.target));
            }
            MountKind::Volume { name, .. } if !record.anonymous_volumes.contains(name) => {
                binds.push(format!("{name}:{}{end}", mount.target));
            }
            MountKind::Tmpfs { size, .. } => {
                let size = size.map(|s| format!("size={s}")).unwrap_or_default();
                tmpfs.insert(mount.target.clone(), size.into());
            }
            _ => {}
        }
    }
    json!({
        "Binds": if binds.is_empty() { Value::Null } else { json!(binds) },
        "Tmpfs": tmpfs,
        "LogConfig": { "Type": plan.logging.driver.as_str(), "Config": plan.logging.options },
        "RestartPolicy": { "Name": name, "MaximumRetryCount": retries },
        "AutoRemove": record.auto_remove,
        "ReadonlyRootfs": plan.rootfs.read_only,
        "ShmSize": plan.isolation.shm_size.unwrap_or(SHM_SIZE),
        "Annotations": plan.annotations,
        "Init": plan.init,
    })
}

fn network(plan: &ContainerPlan) -> Value {
    let (mode, published) = match &plan.network {
        NetworkMode::None => ("none".to_owned(), Map::new()),
        NetworkMode::Host => ("host".to_owned(), Map::new()),
        NetworkMode::Container { run_dir } => (joined(run_dir), Map::new()),
        NetworkMode::Gateway(network) => {
            let first = network.attachments.first();
            let mode = first.map(|a| a.network.clone()).unwrap_or_default();
            (mode, bindings(&network.published))
        }
    };
    let hosts = plan.extra_hosts.iter().map(|(n, a)| format!("{n}:{a}"));
    json!({
        "NetworkMode": mode,
        "PortBindings": published,
        "PublishAllPorts": false,
        "Dns": plan.dns.servers,
        "DnsOptions": plan.dns.options,
        "DnsSearch": plan.dns.search,
        "ExtraHosts": hosts.collect::<Vec<_>>(),
    })
}

/// `container:…`. The directory is named after the container.
fn joined(run_dir: &std::path::Path) -> String {
    let id = run_dir.file_name().unwrap_or_default();
    format!("container:{}", id.to_string_lossy())
}

fn namespace(mode: &NamespaceMode, private: &str) -> String {
    match mode {
        NamespaceMode::Private => private.to_owned(),
        NamespaceMode::Host => "host".to_owned(),
        NamespaceMode::Container { run_dir } => joined(run_dir),
    }
}

fn rights(plan: &ContainerPlan) -> Value {
    let (isolation, process) = (&plan.isolation, &plan.process);
    let (mut added, mut dropped) = (Vec::new(), Vec::new());
    if !isolation.privileged {
        let had = |name: &str| process.capabilities.iter().any(|c| c == name);
        let default = |name: &str| DEFAULT_CAPABILITIES.contains(&name);
        added = process.capabilities.clone();
        added.retain(|name| !default(name));
        dropped = DEFAULT_CAPABILITIES.map(str::to_owned).to_vec();
        dropped.retain(|name| !had(name));
    }
    let or_null = |list: Vec<String>| {
        if list.is_empty() {
            Value::Null
        } else {
            json!(list)
        }
    };
    let mut options = Vec::new();
    match &plan.seccomp {
        Seccomp::Default => {}
        Seccomp::Unconfined => options.push("seccomp=unconfined".to_owned()),
        Seccomp::Profile(source) => options.push(format!("seccomp={}", source.path.display())),
    }
    if process.no_new_privileges {
        options.push("no-new-privileges".to_owned());
    }
    options.extend(isolation.apparmor.iter().map(|p| format!("apparmor={p}")));
    let ipc = match &isolation.ipc {
        IpcMode::Private => "private".to_owned(),
        IpcMode::Shareable => "shareable".to_owned(),
        IpcMode::None => "none".to_owned(),
        IpcMode::Host => "host".to_owned(),
        IpcMode::Container { run_dir } => joined(run_dir),
    };
    let user = match &isolation.user {
        UserMode::Default => String::new(),
        UserMode::Host => "host".to_owned(),
        UserMode::KeepId { .. } => "keep-id".to_owned(),
        UserMode::Auto { .. } => "auto".to_owned(),
    };
    let devices = isolation.devices.iter().map(|device| {
        json!({
            "PathOnHost": device.host,
            "PathInContainer": device.path,
            "CgroupPermissions": "rwm",
        })
    });
    let ulimits = process.rlimits.iter();
    let ulimits = ulimits.map(|l| json!({ "Name": l.name, "Soft": l.soft, "Hard": l.hard }));
    json!({
        "CapAdd": or_null(added),
        "CapDrop": or_null(dropped),
        "GroupAdd": or_null(process.groups.clone()),
        "Privileged": isolation.privileged,
        "SecurityOpt": or_null(options),
        "IpcMode": ipc,
        "PidMode": namespace(&isolation.pid, ""),
        "UTSMode": namespace(&isolation.uts, ""),
        "UsernsMode": user,
        "CgroupnsMode": namespace(&isolation.cgroup, "private"),
        "OomScoreAdj": process.oom_score_adj.unwrap_or(0),
        "Sysctls": isolation.sysctls,
        "Devices": devices.collect::<Vec<_>>(),
        "Ulimits": ulimits.collect::<Vec<_>>(),
        "MaskedPaths": isolation.masked_paths,
        "ReadonlyPaths": isolation.read_only_paths,
    })
}

fn limits(limits: &Limits) -> Value {
    let rates = |list: &[DeviceLimit]| {
        let rate = |l: &DeviceLimit| json!({ "Path": l.path, "Rate": l.value });
        list.iter().map(rate).collect::<Vec<_>>()
    };
    let weight = |l: &DeviceLimit| json!({ "Path": l.path, "Weight": l.value });
    let swap = match (limits.memory_swap, limits.memory) {
        (Some(swap), _) => swap,
        (None, Some(memory)) => i64::try_from(memory.saturating_mul(2)).unwrap_or(i64::MAX),
        (None, None) => 0,
    };
    json!({
        "Memory": limits.memory.unwrap_or(0),
        "MemoryReservation": limits.memory_reservation.unwrap_or(0),
        "MemorySwap": swap,
        "MemorySwappiness": limits.memory_swappiness,
        "OomKillDisable": limits.oom_kill_disable,
        "NanoCpus": limits.nano_cpus.unwrap_or(0),
        "CpuShares": limits.cpu_shares.unwrap_or(0),
        "CpuPeriod": limits.cpu_period.unwrap_or(0),
        "CpuQuota": limits.cpu_quota.unwrap_or(0),
        "CpusetCpus": limits.cpuset_cpus.clone().unwrap_or_default(),
        "CpusetMems": limits.cpuset_mems.clone().unwrap_or_default(),
        "PidsLimit": limits.pids,
        "BlkioWeight": limits.blkio_weight.unwrap_or(0),
        "BlkioWeightDevice": limits.blkio_weight_device.iter().map(weight).collect::<Vec<_>>(),
        "BlkioDeviceReadBps": rates(&limits.device_read_bps),
        "BlkioDeviceWriteBps": rates(&limits.device_write_bps),
        "BlkioDeviceReadIOps": rates(&limits.device_read_iops),
        "BlkioDeviceWriteIOps": rates(&limits.device_write_iops),
    })
}

/// What docker has and we do not: always as if nobody had asked for it.
fn fixed() -> Value {
    json!({
        "ContainerIDFile": "",
        "VolumeDriver": "",
        "VolumesFrom": null,
        "ConsoleSize": [0, 0],
        "Cgroup": "",
        "CgroupParent": "",
        "Links": null,
        "Runtime": "shim",
        "Isolation": "",
        "CpuRealtimePeriod": 0,
        "CpuRealtimeRuntime": 0,
        "DeviceCgroupRules": null,
        "DeviceRequests": null,
        "CpuCount": 0,
        "CpuPercent": 0,
        "IOMaximumIOps": 0,
        "IOMaximumBandwidth": 0,
    })
}
