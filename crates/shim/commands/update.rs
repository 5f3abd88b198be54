use std::process::ExitCode;

use clap::Args;
use model::container::{Limits, Unenforceable};
use model::{ContainerPlan, RestartPolicy};

use crate::error::CliError;
use crate::host::Host;

/// Less than this no container can start with (docker's minimum).
const LEAST_MEMORY: u64 = 6 << 20;

/// Changes the restart policy and the limits of containers.
#[derive(Args)]
pub(crate) struct UpdateArgs {
    /// Containers by name or id.
    #[arg(required = true)]
    containers: Vec<String>,
    /// When to restart: no, always, unless-stopped, on-failure[:MAX].
    #[arg(long, value_name = "POLICY")]
    restart: Option<String>,
    /// Memory, e.g. 512m.
    #[arg(short, long, value_name = "BYTES")]
    memory: Option<String>,
    /// Memory and swap together; -1 is without limit.
    #[arg(long, value_name = "BYTES", allow_hyphen_values = true)]
    memory_swap: Option<String>,
    /// Memory below which others are asked first.
    #[arg(long, value_name = "BYTES")]
    memory_reservation: Option<String>,
    /// Processors, e.g. 1.5.
    #[arg(long, value_name = "NUMBER")]
    cpus: Option<String>,
    /// Relative weight; 1024 is everybody's.
    #[arg(short, long, value_name = "WEIGHT")]
    cpu_shares: Option<u64>,
    /// Microseconds of processor time within a period; -1 is without limit.
    #[arg(long, value_name = "MICROSECONDS", allow_negative_numbers = true)]
    cpu_quota: Option<i64>,
    /// The period, in microseconds.
    #[arg(long, value_name = "MICROSECONDS")]
    cpu_period: Option<u64>,
    /// Processors that it may use, e.g. 0-2,5.
    #[arg(long, value_name = "LIST")]
    cpuset_cpus: Option<String>,
    /// Memory nodes that it may use, e.g. 0,1.
    #[arg(long, value_name = "LIST")]
    cpuset_mems: Option<String>,
    /// Processes and threads; -1 is without limit.
    #[arg(long, value_name = "NUMBER", allow_negative_numbers = true)]
    pids_limit: Option<i64>,
    /// Relative weight of block I/O, 10 to 1000.
    #[arg(long, value_name = "WEIGHT")]
    blkio_weight: Option<u16>,
}

pub(crate) fn run(args: &UpdateArgs, host: &Host) -> Result<ExitCode, CliError> {
    let restart = args.restart.as_deref().map(restart_policy);
    let restart = restart.transpose()?;
    let limits = args.limits()?;
    if restart.is_none() && limits.is_empty() {
        return Err(CliError::usage("nothing to update").hint("name what is to change"));
    }
    let engine = host.engine(true)?;
    let change = |plan: &mut ContainerPlan| {
        plan.restart = restart.unwrap_or(plan.restart);
        merge(&mut plan.limits, &limits);
    };
    let mut outcome = super::Outcomes::default();
    for name in &args.containers {
        let updated = engine
            .find(name)
            .and_then(|record| engine.update(&record, &change));
        outcome.take(name, updated.map_err(CliError::from))?;
    }
    outcome.finish()
}

impl UpdateArgs {
    fn limits(&self) -> Result<Limits, CliError> {
        let bytes = |flag: &str, text: &Option<String>| {
            let read = |text: &String| {
                model::units::parse_size(text)
                    .map_err(|error| CliError::usage(format!("invalid {flag}: {error}")))
            };
            text.as_ref().map(read).transpose()
        };
        let memory = bytes("--memory", &self.memory)?;
        if memory.is_some_and(|bytes| bytes < LEAST_MEMORY) {
            return Err(CliError::usage(
                "--memory is less than 6 MiB, docker's minimum",
            ));
        }
        let swap = match self.memory_swap.as_deref() {
            Some("-1") => Some(-1),
            _ => bytes("--memory-swap", &self.memory_swap)?
                .map(|bytes| i64::try_from(bytes).unwrap_or(i64::MAX)),
        };
        let cpus = match self.cpus.as_deref().map(str::parse::<f64>) {
            None => None,
            Some(Ok(cpus)) if cpus > 0.0 && cpus < 1e6 => Some((cpus * 1e9).round() as u64),
            Some(_) => return Err(CliError::usage("--cpus wants a number, e.g. 1.5")),
        };
        if cpus.is_some() && (self.cpu_quota.is_some() || self.cpu_period.is_some()) {
            return Err(CliError::usage(
                "--cpus excludes --cpu-quota and --cpu-period",
            ));
        }
        if self.blkio_weight.is_some_and(|w| !(10..=1000).contains(&w)) {
            return Err(CliError::usage("--blkio-weight wants 10 to 1000"));
        }
        Ok(Limits {
            memory,
            memory_swap: swap,
            memory_reservation: bytes("--memory-reservation", &self.memory_reservation)?,
            nano_cpus: cpus,
            cpu_shares: self.cpu_shares,
            cpu_quota: self.cpu_quota,
            cpu_period: self.cpu_period,
            cpuset_cpus: self.cpuset_cpus.clone(),
            cpuset_mems: self.cpuset_mems.clone(),
            pids: self.pids_limit,
            blkio_weight: self.blkio_weight,
            ..Limits::default()
        })
    }
}

fn restart_policy(text: &str) -> Result<RestartPolicy, CliError> {
    let (name, retries) = match text.split_once(':') {
        Some((name, retries)) => (name, Some(retries)),
        None => (text, None),
    };
    match (name, retries.map(str::parse)) {
        ("no", None) => Ok(RestartPolicy::No),
        ("always", None) => Ok(RestartPolicy::Always),
        ("unless-stopped", None) => Ok(RestartPolicy::UnlessStopped),
        ("on-failure", None) => Ok(RestartPolicy::OnFailure { max_retries: 0 }),
        ("on-failure", Some(Ok(max_retries))) => Ok(RestartPolicy::OnFailure { max_retries }),
        _ => Err(CliError::usage(format!("invalid --restart `{text}`"))
            .hint("want no, always, unless-stopped or on-failure[:MAX]")),
    }
}

/// What was given replaces what was there.
fn merge(limits: &mut Limits, given: &Limits) {
    fn set<T: Clone>(slot: &mut Option<T>, given: &Option<T>) {
        if given.is_some() {
            slot.clone_from(given);
        }
    }
    if !given.is_empty() {
        // Now it was a flag that asked.
        limits.unenforceable = Unenforceable::Refuse;
    }
    if given.nano_cpus.is_some() {
        (limits.cpu_quota, limits.cpu_period) = (None, None);
    }
    if given.cpu_quota.is_some() || given.cpu_period.is_some() {
        limits.nano_cpus = None;
    }
    set(&mut limits.memory, &given.memory);
    set(&mut limits.memory_swap, &given.memory_swap);
    set(&mut limits.memory_reservation, &given.memory_reservation);
    set(&mut limits.nano_cpus, &given.nano_cpus);
    set(&mut limits.cpu_shares, &given.cpu_shares);
    set(&mut limits.cpu_quota, &given.cpu_quota);
    set(&mut limits.cpu_period, &given.cpu_period);
    set(&mut limits.cpuset_cpus, &given.cpuset_cpus);
    set(&mut limits.cpuset_mems, &given.cpuset_mems);
    set(&mut limits.pids, &given.pids);
    set(&mut limits.blkio_weight, &given.blkio_weight);
}
