use std::process::ExitCode;

use clap::Args;

use crate::error::CliError;
use crate::host::Host;

/// Forgets the login to a registry.
#[derive(Args)]
pub(crate) struct LogoutArgs {
    /// Host and port of the registry [default: docker.io].
    #[arg(default_value = "docker.io", hide_default_value = true)]
    registry: String,
}

pub(crate) fn run(args: &LogoutArgs, host: &Host) -> Result<ExitCode, CliError> {
    let path = host.docker_config();
    super::status(&match engine::remove_login(&path, &args.registry)? {
        true => format!(
            "Removed the login to {} from {}.",
            args.registry,
            path.display()
        ),
        false => format!(
            "There is no login to {} in {}.",
            args.registry,
            path.display()
        ),
    });
    Ok(ExitCode::SUCCESS)
}
