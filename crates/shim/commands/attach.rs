use std::os::fd::AsFd;
use std::process::ExitCode;

use clap::Args;
use engine::{ContainerRecord, Engine};
use runtime::attach::{Client, DetachKeys, Options, Outcome, Stdio};

use crate::error::{CliError, Kind};
use crate::host::Host;

/// How much earlier output a new client is shown.
const REPLAY_BYTES: u32 = 4096;

/// Connects this terminal to a running container.
#[derive(Args)]
pub(crate) struct AttachArgs {
    /// Container by name or id, or a service of this directory's project.
    container: String,
    /// Sends no input.
    #[arg(long)]
    no_stdin: bool,
    /// Passes signals on to the container.
    #[arg(long, default_value_t = true, action = clap::ArgAction::Set, value_name = "BOOL")]
    sig_proxy: bool,
    /// Keys that leave the container running, e.g. `ctrl-p,ctrl-q`.
    #[arg(long, value_name = "KEYS")]
    detach_keys: Option<String>,
}

pub(crate) fn run(args: &AttachArgs, host: &Host) -> Result<ExitCode, CliError> {
    let keys = detach_keys(args.detach_keys.as_deref())?;
    let engine = host.engine(true)?;
    let record = super::project::find(&engine, host, &args.container)?;
    let plan = engine.plan(&record)?;
    let mut client = engine.connect(&record)?;
    let options = Options {
        detach_keys: keys,
        tty: plan.process.tty,
        input: plan.process.stdin_open && !args.no_stdin,
        input_once: false,
        lossless: false,
        removes: false,
        replay: REPLAY_BYTES,
        sig_proxy: args.sig_proxy,
    };
    first(&mut client, &options)?;
    pump(&engine, &record, &mut client, &options)
}

/// Reads `--detach-keys`.
pub(super) fn detach_keys(text: Option<&str>) -> Result<DetachKeys, CliError> {
    let keys = text.map_or_else(|| Ok(DetachKeys::default()), str::parse);
    keys.map_err(|error| CliError::from_error(Kind::Usage, &error))
}

/// Asks to be attached.
pub(super) fn first(client: &mut Client, options: &Options) -> Result<(), CliError> {
    with_stdio(|stdio| runtime::attach::request(client, stdio, options))
        .map_err(|error| CliError::from_error(Kind::Failed, &error))
}

/// Moves bytes until the process ends or the user leaves; gives the exit code.
pub(super) fn pump(
    engine: &Engine,
    record: &ContainerRecord,
    client: &mut Client,
    options: &Options,
) -> Result<ExitCode, CliError> {
    let outcome = with_stdio(|stdio| runtime::attach::run(client, stdio, options))
        .map_err(|error| CliError::from_error(Kind::Failed, &error))?;
    match outcome {
        Outcome::Exited(code) => {
            if options.removes {
                // Ours to do; what is left in the trash is emptied behind us.
                match engine.take_away(record, false, true) {
                    // It was restarted, and goes when it ends again.
                    Err(engine::Error::State { .. }) => {}
                    other => other?,
                }
            } else if record.auto_remove {
                // The supervisor keeps the connection until the container is gone.
                let _ = client.closed();
            }
            Ok(ExitCode::from(code as u8))
        }
        Outcome::Detached => Ok(ExitCode::SUCCESS),
        Outcome::Lost => Ok(ExitCode::from(engine.exit_code(record)? as u8)),
    }
}

fn with_stdio<T>(act: impl FnOnce(Stdio<'_>) -> T) -> T {
    let (stdin, stdout, stderr) = (std::io::stdin(), std::io::stdout(), std::io::stderr());
    act(Stdio {
        stdin: stdin.as_fd(),
        stdout: stdout.as_fd(),
        stderr: stderr.as_fd(),
    })
}
