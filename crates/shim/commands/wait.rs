use std::process::ExitCode;

use clap::{Args, ValueEnum};
use engine::WaitCondition;

use crate::error::CliError;
use crate::host::Host;

/// Waits until containers have ended, and prints their exit codes.
#[derive(Args)]
pub(crate) struct WaitArgs {
    /// Containers by name or id.
    #[arg(required = true)]
    containers: Vec<String>,
    /// What to wait for.
    #[arg(long, value_enum, default_value = "not-running")]
    condition: Condition,
}

#[derive(Clone, Copy, ValueEnum)]
enum Condition {
    /// It does not run.
    NotRunning,
    /// It ends, even if it has to be started first.
    NextExit,
    /// It is removed.
    Removed,
}

pub(crate) fn run(args: &WaitArgs, host: &Host) -> Result<ExitCode, CliError> {
    let engine = host.engine(true)?;
    let condition = match args.condition {
        Condition::NotRunning => WaitCondition::NotRunning,
        Condition::NextExit => WaitCondition::NextExit,
        Condition::Removed => WaitCondition::Removed,
    };
    let mut outcome = super::Outcomes::default();
    for name in &args.containers {
        let code = engine
            .find(name)
            .and_then(|record| engine.wait(&record, condition));
        match code {
            Ok(code) => drop(super::print(&format!("{code}\n"))?),
            Err(error) => outcome.failed(error.into()),
        }
    }
    outcome.finish()
}
