use std::process::ExitCode;

use clap::Args;

use crate::error::CliError;
use crate::host::Host;

/// Lists what a container has added (A), changed (C) and deleted (D) in its file system.
#[derive(Args)]
pub(crate) struct DiffArgs {
    /// Container by name or id.
    container: String,
}

pub(crate) fn run(args: &DiffArgs, host: &Host) -> Result<ExitCode, CliError> {
    let engine = host.engine(true)?;
    let changes = engine.diff(&engine.find(&args.container)?)?;
    let line =
        |change: &engine::Change| format!("{} {}\n", change.kind.letter(), change.path.display());
    super::print(&changes.iter().map(line).collect::<String>())
}
