use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use crate::error::CliError;
use crate::host::Host;

/// Loads images from an archive of docker's or OCI's kind.
#[derive(Args)]
pub(crate) struct LoadArgs {
    /// The archive, compressed or not [default: standard input].
    #[arg(
        short,
        long,
        value_name = "FILE",
        default_value = "-",
        hide_default_value = true
    )]
    input: PathBuf,
    /// Prints nothing.
    #[arg(short, long)]
    quiet: bool,
}

pub(crate) fn run(args: &LoadArgs, host: &Host) -> Result<ExitCode, CliError> {
    let engine = host.engine(true)?;
    let loaded = engine.load(super::import::open(&args.input)?)?;
    if args.quiet {
        return Ok(ExitCode::SUCCESS);
    }
    let lines = loaded
        .iter()
        .flat_map(|loaded| match loaded.references.is_empty() {
            true => vec![format!("Loaded image ID: {}\n", loaded.image.id)],
            false => {
                let names = loaded.references.iter();
                names
                    .map(|name| format!("Loaded image: {}\n", name.familiar()))
                    .collect()
            }
        });
    super::print(&lines.collect::<String>())
}
