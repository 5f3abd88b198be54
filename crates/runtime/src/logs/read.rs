//! The readers' side of the log.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;

use crate::frames::Stream;

/// How often a followed log is looked at.
const LOOK: Duration = Duration::from_millis(50);
/// How much is read at once when looking for the last lines.
const BLOCK: u64 = 64 * 1024;

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

/// A time as [`LogQuery`] wants it.
pub fn time_text(time: std::time::SystemTime) -> String {
    match jiff::Timestamp::try_from(time) {
        Ok(time) => format!("{time:.9}"),
        // Beyond the year 9999 there are no lines.
        Err(_) => "9999-12-31T23:59:59.999999999Z".into(),
    }
}

/// One line.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct LogRecord {
    /// What the process wrote, as a rule with the line's end.
    pub log: String,
    /// Where to.
    pub stream: Stream,
    /// When.
    pub time: String,
}

/// Whether to wait for more at the log's end.
pub enum Follow<'a> {
    /// No: end there.
    No,
    /// Yes, as long as this says that the container may write more.
    While(&'a mut dyn FnMut() -> bool),
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
    let Some(mut file) = open(path, &mut follow).map_err(failed)? else {
        return Ok(());
    };
    let start = match query.tail {
        Some(lines) => tail_offset(&mut file, lines, query).map_err(failed)?,
        None => 0,
    };
    file.seek(SeekFrom::Start(start)).map_err(failed)?;
    let mut reader = BufReader::with_capacity(BLOCK as usize, file);
    let mut line = Vec::new();
    loop {
        // Asked before the read: what was written before the end is then still seen.
        let more = match &mut follow {
            Follow::No => false,
            Follow::While(alive) => alive(),
        };
        loop {
            reader.read_until(b'\n', &mut line).map_err(failed)?;
            // A last line without end is being written, unless nobody writes any more.
            if line.is_empty() || (line.last() != Some(&b'\n') && more) {
                break;
            }
            if let Some(record) = parse(&line, query)
                && !take(record)
            {
                return Ok(());
            }
            line.clear();
        }
        if !more {
            return Ok(());
        }
        std::thread::sleep(LOOK);
    }
}

/// Opens the log; waits for it to appear while following.
fn open(path: &Path, follow: &mut Follow<'_>) -> io::Result<Option<File>> {
    loop {
        let more = match follow {
            Follow::No => false,
            Follow::While(alive) => alive(),
        };
        match File::open(path) {
            Ok(file) => return Ok(Some(file)),
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            Err(e) => return Err(e),
        }
        if !more {
            return Ok(None);
        }
        std::thread::sleep(LOOK);
    }
}

/// The line, if it is whole and within the times that are wanted.
fn parse(line: &[u8], query: &LogQuery) -> Option<LogRecord> {
    let record: LogRecord = match serde_json::from_slice(line) {
        Ok(record) => record,
        Err(_) => up_to_the_cut(line)?,
    };
    let early = query
        .since
        .as_ref()
        .is_some_and(|since| record.time < *since);
    let late = query
        .until
        .as_ref()
        .is_some_and(|until| record.time > *until);
    (!early && !late).then_some(record)
}

/// What can be told of a line that is not whole: its text as far as it goes. Its time is
/// lost; the earliest one stands for it.
fn up_to_the_cut(line: &[u8]) -> Option<LogRecord> {
    let text = line.strip_suffix(b"\n").unwrap_or(line);
    let text = text.strip_prefix(b"{\"log\":\"")?;
    // The cut may be inside an escape sequence or a character: at most twelve bytes.
    let ends = (text.len().saturating_sub(12)..=text.len()).rev();
    let quoted = |end: usize| [b"\"", &text[..end], b"\""].concat();
    let log = ends
        .map(quoted)
        .find_map(|text| serde_json::from_slice(&text).ok())?;
    Some(LogRecord {
        log,
        stream: Stream::Stdout,
        time: "1970-01-01T00:00:00.000000000Z".into(),
    })
}

/// Where the last so many wanted lines begin. Reads backwards, block by block; with an
/// upper time limit there is no way around looking at the lines.
fn tail_offset(file: &mut File, lines: usize, query: &LogQuery) -> io::Result<u64> {
    if query.until.is_some() {
        return tail_offset_until(file, lines, query);
    }
    use std::os::unix::fs::FileExt;
    let length = file.metadata()?.len();
    let (mut at, mut ends) = (length, 0);
    let mut block = Vec::new();
    while at > 0 {
        let size = at.min(BLOCK);
        at -= size;
        block.resize(size as usize, 0);
        file.read_exact_at(&mut block, at)?;
        for (offset, _) in block.iter().enumerate().rev().filter(|(_, b)| **b == b'\n') {
            if ends == lines {
                return Ok(at + offset as u64 + 1);
            }
            ends += 1;
        }
    }
    Ok(0)
}

fn tail_offset_until(file: &mut File, lines: usize, query: &LogQuery) -> io::Result<u64> {
    file.rewind()?;
    let mut starts = VecDeque::new();
    let mut at = 0;
    for line in BufReader::new(&*file).split(b'\n') {
        let line = line?;
        if parse(&line, query).is_some() {
            starts.push_back(at);
            if starts.len() > lines {
                starts.pop_front();
            }
        }
        at += line.len() as u64 + 1;
    }
    Ok(starts.front().copied().unwrap_or(at))
}

#[cfg(test)]
mod tests {
    use super::super::LogWriter;
    use super::*;
    use proptest::prelude::*;

    fn lines(path: &Path, query: &LogQuery) -> Vec<String> {
        let mut seen = Vec::new();
        read(path, query, Follow::No, &mut |record| {
            seen.push(record.log);
            true
        })
        .unwrap();
        seen
    }

    fn log() -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        (dir, path)
    }

    #[test]
    fn lines_come_back_whole_whatever_the_pieces() {
        let (_dir, path) = log();
        let mut writer = LogWriter::open(&path).unwrap();
        for piece in ["a", "b\nc\n", "\n", "end"] {
            writer.output(Stream::Stdout, piece.as_bytes());
        }
        writer.output(Stream::Stderr, b"\xff\n");
        writer.end();
        let all = lines(&path, &LogQuery::default());
        assert_eq!(all, ["ab\n", "c\n", "\n", "\u{fffd}\n", "end"]);
    }

    #[test]
    fn a_long_line_is_split_between_characters() {
        let (_dir, path) = log();
        let mut writer = LogWriter::open(&path).unwrap();
        let long = format!("x{}", "é".repeat(10_000));
        writer.output(Stream::Stdout, long.as_bytes());
        writer.end();
        let all = lines(&path, &LogQuery::default());
        assert_eq!((all.len(), all.concat()), (2, long));
    }

    #[test]
    fn tail_counts_lines_from_the_end() {
        let (_dir, path) = log();
        let mut writer = LogWriter::open(&path).unwrap();
        for number in 0..5000 {
            writer.output(Stream::Stdout, format!("{number}\n").as_bytes());
        }
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
            LogWriter::open(&path)
                .unwrap()
                .output(Stream::Stdout, b"next\n");
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
                LogWriter::open(&path)
                    .unwrap()
                    .output(Stream::Stdout, b"late\n");
            }
            looks < 3
        };
        let mut seen = Vec::new();
        let take = &mut |record: LogRecord| {
            seen.push(record.log);
            true
        };
        read(&path, &LogQuery::default(), Follow::While(&mut alive), take).unwrap();
        assert_eq!(seen, ["late\n"]);
    }

    proptest! {
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

        #[test]
        fn text_round_trips(text in "\\PC{0,100}(\n\\PC{0,100}){0,3}") {
            let (_dir, path) = log();
            let mut writer = LogWriter::open(&path).unwrap();
            writer.output(Stream::Stdout, text.as_bytes());
            writer.end();
            prop_assert_eq!(lines(&path, &LogQuery::default()).concat(), text);
        }
    }
}
