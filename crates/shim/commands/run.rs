use std::process::ExitCode;

use clap::Args;
use engine::{ContainerRecord, Engine, Making};
use runtime::attach::DetachKeys;

use super::create::{CommandArgs, ContainerArgs};
use crate::error::{CliError, Kind};
use crate::host::Host;
use crate::render::{Renderer, Style};

/// Makes a container and starts it.
#[derive(Args)]
pub(crate) struct RunArgs {
    /// Leaves the container in the background and prints its id.
    #[arg(short, long)]
    detach: bool,
    /// Keys that leave the container running, e.g. `ctrl-p,ctrl-q`.
    #[arg(long, value_name = "KEYS")]
    detach_keys: Option<String>,
    #[command(flatten)]
    container: ContainerArgs,
    #[command(flatten)]
    command: CommandArgs,
}

pub(crate) fn run(args: &RunArgs, host: &Host) -> Result<ExitCode, CliError> {
    let keys = super::attach::detach_keys(args.detach_keys.as_deref())?;
    if args.container.tty && args.container.interactive && !args.detach && !host.stdin_tty {
        return Err(
            CliError::new(Kind::NotStarted, "standard input is not a terminal")
                .hint("leave -t out"),
        );
    }
    let mut request = args.container.request(&args.command, host)?;
    request.wait_for_attach = !args.detach;
    let engine = host.engine(true)?;
    let renderer = Renderer::new(Style::for_host(host, args.container.quiet));
    let (record, making) = engine
        .create_to_run(&request, &renderer)
        .map_err(not_started)?;
    let outcome = match args.detach {
        true => {
            let started = engine.start(&record);
            drop(making);
            started.map_err(CliError::from).map(|()| None)
        }
        false => foreground(&engine, &record, making, keys).map(Some),
    };
    match outcome {
        Ok(None) => super::print(&format!("{}\n", record.id)),
        Ok(Some(code)) => Ok(code),
        Err(error) => {
            // As docker has it, one that did not come to life stays, to be looked at.
            if request.auto_remove {
                let _ = engine.remove(&record, true, true);
                let _ = engine.gateway_may_end();
            }
            Err(error)
        }
    }
}

/// Errors before a process exists carry docker's exit code 125.
pub(super) fn not_started(error: engine::Error) -> CliError {
    let error = CliError::from(error);
    match error.kind {
        Kind::Failed => error.with_kind(Kind::NotStarted),
        _ => error,
    }
}

fn foreground(
    engine: &Engine,
    record: &ContainerRecord,
    making: Making,
    keys: DetachKeys,
) -> Result<ExitCode, CliError> {
    let plan = engine.plan(record)?;
    let mut launched = engine.launch(record)?;
    let options = runtime::attach::Options {
        detach_keys: keys,
        tty: plan.process.tty,
        input: plan.process.stdin_open,
        input_once: true,
        lossless: true,
        removes: record.auto_remove,
        replay: 0,
        sig_proxy: true,
    };
    super::attach::first(&mut launched.client, &options)?;
    let mut client = launched
        .started()
        .map_err(|e| CliError::from(engine.start_error(record, e)))?;
    drop(making);
    super::attach::pump(engine, record, &mut client, &options)
}
