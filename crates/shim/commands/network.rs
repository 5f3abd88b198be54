use std::process::ExitCode;

use clap::{Args, Subcommand};
use engine::Engine;
use serde_json::{Value, json};

use super::objects::{self, Filters, ListArgs, PruneArgs};
use crate::error::CliError;
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
        #[command(flatten)]
        list: ListArgs,
        /// Prints full ids.
        #[arg(long)]
        no_trunc: bool,
    },
    Create(Box<CreateArgs>),
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
        /// Absent ones are no error.
        #[arg(short, long)]
        force: bool,
    },
    /// Removes networks that no container is attached to; the default one stays.
    Prune(PruneArgs),
}

/// Makes a network.
#[derive(Args)]
struct CreateArgs {
    /// Its name.
    name: String,
    /// Gives it no way to the outside.
    #[arg(long)]
    internal: bool,
    /// Its subnet, e.g. 10.5.0.0/24 [default: a free one].
    #[arg(long)]
    subnet: Option<String>,
    /// Sets a label.
    #[arg(long, value_name = "NAME[=VALUE]")]
    label: Vec<String>,
    /// Only `bridge` is there.
    #[arg(short, long, default_value = "bridge")]
    driver: String,
    #[command(flatten)]
    refused: Refused,
}

/// What docker has and we have not.
#[derive(Args)]
struct Refused {
    #[arg(short, long, hide = true)]
    opt: Vec<String>,
    #[arg(long, hide = true)]
    ipv6: bool,
    #[arg(long, hide = true)]
    gateway: Vec<String>,
    #[arg(long, hide = true)]
    ip_range: Vec<String>,
    #[arg(long, hide = true)]
    aux_address: Vec<String>,
    #[arg(long, hide = true)]
    ipam_driver: Option<String>,
    #[arg(long, hide = true)]
    ipam_opt: Vec<String>,
    #[arg(long, hide = true)]
    attachable: bool,
    #[arg(long, hide = true)]
    ingress: bool,
    #[arg(long, hide = true)]
    scope: Option<String>,
    #[arg(long, hide = true)]
    config_only: bool,
    #[arg(long, hide = true)]
    config_from: Option<String>,
}

impl Refused {
    fn check(&self) -> Result<(), CliError> {
        objects::refuse(&[
            ("--opt", !self.opt.is_empty()),
            ("--ipv6", self.ipv6),
            ("--gateway", !self.gateway.is_empty()),
            ("--ip-range", !self.ip_range.is_empty()),
            ("--aux-address", !self.aux_address.is_empty()),
            ("--ipam-driver", self.ipam_driver.is_some()),
            ("--ipam-opt", !self.ipam_opt.is_empty()),
            ("--attachable", self.attachable),
            ("--ingress", self.ingress),
            ("--scope", self.scope.is_some()),
            ("--config-only", self.config_only),
            ("--config-from", self.config_from.is_some()),
        ])
    }
}

pub(crate) fn run(args: &NetworkArgs, host: &Host) -> Result<ExitCode, CliError> {
    let engine = host.engine(true)?;
    match &args.command {
        Command::Ls {
            list: args,
            no_trunc,
        } => list(args, *no_trunc, &engine),
        Command::Create(args) => create(args, &engine),
        Command::Inspect { names, format } => {
            let find = |name: &String| view::inspect(&engine, &["network"], name);
            super::inspect::show(names.iter().map(find), format.as_deref())
        }
        Command::Rm { names, force } => remove(names, *force, &engine),
        Command::Prune(args) => prune(args, &engine),
    }
}

fn list(args: &ListArgs, no_trunc: bool, engine: &Engine) -> Result<ExitCode, CliError> {
    let known = [
        "name", "id", "label", "label!", "driver", "scope", "type", "dangling",
    ];
    let filters = Filters::parse(&args.filter, &known)?;
    let networks = engine.store().networks();
    let mut list = networks.list().map_err(engine::Error::from)?;
    if let Some(dangling) = filters.flag("dangling")? {
        let unused = networks.unused().map_err(engine::Error::from)?;
        list.retain(|n| unused.iter().any(|u| u.id == n.id) == dangling);
    }
    list.retain(|n| {
        let kind = if n.name == engine::DEFAULT_NETWORK {
            "builtin"
        } else {
            "custom"
        };
        filters.any("name", |wanted| n.name.contains(wanted))
            && filters.any("id", |wanted| n.id.starts_with(wanted))
            && filters.any("driver", |driver| driver == "bridge")
            && filters.any("scope", |scope| scope == "local")
            && filters.any("type", |wanted| wanted == kind)
            && filters.fit(&n.created, &n.labels)
    });
    let row = |network: &engine::NetworkRecord| -> Value {
        let (address, prefix) = network.subnet;
        json!({
            "ID": if no_trunc { &network.id } else { &network.id[..12] },
            "Name": network.name,
            "Driver": "bridge",
            "Scope": "local",
            "Subnet": format!("{address}/{prefix}"),
            "Internal": network.internal.to_string(),
            "IPv6": "false",
            "Labels": objects::label_list(&network.labels),
            "CreatedAt": network.created,
        })
    };
    let rows: Vec<Value> = list.iter().map(row).collect();
    let columns = [
        ("NETWORK ID", "ID"),
        ("NAME", "Name"),
        ("DRIVER", "Driver"),
        ("SCOPE", "Scope"),
        ("SUBNET", "Subnet"),
    ];
    args.show(&rows, "ID", &columns)
}

fn create(args: &CreateArgs, engine: &Engine) -> Result<ExitCode, CliError> {
    objects::check_driver(&args.driver, "bridge")?;
    args.refused.check()?;
    let subnet = args.subnet.as_deref().map(parse_subnet).transpose()?;
    let labels = objects::labels(&args.label);
    let network = engine.create_network(&args.name, subnet, args.internal, labels)?;
    engine.note("network", "create", &network.id, &network.name);
    super::print(&format!("{}\n", network.id))
}

fn remove(names: &[String], force: bool, engine: &Engine) -> Result<ExitCode, CliError> {
    let mut outcome = super::Outcomes::default();
    for name in names {
        match engine.store().networks().remove(name) {
            Err(engine::StoreError::NoNetwork(_)) if force => {}
            removed => {
                if removed.is_ok() {
                    engine.note("network", "destroy", name, name);
                }
                let removed = removed.map_err(|e| engine::Error::from(e).into());
                outcome.take(name, removed)?;
            }
        }
    }
    outcome.finish()
}

fn prune(args: &PruneArgs, engine: &Engine) -> Result<ExitCode, CliError> {
    let filters = Filters::parse(&args.filter, &["until", "label", "label!"])?;
    let warning = "This will remove all custom networks not used by at least one container.";
    if !args.agreed(warning)? {
        return Ok(ExitCode::SUCCESS);
    }
    let pruned = engine.prune_networks(&|n| filters.fit(&n.created, &n.labels))?;
    super::print(&objects::removed("Deleted Networks", &pruned))
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
