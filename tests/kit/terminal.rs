//! A terminal with somebody at it: a real pty, what was shown on it, keys pressed.

#![allow(dead_code, reason = "each test crate uses a part of it")]

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

/// How long a program may take to show something.
const PATIENCE: Duration = Duration::from_secs(60);
/// What a program asks to learn where the cursor is, and what a terminal answers.
const WHERE: &[u8] = b"\x1b[6n";
const HERE: &[u8] = b"\x1b[1;1R";

/// A terminal of 24×80 with one program on it.
pub(crate) struct Terminal {
    child: Child,
    master: File,
    output: Receiver<Vec<u8>>,
    /// All that was shown and not yet expected.
    seen: Vec<u8>,
}

impl Terminal {
    /// Runs a program on a new terminal, in a session of its own.
    pub(crate) fn run(command: &Command) -> Self {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let size = Winsize {
            ws_row: 24,
            ws_col: 80,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        tcsetwinsize(master.as_fd(), size).unwrap();
        let name = ptsname(&master, Vec::new()).unwrap().into_string().unwrap();
        let slave = File::options().read(true).write(true).open(&name).unwrap();
        let stdio = || Stdio::from(slave.try_clone().unwrap());
        let mut session = Command::new("setsid");
        session
            .args(["--ctty", "--wait"])
            .arg(command.get_program())
            .args(command.get_args());
        session
            .env_clear()
            .current_dir(command.get_current_dir().unwrap());
        session
            .envs(command.get_envs().filter_map(|(k, v)| Some((k, v?))))
            .env("TERM", "xterm");
        let child = session
            .stdin(stdio())
            .stdout(stdio())
            .stderr(stdio())
            .spawn()
            .unwrap();
        let master = File::from(master);
        let output = reader(master.try_clone().unwrap());
        Self {
            child,
            master,
            output,
            seen: Vec::new(),
        }
    }

    /// Gives the terminal another size.
    pub(crate) fn resize(&self, rows: u16, columns: u16) {
        let size = Winsize {
            ws_row: rows,
            ws_col: columns,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        tcsetwinsize(self.master.as_fd(), size).unwrap();
    }

    /// The number of the process that `setsid` executes for us.
    pub(crate) fn program(&self) -> u32 {
        let pid = self.child.id();
        let text = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
        let children = text.unwrap_or_default();
        // It forks only if it has to.
        let first = children.split_whitespace().next();
        first.map_or(pid, |child| child.parse().unwrap())
    }

    /// Presses keys.
    pub(crate) fn press(&mut self, keys: &str) {
        self.master.write_all(keys.as_bytes()).unwrap();
    }

    /// Waits until `text` is shown, after what was expected before; escape sequences do
    /// not count. What was shown up to it.
    pub(crate) fn expect(&mut self, text: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let plain = plain(&self.seen);
            if let Some(at) = plain.find(text) {
                let (before, after) = plain.split_at(at + text.len());
                self.seen = after.as_bytes().to_vec();
                return before.to_owned();
            }
            let left = deadline.saturating_duration_since(Instant::now());
            match self.output.recv_timeout(left) {
                Ok(bytes) => self.take(&bytes),
                Err(RecvTimeoutError::Timeout) => panic!("no `{text}` in:\n{plain}"),
                Err(RecvTimeoutError::Disconnected) => {
                    panic!("the program ended without `{text}`:\n{plain}")
                }
            }
        }
    }

    /// What has been shown and not been expected yet.
    pub(crate) fn shown(&mut self) -> String {
        while let Ok(bytes) = self.output.try_recv() {
            self.take(&bytes);
        }
        plain(&self.seen)
    }

    /// Waits for the program's end; its exit code, and what it showed last.
    pub(crate) fn end(mut self) -> (i32, String) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            while let Ok(bytes) = self.output.try_recv() {
                self.take(&bytes);
            }
            if let Some(status) = self.child.try_wait().unwrap() {
                return (status.code().unwrap_or(-1), plain(&self.seen));
            }
            assert!(
                Instant::now() < deadline,
                "it does not end:\n{}",
                plain(&self.seen)
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn take(&mut self, bytes: &[u8]) {
        for _ in bytes.windows(WHERE.len()).filter(|window| *window == WHERE) {
            self.master.write_all(HERE).unwrap();
        }
        self.seen.extend_from_slice(bytes);
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Reads until the last program has closed the terminal.
fn reader(mut master: File) -> Receiver<Vec<u8>> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok(n @ 1..) = master.read(&mut buffer) {
            if sender.send(buffer[..n].to_vec()).is_err() {
                break;
            }
        }
    });
    receiver
}

/// What one reads on the screen: no escape sequences, no carriage returns.
pub(crate) fn plain(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let mut out = String::new();
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match (c, chars.peek()) {
            ('\x1b', Some('[')) => {
                // A control sequence ends with a letter or one of `@~`.
                let _ = chars.by_ref().skip(1).find(|c| ('@'..='~').contains(c));
            }
            ('\x1b', Some(']')) => drop(chars.by_ref().find(|c| *c == '\x07')),
            ('\x1b', _) => drop(chars.next()),
            ('\r', _) => {}
            _ => out.push(c),
        }
    }
    out
}
