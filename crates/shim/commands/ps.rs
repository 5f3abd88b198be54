use std::process::ExitCode;

use clap::Args;
use engine::{ContainerView, Engine};
use serde_json::Value;

use crate::error::CliError;
use crate::format::{Format, Table};
use crate::host::Host;
use crate::view;

mod filter;

use filter::Filters;

/// Lists containers.
#[derive(Args)]
pub(crate) struct PsArgs {
    /// Lists containers that do not run, too.
    #[arg(short, long)]
    all: bool,
    /// Prints ids only.
    #[arg(short, long)]
    quiet: bool,
    /// Prints ids, commands and mounts in full.
    #[arg(long)]
    no_trunc: bool,
    /// Lists only what fits, e.g. name=web, status=exited, label=NAME[=VALUE].
    #[arg(short, long, value_name = "KEY=VALUE")]
    filter: Vec<String>,
    /// Prints each container by this Go template, `table TEMPLATE`, or `json`.
    #[arg(long, value_name = "TEMPLATE")]
    format: Option<String>,
    /// Lists so many of the youngest, whatever they do.
    #[arg(
        short = 'n',
        long,
        value_name = "NUMBER",
        allow_negative_numbers = true
    )]
    last: Option<i64>,
    /// Lists the youngest, whatever it does.
    #[arg(short, long)]
    latest: bool,
    /// Shows how much each has written, and how much that is with its image.
    #[arg(short, long)]
    size: bool,
}

impl PsArgs {
    /// Whether it looks at containers' files.
    pub(crate) fn needs_namespace(&self) -> bool {
        self.size || self.format.as_deref().is_some_and(|f| f.contains(".Size"))
    }
}

pub(crate) fn run(args: &PsArgs, host: &Host) -> Result<ExitCode, CliError> {
    let engine = host.engine(true)?;
    let format = Format::of(args.format.as_deref())?;
    let filters = Filters::parse(&args.filter)?;
    let limit = match (args.latest, args.last) {
        (true, _) => Some(1),
        (_, last) => last.and_then(|n| usize::try_from(n).ok()),
    };
    let all = args.all || limit.is_some() || filters.want_all();
    let list = engine.list()?;
    let mut fitting = filters.apply(&engine, &list)?;
    fitting.retain(|container| all || container.observed.is_alive());
    fitting.truncate(limit.unwrap_or(usize::MAX));
    let mut rows = Vec::new();
    for container in fitting {
        if let Some(row) = row(args, &engine, container)? {
            rows.push(row);
        }
    }
    super::print(&match format {
        _ if args.quiet && args.format.is_none() => {
            rows.iter().map(|r| view::text(r, "ID") + "\n").collect()
        }
        Some(format) => format.render_headed(&rows, &view::PS_HEADINGS)?,
        None => table(args, &rows),
    })
}

/// `None` for one that is removed while we look.
fn row(
    args: &PsArgs,
    engine: &Engine,
    container: &ContainerView,
) -> Result<Option<Value>, CliError> {
    let size = match args
        .needs_namespace()
        .then(|| engine.size(&container.record))
    {
        None => None,
        Some(Ok(size)) => Some(size),
        Some(Err(engine::Error::Store(engine::StoreError::NoContainer(_)))) => return Ok(None),
        Some(Err(error)) => return Err(error.into()),
    };
    Ok(Some(view::ps_row(container, args.no_trunc, size)))
}

fn table(args: &PsArgs, rows: &[Value]) -> String {
    let mut columns = vec![
        ("CONTAINER ID", "ID"),
        ("IMAGE", "Image"),
        ("COMMAND", "Command"),
        ("CREATED", "RunningFor"),
        ("STATUS", "Status"),
        ("PORTS", "Ports"),
        ("NAMES", "Names"),
    ];
    if args.size {
        columns.push(("SIZE", "Size"));
    }
    let mut table = Table::default();
    table.row(columns.iter().map(|(heading, _)| *heading));
    for row in rows {
        table.row(columns.iter().map(|(_, field)| view::text(row, field)));
    }
    table.finish()
}
