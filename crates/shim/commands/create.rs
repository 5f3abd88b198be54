mod isolation;
mod life;
mod limits;
mod network;
mod storage;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use engine::{ContainerRecord, Engine, PullPolicy, RunRequest};

use crate::error::{CliError, Kind};
use crate::host::Host;
use crate::render::{Renderer, Style};
use crate::specs;

/// Makes a container without starting it.
#[derive(Args)]
#[command(disable_help_flag = true)]
pub(crate) struct CreateArgs {
    #[command(flatten)]
    container: ContainerArgs,
    #[command(flatten)]
    command: CommandArgs,
}

/// What is executed; always last.
#[derive(Args)]
pub(crate) struct CommandArgs {
    /// Image by name or id.
    pub(super) image: String,
    /// Command and its arguments [default: the image's].
    #[arg(
        trailing_var_arg = true,
        allow_hyphen_values = true,
        value_name = "COMMAND"
    )]
    pub(super) argv: Vec<String>,
}

/// Flags that `run` and `create` share.
#[derive(Args)]
pub(crate) struct ContainerArgs {
    /// Prints this help.
    // Docker's short one is the host name.
    #[arg(long, action = clap::ArgAction::Help)]
    help: Option<bool>,
    /// Allocates a pseudo-terminal.
    #[arg(short, long)]
    pub(super) tty: bool,
    /// Keeps standard input open.
    #[arg(short, long)]
    pub(super) interactive: bool,
    /// Connects to a stream: stdin, stdout or stderr; may be given several times.
    #[arg(short, long, value_name = "STREAM")]
    pub(super) attach: Vec<String>,
    /// Sets a variable; a name alone takes the caller's value.
    #[arg(short, long, value_name = "NAME[=VALUE]")]
    env: Vec<String>,
    /// Reads variables from a file, one NAME=VALUE a line.
    #[arg(long, value_name = "FILE")]
    env_file: Vec<PathBuf>,
    /// User, and group if not its own.
    #[arg(short, long, value_name = "USER[:GROUP]")]
    user: Option<String>,
    /// Further group of the user, by name or number.
    #[arg(long, value_name = "GROUP")]
    group_add: Vec<String>,
    /// Working directory inside.
    #[arg(short, long, value_name = "DIR")]
    workdir: Option<String>,
    /// Replaces the image's entry point; an empty one removes it.
    #[arg(long, value_name = "PROGRAM")]
    entrypoint: Option<String>,
    /// Name of the container.
    #[arg(long)]
    name: Option<String>,
    /// Sets a label.
    #[arg(short, long, value_name = "NAME=VALUE")]
    label: Vec<String>,
    /// Reads labels from a file, one NAME=VALUE a line.
    #[arg(long, value_name = "FILE")]
    label_file: Vec<PathBuf>,
    /// Sets a note of the OCI kind.
    #[arg(long, value_name = "NAME=VALUE")]
    annotation: Vec<String>,
    /// When to pull the image: missing, always, never.
    #[arg(long, default_value = "missing", value_name = "POLICY")]
    pull: String,
    /// Platform of the image, e.g. linux/arm64.
    #[arg(long)]
    platform: Option<String>,
    /// Hides the progress of a pull.
    #[arg(short, long)]
    pub(super) quiet: bool,
    /// Writes the container's id into a file, which must not exist.
    #[arg(long, value_name = "FILE")]
    cidfile: Option<PathBuf>,
    #[command(flatten)]
    storage: storage::StorageArgs,
    #[command(flatten)]
    network: network::NetworkArgs,
    #[command(flatten)]
    life: life::LifeArgs,
    #[command(flatten)]
    limits: limits::LimitArgs,
    #[command(flatten)]
    isolation: isolation::IsolationArgs,
}

pub(crate) fn run(args: &CreateArgs, host: &Host) -> Result<ExitCode, CliError> {
    let request = args.container.request(&args.command, host)?;
    let id_file = args.container.id_file(host)?;
    let engine = host.engine(true)?;
    let renderer = Renderer::new(Style::for_host(host, args.container.quiet));
    let record = engine.create(&request, &renderer)?;
    id_file.write(&engine, &record)?;
    super::print(&format!("{}\n", record.id))
}

/// Where `--cidfile` wants the id.
pub(super) struct IdFile(Option<PathBuf>);

impl IdFile {
    /// Writes it down; a container whose id cannot be told is none.
    pub(super) fn write(&self, engine: &Engine, record: &ContainerRecord) -> Result<(), CliError> {
        let Some(path) = &self.0 else {
            return Ok(());
        };
        std::fs::write(path, record.id.as_str()).map_err(|error| {
            let _ = engine.remove(record, true, true);
            let message = format!("cannot write the id file {}: {error}", path.display());
            CliError::new(Kind::Failed, message)
        })
    }
}

impl ContainerArgs {
    /// The id's file, which must not exist: as with docker, it tells of a container that does.
    pub(super) fn id_file(&self, host: &Host) -> Result<IdFile, CliError> {
        let path = self.cidfile.as_ref().map(|path| host.cwd.join(path));
        match path.as_ref().filter(|path| path.exists()) {
            None => Ok(IdFile(path)),
            Some(path) => {
                let message = format!("the id file {} exists already", path.display());
                Err(CliError::usage(message).hint("remove it if that container is gone"))
            }
        }
    }

    /// What these flags mean.
    pub(super) fn request(
        &self,
        command: &CommandArgs,
        host: &Host,
    ) -> Result<RunRequest, CliError> {
        let entrypoint = self.entrypoint.as_ref().map(|text| match text.is_empty() {
            true => Vec::new(),
            false => vec![text.clone()],
        });
        let mut request = RunRequest {
            image: command.image.clone(),
            pull: self.pull_policy()?,
            argv: command.argv.clone(),
            entrypoint,
            name: self.name.clone(),
            env: self.environment(host)?,
            user: self.user.clone(),
            groups: self.group_add.clone(),
            workdir: self.workdir.clone(),
            labels: self.labels(host)?,
            annotations: pairs("annotation", &self.annotation)?,
            tty: self.tty,
            stdin_open: self.interactive,
            platform: super::pull::platform(self.platform.as_deref())?,
            ..RunRequest::default()
        };
        self.streams()?;
        self.storage.apply(&mut request, host)?;
        self.network.apply(&mut request)?;
        self.limits.apply(&mut request)?;
        self.isolation.apply(&mut request, host)?;
        // Log options may name labels and variables.
        self.life.apply(&mut request, host)?;
        Ok(request)
    }

    /// The streams that `-a` names; `None` without that flag.
    pub(super) fn streams(&self) -> Result<Option<Streams>, CliError> {
        if self.attach.is_empty() {
            return Ok(None);
        }
        let mut streams = Streams::default();
        for name in &self.attach {
            match name.to_ascii_lowercase().as_str() {
                "stdin" => streams.input = true,
                "stdout" => streams.output = true,
                "stderr" => streams.errors = true,
                _ => {
                    return Err(CliError::usage(format!("invalid --attach `{name}`"))
                        .hint("write stdin, stdout or stderr"));
                }
            }
        }
        Ok(Some(streams))
    }

    fn pull_policy(&self) -> Result<PullPolicy, CliError> {
        Ok(match self.pull.as_str() {
            "missing" | "" => PullPolicy::Missing,
            "always" => PullPolicy::Always,
            "never" => PullPolicy::Never,
            other => {
                return Err(CliError::usage(format!("invalid --pull `{other}`"))
                    .hint("write missing, always or never"));
            }
        })
    }

    fn environment(&self, host: &Host) -> Result<Vec<(String, String)>, CliError> {
        let mut env = Vec::new();
        for file in &self.env_file {
            env.extend(specs::read_env_file(
                &host.cwd.join(file),
                &host.environment,
            )?);
        }
        for text in &self.env {
            env.extend(specs::variable(text, &host.environment)?);
        }
        Ok(env)
    }

    fn labels(&self, host: &Host) -> Result<Vec<(String, String)>, CliError> {
        let mut labels = Vec::new();
        for file in &self.label_file {
            labels.extend(specs::read_label_file(&host.cwd.join(file))?);
        }
        labels.extend(pairs("label", &self.label)?);
        Ok(labels)
    }
}

/// Streams that a client is connected to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Streams {
    pub(super) input: bool,
    pub(super) output: bool,
    pub(super) errors: bool,
}

/// `NAME=VALUE` or `NAME`.
fn pairs(what: &str, texts: &[String]) -> Result<Vec<(String, String)>, CliError> {
    let pair = |text: &String| match text.split_once('=').unwrap_or((text, "")) {
        ("", _) => {
            Err(CliError::usage(format!("{what} `{text}` has no name")).hint("write NAME=VALUE"))
        }
        (name, value) => Ok((name.to_owned(), value.to_owned())),
    };
    texts.iter().map(pair).collect()
}
