use std::process::ExitCode;

use clap::Args;
use engine::{ContainerRecord, Engine, Making};
use runtime::attach::{DetachKeys, Options};

use super::create::{CommandArgs, ContainerArgs, Streams};
use crate::error::{CliError, Kind};
use crate::host::Host;
use crate::render::{Renderer, Style};

/// Makes a container and starts it.
#[derive(Args)]
#[command(disable_help_flag = true)]
pub(crate) struct RunArgs {
    /// Leaves the container in the background and prints its id.
    #[arg(short, long)]
    detach: bool,
    /// Keys that leave the container running, e.g. `ctrl-p,ctrl-q`.
    #[arg(long, value_name = "KEYS")]
    detach_keys: Option<String>,
    /// Passes signals on to the container.
    #[arg(long, default_value_t = true, action = clap::ArgAction::Set, value_name = "BOOL",
          num_args = 0..=1, require_equals = true, default_missing_value = "true",
          hide_default_value = true)]
    sig_proxy: bool,
    #[command(flatten)]
    container: ContainerArgs,
    #[command(flatten)]
    command: CommandArgs,
}

pub(crate) fn run(args: &RunArgs, host: &Host) -> Result<ExitCode, CliError> {
    let keys = super::attach::detach_keys(args.detach_keys.as_deref())?;
    let streams = args.streams()?;
    if args.container.tty && streams.input && !args.detach && !host.stdin_tty {
        return Err(
            CliError::new(Kind::NotStarted, "standard input is not a terminal")
                .hint("leave -t out"),
        );
    }
    let mut request = args.container.request(&args.command, host)?;
    request.wait_for_attach = !args.detach;
    let id_file = args.container.id_file(host)?;
    let engine = host.engine(true)?;
    let renderer = Renderer::new(Style::for_host(host, args.container.quiet));
    let (record, making) = engine
        .create_to_run(&request, &renderer)
        .map_err(|error| not_started(error.into()))?;
    id_file.write(&engine, &record).map_err(not_started)?;
    let outcome = match args.detach {
        true => {
            let started = engine.start(&record);
            drop(making);
            started.map_err(CliError::from).map(|()| None)
        }
        false => {
            let client = Attached {
                keys,
                streams,
                sig_proxy: args.sig_proxy,
            };
            foreground(&engine, &record, making, client).map(Some)
        }
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

impl RunArgs {
    /// What our own streams are connected to.
    fn streams(&self) -> Result<Streams, CliError> {
        let chosen = self.container.streams()?;
        if self.detach && chosen.is_some() {
            return Err(CliError::usage("--attach and --detach exclude each other")
                .hint("leave one of the two out"));
        }
        let mut streams = chosen.unwrap_or(Streams {
            input: true,
            output: true,
            errors: true,
        });
        streams.input &= self.container.interactive;
        Ok(streams)
    }
}

/// Errors before a process exists carry docker's exit code 125.
pub(super) fn not_started(error: CliError) -> CliError {
    match error.kind {
        Kind::Failed => error.with_kind(Kind::NotStarted),
        _ => error,
    }
}

/// How we are connected to the container.
struct Attached {
    keys: DetachKeys,
    streams: Streams,
    sig_proxy: bool,
}

fn foreground(
    engine: &Engine,
    record: &ContainerRecord,
    making: Making,
    Attached {
        keys,
        streams,
        sig_proxy,
    }: Attached,
) -> Result<ExitCode, CliError> {
    let plan = engine.plan(record)?;
    let mut launched = engine.launch(record)?;
    let options = Options {
        detach_keys: keys,
        tty: plan.process.tty,
        input: streams.input,
        input_once: true,
        lossless: true,
        removes: record.auto_remove,
        replay: 0,
        sig_proxy,
    };
    if !streams.output && !streams.errors {
        // As docker: who sees nothing else is told what to look for.
        super::print(&format!("{}\n", record.id))?;
    }
    super::attach::first(&mut launched.client, &options)?;
    let mut client = launched
        .started()
        .map_err(|e| CliError::from(engine.start_error(record, e)))?;
    drop(making);
    silence(streams)?;
    super::attach::pump(engine, record, &mut client, &options)
}

/// Streams that nobody is connected to lead nowhere.
fn silence(streams: Streams) -> Result<(), CliError> {
    if streams.output && streams.errors {
        return Ok(());
    }
    let nowhere = std::fs::File::options().write(true).open("/dev/null")?;
    let replaced = |result: rustix::io::Result<()>| result.map_err(std::io::Error::from);
    if !streams.output {
        replaced(rustix::stdio::dup2_stdout(&nowhere))?;
    }
    if !streams.errors {
        replaced(rustix::stdio::dup2_stderr(&nowhere))?;
    }
    Ok(())
}
