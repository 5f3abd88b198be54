use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use crate::error::CliError;
use crate::host::Host;

/// Writes a container's file system as a tar.
#[derive(Args)]
pub(crate) struct ExportArgs {
    /// Container by name or id.
    container: String,
    /// The tar [default: standard output].
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

pub(crate) fn run(args: &ExportArgs, host: &Host) -> Result<ExitCode, CliError> {
    let engine = host.engine(true)?;
    let record = engine.find(&args.container)?;
    match &args.output {
        None if std::io::stdout().is_terminal() => {
            Err(CliError::usage("a tar is not for a terminal").hint("use -o, or redirect it"))
        }
        None => {
            engine.export(&record, &mut std::io::stdout().lock())?;
            Ok(ExitCode::SUCCESS)
        }
        Some(path) => super::save::write_file(path, |file| Ok(engine.export(&record, file)?)),
    }
}
