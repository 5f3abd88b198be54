use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use clap::Args;
use compose::Project;
use engine::project::{DownRequest, UpRequest, plan};
use engine::{Engine, LogQuery};

use super::follow::Interrupt;
use crate::cli::ProjectArgs;
use crate::error::{CliError, Kind};
use crate::host::Host;
use crate::render::{Renderer, Style};

/// 128 and the number of SIGINT, as docker compose has it.
const INTERRUPTED: u8 = 130;

/// Builds, makes and starts the services of this directory's compose file.
#[derive(Args)]
pub(crate) struct UpArgs {
    /// Services to start, with all they depend on [default: all].
    services: Vec<String>,
    /// Leaves the containers in the background.
    #[arg(short, long)]
    detach: bool,
    /// Builds images even if they are here.
    #[arg(long)]
    build: bool,
    /// Replaces containers even if nothing has changed.
    #[arg(long)]
    force_recreate: bool,
    /// Removes containers of services that are not in the files.
    #[arg(long)]
    remove_orphans: bool,
    /// Waits until every service is up, healthy where it has a check; implies -d.
    #[arg(long)]
    wait: bool,
    /// Prints what would be done, and does nothing.
    #[arg(long)]
    dry_run: bool,
    /// Seconds until a stop becomes a kill, for containers that are replaced or removed,
    /// and when `up` is interrupted.
    #[arg(short, long, value_name = "SECONDS")]
    timeout: Option<u64>,
}

pub(crate) fn run(args: &UpArgs, host: &Host, project: &ProjectArgs) -> Result<ExitCode, CliError> {
    let request = UpRequest {
        project: super::project::load_to_start(project, host, &args.services)?,
        services: args.services.clone(),
        build: args.build,
        force_recreate: args.force_recreate,
        remove_orphans: args.remove_orphans,
        wait: args.wait,
        grace: args.timeout.map(Duration::from_secs),
    };
    args.services
        .iter()
        .try_for_each(|s| super::project::known(&request.project, s))?;
    let engine = host.engine(true)?;
    let observed = engine.observe_project(&request.project)?;
    let plan = plan(&request, &observed);
    if args.dry_run {
        let lines = plan.actions.iter().map(|action| format!("{action}\n"));
        return super::print(&lines.collect::<String>());
    }
    if !plan.orphans.is_empty() {
        super::status(&format!(
            "warning: containers of services that are not in the files: {}\n\
             hint: --remove-orphans removes them",
            plan.orphans.join(", ")
        ));
    }
    let renderer = Renderer::new(Style::for_host(host, false));
    if args.detach || args.wait {
        engine
            .up(&request, &plan, &observed, &renderer)
            .map_err(failed)?;
        return Ok(ExitCode::SUCCESS);
    }
    let begun = engine::now();
    let interrupted = super::follow::Interrupt::catch()?;
    let done = AtomicBool::new(false);
    let outcome = std::thread::scope(|scope| {
        scope.spawn(|| end_early(&engine, &request.project, &interrupted, &done, host));
        let outcome = engine.up(&request, &plan, &observed, &renderer);
        done.store(true, Ordering::SeqCst);
        outcome
    });
    drop(renderer);
    let containers = outcome.map_err(failed)?.containers;
    let query = LogQuery {
        follow: true,
        since: Some(begun),
        ..LogQuery::default()
    };
    foreground(&engine, request, &containers, &query, &interrupted, host)
}

/// As with docker compose, the codes 125 to 127 are left to `run` and the like.
fn failed(error: engine::Error) -> CliError {
    CliError::from(error).with_kind(Kind::Failed)
}

/// An interrupt while containers are still being started: those that run are stopped,
/// and the rest never comes.
fn end_early(
    engine: &Engine,
    project: &Project,
    interrupted: &Interrupt,
    done: &AtomicBool,
    host: &Host,
) {
    while !interrupted.seen() {
        if done.load(Ordering::SeqCst) {
            return;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    if !done.load(Ordering::SeqCst) {
        super::status("Interrupted; stopping.");
        // A start that is under way when we look comes up a moment later.
        for _ in 0..4 {
            let _ = engine.kill_project(project);
            std::thread::sleep(Duration::from_millis(100));
        }
        let _ = engine.gateway_may_end();
        super::leave(host);
        std::process::exit(INTERRUPTED.into());
    }
}

/// Shows what the containers write until all have ended or the user interrupts; then
/// stops them.
fn foreground(
    engine: &Engine,
    request: UpRequest,
    containers: &[engine::ContainerRecord],
    query: &LogQuery,
    interrupted: &Interrupt,
    host: &Host,
) -> Result<ExitCode, CliError> {
    let stop = || interrupted.seen();
    super::follow::show(engine, &request.project, containers, query, &stop, host)?;
    if !interrupted.seen() {
        return Ok(ExitCode::SUCCESS);
    }
    super::status("Stopping; interrupt again to kill.");
    let renderer = Renderer::new(Style::for_host(host, false));
    let down = DownRequest {
        project: request.project,
        volumes: false,
        remove_orphans: false,
        grace: request.grace,
    };
    std::thread::scope(|scope| {
        scope.spawn(|| {
            interrupted.wait_for_second();
            let _ = engine.kill_project(&down.project);
        });
        let result = engine.stop_project(&down, &renderer);
        interrupted.release();
        result
    })?;
    Ok(ExitCode::from(INTERRUPTED))
}
