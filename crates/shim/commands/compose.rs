use std::process::ExitCode;

use clap::{Args, Subcommand};
use engine::project::{UpRequest, plan};

use crate::cli::ProjectArgs;
use crate::error::CliError;
use crate::format::{Format, Table};
use crate::host::Host;
use crate::render::{Renderer, Style};
use crate::view;

/// Works with this directory's compose file.
#[derive(Args)]
pub(crate) struct ComposeArgs {
    #[command(flatten)]
    project: ProjectArgs,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Up(super::up::UpArgs),
    Down(super::down::DownArgs),
    Config(super::config::ConfigArgs),
    /// Lists the project's containers.
    Ps {
        /// Services to list [default: all].
        services: Vec<String>,
        /// Lists containers that do not run, too.
        #[arg(short, long)]
        all: bool,
        /// Prints ids only.
        #[arg(short, long)]
        quiet: bool,
        /// Prints each container by this Go template, or as `json`.
        #[arg(long, value_name = "TEMPLATE")]
        format: Option<String>,
    },
    /// Shows what the project's containers have written.
    Logs {
        /// Services to show [default: all].
        services: Vec<String>,
        #[command(flatten)]
        query: super::logs::QueryArgs,
    },
    /// Executes another process in a service's container.
    Exec {
        #[command(flatten)]
        flags: super::exec::ExecFlags,
        /// Allocates no pseudo-terminal.
        #[arg(short = 'T', long = "no-tty")]
        no_tty: bool,
        /// The service.
        service: String,
        /// Program and its arguments.
        #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
        argv: Vec<String>,
    },
    /// Builds the images of services that have a `build`.
    Build {
        /// Services whose images are built [default: all].
        services: Vec<String>,
    },
}

impl ComposeArgs {
    /// Whether it touches layers, volumes or mounts.
    pub(crate) fn needs_namespace(&self) -> bool {
        !matches!(
            self.command,
            Command::Config(_) | Command::Ps { .. } | Command::Logs { .. }
        )
    }
}

/// `outer` are the flags of projects that stood before `compose`.
pub(crate) fn run(
    args: ComposeArgs,
    host: &Host,
    outer: &ProjectArgs,
) -> Result<ExitCode, CliError> {
    let project = &args.project.after(outer);
    match args.command {
        Command::Up(args) => super::up::run(&args, host, project),
        Command::Down(args) => super::down::run(&args, host, project),
        Command::Config(args) => super::config::run(&args, host, project),
        Command::Ps {
            services,
            all,
            quiet,
            format,
        } => ps(project, host, &services, all, quiet, format.as_deref()),
        Command::Logs { services, query } => logs(project, host, &services, &query),
        Command::Exec {
            mut flags,
            no_tty,
            service,
            argv,
        } => {
            let project = super::project::load(project, host)?;
            let engine = host.engine(true)?;
            let record = super::project::service(&engine, &project, &service)?;
            // As docker compose has it: a terminal unless there is none.
            flags.interactive = true;
            flags.tty = !no_tty && host.stdin_tty && host.stdout_tty;
            super::exec::execute(&engine, &record, &flags, &argv, host)
        }
        Command::Build { services } => build(project, host, services),
    }
}

fn ps(
    project: &ProjectArgs,
    host: &Host,
    services: &[String],
    all: bool,
    quiet: bool,
    format: Option<&str>,
) -> Result<ExitCode, CliError> {
    let project = super::project::load(project, host)?;
    services
        .iter()
        .try_for_each(|s| super::project::known(&project, s))?;
    let engine = host.engine(true)?;
    let mut rows = Vec::new();
    for container in engine.project_containers(&project.name)? {
        let label = container
            .record
            .labels
            .get(engine::project::labels::SERVICE);
        let service = label.cloned().unwrap_or_default();
        let wanted = services.is_empty() || services.contains(&service);
        if wanted && (all || container.observed.is_alive()) {
            let mut row = view::ps_row(&container, false, None);
            row["Name"] = row["Names"].clone();
            row["Project"] = project.name.clone().into();
            row["Service"] = service.into();
            row["ExitCode"] = match &container.observed {
                engine::Liveness::Exited(exit) => exit.code.into(),
                _ => 0.into(),
            };
            rows.push(row);
        }
    }
    rows.sort_by_key(|row| view::text(row, "Name"));
    if quiet {
        let ids = rows.iter().map(|row| view::text(row, "ID") + "\n");
        return super::print(&ids.collect::<String>());
    }
    if let Some(format) = format.filter(|f| *f != "table") {
        return super::print(&Format::parse(format)?.render(&rows)?);
    }
    let mut table = Table::with_heading([
        "NAME", "IMAGE", "COMMAND", "SERVICE", "CREATED", "STATUS", "PORTS",
    ]);
    for row in &rows {
        let fields = [
            "Name",
            "Image",
            "Command",
            "Service",
            "RunningFor",
            "Status",
            "Ports",
        ];
        table.row(fields.map(|field| view::text(row, field)));
    }
    super::print(&table.finish())
}

fn logs(
    project: &ProjectArgs,
    host: &Host,
    services: &[String],
    query: &super::logs::QueryArgs,
) -> Result<ExitCode, CliError> {
    let query = query.query()?;
    let project = super::project::load(project, host)?;
    services
        .iter()
        .try_for_each(|s| super::project::known(&project, s))?;
    let engine = host.engine(true)?;
    let mut containers = engine.project_containers(&project.name)?;
    containers.retain(|c| {
        let service = c.record.labels.get(engine::project::labels::SERVICE);
        services.is_empty() || service.is_some_and(|s| services.contains(s))
    });
    containers.sort_by(|a, b| a.record.name.cmp(&b.record.name));
    let records: Vec<_> = containers.into_iter().map(|c| c.record).collect();
    super::follow::show(&engine, &project, &records, &query, &|| false, host)?;
    Ok(ExitCode::SUCCESS)
}

fn build(project: &ProjectArgs, host: &Host, services: Vec<String>) -> Result<ExitCode, CliError> {
    let project = super::project::load_for(project, host, &services)?;
    services
        .iter()
        .try_for_each(|s| super::project::known(&project, s))?;
    let request = UpRequest {
        project,
        services,
        build: true,
        force_recreate: false,
        remove_orphans: false,
        wait: false,
        grace: None,
    };
    let engine = host.engine(true)?;
    let observed = engine.observe_project(&request.project)?;
    let renderer = Renderer::new(Style::Plain);
    for action in plan(&request, &observed).actions {
        if let engine::project::Action::Build { service, tags } = action {
            engine.build_service(&request, &service, &tags, &renderer)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}
