//! `shim container …`: docker's management word for what the top level does.

use std::process::ExitCode;

use clap::{Args, Subcommand};

use super::objects::{self, Filters, PruneArgs};
use crate::error::CliError;
use crate::host::Host;
use crate::view;

/// Works with containers: `container ls`, `container prune`, and the commands of the top
/// level.
#[derive(Args)]
pub(crate) struct GroupArgs {
    #[command(subcommand)]
    pub(crate) command: Verb,
}

#[derive(Subcommand)]
pub(crate) enum Verb {
    Attach(super::attach::AttachArgs),
    Commit(super::commit::CommitArgs),
    Cp(super::cp::CpArgs),
    Create(super::create::CreateArgs),
    Diff(super::diff::DiffArgs),
    Exec(super::exec::ExecArgs),
    Export(super::export::ExportArgs),
    Inspect(InspectArgs),
    Kill(super::kill::KillArgs),
    Logs(super::logs::LogsArgs),
    #[command(visible_aliases = ["list", "ps"])]
    Ls(super::ps::PsArgs),
    Pause(super::pause::PauseArgs),
    Port(super::port::PortArgs),
    Prune(ContainerPruneArgs),
    Rename(super::rename::RenameArgs),
    Restart(super::restart::RestartArgs),
    #[command(visible_alias = "remove")]
    Rm(super::rm::RmArgs),
    Run(super::run::RunArgs),
    Start(super::start::StartArgs),
    Stats(super::stats::StatsArgs),
    Stop(super::stop::StopArgs),
    Top(super::top::TopArgs),
    Unpause(super::pause::UnpauseArgs),
    Update(super::update::UpdateArgs),
    Wait(super::wait::WaitArgs),
}

/// Shows all that is known of containers.
#[derive(Args)]
pub(crate) struct InspectArgs {
    /// Names or ids.
    #[arg(required = true)]
    containers: Vec<String>,
    /// Prints each by this Go template, or as `json`.
    #[arg(short, long, value_name = "TEMPLATE")]
    format: Option<String>,
    /// Adds sizes; they are not known.
    #[arg(short, long, hide = true)]
    size: bool,
}

/// Removes all containers that do not run.
#[derive(Args)]
pub(crate) struct ContainerPruneArgs {
    #[command(flatten)]
    prune: PruneArgs,
}

pub(crate) fn inspect(args: &InspectArgs, host: &Host) -> Result<ExitCode, CliError> {
    objects::refuse(&[("--size", args.size)])?;
    let engine = host.engine(true)?;
    let find = |name: &String| view::inspect(&engine, &["container"], name);
    super::inspect::show(args.containers.iter().map(find), args.format.as_deref())
}

pub(crate) fn prune(args: &ContainerPruneArgs, host: &Host) -> Result<ExitCode, CliError> {
    let filters = Filters::parse(&args.prune.filter, &["until", "label", "label!"])?;
    if !args
        .prune
        .agreed("This will remove all stopped containers.")?
    {
        return Ok(ExitCode::SUCCESS);
    }
    let engine = host.engine(true)?;
    let pruned = engine.prune_containers(&|c| filters.fit(&c.record.created, &c.record.labels))?;
    engine.gateway_may_end()?;
    super::print(
        &(objects::removed("Deleted Containers", &pruned.names)
            + &objects::reclaimed(pruned.bytes)),
    )
}
