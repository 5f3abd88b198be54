use std::io::{BufRead, Read};
use std::process::ExitCode;

use clap::Args;
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};

use crate::error::{CliError, Kind};
use crate::host::Host;

/// Logs in to a registry and remembers it in docker's configuration.
#[derive(Args)]
pub(crate) struct LoginArgs {
    /// Host and port of the registry [default: docker.io].
    #[arg(default_value = "docker.io", hide_default_value = true)]
    registry: String,
    /// User name.
    #[arg(short, long)]
    username: Option<String>,
    /// Password; visible to others in the process list, so prefer --password-stdin.
    #[arg(short, long, conflicts_with = "password_stdin")]
    password: Option<String>,
    /// Reads the password from standard input.
    #[arg(long)]
    password_stdin: bool,
    #[command(flatten)]
    tls: super::TlsArgs,
}

pub(crate) fn run(args: &LoginArgs, host: &Host) -> Result<ExitCode, CliError> {
    let user = match &args.username {
        Some(user) => user.clone(),
        None if host.stdin_tty && !args.password_stdin => ask("Username: ")?,
        None => return Err(CliError::usage("no user name").hint("pass -u NAME")),
    };
    let password = match &args.password {
        Some(password) => password.clone(),
        None if args.password_stdin => {
            let mut text = String::new();
            std::io::stdin().read_to_string(&mut text)?;
            text.trim_end_matches(['\r', '\n']).to_owned()
        }
        None if host.stdin_tty => {
            let _hidden = Hidden::begin();
            let password = ask("Password: ")?;
            super::status("");
            password
        }
        None => return Err(CliError::usage("no password").hint("pass --password-stdin")),
    };
    if password.is_empty() {
        return Err(CliError::new(Kind::Failed, "the password is empty"));
    }
    let engine = host.engine(args.tls.verify)?;
    engine.login(&args.registry, &user, &password)?;
    engine::store_login(&host.docker_config(), &args.registry, &user, &password)?;
    super::status(&format!(
        "Login succeeded; stored in {}.",
        host.docker_config().display()
    ));
    Ok(ExitCode::SUCCESS)
}

/// What is typed does not show while it lives.
struct Hidden(Option<Termios>);

impl Hidden {
    fn begin() -> Self {
        let before = tcgetattr(std::io::stdin()).ok();
        if let Some(before) = &before {
            let mut silent = before.clone();
            silent.local_modes.remove(LocalModes::ECHO);
            let _ = tcsetattr(std::io::stdin(), OptionalActions::Now, &silent);
        }
        Self(before)
    }
}

impl Drop for Hidden {
    fn drop(&mut self) {
        if let Some(before) = &self.0 {
            let _ = tcsetattr(std::io::stdin(), OptionalActions::Now, before);
        }
    }
}

fn ask(prompt: &str) -> Result<String, CliError> {
    use std::io::Write;
    write!(std::io::stderr(), "{prompt}")?;
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line)?;
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}
