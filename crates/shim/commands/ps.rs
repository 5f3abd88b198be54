use std::process::ExitCode;

use clap::Args;
use serde_json::Value;

use crate::error::CliError;
use crate::format::{Format, Table};
use crate::host::Host;
use crate::view;

/// Lists containers.
#[derive(Args)]
pub(crate) struct PsArgs {
    /// Lists containers that do not run, too.
    #[arg(short, long)]
    all: bool,
    /// Prints ids only.
    #[arg(short, long)]
    quiet: bool,
    /// Prints ids and commands in full.
    #[arg(long)]
    no_trunc: bool,
    /// Lists only what fits, e.g. name=web, status=exited, label=NAME[=VALUE].
    #[arg(long, value_name = "KEY=VALUE")]
    filter: Vec<String>,
    /// Prints each container by this Go template, or as `json`.
    #[arg(long, value_name = "TEMPLATE")]
    format: Option<String>,
}

pub(crate) fn run(args: &PsArgs, host: &Host) -> Result<ExitCode, CliError> {
    let engine = host.engine(true)?;
    let filters = args
        .filter
        .iter()
        .map(|f| filter(f))
        .collect::<Result<Vec<_>, _>>()?;
    let by_status = filters.iter().any(|(key, _)| *key == "status");
    let mut rows = Vec::new();
    for container in engine.list()? {
        let fits = filters
            .iter()
            .all(|(key, value)| matches(&container, key, value));
        if fits && (args.all || by_status || container.observed.is_alive()) {
            rows.push(view::ps_row(&container, args.no_trunc));
        }
    }
    if args.quiet {
        let ids: Vec<String> = rows.iter().map(|r| view::text(r, "ID")).collect();
        return super::print(&ids.into_iter().map(|id| id + "\n").collect::<String>());
    }
    super::print(&match &args.format {
        Some(format) => Format::parse(format)?.render(&rows)?,
        None => table(&rows),
    })
}

fn filter(text: &str) -> Result<(&str, &str), CliError> {
    let known = ["id", "name", "status", "label", "ancestor"];
    match text.split_once('=') {
        Some((key, value)) if known.contains(&key) => Ok((key, value)),
        _ => Err(CliError::usage(format!("invalid filter `{text}`"))
            .hint(format!("want KEY=VALUE with one of {}", known.join(", ")))),
    }
}

fn matches(container: &engine::ContainerView, key: &str, value: &str) -> bool {
    let record = &container.record;
    match key {
        "id" => record.id.as_str().starts_with(value),
        "name" => record.name.contains(value),
        "status" => container.observed.status() == value,
        "ancestor" => record.image.name == value || record.image.id.hex().starts_with(value),
        _ => {
            let (name, wanted) = value
                .split_once('=')
                .map_or((value, None), |(n, v)| (n, Some(v)));
            record
                .labels
                .get(name)
                .is_some_and(|had| wanted.is_none_or(|w| w == had))
        }
    }
}

fn table(rows: &[Value]) -> String {
    let mut table = Table::with_heading([
        "CONTAINER ID",
        "IMAGE",
        "COMMAND",
        "CREATED",
        "STATUS",
        "PORTS",
        "NAMES",
    ]);
    for row in rows {
        let fields = [
            "ID",
            "Image",
            "Command",
            "RunningFor",
            "Status",
            "Ports",
            "Names",
        ];
        table.row(fields.map(|field| view::text(row, field)));
    }
    table.finish()
}
