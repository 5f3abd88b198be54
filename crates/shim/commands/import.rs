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
pub(super) fn apply(config: &mut RunConfig, change: &str) -> Result<(), CliError> {
    let (word, rest) = change
        .trim()
        .split_once(char::is_whitespace)
        .unwrap_or((change, ""));
    let rest = rest.trim();
    let bad = |why: &str| CliError::usage(format!("invalid change `{change}`: {why}"));
    let list = || -> Result<Vec<String>, CliError> {
        serde_json::from_str(rest).map_err(|e| bad(&e.to_string()))
    };
    let command = || match rest.starts_with('[') {
        true => list(),
        false => Ok(vec!["/bin/sh".into(), "-c".into(), rest.into()]),
    };
    let pairs = || pairs(rest).ok_or_else(|| bad("want NAME=value"));
    match word.to_ascii_uppercase().as_str() {
        _ if rest.is_empty() => return Err(bad("it has no value")),
        "CMD" => config.cmd = Some(command()?),
        "ENTRYPOINT" => config.entrypoint = Some(command()?),
        "ENV" => {
            for (name, value) in pairs()? {
                config
                    .env
                    .retain(|e| e.split('=').next() != Some(name.as_str()));
                config.env.push(format!("{name}={value}"));
            }
        }
        "LABEL" => config.labels.extend(pairs()?),
        "USER" => config.user = rest.to_owned(),
        "WORKDIR" => config.working_dir = rest.to_owned(),
        "STOPSIGNAL" => config.stop_signal = Some(rest.to_owned()),
        "ONBUILD" => config.on_build.push(rest.to_owned()),
        "HEALTHCHECK" if rest.eq_ignore_ascii_case("none") => {
            config.healthcheck = Some(model::image::ImageHealth {
                test: vec!["NONE".into()],
                ..Default::default()
            });
        }
        "EXPOSE" => {
            for port in rest.split_whitespace() {
                let port = match port.contains('/') {
                    true => port.to_owned(),
                    false => format!("{port}/tcp"),
                };
                config.exposed_ports.insert(port, model::image::Empty {});
            }
        }
        "VOLUME" => {
            let paths = match rest.starts_with('[') {
                true => list()?,
                false => rest.split_whitespace().map(str::to_owned).collect(),
            };
            let volumes = paths.into_iter().map(|path| (path, model::image::Empty {}));
            config.volumes.extend(volumes);
        }
        _ => {
            return Err(bad(
                "want CMD, ENTRYPOINT, ENV, EXPOSE, HEALTHCHECK NONE, LABEL, ONBUILD, \
                 STOPSIGNAL, USER, VOLUME or WORKDIR",
            ));
        }
    }
    Ok(())
}

/// `A=1 B="two words"`, or in the old form `A all the rest`.
fn pairs(text: &str) -> Option<Vec<(String, String)>> {
    let first = text.split_whitespace().next()?;
    if !first.contains('=') {
        let (name, value) = text.split_once(char::is_whitespace)?;
        return Some(vec![(name.to_owned(), value.trim().to_owned())]);
    }
    let mut words = vec![String::new()];
    let mut quote = None;
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        let word = words.last_mut()?;
        match (c, quote) {
            ('\\', None | Some('"')) => word.extend(chars.next()),
            (c, Some(open)) if c == open => quote = None,
            (c, Some(_)) => word.push(c),
            ('"' | '\'', None) => quote = Some(c),
            (c, None) if c.is_whitespace() => words.push(String::new()),
            (c, None) => word.push(c),
        }
    }
    let pair = |word: &String| {
        let (name, value) = word.split_once('=')?;
        (!name.is_empty()).then(|| (name.to_owned(), value.to_owned()))
    };
    let words = words.iter().filter(|word| !word.is_empty());
    words
        .map(pair)
        .collect::<Option<_>>()
        .filter(|_| quote.is_none())
}

#[cfg(test)]
mod tests {
    use super::pairs;

    #[test]
    fn pairs_are_split_as_a_dockerfile_has_them() {
        let shown = |text: &str| {
            let pairs = pairs(text)?;
            let words: Vec<_> = pairs.iter().map(|(n, v)| format!("{n}|{v}")).collect();
            Some(words.join(","))
        };
        assert_eq!(shown("A=1 B=\"two words\"").unwrap(), "A|1,B|two words");
        assert_eq!(shown("A all of it").unwrap(), "A|all of it");
        assert_eq!(shown("A=a\\ b C='$x'").unwrap(), "A|a b,C|$x");
        for bad in ["A", "=1", "A=\"open", "A=1 B"] {
            assert_eq!(shown(bad), None, "{bad}");
        }
    }
}
