use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use model::image::{ImageConfig, RunConfig};

use crate::error::{CliError, Kind};
use crate::host::Host;

/// Makes an image from a tar of a root file system.
#[derive(Args)]
pub(crate) struct ImportArgs {
    /// The tar, compressed or not; `-` is standard input.
    file: PathBuf,
    /// Name of the image.
    image: Option<String>,
    /// Sets a part of the image's configuration, e.g. `CMD ["sh"]` or `ENV A=1`; may be
    /// given several times.
    #[arg(short, long = "change", value_name = "INSTRUCTION")]
    changes: Vec<String>,
    /// Comment on the one step of the image's history.
    #[arg(short, long)]
    message: Option<String>,
}

pub(crate) fn run(args: &ImportArgs, host: &Host) -> Result<ExitCode, CliError> {
    let reference = args.image.as_deref().map(super::reference).transpose()?;
    let mut config = ImageConfig::default();
    for change in &args.changes {
        apply(&mut config.config, change)?;
    }
    let engine = host.engine(true)?;
    let reader = open(&args.file)?;
    let image = engine.import(reader, config, args.message.clone(), reference.as_ref())?;
    super::print(&format!("{}\n", image.id))
}

/// Opens a file, or standard input for `-`.
pub(super) fn open(path: &Path) -> Result<Box<dyn Read>, CliError> {
    if path == Path::new("-") {
        return Ok(Box::new(std::io::stdin().lock()));
    }
    let fail = |error: std::io::Error| {
        CliError::new(
            Kind::Failed,
            format!("cannot open {}: {error}", path.display()),
        )
    };
    let file = File::open(path).map_err(fail)?;
    match file.metadata().map_err(fail)?.is_dir() {
        true => Err(fail(std::io::ErrorKind::IsADirectory.into())),
        false => Ok(Box::new(file)),
    }
}

/// The instructions of a Dockerfile that need no build.
fn apply(config: &mut RunConfig, change: &str) -> Result<(), CliError> {
    let (word, rest) = change
        .trim()
        .split_once(char::is_whitespace)
        .unwrap_or((change, ""));
    let rest = rest.trim();
    let bad = |why: &str| CliError::usage(format!("invalid change `{change}`: {why}"));
    let command = || -> Result<Vec<String>, CliError> {
        if rest.starts_with('[') {
            return serde_json::from_str(rest).map_err(|e| bad(&e.to_string()));
        }
        Ok(vec!["/bin/sh".into(), "-c".into(), rest.into()])
    };
    let pair = || {
        rest.split_once('=')
            .or_else(|| rest.split_once(' '))
            .ok_or_else(|| bad("want NAME=value"))
    };
    match word.to_ascii_uppercase().as_str() {
        _ if rest.is_empty() => return Err(bad("it has no value")),
        "CMD" => config.cmd = Some(command()?),
        "ENTRYPOINT" => config.entrypoint = Some(command()?),
        "ENV" => {
            let (name, value) = pair()?;
            config.env.retain(|e| e.split('=').next() != Some(name));
            config.env.push(format!("{name}={value}"));
        }
        "LABEL" => {
            let (name, value) = pair()?;
            config.labels.insert(name.to_owned(), value.to_owned());
        }
        "USER" => config.user = rest.to_owned(),
        "WORKDIR" => config.working_dir = rest.to_owned(),
        "STOPSIGNAL" => config.stop_signal = Some(rest.to_owned()),
        "EXPOSE" => {
            let port = if rest.contains('/') {
                rest.to_owned()
            } else {
                format!("{rest}/tcp")
            };
            config.exposed_ports.insert(port, model::image::Empty {});
        }
        "VOLUME" => {
            config
                .volumes
                .insert(rest.to_owned(), model::image::Empty {});
        }
        _ => {
            return Err(bad(
                "want CMD, ENTRYPOINT, ENV, EXPOSE, LABEL, STOPSIGNAL, USER, VOLUME or WORKDIR",
            ));
        }
    }
    Ok(())
}
