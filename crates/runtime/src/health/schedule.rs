//! When to probe, and what the answers mean. Pure.

use std::time::Duration;

use model::health::{HealthCheck, HealthStatus};
use serde::{Deserialize, Serialize};

use crate::supervise::clock::Moment;

/// Shortest time between two probes of a container that has not been healthy yet.
const OFTEN: Duration = Duration::from_millis(100);

/// Probing takes at most a fifth of the time: a slow probe is repeated less often.
const SHARE: u32 = 4;

/// The pace and the verdict of one run's checks.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Schedule {
    check: HealthCheck,
    began: Moment,
    next: Moment,
    /// A failure from here on counts.
    counts_from: Moment,
    status: HealthStatus,
    streak: u32,
}

impl Schedule {
    pub(super) fn new(check: HealthCheck, began: Moment) -> Self {
        let first = began + Duration::from_millis(check.interval_ms);
        let settled = began + Duration::from_millis(check.start_period_ms);
        Self {
            check,
            began,
            next: began,
            counts_from: first.max(settled),
            status: HealthStatus::Starting,
            streak: 0,
        }
    }

    pub(super) fn check(&self) -> &HealthCheck {
        &self.check
    }

    pub(super) fn status(&self) -> HealthStatus {
        self.status
    }

    pub(super) fn streak(&self) -> u32 {
        self.streak
    }

    /// When the next probe is due.
    pub(super) fn next(&self) -> Moment {
        self.next
    }

    /// Puts the next probe off for a moment.
    pub(super) fn postpone(&mut self, now: Moment) {
        self.next = now + Duration::from_secs(1);
    }

    /// Takes the result of a probe.
    pub(super) fn record(&mut self, success: bool, began: Moment, ended: Moment) {
        let interval = Duration::from_millis(self.check.interval_ms);
        if success {
            self.status = HealthStatus::Healthy;
            self.streak = 0;
            self.counts_from = ended;
        } else if began >= self.counts_from {
            self.streak += 1;
            self.counts_from = began + interval;
            if self.streak >= self.check.retries.max(1) {
                self.status = HealthStatus::Unhealthy;
            }
        }
        self.next = ended + self.pause(interval, began, ended);
    }

    /// While starting: often at first, then at a tenth of the time that has passed, never
    /// rarer than asked for.
    fn pause(&self, interval: Duration, began: Moment, ended: Moment) -> Duration {
        if self.status != HealthStatus::Starting {
            return interval;
        }
        let asked = match Duration::from_millis(self.check.start_interval_ms) {
            Duration::ZERO => interval,
            start => start.min(interval),
        };
        let passed = ended.saturating_sub(self.began);
        let cost = ended.saturating_sub(began) * SHARE;
        (passed / 10).max(OFTEN).max(cost).min(asked.max(OFTEN))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn check() -> HealthCheck {
        HealthCheck {
            argv: vec!["true".into()],
            interval_ms: 1000,
            timeout_ms: 1000,
            start_period_ms: 0,
            start_interval_ms: 5000,
            retries: 3,
        }
    }

    /// Lets probes of no length fail or succeed until the time; says the verdicts and when
    /// each began.
    fn run(
        schedule: &mut Schedule,
        until: Duration,
        success: impl Fn(Duration) -> bool,
    ) -> Vec<(u128, HealthStatus)> {
        let mut seen = vec![(0, schedule.status())];
        while schedule.next() <= until {
            let at = schedule.next();
            schedule.record(success(at), at, at);
            if seen.last().is_none_or(|(_, s)| *s != schedule.status()) {
                seen.push((at.as_millis(), schedule.status()));
            }
        }
        seen
    }

    use HealthStatus::{Healthy, Starting, Unhealthy};

    #[test]
    fn the_first_success_is_noticed_soon() {
        let mut schedule = Schedule::new(check(), Duration::ZERO);
        let seen = run(&mut schedule, 2000 * MS, |at| at >= 350 * MS);
        assert_eq!(seen, [(0, Starting), (400, Healthy)]);
        let mut slow = check();
        slow.interval_ms = 30_000;
        let mut schedule = Schedule::new(slow, Duration::ZERO);
        let seen = run(&mut schedule, 40_000 * MS, |at| at >= 20_000 * MS);
        assert!(seen[1].0 < 22_500, "{seen:?}");
    }

    #[test]
    fn unhealthy_keeps_dockers_pace() {
        let mut schedule = Schedule::new(check(), Duration::ZERO);
        let seen = run(&mut schedule, 10_000 * MS, |_| false);
        assert_eq!(seen[1].1, Unhealthy);
        assert!((3000..3500).contains(&seen[1].0), "{seen:?}");
    }

    #[test]
    fn failures_in_the_start_period_do_not_count() {
        let mut patient = check();
        patient.start_period_ms = 5000;
        let mut schedule = Schedule::new(patient, Duration::ZERO);
        let seen = run(&mut schedule, 20_000 * MS, |_| false);
        assert!((7000..9000).contains(&seen[1].0), "{seen:?}");
    }

    #[test]
    fn a_healthy_container_is_probed_at_the_interval() {
        let mut schedule = Schedule::new(check(), Duration::ZERO);
        let seen = run(&mut schedule, 9000 * MS, |at| {
            at < 1500 * MS || at >= 5500 * MS
        });
        assert_eq!(
            seen,
            [
                (0, Starting),
                (0, Healthy),
                (4000, Unhealthy),
                (6000, Healthy)
            ]
        );
        assert_eq!(schedule.streak(), 0);
    }

    #[test]
    fn a_slow_probe_is_repeated_less_often() {
        let mut schedule = Schedule::new(check(), Duration::ZERO);
        schedule.record(false, Duration::ZERO, 200 * MS);
        assert_eq!(schedule.next(), 1000 * MS);
    }
}
