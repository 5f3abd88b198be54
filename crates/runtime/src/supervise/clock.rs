//! Time that does not jump, and that survives the supervisor's executing itself.

use std::time::Duration;

use rustix::event::Timespec;
use rustix::time::ClockId;

/// Time since boot, suspended time excluded.
pub(crate) type Moment = Duration;

/// Now.
pub(crate) fn now() -> Moment {
    let time = rustix::time::clock_gettime(ClockId::Monotonic);
    // Neither part is ever negative for this clock.
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// How long to wait, for `poll`, until the moment; without moment for ever.
pub(crate) fn until(moment: Option<Moment>) -> Option<Timespec> {
    let left = moment?.saturating_sub(now());
    Some(timespec(left))
}

/// A duration as `poll` wants it.
pub(crate) fn timespec(duration: Duration) -> Timespec {
    Timespec {
        tv_sec: duration.as_secs() as i64,
        tv_nsec: i64::from(duration.subsec_nanos()),
    }
}
