use std::process::{Command, ExitCode, Stdio};

use clap::{Args, Subcommand};
use engine::{Occasion, RevivalOutcome, Revived};

use self::install::Place;
use crate::error::{CliError, Kind};
use crate::host::Host;

mod install;

/// Restart policies across a restart of the machine.
#[derive(Args)]
pub(crate) struct BootArgs {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Has the machine start this store's containers when it boots, as their restart
    /// policies promise: a systemd unit (of the user, or of the system for root), or a
    /// line of the crontab where there is no systemd.
    Install {
        #[command(flatten)]
        place: PlaceArgs,
        /// Prints the unit, or the line of the crontab, and changes nothing.
        #[arg(long)]
        print: bool,
    },
    /// Takes that back.
    Remove {
        #[command(flatten)]
        place: PlaceArgs,
    },
    /// Starts the containers that ran when the machine went down and have a restart
    /// policy; those with `always` in any case.
    Run {
        /// Only those whose supervisor was killed.
        #[arg(long, hide = true)]
        lost: bool,
    },
    /// Stops all containers, as the machine does that goes down: `boot run` brings them
    /// back.
    Stop,
}

/// Where the machine looks for what to start.
#[derive(Args)]
struct PlaceArgs {
    /// Uses systemd, even if this machine does not run it now.
    #[arg(long, conflicts_with = "cron")]
    systemd: bool,
    /// Uses the crontab.
    #[arg(long)]
    cron: bool,
    /// Directory of systemd's units [default: ~/.config/systemd/user, or
    /// /etc/systemd/system for root].
    #[arg(long, value_name = "DIR", conflicts_with = "cron")]
    unit_dir: Option<std::path::PathBuf>,
}

impl BootArgs {
    /// Whether it touches layers, volumes or mounts.
    pub(crate) fn needs_namespace(&self) -> bool {
        matches!(self.verb, Verb::Run { .. })
    }
}

pub(crate) fn run(args: &BootArgs, host: &Host) -> Result<ExitCode, CliError> {
    match &args.verb {
        Verb::Install { place, print } => install::install(&place.place(host)?, *print, host),
        Verb::Remove { place } => install::remove(&place.place(host)?, host),
        Verb::Run { lost } => {
            let occasion = match lost {
                true => Occasion::Command,
                false => Occasion::Boot,
            };
            let revived = host.engine(true)?.revive(occasion)?;
            Ok(report(revived, *lost))
        }
        Verb::Stop => {
            host.engine(true)?.stop_for_shutdown()?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

impl PlaceArgs {
    fn place(&self, host: &Host) -> Result<Place, CliError> {
        match (self.systemd || self.unit_dir.is_some(), self.cron) {
            (_, true) => Ok(Place::Cron),
            (true, _) => Place::systemd(self.unit_dir.clone(), host),
            _ if install::systemd_runs() => Place::systemd(None, host),
            _ => Ok(Place::Cron),
        }
    }
}

/// Says what became of each. At boot that is data, before another command it is news.
fn report(revived: Vec<Revived>, aside: bool) -> ExitCode {
    let mut failed = false;
    for Revived { name, why, outcome } in revived {
        let why = why.map_or_else(String::new, |why| format!(": {why}"));
        match outcome {
            Ok(outcome) if aside => super::status(&match outcome {
                RevivalOutcome::Started => {
                    format!("container {name} had ended{why}; it runs again")
                }
                RevivalOutcome::Ended => format!("container {name} has ended{why}"),
            }),
            Ok(RevivalOutcome::Started) => {
                let _ = super::print(&format!("{name}\n"));
            }
            Ok(RevivalOutcome::Ended) => {}
            Err(error) => {
                failed = true;
                let _ = CliError::from(error).with_kind(Kind::Failed).report();
            }
        }
    }
    ExitCode::from(u8::from(failed))
}

/// Sees to containers whose supervisor was killed, before a command looks at any. That
/// takes a process of its own: this one need not be in the user namespace.
pub(crate) fn see_to_lost(host: &Host) {
    if !engine::lost_any(&host.root, &host.run) {
        return;
    }
    let mut child = Command::new(&host.exe);
    child
        .arg("--root")
        .arg(&host.root)
        .args(["boot", "run", "--lost"])
        .stdin(Stdio::null())
        .stdout(Stdio::null());
    // What fails in there is told there; the command that was asked for may still work.
    if let Err(error) = child.status() {
        super::status(&format!(
            "warning: cannot see to containers that have lost their supervisor: {error}"
        ));
    }
}
