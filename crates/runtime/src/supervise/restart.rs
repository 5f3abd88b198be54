//! Docker's restart policies and back-off.

use std::time::Duration;

use model::container::RestartPolicy;
use serde::{Deserialize, Serialize};

const FIRST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(60);
/// A run of this length is a success, after which the delay begins anew.
const SETTLED: Duration = Duration::from_secs(10);

/// How often a container was restarted and how long the next one waits.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Restarts {
    /// Restarts so far.
    pub(crate) count: u32,
    /// The last delay; absent before the first and after a settled run.
    delay: Option<Duration>,
}

impl Restarts {
    /// After a run of this length that ended with this code: how long to wait before
    /// the next one, or `None` to leave it.
    pub(crate) fn next(
        &mut self,
        policy: RestartPolicy,
        code: i32,
        ran: Duration,
        stopped: bool,
    ) -> Option<Duration> {
        let again = !stopped
            && match policy {
                RestartPolicy::No => false,
                RestartPolicy::Always | RestartPolicy::UnlessStopped => true,
                RestartPolicy::OnFailure { max_retries } => {
                    code != 0 && (max_retries == 0 || self.count < max_retries)
                }
            };
        if !again {
            return None;
        }
        let delay = match self.delay {
            Some(last) if ran < SETTLED => (last * 2).min(LONGEST),
            _ => FIRST,
        };
        self.delay = Some(delay);
        self.count += 1;
        Some(delay)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHORT: Duration = Duration::from_secs(1);

    fn delays(policy: RestartPolicy, codes: &[i32]) -> Vec<Option<u64>> {
        let mut restarts = Restarts::default();
        let delay = |&code| restarts.next(policy, code, SHORT, false);
        codes
            .iter()
            .map(delay)
            .map(|d| d.map(|d| d.as_millis() as u64))
            .collect()
    }

    #[test]
    fn the_delay_doubles_up_to_a_minute() {
        let seen = delays(RestartPolicy::Always, &[0; 12]);
        assert_eq!(seen[..3], [Some(100), Some(200), Some(400)]);
        assert_eq!(seen[9..], [Some(51_200), Some(60_000), Some(60_000)]);
    }

    #[test]
    fn a_settled_run_begins_anew() {
        let mut restarts = Restarts::default();
        let policy = RestartPolicy::UnlessStopped;
        restarts.next(policy, 1, SHORT, false);
        restarts.next(policy, 1, SHORT, false);
        assert_eq!(restarts.next(policy, 1, SETTLED, false), Some(FIRST));
        assert_eq!(restarts.count, 3);
    }

    #[test]
    fn on_failure_counts_and_minds_the_code() {
        let policy = RestartPolicy::OnFailure { max_retries: 2 };
        assert_eq!(delays(policy, &[1, 1, 1]), [Some(100), Some(200), None]);
        assert_eq!(delays(policy, &[0]), [None]);
        let endless = RestartPolicy::OnFailure { max_retries: 0 };
        assert!(delays(endless, &[1; 50]).iter().all(Option::is_some));
        assert_eq!(delays(RestartPolicy::No, &[1]), [None]);
    }

    #[test]
    fn a_stopped_container_rests() {
        let mut restarts = Restarts::default();
        assert_eq!(restarts.next(RestartPolicy::Always, 0, SHORT, true), None);
    }
}
