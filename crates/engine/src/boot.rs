//! What restart policies still owe: to containers whose supervisor was killed, and to those
//! that ran before the machine was started anew.

use std::path::Path;

use model::container::{ExitRecord, IpcMode, NamespaceMode, RestartPolicy};
use model::{ContainerPlan, NetworkMode};
use runtime::attach::Client;

use crate::threads::each;
use crate::{ContainerRecord, Engine, Liveness, Result};

/// When somebody asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Occasion {
    /// The machine has been started.
    Boot,
    /// A command finds containers that have lost their supervisor.
    Command,
}

/// What became of a container.
#[derive(Debug)]
pub struct Revived {
    /// Its name.
    pub name: String,
    /// Why it had ended, if nobody was there to see it.
    pub why: Option<String>,
    /// Whether it runs.
    pub outcome: Result<Outcome>,
}

/// What was due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It runs again.
    Started,
    /// Nothing: its policy says no.
    Ended,
}

/// Whether there may be something for [`Engine::revive`]. Asked before each command, so it
/// looks at the runtime directory only: at the store only once after each boot.
pub fn lost_any(root: &Path, run: &Path) -> bool {
    match std::fs::read_dir(run.join("c")) {
        Ok(entries) => entries
            .flatten()
            .any(|entry| runtime::liveness::is_lost(&entry.path())),
        Err(_) => std::fs::read_dir(root.join("containers"))
            .is_ok_and(|mut entries| entries.next().is_some()),
    }
}

impl Engine {
    /// Starts the containers whose restart policy promises it, those whose network others
    /// join first.
    pub fn revive(&self, occasion: Occasion) -> Result<Vec<Revived>> {
        let run_dirs = self.settings.run.join("c");
        std::fs::create_dir_all(&run_dirs).map_err(|source| crate::Error::File {
            act: "create",
            path: run_dirs,
            source,
        })?;
        let mut due = Vec::new();
        for record in self.store.containers().list()? {
            // One that cannot be read is no reason to leave the others.
            let (Ok(Liveness::Exited(exit)), Ok(plan)) =
                (self.observe(&record), self.plan(&record))
            else {
                continue;
            };
            let promised = is_promised(plan.restart, &exit, occasion);
            if exit.lost || promised {
                due.push((record, plan, exit, promised));
            }
        }
        let (guests, hosts): (Vec<_>, Vec<_>) =
            due.into_iter().partition(|(_, plan, ..)| is_guest(plan));
        let act =
            |(record, plan, exit, promised): (ContainerRecord, ContainerPlan, ExitRecord, bool)| {
                Revived {
                    outcome: self.pay(&record, promised),
                    name: plan.name,
                    why: exit.error.filter(|_| exit.lost),
                }
            };
        let mut revived = each(hosts, act);
        revived.extend(each(guests, act));
        revived.retain(|one| one.why.is_some() || !matches!(one.outcome, Ok(Outcome::Ended)));
        Ok(revived)
    }

    fn pay(&self, record: &ContainerRecord, promised: bool) -> Result<Outcome> {
        match promised {
            true => self.start(record).map(|()| Outcome::Started),
            // Told once.
            false => self.settle(record, false).map(|()| Outcome::Ended),
        }
    }

    /// Nothing is owed any more to a container that has lost its supervisor.
    pub(crate) fn settle(&self, record: &ContainerRecord, by_user: bool) -> Result<()> {
        let run_dir = self.settings.container_run_dir(&record.id);
        let exit = self.store.containers().dir(&record.id).join("exit.json");
        runtime::liveness::settle(&run_dir, &exit, by_user)
            .map_err(|error| self.failed_to("record the end of", record, error.into()))
    }

    /// Asks all running containers of this store to stop, as the machine does that goes
    /// down: their restart policies stay in force. Waits for their ends.
    pub fn stop_for_shutdown(&self) -> Result<()> {
        let mut waiting = Vec::new();
        for record in self.store.containers().list()? {
            let Ok(Liveness::Running(state)) = self.observe(&record) else {
                continue;
            };
            let client = Client::connect(&self.settings.container_run_dir(&record.id));
            const SIGTERM: i32 = 15;
            if runtime::process::signal(state.supervisor, &state.boot_id, SIGTERM)?
                && let Ok(client) = client
            {
                waiting.push(client);
            }
        }
        // Each has its own time of grace, which its supervisor minds.
        waiting.iter_mut().for_each(|client| {
            let _ = client.closed();
        });
        Ok(())
    }
}

/// Docker's rules at the start of its daemon. A command in between only makes good what
/// nobody could do when it was due.
fn is_promised(policy: RestartPolicy, exit: &ExitRecord, occasion: Occasion) -> bool {
    let due = occasion == Occasion::Boot || exit.lost;
    due && match policy {
        RestartPolicy::No => false,
        RestartPolicy::Always => true,
        RestartPolicy::UnlessStopped => !exit.stopped_by_user,
        RestartPolicy::OnFailure { max_retries } => {
            let left = max_retries == 0 || exit.restarts < max_retries;
            exit.code != 0 && !exit.stopped_by_user && left
        }
    }
}

/// Whether a container needs another one to run before it.
fn is_guest(plan: &ContainerPlan) -> bool {
    let of_container = |mode: &NamespaceMode| matches!(mode, NamespaceMode::Container { .. });
    let isolation = &plan.isolation;
    matches!(plan.network, NetworkMode::Container { .. })
        || matches!(isolation.ipc, IpcMode::Container { .. })
        || of_container(&isolation.pid)
        || of_container(&isolation.uts)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exit(code: i32) -> ExitRecord {
        ExitRecord {
            code,
            oom_killed: false,
            error: None,
            started_at: String::new(),
            finished_at: String::new(),
            stopped_by_user: false,
            lost: false,
            restarts: 0,
        }
    }

    #[test]
    fn a_boot_keeps_every_promise_and_a_command_only_broken_ones() {
        use Occasion::{Boot, Command};
        let twice = RestartPolicy::OnFailure { max_retries: 2 };
        let stopped = ExitRecord {
            stopped_by_user: true,
            ..exit(143)
        };
        let lost = ExitRecord {
            lost: true,
            ..exit(137)
        };
        let tired = ExitRecord {
            restarts: 2,
            ..lost.clone()
        };
        for (policy, exit, at_boot, by_command) in [
            (RestartPolicy::No, &lost, false, false),
            (RestartPolicy::Always, &exit(0), true, false),
            (RestartPolicy::Always, &stopped, true, false),
            (RestartPolicy::Always, &lost, true, true),
            (RestartPolicy::UnlessStopped, &exit(143), true, false),
            (RestartPolicy::UnlessStopped, &stopped, false, false),
            (RestartPolicy::UnlessStopped, &lost, true, true),
            (twice, &exit(0), false, false),
            (twice, &exit(1), true, false),
            (twice, &stopped, false, false),
            (twice, &lost, true, true),
            (twice, &tired, false, false),
        ] {
            assert_eq!(
                is_promised(policy, exit, Boot),
                at_boot,
                "{policy:?} {exit:?}"
            );
            assert_eq!(
                is_promised(policy, exit, Command),
                by_command,
                "{policy:?} {exit:?}"
            );
        }
    }
}
