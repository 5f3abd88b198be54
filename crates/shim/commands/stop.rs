use std::process::ExitCode;
use std::time::Duration;

use clap::Args;

use crate::error::CliError;
use crate::host::Host;

/// Stops containers: a signal, a time of grace, then SIGKILL.
#[derive(Args)]
pub(crate) struct StopArgs {
    /// Containers by name or id.
    #[arg(required = true)]
    containers: Vec<String>,
    /// Seconds of grace [default: the container's own, else 10].
    #[arg(short, long, visible_alias = "timeout", value_name = "SECONDS")]
    time: Option<u64>,
    /// Signal to send first.
    #[arg(short, long)]
    signal: Option<String>,
}

pub(crate) fn run(args: &StopArgs, host: &Host) -> Result<ExitCode, CliError> {
    let engine = host.engine(true)?;
    let signal = args
        .signal
        .as_deref()
        .map(engine::signals::parse)
        .transpose()?;
    let grace = args.time.map(Duration::from_secs);
    let mut outcome = super::Outcomes::default();
    for name in &args.containers {
        let stopped = engine
            .find(name)
            .and_then(|record| engine.stop(&record, signal, grace));
        outcome.take(name, stopped.map_err(CliError::from))?;
    }
    engine.gateway_may_end()?;
    outcome.finish()
}
