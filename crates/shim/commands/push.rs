use std::process::ExitCode;

use clap::Args;

use crate::error::CliError;
use crate::host::Host;
use crate::render::{Renderer, Style};

/// Pushes an image to a registry.
#[derive(Args)]
pub(crate) struct PushArgs {
    /// Image to push; its name says where to.
    image: String,
    /// Other name to push it under.
    target: Option<String>,
    /// Prints nothing but the digest.
    #[arg(short, long)]
    quiet: bool,
    #[command(flatten)]
    tls: super::TlsArgs,
}

pub(crate) fn run(args: &PushArgs, host: &Host) -> Result<ExitCode, CliError> {
    let reference = super::reference(args.target.as_ref().unwrap_or(&args.image))?;
    let engine = host.engine(args.tls.verify)?;
    let renderer = Renderer::new(Style::for_host(host, args.quiet));
    let digest = engine.push(&args.image, &reference, &renderer)?;
    super::print(&format!("{digest}\n"))
}
