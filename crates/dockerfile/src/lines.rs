//! Physical lines to logical ones: parser directives, comments, continuations.

use text::{Diagnostic, Span};

use crate::context::Context;
use crate::{Directives, Word};

/// Reads a Dockerfile's text from top to bottom.
pub(crate) struct Reader<'a> {
    text: &'a str,
    at: usize,
}

/// One physical line.
#[derive(Clone, Copy)]
pub(crate) struct Physical<'a> {
    /// Offset of its first byte.
    pub(crate) start: usize,
    /// Without its line break.
    pub(crate) text: &'a str,
    /// With its line break, if it has one.
    pub(crate) full: &'a str,
}

impl<'a> Reader<'a> {
    /// Skips a byte order mark.
    pub(crate) fn new(text: &'a str) -> Self {
        let at = if text.starts_with('\u{feff}') {
            '\u{feff}'.len_utf8()
        } else {
            0
        };
        Self { text, at }
    }

    pub(crate) fn position(&self) -> usize {
        self.at
    }

    /// Goes back to a position got from [`Self::position`].
    pub(crate) fn rewind(&mut self, position: usize) {
        self.at = position;
    }

    pub(crate) fn physical(&mut self) -> Option<Physical<'a>> {
        let rest = &self.text[self.at..];
        if rest.is_empty() {
            return None;
        }
        let full = &rest[..rest.find('\n').map_or(rest.len(), |at| at + 1)];
        let start = self.at;
        self.at += full.len();
        Some(Physical {
            start,
            text: full.trim_end_matches(['\n', '\r']),
            full,
        })
    }

    /// Reads the `# key=value` lines at the head. The first line that is not one ends
    /// them, even if it is empty.
    pub(crate) fn directives(&mut self, cx: &mut Context) -> Directives {
        let mut directives = Directives {
            syntax: None,
            escape: '\\',
            check: None,
        };
        let mut seen: Vec<(String, Span)> = Vec::new();
        loop {
            let position = self.position();
            let Some((key, value)) = self.physical().and_then(|line| directive(cx, line)) else {
                self.rewind(position);
                break;
            };
            if let Some((_, first)) = seen.iter().find(|(name, _)| *name == key) {
                cx.report(
                    Diagnostic::error(format!("the directive `{key}` is given twice"))
                        .at(value.span)
                        .related(*first, "first here"),
                );
                continue;
            }
            seen.push((key.clone(), value.span));
            match (key.as_str(), value.as_str()) {
                ("syntax", _) => directives.syntax = Some(value),
                ("check", _) => directives.check = Some(value),
                (_, "\\") => directives.escape = '\\',
                (_, "`") => directives.escape = '`',
                (_, other) => cx.report(
                    Diagnostic::error(format!("`{other}` cannot be the escape character"))
                        .at(value.span)
                        .hint("it is a backslash \\ or a backtick `"),
                ),
            }
        }
        cx.escape = directives.escape;
        directives
    }

    /// The next logical line that is neither blank nor a comment: its continuations are
    /// joined, and comments and blank lines between them dropped.
    pub(crate) fn logical(&mut self, cx: &mut Context) -> Option<Word> {
        let first = loop {
            let line = self.physical()?;
            if !is_blank(line.text) && !is_comment(line.text) {
                break line;
            }
        };
        let indent = first.text.len() - first.text.trim_start().len();
        let mut pieces = Vec::new();
        let mut piece = (first.start + indent, &first.text[indent..]);
        let mut blank = None;
        while let Some(joined) = continued(piece.1, cx.escape) {
            pieces.push((piece.0, joined));
            match self.continuation(&mut blank) {
                Some(line) => piece = (line.start, line.text),
                None => {
                    piece.1 = "";
                    break;
                }
            }
        }
        if !piece.1.is_empty() {
            pieces.push(piece);
        }
        if let Some(at) = blank {
            cx.report(
                Diagnostic::warning("an empty line inside a continued instruction is dropped")
                    .at(Span::new(cx.file, at, at))
                    .hint("remove it, or write `#` on it"),
            );
        }
        Some(Word::from_pieces(cx.file, first.start + indent, pieces))
    }

    /// The line that continues the last one. Notes the first blank line passed on the
    /// way to it.
    fn continuation(&mut self, blank: &mut Option<usize>) -> Option<Physical<'a>> {
        let mut passed = None;
        loop {
            let line = self.physical()?;
            if is_blank(line.text) {
                passed = passed.or(Some(line.start));
            } else if !is_comment(line.text) {
                *blank = blank.or(passed);
                return Some(line);
            }
        }
    }
}

fn is_blank(line: &str) -> bool {
    line.trim_start().is_empty()
}

fn is_comment(line: &str) -> bool {
    line.trim_start().starts_with('#')
}

/// The line without the escape character at its end that continues it. An escaped escape
/// character does not.
fn continued(line: &str, escape: char) -> Option<&str> {
    let before = line.trim_end_matches([' ', '\t']).strip_suffix(escape)?;
    (!before.ends_with(escape)).then_some(before)
}

/// A directive's lower-cased key and its value.
fn directive(cx: &Context, line: Physical<'_>) -> Option<(String, Word)> {
    let body = line.text.trim_start().strip_prefix('#')?;
    let (key, value) = body.split_once('=')?;
    let (key, value) = (key.trim().to_ascii_lowercase(), value.trim());
    let known = ["syntax", "escape", "check"].contains(&key.as_str());
    if !known || value.is_empty() {
        return None;
    }
    // `value` is the tail of the line but for blanks behind it.
    let offset = line.start + line.text.trim_end().len() - value.len();
    Some((key, Word::from_pieces(cx.file, offset, [(offset, value)])))
}
