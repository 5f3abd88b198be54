//! What happens, told to whoever shows it.

use serde::{Deserialize, Serialize};

/// Progress of a request. The list is closed: one renderer consumes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Event {
    /// A piece of work begins. `id` is unique within the request.
    Started {
        /// What is worked on, e.g. a layer's short digest or `Container app-db-1`.
        id: String,
        /// What is done, in the present tense, e.g. `Pulling`.
        action: String,
    },
    /// A piece of work has moved on.
    Progress {
        /// As in `Started`.
        id: String,
        /// Bytes or steps done.
        done: u64,
        /// Bytes or steps in all, where known.
        total: Option<u64>,
    },
    /// A piece of work has ended well.
    Done {
        /// As in `Started`.
        id: String,
        /// The outcome, e.g. `Pulled`, `Running`, `Already exists`.
        outcome: String,
    },
    /// A piece of work has failed; the request's error says why.
    Failed {
        /// As in `Started`.
        id: String,
        /// The outcome, e.g. `Error`.
        outcome: String,
    },
    /// Output of a build step.
    Output {
        /// As in `Started`.
        id: String,
        /// Bytes as the step wrote them, not necessarily whole lines; lossy UTF-8.
        text: String,
    },
    /// Something the user should know that is not an error.
    Warning {
        /// One sentence.
        text: String,
    },
}

/// Where events go. Shared by threads; must not block for long.
pub trait EventSink: Sync {
    /// Takes one event.
    fn send(&self, event: Event);
}

/// Drops every event.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl EventSink for Silent {
    fn send(&self, _event: Event) {}
}
