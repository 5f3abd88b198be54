use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use engine::{MountRequest, NetworkAttachment, NetworkRequest, PullPolicy, RunRequest};

use crate::error::CliError;
use crate::host::Host;
use crate::render::{Renderer, Style};
use crate::specs;

/// Makes a container without starting it.
#[derive(Args)]
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
    /// Allocates a pseudo-terminal.
    #[arg(short, long)]
    pub(super) tty: bool,
    /// Keeps standard input open.
    #[arg(short, long)]
    pub(super) interactive: bool,
    /// Removes the container when it ends.
    #[arg(long)]
    pub(super) rm: bool,
    /// Sets a variable; a name alone takes the caller's value.
    #[arg(short, long, value_name = "NAME[=VALUE]")]
    env: Vec<String>,
    /// Reads variables from a file, one NAME=VALUE a line.
    #[arg(long, value_name = "FILE")]
    env_file: Vec<PathBuf>,
    /// Mounts a host path or a named volume.
    #[arg(short, long, value_name = "[SOURCE:]TARGET[:OPTIONS]")]
    volume: Vec<String>,
    /// Mounts memory.
    #[arg(long, value_name = "TARGET[:OPTIONS]")]
    tmpfs: Vec<String>,
    /// Publishes a port of the container on the host.
    #[arg(short, long, value_name = "[[IP:]HOST:]PORT[/PROTOCOL]")]
    publish: Vec<String>,
    /// User, and group if not its own.
    #[arg(short, long, value_name = "USER[:GROUP]")]
    user: Option<String>,
    /// Working directory inside.
    #[arg(short, long, value_name = "DIR")]
    workdir: Option<String>,
    /// Replaces the image's entry point; an empty one removes it.
    #[arg(long, value_name = "PROGRAM")]
    entrypoint: Option<String>,
    /// Name of the container.
    #[arg(long)]
    name: Option<String>,
    /// Host name inside [default: the short id].
    #[arg(long)]
    hostname: Option<String>,
    /// Network: `bridge`, `none`, `host`, `container:NAME`, or a network's name.
    #[arg(long, visible_alias = "net", value_name = "NETWORK")]
    network: Vec<String>,
    /// Further name of the container in its named networks.
    #[arg(long, value_name = "NAME")]
    network_alias: Vec<String>,
    /// Further line of /etc/hosts; the address `host-gateway` is the host's loopback.
    #[arg(long, value_name = "NAME:ADDRESS")]
    add_host: Vec<String>,
    /// Makes the root file system read-only.
    #[arg(long)]
    read_only: bool,
    /// Sets a label.
    #[arg(short, long, value_name = "NAME=VALUE")]
    label: Vec<String>,
    /// When to restart: no, always, unless-stopped, on-failure[:MAX].
    #[arg(long, value_name = "POLICY")]
    restart: Option<String>,
    /// Signal that asks the container to stop.
    #[arg(long, value_name = "SIGNAL")]
    stop_signal: Option<String>,
    /// Seconds until a stop becomes a kill.
    #[arg(long, value_name = "SECONDS")]
    stop_timeout: Option<u64>,
    /// When to pull the image: missing, always, never.
    #[arg(long, default_value = "missing", value_name = "POLICY")]
    pull: String,
    /// Platform of the image, e.g. linux/arm64.
    #[arg(long)]
    platform: Option<String>,
    /// Hides the progress of a pull.
    #[arg(short, long)]
    pub(super) quiet: bool,
}

pub(crate) fn run(args: &CreateArgs, host: &Host) -> Result<ExitCode, CliError> {
    let request = args.container.request(&args.command, host)?;
    let renderer = Renderer::new(Style::for_host(host, args.container.quiet));
    let record = host
        .engine(true)?
        .create(&request, &renderer)
        .map_err(super::run::not_started)?;
    super::print(&format!("{}\n", record.id))
}

impl ContainerArgs {
    /// What these flags mean.
    pub(super) fn request(
        &self,
        command: &CommandArgs,
        host: &Host,
    ) -> Result<RunRequest, CliError> {
        let mut publish = Vec::new();
        for text in &self.publish {
            publish.extend(specs::ports(text)?);
        }
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
            hostname: self.hostname.clone(),
            env: self.environment(host)?,
            user: self.user.clone(),
            workdir: self.workdir.clone(),
            mounts: self.mounts(host)?,
            publish,
            network: self.network()?,
            read_only: self.read_only,
            labels: self.labels()?,
            tty: self.tty,
            stdin_open: self.interactive,
            auto_remove: self.rm,
            restart: self.restart_policy()?,
            stop_signal: self.stop_signal.clone(),
            stop_timeout: self.stop_timeout.map(std::time::Duration::from_secs),
            platform: super::pull::platform(self.platform.as_deref())?,
            ..RunRequest::default()
        };
        for text in &self.add_host {
            let (name, address) = specs::host(text)?;
            request.add_host(name, address);
        }
        Ok(request)
    }

    fn pull_policy(&self) -> Result<PullPolicy, CliError> {
        Ok(match self.pull.as_str() {
            "missing" => PullPolicy::Missing,
            "always" => PullPolicy::Always,
            "never" => PullPolicy::Never,
            other => {
                let message = format!("invalid --pull `{other}`: want missing, always or never");
                return Err(CliError::usage(message));
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

    fn mounts(&self, host: &Host) -> Result<Vec<MountRequest>, CliError> {
        let volumes = self
            .volume
            .iter()
            .map(|text| specs::volume(text, &host.cwd));
        let tmpfs = self.tmpfs.iter().map(|text| specs::tmpfs(text));
        let mounts: Vec<MountRequest> = volumes.chain(tmpfs).collect::<Result<_, _>>()?;
        for (i, mount) in mounts.iter().enumerate() {
            if mounts[..i].iter().any(|m| m.target == mount.target) {
                let message = format!("two mounts have the target `{}`", mount.target);
                return Err(CliError::usage(message));
            }
        }
        Ok(mounts)
    }

    fn network(&self) -> Result<NetworkRequest, CliError> {
        let special = |name: &str| match name {
            "none" => Some(NetworkRequest::None),
            "host" => Some(NetworkRequest::Host),
            "bridge" | "default" => Some(NetworkRequest::Default),
            name => name
                .strip_prefix("container:")
                .map(|c| NetworkRequest::Container(c.into())),
        };
        let named = self.network.iter().any(|name| special(name).is_none());
        if !self.network_alias.is_empty() && !named {
            return Err(
                CliError::usage("--network-alias needs a network that has a name").hint(
                    "make one with `shim network create NAME`, and join it with --network NAME",
                ),
            );
        }
        match self.network.as_slice() {
            [] => Ok(NetworkRequest::Default),
            [one] if special(one).is_some() => Ok(special(one).unwrap_or_default()),
            several => {
                if let Some(name) = several.iter().find(|n| special(n).is_some()) {
                    let message = format!("network `{name}` cannot be combined with others");
                    return Err(CliError::usage(message));
                }
                let attachment = |network: &String| NetworkAttachment {
                    network: network.clone(),
                    aliases: self.network_alias.clone(),
                    address: None,
                };
                Ok(NetworkRequest::Named(
                    several.iter().map(attachment).collect(),
                ))
            }
        }
    }

    fn labels(&self) -> Result<Vec<(String, String)>, CliError> {
        let label = |text: &String| match text.split_once('=').unwrap_or((text, "")) {
            ("", _) => Err(CliError::usage(format!("label `{text}` has no name"))),
            (name, value) => Ok((name.to_owned(), value.to_owned())),
        };
        self.label.iter().map(label).collect()
    }

    fn restart_policy(&self) -> Result<Option<model::RestartPolicy>, CliError> {
        use model::RestartPolicy::{Always, No, OnFailure, UnlessStopped};
        let Some(text) = self.restart.as_deref() else {
            return Ok(None);
        };
        let policy = match text.split_once(':').unwrap_or((text, "")) {
            ("no", "") => Some(No),
            ("always", "") => Some(Always),
            ("unless-stopped", "") => Some(UnlessStopped),
            ("on-failure", "") => Some(OnFailure { max_retries: 0 }),
            ("on-failure", n) => n.parse().ok().map(|max_retries| OnFailure { max_retries }),
            _ => None,
        };
        if self.rm && !matches!(policy, Some(No) | None) {
            return Err(CliError::usage("--rm and --restart exclude each other"));
        }
        policy.map(Some).ok_or_else(|| {
            CliError::usage(format!("invalid --restart `{text}`"))
                .hint("want no, always, unless-stopped, on-failure or on-failure:N")
        })
    }
}
