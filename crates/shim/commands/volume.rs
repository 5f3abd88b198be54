use std::process::ExitCode;

use clap::{Args, Subcommand};

use crate::error::CliError;
use crate::format::Table;
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
    Ls {
        /// Prints names only.
        #[arg(short, long)]
        quiet: bool,
    },
    /// Makes a volume.
    Create {
        /// Its name [default: 64 random digits].
        name: Option<String>,
    },
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
}

impl VolumeArgs {
    /// Whether it touches volumes' files.
    pub(crate) fn needs_namespace(&self) -> bool {
        matches!(self.command, Command::Create { .. } | Command::Rm { .. })
    }
}

pub(crate) fn run(args: &VolumeArgs, host: &Host) -> Result<ExitCode, CliError> {
    let engine = host.engine(true)?;
    let volumes = engine.store().volumes();
    match &args.command {
        Command::Ls { quiet } => {
            let list = volumes.list().map_err(engine::Error::from)?;
            if *quiet {
                return super::print(
                    &list
                        .iter()
                        .map(|v| format!("{}\n", v.name))
                        .collect::<String>(),
                );
            }
            let mut table = Table::with_heading(["DRIVER", "VOLUME NAME"]);
            list.iter()
                .for_each(|volume| table.row(["local", &volume.name]));
            super::print(&table.finish())
        }
        Command::Create { name } => {
            let volume = volumes.create(name.as_deref(), &Default::default());
            super::print(&format!("{}\n", volume.map_err(engine::Error::from)?.name))
        }
        Command::Inspect { names, format } => {
            let find = |name: &String| view::inspect(&engine, &["volume"], name);
            super::inspect::show(names.iter().map(find), format.as_deref())
        }
        Command::Rm { names, force } => {
            let mut outcome = super::Outcomes::default();
            for name in names {
                match volumes.remove(name) {
                    Err(engine::StoreError::NoVolume(_)) if *force => {}
                    removed => {
                        let removed = removed.map_err(|e| engine::Error::from(e).into());
                        outcome.take(name, removed)?;
                    }
                }
            }
            outcome.finish()
        }
    }
}
