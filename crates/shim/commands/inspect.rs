use std::process::ExitCode;

use clap::Args;
use serde_json::Value;

use crate::error::CliError;
use crate::format::Format;
use crate::host::Host;
use crate::view;

/// Shows all that is known of containers, images, volumes or networks.
#[derive(Args)]
pub(crate) struct InspectArgs {
    /// Names or ids.
    #[arg(required = true)]
    names: Vec<String>,
    /// Prints each by this Go template, or as `json`.
    #[arg(short, long, value_name = "TEMPLATE")]
    format: Option<String>,
    /// Looks only at objects of this kind: container, image, volume or network.
    #[arg(long = "type", value_name = "KIND")]
    kind: Option<String>,
    /// Shows how much containers have written, and how much that is with their images.
    #[arg(short, long)]
    size: bool,
}

impl InspectArgs {
    /// Whether it looks at containers' files.
    pub(crate) fn needs_namespace(&self) -> bool {
        self.size
    }
}

pub(crate) fn run(args: &InspectArgs, host: &Host) -> Result<ExitCode, CliError> {
    let engine = host.engine(true)?;
    let kinds: Vec<&str> = match args.kind.as_deref() {
        None => vec!["container", "image", "volume", "network"],
        Some(kind @ ("container" | "image" | "volume" | "network")) => vec![kind],
        Some(kind) => return Err(CliError::usage(format!("there is no kind `{kind}`"))),
    };
    let find = |name: &String| view::inspect_sized(&engine, &kinds, name, args.size);
    show(args.names.iter().map(find), args.format.as_deref())
}

/// Prints what was found, then reports what was not.
pub(super) fn show(
    found: impl Iterator<Item = Result<Value, CliError>>,
    format: Option<&str>,
) -> Result<ExitCode, CliError> {
    let format = format.map(Format::parse).transpose()?;
    let mut outcome = super::Outcomes::default();
    let mut rows = Vec::new();
    for row in found {
        match row {
            Ok(row) => rows.push(row),
            Err(error) => outcome.failed(error),
        }
    }
    super::print(&match format {
        Some(format) => format.render(&rows)?,
        None => format!("{:#}\n", Value::Array(rows)),
    })?;
    outcome.finish()
}
