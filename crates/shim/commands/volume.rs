use std::process::ExitCode;

use clap::{Args, Subcommand};
use engine::Engine;
use serde_json::{Value, json};

use super::objects::{self, Filters, ListArgs, PruneArgs};
use crate::error::CliError;
use crate::host::Host;
use crate::view;

/// Works with volumes.
#[derive(Args)]
pub(crate) struct VolumeArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Lists volumes.
    #[command(visible_alias = "list")]
    Ls(ListArgs),
    Create(CreateArgs),
    /// Shows all that is known of volumes.
    Inspect {
        /// Their names.
        #[arg(required = true)]
        names: Vec<String>,
        /// Prints each by this Go template, or as `json`.
        #[arg(short, long, value_name = "TEMPLATE")]
        format: Option<String>,
    },
    /// Removes volumes that no container uses.
    #[command(visible_alias = "remove")]
    Rm {
        /// Their names.
        #[arg(required = true)]
        names: Vec<String>,
        /// Absent ones are no error.
        #[arg(short, long)]
        force: bool,
    },
    Prune(VolumePruneArgs),
}

/// Makes a volume, or finds the one that is there.
#[derive(Args)]
struct CreateArgs {
    /// Its name [default: 64 random digits].
    name: Option<String>,
    /// Sets a label.
    #[arg(long, value_name = "NAME[=VALUE]")]
    label: Vec<String>,
    /// Only `local` is there.
    #[arg(short, long, default_value = "local")]
    driver: String,
    #[arg(short, long, hide = true)]
    opt: Vec<String>,
}

/// Removes anonymous volumes that no container uses.
#[derive(Args)]
pub(crate) struct VolumePruneArgs {
    /// Removes those with a name, too.
    #[arg(short, long)]
    all: bool,
    #[command(flatten)]
    prune: PruneArgs,
}

impl VolumeArgs {
    /// Whether it touches volumes' files.
    pub(crate) fn needs_namespace(&self) -> bool {
        !matches!(self.command, Command::Ls(_) | Command::Inspect { .. })
    }
}

pub(crate) fn run(args: &VolumeArgs, host: &Host) -> Result<ExitCode, CliError> {
    let engine = host.engine(true)?;
    match &args.command {
        Command::Ls(args) => list(args, &engine),
        Command::Create(args) => create(args, &engine),
        Command::Inspect { names, format } => {
            let find = |name: &String| view::inspect(&engine, &["volume"], name);
            super::inspect::show(names.iter().map(find), format.as_deref())
        }
        Command::Rm { names, force } => remove(names, *force, &engine),
        Command::Prune(args) => prune(args, &engine),
    }
}

fn list(args: &ListArgs, engine: &Engine) -> Result<ExitCode, CliError> {
    let filters = Filters::parse(
        &args.filter,
        &["name", "label", "label!", "driver", "dangling"],
    )?;
    let volumes = engine.store().volumes();
    let mut list = volumes.list().map_err(engine::Error::from)?;
    if let Some(dangling) = filters.flag("dangling")? {
        let unused = volumes.unused().map_err(engine::Error::from)?;
        list.retain(|v| unused.iter().any(|u| u.name == v.name) == dangling);
    }
    list.retain(|v| {
        filters.any("name", |wanted| v.name.contains(wanted))
            && filters.any("driver", |driver| driver == "local")
            && filters.fit(&v.created, &v.labels)
    });
    let row = |volume: &engine::VolumeRecord| -> Value {
        json!({
            "Name": volume.name,
            "Driver": "local",
            "Scope": "local",
            "Mountpoint": volumes.data(&volume.name),
            "Labels": objects::label_list(&volume.labels),
            "CreatedAt": volume.created,
        })
    };
    let rows: Vec<Value> = list.iter().map(row).collect();
    args.show(
        &rows,
        "Name",
        &[("DRIVER", "Driver"), ("VOLUME NAME", "Name")],
    )
}

fn create(args: &CreateArgs, engine: &Engine) -> Result<ExitCode, CliError> {
    objects::check_driver(&args.driver, "local")?;
    objects::refuse(&[("--opt", !args.opt.is_empty())])?;
    let labels = objects::labels(&args.label);
    let volume = engine
        .store()
        .volumes()
        .create(args.name.as_deref(), &labels);
    let volume = volume.map_err(engine::Error::from)?;
    engine.note("volume", "create", &volume.name, &volume.name);
    super::print(&format!("{}\n", volume.name))
}

fn remove(names: &[String], force: bool, engine: &Engine) -> Result<ExitCode, CliError> {
    let mut outcome = super::Outcomes::default();
    for name in names {
        match engine.store().volumes().remove(name) {
            Err(engine::StoreError::NoVolume(_)) if force => {}
            removed => {
                if removed.is_ok() {
                    engine.note("volume", "destroy", name, name);
                }
                let removed = removed.map_err(|e| engine::Error::from(e).into());
                outcome.take(name, removed)?;
            }
        }
    }
    engine.store().sweep();
    outcome.finish()
}

fn prune(args: &VolumePruneArgs, engine: &Engine) -> Result<ExitCode, CliError> {
    let filters = Filters::parse(&args.prune.filter, &["all", "label", "label!"])?;
    let all = args.all || filters.flag("all")?.unwrap_or(false);
    let which = if all { "all" } else { "anonymous" };
    let warning =
        format!("This will remove {which} local volumes not used by at least one container.");
    if !args.prune.agreed(&warning)? {
        return Ok(ExitCode::SUCCESS);
    }
    let fits =
        |v: &engine::VolumeRecord| (all || v.anonymous) && filters.fit(&v.created, &v.labels);
    let pruned = engine.prune_volumes(&fits)?;
    super::print(
        &(objects::removed("Deleted Volumes", &pruned.names) + &objects::reclaimed(pruned.bytes)),
    )
}
