use std::process::ExitCode;

use clap::Args;

use crate::error::CliError;
use crate::host::Host;

/// Starts containers that were made or have ended.
#[derive(Args)]
pub(crate) struct StartArgs {
    /// Containers by name or id.
    #[arg(required = true)]
    containers: Vec<String>,
}

pub(crate) fn run(args: &StartArgs, host: &Host) -> Result<ExitCode, CliError> {
    let engine = host.engine(true)?;
    let mut outcome = super::Outcomes::default();
    for name in &args.containers {
        let started = engine.find(name).and_then(|record| engine.start(&record));
        outcome.take(name, started.map_err(CliError::from))?;
    }
    outcome.finish()
}
