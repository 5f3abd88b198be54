use std::process::ExitCode;

use clap::Args;
use serde_json::{Value, json};

use crate::error::CliError;
use crate::format::{Format, Table};
use crate::host::Host;
use crate::view;

/// Lists the images in the store.
#[derive(Args)]
pub(crate) struct ImagesArgs {
    /// Shows only images of this repository, or of this name.
    name: Option<String>,
    /// Accepted for docker's sake: shim has no intermediate images to hide.
    #[arg(short, long)]
    all: bool,
    /// Prints ids only.
    #[arg(short, long)]
    quiet: bool,
    /// Prints full ids.
    #[arg(long)]
    no_trunc: bool,
    /// Shows digests.
    #[arg(long)]
    digests: bool,
    /// Prints each image by this Go template, or as `json`.
    #[arg(long, value_name = "TEMPLATE")]
    format: Option<String>,
}

pub(crate) fn run(args: &ImagesArgs, host: &Host) -> Result<ExitCode, CliError> {
    let engine = host.engine(true)?;
    let mut rows = Vec::new();
    for image in engine
        .store()
        .images()
        .list()
        .map_err(engine::Error::from)?
    {
        let names: Vec<_> = match image.references.is_empty() {
            true => vec![None],
            false => image.references.iter().map(Some).collect(),
        };
        for name in names {
            if args
                .name
                .as_deref()
                .is_some_and(|wanted| !matches(name, wanted))
            {
                continue;
            }
            rows.push(row(args, &image, name));
        }
    }
    if args.quiet {
        let ids: Vec<String> = rows.iter().map(|r| view::text(r, "ID")).collect();
        return super::print(&ids.into_iter().map(|id| id + "\n").collect::<String>());
    }
    super::print(&match &args.format {
        Some(format) => Format::parse(format)?.render(&rows)?,
        None => table(args, &rows),
    })
}

fn row(args: &ImagesArgs, image: &engine::ImageSummary, name: Option<&model::Reference>) -> Value {
    let none = || "<none>".to_owned();
    let id = if args.no_trunc {
        image.id.as_str()
    } else {
        image.id.short()
    };
    let created = image.created.clone().unwrap_or_default();
    json!({
        "ID": id,
        "Repository": name.map_or_else(none, model::Reference::familiar_name),
        "Tag": name.and_then(|n| n.tag()).map_or_else(none, str::to_owned),
        "Digest": image.digest.as_str(),
        "CreatedSince": view::since(&created),
        "CreatedAt": created,
        "Size": model::units::format_size(image.size),
    })
}

fn matches(name: Option<&model::Reference>, wanted: &str) -> bool {
    name.is_some_and(|name| {
        name.familiar_name() == wanted
            || wanted
                .parse::<model::Reference>()
                .is_ok_and(|w| match wanted.contains(':') {
                    true => w == *name,
                    false => w.name() == name.name(),
                })
    })
}

fn table(args: &ImagesArgs, rows: &[Value]) -> String {
    let columns: &[(&str, &str)] = match args.digests {
        false => &[
            ("REPOSITORY", "Repository"),
            ("TAG", "Tag"),
            ("IMAGE ID", "ID"),
            ("CREATED", "CreatedSince"),
            ("SIZE", "Size"),
        ],
        true => &[
            ("REPOSITORY", "Repository"),
            ("TAG", "Tag"),
            ("DIGEST", "Digest"),
            ("IMAGE ID", "ID"),
            ("CREATED", "CreatedSince"),
            ("SIZE", "Size"),
        ],
    };
    let mut table = Table::default();
    table.row(columns.iter().map(|(heading, _)| *heading));
    for row in rows {
        table.row(columns.iter().map(|(_, field)| view::text(row, field)));
    }
    table.finish()
}
