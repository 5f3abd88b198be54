//! One command, one file: the arguments, then one function.

pub(crate) mod attach;
pub(crate) mod boot;
pub(crate) mod build;
pub(crate) mod commit;
pub(crate) mod compose;
pub(crate) mod config;
pub(crate) mod container;
pub(crate) mod cp;
pub(crate) mod create;
pub(crate) mod diff;
pub(crate) mod doctor;
pub(crate) mod down;
pub(crate) mod events;
pub(crate) mod exec;
pub(crate) mod export;
pub(crate) mod follow;
pub(crate) mod history;
pub(crate) mod image;
pub(crate) mod images;
pub(crate) mod import;
pub(crate) mod inspect;
pub(crate) mod kill;
pub(crate) mod load;
pub(crate) mod login;
pub(crate) mod logout;
pub(crate) mod logs;
pub(crate) mod network;
pub(crate) mod objects;
pub(crate) mod pause;
pub(crate) mod port;
pub(crate) mod project;
pub(crate) mod ps;
pub(crate) mod pull;
pub(crate) mod push;
pub(crate) mod rename;
pub(crate) mod restart;
pub(crate) mod rm;
pub(crate) mod rmi;
pub(crate) mod run;
pub(crate) mod save;
pub(crate) mod start;
pub(crate) mod stats;
pub(crate) mod stop;
pub(crate) mod system;
pub(crate) mod tag;
pub(crate) mod top;
pub(crate) mod up;
pub(crate) mod update;
pub(crate) mod version;
pub(crate) mod volume;
pub(crate) mod wait;

use std::io::Write;
use std::process::ExitCode;

use clap::Args;
use model::Reference;

use crate::error::{CliError, Kind};
use crate::host::Host;

/// Whether a registry's certificate is verified.
#[derive(Args, Clone, Copy)]
pub(crate) struct TlsArgs {
    /// Verifies the registry's certificate; `false` also allows plain http.
    #[arg(
        long = "tls-verify",
        value_name = "BOOL",
        default_value_t = true,
        action = clap::ArgAction::Set,
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "true",
        hide_default_value = true
    )]
    pub(crate) verify: bool,
}

/// Reads an image reference.
pub(crate) fn reference(text: &str) -> Result<Reference, CliError> {
    text.parse()
        .map_err(|error: model::reference::ReferenceError| {
            CliError::from_error(Kind::Failed, &error)
        })
}

/// Data, to standard output.
pub(crate) fn print(text: &str) -> Result<ExitCode, CliError> {
    let page = crate::terminal::page(text);
    let mut out = std::io::stdout().lock();
    match out.write_all(page.as_bytes()).and_then(|()| out.flush()) {
        // A reader that has seen enough, such as `head`.
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(ExitCode::SUCCESS),
    }
}

/// A sentence for the user, to standard error.
pub(crate) fn status(text: &str) {
    let _ = writeln!(std::io::stderr(), "{}", crate::terminal::message(text));
}

/// Enters the user namespace, where the caller is not root. Must come before any thread.
/// What cannot be had on this machine is said here, once.
pub(crate) fn enter(host: &mut Host) -> Result<(), CliError> {
    let identity = runtime::userns::enter(&host.run).map_err(|error| {
        let out = CliError::from_error(Kind::NotStarted, &error);
        match error.hint() {
            Some(hint) => out.hint(hint),
            None => out,
        }
    })?;
    host.namespaced = identity.rootless;
    host.rung = identity.rung;
    if let Some(why) = runtime::userns::shortage(&identity) {
        status(&format!(
            "warning: {why}: every file belongs to you, in containers too, and changes of \
             owner and user inside are only pretended"
        ));
        if let Some(hint) = why.hint() {
            status(&format!("hint: {hint}"));
        }
    }
    Ok(())
}

/// Takes back the note that [`enter`] left for other commands.
pub(crate) fn leave(host: &Host) {
    if host.namespaced {
        runtime::userns::leave(&host.run);
    }
}

/// Several objects, one after the other: what fails is reported, the rest goes on.
#[derive(Default)]
pub(crate) struct Outcomes {
    failed: bool,
}

impl Outcomes {
    /// Reports a failure.
    pub(crate) fn failed(&mut self, error: CliError) {
        let _ = error.report();
        self.failed = true;
    }

    /// Reports a failure, or prints what was done.
    pub(crate) fn take(
        &mut self,
        done: &str,
        result: Result<(), CliError>,
    ) -> Result<(), CliError> {
        match result {
            Ok(()) => print(&format!("{done}\n")).map(drop),
            Err(error) => {
                self.failed(error);
                Ok(())
            }
        }
    }

    /// The exit code of them all.
    pub(crate) fn finish(self) -> Result<ExitCode, CliError> {
        Ok(ExitCode::from(u8::from(self.failed)))
    }
}
