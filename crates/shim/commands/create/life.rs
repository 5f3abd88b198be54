//! Flags about a container's life: its end, its health, its log.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use engine::{HealthChanges, RunRequest};
use model::RestartPolicy;

use crate::error::CliError;
use crate::host::Host;
use crate::specs;

#[derive(Args)]
#[command(next_help_heading = "Life")]
pub(super) struct LifeArgs {
    /// Removes the container when it ends.
    #[arg(long)]
    rm: bool,
    /// When to restart: no, always, unless-stopped, on-failure[:MAX].
    #[arg(long, value_name = "POLICY")]
    restart: Option<String>,
    /// Signal that asks the container to stop.
    #[arg(long, value_name = "SIGNAL")]
    stop_signal: Option<String>,
    /// Seconds until a stop becomes a kill; -1 never.
    #[arg(long, value_name = "SECONDS", allow_negative_numbers = true)]
    stop_timeout: Option<i64>,
    /// Has a small init, which reaps orphans, start the program.
    #[arg(long)]
    init: bool,
    /// Command that checks the container's health.
    #[arg(long, value_name = "COMMAND")]
    health_cmd: Option<String>,
    /// Time between two checks [default: 30s].
    #[arg(long, value_name = "DURATION")]
    health_interval: Option<String>,
    /// Failures in a row that make it unhealthy [default: 3].
    #[arg(long, value_name = "NUMBER")]
    health_retries: Option<u32>,
    /// Time after the start in which failures do not count.
    #[arg(long, value_name = "DURATION")]
    health_start_period: Option<String>,
    /// Time between two checks in that time [default: 5s].
    #[arg(long, value_name = "DURATION")]
    health_start_interval: Option<String>,
    /// A check that takes longer has failed [default: 30s].
    #[arg(long, value_name = "DURATION")]
    health_timeout: Option<String>,
    /// Drops the image's health check.
    #[arg(long)]
    no_healthcheck: bool,
    /// Where the output is kept: json-file, local, none.
    #[arg(long, value_name = "DRIVER")]
    log_driver: Option<String>,
    /// Option of the log, e.g. max-size=10m or max-file=3.
    #[arg(long, value_name = "NAME=VALUE")]
    log_opt: Vec<String>,
    /// Writes the number of the container's first process into a file at each start.
    #[arg(long, value_name = "FILE")]
    pidfile: Option<PathBuf>,
}

impl LifeArgs {
    pub(super) fn apply(&self, request: &mut RunRequest, host: &Host) -> Result<(), CliError> {
        request.auto_remove = self.rm;
        request.restart = self.restart_policy()?;
        request.stop_signal = self.stop_signal.clone();
        request.stop_timeout = match self.stop_timeout {
            None => None,
            Some(-1) => Some(Duration::from_millis(u64::MAX)),
            Some(seconds) => match u64::try_from(seconds) {
                Ok(seconds) => Some(Duration::from_secs(seconds)),
                Err(_) => {
                    let message = format!("invalid --stop-timeout `{seconds}`");
                    return Err(CliError::usage(message).hint("write seconds, or -1 for no end"));
                }
            },
        };
        request.init = self.init;
        self.health(request)?;
        request.logging = specs::logging(self.log_driver.as_deref(), &self.log_opt, request)?;
        request.pid_file = self.pidfile.as_ref().map(|path| host.cwd.join(path));
        Ok(())
    }

    fn health(&self, request: &mut RunRequest) -> Result<(), CliError> {
        request.health_changes = HealthChanges {
            command: self
                .health_cmd
                .clone()
                .filter(|command| !command.is_empty()),
            interval: duration("--health-interval", self.health_interval.as_deref())?,
            timeout: duration("--health-timeout", self.health_timeout.as_deref())?,
            start_period: duration("--health-start-period", self.health_start_period.as_deref())?,
            start_interval: duration(
                "--health-start-interval",
                self.health_start_interval.as_deref(),
            )?,
            retries: self.health_retries,
        };
        if self.no_healthcheck {
            if request.health_changes != HealthChanges::default() || self.health_cmd.is_some() {
                let message = "--no-healthcheck excludes the --health-… flags";
                return Err(CliError::usage(message).hint("leave one of the two out"));
            }
            request.health = Some(None);
        }
        Ok(())
    }

    fn restart_policy(&self) -> Result<Option<RestartPolicy>, CliError> {
        use RestartPolicy::{Always, No, OnFailure, UnlessStopped};
        let Some(text) = self.restart.as_deref() else {
            return Ok(None);
        };
        let policy = match text.split_once(':') {
            None => match text {
                "no" | "" => Some(No),
                "always" => Some(Always),
                "unless-stopped" => Some(UnlessStopped),
                "on-failure" => Some(OnFailure { max_retries: 0 }),
                _ => None,
            },
            Some(("on-failure", n)) => n.parse().ok().map(|max_retries| OnFailure { max_retries }),
            Some(_) => None,
        };
        if self.rm && !matches!(policy, Some(No) | None) {
            return Err(CliError::usage("--rm and --restart exclude each other")
                .hint("leave one of the two out"));
        }
        policy.map(Some).ok_or_else(|| {
            CliError::usage(format!("invalid --restart `{text}`"))
                .hint("write no, always, unless-stopped, on-failure or on-failure:N")
        })
    }
}

/// Docker's times are zero, for the default, or a millisecond at least.
fn duration(flag: &str, text: Option<&str>) -> Result<Option<Duration>, CliError> {
    let Some(text) = text else {
        return Ok(None);
    };
    let wrong = |why: &str| {
        CliError::usage(format!("invalid {flag} `{text}`: {why}"))
            .hint("write a duration, e.g. 30s, 1m30s or 500ms")
    };
    let duration = model::units::parse_duration(text).map_err(|_| wrong("it is not a duration"))?;
    match duration.is_zero() || duration >= Duration::from_millis(1) {
        true => Ok(Some(duration)),
        false => Err(wrong("it is less than a millisecond")),
    }
}
