use std::process::ExitCode;

use clap::{Args, Subcommand};

use crate::error::CliError;
use crate::format::Table;
use crate::host::Host;
use crate::view;

/// Works with networks.
#[derive(Args)]
pub(crate) struct NetworkArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Lists networks.
    #[command(visible_alias = "list")]
    Ls {
        /// Prints names only.
        #[arg(short, long)]
        quiet: bool,
    },
    /// Makes a network.
    Create {
        /// Its name.
        name: String,
        /// Gives it no way to the outside.
        #[arg(long)]
        internal: bool,
        /// Its subnet, e.g. 10.5.0.0/24 [default: a free one].
        #[arg(long)]
        subnet: Option<String>,
    },
    /// Shows all that is known of networks.
    Inspect {
        /// Their names.
        #[arg(required = true)]
        names: Vec<String>,
        /// Prints each by this Go template, or as `json`.
        #[arg(short, long, value_name = "TEMPLATE")]
        format: Option<String>,
    },
    /// Removes networks that no container is attached to.
    #[command(visible_alias = "remove")]
    Rm {
        /// Their names.
        #[arg(required = true)]
        names: Vec<String>,
    },
}

pub(crate) fn run(args: &NetworkArgs, host: &Host) -> Result<ExitCode, CliError> {
    let engine = host.engine(true)?;
    let networks = engine.store().networks();
    match &args.command {
        Command::Ls { quiet } => {
            let list = networks.list().map_err(engine::Error::from)?;
            if *quiet {
                return super::print(
                    &list
                        .iter()
                        .map(|n| format!("{}\n", n.name))
                        .collect::<String>(),
                );
            }
            let mut table = Table::with_heading(["NETWORK ID", "NAME", "DRIVER", "SUBNET"]);
            for network in &list {
                let (address, prefix) = network.subnet;
                table.row([
                    &network.id[..12],
                    &network.name,
                    "bridge",
                    &format!("{address}/{prefix}"),
                ]);
            }
            super::print(&table.finish())
        }
        Command::Create {
            name,
            internal,
            subnet,
        } => {
            let subnet = subnet.as_deref().map(parse_subnet).transpose()?;
            let network = engine.create_network(name, subnet, *internal)?;
            super::print(&format!("{}\n", network.id))
        }
        Command::Inspect { names, format } => {
            let find = |name: &String| view::inspect(&engine, &["network"], name);
            super::inspect::show(names.iter().map(find), format.as_deref())
        }
        Command::Rm { names } => {
            let mut outcome = super::Outcomes::default();
            for name in names {
                let removed = networks
                    .remove(name)
                    .map_err(|e| engine::Error::from(e).into());
                outcome.take(name, removed)?;
            }
            outcome.finish()
        }
    }
}

fn parse_subnet(text: &str) -> Result<(std::net::Ipv4Addr, u8), CliError> {
    let parse = || {
        let (address, prefix) = text.split_once('/')?;
        Some((
            address.parse().ok()?,
            prefix.parse().ok().filter(|p| (8..=30).contains(p))?,
        ))
    };
    parse()
        .ok_or_else(|| CliError::usage(format!("invalid subnet `{text}`: want e.g. 10.5.0.0/24")))
}
