//! Bytes of output become lines of the log.

use std::collections::BTreeMap;

use crate::frames::Stream;

/// Longer lines are split, as docker does.
const LONGEST: usize = 16 * 1024;

/// Cuts output into lines and writes them as JSON.
#[derive(Debug, Default)]
pub(super) struct Encoder {
    partial: [Vec<u8>; 2],
    /// `,"attrs":{…}`, or nothing.
    attributes: Vec<u8>,
}

impl Encoder {
    /// For lines with these attributes; so much was held back before.
    pub(super) fn new(attributes: &BTreeMap<String, String>, partial: [Vec<u8>; 2]) -> Self {
        let attributes = match attributes.is_empty() {
            true => Vec::new(),
            false => {
                let json = serde_json::to_vec(attributes).expect("texts serialise");
                [b",\"attrs\":".as_slice(), &json].concat()
            }
        };
        Self {
            partial,
            attributes,
        }
    }

    /// What is held back.
    pub(super) fn into_partial(self) -> [Vec<u8>; 2] {
        self.partial
    }

    /// Appends the lines that these bytes complete.
    pub(super) fn take(&mut self, stream: Stream, bytes: &[u8], time: &str, out: &mut Vec<u8>) {
        let mut rest = bytes;
        while !rest.is_empty() {
            let held = &mut self.partial[stream as usize];
            let piece = &rest[..rest.len().min(LONGEST - held.len())];
            let end = piece.iter().position(|&b| b == b'\n').map(|at| at + 1);
            let (line, after) = rest.split_at(end.unwrap_or(piece.len()));
            rest = after;
            match (end, held.is_empty()) {
                // The usual case copies nothing.
                (Some(_), true) => line_of(stream, line, &self.attributes, time, out),
                (Some(_), false) => {
                    held.extend_from_slice(line);
                    let line = std::mem::take(held);
                    line_of(stream, &line, &self.attributes, time, out);
                }
                (None, _) => {
                    held.extend_from_slice(line);
                    if held.len() == LONGEST {
                        let line = std::mem::take(held);
                        let whole = whole_characters(&line);
                        line_of(stream, &line[..whole], &self.attributes, time, out);
                        self.partial[stream as usize] = line[whole..].to_vec();
                    }
                }
            }
        }
    }

    /// Appends what has no line's end: the process has ended.
    pub(super) fn end(&mut self, time: &str, out: &mut Vec<u8>) {
        for stream in [Stream::Stdout, Stream::Stderr] {
            let line = std::mem::take(&mut self.partial[stream as usize]);
            if !line.is_empty() {
                line_of(stream, &line, &self.attributes, time, out);
            }
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

/// Appends one line, whose keys come in docker's order.
fn line_of(stream: Stream, line: &[u8], attributes: &[u8], time: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"log\":\"");
    match std::str::from_utf8(line) {
        Ok(_) => escape(line, out),
        Err(_) => {
            escape(String::from_utf8_lossy(line).as_bytes(), out);
            let raw: String = line.iter().map(|&byte| char::from(byte)).collect();
            out.extend_from_slice(b"\",\"raw\":\"");
            escape(raw.as_bytes(), out);
        }
    }
    out.extend_from_slice(match stream {
        Stream::Stdout => b"\",\"stream\":\"stdout\"",
        Stream::Stderr => b"\",\"stream\":\"stderr\"",
    });
    out.extend_from_slice(attributes);
    out.extend_from_slice(b",\"time\":\"");
    out.extend_from_slice(time.as_bytes());
    out.extend_from_slice(b"\"}\n");
}

/// Appends UTF-8 as the inside of a JSON string. By hand, because every byte that a
/// container writes goes through here.
fn escape(text: &[u8], out: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let special = |byte: u8| byte < 0x20 || byte == b'"' || byte == b'\\';
    let mut rest = text;
    while let Some(at) = rest.iter().position(|&byte| special(byte)) {
        out.extend_from_slice(&rest[..at]);
        match rest[at] {
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            byte @ (b'"' | b'\\') => out.extend_from_slice(&[b'\\', byte]),
            byte => {
                let [high, low] = [byte >> 4, byte & 15].map(|digit| HEX[usize::from(digit)]);
                out.extend_from_slice(&[b'\\', b'u', b'0', b'0', high, low]);
            }
        }
        rest = &rest[at + 1..];
    }
    out.extend_from_slice(rest);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TIME: &str = "2026-01-01T00:00:00.000000000Z";

    fn encode(pieces: &[&[u8]]) -> Vec<serde_json::Value> {
        let mut encoder = Encoder::default();
        let mut out = Vec::new();
        for piece in pieces {
            encoder.take(Stream::Stdout, piece, TIME, &mut out);
        }
        encoder.end(TIME, &mut out);
        let lines = out.split_inclusive(|&b| b == b'\n');
        lines
            .map(|line| serde_json::from_slice(line).unwrap())
            .collect()
    }

    #[test]
    fn a_line_is_what_docker_writes() {
        let mut out = Vec::new();
        let attributes = BTreeMap::from([("tag".to_owned(), "a \"b\"".to_owned())]);
        let mut encoder = Encoder::new(&attributes, Default::default());
        encoder.take(Stream::Stderr, b"a\t\x1b\n", TIME, &mut out);
        let want = format!(
            r#"{{"log":"a\t\u001b\n","stream":"stderr","attrs":{{"tag":"a \"b\""}},"time":"{TIME}"}}"#
        );
        assert_eq!(String::from_utf8(out).unwrap(), want + "\n");
    }

    #[test]
    fn bytes_that_are_no_text_are_kept_beside() {
        let lines = encode(&[b"a\xff\n"]);
        assert_eq!(lines[0]["log"], "a\u{fffd}\n");
        assert_eq!(lines[0]["raw"], "a\u{ff}\n");
    }

    #[test]
    fn a_long_line_is_split_between_characters() {
        let long = format!("x{}", "é".repeat(10_000));
        let lines = encode(&[long.as_bytes()]);
        let texts: Vec<_> = lines.iter().map(|l| l["log"].as_str().unwrap()).collect();
        assert_eq!((texts.len(), texts.concat()), (2, long));
        assert!(lines.iter().all(|l| l.get("raw").is_none()));
    }

    proptest! {
        #[test]
        fn pieces_make_no_difference(
            bytes in proptest::collection::vec(any::<u8>(), 0..300),
            piece in 1usize..40,
        ) {
            let whole = encode(&[&bytes]);
            let pieces: Vec<&[u8]> = bytes.chunks(piece).collect();
            prop_assert_eq!(encode(&pieces), whole);
        }
    }
}
