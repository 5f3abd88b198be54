use std::fs::File;
use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, ValueEnum};

use crate::error::{CliError, Kind};
use crate::host::Host;

/// Saves images into an archive that docker and podman load.
#[derive(Args)]
pub(crate) struct SaveArgs {
    /// Names or ids of the images.
    #[arg(required = true)]
    images: Vec<String>,
    /// The archive [default: standard output].
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Kind of the archive.
    #[arg(long, value_enum, default_value_t = Kinds::DockerArchive)]
    format: Kinds,
}

#[derive(Clone, Copy, ValueEnum)]
enum Kinds {
    DockerArchive,
    OciArchive,
}

pub(crate) fn run(args: &SaveArgs, host: &Host) -> Result<ExitCode, CliError> {
    let engine = host.engine(true)?;
    let format = match args.format {
        Kinds::DockerArchive => engine::ArchiveFormat::Docker,
        Kinds::OciArchive => engine::ArchiveFormat::Oci,
    };
    match &args.output {
        None if std::io::stdout().is_terminal() => {
            Err(CliError::usage("an archive is not for a terminal").hint("use -o, or redirect it"))
        }
        None => {
            engine.save(&args.images, format, std::io::stdout().lock())?;
            Ok(ExitCode::SUCCESS)
        }
        Some(path) => write_file(path, |file| Ok(engine.save(&args.images, format, file)?)),
    }
}

/// Writes a file whole or not at all.
pub(super) fn write_file(
    path: &std::path::Path,
    write: impl FnOnce(&mut dyn Write) -> Result<(), CliError>,
) -> Result<ExitCode, CliError> {
    let fail = |error: std::io::Error| {
        CliError::new(
            Kind::Failed,
            format!("cannot write {}: {error}", path.display()),
        )
    };
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{}", std::process::id()));
    let temporary = PathBuf::from(name);
    let written = File::create(&temporary).map_err(fail).and_then(|mut file| {
        write(&mut file)?;
        file.sync_all().map_err(fail)?;
        std::fs::rename(&temporary, path).map_err(fail)
    });
    if written.is_err() {
        let _ = std::fs::remove_file(&temporary);
    }
    written.map(|()| ExitCode::SUCCESS)
}
