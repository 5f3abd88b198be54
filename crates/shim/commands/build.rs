use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use engine::{BuildCommand, DockerfileSource, StepNetwork};

use crate::error::{CliError, Kind};
use crate::host::Host;
use crate::render::{Renderer, Style};

/// Builds an image from a Dockerfile.
#[derive(Args)]
pub(crate) struct BuildArgs {
    /// Directory that COPY and ADD read.
    context: PathBuf,
    /// The Dockerfile [default: Dockerfile in the context]; `-` is standard input.
    #[arg(short, long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Name of the image; may be given several times.
    #[arg(short, long = "tag", value_name = "NAME")]
    tags: Vec<String>,
    /// Sets an ARG; a name alone takes the caller's value.
    #[arg(long, value_name = "NAME[=VALUE]")]
    build_arg: Vec<String>,
    /// Stage to stop at.
    #[arg(long, value_name = "STAGE")]
    target: Option<String>,
    /// Executes every step, even where its result is known.
    #[arg(long)]
    no_cache: bool,
    /// Asks the registry for newer base images.
    #[arg(long)]
    pull: bool,
    /// Network of RUN steps: default, none or host.
    #[arg(long, default_value = "default")]
    network: String,
    /// Sets a label.
    #[arg(long, value_name = "NAME=VALUE")]
    label: Vec<String>,
    /// Platform of the image, e.g. linux/arm64.
    #[arg(long)]
    platform: Option<String>,
    /// Prints the image's id only.
    #[arg(short, long)]
    quiet: bool,
    /// Writes the image's id into a file.
    #[arg(long, value_name = "FILE")]
    iidfile: Option<PathBuf>,
}

pub(crate) fn run(args: &BuildArgs, host: &Host) -> Result<ExitCode, CliError> {
    let engine = host.engine(true)?;
    let style = match Style::for_host(host, args.quiet) {
        // The steps' output needs whole lines.
        Style::Bars => Style::Plain,
        style => style,
    };
    let built = engine.build(&args.command(host)?, &Renderer::new(style))?;
    built
        .warnings
        .iter()
        .for_each(|warning| super::status(warning.trim_end()));
    if let Some(path) = &args.iidfile {
        super::save::write_file(&host.cwd.join(path), |file| {
            Ok(std::io::Write::write_all(
                file,
                built.image_id.as_str().as_bytes(),
            )?)
        })?;
    }
    super::print(&format!("{}\n", built.image_id))
}

impl BuildArgs {
    fn command(&self, host: &Host) -> Result<BuildCommand, CliError> {
        let pair = |text: &String| {
            let (name, value) = text.split_once('=').unwrap_or((text, ""));
            (name.to_owned(), value.to_owned())
        };
        let mut args = Vec::new();
        for text in &self.build_arg {
            args.extend(crate::specs::variable(text, &host.environment)?);
        }
        let tags = self.tags.iter().map(|tag| super::reference(tag));
        Ok(BuildCommand {
            context: self.context(host)?,
            dockerfile: match self.file.as_deref() {
                None => DockerfileSource::default(),
                Some(path) if path == std::path::Path::new("-") => {
                    DockerfileSource::Text(std::io::read_to_string(std::io::stdin())?)
                }
                Some(path) => DockerfileSource::File(host.cwd.join(path)),
            },
            target: self.target.clone(),
            args,
            tags: tags.collect::<Result<_, _>>()?,
            labels: self.label.iter().map(pair).collect(),
            no_cache: self.no_cache,
            pull: self.pull,
            network: match self.network.as_str() {
                "default" | "bridge" => StepNetwork::Default,
                "none" => StepNetwork::None,
                "host" => StepNetwork::Host,
                other => return Err(CliError::usage(format!("invalid --network `{other}`"))),
            },
            source_date_epoch: self.epoch(host)?,
            platform: super::pull::platform(self.platform.as_deref())?,
        })
    }

    fn context(&self, host: &Host) -> Result<PathBuf, CliError> {
        let path = host.cwd.join(&self.context);
        match std::fs::metadata(&path) {
            Ok(found) if found.is_dir() => Ok(path),
            Ok(_) => {
                let message = format!("build context {} is not a directory", path.display());
                Err(CliError::new(Kind::Failed, message)
                    .hint("name the directory, and the Dockerfile with -f"))
            }
            Err(error) => {
                let message = format!("cannot read build context {}: {error}", path.display());
                Err(CliError::new(Kind::Failed, message)
                    .hint("name the directory with the Dockerfile, e.g. `shim build .`"))
            }
        }
    }

    /// <https://reproducible-builds.org/specs/source-date-epoch/>
    fn epoch(&self, host: &Host) -> Result<Option<i64>, CliError> {
        let text = host
            .environment
            .get("SOURCE_DATE_EPOCH")
            .filter(|v| !v.is_empty());
        let parse = |text: &String| {
            text.parse()
                .map_err(|_| CliError::usage(format!("SOURCE_DATE_EPOCH `{text}` is not a number")))
        };
        text.map(parse).transpose()
    }
}
