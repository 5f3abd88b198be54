//! Words of a Dockerfile that remember where their characters came from.

use text::{FileId, Span};

/// A piece of a Dockerfile, as written but with its continued lines joined. Variables,
/// quotes and escapes are still in it; see [`crate::expand_word`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Word {
    /// The text.
    pub text: String,
    /// Where it stands in the file, line breaks within it included.
    pub span: Span,
    layout: Layout,
}

/// How offsets of a word's text relate to offsets of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Layout {
    /// In pieces: offset in the text, offset in the file; ascending, the first at 0.
    Pieces(Vec<(usize, usize)>),
    /// Not at all: it was unquoted.
    Rewritten,
}

impl Word {
    /// A word that does not stand in the file in this form; everything in it is said to
    /// stand at `span`.
    pub fn rewritten(text: impl Into<String>, span: Span) -> Self {
        Self {
            text: text.into(),
            span,
            layout: Layout::Rewritten,
        }
    }

    /// A word put together from pieces of the file, each with its offset there. Without
    /// any it stands at `place`.
    pub(crate) fn from_pieces<'a>(
        file: FileId,
        place: usize,
        pieces: impl IntoIterator<Item = (usize, &'a str)>,
    ) -> Self {
        let mut text = String::new();
        let mut layout = Vec::new();
        let mut end = place;
        for (offset, piece) in pieces {
            layout.push((text.len(), offset));
            text.push_str(piece);
            end = offset + piece.len();
        }
        if layout.is_empty() {
            layout.push((0, place));
        }
        let span = Span::new(file, layout[0].1, end);
        Self {
            text,
            span,
            layout: Layout::Pieces(layout),
        }
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether it mentions a variable.
    pub fn has_variable(&self) -> bool {
        self.text.contains('$')
    }

    /// The place in the file of a range of the text.
    pub fn locate(&self, start: usize, end: usize) -> Span {
        let Layout::Pieces(pieces) = &self.layout else {
            return self.span;
        };
        let place = |offset: usize| {
            let after = pieces.partition_point(|&(at, _)| at <= offset);
            let (at, source) = pieces[after.max(1) - 1];
            source + offset - at
        };
        // The end is found by the last byte inside: the one behind it may already stand
        // on another line.
        let from = place(start);
        let to = if end > start {
            place(end - 1) + 1
        } else {
            from
        };
        Span::new(self.span.file, from, to)
    }

    pub(crate) fn slice(&self) -> Slice<'_> {
        Slice {
            word: self,
            start: 0,
            end: self.text.len(),
        }
    }
}

/// A part of a word, for cutting it further.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Slice<'a> {
    word: &'a Word,
    start: usize,
    end: usize,
}

impl<'a> Slice<'a> {
    pub(crate) fn as_str(self) -> &'a str {
        &self.word.text[self.start..self.end]
    }

    pub(crate) fn is_empty(self) -> bool {
        self.start == self.end
    }

    pub(crate) fn span(self) -> Span {
        self.word.locate(self.start, self.end)
    }

    /// A part, by offsets within this one.
    pub(crate) fn sub(self, start: usize, end: usize) -> Self {
        Self {
            word: self.word,
            start: self.start + start,
            end: self.start + end,
        }
    }

    pub(crate) fn split_at(self, at: usize) -> (Self, Self) {
        (self.sub(0, at), self.sub(at, self.as_str().len()))
    }

    /// Both sides of the first `sign`.
    pub(crate) fn split_once(self, sign: char) -> Option<(Self, Self)> {
        let at = self.as_str().find(sign)?;
        Some((
            self.sub(0, at),
            self.sub(at + sign.len_utf8(), self.as_str().len()),
        ))
    }

    pub(crate) fn trim(self) -> Self {
        let text = self.as_str();
        let start = text.len() - text.trim_start().len();
        self.sub(start, start + text.trim().len())
    }

    /// The first word and what follows it, trimmed.
    pub(crate) fn split_word(self) -> (Self, Self) {
        let text = self.as_str();
        let (word, rest) = self.split_at(text.find(char::is_whitespace).unwrap_or(text.len()));
        (word, rest.trim())
    }

    pub(crate) fn to_word(self) -> Word {
        let Layout::Pieces(pieces) = &self.word.layout else {
            return Word::rewritten(self.as_str(), self.word.span);
        };
        let first = (0, self.span().start as usize);
        let inside = pieces
            .iter()
            .filter(|&&(at, _)| at > self.start && at < self.end)
            .map(|&(at, source)| (at - self.start, source));
        Word {
            text: self.as_str().to_owned(),
            span: self.span(),
            layout: Layout::Pieces(std::iter::once(first).chain(inside).collect()),
        }
    }
}
