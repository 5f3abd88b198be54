//! Our ends of a process's standard streams: a terminal's master, or pipes.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::fs::OFlags;
use rustix::io::Errno;
use rustix::pipe::PipeFlags;
use serde::{Deserialize, Serialize};
use sys::pty::WindowSize;

use crate::frames::Stream;
use crate::stdio::Stdio;

/// What a terminal is asked, and what it answers, while no client is attached that would:
/// where is the cursor?
const WHERE: &[u8] = b"\x1b[6n";
const HERE: &[u8] = b"\x1b[1;1R";

/// Our ends.
#[derive(Debug, Default)]
pub(crate) struct Console {
    /// Read for output, written for input.
    terminal: Option<OwnedFd>,
    stdin: Option<OwnedFd>,
    stdout: Option<OwnedFd>,
    stderr: Option<OwnedFd>,
    /// A terminal will be set by the start; input waits for it.
    starting: bool,
    input: VecDeque<Input>,
    close_input: bool,
    /// How much of [`WHERE`] the output ended with.
    asked: usize,
}

#[derive(Debug)]
struct Input {
    peer: u32,
    bytes: Vec<u8>,
    at: usize,
}

/// Input that a console has not written yet.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct WaitingInput {
    pieces: Vec<(u32, Vec<u8>)>,
    close: bool,
}

/// One of the console's descriptors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// Output of the process.
    Output(Stream),
    /// Its input.
    Input,
}

/// What a read of the output gave.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Read {
    /// So many bytes.
    Bytes(usize),
    /// Nothing at present.
    Nothing,
    /// Nothing ever again.
    End,
}

/// Input that is done with, to be confirmed to its sender.
pub(crate) type Taken = Vec<(u32, u32)>;

impl Console {
    /// The process's streams, and our ends of them. A terminal's master comes back from
    /// the start, see [`Self::set_terminal`].
    pub(crate) fn new(tty: bool, stdin_open: bool) -> io::Result<(Self, Stdio)> {
        if tty {
            let WindowSize { rows, cols } = WindowSize::default();
            let stdio = Stdio::Terminal {
                rows,
                columns: cols,
            };
            let console = Self {
                starting: true,
                ..Self::default()
            };
            return Ok((console, stdio));
        }
        let (stdin, ours) = match stdin_open {
            true => {
                let (theirs, ours) = pipe()?;
                (theirs, Some(nonblocking(ours)?))
            }
            false => (null()?, None),
        };
        let ((out, stdout), (err, stderr)) = (pipe()?, pipe()?);
        let console = Self {
            stdin: ours,
            stdout: Some(nonblocking(out)?),
            stderr: Some(nonblocking(err)?),
            ..Self::default()
        };
        let stdio = Stdio::Fds {
            stdin,
            stdout,
            stderr,
        };
        Ok((console, stdio))
    }

    /// Takes the master side of the process's terminal.
    pub(crate) fn set_terminal(&mut self, master: OwnedFd) -> io::Result<()> {
        self.terminal = Some(nonblocking(master)?);
        self.starting = false;
        Ok(())
    }

    /// The descriptors in a fixed order, and the input not yet written.
    pub(crate) fn into_parts(self) -> ([Option<OwnedFd>; 4], WaitingInput) {
        let rest = |input: Input| (input.peer, input.bytes[input.at..].to_vec());
        let waiting = WaitingInput {
            pieces: self.input.into_iter().map(rest).collect(),
            close: self.close_input,
        };
        (
            [self.terminal, self.stdin, self.stdout, self.stderr],
            waiting,
        )
    }

    /// The reverse of [`Self::into_parts`].
    pub(crate) fn from_parts(fds: [Option<OwnedFd>; 4], waiting: WaitingInput) -> Self {
        let [terminal, stdin, stdout, stderr] = fds;
        let whole = |(peer, bytes)| Input { peer, bytes, at: 0 };
        Self {
            terminal,
            stdin,
            stdout,
            stderr,
            starting: false,
            input: waiting.pieces.into_iter().map(whole).collect(),
            close_input: waiting.close,
            asked: 0,
        }
    }

    /// What to poll: outputs unless they are `held`, the input if some is waiting.
    pub(crate) fn interests(&self, held: bool) -> Vec<(End, BorrowedFd<'_>, PollFlags)> {
        let mut list = Vec::with_capacity(3);
        let ends = [
            (&self.stdout, Stream::Stdout),
            (&self.stderr, Stream::Stderr),
            (&self.terminal, Stream::Stdout),
        ];
        for (fd, stream) in ends {
            if let (Some(fd), false) = (fd, held) {
                list.push((End::Output(stream), fd.as_fd(), PollFlags::IN));
            }
        }
        let input = self.terminal.as_ref().or(self.stdin.as_ref());
        if let (Some(fd), false) = (input, self.input.is_empty()) {
            list.push((End::Input, fd.as_fd(), PollFlags::OUT));
        }
        list
    }

    /// Reads output once.
    pub(crate) fn read(&mut self, stream: Stream, chunk: &mut [u8]) -> Read {
        let end = match (stream, self.terminal.is_some()) {
            (Stream::Stdout, true) => &mut self.terminal,
            (Stream::Stdout, false) => &mut self.stdout,
            (Stream::Stderr, _) => &mut self.stderr,
        };
        let Some(fd) = end else {
            return Read::End;
        };
        match rustix::io::read(fd, chunk) {
            Ok(count) if count > 0 => Read::Bytes(count),
            Err(Errno::AGAIN | Errno::INTR) => Read::Nothing,
            // EIO is how a terminal says that nobody holds its other side.
            Ok(_) | Err(_) => {
                *end = None;
                Read::End
            }
        }
    }

    /// Whether all output has been read.
    pub(crate) fn is_at_end(&self) -> bool {
        self.terminal.is_none() && self.stdout.is_none() && self.stderr.is_none()
    }

    /// Queues input; what cannot go anywhere is confirmed at once.
    pub(crate) fn push_input(&mut self, peer: u32, bytes: Vec<u8>) -> Taken {
        let reaches = self.starting || self.terminal.is_some() || self.stdin.is_some();
        if self.close_input || !reaches {
            return vec![(peer, bytes.len() as u32)];
        }
        self.input.push_back(Input { peer, bytes, at: 0 });
        self.write_input()
    }

    /// Writes what the process takes now.
    pub(crate) fn write_input(&mut self) -> Taken {
        let mut taken = Taken::new();
        while let Some(input) = self.input.front_mut() {
            let Some(fd) = self.terminal.as_ref().or(self.stdin.as_ref()) else {
                break;
            };
            match rustix::io::write(fd, &input.bytes[input.at..]) {
                Ok(count) => {
                    input.at += count;
                    taken.push((input.peer, count as u32));
                    if input.at == input.bytes.len() {
                        self.input.pop_front();
                    }
                }
                Err(Errno::AGAIN | Errno::INTR) => return taken,
                Err(_) => {
                    // Nobody will ever read it.
                    self.stdin = None;
                    let lost = self.input.drain(..);
                    taken.extend(lost.map(|i| (i.peer, (i.bytes.len() - i.at) as u32)));
                }
            }
        }
        if self.close_input && self.input.is_empty() {
            self.stdin = None;
        }
        taken
    }

    /// Closes the process's input once what is queued has been written. A terminal has
    /// no end of input.
    pub(crate) fn close_input(&mut self) -> Taken {
        if self.terminal.is_some() {
            return Taken::new();
        }
        self.close_input = true;
        self.write_input()
    }

    /// Gives the terminal this size.
    pub(crate) fn resize(&self, size: WindowSize) {
        if let Some(terminal) = &self.terminal {
            // A terminal without other side has nobody to mind.
            let _ = sys::pty::set_size(terminal, size);
        }
    }

    /// Makes a full-screen program or a prompt draw itself anew: two sizes, because an
    /// unchanged one signals nothing.
    pub(crate) fn redraw(&self, size: WindowSize) {
        let rows = size.rows.saturating_sub(1).max(1);
        self.resize(WindowSize { rows, ..size });
        self.resize(size);
    }

    /// Answers, as a terminal would, the questions in this output.
    pub(crate) fn answer_for_nobody(&mut self, output: &[u8]) {
        let Some(terminal) = &self.terminal else {
            return;
        };
        for &byte in output {
            self.asked = match (byte == WHERE[self.asked], byte == WHERE[0]) {
                (true, _) => self.asked + 1,
                (false, true) => 1,
                (false, false) => 0,
            };
            if self.asked == WHERE.len() {
                self.asked = 0;
                // A full input queue means that nobody reads answers either.
                let _ = rustix::io::write(terminal, HERE);
            }
        }
    }

    /// Waits a moment for output; false when none came.
    pub(crate) fn wait_for_output(&self, patience: Timespec) -> bool {
        let interests = self.interests(false);
        let mut fds: Vec<_> = interests
            .iter()
            .filter(|(end, ..)| matches!(end, End::Output(_)))
            .map(|(_, fd, flags)| PollFd::from_borrowed_fd(*fd, *flags))
            .collect();
        matches!(rustix::event::poll(&mut fds, Some(&patience)), Ok(ready) if ready > 0)
    }
}

/// Reading end and writing end.
fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?)
}

fn null() -> io::Result<OwnedFd> {
    let flags = OFlags::RDWR | OFlags::CLOEXEC;
    Ok(rustix::fs::open(
        "/dev/null",
        flags,
        rustix::fs::Mode::empty(),
    )?)
}

/// Only our end: the process's one is another open file.
fn nonblocking(fd: OwnedFd) -> io::Result<OwnedFd> {
    let flags = rustix::fs::fcntl_getfl(fd.as_fd())?;
    rustix::fs::fcntl_setfl(fd.as_fd(), flags | OFlags::NONBLOCK)?;
    Ok(fd)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn terminal() -> (Console, OwnedFd) {
        let pty = sys::pty::open(WindowSize::default()).unwrap();
        let mut console = Console::default();
        console.set_terminal(pty.master).unwrap();
        (console, pty.slave)
    }

    #[test]
    fn a_cursor_question_is_answered_even_in_pieces() {
        let (mut console, slave) = terminal();
        let _raw = sys::pty::RawMode::enter(slave.as_fd()).unwrap();
        console.answer_for_nobody(b"prompt \x1b[\x1b[6");
        console.answer_for_nobody(b"n>");
        let mut answer = [0; 16];
        let count = rustix::io::read(&slave, &mut answer).unwrap();
        assert_eq!(&answer[..count], HERE);
    }

    #[test]
    fn a_terminal_ends_when_its_other_side_is_closed_and_not_before() {
        let (mut console, slave) = terminal();
        rustix::io::write(&slave, b"last words").unwrap();
        drop(slave);
        let mut chunk = [0; 64];
        assert!(console.wait_for_output(Timespec {
            tv_sec: 10,
            tv_nsec: 0
        }));
        assert_eq!(console.read(Stream::Stdout, &mut chunk), Read::Bytes(10));
        assert_eq!(console.read(Stream::Stdout, &mut chunk), Read::End);
        assert!(console.is_at_end());
    }

    #[test]
    fn input_is_confirmed_as_it_is_taken_and_when_nobody_can_take_it() {
        let (mut console, stdio) = Console::new(false, true).unwrap();
        let big = vec![7; 1 << 20];
        let taken: u32 = console.push_input(1, big).iter().map(|(_, n)| n).sum();
        assert!(taken > 0 && taken < 1 << 20, "{taken}");
        drop(stdio);
        let rest: u32 = console.write_input().iter().map(|(_, n)| n).sum();
        assert_eq!(taken + rest, 1 << 20);
        assert_eq!(console.push_input(2, vec![0; 3]), [(2, 3)]);
    }

    #[test]
    fn closing_the_input_waits_for_what_is_queued() {
        let (mut console, stdio) = Console::new(false, true).unwrap();
        let Stdio::Fds { stdin, .. } = stdio else {
            panic!("pipes were asked for")
        };
        console.push_input(1, vec![7; 100_000]);
        console.close_input();
        let mut seen = 0;
        let mut chunk = vec![0; 65536];
        loop {
            match rustix::io::read(&stdin, &mut chunk).unwrap() {
                0 => break,
                count => seen += count,
            }
            console.write_input();
        }
        assert_eq!(seen, 100_000);
    }
}
