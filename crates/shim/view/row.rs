//! A container as a row of `ps`.

use engine::{ContainerView, Liveness};
use model::{ContainerPlan, MountKind, NetworkMode};
use serde_json::{Value, json};

use super::{host_addresses, since, status};
use crate::format::LABELS;

/// Docker's headings of `ps` that are not the field's name.
pub(crate) const PS_HEADINGS: [(&str, &str); 3] = [
    ("ID", "CONTAINER ID"),
    ("RunningFor", "CREATED"),
    ("CreatedAt", "CREATED AT"),
];

/// A container as a row of `ps`; its size where it was asked for.
pub(crate) fn ps_row(container: &ContainerView, full: bool, size: Option<(u64, u64)>) -> Value {
    let record = &container.record;
    let command = format!("\"{}\"", record.command.join(" "));
    let shown = if full {
        command
    } else {
        shortened(&command, 20)
    };
    let labels = labels(container);
    let pairs: Vec<String> = labels.iter().map(|(k, v)| format!("{k}={v}")).collect();
    let mounts = mounts(&container.plan).into_iter();
    let mounts: Vec<String> = mounts
        .map(|mount| if full { mount } else { shortened(&mount, 15) })
        .collect();
    let volumes = container.plan.mounts.iter();
    let volumes = volumes.filter(|mount| matches!(mount.kind, MountKind::Volume { .. }));
    json!({
        "ID": if full { record.id.as_str() } else { record.id.short() },
        "Image": record.image.name,
        "Command": shown,
        "CreatedAt": go_time(&record.created),
        "RunningFor": since(&record.created),
        "State": container.observed.status(),
        "Status": status(&container.observed),
        "Size": size_words(size),
        "Ports": ports(container),
        "Names": record.name,
        "Labels": pairs.join(","),
        "Mounts": mounts.join(","),
        "Networks": networks(&container.plan).join(","),
        "LocalVolumes": volumes.count().to_string(),
        LABELS: labels,
    })
}

/// The image's labels and the container's own.
pub(super) fn labels(container: &ContainerView) -> std::collections::BTreeMap<String, String> {
    let mut labels = container.record.config.labels.clone();
    labels.extend(container.record.labels.clone());
    labels
}

fn shortened(text: &str, length: usize) -> String {
    match text.chars().count() <= length {
        true => text.to_owned(),
        false => text.chars().take(length - 1).chain(['…']).collect(),
    }
}

fn size_words(size: Option<(u64, u64)>) -> String {
    let format = model::units::format_size;
    match size {
        None => "0B".into(),
        Some((own, 0)) => format(own),
        Some((own, all)) => format!("{} (virtual {})", format(own), format(all)),
    }
}

/// A time as Go prints one, in UTC.
fn go_time(time: &str) -> String {
    match time.parse::<jiff::Timestamp>() {
        Ok(time) => time.strftime("%Y-%m-%d %H:%M:%S +0000 UTC").to_string(),
        Err(_) => time.to_owned(),
    }
}

/// Names of volumes and paths of binds.
pub(crate) fn mounts(plan: &ContainerPlan) -> Vec<String> {
    let name = |mount: &model::MountPlan| match &mount.kind {
        MountKind::Volume { name, .. } => Some(name.clone()),
        MountKind::Bind { source } => Some(source.display().to_string()),
        _ => None,
    };
    plan.mounts.iter().filter_map(name).collect()
}

/// Names of its networks.
pub(crate) fn networks(plan: &ContainerPlan) -> Vec<String> {
    match &plan.network {
        NetworkMode::None => vec!["none".into()],
        NetworkMode::Host => vec!["host".into()],
        NetworkMode::Container { .. } => Vec::new(),
        NetworkMode::Gateway(network) => {
            let names = network.attachments.iter().map(|a| a.network.clone());
            names.collect()
        }
    }
}

/// Ports while it runs, published ones first, e.g. `0.0.0.0:8000->8000/tcp, 9000/tcp`.
fn ports(container: &ContainerView) -> String {
    let Liveness::Running(state) = &container.observed else {
        return String::new();
    };
    let published = state.network.iter().flat_map(|ready| &ready.published);
    let mut inside = Vec::new();
    let mut shown = Vec::new();
    for port in published {
        let own = format!("{}/{}", port.container_port, port.transport.as_str());
        let outside = host_addresses(port).into_iter();
        shown.extend(outside.map(|address| format!("{address}->{own}")));
        inside.push(own);
    }
    let exposed = container.record.config.exposed_ports.keys();
    shown.extend(exposed.filter(|port| !inside.contains(port)).cloned());
    shown.join(", ")
}
