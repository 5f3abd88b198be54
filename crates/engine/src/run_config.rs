//! What docker calls a container's `Config`: the image's, with what the request changed.

use model::container::ContainerPlan;
use model::image::{Empty, ImageConfig, ImageHealth, RunConfig};
use model::{HealthCheck, NetworkMode};

use crate::{HealthChanges, RunRequest};

const NANOS: u64 = 1_000_000;

/// Joins them. `inspect` shows it and `commit` starts from it.
pub(crate) fn run_config(
    request: &RunRequest,
    image: &ImageConfig,
    plan: &ContainerPlan,
) -> RunConfig {
    let mut config = image.config.clone();
    if let Some(entrypoint) = &request.entrypoint {
        config.entrypoint = Some(entrypoint.clone()).filter(|e| !e.is_empty());
        config.cmd = None;
    }
    if !request.argv.is_empty() {
        config.cmd = Some(request.argv.clone());
    }
    config.env = environment(request, plan);
    plan.process.user.clone_into(&mut config.user);
    if let Some(workdir) = &request.workdir {
        workdir.clone_into(&mut config.working_dir);
    }
    config.labels.extend(request.labels.iter().cloned());
    let mut expose = |port: u16, transport: &str| {
        config
            .exposed_ports
            .insert(format!("{port}/{transport}"), Empty {});
    };
    for (port, transport) in &plan.exposed {
        expose(*port, transport.as_str());
    }
    if let NetworkMode::Gateway(network) = &plan.network {
        for port in &network.published {
            expose(port.container_port, port.transport.as_str());
        }
    }
    if let Some(signal) = &request.stop_signal {
        config.stop_signal = Some(signal.clone());
    }
    match &request.health {
        Some(Some(check)) => config.healthcheck = Some(image_health(check)),
        Some(None) => {
            config.healthcheck = Some(ImageHealth {
                test: vec!["NONE".into()],
                ..ImageHealth::default()
            });
        }
        None if request.health_changes == HealthChanges::default() => {}
        None => {
            let changes = &request.health_changes;
            config.healthcheck = Some(crate::container_plan::changed_health(changes, image));
        }
    }
    config
}

/// The process's variables without those that every container gets from us.
fn environment(request: &RunRequest, plan: &ContainerPlan) -> Vec<String> {
    let ours = |entry: &String| {
        let name = entry.split('=').next().unwrap_or_default();
        let given = request.env.iter().any(|(n, _)| n == name);
        !given && (name == "HOSTNAME" || (name == "TERM" && plan.process.tty))
    };
    let env = plan.process.env.iter();
    env.filter(|entry| !ours(entry)).cloned().collect()
}

fn image_health(check: &HealthCheck) -> ImageHealth {
    let mut test = vec!["CMD".to_owned()];
    test.extend(check.argv.iter().cloned());
    ImageHealth {
        test,
        interval: check.interval_ms * NANOS,
        timeout: check.timeout_ms * NANOS,
        start_period: check.start_period_ms * NANOS,
        start_interval: check.start_interval_ms * NANOS,
        retries: u64::from(check.retries),
    }
}
