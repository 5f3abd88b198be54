//! One client's connection, seen from the supervisor: it never blocks.

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;

use serde::{Deserialize, Serialize};

use crate::frames::{
    AttachRequest, Decoder, FrameError, Message, Reply, Request, Stream, put_output,
};

/// Output that may wait for a client.
const QUEUE: usize = 256 * 1024;
/// Beyond this a client that does not read is dropped: it asks without listening.
const ABUSE: usize = 4 * 1024 * 1024;

/// A connected client.
#[derive(Debug)]
pub(crate) struct Peer {
    /// Distinguishes clients within one supervisor.
    pub(crate) number: u32,
    /// It started the supervisor and waits for the outcome.
    pub(crate) launcher: bool,
    /// Its request to be attached.
    pub(crate) attached: Option<AttachRequest>,
    /// It wants every state.
    pub(crate) watches: bool,
    /// It wants the exit code.
    pub(crate) waits: bool,
    /// It has closed or broken its connection.
    pub(crate) gone: bool,
    /// It said that it leaves.
    pub(crate) detached: bool,
    socket: UnixStream,
    decoder: Decoder,
    out: Vec<u8>,
    sent: usize,
    skipped: u64,
}

/// What of a client survives the supervisor's executing itself; its socket aside.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct PeerState {
    number: u32,
    launcher: bool,
    attached: Option<AttachRequest>,
    watches: bool,
    waits: bool,
    unread: Vec<u8>,
    unsent: Vec<u8>,
}

impl Peer {
    pub(crate) fn new(number: u32, socket: UnixStream) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        Ok(Self {
            number,
            launcher: false,
            attached: None,
            watches: false,
            waits: false,
            gone: false,
            detached: false,
            socket,
            decoder: Decoder::default(),
            out: Vec::new(),
            sent: 0,
            skipped: 0,
        })
    }

    /// A client that had sent these bytes before.
    pub(crate) fn with_unread(socket: UnixStream, unread: Vec<u8>) -> io::Result<Self> {
        Ok(Self {
            decoder: Decoder::with(unread),
            ..Self::new(0, socket)?
        })
    }

    pub(crate) fn into_parts(self) -> (OwnedFd, PeerState) {
        let state = PeerState {
            number: self.number,
            launcher: self.launcher,
            attached: self.attached,
            watches: self.watches,
            waits: self.waits,
            unread: self.decoder.pending().to_vec(),
            unsent: self.out[self.sent..].to_vec(),
        };
        (self.socket.into(), state)
    }

    pub(crate) fn from_parts(socket: OwnedFd, state: PeerState) -> io::Result<Self> {
        Ok(Self {
            launcher: state.launcher,
            attached: state.attached,
            watches: state.watches,
            waits: state.waits,
            decoder: Decoder::with(state.unread),
            out: state.unsent,
            ..Self::new(state.number, socket.into())?
        })
    }

    pub(crate) fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// Reads what has come; requests are then taken with [`Self::take`].
    pub(crate) fn read(&mut self, chunk: &mut [u8]) {
        match self.socket.read(chunk) {
            Ok(0) => self.gone = true,
            Ok(count) => self.decoder.feed(&chunk[..count]),
            Err(e) if would_wait(&e) => {}
            Err(_) => self.gone = true,
        }
    }

    /// The next request that has come whole.
    pub(crate) fn take(&mut self) -> Result<Option<Request>, FrameError> {
        self.decoder.take()
    }

    /// Queues a reply and sends what can be sent.
    pub(crate) fn reply(&mut self, reply: &Reply) {
        if matches!(reply, Reply::Exit(_)) {
            self.say_what_was_skipped();
        }
        reply.encode(&mut self.out);
        self.flush();
        if self.queued() > ABUSE {
            self.gone = true;
        }
    }

    /// Passes output on. If it is slow and `may_skip`, the bytes are counted instead.
    pub(crate) fn output(&mut self, stream: Stream, bytes: &[u8], may_skip: bool) {
        if self.queued() >= QUEUE && may_skip {
            self.skipped += bytes.len() as u64;
            return;
        }
        self.say_what_was_skipped();
        put_output(&mut self.out, stream, bytes);
        self.flush();
    }

    fn say_what_was_skipped(&mut self) {
        if self.skipped > 0 {
            Reply::Skipped(std::mem::take(&mut self.skipped)).encode(&mut self.out);
        }
    }

    /// Sends what the socket takes now.
    pub(crate) fn flush(&mut self) {
        while self.sent < self.out.len() {
            match self.socket.write(&self.out[self.sent..]) {
                Ok(count) => self.sent += count,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) if would_wait(&e) => break,
                Err(_) => {
                    self.gone = true;
                    self.sent = self.out.len();
                }
            }
        }
        if self.sent == self.out.len() {
            // Memory goes back: a quiet supervisor stays small.
            self.out = Vec::new();
            self.sent = 0;
        } else if self.sent > QUEUE {
            self.out.drain(..self.sent);
            self.sent = 0;
        }
    }

    /// Bytes that the socket has not taken.
    pub(crate) fn queued(&self) -> usize {
        self.out.len() - self.sent
    }

    /// Whether output should wait for this client.
    pub(crate) fn is_full(&self) -> bool {
        self.queued() >= QUEUE
    }

    /// Whether it is there to remove the container once that has ended.
    pub(crate) fn removes(&self) -> bool {
        !self.gone && self.attached.is_some_and(|a| a.removes)
    }

    /// Whether it wants every byte.
    pub(crate) fn is_lossless(&self) -> bool {
        self.attached.is_some_and(|a| a.lossless)
    }
}

fn would_wait(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair() -> (Peer, UnixStream) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        (Peer::new(1, ours).unwrap(), theirs)
    }

    fn replies(socket: &mut UnixStream, count: usize) -> Vec<Reply> {
        let mut decoder = Decoder::default();
        let mut seen = Vec::new();
        let mut chunk = [0; 65536];
        while seen.len() < count {
            let got = socket.read(&mut chunk).unwrap();
            assert!(got > 0, "the peer closed");
            decoder.feed(&chunk[..got]);
            while let Some(reply) = decoder.take().unwrap() {
                seen.push(reply);
            }
        }
        seen
    }

    #[test]
    fn a_client_that_stops_reading_is_told_how_much_it_missed() {
        let (mut peer, mut client) = pair();
        let piece = [b'x'; 16 * 1024];
        for _ in 0..200 {
            peer.output(Stream::Stdout, &piece, true);
        }
        assert!(peer.queued() < QUEUE + 2 * piece.len());
        let missed = peer.skipped;
        assert!(missed > 0);
        let arrived = 200 - missed as usize / piece.len();
        let reader = std::thread::spawn(move || (replies(&mut client, arrived), client));
        while peer.queued() > 0 {
            peer.flush();
            std::thread::yield_now();
        }
        let (_, mut client) = reader.join().unwrap();
        peer.output(Stream::Stdout, b"more", true);
        let seen = replies(&mut client, 2);
        let more = Reply::Output(Stream::Stdout, b"more".to_vec());
        assert_eq!(seen, [Reply::Skipped(missed), more]);
    }

    #[test]
    fn a_lossless_client_misses_nothing() {
        let (mut peer, mut client) = pair();
        let piece = [b'x'; 16 * 1024];
        for _ in 0..100 {
            peer.output(Stream::Stdout, &piece, false);
        }
        let reader = std::thread::spawn(move || replies(&mut client, 100));
        while peer.queued() > 0 {
            peer.flush();
            std::thread::yield_now();
        }
        assert_eq!(reader.join().unwrap().len(), 100);
    }

    #[test]
    fn the_end_of_a_client_is_noticed() {
        let (mut peer, client) = pair();
        drop(client);
        peer.read(&mut [0; 16]);
        assert!(peer.gone);
        let (mut peer, client) = pair();
        drop(client);
        peer.reply(&Reply::Accepted);
        assert!(peer.gone);
    }
}
