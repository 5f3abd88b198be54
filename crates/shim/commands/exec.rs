use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use engine::ExecRequest;

use crate::error::{CliError, Kind};
use crate::host::Host;
use crate::specs;

/// Executes another process in a running container.
#[derive(Args)]
pub(crate) struct ExecArgs {
    #[command(flatten)]
    pub(super) flags: ExecFlags,
    /// Container by name or id, or a service of this directory's project.
    pub(super) container: String,
    /// Program and its arguments.
    #[arg(
        required = true,
        trailing_var_arg = true,
        allow_hyphen_values = true,
        value_name = "COMMAND"
    )]
    pub(super) argv: Vec<String>,
}

/// Flags of `exec`.
#[derive(Args, Clone)]
pub(crate) struct ExecFlags {
    /// Leaves the process in the background.
    #[arg(short, long)]
    detach: bool,
    /// Passes standard input on.
    #[arg(short, long)]
    pub(super) interactive: bool,
    /// Allocates a pseudo-terminal.
    #[arg(short, long)]
    pub(super) tty: bool,
    /// User, and group if not its own.
    #[arg(short, long, value_name = "USER[:GROUP]")]
    user: Option<String>,
    /// Working directory inside.
    #[arg(short, long, value_name = "DIR")]
    workdir: Option<String>,
    /// Sets a variable; a name alone takes the caller's value.
    #[arg(short, long, value_name = "NAME[=VALUE]")]
    env: Vec<String>,
    /// Reads variables from a file, one NAME=VALUE a line.
    #[arg(long, value_name = "FILE")]
    env_file: Vec<PathBuf>,
    /// Gives the process every capability.
    #[arg(long)]
    privileged: bool,
    /// Keys that leave the process running, e.g. `ctrl-p,ctrl-q`.
    #[arg(long, value_name = "KEYS")]
    detach_keys: Option<String>,
}

pub(crate) fn run(args: &ExecArgs, host: &Host) -> Result<ExitCode, CliError> {
    let engine = host.engine(true)?;
    let record = super::project::find(&engine, host, &args.container)?;
    execute(&engine, &record, &args.flags, &args.argv, host)
}

/// Executes, and gives the process's exit code.
pub(super) fn execute(
    engine: &engine::Engine,
    record: &engine::ContainerRecord,
    flags: &ExecFlags,
    argv: &[String],
    host: &Host,
) -> Result<ExitCode, CliError> {
    if flags.tty && flags.interactive && !flags.detach && !host.stdin_tty {
        return Err(
            CliError::new(Kind::Failed, "standard input is not a terminal").hint("leave -t out"),
        );
    }
    let keys = super::attach::detach_keys(flags.detach_keys.as_deref())?;
    let mut env = Vec::new();
    for file in &flags.env_file {
        env.extend(specs::read_env_file(
            &host.cwd.join(file),
            &host.environment,
        )?);
    }
    for text in &flags.env {
        env.extend(specs::variable(text, &host.environment)?);
    }
    let request = ExecRequest {
        container: record.id.as_str().to_owned(),
        argv: argv.to_vec(),
        env,
        user: flags.user.clone(),
        workdir: flags.workdir.clone(),
        tty: flags.tty,
        stdin_open: flags.interactive,
        detach: flags.detach,
        privileged: flags.privileged,
    };
    let Some(mut client) = engine.exec(record, &request)? else {
        return Ok(ExitCode::SUCCESS);
    };
    let options = runtime::attach::Options {
        detach_keys: keys,
        tty: flags.tty,
        input: flags.interactive,
        input_once: true,
        lossless: true,
        sig_proxy: true,
        ..runtime::attach::Options::default()
    };
    super::attach::first(&mut client, &options)?;
    client
        .started()
        .map_err(|error| CliError::from(engine.exec_error(record, error)))?;
    super::attach::pump(engine, record, &mut client, &options)
}
