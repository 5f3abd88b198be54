use std::process::ExitCode;

use clap::Args;
use model::{Platform, Reference};

use crate::error::CliError;
use crate::host::Host;
use crate::render::{Renderer, Style};

/// Pulls an image from a registry.
#[derive(Args)]
pub(crate) struct PullArgs {
    /// Image to pull, by tag or digest.
    image: String,
    /// Platform to choose from an index, e.g. linux/arm64.
    #[arg(long)]
    platform: Option<String>,
    /// Prints nothing but the image's name.
    #[arg(short, long)]
    quiet: bool,
    #[command(flatten)]
    tls: super::TlsArgs,
}

pub(super) fn platform(text: Option<&str>) -> Result<Option<Platform>, CliError> {
    text.map(str::parse)
        .transpose()
        .map_err(|e: model::platform::PlatformError| CliError::usage(e.to_string()))
}

pub(crate) fn run(args: &PullArgs, host: &Host) -> Result<ExitCode, CliError> {
    let reference: Reference = super::reference(&args.image)?;
    let platform = platform(args.platform.as_deref())?.unwrap_or_else(Platform::native);
    let engine = host.engine(args.tls.verify)?;
    let renderer = Renderer::new(Style::for_host(host, args.quiet));
    let image = engine.pull(&reference, &platform, &renderer)?;
    if !args.quiet {
        super::status(&format!("Digest: {}", image.digest));
    }
    super::print(&format!("{reference}\n"))
}
