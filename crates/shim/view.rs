//! Records in docker's shapes: rows of tables, documents of `inspect`.

use engine::{ContainerView, Engine, Liveness, StoreError};
use jiff::Timestamp;
use model::container::{RestartPolicy, RunState};
use model::{ContainerPlan, MountKind, NetworkMode, PublishedPort};
use serde_json::{Map, Value, json};

use crate::error::{CliError, Kind};

/// A field of a row as text.
pub(crate) fn text(row: &Value, field: &str) -> String {
    match &row[field] {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

/// How long ago, in docker's words, e.g. `3 hours ago`.
pub(crate) fn since(time: &str) -> String {
    match elapsed(time) {
        Some(text) => format!("{text} ago"),
        None => "N/A".into(),
    }
}

fn elapsed(time: &str) -> Option<String> {
    let then: Timestamp = time.parse().ok()?;
    let seconds = Timestamp::now().duration_since(then).as_secs();
    Some(duration(seconds.max(0)))
}

fn duration(seconds: i64) -> String {
    let (minutes, hours) = (seconds / 60, (seconds + 1800) / 3600);
    match seconds {
        0 => "Less than a second".into(),
        1 => "1 second".into(),
        2..60 => format!("{seconds} seconds"),
        60..120 => "About a minute".into(),
        _ if minutes < 60 => format!("{minutes} minutes"),
        _ if hours == 1 => "About an hour".into(),
        _ if hours < 48 => format!("{hours} hours"),
        _ if hours < 24 * 14 => format!("{} days", hours / 24),
        _ if hours < 24 * 60 => format!("{} weeks", hours / 24 / 7),
        _ if hours < 24 * 365 * 2 => format!("{} months", hours / 24 / 30),
        _ => format!("{} years", hours / 24 / 365),
    }
}

/// A container as a row of `ps`.
pub(crate) fn ps_row(container: &ContainerView, full: bool) -> Value {
    let record = &container.record;
    let command = format!("\"{}\"", record.command.join(" "));
    let shown = match full || command.chars().count() <= 20 {
        true => command,
        false => command.chars().take(19).chain(['…']).collect(),
    };
    let labels: Vec<String> = record
        .labels
        .iter()
        .map(|(k, v)| format!("{k}={v}"))
        .collect();
    json!({
        "ID": if full { record.id.as_str() } else { record.id.short() },
        "Image": record.image.name,
        "Command": shown,
        "CreatedAt": record.created,
        "RunningFor": since(&record.created),
        "State": container.observed.status(),
        "Status": status(&container.observed),
        "Ports": ports(container),
        "Names": record.name,
        "Labels": labels.join(","),
        "Mounts": Engine::volumes_of(&container.plan).join(","),
        "Networks": networks(&container.plan).join(","),
        "LocalVolumes": Engine::volumes_of(&container.plan).len().to_string(),
    })
}

/// Docker's status, e.g. `Up 3 minutes (healthy)`.
pub(crate) fn status(observed: &Liveness) -> String {
    match observed {
        Liveness::Created => "Created".into(),
        Liveness::Exited(_) if observed.status() == "created" => "Created".into(),
        Liveness::Exited(exit) => {
            let when = elapsed(&exit.finished_at)
                .map(|t| format!(" {t} ago"))
                .unwrap_or_default();
            format!("Exited ({}){when}", exit.code)
        }
        Liveness::Running(state) if observed.status() == "restarting" => {
            format!("Restarting ({})", state.restarts)
        }
        Liveness::Running(state) => {
            let up = elapsed(&state.started_at).unwrap_or_else(|| "Less than a second".into());
            match &state.health {
                _ if observed.status() == "paused" => format!("Up {up} (Paused)"),
                Some(health) if health.status == model::health::HealthStatus::Starting => {
                    format!("Up {up} (health: starting)")
                }
                Some(health) => format!("Up {up} ({})", health.status.as_str()),
                None => format!("Up {up}"),
            }
        }
    }
}

fn networks(plan: &ContainerPlan) -> Vec<String> {
    match &plan.network {
        NetworkMode::None => vec!["none".into()],
        NetworkMode::Host => vec!["host".into()],
        NetworkMode::Container { .. } => Vec::new(),
        NetworkMode::Gateway(network) => network
            .attachments
            .iter()
            .map(|a| a.network.clone())
            .collect(),
    }
}

/// Published ports while it runs, e.g. `0.0.0.0:8000->8000/tcp, [::]:8000->8000/tcp`.
pub(crate) fn ports(container: &ContainerView) -> String {
    let Liveness::Running(state) = &container.observed else {
        return String::new();
    };
    let published = state.network.iter().flat_map(|ready| &ready.published);
    let shown = published.flat_map(|port| {
        let inside = format!("{}/{}", port.container_port, port.transport.as_str());
        host_addresses(port)
            .into_iter()
            .map(move |outside| format!("{outside}->{inside}"))
    });
    shown.collect::<Vec<_>>().join(", ")
}

/// Published ports while it runs: the port inside, and where it is on the host.
pub(crate) fn published(container: &ContainerView) -> Vec<(String, String)> {
    let Liveness::Running(state) = &container.observed else {
        return Vec::new();
    };
    let published = state.network.iter().flat_map(|ready| &ready.published);
    let mut out: Vec<_> = published
        .flat_map(|port| {
            let inside = format!("{}/{}", port.container_port, port.transport.as_str());
            let addresses = host_addresses(port).into_iter();
            addresses.map(move |outside| (inside.clone(), outside))
        })
        .collect();
    out.sort();
    out
}

fn host_addresses(port: &PublishedPort) -> Vec<String> {
    let number = port.host_port.unwrap_or_default();
    match port.host_ip {
        Some(std::net::IpAddr::V6(ip)) => vec![format!("[{ip}]:{number}")],
        Some(ip) => vec![format!("{ip}:{number}")],
        None => vec![format!("0.0.0.0:{number}"), format!("[::]:{number}")],
    }
}

/// Finds an object of one of these kinds and describes it as docker's `inspect` does.
pub(crate) fn inspect(engine: &Engine, kinds: &[&str], name: &str) -> Result<Value, CliError> {
    for kind in kinds {
        let found = match *kind {
            "container" => container(engine, name),
            "image" => image(engine, name),
            "volume" => volume(engine, name),
            _ => network(engine, name),
        };
        match found {
            Err(engine::Error::Store(
                StoreError::NoContainer(_)
                | StoreError::NoImage(_)
                | StoreError::NoVolume(_)
                | StoreError::NoNetwork(_)
                | StoreError::BadName { .. },
            )) => {}
            // Not every name of a container or volume is an image reference.
            Err(engine::Error::Reference(_)) if kinds.len() > 1 => {}
            found => return Ok(found?),
        }
    }
    let kind = if let [kind] = kinds { kind } else { "object" };
    Err(CliError::new(
        Kind::Failed,
        format!("no such {kind}: {name}"),
    ))
}

fn container(engine: &Engine, name: &str) -> Result<Value, engine::Error> {
    let view = engine.view(engine.find(name)?)?;
    let (record, plan) = (&view.record, &view.plan);
    let process = &plan.process;
    let (path, args) = process
        .argv
        .split_first()
        .map_or(("", &[][..]), |(p, a)| (p.as_str(), a));
    let restarts = match &view.observed {
        Liveness::Running(state) => state.restarts,
        Liveness::Exited(exit) => exit.restarts,
        Liveness::Created => 0,
    };
    Ok(json!({
        "Id": record.id.as_str(),
        "Created": record.created,
        "Path": path,
        "Args": args,
        "State": state(&view.observed),
        "Image": record.image.id.as_str(),
        "Name": format!("/{}", record.name),
        "RestartCount": restarts,
        "Platform": "linux",
        "LogPath": plan.paths.log,
        "HostConfig": host_config(plan, record.auto_remove),
        "Mounts": plan.mounts.iter().map(mount).collect::<Vec<_>>(),
        "Config": {
            "Hostname": plan.hostname,
            "User": process.user,
            "Tty": process.tty,
            "OpenStdin": process.stdin_open,
            "Env": process.env,
            "Cmd": process.argv,
            "Image": record.image.name,
            "WorkingDir": process.cwd,
            "Labels": record.labels,
            "StopSignal": plan.stop.signal.to_string(),
            "StopTimeout": plan.stop.grace_ms / 1000,
        },
        "NetworkSettings": network_settings(&view),
    }))
}

fn state(observed: &Liveness) -> Value {
    let status = observed.status();
    let base = |pid: i32, exit: i32, error: &str, started: &str, finished: &str, oom: bool| {
        json!({
            "Status": status,
            "Running": status == "running",
            "Paused": false,
            "Restarting": status == "restarting",
            "OOMKilled": oom,
            "Dead": false,
            "Pid": pid,
            "ExitCode": exit,
            "Error": error,
            "StartedAt": started,
            "FinishedAt": finished,
        })
    };
    const NEVER: &str = "0001-01-01T00:00:00Z";
    match observed {
        Liveness::Created => base(0, 0, "", NEVER, NEVER, false),
        Liveness::Exited(exit) => {
            let started = if exit.started_at.is_empty() {
                NEVER
            } else {
                &exit.started_at
            };
            let error = exit.error.as_deref().unwrap_or_default();
            base(
                0,
                exit.code,
                error,
                started,
                &exit.finished_at,
                exit.oom_killed,
            )
        }
        Liveness::Running(running) => {
            let pid = running.init.map_or(0, |init| init.pid);
            let mut out = base(pid, 0, "", &running.started_at, NEVER, false);
            if let Some(health) = health(running) {
                out["Health"] = health;
            }
            out
        }
    }
}

fn health(state: &RunState) -> Option<Value> {
    let health = state.health.as_ref()?;
    let probe = |probe: &model::health::HealthProbe| {
        json!({
            "Start": probe.start,
            "End": probe.end,
            "ExitCode": probe.exit_code,
            "Output": probe.output,
        })
    };
    Some(json!({
        "Status": health.status.as_str(),
        "FailingStreak": health.failing_streak,
        "Log": health.log.iter().map(probe).collect::<Vec<_>>(),
    }))
}

fn host_config(plan: &ContainerPlan, auto_remove: bool) -> Value {
    let (name, retries) = match plan.restart {
        RestartPolicy::No => ("no", 0),
        RestartPolicy::Always => ("always", 0),
        RestartPolicy::UnlessStopped => ("unless-stopped", 0),
        RestartPolicy::OnFailure { max_retries } => ("on-failure", max_retries),
    };
    let mode = match &plan.network {
        NetworkMode::None => "none".to_owned(),
        NetworkMode::Host => "host".to_owned(),
        NetworkMode::Container { run_dir } => {
            // The directory is named after the container.
            let id = run_dir.file_name().unwrap_or_default();
            format!("container:{}", id.to_string_lossy())
        }
        NetworkMode::Gateway(network) => network
            .attachments
            .first()
            .map_or_else(String::new, |a| a.network.clone()),
    };
    let published = match &plan.network {
        NetworkMode::Gateway(network) => bindings(&network.published),
        _ => Map::new(),
    };
    json!({
        "NetworkMode": mode,
        "PortBindings": published,
        "RestartPolicy": { "Name": name, "MaximumRetryCount": retries },
        "AutoRemove": auto_remove,
        "ReadonlyRootfs": plan.rootfs.read_only,
        "Privileged": false,
        "ExtraHosts": plan.extra_hosts.iter().map(|(n, a)| format!("{n}:{a}")).collect::<Vec<_>>(),
    })
}

fn bindings(published: &[PublishedPort]) -> Map<String, Value> {
    let mut out = Map::new();
    for port in published {
        let key = format!("{}/{}", port.container_port, port.transport.as_str());
        let ip = port
            .host_ip
            .map(|ip| ip.to_string())
            .unwrap_or_else(|| "0.0.0.0".into());
        let number = port.host_port.map(|p| p.to_string()).unwrap_or_default();
        let list = out.entry(key).or_insert_with(|| json!([]));
        if let Value::Array(list) = list {
            list.push(json!({ "HostIp": ip, "HostPort": number }));
        }
    }
    out
}

fn mount(mount: &model::MountPlan) -> Value {
    let (kind, name, source) = match &mount.kind {
        MountKind::Bind { source } => ("bind", String::new(), source.display().to_string()),
        MountKind::Volume { source, name, .. } => {
            ("volume", name.clone(), source.display().to_string())
        }
        MountKind::Tmpfs { .. } => ("tmpfs", String::new(), String::new()),
        MountKind::Image { name, .. } => ("image", String::new(), name.clone()),
    };
    json!({
        "Type": kind,
        "Name": name,
        "Source": source,
        "Destination": mount.target,
        "Mode": if mount.read_only { "ro" } else { "" },
        "RW": !mount.read_only,
        "Propagation": if kind == "bind" { "rprivate" } else { "" },
    })
}

fn network_settings(view: &ContainerView) -> Value {
    let ready = match &view.observed {
        Liveness::Running(state) => state.network.as_ref(),
        _ => None,
    };
    let mut networks = Map::new();
    for link in ready.into_iter().flat_map(|r| &r.links) {
        networks.insert(
            link.network.clone(),
            json!({
                "IPAddress": link.address.to_string(),
                "IPPrefixLen": link.prefix,
                "Gateway": link.gateway.to_string(),
                "MacAddress": link.mac,
            }),
        );
    }
    let first = ready.and_then(|r| r.links.first());
    json!({
        "Ports": bindings(ready.map_or(&[], |r| &r.published)),
        "IPAddress": first.map(|l| l.address.to_string()).unwrap_or_default(),
        "Gateway": first.map(|l| l.gateway.to_string()).unwrap_or_default(),
        "Networks": networks,
    })
}

fn image(engine: &Engine, name: &str) -> Result<Value, engine::Error> {
    let store = engine.store();
    let (image, _) = store.images().resolve(name)?;
    let known = store
        .images()
        .list()?
        .into_iter()
        .find(|summary| summary.id == image.id);
    let references = known
        .as_ref()
        .map(|k| k.references.clone())
        .unwrap_or_default();
    let digests = references
        .iter()
        .map(|r| format!("{}@{}", r.familiar_name(), image.digest));
    let config = serde_json::to_value(&image.config.config).unwrap_or_default();
    // Docker names these fields whether they are set or not.
    let mut run = json!({
        "User": "", "Env": null, "Cmd": null, "Entrypoint": null, "WorkingDir": "",
        "Labels": null, "Volumes": null, "ExposedPorts": null,
    });
    if let (Value::Object(run), Value::Object(config)) = (&mut run, config) {
        run.extend(config);
    }
    Ok(json!({
        "Id": image.id.as_str(),
        "RepoTags": references.iter().map(|r| r.familiar()).collect::<Vec<_>>(),
        "RepoDigests": digests.collect::<Vec<_>>(),
        "Created": image.config.created,
        "Author": image.config.author.clone().unwrap_or_default(),
        "Architecture": image.config.architecture,
        "Variant": image.config.variant.clone().unwrap_or_default(),
        "Os": image.config.os,
        "Size": known.map_or(0, |k| k.size),
        "Config": run,
        "RootFS": {
            "Type": "layers",
            "Layers": image.layers.iter().map(|l| l.as_str()).collect::<Vec<_>>(),
        },
    }))
}

fn volume(engine: &Engine, name: &str) -> Result<Value, engine::Error> {
    let volumes = engine.store().volumes();
    let volume = volumes.get(name)?;
    Ok(json!({
        "Name": volume.name,
        "Driver": "local",
        "Mountpoint": volumes.data(&volume.name),
        "CreatedAt": volume.created,
        "Labels": volume.labels,
        "Scope": "local",
    }))
}

fn network(engine: &Engine, name: &str) -> Result<Value, engine::Error> {
    let network = engine.store().networks().get(name)?;
    let (address, prefix) = network.subnet;
    let gateway = std::net::Ipv4Addr::from(u32::from(address) + 1);
    Ok(json!({
        "Name": network.name,
        "Id": network.id,
        "Created": network.created,
        "Scope": "local",
        "Driver": "bridge",
        "Internal": network.internal,
        "Labels": network.labels,
        "IPAM": { "Config": [{ "Subnet": format!("{address}/{prefix}"), "Gateway": gateway.to_string() }] },
    }))
}

#[cfg(test)]
mod tests {
    use model::container::ExitRecord;

    use super::*;

    #[test]
    fn durations_are_dockers() {
        const HOUR: i64 = 3600;
        for (seconds, words) in [
            (0, "Less than a second"),
            (1, "1 second"),
            (59, "59 seconds"),
            (60, "About a minute"),
            (120, "2 minutes"),
            (HOUR, "About an hour"),
            (2 * HOUR, "2 hours"),
            (47 * HOUR, "47 hours"),
            (48 * HOUR, "2 days"),
            (14 * 24 * HOUR, "2 weeks"),
            (60 * 24 * HOUR, "2 months"),
            (730 * 24 * HOUR, "2 years"),
        ] {
            assert_eq!(duration(seconds), words, "{seconds}");
        }
        assert_eq!(since("never"), "N/A");
        assert_eq!(since("9999-01-01T00:00:00Z"), "Less than a second ago");
    }

    #[test]
    fn an_exit_is_told_with_its_code() {
        let exit = ExitRecord {
            code: 3,
            oom_killed: false,
            error: None,
            started_at: String::new(),
            finished_at: jiff::Timestamp::now().to_string(),
            stopped_by_user: false,
            lost: false,
            restarts: 0,
        };
        let shown = status(&Liveness::Exited(exit));
        assert!(
            shown.starts_with("Exited (3) ") && shown.ends_with(" ago"),
            "{shown}"
        );
        assert_eq!(status(&Liveness::Created), "Created");
    }
}
