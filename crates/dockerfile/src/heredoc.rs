//! Here-documents: finding `<<EOF` in a line and reading what follows it.

use text::{Diagnostic, Span};

use crate::context::Context;
use crate::lines::Reader;
use crate::word::Slice;
use crate::words::{quoted_words, unquote};
use crate::{Heredoc, Word};

/// A `<<EOF` in a line.
pub(crate) struct Opening {
    name: String,
    expand: bool,
    strip_tabs: bool,
    span: Span,
}

/// The here-documents that a line opens, in order. A line whose quotes do not close opens
/// none.
pub(crate) fn openings(cx: &Context, arguments: Slice<'_>) -> Vec<Opening> {
    if !arguments.as_str().contains("<<") {
        return Vec::new();
    }
    let (words, closed) = quoted_words(arguments, cx.escape);
    if !closed {
        return Vec::new();
    }
    words
        .into_iter()
        .filter_map(|word| opening(cx, word))
        .collect()
}

/// `<<EOF`, `<<-EOF`, `3<<EOF`, the delimiter quoted wholly, in part or not at all.
fn opening(cx: &Context, word: Slice<'_>) -> Option<Opening> {
    let text = word
        .as_str()
        .trim_start_matches(|c: char| c.is_ascii_digit());
    let text = text.strip_prefix("<<")?;
    let (strip_tabs, delimiter) = match text.strip_prefix('-') {
        Some(delimiter) => (true, delimiter),
        None => (false, text),
    };
    if delimiter.contains('<') {
        return None;
    }
    let name = unquote(delimiter, cx.escape);
    if name.is_empty() {
        return None;
    }
    let expand = !delimiter.contains(['\'', '"']);
    Some(Opening {
        name,
        expand,
        strip_tabs,
        span: word.span(),
    })
}

/// Reads the lines of here-documents up to their delimiters. The first one that never
/// ends is reported; its text, and whatever else would follow, is then read as
/// instructions again.
pub(crate) fn bodies(
    cx: &mut Context,
    reader: &mut Reader<'_>,
    openings: Vec<Opening>,
) -> Vec<Heredoc> {
    let mut heredocs = Vec::new();
    for opening in openings {
        let position = reader.position();
        match body(cx, reader, &opening) {
            Some(text) => heredocs.push(Heredoc {
                name: opening.name,
                text,
                expand: opening.expand,
                strip_tabs: opening.strip_tabs,
                span: opening.span,
            }),
            None => {
                reader.rewind(position);
                cx.lost = true;
                cx.report(
                    Diagnostic::error(format!(
                        "the here-document `{}` is never closed",
                        opening.name
                    ))
                    .at(opening.span)
                    .hint(format!(
                        "end it with a line that is `{}` and nothing else",
                        opening.name
                    )),
                );
                break;
            }
        }
    }
    heredocs
}

fn body(cx: &Context, reader: &mut Reader<'_>, opening: &Opening) -> Option<Word> {
    let place = reader.position();
    let mut pieces = Vec::new();
    while let Some(line) = reader.physical() {
        let tabs = match opening.strip_tabs {
            true => line.full.len() - line.full.trim_start_matches('\t').len(),
            false => 0,
        };
        if line.text.get(tabs..) == Some(opening.name.as_str()) {
            return Some(Word::from_pieces(cx.file, place, pieces));
        }
        pieces.push((line.start + tabs, &line.full[tabs..]));
    }
    None
}
