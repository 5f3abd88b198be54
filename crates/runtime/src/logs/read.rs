//! The readers' side of the log.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::files::{self, News};
use super::lines::{Lines, LogRecord, tail_of};
use crate::supervise::record::now;

/// How long a last line without end may still be being written.
const UNDER_WAY: Duration = Duration::from_millis(20);

/// Which lines are wanted.
#[derive(Debug, Clone, Default)]
pub struct LogQuery {
    /// Not before this time (RFC 3339 in UTC with nine digits, as the log has it).
    pub since: Option<String>,
    /// Not after it.
    pub until: Option<String>,
    /// At most so many of the last lines.
    pub tail: Option<usize>,
}

impl LogQuery {
    fn wants(&self, record: &LogRecord) -> bool {
        let early = self.since.as_ref().is_some_and(|at| record.time < *at);
        !early && !self.is_after(&record.time)
    }

    fn is_after(&self, time: &str) -> bool {
        self.until.as_ref().is_some_and(|until| *time > **until)
    }
}

/// A time as [`LogQuery`] wants it.
pub fn time_text(time: std::time::SystemTime) -> String {
    match jiff::Timestamp::try_from(time) {
        Ok(time) => format!("{time:.9}"),
        // Beyond the year 9999 there are no lines.
        Err(_) => "9999-12-31T23:59:59.999999999Z".into(),
    }
}

/// Whether to wait for more at the log's end.
pub enum Follow<'a> {
    /// No: end there.
    No,
    /// Yes.
    While {
        /// Says whether the container may write more. Asked whenever all that is there
        /// has been given.
        alive: &'a mut dyn FnMut() -> bool,
        /// How long that may go unasked while nothing is written.
        ask: Duration,
    },
}

/// A log could not be read.
#[derive(Debug, thiserror::Error)]
#[error("cannot read the log {}", .path.display())]
pub struct LogError {
    path: PathBuf,
    #[source]
    source: io::Error,
}

/// Gives the lines that are wanted to `take`, in order, until it returns false. A log
/// that does not exist is empty; a line that a crash has cut short is given up to the cut.
/// Who follows goes on in the next file when the log is rotated.
pub fn read(
    path: &Path,
    query: &LogQuery,
    mut follow: Follow<'_>,
    take: &mut dyn FnMut(LogRecord) -> bool,
) -> Result<(), LogError> {
    let failed = |source| LogError {
        path: path.to_owned(),
        source,
    };
    // Watched before it is read: nothing falls in between.
    let news = match follow {
        Follow::No => None,
        Follow::While { .. } => Some(News::of(path)),
    };
    let mut reader = Reader {
        query,
        take,
        time: String::new(),
    };
    let files = files::open_all(path).map_err(failed)?;
    let mut files = wanted_files(files, query).map_err(failed)?;
    let last = files.pop();
    for mut file in files {
        if !reader.rest(&mut file).map_err(failed)? {
            return Ok(());
        }
    }
    match (&mut follow, news) {
        (Follow::While { alive, ask }, Some(mut news)) => reader
            .follow(path, last, &mut news, &mut || alive(), *ask)
            .map_err(failed),
        _ => match last {
            Some(mut file) => reader.present(&mut file).map_err(failed),
            None => Ok(()),
        },
    }
}

/// The files, each from its first wanted line on.
fn wanted_files(files: Vec<File>, query: &LogQuery) -> io::Result<Vec<Lines>> {
    let mut files: Vec<Lines> = files.into_iter().map(Lines::new).collect();
    match (query.tail, &query.until) {
        (None, _) => {}
        (Some(count), None) => {
            let mut left = count;
            for lines in files.iter_mut().rev() {
                let (at, found) = tail_of(lines.file(), left)?;
                lines.seek(at);
                left -= found;
            }
        }
        // There is no way around looking at all lines.
        (Some(count), Some(_)) => {
            let mut starts = VecDeque::new();
            for (index, lines) in files.iter_mut().enumerate() {
                let mut time = String::new();
                let mut at = 0;
                while let Some(line) = lines.next()? {
                    if let Some(record) = LogRecord::parse(line, &time) {
                        if query.wants(&record) {
                            starts.push_back((index, at));
                            if starts.len() > count {
                                starts.pop_front();
                            }
                        }
                        time = record.time;
                    }
                    at = lines.offset();
                }
                lines.seek(at);
            }
            if let Some(&(first, at)) = starts.front() {
                for (index, lines) in files.iter_mut().enumerate() {
                    match index.cmp(&first) {
                        std::cmp::Ordering::Less => {}
                        std::cmp::Ordering::Equal => lines.seek(at),
                        std::cmp::Ordering::Greater => lines.seek(0),
                    }
                }
            }
        }
    }
    Ok(files)
}

struct Reader<'a> {
    query: &'a LogQuery,
    take: &'a mut dyn FnMut(LogRecord) -> bool,
    /// Of the last line.
    time: String,
}

impl Reader<'_> {
    /// Gives a line on, if it is wanted; false if that was the last.
    fn give(&mut self, line: &[u8]) -> bool {
        let Some(record) = LogRecord::parse(line, &self.time) else {
            return true;
        };
        self.time.clone_from(&record.time);
        !self.query.wants(&record) || (self.take)(record)
    }

    /// Gives what is there; false if no more is wanted.
    fn available(&mut self, lines: &mut Lines) -> io::Result<bool> {
        while let Some(line) = lines.next()? {
            if !self.give(line) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Gives all of a file, a last line that was cut as well.
    fn rest(&mut self, lines: &mut Lines) -> io::Result<bool> {
        if !self.available(lines)? {
            return Ok(false);
        }
        let cut = lines.rest()?;
        Ok(cut.is_empty() || self.give(&cut))
    }

    /// Gives what a file has now: a container may be writing faster than anybody reads.
    fn present(&mut self, lines: &mut Lines) -> io::Result<()> {
        lines.stop_here()?;
        if !self.available(lines)? || lines.rest()?.is_empty() {
            return Ok(());
        }
        // The last line was cut, or is just being written.
        std::thread::sleep(UNDER_WAY);
        lines.go_on();
        let last = match lines.next()? {
            Some(line) => line.to_vec(),
            None => lines.rest()?,
        };
        self.give(&last);
        Ok(())
    }

    /// Gives what comes, as long as the container may write more.
    fn follow(
        &mut self,
        path: &Path,
        mut last: Option<Lines>,
        news: &mut News,
        alive: &mut dyn FnMut() -> bool,
        ask: Duration,
    ) -> io::Result<()> {
        // Asked before the read: what was written before the end is then still seen.
        let mut more = true;
        loop {
            let before = last.as_ref().map(Lines::offset);
            let next = match &mut last {
                Some(lines) => {
                    if !self.available(lines)? {
                        return Ok(());
                    }
                    files::after(path, lines.file())?
                }
                None => files::open_all(path)?.into_iter().next(),
            };
            if let Some(next) = next {
                // Nothing is written to a file once there is another.
                if let Some(mut lines) = last.take()
                    && !self.rest(&mut lines)?
                {
                    return Ok(());
                }
                last = Some(Lines::new(next));
                continue;
            }
            let new = last.as_ref().map(Lines::offset) != before;
            if !new && (!more || self.query.is_after(&now())) {
                return match &mut last {
                    Some(lines) => self.rest(lines).map(drop),
                    None => Ok(()),
                };
            }
            more = alive();
            if more {
                news.wait(ask);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::LogWriter;
    use super::*;
    use crate::frames::Stream;
    use model::container::LogPlan;
    use proptest::prelude::*;

    fn lines(path: &Path, query: &LogQuery) -> Vec<String> {
        let mut seen = Vec::new();
        read(path, query, Follow::No, &mut |record| {
            seen.push(String::from_utf8_lossy(&record.bytes).into_owned());
            true
        })
        .unwrap();
        seen
    }

    fn writer(path: &Path) -> LogWriter {
        small(path, None, 1)
    }

    fn small(path: &Path, max_size: Option<u64>, files: u32) -> LogWriter {
        let plan = LogPlan {
            max_size,
            max_files: Some(files),
            ..LogPlan::default()
        };
        LogWriter::new(path, &plan, Default::default()).unwrap()
    }

    fn log() -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        (dir, path)
    }

    #[test]
    fn lines_come_back_whole_whatever_the_pieces() {
        let (_dir, path) = log();
        let mut writer = writer(&path);
        for piece in ["a", "b\nc\n", "\n", "end"] {
            writer.output(Stream::Stdout, piece.as_bytes());
        }
        writer.output(Stream::Stderr, b"\xff\n");
        writer.end();
        let all = lines(&path, &LogQuery::default());
        assert_eq!(all, ["ab\n", "c\n", "\n", "\u{fffd}\n", "end"]);
    }

    #[test]
    fn tail_counts_lines_from_the_end() {
        let (_dir, path) = log();
        let mut writer = writer(&path);
        for number in 0..5000 {
            writer.output(Stream::Stdout, format!("{number}\n").as_bytes());
        }
        writer.end();
        for tail in [0, 1, 3, 4999, 5000, 9000] {
            let query = LogQuery {
                tail: Some(tail),
                ..LogQuery::default()
            };
            let seen = lines(&path, &query);
            assert_eq!(seen.len(), tail.min(5000));
            let until = LogQuery {
                until: Some("9".into()),
                ..query
            };
            assert_eq!(lines(&path, &until), seen);
        }
    }

    #[test]
    fn times_limit_the_lines() {
        let (_dir, path) = log();
        let line = |second: u32| {
            format!(
                "{{\"log\":\"{second}\",\"stream\":\"stdout\",\"time\":\"2026-01-01T00:00:0{second}.000000000Z\"}}\n"
            )
        };
        std::fs::write(&path, (0..9).map(line).collect::<String>()).unwrap();
        let at = |second: u32| Some(format!("2026-01-01T00:00:0{second}.000000000Z"));
        let query = LogQuery {
            since: at(3),
            until: at(6),
            tail: Some(2),
        };
        assert_eq!(lines(&path, &query), ["5", "6"]);
    }

    #[test]
    fn a_line_cut_by_a_crash_reads_up_to_the_cut_and_does_not_spoil_the_next() {
        for cut in [
            "{\"log\":\"half",
            "{\"log\":\"half\\",
            "{\"log\":\"half\\u00",
        ] {
            let (_dir, path) = log();
            std::fs::write(&path, cut).unwrap();
            assert_eq!(lines(&path, &LogQuery::default()), ["half"]);
            writer(&path).output(Stream::Stdout, b"next\n");
            assert_eq!(lines(&path, &LogQuery::default()), ["half", "next\n"]);
        }
    }

    #[test]
    fn following_ends_after_the_last_words() {
        let (_dir, path) = log();
        let mut looks = 0;
        let mut alive = || {
            looks += 1;
            if looks == 3 {
                writer(&path).output(Stream::Stdout, b"late\n");
            }
            looks < 3
        };
        assert_eq!(followed(&path, &mut alive).concat(), "late\n");
    }

    fn followed(path: &Path, alive: &mut dyn FnMut() -> bool) -> Vec<String> {
        let mut seen = Vec::new();
        let take = &mut |record: LogRecord| {
            seen.push(String::from_utf8(record.bytes).unwrap());
            true
        };
        let ask = Duration::from_secs(60);
        read(
            path,
            &LogQuery::default(),
            Follow::While { alive, ask },
            take,
        )
        .unwrap();
        seen
    }

    #[test]
    fn all_files_are_one_log() {
        let (_dir, path) = log();
        let mut writer = small(&path, Some(1000), 3);
        for number in 0..100 {
            writer.output(Stream::Stdout, format!("{number}\n").as_bytes());
        }
        writer.end();
        let all = lines(&path, &LogQuery::default());
        assert!((20..40).contains(&all.len()), "{}", all.len());
        assert_eq!(all.last().unwrap(), "99\n");
        for (tail, until) in [(1, None), (5, None), (13, None), (15, Some("3".to_owned()))] {
            let query = LogQuery {
                tail: Some(tail),
                until,
                since: None,
            };
            assert_eq!(lines(&path, &query), all[all.len() - tail..]);
        }
        std::fs::remove_file(&path).unwrap();
        assert!(!lines(&path, &LogQuery::default()).is_empty());
    }

    #[test]
    fn following_misses_nothing_when_the_log_is_rotated() {
        const LINES: u32 = 3000;
        let (_dir, path) = log();
        let (told, asked) = std::sync::mpsc::channel();
        let there = path.clone();
        let done = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
        let ended = done.clone();
        let writer = std::thread::spawn(move || {
            // Files in plenty: who is slow here is the reader, and it must find them all.
            let mut writer = small(&there, Some(2000), 1000);
            for number in 0..LINES {
                writer.output(Stream::Stdout, format!("{number}\n").as_bytes());
                if number % 50 == 0 {
                    writer.end();
                }
                if number == 100 {
                    told.send(()).unwrap();
                }
            }
            writer.end();
            ended.store(true, std::sync::atomic::Ordering::SeqCst);
        });
        asked.recv().unwrap();
        let alive = &mut || !done.load(std::sync::atomic::Ordering::SeqCst);
        let seen = followed(&path, alive);
        writer.join().unwrap();
        let want: Vec<String> = (0..LINES).map(|n| format!("{n}\n")).collect();
        assert_eq!(seen, want);
    }

    #[test]
    fn following_ends_when_the_last_wanted_moment_has_passed() {
        let (_dir, path) = log();
        writer(&path).output(Stream::Stdout, b"a line\n");
        let query = LogQuery {
            until: Some(now()),
            ..LogQuery::default()
        };
        let mut seen = 0;
        let mut alive = || true;
        let follow = Follow::While {
            alive: &mut alive,
            ask: Duration::from_secs(60),
        };
        read(&path, &query, follow, &mut |_| {
            seen += 1;
            true
        })
        .unwrap();
        assert_eq!(seen, 1);
    }

    proptest! {
        // A file that ends within a line is waited for.
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn any_file_is_survived(bytes in proptest::collection::vec(any::<u8>(), 0..300), tail in 0usize..5) {
            let (_dir, path) = log();
            std::fs::write(&path, bytes).unwrap();
            for query in [
                LogQuery::default(),
                LogQuery { tail: Some(tail), ..LogQuery::default() },
                LogQuery { tail: Some(tail), until: Some("z".into()), since: None },
            ] {
                lines(&path, &query);
            }
        }
    }

    proptest! {
        #[test]
        fn bytes_round_trip(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let (_dir, path) = log();
            let mut writer = writer(&path);
            writer.output(Stream::Stdout, &bytes);
            writer.end();
            let mut seen = Vec::new();
            read(&path, &LogQuery::default(), Follow::No, &mut |record| {
                seen.extend(record.bytes);
                true
            })
            .unwrap();
            prop_assert_eq!(seen, bytes);
        }

        #[test]
        fn text_round_trips(text in "\\PC{0,100}(\n\\PC{0,100}){0,3}") {
            let (_dir, path) = log();
            let mut writer = writer(&path);
            writer.output(Stream::Stdout, text.as_bytes());
            writer.end();
            prop_assert_eq!(lines(&path, &LogQuery::default()).concat(), text);
        }
    }
}
