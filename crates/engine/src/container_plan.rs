//! From what is meant to what the runtime needs. Pure: everything it depends on is handed in.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::path::PathBuf;

use model::container::{
    DEFAULT_CAPABILITIES, Isolation, PlanPaths, ProcessPlan, RootfsPlan, Seccomp, StopPlan,
};
use model::image::{ImageConfig, ImageHealth};
use model::{
    ContainerId, ContainerPlan, HealthCheck, MountPlan, NetworkMode, RestartPolicy, Transport,
};
use sys::caps::Set;

use crate::cdi::Edits;
use crate::{Error, HealthChanges, Result, RunRequest, signals};

/// Layout of `config.json` that we write.
pub(crate) const PLAN_VERSION: u32 = 1;
const DEFAULT_GRACE_MS: u64 = 10_000;

/// What was looked up or made for a plan.
pub(crate) struct Resolved {
    pub(crate) id: ContainerId,
    pub(crate) name: String,
    pub(crate) layers: Vec<PathBuf>,
    pub(crate) dir: PathBuf,
    pub(crate) run_dir: PathBuf,
    pub(crate) gateway: PathBuf,
    pub(crate) mounts: Vec<MountPlan>,
    pub(crate) network: NetworkMode,
    /// The host name of whose network is used.
    pub(crate) hostname: Option<String>,
    pub(crate) isolation: Isolation,
    /// Variables and groups that devices bring along.
    pub(crate) device_edits: Edits,
    /// Arguments of [`crate::REMOVE_ENTRY`].
    pub(crate) remove_arguments: Vec<String>,
}

/// Joins an image's defaults and a request.
pub(crate) fn plan(
    request: &RunRequest,
    image: &ImageConfig,
    resolved: Resolved,
) -> Result<ContainerPlan> {
    let hostname = match request.hostname.as_ref().or(resolved.hostname.as_ref()) {
        Some(hostname) => hostname.clone(),
        None => resolved.id.short().to_owned(),
    };
    let extra_hosts = extra_hosts(request, &resolved.network);
    let stop_signal = request
        .stop_signal
        .as_deref()
        .or(image.config.stop_signal.as_deref());
    let signal = stop_signal.map_or(Ok(libc_sigterm()), signals::parse)?;
    let grace_ms = request
        .stop_timeout
        .map_or(DEFAULT_GRACE_MS, |grace| grace.as_millis() as u64);
    Ok(ContainerPlan {
        version: PLAN_VERSION,
        hostname: hostname.clone(),
        process: process(request, image, &hostname, &resolved.device_edits)?,
        rootfs: RootfsPlan {
            layers: resolved.layers,
            upper: resolved.dir.join("upper"),
            work: resolved.dir.join("work"),
            read_only: request.read_only,
            volatile: request.auto_remove,
        },
        mounts: resolved.mounts,
        network: resolved.network,
        extra_hosts,
        stop: StopPlan { signal, grace_ms },
        restart: request.restart.unwrap_or(RestartPolicy::No),
        health: match &request.health {
            Some(health) => health.clone(),
            None => image_health(&changed_health(&request.health_changes, image), image),
        },
        paths: PlanPaths {
            run_dir: resolved.run_dir,
            log: Some(resolved.dir.join("log")),
            exit: resolved.dir.join("exit.json"),
            gateway: resolved.gateway,
        },
        wait_for_attach: request.wait_for_attach,
        seccomp: request
            .seccomp
            .clone()
            .unwrap_or(match request.borders.privileged {
                true => Seccomp::Unconfined,
                false => Seccomp::Default,
            }),
        ids: None,
        domainname: request.domainname.clone(),
        dns: request.dns.clone(),
        exposed: exposed(request, image)?,
        isolation: resolved.isolation,
        limits: request.limits.clone(),
        init: request.init,
        logging: request.logging.clone(),
        pid_file: request.pid_file.clone(),
        annotations: request.annotations.iter().cloned().collect(),
        after_exit: request.auto_remove.then(|| {
            [
                vec![crate::REMOVE_ENTRY.to_owned()],
                resolved.remove_arguments,
            ]
            .concat()
        }),
        id: resolved.id,
        name: resolved.name,
    })
}

/// On the host's own network the host is reached as everybody reaches themselves.
fn extra_hosts(request: &RunRequest, network: &NetworkMode) -> Vec<(String, String)> {
    let alias = net::gateway::HOST_ALIAS.to_string();
    let mut lines = request.extra_hosts.clone();
    if *network == NetworkMode::Host {
        for (_, address) in lines.iter_mut().filter(|(_, address)| *address == alias) {
            *address = Ipv4Addr::LOCALHOST.to_string();
        }
    }
    lines
}

fn libc_sigterm() -> i32 {
    15
}

fn process(
    request: &RunRequest,
    image: &ImageConfig,
    hostname: &str,
    devices: &Edits,
) -> Result<ProcessPlan> {
    let workdir = request
        .workdir
        .as_deref()
        .unwrap_or(&image.config.working_dir);
    Ok(ProcessPlan {
        argv: argv(request, image)?,
        env: environment(request, image, hostname, &devices.env),
        cwd: match workdir {
            "" => "/".to_owned(),
            path if path.starts_with('/') => path.to_owned(),
            path => {
                let message = format!("the working directory `{path}` is not an absolute path");
                return Err(Error::invalid(message));
            }
        },
        user: request
            .user
            .clone()
            .unwrap_or_else(|| image.config.user.clone()),
        tty: request.tty,
        stdin_open: request.stdin_open,
        capabilities: capabilities(request)?,
        no_new_privileges: request.no_new_privileges,
        groups: [request.groups.clone(), devices.groups.clone()].concat(),
        rlimits: request.rlimits.clone(),
        oom_score_adj: request.oom_score_adj,
    })
}

/// As docker has it: everything with `--privileged` or `ALL`, else the usual ones, each
/// time without the dropped and with the added ones.
fn capabilities(request: &RunRequest) -> Result<Vec<String>> {
    let all = |names: &[String]| names.iter().any(|name| name.eq_ignore_ascii_case("ALL"));
    let read = |names: &[String]| {
        let single = names
            .iter()
            .filter(|name| !name.eq_ignore_ascii_case("ALL"));
        Set::from_names(single.map(String::as_str)).map_err(|name| {
            Error::invalid_hint(
                format!("there is no capability `{name}`"),
                "their names are in capabilities(7), e.g. NET_ADMIN, with or without CAP_",
            )
        })
    };
    let usual = Set::from_names(DEFAULT_CAPABILITIES).unwrap_or_default();
    let (add, drop) = (read(&request.cap_add)?, read(&request.cap_drop)?);
    let kept = match (all(&request.cap_add), all(&request.cap_drop)) {
        _ if request.borders.privileged => Set::ALL,
        (true, _) => Set::ALL.without(drop),
        (false, true) => add,
        (false, false) => usual.without(drop).union(add),
    };
    Ok(kept.names().collect())
}

/// The request's exposed ports and the image's, each once.
pub(crate) fn exposed(request: &RunRequest, image: &ImageConfig) -> Result<Vec<(u16, Transport)>> {
    let mut ports: BTreeSet<_> = request.expose.iter().copied().collect();
    for text in image.config.exposed_ports.keys() {
        let (port, transport) = text.split_once('/').unwrap_or((text, "tcp"));
        let transport = match transport {
            "tcp" => Transport::Tcp,
            "udp" => Transport::Udp,
            // Images may expose what cannot be published; it does no harm.
            _ => continue,
        };
        let (first, last) = port.split_once('-').unwrap_or((port, port));
        let (Ok(first), Ok(last)) = (first.parse::<u16>(), last.parse()) else {
            let message = format!("image {} exposes `{text}`, which is no port", request.image);
            return Err(Error::invalid(message));
        };
        ports.extend((first..=last).map(|port| (port, transport)));
    }
    Ok(ports.into_iter().collect())
}

/// Entry point and command. As docker has it, an entry point given on the command line
/// drops the image's command.
fn argv(request: &RunRequest, image: &ImageConfig) -> Result<Vec<String>> {
    let mut argv = match &request.entrypoint {
        Some(entrypoint) => entrypoint.clone(),
        None => image.config.entrypoint.clone().unwrap_or_default(),
    };
    match (request.argv.is_empty(), &request.entrypoint) {
        (false, _) => argv.extend(request.argv.iter().cloned()),
        (true, None) => argv.extend(image.config.cmd.iter().flatten().cloned()),
        (true, Some(_)) => {}
    }
    match argv.first().map(String::as_str) {
        None | Some("") => Err(Error::invalid_hint(
            format!("no command given, and image {} has none", request.image),
            "name the program to execute after the image",
        )),
        Some(_) => Ok(argv),
    }
}

/// The image's variables, then ours, then the request's; later ones win.
fn environment(
    request: &RunRequest,
    image: &ImageConfig,
    hostname: &str,
    of_devices: &[String],
) -> Vec<String> {
    let mut env = store::images::default_env(image);
    let mut set = |name: &str, value: &str| {
        let prefix = format!("{name}=");
        let entry = format!("{name}={value}");
        match env.iter_mut().find(|e| e.starts_with(&prefix)) {
            Some(slot) => *slot = entry,
            None => env.push(entry),
        }
    };
    set("HOSTNAME", hostname);
    if request.tty {
        set("TERM", "xterm");
    }
    request
        .env
        .iter()
        .for_each(|(name, value)| set(name, value));
    for entry in of_devices {
        let (name, value) = entry.split_once('=').unwrap_or((entry, ""));
        set(name, value);
    }
    env.retain(|entry| {
        !request
            .unset_env
            .iter()
            .any(|n| entry.split('=').next() == Some(n))
    });
    env
}

/// The image's health check, with the values that the request replaces. As docker has it,
/// values without any command make no check.
pub(crate) fn changed_health(changes: &HealthChanges, image: &ImageConfig) -> ImageHealth {
    let base = image.config.healthcheck.clone().unwrap_or_default();
    let nanos = |new: Option<std::time::Duration>, old: u64| {
        new.map_or(old, |d| u64::try_from(d.as_nanos()).unwrap_or(u64::MAX))
    };
    ImageHealth {
        test: match &changes.command {
            Some(command) => vec!["CMD-SHELL".to_owned(), command.clone()],
            None => base.test,
        },
        interval: nanos(changes.interval, base.interval),
        timeout: nanos(changes.timeout, base.timeout),
        start_period: nanos(changes.start_period, base.start_period),
        start_interval: nanos(changes.start_interval, base.start_interval),
        retries: changes.retries.map_or(base.retries, u64::from),
    }
}

/// An image's health check with docker's defaults filled in; `None` if it has none.
pub(crate) fn image_health(health: &ImageHealth, image: &ImageConfig) -> Option<HealthCheck> {
    let millis = |nanos: u64, default: u64| {
        if nanos == 0 {
            default
        } else {
            nanos / 1_000_000
        }
    };
    let argv = match health.test.split_first() {
        Some((kind, rest)) if kind == "CMD" => rest.to_vec(),
        Some((kind, rest)) if kind == "CMD-SHELL" => {
            let shell = ["/bin/sh".to_owned(), "-c".to_owned()];
            let mut argv = image.config.shell.clone().unwrap_or_else(|| shell.to_vec());
            argv.push(rest.join(" "));
            argv
        }
        _ => return None,
    };
    Some(HealthCheck {
        argv,
        interval_ms: millis(health.interval, 30_000),
        timeout_ms: millis(health.timeout, 30_000),
        start_period_ms: millis(health.start_period, 0),
        start_interval_ms: millis(health.start_interval, 5_000),
        retries: if health.retries == 0 {
            3
        } else {
            health.retries.min(u64::from(u32::MAX)) as u32
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image() -> ImageConfig {
        let mut image = ImageConfig::default();
        image.config.entrypoint = Some(vec!["/entry".into()]);
        image.config.cmd = Some(vec!["default".into()]);
        image.config.env = vec!["A=1".into(), "B=2".into()];
        image
    }

    #[test]
    fn command_line_follows_docker() {
        let run = |entrypoint: Option<&[&str]>, args: &[&str]| {
            let request = RunRequest {
                entrypoint: entrypoint.map(|e| e.iter().map(|s| s.to_string()).collect()),
                argv: args.iter().map(|s| s.to_string()).collect(),
                ..RunRequest::default()
            };
            argv(&request, &image())
                .map(|argv| argv.join(" "))
                .unwrap_or_else(|e| e.to_string())
        };
        assert_eq!(run(None, &[]), "/entry default");
        assert_eq!(run(None, &["x"]), "/entry x");
        assert_eq!(run(Some(&["/other"]), &[]), "/other");
        assert_eq!(run(Some(&[]), &["sh"]), "sh");
        assert!(run(Some(&[]), &[]).contains("no command given"));
    }

    #[test]
    fn capabilities_follow_docker() {
        let kept = |add: &[&str], drop: &[&str]| {
            let words = |list: &[&str]| list.iter().map(|s| s.to_string()).collect();
            let request = RunRequest {
                cap_add: words(add),
                cap_drop: words(drop),
                ..RunRequest::default()
            };
            capabilities(&request).map(|names| names.len()).ok()
        };
        assert_eq!(kept(&[], &[]), Some(11));
        assert_eq!(kept(&["net_raw", "CAP_MKNOD"], &["chown"]), Some(12));
        assert_eq!(kept(&[], &["all"]), Some(0));
        assert_eq!(kept(&["CHOWN"], &["ALL"]), Some(1));
        assert_eq!(kept(&["ALL"], &["CHOWN"]), Some(40));
        assert_eq!(kept(&["ALL"], &[]), Some(41));
        assert_eq!(kept(&["MAGIC"], &[]), None);
    }

    #[test]
    fn later_variables_win() {
        let request = RunRequest {
            env: vec![("B".into(), "3".into()), ("C".into(), String::new())],
            unset_env: vec!["A".into()],
            ..RunRequest::default()
        };
        let env = environment(&request, &image(), "host", &[]);
        assert!(env.contains(&"B=3".to_owned()) && env.contains(&"C=".to_owned()));
        assert!(!env.iter().any(|e| e.starts_with("A=")));
        assert!(env.iter().any(|e| e.starts_with("PATH=/usr/local/sbin")));
    }

    #[test]
    fn image_health_gets_defaults() {
        let health = ImageHealth {
            test: vec!["CMD-SHELL".into(), "exit 0".into()],
            interval: 5_000_000_000,
            ..ImageHealth::default()
        };
        let check = image_health(&health, &image()).unwrap();
        assert_eq!(check.argv, ["/bin/sh", "-c", "exit 0"]);
        assert_eq!(
            (check.interval_ms, check.timeout_ms, check.retries),
            (5_000, 30_000, 3)
        );
        let none = ImageHealth {
            test: vec!["NONE".into()],
            ..ImageHealth::default()
        };
        assert_eq!(image_health(&none, &image()), None);
    }
}
