//! Waiting for services: for their threads to be done, and for their containers to be
//! healthy or to have ended.

use std::collections::BTreeMap;
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

use compose::Condition;
use model::health::HealthStatus;

use crate::{ContainerRecord, Engine, Error, Liveness, Result};

/// How often a container's state is looked at: one small file on tmpfs.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// How much of a failed dependency's output its error shows.
const TAIL_LINES: usize = 10;

/// Which services have been started; shared by the threads of one `up`.
#[derive(Debug, Default)]
pub(super) struct Progress {
    done: Mutex<BTreeMap<String, Option<ContainerRecord>>>,
    changed: Condvar,
}

impl Progress {
    /// A service's thread has ended; `None` if its container did not start.
    pub(super) fn finish(&self, service: &str, record: Option<&ContainerRecord>) {
        let mut done = self.done.lock().unwrap_or_else(PoisonError::into_inner);
        done.insert(service.to_owned(), record.cloned());
        self.changed.notify_all();
    }

    /// Waits until a service's thread has ended.
    pub(super) fn started(&self, service: &str) -> Option<ContainerRecord> {
        let mut done = self.done.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(record) = done.get(service) {
                return record.clone();
            }
            done = self
                .changed
                .wait(done)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl Engine {
    /// Waits until a dependency's condition holds; an error says why it never will.
    pub(super) fn wait_for(
        &self,
        record: &ContainerRecord,
        condition: Condition,
        service: &str,
    ) -> Result<bool> {
        loop {
            let observed = self.observe(record)?;
            match (condition, &observed) {
                (Condition::Started, Liveness::Running(_) | Liveness::Exited(_)) => {
                    return Ok(true);
                }
                (Condition::CompletedSuccessfully, Liveness::Exited(exit)) => {
                    return match exit.code {
                        0 => Ok(true),
                        code => Err(self.failed(
                            record,
                            service,
                            &format!("ended with exit code {code}"),
                        )),
                    };
                }
                (Condition::Healthy, Liveness::Exited(exit)) => {
                    let what = format!("ended with exit code {} before it was healthy", exit.code);
                    return Err(self.failed(record, service, &what));
                }
                (Condition::Healthy, Liveness::Running(state)) => match &state.health {
                    None => return Err(self.failed(record, service, "has no health check")),
                    Some(health) => match health.status {
                        HealthStatus::Healthy => return Ok(true),
                        HealthStatus::Starting => {}
                        HealthStatus::Unhealthy => {
                            let last = health.log.last().map_or("", |probe| probe.output.trim());
                            let what = format!("is unhealthy: {last}");
                            return Err(self.failed(record, service, &what));
                        }
                    },
                },
                // It was started; so it has been removed, unless it is just beginning anew.
                (_, Liveness::Created) => drop(self.find(record.id.as_str())?),
                _ => {}
            }
            std::thread::sleep(LOOK_EVERY);
        }
    }

    /// Waits until a container is up: healthy if it has a check; a one-shot that ended
    /// with 0 is up too.
    pub(super) fn wait_until_up(&self, record: &ContainerRecord) -> Result<()> {
        let name = record.name.as_str();
        match self.observe(record)? {
            Liveness::Exited(exit) if exit.code == 0 => Ok(()),
            Liveness::Exited(exit) => {
                Err(self.failed(record, name, &format!("ended with exit code {}", exit.code)))
            }
            Liveness::Running(state) if state.health.is_some() => {
                self.wait_for(record, Condition::Healthy, name).map(drop)
            }
            _ => Ok(()),
        }
    }

    /// A dependency's failure, with the last lines that it wrote.
    fn failed(&self, record: &ContainerRecord, service: &str, what: &str) -> Error {
        let mut lines: Vec<String> = Vec::new();
        let query = crate::LogQuery {
            tail: Some(TAIL_LINES),
            ..crate::LogQuery::default()
        };
        let _ = self.logs(record, &query, &|| true, &mut |line| {
            let text = String::from_utf8_lossy(&line.bytes);
            lines.push(format!("  {}", text.trim_end()));
            Ok(())
        });
        let mut message = format!("service {service} {what}");
        if !lines.is_empty() {
            message.push_str("\nits last lines:\n");
            message.push_str(&lines.join("\n"));
        }
        Error::invalid(message)
    }
}
