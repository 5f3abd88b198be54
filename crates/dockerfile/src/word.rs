//! A word of a Dockerfile that remembers where its characters came from.

use text::Span;

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
pub(crate) enum Layout {
    /// Character by character from the span's start.
    Contiguous,
    /// In pieces: offset in the text, offset in the file; ascending.
    Pieces(Vec<(u32, u32)>),
    /// Not at all: it was unquoted.
    Rewritten,
}

impl Word {
    pub(crate) fn new(text: impl Into<String>, span: Span, layout: Layout) -> Self {
        Self {
            text: text.into(),
            span,
            layout,
        }
    }

    /// A word that does not stand in the file in this form.
    pub fn rewritten(text: impl Into<String>, span: Span) -> Self {
        Self::new(text, span, Layout::Rewritten)
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
        let place = |offset: usize| match &self.layout {
            Layout::Contiguous => Some(self.span.start as usize + offset),
            Layout::Pieces(pieces) => {
                let after = pieces.partition_point(|&(at, _)| at as usize <= offset);
                let &(at, source) = pieces.get(after.checked_sub(1)?)?;
                Some(source as usize + offset - at as usize)
            }
            Layout::Rewritten => None,
        };
        // The end is looked up by the last byte inside: the one behind it may already
        // stand on another line.
        let last = end.checked_sub(1).filter(|&last| last >= start);
        match (
            place(start),
            last.map_or_else(|| place(start), |l| place(l).map(|p| p + 1)),
        ) {
            (Some(start), Some(end)) => Span::new(self.span.file, start, end),
            _ => self.span,
        }
    }
}
