//! A container as docker's API describes it, so that a docker client's types can read it
//! (moby: api/swagger.yaml, "ContainerInspectResponse").

use engine::{ContainerView, Engine, Liveness};
use model::container::RunState;
use model::{MountKind, NetworkMode, PublishedPort};
use serde_json::{Map, Value, json};

use super::host_config::host_config;
use super::row::labels;

/// What docker shows of a time that never was.
const NEVER: &str = "0001-01-01T00:00:00Z";

/// All that is known of a container.
pub(super) fn document(engine: &Engine, name: &str, size: bool) -> Result<Value, engine::Error> {
    let view = engine.view(engine.find(name)?)?;
    let (record, plan) = (&view.record, &view.plan);
    let argv = plan.process.argv.split_first();
    let (path, args) = argv.map_or(("", &[][..]), |(p, a)| (p.as_str(), a));
    let restarts = match &view.observed {
        Liveness::Running(state) => state.restarts,
        Liveness::Exited(exit) => exit.restarts,
        Liveness::Created => 0,
    };
    let lower: Vec<String> = plan
        .rootfs
        .layers
        .iter()
        .map(|l| l.display().to_string())
        .collect();
    let mut document = json!({
        "Id": record.id.as_str(),
        "Created": record.created,
        "Path": path,
        "Args": args,
        "State": state(&view.observed),
        "Image": record.image.id.as_str(),
        "ResolvConfPath": "",
        "HostnamePath": "",
        "HostsPath": "",
        "LogPath": plan.paths.log.clone().unwrap_or_default(),
        "Name": format!("/{}", record.name),
        "RestartCount": restarts,
        "Driver": "overlay2",
        "Platform": "linux",
        "MountLabel": "",
        "ProcessLabel": "",
        "AppArmorProfile": plan.isolation.apparmor.clone().unwrap_or_default(),
        "ExecIDs": null,
        "HostConfig": host_config(plan, record),
        "GraphDriver": {
            "Name": "overlay2",
            "Data": {
                "LowerDir": lower.join(":"),
                "MergedDir": "",
                "UpperDir": plan.rootfs.upper,
                "WorkDir": plan.rootfs.work,
            },
        },
        "Mounts": plan.mounts.iter().map(mount).collect::<Vec<_>>(),
        "Config": config(&view),
        "NetworkSettings": network_settings(engine, &view),
    });
    if size {
        let (own, all) = engine.size(record)?;
        document["SizeRw"] = own.into();
        document["SizeRootFs"] = all.into();
    }
    Ok(document)
}

fn config(view: &ContainerView) -> Value {
    let (record, plan) = (&view.record, &view.plan);
    let mut given = record.config.clone();
    given.labels = labels(view);
    // Docker writes these whether they are set or not.
    let mut config = json!({
        "Hostname": plan.hostname,
        "Domainname": plan.domainname,
        "User": plan.process.user,
        "AttachStdin": plan.process.stdin_open,
        "AttachStdout": plan.wait_for_attach,
        "AttachStderr": plan.wait_for_attach,
        "Tty": plan.process.tty,
        "OpenStdin": plan.process.stdin_open,
        "StdinOnce": plan.process.stdin_open && plan.wait_for_attach,
        "Env": plan.process.env,
        "Cmd": null,
        "Image": record.image.name,
        "Volumes": null,
        "WorkingDir": "",
        "Entrypoint": null,
        "OnBuild": null,
        "Labels": {},
        "StopSignal": engine::signals::name(plan.stop.signal),
        "StopTimeout": plan.stop.grace_ms / 1000,
    });
    if let (Value::Object(config), Ok(Value::Object(mut given))) =
        (&mut config, serde_json::to_value(&given))
    {
        for ours in ["User", "StopSignal"] {
            given.remove(ours);
        }
        config.extend(given);
    }
    config
}

fn state(observed: &Liveness) -> Value {
    let status = observed.status();
    let running = matches!(status, "running" | "paused" | "restarting");
    let mut out = json!({
        "Status": status,
        "Running": running,
        "Paused": status == "paused",
        "Restarting": status == "restarting",
        "OOMKilled": false,
        "Dead": false,
        "Pid": 0,
        "ExitCode": 0,
        "Error": "",
        "StartedAt": NEVER,
        "FinishedAt": NEVER,
    });
    let or_never = |time: &str| if time.is_empty() { NEVER } else { time }.to_owned();
    match observed {
        Liveness::Created => {}
        Liveness::Exited(exit) => {
            out["OOMKilled"] = exit.oom_killed.into();
            out["ExitCode"] = exit.code.into();
            out["Error"] = exit.error.clone().unwrap_or_default().into();
            out["StartedAt"] = or_never(&exit.started_at).into();
            // One that only was to start has not ended either.
            let finished = if status == "created" {
                NEVER
            } else {
                &exit.finished_at
            };
            out["FinishedAt"] = or_never(finished).into();
        }
        Liveness::Running(state) => {
            out["Pid"] = state.init.map_or(0, |init| init.pid).into();
            out["StartedAt"] = or_never(&state.started_at).into();
            if let Some(health) = health(state) {
                out["Health"] = health;
            }
        }
    }
    out
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

fn mount(mount: &model::MountPlan) -> Value {
    let (kind, name, source) = match &mount.kind {
        MountKind::Bind { source } => ("bind", None, source.display().to_string()),
        MountKind::Volume { source, name, .. } => {
            ("volume", Some(name), source.display().to_string())
        }
        MountKind::Tmpfs { .. } => ("tmpfs", None, String::new()),
        MountKind::Image { name, .. } => ("image", None, name.clone()),
    };
    let mut out = json!({
        "Type": kind,
        "Source": source,
        "Destination": mount.target,
        "Mode": if mount.read_only { "ro" } else { "" },
        "RW": !mount.read_only && kind != "image",
        "Propagation": if kind == "bind" { mount.options.propagation.as_str() } else { "" },
    });
    if let Some(name) = name {
        out["Name"] = name.as_str().into();
        out["Driver"] = "local".into();
    }
    out
}

/// Docker's `nat.PortMap`: a port inside, and the host's ports that lead there.
pub(super) fn bindings(published: &[PublishedPort]) -> Map<String, Value> {
    let mut out = Map::new();
    for port in published {
        let key = format!("{}/{}", port.container_port, port.transport.as_str());
        let ip = port
            .host_ip
            .map_or_else(|| "0.0.0.0".to_owned(), |ip| ip.to_string());
        let number = port.host_port.map(|p| p.to_string()).unwrap_or_default();
        let list = out.entry(key).or_insert_with(|| json!([]));
        if let Value::Array(list) = list {
            list.push(json!({ "HostIp": ip, "HostPort": number }));
        }
    }
    out
}

fn network_settings(engine: &Engine, view: &ContainerView) -> Value {
    let ready = match &view.observed {
        Liveness::Running(state) => state.network.as_ref(),
        _ => None,
    };
    let mut networks = Map::new();
    let attachments = match &view.plan.network {
        NetworkMode::Gateway(network) => network.attachments.as_slice(),
        _ => &[],
    };
    for attachment in attachments {
        let link = ready.and_then(|r| r.links.iter().find(|l| l.network == attachment.network));
        let known = engine.store().networks().get(&attachment.network);
        let address = attachment.address.map(|a| a.to_string());
        let names = [vec![view.record.name.clone()], attachment.aliases.clone()].concat();
        let mut endpoint = endpoint(link);
        endpoint["IPAMConfig"] = address.map_or(Value::Null, |a| json!({ "IPv4Address": a }));
        endpoint["Aliases"] = json!(attachment.aliases);
        endpoint["DNSNames"] = json!(names);
        endpoint["NetworkID"] = known.map_or(String::new(), |n| n.id).into();
        networks.insert(attachment.network.clone(), endpoint);
    }
    for mode in super::networks(&view.plan) {
        if matches!(mode.as_str(), "none" | "host") {
            networks.entry(mode).or_insert_with(|| endpoint(None));
        }
    }
    let first = ready.and_then(|r| r.links.first());
    let mut ports = bindings(ready.map_or(&[], |r| &r.published));
    if ready.is_some() {
        for port in view.record.config.exposed_ports.keys() {
            ports.entry(port.clone()).or_insert(Value::Null);
        }
    }
    let mut out = endpoint(first);
    let more = json!({
        "Bridge": "",
        "SandboxID": if ready.is_some() { view.record.id.as_str() } else { "" },
        "SandboxKey": "",
        "Ports": ports,
        "HairpinMode": false,
        "LinkLocalIPv6Address": "",
        "LinkLocalIPv6PrefixLen": 0,
        "SecondaryIPAddresses": null,
        "SecondaryIPv6Addresses": null,
        "Networks": networks,
    });
    if let (Value::Object(out), Value::Object(more)) = (&mut out, more) {
        out.retain(|key, _| !ENDPOINT_ONLY.contains(&key.as_str()));
        out.extend(more);
    }
    out
}

/// Fields that an endpoint has and `NetworkSettings` does not.
const ENDPOINT_ONLY: [&str; 6] = [
    "IPAMConfig",
    "Links",
    "Aliases",
    "DriverOpts",
    "NetworkID",
    "DNSNames",
];

fn endpoint(link: Option<&model::network::Link>) -> Value {
    json!({
        "IPAMConfig": null,
        "Links": null,
        "Aliases": null,
        "MacAddress": link.map_or("", |l| l.mac.as_str()),
        "DriverOpts": null,
        "NetworkID": "",
        "EndpointID": "",
        "Gateway": link.map(|l| l.gateway.to_string()).unwrap_or_default(),
        "IPAddress": link.map(|l| l.address.to_string()).unwrap_or_default(),
        "IPPrefixLen": link.map_or(0, |l| l.prefix),
        "IPv6Gateway": "",
        "GlobalIPv6Address": "",
        "GlobalIPv6PrefixLen": 0,
        "DNSNames": null,
    })
}
