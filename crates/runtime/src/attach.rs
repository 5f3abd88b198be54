//! The client's side of a supervisor's socket: attach, input, detach keys, signals.
//!
//! Knows no command line and no environment; descriptors are handed in.

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;

use rustix::event::{PollFd, PollFlags};
use rustix::io::Errno;
use sys::pty::RawMode;

use crate::frames::{
    AttachRequest, Decoder, Failure, FrameError, INPUT_WINDOW, Message, Reply, Request, Stream,
};

mod keys;
mod signals;

pub use keys::{DetachKeys, DetachKeysError};

/// Bytes moved at once.
const CHUNK: usize = 64 * 1024;

/// A connection to a supervisor or an exec session.
#[derive(Debug)]
pub struct Client {
    socket: UnixStream,
    decoder: Decoder,
    chunk: Vec<u8>,
}

/// Why a supervisor could not be spoken to.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody serves this runtime directory.
    #[error("no supervisor answers in {}", .0.display())]
    NotRunning(std::path::PathBuf),
    /// The connection could not be made.
    #[error("cannot connect to the supervisor in {}", .run_dir.display())]
    Connect {
        /// The container's runtime directory.
        run_dir: std::path::PathBuf,
        /// The kernel's answer.
        #[source]
        source: io::Error,
    },
    /// The connection broke.
    #[error("the connection to the supervisor broke")]
    Broken(#[source] io::Error),
    /// The supervisor went away before it answered.
    #[error("the supervisor ended without an answer")]
    Gone,
    /// The supervisor speaks another language.
    #[error("the supervisor's answer cannot be read")]
    Frame(#[from] FrameError),
    /// The process could not be started.
    #[error(transparent)]
    Failed(#[from] Failure),
    /// The supervisor declined.
    #[error("{0}")]
    Refused(String),
    /// Our own terminal or pipe failed.
    #[error("cannot {act} {stream}")]
    Stdio {
        /// The act.
        act: &'static str,
        /// Which of our streams.
        stream: &'static str,
        /// The kernel's answer.
        #[source]
        source: io::Error,
    },
    /// A kernel act failed.
    #[error(transparent)]
    Sys(#[from] sys::Error),
}

/// How an attachment ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The process ended with this code.
    Exited(i32),
    /// The user typed the detach keys (or an unproxied signal came).
    Detached,
    /// The connection closed without an exit code: ask the exit record.
    Lost,
}

/// The caller's own streams.
#[derive(Debug, Clone, Copy)]
pub struct Stdio<'a> {
    /// Read while the attachment has input.
    pub stdin: BorrowedFd<'a>,
    /// Takes the process's output.
    pub stdout: BorrowedFd<'a>,
    /// Takes its errors.
    pub stderr: BorrowedFd<'a>,
}

/// How to attach.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Leaves the container running when typed; only looked for with `tty`.
    pub detach_keys: DetachKeys,
    /// The process has a terminal: ours goes raw, and its size is passed on.
    pub tty: bool,
    /// Whether our standard input is sent.
    pub input: bool,
    /// Close the process's input at the end of ours, or if we are killed.
    pub input_once: bool,
    /// Let the output wait for us rather than skip any.
    pub lossless: bool,
    /// We remove the container once it has ended, so that nobody has to start for that.
    pub removes: bool,
    /// At most this many bytes of earlier output first.
    pub replay: u32,
    /// Pass signals that we get on to the process.
    pub sig_proxy: bool,
}

impl Client {
    /// Connects to the supervisor that serves this runtime directory.
    pub fn connect(run_dir: &Path) -> Result<Self, ClientError> {
        match crate::supervise::socket::connect(run_dir) {
            Ok(socket) => Ok(Self::from_socket(socket)),
            Err(e) => match Errno::from_io_error(&e) {
                Some(Errno::NOENT | Errno::CONNREFUSED) => {
                    Err(ClientError::NotRunning(run_dir.to_owned()))
                }
                _ => Err(ClientError::Connect {
                    run_dir: run_dir.to_owned(),
                    source: e,
                }),
            },
        }
    }

    /// A client on a socket that is connected already.
    pub fn from_socket(socket: UnixStream) -> Self {
        Self {
            socket,
            decoder: Decoder::default(),
            chunk: vec![0; CHUNK],
        }
    }

    /// Sends one request. That the other side has closed is no error here: it may have
    /// said why, and [`Self::receive`] tells.
    pub fn send(&mut self, request: &Request) -> Result<(), ClientError> {
        let mut frame = Vec::new();
        request.encode(&mut frame);
        match self.socket.write_all(&frame) {
            Err(e) if is_closed(&e) => Ok(()),
            other => other.map_err(ClientError::Broken),
        }
    }

    /// Waits for the next reply; `None` when the other side has closed.
    pub fn receive(&mut self) -> Result<Option<Reply>, ClientError> {
        loop {
            if let Some(reply) = self.decoder.take()? {
                return Ok(Some(reply));
            }
            if !self.fill()? {
                return Ok(None);
            }
        }
    }

    /// Waits until the process runs.
    pub fn started(&mut self) -> Result<(), ClientError> {
        match self.receive()? {
            Some(Reply::Started) => Ok(()),
            Some(Reply::Failed(failure)) => Err(failure.into()),
            Some(Reply::Refused(why)) => Err(ClientError::Refused(why)),
            Some(_) | None => Err(ClientError::Gone),
        }
    }

    /// Waits until the other side has closed the connection, dropping what it says. A
    /// supervisor that removes its container keeps it open until that is done.
    pub fn closed(&mut self) -> Result<(), ClientError> {
        while self.fill()? {
            self.decoder = Decoder::default();
        }
        Ok(())
    }

    /// Reads once; false at the end.
    fn fill(&mut self) -> Result<bool, ClientError> {
        match self.socket.read(&mut self.chunk) {
            Ok(0) => Ok(false),
            Ok(count) => {
                self.decoder.feed(&self.chunk[..count]);
                Ok(true)
            }
            Err(e) if e.kind() == io::ErrorKind::Interrupted => Ok(true),
            Err(e) if is_closed(&e) => Ok(false),
            Err(e) => Err(ClientError::Broken(e)),
        }
    }
}

fn is_closed(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionReset};
    matches!(error.kind(), BrokenPipe | ConnectionReset)
}

/// Asks to be attached. [`run`] then moves the bytes. Two steps, because a start that
/// waits for its first client is answered with [`Client::started`] in between.
pub fn request(
    client: &mut Client,
    stdio: Stdio<'_>,
    options: &Options,
) -> Result<(), ClientError> {
    let size = match options.tty {
        true => sys::pty::size(stdio.stdout)
            .or_else(|_| sys::pty::size(stdio.stdin))
            .ok(),
        false => None,
    };
    client.send(&Request::Attach(AttachRequest {
        input: options.input,
        input_once: options.input_once,
        lossless: options.lossless,
        removes: options.removes,
        replay: options.replay,
        size: size.filter(|s| s.rows > 0 && s.cols > 0),
    }))
}

/// Moves bytes between our streams and the process until one of them ends it.
pub fn run(
    client: &mut Client,
    stdio: Stdio<'_>,
    options: &Options,
) -> Result<Outcome, ClientError> {
    let _raw = match options.tty && options.input && sys::pty::is_terminal(stdio.stdin) {
        true => Some(RawMode::enter(stdio.stdin)?),
        false => None,
    };
    Pump {
        stdio,
        options,
        keys: options.detach_keys.scanner(options.tty),
        signals: signals::Signals::catch()?,
        input: options.input,
        on_the_way: 0,
        buffer: vec![0; CHUNK],
    }
    .run(client)
}

struct Pump<'a> {
    stdio: Stdio<'a>,
    options: &'a Options,
    keys: keys::Scanner,
    signals: signals::Signals,
    /// Our input is not at its end.
    input: bool,
    /// Bytes sent that the process has not taken.
    on_the_way: usize,
    buffer: Vec<u8>,
}

impl Pump<'_> {
    fn run(&mut self, client: &mut Client) -> Result<Outcome, ClientError> {
        loop {
            while let Some(reply) = client.decoder.take()? {
                if let Some(outcome) = self.take(reply)? {
                    return Ok(outcome);
                }
            }
            let ready = self.wait(client.socket.as_fd())?;
            if ready.signal
                && let Some(outcome) = self.on_signals(client)?
            {
                return Ok(outcome);
            }
            if ready.input
                && let Some(outcome) = self.on_input(client)?
            {
                return Ok(outcome);
            }
            if ready.socket && !client.fill()? {
                return Ok(Outcome::Lost);
            }
        }
    }

    fn wait(&self, socket: BorrowedFd<'_>) -> Result<Ready, ClientError> {
        let may_send = self.input && self.on_the_way + CHUNK <= INPUT_WINDOW;
        let mut fds = vec![
            PollFd::from_borrowed_fd(socket, PollFlags::IN),
            PollFd::from_borrowed_fd(self.signals.as_fd(), PollFlags::IN),
        ];
        if may_send {
            fds.push(PollFd::from_borrowed_fd(self.stdio.stdin, PollFlags::IN));
        }
        match rustix::event::poll(&mut fds, None) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(e) => return Err(ClientError::Broken(e.into())),
        }
        let ready = |at: usize| fds.get(at).is_some_and(|fd| !fd.revents().is_empty());
        Ok(Ready {
            socket: ready(0),
            signal: ready(1),
            input: ready(2),
        })
    }

    fn take(&mut self, reply: Reply) -> Result<Option<Outcome>, ClientError> {
        match reply {
            Reply::Output(Stream::Stdout, bytes) => {
                write_all(self.stdio.stdout, &bytes, "standard output")?;
            }
            Reply::Output(Stream::Stderr, bytes) => {
                write_all(self.stdio.stderr, &bytes, "standard error")?;
            }
            Reply::InputTaken(count) => {
                self.on_the_way = self.on_the_way.saturating_sub(count as usize);
            }
            Reply::Exit(code) => return Ok(Some(Outcome::Exited(code))),
            Reply::Failed(failure) => return Err(failure.into()),
            Reply::Skipped(count) => {
                let note = format!("\r\n[{count} bytes of output were skipped]\r\n");
                write_all(self.stdio.stderr, note.as_bytes(), "standard error")?;
            }
            Reply::Started | Reply::Accepted | Reply::Refused(_) | Reply::Status(_) => {}
        }
        Ok(None)
    }

    fn on_signals(&mut self, client: &mut Client) -> Result<Option<Outcome>, ClientError> {
        for signal in self.signals.pending() {
            if signal == signals::WINDOW_CHANGED {
                let size =
                    sys::pty::size(self.stdio.stdout).or_else(|_| sys::pty::size(self.stdio.stdin));
                if let (true, Ok(size)) = (self.options.tty, size) {
                    client.send(&Request::Resize(size))?;
                }
            } else if self.options.sig_proxy {
                client.send(&Request::Signal(signal))?;
            } else {
                client.send(&Request::Detach)?;
                return Ok(Some(Outcome::Detached));
            }
        }
        Ok(None)
    }

    fn on_input(&mut self, client: &mut Client) -> Result<Option<Outcome>, ClientError> {
        let count = match rustix::io::read(self.stdio.stdin, &mut self.buffer[..]) {
            Ok(count) => count,
            Err(Errno::INTR | Errno::AGAIN) => return Ok(None),
            // A background process that reads its terminal, or a terminal hung up.
            Err(_) => 0,
        };
        if count == 0 {
            self.input = false;
            if self.options.input_once {
                client.send(&Request::CloseInput)?;
            }
            return Ok(None);
        }
        let (bytes, detach) = self.keys.scan(&self.buffer[..count]);
        if !bytes.is_empty() {
            self.on_the_way += bytes.len();
            client.send(&Request::Input(bytes))?;
        }
        if detach {
            client.send(&Request::Detach)?;
            return Ok(Some(Outcome::Detached));
        }
        Ok(None)
    }
}

struct Ready {
    socket: bool,
    signal: bool,
    input: bool,
}

/// Writes everything, waiting where the descriptor does not block by itself.
fn write_all(
    fd: BorrowedFd<'_>,
    mut bytes: &[u8],
    stream: &'static str,
) -> Result<(), ClientError> {
    while !bytes.is_empty() {
        match rustix::io::write(fd, bytes) {
            Ok(count) => bytes = &bytes[count..],
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => {
                let mut fds = [PollFd::from_borrowed_fd(fd, PollFlags::OUT)];
                let _ = rustix::event::poll(&mut fds, None);
            }
            Err(e) => {
                return Err(ClientError::Stdio {
                    act: "write to",
                    stream,
                    source: e.into(),
                });
            }
        }
    }
    Ok(())
}

impl From<Client> for OwnedFd {
    fn from(client: Client) -> Self {
        client.socket.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn last_words_are_heard_though_the_other_side_has_closed() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let mut client = Client::from_socket(ours);
        client.send(&Request::Input(b"unread".to_vec())).unwrap();
        let mut frame = Vec::new();
        Reply::Exit(3).encode(&mut frame);
        theirs.write_all(&frame).unwrap();
        drop(theirs);
        client.send(&Request::CloseInput).unwrap();
        assert_eq!(client.receive().unwrap(), Some(Reply::Exit(3)));
        assert_eq!(client.receive().unwrap(), None);
    }
}
