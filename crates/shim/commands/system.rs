use std::process::ExitCode;

use clap::{Args, Subcommand};
use engine::{Engine, Usage};
use model::units::format_size;
use serde_json::{Value, json};

use super::objects::{self, Filters, PruneArgs};
use crate::error::CliError;
use crate::format::Format;
use crate::host::Host;
use crate::view;

/// Works with the store as a whole: what it takes of the disk, and what of it can go.
#[derive(Args)]
pub(crate) struct SystemArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Df(DfArgs),
    Events(super::events::EventsArgs),
    Prune(SystemPruneArgs),
}

impl SystemArgs {
    /// The arguments of `events`, which is the top level's, or these.
    pub(crate) fn events(self) -> Result<super::events::EventsArgs, Self> {
        match self.command {
            Command::Events(args) => Ok(args),
            command => Err(Self { command }),
        }
    }
}

/// Shows what images, containers, volumes and the build cache take of the disk.
#[derive(Args)]
struct DfArgs {
    /// Shows each object.
    #[arg(short, long)]
    verbose: bool,
    /// Prints each row by this Go template, or as `json`.
    #[arg(long, value_name = "TEMPLATE")]
    format: Option<String>,
}

/// Removes stopped containers, unused networks, nameless images and the build cache.
#[derive(Args)]
struct SystemPruneArgs {
    /// Removes all images that no container uses, and cache mounts.
    #[arg(short, long)]
    all: bool,
    /// Removes anonymous volumes that no container uses, too.
    #[arg(long)]
    volumes: bool,
    #[command(flatten)]
    prune: PruneArgs,
}

pub(crate) fn run(args: &SystemArgs, host: &Host) -> Result<ExitCode, CliError> {
    let engine = host.engine(true)?;
    match &args.command {
        Command::Df(args) => df(args, &engine),
        Command::Events(args) => super::events::run(args, host),
        Command::Prune(args) => prune(args, &engine),
    }
}

impl SystemPruneArgs {
    fn warning(&self) -> String {
        let mut lines = vec![
            "all stopped containers",
            "all networks not used by at least one container",
        ];
        if self.volumes {
            lines.push("all anonymous volumes not used by at least one container");
        }
        lines.extend(match self.all {
            true => [
                "all images without at least one container associated to them",
                "all build cache",
            ],
            false => ["all dangling images", "unused build cache"],
        });
        let lines: String = lines.iter().map(|line| format!("  - {line}\n")).collect();
        format!("This will remove:\n{lines}")
    }
}

fn prune(args: &SystemPruneArgs, engine: &Engine) -> Result<ExitCode, CliError> {
    let filters = Filters::parse(&args.prune.filter, &["until", "label", "label!"])?;
    if args.volumes && args.prune.filter.iter().any(|f| f.starts_with("until=")) {
        return Err(CliError::usage(
            "the filter `until` cannot be used together with --volumes",
        ));
    }
    if !args.prune.agreed(&args.warning())? {
        return Ok(ExitCode::SUCCESS);
    }
    let containers =
        engine.prune_containers(&|c| filters.fit(&c.record.created, &c.record.labels))?;
    engine.gateway_may_end()?;
    let networks = engine.prune_networks(&|n| filters.fit(&n.created, &n.labels))?;
    let volumes = match args.volumes {
        true => engine.prune_volumes(&|v| v.anonymous && filters.fit(&v.created, &v.labels))?,
        false => engine::Pruned::default(),
    };
    // Records of the cache have neither age nor labels.
    let cached = match args.prune.filter.is_empty() {
        true => engine.prune_build_cache(args.all)?,
        false => 0,
    };
    let images = engine.prune_images(args.all, &|image, labels| {
        filters.fit(image.created.as_deref().unwrap_or_default(), labels)
    })?;
    let cache = match cached {
        0 => Vec::new(),
        count => vec![format!("{count} steps")],
    };
    super::print(
        &[
            objects::removed("Deleted Containers", &containers.names),
            objects::removed("Deleted Networks", &networks),
            objects::removed("Deleted Volumes", &volumes.names),
            objects::removed("Deleted Images", &images.names),
            objects::removed("Deleted build cache objects", &cache),
            objects::reclaimed(containers.bytes + volumes.bytes + images.bytes),
        ]
        .concat(),
    )
}

fn df(args: &DfArgs, engine: &Engine) -> Result<ExitCode, CliError> {
    let usage = engine.usage()?;
    if args.verbose && args.format.is_none() {
        return super::print(&verbose(engine, &usage)?);
    }
    let rows = summary(engine, &usage)?;
    super::print(&match &args.format {
        Some(format) => Format::parse(format)?.render(&rows)?,
        None => objects::table(
            &rows,
            &[
                ("TYPE", "Type"),
                ("TOTAL", "TotalCount"),
                ("ACTIVE", "Active"),
                ("SIZE", "Size"),
                ("RECLAIMABLE", "Reclaimable"),
            ],
        ),
    })
}

/// Docker's four rows. Their sizes together are all that the store takes.
fn summary(engine: &Engine, usage: &Usage) -> Result<Vec<Value>, CliError> {
    let row = |kind: &str, count: usize, active: usize, size: u64, free: u64| {
        let share = match size {
            0 => String::new(),
            _ => format!(" ({}%)", free * 100 / size),
        };
        json!({
            "Type": kind,
            "TotalCount": count.to_string(),
            "Active": active.to_string(),
            "Size": format_size(size),
            "Reclaimable": format!("{}{share}", format_size(free)),
        })
    };
    let mut running = Vec::new();
    for view in engine.list()? {
        if view.observed.is_alive() {
            running.push(view.record.id);
        }
    }
    let sum = |sizes: &mut dyn Iterator<Item = u64>| sizes.sum::<u64>();
    let stopped = usage
        .containers
        .iter()
        .filter(|c| !running.contains(&c.0.id));
    let unused = usage.volumes.iter().filter(|v| !v.2);
    Ok(vec![
        row(
            "Images",
            usage.images.len(),
            usage.images.iter().filter(|i| i.containers > 0).count(),
            usage.image_bytes,
            usage.reclaimable_image_bytes,
        ),
        row(
            "Containers",
            usage.containers.len(),
            running.len(),
            sum(&mut usage.containers.iter().map(|c| c.1)),
            sum(&mut stopped.map(|c| c.1)),
        ),
        row(
            "Local Volumes",
            usage.volumes.len(),
            usage.volumes.iter().filter(|v| v.2).count(),
            sum(&mut usage.volumes.iter().map(|v| v.1)),
            sum(&mut unused.map(|v| v.1)),
        ),
        row(
            "Build Cache",
            usage.cache_records,
            0,
            usage.cache_bytes,
            usage.cache_bytes,
        ),
    ])
}

fn verbose(engine: &Engine, usage: &Usage) -> Result<String, CliError> {
    let mut images = Vec::new();
    for image in &usage.images {
        let created = image.summary.created.clone().unwrap_or_default();
        let name = image.summary.references.first();
        images.push(json!({
            "Repository": name.map_or_else(|| "<none>".into(), model::Reference::familiar_name),
            "Tag": name.and_then(|n| n.tag()).unwrap_or("<none>"),
            "ID": image.summary.id.short(),
            "Created": view::since(&created),
            "Size": format_size(image.shared + image.unique),
            "Shared": format_size(image.shared),
            "Unique": format_size(image.unique),
            "Containers": image.containers.to_string(),
        }));
    }
    let mut containers = Vec::new();
    for view in engine.list()? {
        let mut row = view::ps_row(&view, false, None);
        let sized = usage.containers.iter().find(|c| c.0.id == view.record.id);
        row["Size"] = json!(format_size(sized.map_or(0, |c| c.1)));
        containers.push(row);
    }
    let mut volumes = Vec::new();
    for (volume, bytes, _) in &usage.volumes {
        let users = engine.store().volumes().users(&volume.name);
        volumes.push(json!({
            "Name": volume.name,
            "Links": users.map_err(engine::Error::from)?.len().to_string(),
            "Size": format_size(*bytes),
        }));
    }
    Ok([
        "Images space usage:\n\n".to_owned(),
        objects::table(
            &images,
            &[
                ("REPOSITORY", "Repository"),
                ("TAG", "Tag"),
                ("IMAGE ID", "ID"),
                ("CREATED", "Created"),
                ("SIZE", "Size"),
                ("SHARED SIZE", "Shared"),
                ("UNIQUE SIZE", "Unique"),
                ("CONTAINERS", "Containers"),
            ],
        ),
        "\nContainers space usage:\n\n".to_owned(),
        objects::table(
            &containers,
            &[
                ("CONTAINER ID", "ID"),
                ("IMAGE", "Image"),
                ("COMMAND", "Command"),
                ("LOCAL VOLUMES", "LocalVolumes"),
                ("SIZE", "Size"),
                ("CREATED", "RunningFor"),
                ("STATUS", "Status"),
                ("NAMES", "Names"),
            ],
        ),
        "\nLocal Volumes space usage:\n\n".to_owned(),
        objects::table(
            &volumes,
            &[
                ("VOLUME NAME", "Name"),
                ("LINKS", "Links"),
                ("SIZE", "Size"),
            ],
        ),
        format!(
            "\nBuild cache usage: {} in {} steps\n",
            format_size(usage.cache_bytes),
            usage.cache_records
        ),
    ]
    .concat())
}
