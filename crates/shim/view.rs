//! Records in docker's shapes: rows of tables, documents of `inspect`.

mod container;
mod host_config;
mod row;

use engine::{ContainerView, Engine, Liveness, StoreError};
use jiff::Timestamp;
use model::PublishedPort;
use serde_json::{Value, json};

pub(crate) use row::{PS_HEADINGS, mounts, networks, ps_row};

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
    inspect_sized(engine, kinds, name, false)
}

/// As [`inspect`], with the sizes of containers.
pub(crate) fn inspect_sized(
    engine: &Engine,
    kinds: &[&str],
    name: &str,
    size: bool,
) -> Result<Value, CliError> {
    for kind in kinds {
        let found = match *kind {
            "container" => container::document(engine, name, size),
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
    let history = image.config.history.last();
    let mut document = json!({
        "Id": image.id.as_str(),
        "RepoTags": references.iter().map(|r| r.familiar()).collect::<Vec<_>>(),
        "RepoDigests": digests.collect::<Vec<_>>(),
        "Parent": "",
        "Comment": history.and_then(|h| h.comment.clone()).unwrap_or_default(),
        "Created": image.config.created,
        "DockerVersion": "",
        "Author": image.config.author.clone().unwrap_or_default(),
        "Architecture": image.config.architecture,
        "Os": image.config.os,
        "Size": known.map_or(0, |k| k.size),
        "Config": run,
        "GraphDriver": { "Name": "overlay2", "Data": null },
        "RootFS": {
            "Type": "layers",
            "Layers": image.layers.iter().map(|l| l.as_str()).collect::<Vec<_>>(),
        },
        "Metadata": { "LastTagTime": "0001-01-01T00:00:00Z" },
    });
    if let Some(variant) = &image.config.variant {
        document["Variant"] = variant.as_str().into();
    }
    Ok(document)
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
        "Options": null,
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
