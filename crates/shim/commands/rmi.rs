use std::process::ExitCode;

use clap::Args;
use engine::Removal;

use crate::error::CliError;
use crate::host::Host;

/// Removes images by name or id.
#[derive(Args)]
pub(crate) struct RmiArgs {
    /// Images to remove.
    #[arg(required = true)]
    images: Vec<String>,
    /// Removes images that containers use or that have several names; absent ones are
    /// no error.
    #[arg(short, long)]
    force: bool,
}

pub(crate) fn run(args: &RmiArgs, host: &Host) -> Result<ExitCode, CliError> {
    let engine = host.engine(true)?;
    let mut outcome = super::Outcomes::default();
    for image in &args.images {
        match engine.store().images().remove(image, args.force) {
            Ok(removals) => {
                let lines = removals.iter().map(|removal| match removal {
                    Removal::Untagged(name) => {
                        engine.note("image", "untag", &name.familiar(), &name.familiar());
                        format!("Untagged: {}\n", name.familiar())
                    }
                    Removal::Deleted(id) => {
                        engine.note("image", "delete", id.as_str(), id.as_str());
                        format!("Deleted: {id}\n")
                    }
                });
                super::print(&lines.collect::<String>())?;
            }
            Err(engine::StoreError::NoImage(_)) if args.force => {}
            Err(error) => outcome.failed(engine::Error::from(error).into()),
        }
    }
    engine.collect()?;
    outcome.finish()
}
