use std::process::ExitCode;

use clap::Args;

use crate::error::CliError;
use crate::host::Host;

/// Freezes all processes of containers.
#[derive(Args)]
pub(crate) struct PauseArgs {
    /// Containers by name or id.
    #[arg(required = true)]
    containers: Vec<String>,
}

/// Lets the processes of paused containers go on.
#[derive(Args)]
pub(crate) struct UnpauseArgs {
    /// Containers by name or id.
    #[arg(required = true)]
    containers: Vec<String>,
}

pub(crate) fn run(args: &PauseArgs, host: &Host) -> Result<ExitCode, CliError> {
    each(&args.containers, host, engine::Engine::pause)
}

pub(crate) fn run_unpause(args: &UnpauseArgs, host: &Host) -> Result<ExitCode, CliError> {
    each(&args.containers, host, engine::Engine::unpause)
}

fn each(
    names: &[String],
    host: &Host,
    act: impl Fn(&engine::Engine, &engine::ContainerRecord) -> engine::Result<()>,
) -> Result<ExitCode, CliError> {
    let engine = host.engine(true)?;
    let mut outcome = super::Outcomes::default();
    for name in names {
        let done = engine.find(name).and_then(|record| act(&engine, &record));
        outcome.take(name, done.map_err(CliError::from))?;
    }
    outcome.finish()
}
