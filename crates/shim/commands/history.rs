use std::process::ExitCode;

use clap::Args;
use serde_json::json;

use crate::error::CliError;
use crate::format::{Format, Table};
use crate::host::Host;
use crate::view;

/// Shows how an image was made, the last step first.
#[derive(Args)]
pub(crate) struct HistoryArgs {
    /// Name or id of the image.
    image: String,
    /// Prints commands in full.
    #[arg(long)]
    no_trunc: bool,
    /// Prints each step by this Go template, or as `json`.
    #[arg(long, value_name = "TEMPLATE")]
    format: Option<String>,
}

pub(crate) fn run(args: &HistoryArgs, host: &Host) -> Result<ExitCode, CliError> {
    let engine = host.engine(true)?;
    let store = engine.store();
    let (image, _) = store
        .images()
        .resolve(&args.image)
        .map_err(engine::Error::from)?;
    let mut layers = image.layers.iter();
    let mut rows = Vec::new();
    for step in &image.config.history {
        let layer = if step.empty_layer {
            None
        } else {
            layers.next()
        };
        let size = layer.map(|id| store.layers().info(id)).transpose();
        let size = size
            .map_err(engine::Error::from)?
            .map_or(0, |info| info.size);
        let command = step.created_by.clone().unwrap_or_default();
        let created = step.created.clone().unwrap_or_default();
        let shown = match args.no_trunc || command.chars().count() <= 45 {
            true => command,
            false => command.chars().take(44).chain(['…']).collect(),
        };
        rows.push(json!({
            "ID": "<missing>",
            "CreatedSince": view::since(&created),
            "CreatedAt": created,
            "CreatedBy": shown,
            "Size": model::units::format_size(size),
            "Comment": step.comment.clone().unwrap_or_default(),
        }));
    }
    rows.reverse();
    if let Some(first) = rows.first_mut() {
        let id = if args.no_trunc {
            image.id.as_str()
        } else {
            image.id.short()
        };
        first["ID"] = id.into();
    }
    if let Some(format) = &args.format {
        return super::print(&Format::parse(format)?.render(&rows)?);
    }
    let mut table = Table::with_heading(["IMAGE", "CREATED", "CREATED BY", "SIZE", "COMMENT"]);
    for row in &rows {
        let fields = ["ID", "CreatedSince", "CreatedBy", "Size", "Comment"];
        table.row(fields.map(|field| view::text(row, field)));
    }
    super::print(&table.finish())
}
