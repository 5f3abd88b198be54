use std::process::ExitCode;

use clap::Args;

use crate::error::{CliError, Kind};
use crate::host::Host;
use crate::view;

/// Lists the published ports of a container, or where one of its ports is published.
#[derive(Args)]
pub(crate) struct PortArgs {
    /// Container by name or id.
    container: String,
    /// A port of the container, TCP if nothing else is said.
    #[arg(value_name = "PORT[/PROTOCOL]")]
    port: Option<String>,
}

pub(crate) fn run(args: &PortArgs, host: &Host) -> Result<ExitCode, CliError> {
    let engine = host.engine(true)?;
    let record = engine.find(&args.container)?;
    let published = view::published(&engine.view(record)?);
    let Some(wanted) = &args.port else {
        let line = |(inside, outside): &(String, String)| format!("{inside} -> {outside}\n");
        return super::print(&published.iter().map(line).collect::<String>());
    };
    let wanted = match wanted.contains('/') {
        true => wanted.to_lowercase(),
        false => format!("{wanted}/tcp"),
    };
    let (number, _) = wanted.split_once('/').unwrap_or((&wanted, ""));
    if number.parse::<u16>().is_err() {
        return Err(CliError::usage(format!("invalid port `{number}`")));
    }
    let found: String = published
        .iter()
        .filter(|(inside, _)| *inside == wanted)
        .map(|(_, outside)| format!("{outside}\n"))
        .collect();
    match found.is_empty() {
        true => {
            let message = format!("no public port '{wanted}' published for {}", args.container);
            Err(CliError::new(Kind::Failed, message))
        }
        false => super::print(&found),
    }
}
