//! A thread that writes the log while the supervisor goes on.
//!
//! A disk may take seconds for one write, and the supervisor must not wait for it: the
//! container's output would wait, and so would whoever wants to stop it. The thread lives
//! as long as there is much to write; a quiet supervisor has none.
//!
//! The supervisor forks for a health probe, and the child uses the heap. That is safe
//! beside this thread because between [`Background::start`] and [`Background::finish`] it
//! neither takes nor gives back heap memory: it waits, writes, renames.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::event::EventfdFlags;

use super::file::{LogFile, Written};

/// What the thread calls is shallow.
const STACK: usize = 64 * 1024;

#[derive(Debug)]
pub(super) struct Background {
    shared: Arc<Shared>,
    thread: JoinHandle<LogFile>,
    busy: bool,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    /// Readable when a batch is done.
    done: OwnedFd,
}

#[derive(Debug, Default)]
struct State {
    started: bool,
    job: Option<Vec<u8>>,
    done: Option<Done>,
    quit: bool,
    ended: bool,
}

/// A batch that was written, as far as possible.
#[derive(Debug)]
pub(super) struct Done {
    pub(super) lines: Vec<u8>,
    pub(super) written: Written,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        // Nobody panics while holding it.
        self.state
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn wait_while(&self, held: impl Fn(&State) -> bool) -> MutexGuard<'_, State> {
        self.changed
            .wait_while(self.state(), |state| held(state))
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl Background {
    /// Starts the thread. On failure the file comes back.
    pub(super) fn start(file: LogFile) -> Result<Self, LogFile> {
        let flags = EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK;
        let Ok(done) = rustix::event::eventfd(0, flags) else {
            return Err(file);
        };
        let shared = Arc::new(Shared {
            state: Mutex::default(),
            changed: Condvar::new(),
            done,
        });
        // Through a slot: a thread that does not start would take the file with it.
        let slot = Arc::new(Mutex::new(Some(file)));
        let take = |slot: &Mutex<Option<LogFile>>| slot.lock().ok()?.take();
        let (theirs, from) = (shared.clone(), slot.clone());
        let started: io::Result<_> =
            std::thread::Builder::new()
                .stack_size(STACK)
                .spawn(move || {
                    let file = take(&from).expect("nobody else takes it once the thread runs");
                    drop(from);
                    write(&theirs, file)
                });
        match started {
            Ok(thread) => {
                drop(shared.wait_while(|state| !state.started));
                Ok(Self {
                    shared,
                    thread,
                    busy: false,
                })
            }
            Err(_) => Err(take(&slot).expect("the thread never ran")),
        }
    }

    /// Whether a batch is being written.
    pub(super) fn is_busy(&self) -> bool {
        self.busy
    }

    /// Readable when the batch is done.
    pub(super) fn as_fd(&self) -> BorrowedFd<'_> {
        self.shared.done.as_fd()
    }

    /// Makes the descriptor unreadable again. The thread says that a batch is done after it
    /// has put it down: who has taken it by then is woken once more for nothing.
    pub(super) fn quiet(&self) {
        // Only a counter.
        let _ = rustix::io::read(&self.shared.done, &mut [0; 8]);
    }

    /// Gives the thread a batch. It must not be busy.
    pub(super) fn submit(&mut self, lines: Vec<u8>) {
        self.busy = true;
        self.shared.state().job = Some(lines);
        self.shared.changed.notify_all();
    }

    /// The batch, if it is done.
    pub(super) fn take(&mut self) -> Option<Done> {
        let done = self.shared.state().done.take()?;
        self.busy = false;
        Some(done)
    }

    /// Waits for the batch, at most so long.
    pub(super) fn wait(&mut self, patience: Duration) -> Option<Done> {
        let working = |state: &mut State| state.done.is_none();
        if self.busy {
            drop(
                self.shared
                    .changed
                    .wait_timeout_while(self.shared.state(), patience, working),
            );
        }
        self.take()
    }

    /// Ends the thread; the file comes back unless it is still being written to then. A
    /// thread that a disk holds stays behind.
    pub(super) fn finish(self, patience: Duration) -> Result<LogFile, Self> {
        let deadline = Instant::now() + patience;
        self.shared.state().quit = true;
        self.shared.changed.notify_all();
        let left = deadline.saturating_duration_since(Instant::now());
        let ended = self
            .shared
            .changed
            .wait_timeout_while(self.shared.state(), left, |state| !state.ended)
            .is_ok_and(|(state, _)| state.ended);
        match ended {
            true => Ok(self.thread.join().expect("the thread does not panic")),
            false => Err(self),
        }
    }
}

/// The thread's life.
fn write(shared: &Shared, mut file: LogFile) -> LogFile {
    shared.state().started = true;
    shared.changed.notify_all();
    loop {
        let mut state = shared.wait_while(|state| state.job.is_none() && !state.quit);
        let Some(lines) = state.job.take() else {
            state.ended = true;
            drop(state);
            shared.changed.notify_all();
            return file;
        };
        drop(state);
        let written = file.append(&lines);
        shared.state().done = Some(Done { lines, written });
        shared.changed.notify_all();
        let _ = rustix::io::write(&shared.done, &1u64.to_ne_bytes());
    }
}
