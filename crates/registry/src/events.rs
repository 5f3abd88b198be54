//! Events about one transfer, sent no more often than a reader can use them.

use model::Event;
use model::event::EventSink;

/// Reports one blob's way.
pub(crate) struct Progress<'a> {
    events: &'a dyn EventSink,
    id: String,
    total: u64,
    done: u64,
    told: u64,
}

impl<'a> Progress<'a> {
    pub(crate) fn start(events: &'a dyn EventSink, id: &str, action: &str, total: u64) -> Self {
        events.send(Event::Started {
            id: id.into(),
            action: action.into(),
        });
        Self {
            events,
            id: id.into(),
            total,
            done: 0,
            told: 0,
        }
    }

    /// Tells of `bytes` more. A hundredth of the whole, and never less than 64 KiB,
    /// passes between two events.
    pub(crate) fn advance(&mut self, bytes: u64) {
        self.done += bytes;
        let step = (self.total / 100).max(64 << 10);
        if self.done - self.told >= step || self.done == self.total {
            self.told = self.done;
            self.events.send(Event::Progress {
                id: self.id.clone(),
                done: self.done,
                total: Some(self.total),
            });
        }
    }

    pub(crate) fn finish(self, outcome: &str) {
        self.events.send(Event::Done {
            id: self.id,
            outcome: outcome.into(),
        });
    }

    pub(crate) fn fail(self) {
        self.events.send(Event::Failed {
            id: self.id,
            outcome: "Error".into(),
        });
    }
}
