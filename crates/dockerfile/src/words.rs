//! Cutting the arguments of an instruction.

use crate::word::Slice;

/// Words between blanks; quotes are ordinary characters.
pub(crate) fn blank_words(slice: Slice<'_>) -> Vec<Slice<'_>> {
    let mut words = Vec::new();
    let mut rest = slice.trim();
    while !rest.is_empty() {
        let (word, after) = rest.split_word();
        words.push(word);
        rest = after;
    }
    words
}

/// Words between blanks that are neither quoted nor escaped. Quotes stay in the words. An
/// unclosed quote lasts to the end; whether all are closed comes with the words.
pub(crate) fn quoted_words(slice: Slice<'_>, escape: char) -> (Vec<Slice<'_>>, bool) {
    let mut words = Vec::new();
    let mut start = None;
    let mut quote = None;
    let mut chars = slice.as_str().char_indices();
    while let Some((at, c)) = chars.next() {
        if quote.is_none() && c.is_whitespace() {
            words.extend(start.take().map(|start| slice.sub(start, at)));
            continue;
        }
        start = start.or(Some(at));
        match quote {
            _ if c == escape && quote != Some('\'') => {
                chars.next();
            }
            Some(open) if open == c => quote = None,
            None if c == '\'' || c == '"' => quote = Some(c),
            _ => {}
        }
    }
    words.extend(start.map(|start| slice.sub(start, slice.as_str().len())));
    (words, quote.is_none())
}

/// A text without its quotes and escapes. Variables stay, and the escape character works
/// inside single quotes too: so flags and here-document delimiters are read.
pub(crate) fn unquote(text: &str, escape: char) -> String {
    let mut out = String::new();
    let mut quote = None;
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match quote {
            _ if c == escape => out.extend(chars.next()),
            None if c == '\'' || c == '"' => quote = Some(c),
            Some(open) if open == c => quote = None,
            _ => out.push(c),
        }
    }
    out
}
