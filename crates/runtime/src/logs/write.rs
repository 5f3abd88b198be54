//! The supervisor's side of the log.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use serde::Serialize;

use crate::frames::Stream;
use crate::supervise::record::now;

/// Longer lines are split, as docker does.
const LONGEST: usize = 16 * 1024;

/// Appends to a log.
#[derive(Debug)]
pub(crate) struct LogWriter {
    file: File,
    partial: [Vec<u8>; 2],
    lines: Vec<u8>,
}

#[derive(Serialize)]
struct Line<'a> {
    log: &'a str,
    stream: Stream,
    time: &'a str,
}

impl LogWriter {
    /// Opens or creates the log. A last line that a crash has cut is ended, so that the
    /// next one begins on its own.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        use std::os::unix::fs::{FileExt, OpenOptionsExt};
        let mut options = File::options();
        options.read(true).append(true).create(true).mode(0o600);
        let mut file = options.open(path)?;
        let length = file.metadata()?.len();
        let mut last = [b'\n'];
        if length > 0 {
            file.read_exact_at(&mut last, length - 1)?;
        }
        if last != [b'\n'] {
            file.write_all(b"\n")?;
        }
        Ok(Self {
            file,
            partial: Default::default(),
            lines: Vec::new(),
        })
    }

    /// Continues a log in which this much was held back.
    pub(crate) fn resume(path: &Path, partial: [Vec<u8>; 2]) -> io::Result<Self> {
        Ok(Self {
            partial,
            ..Self::open(path)?
        })
    }

    /// What is held back, for [`Self::resume`].
    pub(crate) fn into_partial_lines(self) -> [Vec<u8>; 2] {
        self.partial
    }

    /// Takes output of the process. What the disk does not take is lost: the process
    /// must not wait for it.
    pub(crate) fn output(&mut self, stream: Stream, bytes: &[u8]) {
        let time = now();
        let mut rest = bytes;
        while !rest.is_empty() {
            let partial = &mut self.partial[stream as usize];
            let room = LONGEST - partial.len();
            let piece = &rest[..rest.len().min(room)];
            let taken = piece
                .iter()
                .position(|&b| b == b'\n')
                .map_or(piece.len(), |at| at + 1);
            partial.extend_from_slice(&piece[..taken]);
            rest = &rest[taken..];
            if partial.ends_with(b"\n") {
                let line = std::mem::take(partial);
                self.line(stream, &line, &time);
            } else if partial.len() == LONGEST {
                let line = std::mem::take(partial);
                let whole = whole_characters(&line);
                self.line(stream, &line[..whole], &time);
                self.partial[stream as usize] = line[whole..].to_vec();
            }
        }
        self.write();
    }

    /// Writes what has no line's end: the process has ended.
    pub(crate) fn end(&mut self) {
        let time = now();
        for stream in [Stream::Stdout, Stream::Stderr] {
            let partial = std::mem::take(&mut self.partial[stream as usize]);
            if !partial.is_empty() {
                self.line(stream, &partial, &time);
            }
        }
        self.write();
    }

    fn line(&mut self, stream: Stream, bytes: &[u8], time: &str) {
        let log = &*String::from_utf8_lossy(bytes);
        let line = Line { log, stream, time };
        serde_json::to_writer(&mut self.lines, &line).expect("a Vec takes every write");
        self.lines.push(b'\n');
    }

    fn write(&mut self) {
        if !self.lines.is_empty() {
            let _ = self.file.write_all(&self.lines);
            self.lines.clear();
            self.lines.shrink_to(4096);
        }
    }
}

/// Length without a last UTF-8 character that is not whole.
fn whole_characters(bytes: &[u8]) -> usize {
    match std::str::from_utf8(bytes) {
        Err(e) if e.error_len().is_none() => e.valid_up_to(),
        _ => bytes.len(),
    }
}
