use std::process::ExitCode;
use std::time::Duration;

use clap::Args;

use crate::error::CliError;
use crate::host::Host;

/// Stops containers and starts them again.
#[derive(Args)]
pub(crate) struct RestartArgs {
    /// Containers by name or id.
    #[arg(required = true)]
    containers: Vec<String>,
    /// Seconds of grace [default: the container's own, else 10]; -1 is without end.
    #[arg(
        short,
        long,
        visible_alias = "timeout",
        value_name = "SECONDS",
        allow_negative_numbers = true
    )]
    time: Option<i64>,
    /// Signal to send first.
    #[arg(short, long)]
    signal: Option<String>,
}

pub(crate) fn run(args: &RestartArgs, host: &Host) -> Result<ExitCode, CliError> {
    let engine = host.engine(true)?;
    let signal = args
        .signal
        .as_deref()
        .map(engine::signals::parse)
        .transpose()?;
    // More seconds than a century has, and none too many for a clock.
    let forever = Duration::from_secs(1 << 32);
    let grace = args
        .time
        .map(|seconds| u64::try_from(seconds).map_or(forever, Duration::from_secs));
    let mut outcome = super::Outcomes::default();
    for name in &args.containers {
        let restarted = engine
            .find(name)
            .and_then(|record| engine.restart(&record, signal, grace));
        outcome.take(name, restarted.map_err(CliError::from))?;
    }
    outcome.finish()
}
