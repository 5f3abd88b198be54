use std::process::ExitCode;

use clap::Args;
use engine::CommitRequest;

use crate::error::CliError;
use crate::host::Host;

/// Makes an image of a container's changes.
#[derive(Args)]
pub(crate) struct CommitArgs {
    /// Container by name or id.
    container: String,
    /// Name of the image.
    image: Option<String>,
    /// Who made it, e.g. `Ann <ann@example.org>`.
    #[arg(short, long)]
    author: Option<String>,
    /// Sets a part of the image's configuration, e.g. `CMD ["sh"]` or `ENV A=1`; may be
    /// given several times.
    #[arg(short, long = "change", value_name = "INSTRUCTION")]
    changes: Vec<String>,
    /// What this is about.
    #[arg(short, long)]
    message: Option<String>,
    /// Pauses the container meanwhile, where it can be paused.
    #[arg(
        short,
        long,
        value_name = "BOOL",
        default_value_t = true,
        action = clap::ArgAction::Set,
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "true"
    )]
    pause: bool,
    /// Does not pause the container.
    #[arg(long, conflicts_with = "pause")]
    no_pause: bool,
}

pub(crate) fn run(args: &CommitArgs, host: &Host) -> Result<ExitCode, CliError> {
    let reference = args.image.as_deref().map(super::reference).transpose()?;
    let engine = host.engine(true)?;
    let record = engine.find(&args.container)?;
    let mut config = record.config.clone();
    for change in &args.changes {
        super::import::apply(&mut config, change)?;
    }
    let request = CommitRequest {
        author: args.author.clone(),
        comment: args.message.clone(),
        pause: args.pause && !args.no_pause,
        config: Some(config),
    };
    let image = engine.commit(&record, &request, reference.as_ref())?;
    super::print(&format!("{}\n", image.id))
}
