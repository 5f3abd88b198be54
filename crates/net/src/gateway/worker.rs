//! The threads that copy TCP streams.
//!
//! A worker has all its descriptors edge-triggered: it remembers what may be read and written,
//! and asks the kernel again only after it said no. One buffer serves all flows of a worker;
//! a flow has memory of its own only while its receiver is slower than its sender.

use std::net::Ipv4Addr;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::{SendFlags, Shutdown, sockopt};

use crate::error::Result;
use crate::gateway::poll::{EventFlags, INBOX, Inbox, Mailbox, Poller, Table};
use crate::gateway::privilege;

/// As fast as moving pages in the kernel, and simpler.
const BUFFER: usize = 256 * 1024;
/// Rounds of copying before another flow has its turn.
const ROUNDS: usize = 8;
/// A silent end is asked whether it still lives.
const KEEPALIVE: Duration = Duration::from_secs(300);

/// Two sockets to be one stream.
#[derive(Debug)]
pub(crate) struct Pair {
    /// The one that was accepted.
    pub(crate) accepted: OwnedFd,
    /// The one that is being connected.
    pub(crate) connecting: OwnedFd,
    /// The container's address.
    pub(crate) container: Ipv4Addr,
}

#[derive(Debug)]
enum Letter {
    Carry(Pair),
    Drop(Vec<Ipv4Addr>),
}

/// All the workers, from outside.
#[derive(Debug)]
pub(crate) struct Workers {
    all: Vec<Handle>,
}

#[derive(Debug)]
struct Handle {
    mailbox: Mailbox<Letter>,
    load: Arc<AtomicUsize>,
}

impl Workers {
    /// Starts one worker a core, up to four.
    pub(crate) fn start() -> Result<Self> {
        let count = thread::available_parallelism()
            .map_or(1, usize::from)
            .min(4);
        let start = |_| {
            let (mailbox, inbox) = Mailbox::new()?;
            let load = Arc::new(AtomicUsize::new(0));
            let mut worker = Worker {
                poller: Poller::new()?,
                inbox,
                load: Arc::clone(&load),
                flows: Table::default(),
                unfinished: Vec::new(),
                buffer: Vec::new(),
            };
            worker.inbox.watch(&worker.poller)?;
            thread::Builder::new()
                .name("worker".to_owned())
                .stack_size(privilege::STACK)
                .spawn(move || {
                    // A worker that kept capabilities would read strangers' bytes with them.
                    if privilege::keep_none().is_ok() {
                        worker.run();
                    }
                })
                .map_err(|e| sys::Error::new("start", "a worker thread", e))?;
            Ok(Handle { mailbox, load })
        };
        Ok(Self {
            all: (0..count).map(start).collect::<Result<_>>()?,
        })
    }

    /// Has the least busy worker carry a stream.
    pub(crate) fn carry(&self, pair: Pair) {
        let idlest = self
            .all
            .iter()
            .min_by_key(|worker| worker.load.load(Ordering::Relaxed));
        let worker = idlest.expect("at least one was started");
        worker.load.fetch_add(1, Ordering::Relaxed);
        worker.mailbox.post(Letter::Carry(pair));
    }

    /// Breaks the streams of containers that are gone.
    pub(crate) fn drop_all_of(&self, containers: &[Ipv4Addr]) {
        for worker in &self.all {
            worker.mailbox.post(Letter::Drop(containers.to_vec()));
        }
    }
}

struct Worker {
    poller: Poller,
    inbox: Inbox<Letter>,
    load: Arc<AtomicUsize>,
    flows: Table<Flow>,
    /// Flows that used up their turn.
    unfinished: Vec<usize>,
    buffer: Vec<u8>,
}

struct Flow {
    ends: [End; 2],
    connected: bool,
    /// The caller left before there was anybody to talk to.
    abandoned: bool,
    container: Ipv4Addr,
}

struct End {
    socket: OwnedFd,
    readable: bool,
    writable: bool,
    /// The other machine will send no more; what it sent may still be unread.
    closing: bool,
    /// Everything it sent was read.
    finished: bool,
    /// It was told that there is no more for it.
    told: bool,
    /// What it has not taken yet.
    pending: Vec<u8>,
}

impl End {
    fn new(socket: OwnedFd) -> Self {
        let (readable, writable, closing, finished, told) = (false, false, false, false, false);
        Self {
            socket,
            readable,
            writable,
            closing,
            finished,
            told,
            pending: Vec::new(),
        }
    }
}

/// What came of a flow's turn.
enum Turn {
    Waiting,
    Unfinished,
    Over,
    Broken,
}

impl Worker {
    fn run(&mut self) {
        loop {
            let limit = (!self.unfinished.is_empty()).then_some(Duration::ZERO);
            let mut busy = std::mem::take(&mut self.unfinished);
            for happening in self.poller.wait(limit) {
                if happening.token == INBOX {
                    self.read_letters();
                } else if let Some(number) = self.note(happening.token, happening.flags) {
                    busy.push(number);
                }
            }
            busy.sort_unstable();
            busy.dedup();
            for number in busy {
                self.advance(number);
            }
        }
    }

    fn read_letters(&mut self) {
        for letter in self.inbox.take() {
            match letter {
                Letter::Carry(pair) => self.begin(pair),
                Letter::Drop(containers) => {
                    for number in self
                        .flows
                        .numbers(|flow| containers.contains(&flow.container))
                    {
                        self.end(number, true);
                    }
                }
            }
        }
    }

    fn begin(&mut self, pair: Pair) {
        if self.buffer.is_empty() {
            self.buffer = vec![0; BUFFER];
        }
        let number = self.flows.insert(Flow {
            ends: [End::new(pair.accepted), End::new(pair.connecting)],
            connected: false,
            abandoned: false,
            container: pair.container,
        });
        let flow = self.flows.get(number).expect("just put there");
        let flags = EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET;
        let watched = flow.ends.iter().enumerate().try_for_each(|(side, end)| {
            let _ = sockopt::set_tcp_nodelay(&end.socket, true);
            let _ = sockopt::set_tcp_keepidle(&end.socket, KEEPALIVE);
            let _ = sockopt::set_socket_keepalive(&end.socket, true);
            self.poller.add(&end.socket, token(number, side), flags)
        });
        if watched.is_err() {
            self.end(number, true);
        }
    }

    /// Notes what may be done now; gives the flow.
    fn note(&mut self, token: u64, flags: EventFlags) -> Option<usize> {
        let number = usize::try_from(token / 2).ok()?;
        let side = usize::from(token % 2 == 1);
        let flow = self.flows.get_mut(number)?;
        let end = &mut flow.ends[side];
        let broken = flags.intersects(EventFlags::ERR | EventFlags::HUP);
        end.closing |= broken || flags.contains(EventFlags::RDHUP);
        end.readable |= broken || flags.intersects(EventFlags::IN | EventFlags::RDHUP);
        end.writable |= broken || flags.contains(EventFlags::OUT);
        flow.abandoned |= broken && side == 0 && !flow.connected;
        Some(number)
    }

    fn advance(&mut self, number: usize) {
        let Some(flow) = self.flows.get_mut(number) else {
            return;
        };
        match flow.turn(&mut self.buffer) {
            Turn::Waiting => {}
            Turn::Unfinished => self.unfinished.push(number),
            Turn::Over => self.end(number, false),
            Turn::Broken => self.end(number, true),
        }
    }

    fn end(&mut self, number: usize, broken: bool) {
        let Some(flow) = self.flows.remove(number) else {
            return;
        };
        self.load.fetch_sub(1, Ordering::Relaxed);
        if broken {
            // Both ends learn by a reset that something was lost.
            for end in &flow.ends {
                let _ = sockopt::set_socket_linger(&end.socket, Some(Duration::ZERO));
            }
        }
        if self.flows.is_empty() {
            self.buffer = Vec::new();
        }
    }
}

impl Flow {
    fn turn(&mut self, buffer: &mut [u8]) -> Turn {
        if !self.connected {
            if self.abandoned {
                return Turn::Broken;
            }
            if !self.ends[1].writable {
                return Turn::Waiting;
            }
            match sockopt::socket_error(&self.ends[1].socket) {
                Ok(Ok(())) => self.connected = true,
                _ => return Turn::Broken,
            }
        }
        let [a, b] = &mut self.ends;
        let mut unfinished = false;
        for backwards in [false, true] {
            let copied = match backwards {
                false => copy(a, b, buffer),
                true => copy(b, a, buffer),
            };
            match copied {
                Ok(more) => unfinished |= more,
                Err(_) => return Turn::Broken,
            }
        }
        match (unfinished, self.ends.iter().all(|end| end.told)) {
            (_, true) => Turn::Over,
            (true, false) => Turn::Unfinished,
            (false, false) => Turn::Waiting,
        }
    }
}

/// Moves what there is from one end to the other. `true` if there may be more.
fn copy(from: &mut End, to: &mut End, buffer: &mut [u8]) -> rustix::io::Result<bool> {
    for _ in 0..ROUNDS {
        if !to.pending.is_empty() {
            if !to.writable {
                return Ok(false);
            }
            let pending = std::mem::take(&mut to.pending);
            let sent = write(to, &pending, from.closing)?;
            if sent < pending.len() {
                to.pending = pending;
                to.pending.drain(..sent);
                // An interrupted call is no reason to wait for the other machine.
                return Ok(to.writable);
            }
        }
        if from.finished {
            if !to.told {
                to.told = true;
                // An end that is gone already needs no telling.
                let _ = rustix::net::shutdown(&to.socket, Shutdown::Write);
            }
            return Ok(false);
        }
        if !from.readable || !to.writable {
            return Ok(false);
        }
        let count = match rustix::io::read(&from.socket, &mut *buffer) {
            Ok(0) => {
                from.finished = true;
                continue;
            }
            Ok(count) => count,
            Err(Errno::AGAIN) => {
                from.readable = false;
                return Ok(false);
            }
            Err(Errno::INTR) => continue,
            Err(errno) => return Err(errno),
        };
        // Less than there was room for is all there was, unless the end comes right behind.
        from.readable = count == buffer.len() || from.closing;
        let sent = write(to, &buffer[..count], from.closing)?;
        to.pending.extend_from_slice(&buffer[sent..count]);
    }
    Ok(true)
}

/// Writes, and gives how much was taken.
///
/// Bytes that the end comes right behind (`closing`) wait in the kernel for it, and leave in
/// one segment with it. That saves a packet, and bytes: a server whose queue is full answers
/// with SYN cookies, forgets what it cannot queue, and then takes a segment that begins up to
/// three bytes late for the first one. A lone end behind a lost segment of up to three bytes
/// made them vanish without an error.
fn write(to: &mut End, bytes: &[u8], closing: bool) -> rustix::io::Result<usize> {
    let mut flags = SendFlags::NOSIGNAL;
    flags.set(SendFlags::MORE, closing);
    match rustix::net::send(&to.socket, bytes, flags) {
        Ok(sent) => {
            to.writable = sent == bytes.len();
            Ok(sent)
        }
        Err(Errno::AGAIN) => {
            to.writable = false;
            Ok(0)
        }
        Err(Errno::INTR) => Ok(0),
        Err(errno) => Err(errno),
    }
}

fn token(number: usize, side: usize) -> u64 {
    (number * 2 + side) as u64
}

#[cfg(test)]
mod tests;
