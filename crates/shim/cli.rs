//! The command line: what may be typed.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{ArgAction, Args, CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::commands;
use crate::commands::container::Verb;
use crate::error::{CliError, Kind};
use crate::host::Host;

/// Pulls images, builds Dockerfiles, runs containers and compose projects, without a daemon.
#[derive(Parser)]
#[command(
    name = "shim",
    version,
    disable_help_subcommand = true,
    args_override_self = true,
    max_term_width = 100
)]
pub(crate) struct Cli {
    /// Directory of the store [default: ~/.local/share/shim, or /var/lib/shim for root].
    #[arg(
        long,
        global = true,
        env = "SHIM_ROOT",
        value_name = "DIR",
        hide_env_values = true
    )]
    root: Option<PathBuf>,
    #[command(flatten)]
    project: ProjectArgs,
    #[command(subcommand)]
    command: Command,
}

/// Flags of compose commands, before the verb.
#[derive(Args, Clone, Default)]
pub(crate) struct ProjectArgs {
    /// Compose file; may be given several times, later files override earlier ones.
    #[arg(short = 'f', long = "file", value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
    /// Name of the project [default: the files' `name`, else the directory's].
    #[arg(short = 'p', long, value_name = "NAME")]
    pub(crate) project_name: Option<String>,
    /// Turns a profile on; may be given several times.
    #[arg(long = "profile", value_name = "NAME")]
    pub(crate) profiles: Vec<String>,
    /// File of variables for the compose file, in place of `.env`.
    #[arg(long = "env-file", value_name = "FILE")]
    pub(crate) env_files: Vec<PathBuf>,
    /// Directory that relative paths start at [default: that of the first file].
    #[arg(long, value_name = "DIR")]
    pub(crate) project_directory: Option<PathBuf>,
}

impl ProjectArgs {
    /// These flags after those that were given further left.
    pub(crate) fn after(self, outer: &Self) -> Self {
        let chain = |left: &[PathBuf], right| [left.to_vec(), right].concat();
        Self {
            files: chain(&outer.files, self.files),
            project_name: self.project_name.or_else(|| outer.project_name.clone()),
            profiles: [outer.profiles.clone(), self.profiles].concat(),
            env_files: chain(&outer.env_files, self.env_files),
            project_directory: self
                .project_directory
                .or_else(|| outer.project_directory.clone()),
        }
    }
}

#[derive(Subcommand)]
enum Command {
    Run(commands::run::RunArgs),
    Create(commands::create::CreateArgs),
    Start(commands::start::StartArgs),
    Stop(commands::stop::StopArgs),
    Kill(commands::kill::KillArgs),
    Restart(commands::restart::RestartArgs),
    Pause(commands::pause::PauseArgs),
    Unpause(commands::pause::UnpauseArgs),
    Rm(commands::rm::RmArgs),
    Rename(commands::rename::RenameArgs),
    Update(commands::update::UpdateArgs),
    Wait(commands::wait::WaitArgs),
    Ps(commands::ps::PsArgs),
    Logs(commands::logs::LogsArgs),
    Exec(commands::exec::ExecArgs),
    Attach(commands::attach::AttachArgs),
    Inspect(commands::inspect::InspectArgs),
    Top(commands::top::TopArgs),
    Stats(commands::stats::StatsArgs),
    Events(commands::events::EventsArgs),
    Port(commands::port::PortArgs),
    Cp(commands::cp::CpArgs),
    Diff(commands::diff::DiffArgs),
    Commit(commands::commit::CommitArgs),
    Export(commands::export::ExportArgs),
    Build(commands::build::BuildArgs),
    Pull(commands::pull::PullArgs),
    Push(commands::push::PushArgs),
    Images(commands::images::ImagesArgs),
    Image(commands::image::ImageArgs),
    Rmi(commands::rmi::RmiArgs),
    Tag(commands::tag::TagArgs),
    History(commands::history::HistoryArgs),
    Import(commands::import::ImportArgs),
    Load(commands::load::LoadArgs),
    Save(commands::save::SaveArgs),
    Login(commands::login::LoginArgs),
    Logout(commands::logout::LogoutArgs),
    Container(commands::container::GroupArgs),
    Volume(commands::volume::VolumeArgs),
    Network(commands::network::NetworkArgs),
    System(commands::system::SystemArgs),
    Up(commands::up::UpArgs),
    Down(commands::down::DownArgs),
    Config(commands::config::ConfigArgs),
    Compose(commands::compose::ComposeArgs),
    Boot(commands::boot::BootArgs),
    Doctor(commands::doctor::DoctorArgs),
    Version(commands::version::VersionArgs),
}

/// Reads the command line and does what it says.
pub(crate) fn run() -> Result<ExitCode, CliError> {
    let mut cli = booleans(Cli::command())
        .try_get_matches()
        .and_then(|matches| Cli::from_arg_matches(&matches))
        .unwrap_or_else(|error| explain(error));
    cli.command = cli.command.of_top_level();
    let mut host = Host::read(cli.root.as_deref())?;
    if cli.command.minds_lost_containers() {
        commands::boot::see_to_lost(&host);
    }
    if cli.command.needs_namespace() {
        commands::enter(&mut host)?;
    }
    let (starts, enters) = (
        cli.command.starts_a_process(),
        cli.command.needs_namespace(),
    );
    let result = cli.command.run(&host, &cli.project);
    if enters {
        commands::leave(&host);
    }
    result.map_err(|error| match error.kind {
        Kind::Usage if starts => error.with_kind(Kind::NotStarted),
        _ => error,
    })
}

/// As with docker, whatever is a switch may also be written `--switch=false`.
fn booleans(command: clap::Command) -> clap::Command {
    command
        .mut_args(|argument| match argument.get_action() {
            ArgAction::SetTrue => argument
                .action(ArgAction::Set)
                .num_args(0..=1)
                .require_equals(true)
                .default_value("false")
                .default_missing_value("true")
                .value_parser(boolean),
            _ => argument,
        })
        .mut_subcommands(booleans)
}

/// Go's words.
fn boolean(word: &str) -> Result<bool, String> {
    match word {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err("want true or false".to_owned()),
    }
}

/// The complaint about a flag that docker has and we have not.
fn refused(error: &clap::Error) -> Option<CliError> {
    use clap::error::{ContextKind, ContextValue};
    let Some(ContextValue::String(flag)) = error.get(ContextKind::InvalidArg) else {
        return None;
    };
    let (why, instead) = crate::specs::refused(&first_word()?, flag)?;
    let flag = flag.split('=').next().unwrap_or(flag);
    Some(CliError::usage(format!("{flag} is not supported: {why}")).hint(instead))
}

/// Shows what is wrong with the command line, or the help or version that it asks for.
fn explain(error: clap::Error) -> ! {
    if let Some(refused) = refused(&error) {
        let _ = refused.report();
        std::process::exit(usage_code());
    }
    let whole = match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            sentences(Cli::command())
                .try_get_matches()
                .err()
                .unwrap_or(error)
        }
        _ => error,
    };
    // Help and version are answers, not mistakes.
    let code = if whole.use_stderr() { usage_code() } else { 0 };
    let _ = whole.print();
    std::process::exit(code)
}

/// The parser takes the last full stop from each text; this gives it back.
fn sentences(command: clap::Command) -> clap::Command {
    let stopped = |text: Option<&clap::builder::StyledStr>| {
        text.map(|text| format!("{}.", text.to_string().trim_end_matches('.')))
    };
    let about = stopped(command.get_about());
    let command = match about {
        Some(about) => command.about(about),
        None => command,
    };
    command
        .mut_args(|argument| match stopped(argument.get_help()) {
            Some(help) => argument.help(help),
            None => argument,
        })
        .mut_subcommands(sentences)
}

/// The command; `container run` is `run`.
fn first_word() -> Option<String> {
    let mut words = std::env::args().skip(1).filter(|a| !a.starts_with('-'));
    words.find(|word| word != "container")
}

/// Docker answers 125 to a mistake in the flags of `run` and the like.
fn usage_code() -> i32 {
    match first_word().as_deref() {
        Some("run" | "create" | "exec" | "start") => 125,
        _ => 2,
    }
}

impl Command {
    /// The same without docker's management words `container` and `system`.
    fn of_top_level(self) -> Self {
        match self {
            Self::Container(args) => Self::of_verb(args.command),
            Self::System(args) => match args.events() {
                Ok(events) => Self::Events(events),
                Err(args) => Self::System(args),
            },
            other => other,
        }
    }

    fn of_verb(verb: Verb) -> Self {
        match verb {
            Verb::Attach(args) => Self::Attach(args),
            Verb::Commit(args) => Self::Commit(args),
            Verb::Cp(args) => Self::Cp(args),
            Verb::Create(args) => Self::Create(args),
            Verb::Diff(args) => Self::Diff(args),
            Verb::Exec(args) => Self::Exec(args),
            Verb::Export(args) => Self::Export(args),
            Verb::Kill(args) => Self::Kill(args),
            Verb::Logs(args) => Self::Logs(args),
            Verb::Ls(args) => Self::Ps(args),
            Verb::Pause(args) => Self::Pause(args),
            Verb::Port(args) => Self::Port(args),
            Verb::Rename(args) => Self::Rename(args),
            Verb::Restart(args) => Self::Restart(args),
            Verb::Rm(args) => Self::Rm(args),
            Verb::Run(args) => Self::Run(args),
            Verb::Start(args) => Self::Start(args),
            Verb::Stats(args) => Self::Stats(args),
            Verb::Stop(args) => Self::Stop(args),
            Verb::Top(args) => Self::Top(args),
            Verb::Unpause(args) => Self::Unpause(args),
            Verb::Update(args) => Self::Update(args),
            Verb::Wait(args) => Self::Wait(args),
            command @ (Verb::Inspect(_) | Verb::Prune(_)) => {
                Self::Container(commands::container::GroupArgs { command })
            }
        }
    }

    /// Whether docker answers 125 to a mistake in its flags.
    fn starts_a_process(&self) -> bool {
        matches!(
            self,
            Self::Run(_) | Self::Create(_) | Self::Start(_) | Self::Exec(_)
        )
    }

    /// Whether containers that have lost their supervisor are first seen to. Not where a
    /// user is about to end them, or no container is meant.
    fn minds_lost_containers(&self) -> bool {
        !matches!(
            self,
            Self::Boot(_)
                | Self::Stop(_)
                | Self::Kill(_)
                | Self::Rm(_)
                | Self::Down(_)
                | Self::Config(_)
                | Self::Login(_)
                | Self::Logout(_)
                | Self::Version(_)
        )
    }

    /// Whether it touches layers, uppers, volumes or mounts: files whose owners only the
    /// user namespace knows.
    fn needs_namespace(&self) -> bool {
        match self {
            Self::Run(_)
            | Self::Create(_)
            | Self::Start(_)
            | Self::Restart(_)
            | Self::Rm(_)
            | Self::Cp(_)
            | Self::Diff(_)
            | Self::Commit(_)
            | Self::Top(_)
            | Self::Stats(_)
            | Self::Export(_)
            | Self::Build(_)
            | Self::Pull(_)
            | Self::Push(_)
            | Self::Rmi(_)
            | Self::Import(_)
            | Self::Load(_)
            | Self::Save(_)
            | Self::Up(_)
            | Self::Down(_)
            | Self::Exec(_) => true,
            Self::Ps(args) => args.needs_namespace(),
            Self::Inspect(args) => args.needs_namespace(),
            Self::Image(args) => args.needs_namespace(),
            Self::Volume(args) => args.needs_namespace(),
            // Prune, which removes; other verbs are the top level's by now.
            Self::Container(_) | Self::System(_) => true,
            Self::Compose(args) => args.needs_namespace(),
            Self::Boot(args) => args.needs_namespace(),
            _ => false,
        }
    }

    fn run(self, host: &Host, project: &ProjectArgs) -> Result<ExitCode, CliError> {
        match self {
            Self::Run(args) => commands::run::run(&args, host),
            Self::Create(args) => commands::create::run(&args, host),
            Self::Start(args) => commands::start::run(&args, host),
            Self::Stop(args) => commands::stop::run(&args, host),
            Self::Kill(args) => commands::kill::run(&args, host),
            Self::Restart(args) => commands::restart::run(&args, host),
            Self::Pause(args) => commands::pause::run(&args, host),
            Self::Unpause(args) => commands::pause::run_unpause(&args, host),
            Self::Rm(args) => commands::rm::run(&args, host),
            Self::Rename(args) => commands::rename::run(&args, host),
            Self::Update(args) => commands::update::run(&args, host),
            Self::Top(args) => commands::top::run(&args, host),
            Self::Stats(args) => commands::stats::run(&args, host),
            Self::Events(args) => commands::events::run(&args, host),
            Self::Wait(args) => commands::wait::run(&args, host),
            Self::Port(args) => commands::port::run(&args, host),
            Self::Cp(args) => commands::cp::run(&args, host),
            Self::Diff(args) => commands::diff::run(&args, host),
            Self::Commit(args) => commands::commit::run(&args, host),
            Self::Ps(args) => commands::ps::run(&args, host),
            Self::Logs(args) => commands::logs::run(&args, host),
            Self::Exec(args) => commands::exec::run(&args, host),
            Self::Attach(args) => commands::attach::run(&args, host),
            Self::Inspect(args) => commands::inspect::run(&args, host),
            Self::Export(args) => commands::export::run(&args, host),
            Self::Build(args) => commands::build::run(&args, host),
            Self::Pull(args) => commands::pull::run(&args, host),
            Self::Push(args) => commands::push::run(&args, host),
            Self::Images(args) => commands::images::run(&args, host),
            Self::Image(args) => commands::image::run(&args, host),
            Self::Rmi(args) => commands::rmi::run(&args, host),
            Self::Tag(args) => commands::tag::run(&args, host),
            Self::History(args) => commands::history::run(&args, host),
            Self::Import(args) => commands::import::run(&args, host),
            Self::Load(args) => commands::load::run(&args, host),
            Self::Save(args) => commands::save::run(&args, host),
            Self::Login(args) => commands::login::run(&args, host),
            Self::Logout(args) => commands::logout::run(&args, host),
            Self::Container(args) => match args.command {
                Verb::Inspect(args) => commands::container::inspect(&args, host),
                Verb::Prune(args) => commands::container::prune(&args, host),
                verb => Self::of_verb(verb).run(host, project),
            },
            Self::System(args) => commands::system::run(&args, host),
            Self::Volume(args) => commands::volume::run(&args, host),
            Self::Network(args) => commands::network::run(&args, host),
            Self::Up(args) => commands::up::run(&args, host, project),
            Self::Down(args) => commands::down::run(&args, host, project),
            Self::Config(args) => commands::config::run(&args, host, project),
            Self::Compose(args) => commands::compose::run(args, host, project),
            Self::Boot(args) => commands::boot::run(&args, host),
            Self::Doctor(args) => commands::doctor::run(&args, host),
            Self::Version(args) => commands::version::run(&args, host),
        }
    }
}
