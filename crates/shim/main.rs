//! The program: arguments in, requests down, events rendered, exit code out.

mod cli;
mod commands;
mod entry;
mod error;
mod format;
mod host;
mod render;
mod specs;
mod terminal;
mod view;

use std::process::ExitCode;

fn main() -> ExitCode {
    // Our own processes come first: they must start fast and know no command line.
    if let Some(code) = entry::hidden() {
        return code;
    }
    trace();
    match cli::run() {
        Ok(code) => code,
        Err(error) => error.report(),
    }
}

/// What the libraries below log, if `SHIM_LOG` asks for it, e.g. `SHIM_LOG=debug`.
fn trace() {
    if std::env::var_os("SHIM_LOG").is_some() {
        let filter = tracing_subscriber::EnvFilter::from_env("SHIM_LOG");
        tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_writer(std::io::stderr)
            .init();
    }
}
