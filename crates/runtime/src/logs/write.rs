//! The supervisor's side of the log.

use std::io;
use std::os::fd::BorrowedFd;
use std::path::Path;
use std::time::Duration;

use model::container::{LogDriver, LogPlan};
use rustix::io::Errno;

use super::background::{Background, Done};
use super::encode::Encoder;
use super::file::{LogFile, Written};
use crate::frames::Stream;
use crate::supervise::clock::{self, Moment};
use crate::supervise::record::now;

/// From here on lines are written without waiting for more of them.
const BATCH: usize = 512 * 1024;
/// From here on a thread writes them.
const MUCH: usize = 64 * 1024;
/// Lines that follow others wait this long for more of them.
const GATHER: Duration = Duration::from_millis(10);
/// Lines that may wait for the disk. Then the output waits too, for a moment.
const WAITING: usize = 4 * 1024 * 1024;
/// After this long the disk is taken for stuck: the output goes on, and is not logged.
const STUCK: Duration = Duration::from_secs(1);
/// How long a thread that has nothing to write is kept.
const IDLE: Duration = Duration::from_secs(2);
/// How long the end waits for the disk.
const LAST: Duration = Duration::from_secs(5);

/// Docker's limits of its driver `local`.
const LOCAL: (u64, u32) = (20_000_000, 5);
/// Docker's json-file has no limit unless it is asked for one, and fills disks. Here that
/// must be said: `max-size=-1`.
const USUAL: (u64, u32) = (100_000_000, 5);

/// How much of the log is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Keep {
    max_size: Option<u64>,
    max_files: u32,
}

impl Keep {
    /// What the plan says, and what it means where it says nothing.
    fn of(plan: &LogPlan) -> Self {
        let (size, files) = match plan.driver {
            LogDriver::Local => LOCAL,
            LogDriver::JsonFile | LogDriver::None => USUAL,
        };
        let asked = plan.max_size.is_some() || plan.options.contains_key("max-size");
        let by_default = match (plan.driver, asked) {
            // As docker: whoever gives a size gets one file.
            (LogDriver::JsonFile, true) => 1,
            _ => files,
        };
        Self {
            max_size: plan.max_size.or((!asked).then_some(size)),
            max_files: plan.max_files.unwrap_or(by_default),
        }
    }
}

/// Appends to a log.
#[derive(Debug)]
pub(crate) struct LogWriter {
    encoder: Encoder,
    /// Whole lines that wait for being written.
    lines: Vec<u8>,
    /// When they are.
    due: Option<Moment>,
    /// The last time that something was handed to the disk.
    wrote: Moment,
    sink: Sink,
    /// Memory of a batch that was written.
    spare: Vec<u8>,
    /// Lines that the disk did not take since the last note about such.
    lost: u64,
    /// Those that the note on its way is about.
    noted: u64,
    why: Option<Errno>,
}

#[derive(Debug)]
enum Sink {
    /// Whoever calls writes: it is little.
    Here(LogFile),
    /// A thread does.
    Away(Background),
    /// A thread did that a disk holds for ever.
    Gone,
}

impl LogWriter {
    /// For the log at this path; so much was held back by an earlier writer.
    pub(crate) fn new(path: &Path, plan: &LogPlan, partial: [Vec<u8>; 2]) -> io::Result<Self> {
        let keep = Keep::of(plan);
        Ok(Self {
            encoder: Encoder::new(&plan.attributes, partial),
            lines: Vec::new(),
            due: None,
            wrote: Moment::ZERO,
            sink: Sink::Here(LogFile::new(path, keep.max_size, keep.max_files)?),
            spare: Vec::new(),
            lost: 0,
            noted: 0,
            why: None,
        })
    }

    /// Writes all there is; gives what is held back, for the next writer.
    pub(crate) fn into_partial_lines(mut self) -> [Vec<u8>; 2] {
        self.settle(LAST);
        self.encoder.into_partial()
    }

    /// Takes output of the process. What a stuck or full disk does not take is lost: the
    /// process must not wait for it.
    pub(crate) fn output(&mut self, stream: Stream, bytes: &[u8]) {
        if self.lines.len() >= 2 * WAITING && !self.make_room() {
            self.lost += bytes.iter().filter(|&&b| b == b'\n').count().max(1) as u64;
            return;
        }
        self.encoder.take(stream, bytes, &now(), &mut self.lines);
        if self.lines.is_empty() {
            return;
        }
        let now = clock::now();
        self.due.get_or_insert(now.max(self.wrote + GATHER));
        if self.lines.len() >= BATCH || self.due.is_some_and(|at| at <= now) {
            self.write(now);
        }
    }

    /// Writes what has no line's end: the process has ended. Waits for the disk.
    pub(crate) fn end(&mut self) {
        self.encoder.end(&now(), &mut self.lines);
        self.settle(LAST);
    }

    /// When [`Self::on_time`] has something to do.
    pub(crate) fn deadline(&self) -> Option<Moment> {
        match &self.sink {
            // Its end wakes by itself; that it does not come must be noticed.
            Sink::Away(thread) if thread.is_busy() => self.is_full().then_some(self.wrote + STUCK),
            Sink::Away(_) => Some(self.due.unwrap_or(self.wrote + IDLE)),
            Sink::Here(_) | Sink::Gone => self.due,
        }
    }

    /// Readable when the disk has taken something.
    pub(crate) fn poll_fd(&self) -> Option<BorrowedFd<'_>> {
        match &self.sink {
            Sink::Away(thread) => Some(thread.as_fd()),
            Sink::Here(_) | Sink::Gone => None,
        }
    }

    /// The descriptor of [`Self::poll_fd`] was readable.
    pub(crate) fn on_ready(&self) {
        if let Sink::Away(thread) = &self.sink {
            thread.quiet();
        }
    }

    /// Takes note of what the disk has taken, and writes what is due.
    pub(crate) fn on_time(&mut self, now: Moment) {
        self.collect();
        if self.due.is_some_and(|at| at <= now) {
            self.write(now);
        } else if self.due.is_none()
            && now >= self.wrote + IDLE
            && matches!(&self.sink, Sink::Away(thread) if !thread.is_busy())
        {
            self.come_back(STUCK);
        }
    }

    /// Whether the process's output should wait for the disk.
    pub(crate) fn is_full(&self) -> bool {
        self.lines.len() >= WAITING && !self.is_stuck()
    }

    /// Whether it has nothing on its way.
    pub(crate) fn is_quiet(&self) -> bool {
        matches!(self.sink, Sink::Here(_) | Sink::Gone)
    }

    fn is_stuck(&self) -> bool {
        match &self.sink {
            Sink::Away(thread) => thread.is_busy() && clock::now() >= self.wrote + STUCK,
            Sink::Here(_) => false,
            Sink::Gone => true,
        }
    }

    /// Waits for the disk unless it is stuck; false if nothing came of it.
    fn make_room(&mut self) -> bool {
        let left = (self.wrote + STUCK).saturating_sub(clock::now());
        if let Sink::Away(thread) = &mut self.sink
            && let Some(done) = thread.wait(left)
        {
            self.account(done);
        }
        self.write(clock::now());
        self.lines.len() < 2 * WAITING
    }

    fn collect(&mut self) {
        if let Sink::Away(thread) = &mut self.sink
            && let Some(done) = thread.take()
        {
            self.account(done);
        }
    }

    /// Hands what waits to the disk.
    fn write(&mut self, now: Moment) {
        self.collect();
        if let Sink::Away(thread) = &self.sink
            && thread.is_busy()
        {
            return;
        }
        self.due = None;
        self.note_lost();
        if self.lines.is_empty() {
            return;
        }
        self.wrote = now;
        if self.lines.len() >= MUCH {
            self.go_away();
        }
        let lines = std::mem::replace(&mut self.lines, std::mem::take(&mut self.spare));
        match &mut self.sink {
            Sink::Away(thread) => thread.submit(lines),
            Sink::Here(file) => {
                let written = file.append(&lines);
                self.account(Done { lines, written });
            }
            Sink::Gone => {}
        }
    }

    /// A line about those that are missing comes where they would be.
    fn note_lost(&mut self) {
        if self.lost == 0 {
            return;
        }
        let why = self.why.map_or_else(
            || "the disk did not take them in time".into(),
            |errno| io::Error::from(errno).to_string(),
        );
        let (lost, time) = (std::mem::take(&mut self.lost), now());
        let note = format!("[shim: {lost} lines were not logged: {why}]\n");
        let mut line = Vec::new();
        Encoder::default().take(Stream::Stderr, note.as_bytes(), &time, &mut line);
        self.lines.splice(..0, line);
        self.noted = lost;
    }

    fn account(&mut self, done: Done) {
        let Done { mut lines, written } = done;
        let Written { bytes, error } = written;
        self.why = error;
        let missing = lines[bytes..].iter().filter(|&&b| b == b'\n').count() as u64;
        // A note that did not arrive stands for the lines that it is about.
        let noted = std::mem::take(&mut self.noted);
        self.lost += match bytes {
            0 if noted > 0 => missing - 1 + noted,
            _ => missing,
        };
        let worth_keeping = match &self.sink {
            Sink::Away(_) => 2 * WAITING,
            Sink::Here(_) | Sink::Gone => 4096,
        };
        if lines.capacity() <= worth_keeping {
            lines.clear();
            self.spare = lines;
        }
    }

    fn go_away(&mut self) {
        self.sink = match std::mem::replace(&mut self.sink, Sink::Gone) {
            Sink::Here(file) => match Background::start(file) {
                Ok(thread) => Sink::Away(thread),
                Err(file) => Sink::Here(file),
            },
            other => other,
        };
    }

    fn come_back(&mut self, patience: Duration) {
        self.sink = match std::mem::replace(&mut self.sink, Sink::Gone) {
            Sink::Away(thread) => match thread.finish(patience) {
                Ok(file) => Sink::Here(file),
                Err(_) => Sink::Gone,
            },
            other => other,
        };
        self.spare = Vec::new();
        self.lines.shrink_to(4096);
    }

    /// Writes all there is and lets the thread go.
    fn settle(&mut self, patience: Duration) {
        let deadline = clock::now() + patience;
        loop {
            self.write(clock::now());
            let left = deadline.saturating_sub(clock::now());
            match &mut self.sink {
                Sink::Away(thread) if thread.is_busy() && !left.is_zero() => {
                    if let Some(done) = thread.wait(left) {
                        self.account(done);
                    }
                }
                _ => break,
            }
            // What a full disk refuses is not tried for ever.
            if self.lines.is_empty() && (self.lost == 0 || self.why.is_some()) {
                break;
            }
        }
        self.come_back(deadline.saturating_sub(clock::now()));
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Follow, LogQuery, read};
    use super::*;
    use std::path::PathBuf;

    fn log() -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        (dir, path)
    }

    fn writer(path: &Path) -> LogWriter {
        LogWriter::new(path, &LogPlan::default(), Default::default()).unwrap()
    }

    fn logged(path: &Path) -> Vec<String> {
        let mut seen = Vec::new();
        read(path, &LogQuery::default(), Follow::No, &mut |record| {
            seen.push(String::from_utf8(record.bytes).unwrap());
            true
        })
        .unwrap();
        seen
    }

    #[test]
    fn a_single_line_is_written_at_once_and_those_behind_it_together() {
        let (_dir, path) = log();
        let mut writer = writer(&path);
        writer.output(Stream::Stdout, b"first\n");
        assert_eq!(logged(&path), ["first\n"]);
        writer.output(Stream::Stdout, b"second\n");
        let due = writer.deadline().unwrap();
        assert_eq!(logged(&path), ["first\n"]);
        writer.on_time(due);
        assert_eq!(logged(&path), ["first\n", "second\n"]);
        assert_eq!(writer.deadline(), None);
    }

    #[test]
    fn much_output_is_written_by_a_thread_that_goes_afterwards() {
        let (_dir, path) = log();
        let mut writer = writer(&path);
        let mut all = Vec::new();
        for round in 0..200 {
            let text: String = (0..400)
                .map(|n| format!("{round} {n} some words\n"))
                .collect();
            writer.output(Stream::Stdout, text.as_bytes());
            all.push(text);
        }
        assert!(!writer.is_quiet());
        assert!(writer.deadline().is_some() || writer.poll_fd().is_some());
        writer.end();
        assert!(writer.is_quiet());
        assert_eq!(logged(&path).concat(), all.concat());
    }

    #[test]
    fn a_stuck_disk_holds_nobody_and_what_is_missing_is_told() {
        let (_dir, path) = log();
        rustix::fs::mknodat(
            rustix::fs::CWD,
            &path,
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR,
            0,
        )
        .unwrap();
        // A pipe that nobody reads stands for it.
        let mut disk = std::fs::File::options()
            .read(true)
            .write(true)
            .open(&path)
            .unwrap();
        let mut writer = writer(&path);
        let line = [[b'x'; 1023].as_slice(), b"\n"].concat();
        let chunk = line.repeat(64);
        let chunks = 400;
        for _ in 0..chunks {
            writer.output(Stream::Stdout, &chunk);
        }
        assert!(writer.lost > 0, "nothing was lost");
        // It comes back to life.
        let reader = std::thread::spawn(move || {
            use std::io::Read;
            let mut seen = Vec::new();
            let mut buffer = vec![0; 1 << 16];
            while !seen.windows(6).rev().take(200).any(|w| w == b"last\\n") {
                let count = disk.read(&mut buffer).unwrap();
                seen.extend_from_slice(&buffer[..count]);
            }
            String::from_utf8(seen).unwrap()
        });
        writer.settle(Duration::from_secs(60));
        writer.output(Stream::Stdout, b"last\n");
        writer.settle(Duration::from_secs(60));
        let seen = reader.join().unwrap();
        let lines = seen.matches("xxx\\n").count();
        let note = seen.split("[shim: ").nth(1).unwrap();
        let missing: usize = note.split(' ').next().unwrap().parse().unwrap();
        assert_eq!(lines + missing, chunks * 64, "{note}");
        assert!(note.contains("lines were not logged"), "{note}");
    }

    #[test]
    fn a_full_disk_is_counted_and_told_once_there_is_room() {
        let (_dir, path) = log();
        std::os::unix::fs::symlink("/dev/full", &path).unwrap();
        let mut writer = writer(&path);
        for _ in 0..3 {
            writer.output(Stream::Stdout, b"a line\n");
            writer.settle(LAST);
        }
        std::fs::remove_file(&path).unwrap();
        writer.sink = Sink::Here(LogFile::new(&path, None, 1).unwrap());
        writer.output(Stream::Stdout, b"room\n");
        writer.settle(LAST);
        let want = "[shim: 3 lines were not logged: No space left on device (os error 28)]\n";
        assert_eq!(logged(&path), [want, "room\n"]);
    }

    #[test]
    fn what_is_kept_is_dockers_but_for_the_endless_log() {
        let plan = |driver, max_size, options: &[&str]| {
            let options = options.iter().map(|o| ((*o).to_owned(), String::new()));
            let keep = Keep::of(&LogPlan {
                driver,
                max_size,
                options: options.collect(),
                ..LogPlan::default()
            });
            (keep.max_size, keep.max_files)
        };
        use LogDriver::{JsonFile, Local};
        assert_eq!(plan(JsonFile, None, &[]), (Some(100_000_000), 5));
        assert_eq!(plan(JsonFile, Some(10), &["max-size"]), (Some(10), 1));
        assert_eq!(plan(JsonFile, None, &["max-size"]), (None, 1));
        assert_eq!(plan(Local, None, &[]), (Some(20_000_000), 5));
        assert_eq!(plan(Local, Some(10), &["max-size"]), (Some(10), 5));
    }
}
