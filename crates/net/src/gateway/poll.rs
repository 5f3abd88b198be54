//! What the epoll threads share: a poller with a wake-up, and a table of numbered things.

use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender};
use std::time::Duration;

use rustix::event::{EventfdFlags, Timespec, epoll};

use crate::error::Result;

pub(crate) use rustix::event::epoll::EventFlags;

/// The number that a poller reports for its inbox.
pub(crate) const INBOX: u64 = u64::MAX;

/// An epoll instance.
#[derive(Debug)]
pub(crate) struct Poller {
    epoll: OwnedFd,
}

/// Something happened to what was added under `token`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Happening {
    /// The number that it was added under.
    pub(crate) token: u64,
    /// What.
    pub(crate) flags: EventFlags,
}

impl Poller {
    /// A poller of nothing.
    pub(crate) fn new() -> Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)
            .map_err(|errno| sys::Error::new("make", "an epoll instance", errno))?;
        Ok(Self { epoll })
    }

    /// Watches `fd` until it is closed.
    pub(crate) fn add(&self, fd: impl AsFd, token: u64, flags: EventFlags) -> Result<()> {
        epoll::add(&self.epoll, fd, epoll::EventData::new_u64(token), flags)
            .map_err(|errno| sys::Error::new("watch", "a descriptor", errno).into())
    }

    /// Waits until something happens, or for `limit`.
    pub(crate) fn wait(&self, limit: Option<Duration>) -> Vec<Happening> {
        let limit = limit.map(|limit| {
            Timespec::try_from(limit).expect("timeouts here are seconds, not centuries")
        });
        let mut space = [MaybeUninit::<epoll::Event>::uninit(); 128];
        match epoll::wait(&self.epoll, &mut space, limit.as_ref()) {
            Ok((events, _)) => events
                .iter()
                .map(|event| Happening {
                    token: event.data.u64(),
                    flags: event.flags,
                })
                .collect(),
            // Only a signal can interrupt it; the caller comes back.
            Err(_) => Vec::new(),
        }
    }
}

/// Where to leave messages for a thread that polls.
#[derive(Debug)]
pub(crate) struct Mailbox<T> {
    letters: Sender<T>,
    bell: Arc<OwnedFd>,
}

impl<T> Clone for Mailbox<T> {
    fn clone(&self) -> Self {
        Self {
            letters: self.letters.clone(),
            bell: Arc::clone(&self.bell),
        }
    }
}

/// The other end of a [`Mailbox`].
#[derive(Debug)]
pub(crate) struct Inbox<T> {
    letters: Receiver<T>,
    bell: Arc<OwnedFd>,
}

impl<T> Mailbox<T> {
    /// A mailbox and its inbox.
    pub(crate) fn new() -> Result<(Self, Inbox<T>)> {
        let bell = rustix::event::eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)
            .map_err(|errno| sys::Error::new("make", "an eventfd", errno))?;
        let bell = Arc::new(bell);
        let (sender, receiver) = mpsc::channel();
        let mailbox = Self {
            letters: sender,
            bell: Arc::clone(&bell),
        };
        Ok((
            mailbox,
            Inbox {
                letters: receiver,
                bell,
            },
        ))
    }

    /// Leaves a message.
    pub(crate) fn post(&self, letter: T) {
        // The threads here end with the process only; and a full counter rings already.
        let _ = self.letters.send(letter);
        let _ = rustix::io::write(&self.bell, &1_u64.to_ne_bytes());
    }
}

impl<T> Inbox<T> {
    /// Has the poller report [`INBOX`] when there are messages.
    pub(crate) fn watch(&self, poller: &Poller) -> Result<()> {
        poller.add(&self.bell, INBOX, EventFlags::IN)
    }

    /// Takes the messages out.
    pub(crate) fn take(&self) -> Vec<T> {
        let _ = rustix::io::read(&self.bell, &mut [0; 8]);
        self.letters.try_iter().collect()
    }
}

/// Things under small numbers, which are reused.
#[derive(Debug)]
pub(crate) struct Table<T> {
    places: Vec<Option<T>>,
    free: Vec<usize>,
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self {
            places: Vec::new(),
            free: Vec::new(),
        }
    }
}

impl<T> Table<T> {
    /// Puts something in and gives its number.
    pub(crate) fn insert(&mut self, thing: T) -> usize {
        match self.free.pop() {
            Some(number) => {
                self.places[number] = Some(thing);
                number
            }
            None => {
                self.places.push(Some(thing));
                self.places.len() - 1
            }
        }
    }

    /// What is under a number.
    pub(crate) fn get(&self, number: usize) -> Option<&T> {
        self.places.get(number)?.as_ref()
    }

    /// What is under a number.
    pub(crate) fn get_mut(&mut self, number: usize) -> Option<&mut T> {
        self.places.get_mut(number)?.as_mut()
    }

    /// All the things.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.places.iter().flatten()
    }

    /// Takes something out. The table shrinks again when nothing is left.
    pub(crate) fn remove(&mut self, number: usize) -> Option<T> {
        let thing = self.places.get_mut(number)?.take()?;
        self.free.push(number);
        if self.is_empty() {
            *self = Self::default();
        }
        Some(thing)
    }

    /// Is nothing in it?
    pub(crate) fn is_empty(&self) -> bool {
        self.free.len() == self.places.len()
    }

    /// How many things are in it.
    pub(crate) fn len(&self) -> usize {
        self.places.len() - self.free.len()
    }

    /// The numbers of the things that a test is true of.
    pub(crate) fn numbers(&self, test: impl Fn(&T) -> bool) -> Vec<usize> {
        let found = |(number, place): (usize, &Option<T>)| {
            place.as_ref().is_some_and(&test).then_some(number)
        };
        self.places.iter().enumerate().filter_map(found).collect()
    }
}
