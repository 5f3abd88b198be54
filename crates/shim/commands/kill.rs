use std::process::ExitCode;

use clap::Args;

use crate::error::CliError;
use crate::host::Host;

/// Sends a signal to containers.
#[derive(Args)]
pub(crate) struct KillArgs {
    /// Containers by name or id.
    #[arg(required = true)]
    containers: Vec<String>,
    /// The signal, by name or number.
    #[arg(short, long, default_value = "KILL")]
    signal: String,
}

pub(crate) fn run(args: &KillArgs, host: &Host) -> Result<ExitCode, CliError> {
    let engine = host.engine(true)?;
    let signal = engine::signals::parse(&args.signal)?;
    let mut outcome = super::Outcomes::default();
    for name in &args.containers {
        let killed = engine
            .find(name)
            .and_then(|record| engine.kill(&record, signal));
        outcome.take(name, killed.map_err(CliError::from))?;
    }
    outcome.finish()
}
