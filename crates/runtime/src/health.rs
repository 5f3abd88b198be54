//! Health checks: when to probe, and what the answers mean.
//!
//! Docker probes first after a whole interval, so that whoever waits for `healthy` waits
//! at least that long. Here a container is probed at once and then often until its first
//! success. The verdict *unhealthy* keeps docker's pace: a failure counts only once an
//! interval has passed since the last one that counted.

mod probe;
mod schedule;

use std::os::fd::BorrowedFd;
use std::time::Duration;

use model::ContainerPlan;
use model::container::{HealthState, ProcessRef};
use model::health::{HealthCheck, HealthProbe};
use serde::{Deserialize, Serialize};

use self::probe::Probe;
use self::schedule::Schedule;
use crate::freezer;
use crate::supervise::clock::Moment;

/// Probes that `inspect` shows.
const KEPT: usize = 5;

/// The health checks of one run.
#[derive(Debug)]
pub(crate) struct Checker {
    schedule: Schedule,
    probe: Option<Probe>,
    log: Vec<HealthProbe>,
}

/// A checker between two probes.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct CheckerState {
    schedule: Schedule,
    log: Vec<HealthProbe>,
}

impl Checker {
    /// For a run that began at this moment.
    pub(crate) fn new(check: HealthCheck, began: Moment) -> Self {
        Self {
            schedule: Schedule::new(check, began),
            probe: None,
            log: Vec::new(),
        }
    }

    /// What `inspect` shows.
    pub(crate) fn state(&self) -> HealthState {
        HealthState {
            status: self.schedule.status(),
            failing_streak: self.schedule.streak(),
            log: self.log.clone(),
        }
    }

    /// When [`Self::on_time`] has something to do.
    pub(crate) fn deadline(&self) -> Option<Moment> {
        match &self.probe {
            Some(probe) => probe.deadline(),
            None => Some(self.schedule.next()),
        }
    }

    /// What wakes us: the probe's output and its end.
    pub(crate) fn poll_fds(&self) -> Vec<BorrowedFd<'_>> {
        self.probe.iter().flat_map(Probe::poll_fds).collect()
    }

    /// Reads the running probe's output.
    pub(crate) fn read_output(&mut self) {
        if let Some(probe) = &mut self.probe {
            probe.read_output();
        }
    }

    /// Starts the probe that is due, ends the one whose time is over.
    pub(crate) fn on_time(
        &mut self,
        now: Moment,
        plan: &ContainerPlan,
        init: ProcessRef,
        boot_id: &str,
    ) {
        match &mut self.probe {
            Some(probe) => probe.on_time(now),
            // A probe of a paused container would freeze with it, and we with the probe.
            None if self.schedule.next() <= now && freezer::is_frozen(init.pid, &plan.id) => {
                self.schedule.postpone(now);
            }
            None if self.schedule.next() <= now => {
                let check = self.schedule.check();
                let timeout = Duration::from_millis(check.timeout_ms);
                match Probe::start(&check.argv, timeout, plan, init, boot_id) {
                    Ok(probe) => self.probe = Some(probe),
                    Err(e) => {
                        let said = format!("{e}");
                        self.record(HealthProbe::failed_to_start(said), now, now);
                    }
                }
            }
            None => {}
        }
    }

    /// Takes the end of a child; false if it was no probe of ours.
    pub(crate) fn on_exit(&mut self, pid: i32, code: i32) -> bool {
        match self.probe.take_if(|probe| probe.pid() == pid) {
            Some(probe) => {
                let began = probe.began();
                let now = crate::supervise::clock::now();
                self.record(probe.finish(code, now), began, now);
                true
            }
            None => false,
        }
    }

    /// Whether a probe is running.
    pub(crate) fn is_busy(&self) -> bool {
        self.probe.is_some()
    }

    /// What survives the supervisor's executing itself; call it when not busy.
    pub(crate) fn into_state(self) -> CheckerState {
        CheckerState {
            schedule: self.schedule,
            log: self.log,
        }
    }

    /// The reverse of [`Self::into_state`].
    pub(crate) fn from_state(state: CheckerState) -> Self {
        Self {
            schedule: state.schedule,
            probe: None,
            log: state.log,
        }
    }

    /// Ends a running probe: the container has ended.
    pub(crate) fn abandon(self) {
        if let Some(probe) = self.probe {
            probe.abandon();
        }
    }

    fn record(&mut self, result: HealthProbe, began: Moment, ended: Moment) {
        self.schedule.record(result.exit_code == 0, began, ended);
        if self.log.len() == KEPT {
            self.log.remove(0);
        }
        self.log.push(result);
    }
}

/// Words for a probe that never ran.
trait FailedToStart {
    fn failed_to_start(said: String) -> Self;
}

impl FailedToStart for HealthProbe {
    fn failed_to_start(said: String) -> Self {
        let now = crate::supervise::record::now();
        Self {
            start: now.clone(),
            end: now,
            exit_code: -1,
            output: said,
        }
    }
}
