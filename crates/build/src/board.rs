//! Who has finished, for stages that are built at the same time.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use crate::cache::Snapshot;

/// One slot for each stage of the Dockerfile.
#[derive(Debug)]
pub(crate) struct Board {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    slots: Vec<Slot>,
    failed: bool,
    /// Programs that may still be started.
    permits: usize,
}

#[derive(Debug, Clone)]
enum Slot {
    Waiting,
    Done(Arc<Snapshot>),
    Failed,
}

/// A stage's place on the board. Dropped without a result, the stage has failed, so
/// that nobody waits for a thread that has panicked.
#[derive(Debug)]
pub(crate) struct Entry<'b> {
    board: &'b Board,
    index: usize,
}

/// The right to execute a program; it returns to the board when dropped.
#[derive(Debug)]
pub(crate) struct Permit<'b>(&'b Board);

impl Board {
    /// For so many stages, of which at most `programs` execute something at once.
    pub(crate) fn new(stages: usize, programs: usize) -> Self {
        let state = State {
            slots: vec![Slot::Waiting; stages],
            failed: false,
            permits: programs.max(1),
        };
        Self {
            state: Mutex::new(state),
            changed: Condvar::new(),
        }
    }

    pub(crate) fn enter(&self, index: usize) -> Entry<'_> {
        Entry { board: self, index }
    }

    /// Waits for a stage; `None` if it has failed.
    pub(crate) fn wait(&self, index: usize) -> Option<Arc<Snapshot>> {
        let waiting = |state: &mut State| matches!(state.slots[index], Slot::Waiting);
        let state = self.changed.wait_while(self.lock(), waiting);
        match &state.unwrap_or_else(PoisonError::into_inner).slots[index] {
            Slot::Done(snapshot) => Some(Arc::clone(snapshot)),
            Slot::Waiting | Slot::Failed => None,
        }
    }

    /// Whether any stage has failed, so that going on is of no use.
    pub(crate) fn failed(&self) -> bool {
        self.lock().failed
    }

    /// Waits until one more program may run.
    pub(crate) fn permit(&self) -> Permit<'_> {
        let state = self
            .changed
            .wait_while(self.lock(), |state| state.permits == 0);
        state.unwrap_or_else(PoisonError::into_inner).permits -= 1;
        Permit(self)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entry<'_> {
    /// Tells those who wait.
    pub(crate) fn done(self, snapshot: Snapshot) -> Arc<Snapshot> {
        let snapshot = Arc::new(snapshot);
        self.board.lock().slots[self.index] = Slot::Done(Arc::clone(&snapshot));
        snapshot
    }
}

impl Drop for Entry<'_> {
    fn drop(&mut self) {
        let mut state = self.board.lock();
        if matches!(state.slots[self.index], Slot::Waiting) {
            state.slots[self.index] = Slot::Failed;
            state.failed = true;
        }
        drop(state);
        self.board.changed.notify_all();
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        self.0.lock().permits += 1;
        self.0.changed.notify_all();
    }
}
