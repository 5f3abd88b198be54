//! From what is meant to what the runtime needs. Pure: everything it depends on is handed in.

use std::collections::BTreeMap;
use std::path::PathBuf;

use model::container::{
    DEFAULT_CAPABILITIES, DnsPlan, Isolation, Limits, LogPlan, PlanPaths, ProcessPlan, RootfsPlan,
    Seccomp, StopPlan,
};
use model::image::{ImageConfig, ImageHealth};
use model::{ContainerId, ContainerPlan, HealthCheck, MountPlan, NetworkMode, RestartPolicy};

use crate::{Error, Result, RunRequest, signals};

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
    /// Arguments of [`crate::REMOVE_ENTRY`].
    pub(crate) remove_arguments: Vec<String>,
}

/// Joins an image's defaults and a request.
pub(crate) fn plan(
    request: &RunRequest,
    image: &ImageConfig,
    resolved: Resolved,
) -> Result<ContainerPlan> {
    let hostname = match &request.hostname {
        Some(hostname) => hostname.clone(),
        None => resolved.id.short().to_owned(),
    };
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
        process: process(request, image, &hostname)?,
        rootfs: RootfsPlan {
            layers: resolved.layers,
            upper: resolved.dir.join("upper"),
            work: resolved.dir.join("work"),
            read_only: request.read_only,
            volatile: request.auto_remove,
        },
        mounts: resolved.mounts,
        network: resolved.network,
        extra_hosts: request.extra_hosts.clone(),
        stop: StopPlan { signal, grace_ms },
        restart: request.restart.unwrap_or(RestartPolicy::No),
        health: match &request.health {
            Some(health) => health.clone(),
            None => image
                .config
                .healthcheck
                .as_ref()
                .and_then(|h| image_health(h, image)),
        },
        paths: PlanPaths {
            run_dir: resolved.run_dir,
            log: Some(resolved.dir.join("log")),
            exit: resolved.dir.join("exit.json"),
            gateway: resolved.gateway,
        },
        wait_for_attach: request.wait_for_attach,
        seccomp: Seccomp::Default,
        ids: None,
        domainname: String::new(),
        dns: DnsPlan::default(),
        exposed: Vec::new(),
        isolation: Isolation::default(),
        limits: Limits::default(),
        init: false,
        logging: LogPlan::default(),
        pid_file: None,
        annotations: BTreeMap::new(),
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

fn libc_sigterm() -> i32 {
    15
}

fn process(request: &RunRequest, image: &ImageConfig, hostname: &str) -> Result<ProcessPlan> {
    let workdir = request
        .workdir
        .as_deref()
        .unwrap_or(&image.config.working_dir);
    Ok(ProcessPlan {
        argv: argv(request, image)?,
        env: environment(request, image, hostname),
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
        capabilities: DEFAULT_CAPABILITIES.map(str::to_owned).to_vec(),
        no_new_privileges: false,
        ..ProcessPlan::default()
    })
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
fn environment(request: &RunRequest, image: &ImageConfig, hostname: &str) -> Vec<String> {
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
    env.retain(|entry| {
        !request
            .unset_env
            .iter()
            .any(|n| entry.split('=').next() == Some(n))
    });
    env
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
    fn later_variables_win() {
        let request = RunRequest {
            env: vec![("B".into(), "3".into()), ("C".into(), String::new())],
            unset_env: vec!["A".into()],
            ..RunRequest::default()
        };
        let env = environment(&request, &image(), "host");
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
