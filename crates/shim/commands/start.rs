use std::process::ExitCode;

use clap::Args;
use engine::Engine;
use runtime::attach::Options;

use crate::error::{CliError, Kind};
use crate::host::Host;

/// Starts containers that were made or have ended.
#[derive(Args)]
pub(crate) struct StartArgs {
    /// Shows the output, passes signals on and gives the exit code.
    #[arg(short, long)]
    attach: bool,
    /// Passes standard input on.
    #[arg(short, long)]
    interactive: bool,
    /// Keys that leave the container running, e.g. `ctrl-p,ctrl-q`.
    #[arg(long, value_name = "KEYS")]
    detach_keys: Option<String>,
    /// Containers by name or id.
    #[arg(required = true)]
    containers: Vec<String>,
}

pub(crate) fn run(args: &StartArgs, host: &Host) -> Result<ExitCode, CliError> {
    let engine = host.engine(true)?;
    if args.attach || args.interactive {
        return match args.containers.as_slice() {
            [one] => attached(args, one, host, &engine),
            _ => Err(
                CliError::usage("several containers cannot be started and attached at once")
                    .hint("start them without --attach, or one by one"),
            ),
        };
    }
    let mut outcome = super::Outcomes::default();
    for name in &args.containers {
        let started = engine.find(name).and_then(|record| engine.start(&record));
        outcome.take(name, started.map_err(CliError::from))?;
    }
    outcome.finish()
}

/// Starts one and stays with it. One that runs is attached as it is.
fn attached(
    args: &StartArgs,
    name: &str,
    host: &Host,
    engine: &Engine,
) -> Result<ExitCode, CliError> {
    let keys = super::attach::detach_keys(args.detach_keys.as_deref())?;
    let record = engine.find(name)?;
    let plan = engine.plan(&record)?;
    let input = args.interactive && plan.process.stdin_open;
    if plan.process.tty && input && !host.stdin_tty {
        return Err(
            CliError::new(Kind::Failed, "standard input is not a terminal").hint("leave -i out"),
        );
    }
    let options = Options {
        detach_keys: keys,
        tty: plan.process.tty,
        input,
        input_once: true,
        lossless: true,
        removes: record.auto_remove,
        // What it writes before we are connected.
        replay: u32::MAX,
        sig_proxy: true,
    };
    if engine.observe(&record)?.is_alive() {
        let mut client = engine.connect(&record)?;
        super::attach::first(&mut client, &options)?;
        return super::attach::pump(engine, &record, &mut client, &options);
    }
    let mut launched = engine.launch(&record)?;
    super::attach::first(&mut launched.client, &options)?;
    let mut client = launched
        .started()
        .map_err(|e| CliError::from(engine.start_error(&record, e)))?;
    super::attach::pump(engine, &record, &mut client, &options)
}
