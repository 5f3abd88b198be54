use std::process::ExitCode;

use clap::Args;

use crate::error::CliError;
use crate::host::Host;

/// Gives an image another name.
#[derive(Args)]
pub(crate) struct TagArgs {
    /// Name or id of the image.
    source: String,
    /// Its further name.
    target: String,
}

pub(crate) fn run(args: &TagArgs, host: &Host) -> Result<ExitCode, CliError> {
    let target = super::reference(&args.target)?;
    let engine = host.engine(true)?;
    let images = engine.store().images();
    let (image, _) = images.resolve(&args.source).map_err(engine::Error::from)?;
    images
        .tag(&image.id, &target)
        .map_err(engine::Error::from)?;
    engine.note("image", "tag", image.id.as_str(), &target.familiar());
    Ok(ExitCode::SUCCESS)
}
