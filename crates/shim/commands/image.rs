use std::process::ExitCode;

use clap::{Args, Subcommand};

use super::objects::{self, Filters, PruneArgs};
use crate::error::CliError;
use crate::host::Host;
use crate::view;

/// Works with images: `image ls`, `image inspect`, and the commands of the top level.
#[derive(Args)]
pub(crate) struct ImageArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    #[command(visible_alias = "list")]
    Ls(super::images::ImagesArgs),
    Inspect(InspectArgs),
    #[command(visible_alias = "remove")]
    Rm(super::rmi::RmiArgs),
    Pull(super::pull::PullArgs),
    Push(super::push::PushArgs),
    Tag(super::tag::TagArgs),
    History(super::history::HistoryArgs),
    Import(super::import::ImportArgs),
    Load(super::load::LoadArgs),
    Save(super::save::SaveArgs),
    Build(super::build::BuildArgs),
    Prune(ImagePruneArgs),
}

/// Removes images without a name that no container uses.
#[derive(Args)]
struct ImagePruneArgs {
    /// Removes those with a name, too.
    #[arg(short, long)]
    all: bool,
    #[command(flatten)]
    prune: PruneArgs,
}

/// Shows all that is known of images.
#[derive(Args)]
pub(crate) struct InspectArgs {
    /// Names or ids.
    #[arg(required = true)]
    images: Vec<String>,
    /// Prints each by this Go template, or as `json`.
    #[arg(short, long, value_name = "TEMPLATE")]
    format: Option<String>,
}

impl ImageArgs {
    /// Whether it touches layers.
    pub(crate) fn needs_namespace(&self) -> bool {
        !matches!(
            self.command,
            Command::Ls(_) | Command::Inspect(_) | Command::Tag(_) | Command::History(_)
        )
    }
}

pub(crate) fn run(args: &ImageArgs, host: &Host) -> Result<ExitCode, CliError> {
    match &args.command {
        Command::Ls(args) => super::images::run(args, host),
        Command::Inspect(args) => {
            let engine = host.engine(true)?;
            let find = |name: &String| view::inspect(&engine, &["image"], name);
            super::inspect::show(args.images.iter().map(find), args.format.as_deref())
        }
        Command::Rm(args) => super::rmi::run(args, host),
        Command::Pull(args) => super::pull::run(args, host),
        Command::Push(args) => super::push::run(args, host),
        Command::Tag(args) => super::tag::run(args, host),
        Command::History(args) => super::history::run(args, host),
        Command::Import(args) => super::import::run(args, host),
        Command::Load(args) => super::load::run(args, host),
        Command::Save(args) => super::save::run(args, host),
        Command::Build(args) => super::build::run(args, host),
        Command::Prune(args) => prune(args, host),
    }
}

fn prune(args: &ImagePruneArgs, host: &Host) -> Result<ExitCode, CliError> {
    let filters = Filters::parse(
        &args.prune.filter,
        &["until", "label", "label!", "dangling"],
    )?;
    let all = match filters.flag("dangling")? {
        Some(dangling) => !dangling,
        None => args.all,
    };
    let warning = match all {
        true => "This will remove all images without at least one container associated to them.",
        false => "This will remove all dangling images.",
    };
    if !args.prune.agreed(warning)? {
        return Ok(ExitCode::SUCCESS);
    }
    let engine = host.engine(true)?;
    let pruned = engine.prune_images(all, &|image, labels| {
        filters.fit(image.created.as_deref().unwrap_or_default(), labels)
    })?;
    super::print(
        &(objects::removed("Deleted Images", &pruned.names) + &objects::reclaimed(pruned.bytes)),
    )
}
