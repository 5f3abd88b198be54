use std::process::ExitCode;

use clap::Args;

use crate::error::CliError;
use crate::host::Host;

/// Gives a container another name.
#[derive(Args)]
pub(crate) struct RenameArgs {
    /// Container by name or id.
    container: String,
    /// Its new name.
    new_name: String,
}

pub(crate) fn run(args: &RenameArgs, host: &Host) -> Result<ExitCode, CliError> {
    let engine = host.engine(true)?;
    engine.rename(&engine.find(&args.container)?, &args.new_name)?;
    Ok(ExitCode::SUCCESS)
}
