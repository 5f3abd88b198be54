//! The program: arguments in, requests down, events rendered, exit code out.

mod cli;
mod commands;
mod entry;
mod error;
mod format;
mod host;
mod render;
mod specs;
mod view;

use std::process::ExitCode;

fn main() -> ExitCode {
    // Our own processes come first: they must start fast and know no command line.
    if let Some(code) = entry::hidden() {
        return code;
    }
    match cli::run() {
        Ok(code) => code,
        Err(error) => error.report(),
    }
}
