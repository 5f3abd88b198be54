//! One file of the log, line by line, while somebody may be writing to it.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use serde::Deserialize;

use crate::frames::Stream;

/// How much is read at once.
const BLOCK: usize = 64 * 1024;

/// The time of a line that does not tell its own, if no line came before it.
const EARLIEST: &str = "1970-01-01T00:00:00.000000000Z";

/// One line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogRecord {
    /// What the process wrote, as a rule with the line's end.
    pub bytes: Vec<u8>,
    /// Where to.
    pub stream: Stream,
    /// When.
    pub time: String,
    /// What the log's options attach to each line.
    pub attributes: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct Json {
    log: String,
    #[serde(default)]
    raw: Option<String>,
    stream: Stream,
    #[serde(default)]
    attrs: BTreeMap<String, String>,
    time: String,
}

impl LogRecord {
    /// The line, or what is left of it if a crash has cut it; its time is lost then, and
    /// that of the line before, if any, stands for it.
    pub(super) fn parse(line: &[u8], before: &str) -> Option<Self> {
        let Ok(json) = serde_json::from_slice::<Json>(line) else {
            return Some(Self {
                bytes: up_to_the_cut(line)?,
                stream: Stream::Stdout,
                time: match before {
                    "" => EARLIEST.into(),
                    time => time.into(),
                },
                attributes: BTreeMap::new(),
            });
        };
        let raw = json.raw.as_deref().and_then(bytes_of);
        Some(Self {
            bytes: raw.unwrap_or_else(|| json.log.into_bytes()),
            stream: json.stream,
            time: json.time,
            attributes: json.attrs,
        })
    }
}

/// Bytes that were written as the characters of their numbers.
fn bytes_of(raw: &str) -> Option<Vec<u8>> {
    raw.chars()
        .map(|c| u8::try_from(u32::from(c)).ok())
        .collect()
}

/// What the process wrote, as far as a line goes that is not whole.
fn up_to_the_cut(line: &[u8]) -> Option<Vec<u8>> {
    let (log, rest) = text_up_to_the_cut(line, b"{\"log\":\"")?;
    // If the bytes themselves follow and are whole, they are better.
    match text_up_to_the_cut(rest, b"\",\"raw\":\"") {
        Some((raw, [b'"', ..])) => bytes_of(&raw),
        _ => Some(log.into_bytes()),
    }
}

/// A text after these words, up to its closing quote or the cut, and what comes then.
fn text_up_to_the_cut<'l>(line: &'l [u8], words: &[u8]) -> Option<(String, &'l [u8])> {
    let text = line
        .strip_suffix(b"\n")
        .unwrap_or(line)
        .strip_prefix(words)?;
    let mut escaped = false;
    let close = text.iter().position(|&byte| {
        let closes = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        closes
    });
    let end = close.unwrap_or(text.len());
    // The cut may be inside an escape sequence or a character: at most twelve bytes.
    let ends = (end.saturating_sub(12)..=end).rev();
    let quoted = |end: usize| [b"\"", &text[..end], b"\""].concat();
    let whole = ends
        .map(quoted)
        .find_map(|text| serde_json::from_slice(&text).ok())?;
    Some((whole, &text[end..]))
}

/// Reads whole lines. A last line without end is not touched: it is being written, or is
/// about to be taken back.
#[derive(Debug)]
pub(super) struct Lines {
    file: File,
    /// Where `buffer` begins.
    at: u64,
    buffer: Vec<u8>,
    /// So much of it is done with.
    used: usize,
    /// So much of it has no line's end.
    searched: usize,
    /// What is written behind this is not read.
    end: u64,
}

impl Lines {
    pub(super) fn new(file: File) -> Self {
        Self {
            file,
            at: 0,
            buffer: Vec::new(),
            used: 0,
            searched: 0,
            end: u64::MAX,
        }
    }

    /// Leaves out what is written from now on.
    pub(super) fn stop_here(&mut self) -> io::Result<()> {
        self.end = self.file.metadata()?.len();
        Ok(())
    }

    /// Takes as much as there is after all.
    pub(super) fn go_on(&mut self) {
        self.end = u64::MAX;
    }

    pub(super) fn file(&self) -> &File {
        &self.file
    }

    /// Goes on from this offset, where a line begins.
    pub(super) fn seek(&mut self, at: u64) {
        self.at = at;
        self.buffer.clear();
        (self.used, self.searched) = (0, 0);
    }

    /// Where the next line begins.
    pub(super) fn offset(&self) -> u64 {
        self.at + self.used as u64
    }

    /// The next whole line; `None` where there is none yet.
    pub(super) fn next(&mut self) -> io::Result<Option<&[u8]>> {
        loop {
            let fresh = &self.buffer[self.searched..];
            if let Some(at) = fresh.iter().position(|&b| b == b'\n') {
                let line = self.used..self.searched + at + 1;
                self.used = line.end;
                self.searched = line.end;
                return Ok(Some(&self.buffer[line]));
            }
            self.searched = self.buffer.len();
            if self.fill()? == 0 {
                // Read anew next time: it may have been taken back.
                self.at = self.offset();
                self.buffer.clear();
                (self.used, self.searched) = (0, 0);
                return Ok(None);
            }
        }
    }

    /// The last line without end.
    pub(super) fn rest(&mut self) -> io::Result<Vec<u8>> {
        while self.fill()? > 0 {}
        Ok(self.buffer[self.used..].to_vec())
    }

    fn fill(&mut self) -> io::Result<usize> {
        self.buffer.drain(..self.used);
        self.at += self.used as u64;
        self.searched -= self.used.min(self.searched);
        self.used = 0;
        let length = self.buffer.len();
        let left = self.end.saturating_sub(self.at + length as u64);
        let block = usize::try_from(left).map_or(BLOCK, |left| left.min(BLOCK));
        self.buffer.resize(length + block, 0);
        let read = loop {
            match self
                .file
                .read_at(&mut self.buffer[length..], self.at + length as u64)
            {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                other => break other,
            }
        };
        self.buffer.truncate(length + *read.as_ref().unwrap_or(&0));
        read
    }
}

/// Where the last so many lines of a file begin, and how many there are at most. Reads
/// backwards, block by block.
pub(super) fn tail_of(file: &File, lines: usize) -> io::Result<(u64, usize)> {
    let (mut at, mut ends) = (file.metadata()?.len(), 0);
    let mut block = Vec::new();
    let mut last = true;
    while at > 0 {
        let size = at.min(BLOCK as u64);
        at -= size;
        block.resize(size as usize, 0);
        file.read_exact_at(&mut block, at)?;
        // A last line that is cut is one, too.
        ends += usize::from(std::mem::take(&mut last) && lines > 0 && block.last() != Some(&b'\n'));
        for (offset, _) in block.iter().enumerate().rev().filter(|(_, b)| **b == b'\n') {
            if ends == lines {
                return Ok((at + offset as u64 + 1, ends));
            }
            ends += 1;
        }
    }
    Ok((0, ends))
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHOLE: &str = "{\"log\":\"a\\\"\\u00e9\\n\",\"raw\":\"a\\u00ff\\n\",\"stream\":\"stderr\",\"time\":\"T\"}\n";

    #[test]
    fn a_whole_line_has_everything() {
        let record = LogRecord::parse(WHOLE.as_bytes(), "").unwrap();
        assert_eq!(record.bytes, b"a\xff\n");
        assert_eq!((record.stream, &*record.time), (Stream::Stderr, "T"));
    }

    #[test]
    fn a_cut_line_reads_up_to_the_cut_wherever_that_is() {
        for cut in 8..WHOLE.len() - 2 {
            let record = LogRecord::parse(&WHOLE.as_bytes()[..cut], "B").unwrap();
            let raw = WHOLE.find("\",\"stream").unwrap();
            match cut > raw {
                true => assert_eq!(record.bytes, b"a\xff\n", "{cut}"),
                false => assert!("a\"é\n".as_bytes().starts_with(&record.bytes), "{cut}"),
            }
            assert_eq!(record.time, "B");
        }
        let log = WHOLE.find("\",\"raw").unwrap();
        let record = LogRecord::parse(&WHOLE.as_bytes()[..=log], "").unwrap();
        assert_eq!(record.bytes, "a\"é\n".as_bytes());
        assert_eq!(LogRecord::parse(b"nonsense\n", ""), None);
    }

    #[test]
    fn an_unfinished_line_is_read_anew() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        std::fs::write(&path, "one\ntw").unwrap();
        let mut lines = Lines::new(File::open(&path).unwrap());
        assert_eq!(lines.next().unwrap(), Some(b"one\n".as_slice()));
        assert_eq!(lines.next().unwrap(), None);
        std::fs::write(&path, "one\nother\n").unwrap();
        assert_eq!(lines.next().unwrap(), Some(b"other\n".as_slice()));
        assert_eq!(lines.next().unwrap(), None);
        std::fs::write(&path, "one\nother\nrest").unwrap();
        assert_eq!(lines.rest().unwrap(), b"rest");
    }
}
