use std::process::ExitCode;

use clap::Args;

use crate::error::CliError;
use crate::host::Host;

/// Removes containers.
#[derive(Args)]
pub(crate) struct RmArgs {
    /// Containers by name or id.
    #[arg(required = true)]
    containers: Vec<String>,
    /// Kills running ones first; absent ones are no error.
    #[arg(short, long)]
    force: bool,
    /// Removes their anonymous volumes too.
    #[arg(short, long)]
    volumes: bool,
}

pub(crate) fn run(args: &RmArgs, host: &Host) -> Result<ExitCode, CliError> {
    let engine = host.engine(true)?;
    let mut outcome = super::Outcomes::default();
    for name in &args.containers {
        let removed = match engine.remove_named(name, args.force, args.volumes) {
            Err(engine::Error::Store(engine::StoreError::NoContainer(_))) if args.force => continue,
            removed => removed,
        };
        outcome.take(name, removed.map_err(CliError::from))?;
    }
    engine.gateway_may_end()?;
    outcome.finish()
}
