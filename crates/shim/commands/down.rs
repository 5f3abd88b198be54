use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use engine::project::DownRequest;

use crate::cli::ProjectArgs;
use crate::error::CliError;
use crate::host::Host;
use crate::render::{Renderer, Style};

/// Stops and removes the containers and networks of this directory's compose file.
#[derive(Args)]
pub(crate) struct DownArgs {
    /// Removes the project's volumes, too; external ones stay.
    #[arg(short, long)]
    volumes: bool,
    /// Seconds until a stop becomes a kill.
    #[arg(short, long, value_name = "SECONDS")]
    timeout: Option<u64>,
    /// Removes containers of services that are not in the files.
    #[arg(long)]
    remove_orphans: bool,
}

pub(crate) fn run(
    args: &DownArgs,
    host: &Host,
    project: &ProjectArgs,
) -> Result<ExitCode, CliError> {
    let request = DownRequest {
        project: super::project::load(project, host)?,
        volumes: args.volumes,
        remove_orphans: args.remove_orphans,
        grace: args.timeout.map(Duration::from_secs),
    };
    let engine = host.engine(true)?;
    engine.down(&request, &Renderer::new(Style::for_host(host, false)))?;
    Ok(ExitCode::SUCCESS)
}
