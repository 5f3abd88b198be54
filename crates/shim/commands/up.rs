use std::process::ExitCode;

use clap::Args;
use engine::Engine;
use engine::project::{DownRequest, UpRequest, plan};

use crate::cli::ProjectArgs;
use crate::error::CliError;
use crate::host::Host;
use crate::render::{Renderer, Style};

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
    /// Seconds until a stop becomes a kill when `up` is interrupted.
    #[arg(short, long, value_name = "SECONDS")]
    timeout: Option<u64>,
}

pub(crate) fn run(args: &UpArgs, host: &Host, project: &ProjectArgs) -> Result<ExitCode, CliError> {
    let request = UpRequest {
        project: super::project::load(project, host)?,
        services: args.services.clone(),
        build: args.build,
        force_recreate: args.force_recreate,
        remove_orphans: args.remove_orphans,
        wait: args.wait,
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
    let interrupted = super::follow::Interrupt::catch()?;
    let renderer = Renderer::new(Style::for_host(host, false));
    let outcome = engine.up(&request, &plan, &observed, &renderer);
    drop(renderer);
    let outcome = outcome?;
    if args.detach || args.wait {
        return Ok(ExitCode::SUCCESS);
    }
    foreground(
        &engine,
        request,
        &outcome.containers,
        &interrupted,
        args,
        host,
    )
}

/// Shows what the containers write until all have ended or the user interrupts; then
/// stops them.
fn foreground(
    engine: &Engine,
    request: UpRequest,
    containers: &[engine::ContainerRecord],
    interrupted: &super::follow::Interrupt,
    args: &UpArgs,
    host: &Host,
) -> Result<ExitCode, CliError> {
    super::follow::logs(engine, &request.project, containers, interrupted, host)?;
    if !interrupted.seen() {
        return Ok(ExitCode::SUCCESS);
    }
    super::status("Stopping; interrupt again to kill.");
    let grace = args.timeout.map(std::time::Duration::from_secs);
    let renderer = Renderer::new(Style::for_host(host, false));
    let down = DownRequest {
        project: request.project,
        volumes: false,
        remove_orphans: false,
        grace,
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
    Ok(ExitCode::from(130))
}
