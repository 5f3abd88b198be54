use std::process::ExitCode;

use clap::{Args, ValueEnum};

use crate::cli::ProjectArgs;
use crate::error::CliError;
use crate::host::Host;

/// Prints this directory's compose file with nothing left to look up.
#[derive(Args)]
pub(crate) struct ConfigArgs {
    /// How it is printed.
    #[arg(long, value_enum, default_value_t = Kinds::Yaml)]
    format: Kinds,
    /// Prints the services' names only.
    #[arg(long)]
    services: bool,
    /// Prints nothing; only errors and warnings are told.
    #[arg(short, long)]
    quiet: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum Kinds {
    Yaml,
    Json,
}

pub(crate) fn run(
    args: &ConfigArgs,
    host: &Host,
    project: &ProjectArgs,
) -> Result<ExitCode, CliError> {
    let project = super::project::load(project, host)?;
    if args.quiet {
        return Ok(ExitCode::SUCCESS);
    }
    if args.services {
        let names = project.services.keys().map(|name| format!("{name}\n"));
        return super::print(&names.collect::<String>());
    }
    super::print(&match args.format {
        Kinds::Yaml => compose::to_yaml(&project),
        Kinds::Json => format!("{:#}\n", compose::to_json(&project)),
    })
}
