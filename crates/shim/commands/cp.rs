use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use engine::{Copied, CopyOptions, CopyPath};

use crate::error::{CliError, Kind};
use crate::host::Host;

/// Copies files between a container and the host.
///
/// `-` as the source reads a tar from standard input and takes it out into a directory
/// of the container; as the destination it writes a tar to standard output.
#[derive(Args)]
pub(crate) struct CpArgs {
    /// CONTAINER:PATH, a path of the host, or `-`.
    source: String,
    /// CONTAINER:PATH, a path of the host, or `-`.
    destination: String,
    /// Keeps owners and set-user-id bits as they are at the source.
    #[arg(short, long)]
    archive: bool,
    /// Follows a link that is the source itself.
    #[arg(short = 'L', long)]
    follow_link: bool,
    /// Says nothing of what was copied.
    #[arg(short, long)]
    quiet: bool,
}

/// One end, as it was typed.
enum End<'a> {
    /// A container and a path in it.
    Container(&'a str, &'a str),
    /// A path of the host.
    Host(&'a str),
    /// A tar on a standard stream.
    Tar,
}

impl<'a> End<'a> {
    /// As docker tells them apart: what begins with a slash or a dot is the host's.
    fn parse(text: &'a str) -> Self {
        match text.split_once(':') {
            _ if text == "-" => Self::Tar,
            _ if text.starts_with(['/', '.']) => Self::Host(text),
            Some((container, path)) if !container.is_empty() => Self::Container(container, path),
            _ => Self::Host(text),
        }
    }
}

pub(crate) fn run(args: &CpArgs, host: &Host) -> Result<ExitCode, CliError> {
    let options = CopyOptions {
        archive: args.archive,
        follow: args.follow_link,
    };
    let (from, to) = (End::parse(&args.source), End::parse(&args.destination));
    let engine = host.engine(true)?;
    let shown = |text, path| CopyPath { path, shown: text };
    let copied = match (from, to) {
        (End::Container(..), End::Container(..)) => {
            return Err(
                CliError::usage("copying between containers is not supported")
                    .hint("copy to `-` and pipe that into a second copy from `-`"),
            );
        }
        (End::Container(container, path), End::Tar) => {
            if std::io::stdout().is_terminal() {
                return Err(CliError::usage("a tar is not for a terminal").hint("redirect it"));
            }
            let record = engine.find(container)?;
            let mut out = std::io::stdout();
            engine.copy_to_tar(&record, shown(&args.source, path), options, &mut out)?;
            out.flush()?;
            return Ok(ExitCode::SUCCESS);
        }
        (End::Tar, End::Container(container, path)) => {
            let record = engine.find(container)?;
            engine.copy_from_tar(&record, std::io::stdin(), shown(&args.destination, path))?
        }
        (End::Container(container, path), End::Host(local)) => {
            let record = engine.find(container)?;
            let local = absolute(&host.cwd, local)?;
            let (from, to) = (shown(&args.source, path), shown(&args.destination, &local));
            engine.copy_out(&record, from, to, options)?
        }
        (End::Host(local), End::Container(container, path)) => {
            let record = engine.find(container)?;
            let local = absolute(&host.cwd, local)?;
            let (from, to) = (shown(&args.source, &local), shown(&args.destination, path));
            engine.copy_in(&record, from, to, options)?
        }
        _ => {
            return Err(
                CliError::usage("neither the source nor the destination is a container")
                    .hint("a container's path is written CONTAINER:PATH"),
            );
        }
    };
    tell(args, &copied);
    Ok(ExitCode::SUCCESS)
}

fn tell(args: &CpArgs, copied: &Copied) {
    for note in &copied.notes {
        super::status(&format!("warning: {note}"));
    }
    if !args.quiet && copied.bytes > 0 {
        let size = model::units::format_size(copied.bytes);
        super::status(&format!(
            "Successfully copied {size} to {}",
            args.destination
        ));
    }
}

/// A path of the host from `/`, with the slash or `/.` at its end that has a meaning.
fn absolute(cwd: &Path, typed: &str) -> Result<String, CliError> {
    if typed.is_empty() {
        return Err(CliError::usage("a path is empty"));
    }
    let path: PathBuf = cwd.join(typed);
    let text = path.into_os_string().into_string();
    let mut text = text.map_err(|path| {
        let shown = Path::new(&path).display().to_string();
        CliError::new(Kind::Failed, format!("the path {shown} is not UTF-8"))
    })?;
    if typed == "." {
        text.push_str("/.");
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_are_told_apart_as_docker_does() {
        let kind = |text: &'static str| match End::parse(text) {
            End::Container(name, path) => format!("{name}|{path}"),
            End::Host(path) => path.to_owned(),
            End::Tar => "tar".into(),
        };
        assert_eq!(kind("web:/etc"), "web|/etc");
        assert_eq!(kind("web:"), "web|");
        assert_eq!(kind("./a:b"), "./a:b");
        assert_eq!(kind("/a:b"), "/a:b");
        assert_eq!(kind("file"), "file");
        assert_eq!(kind("-"), "tar");
    }

    #[test]
    fn the_end_of_a_path_keeps_its_meaning() {
        let cwd = Path::new("/here");
        for (typed, wanted) in [
            ("a", "/here/a"),
            ("a/", "/here/a/"),
            ("a/.", "/here/a/."),
            (".", "/here/./."),
            ("/x", "/x"),
        ] {
            assert_eq!(absolute(cwd, typed).unwrap(), wanted);
        }
        assert!(absolute(cwd, "").is_err());
    }
}
