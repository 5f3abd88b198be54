use std::process::ExitCode;

use clap::Args;
use serde_json::json;

use crate::error::CliError;
use crate::format::Format;
use crate::host::Host;

/// Shows the version of this program.
#[derive(Args)]
pub(crate) struct VersionArgs {
    /// Prints it by this Go template, or as `json`.
    #[arg(short, long, value_name = "TEMPLATE")]
    format: Option<String>,
}

pub(crate) fn run(args: &VersionArgs, _host: &Host) -> Result<ExitCode, CliError> {
    let version = env!("CARGO_PKG_VERSION");
    let Some(format) = &args.format else {
        return super::print(&format!("shim version {version}\n"));
    };
    // Docker's scripts ask for both sides; shim has one.
    let side =
        json!({"Version": version, "Os": "linux", "Arch": model::Platform::native().architecture});
    super::print(&Format::parse(format)?.render(&[json!({"Client": side, "Server": side})])?)
}
