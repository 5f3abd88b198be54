//! The texts that spans point into.

/// Names one text of a [`Sources`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FileId(pub u32);

/// A range of bytes of one text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Span {
    /// The text.
    pub file: FileId,
    /// First byte.
    pub start: u32,
    /// One past the last byte; equal to `start` for a place between characters.
    pub end: u32,
}

impl Span {
    /// A span of `file`. Offsets beyond 4 GiB saturate.
    pub fn new(file: FileId, start: usize, end: usize) -> Self {
        let clamp = |offset: usize| u32::try_from(offset).unwrap_or(u32::MAX);
        Self {
            file,
            start: clamp(start),
            end: clamp(end.max(start)),
        }
    }

    /// The smallest span that covers both. Both must be of one file; of two files the
    /// first span wins.
    pub fn to(self, other: Self) -> Self {
        if self.file != other.file {
            return self;
        }
        Self {
            file: self.file,
            start: self.start.min(other.start),
            end: self.end.max(other.end),
        }
    }

    /// Number of bytes.
    pub fn len(self) -> usize {
        (self.end - self.start) as usize
    }

    /// Whether it covers nothing.
    pub fn is_empty(self) -> bool {
        self.start == self.end
    }

    /// As a range for slicing.
    pub fn range(self) -> std::ops::Range<usize> {
        self.start as usize..self.end as usize
    }
}

/// All texts of one load, each with the name that messages show.
#[derive(Debug, Default, Clone)]
pub struct Sources {
    files: Vec<Source>,
}

#[derive(Debug, Clone)]
struct Source {
    name: String,
    text: String,
    /// Offset of the first byte of each line.
    lines: Vec<usize>,
}

impl Sources {
    /// None yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a text under the name that messages show, usually its path.
    pub fn add(&mut self, name: impl Into<String>, text: impl Into<String>) -> FileId {
        let (name, text) = (name.into(), text.into());
        let lines = std::iter::once(0)
            .chain(text.match_indices('\n').map(|(at, _)| at + 1))
            .collect();
        let id = FileId(u32::try_from(self.files.len()).expect("fewer than 2^32 files"));
        self.files.push(Source { name, text, lines });
        id
    }

    /// The name of a text; empty for an id of another `Sources`.
    pub fn name(&self, file: FileId) -> &str {
        self.get(file).map_or("", |source| &source.name)
    }

    /// The text itself; empty for an id of another `Sources`.
    pub fn text(&self, file: FileId) -> &str {
        self.get(file).map_or("", |source| &source.text)
    }

    /// The text that a span covers.
    pub fn slice(&self, span: Span) -> &str {
        self.text(span.file).get(span.range()).unwrap_or("")
    }

    /// Line and column of a byte offset, both from 1; columns count characters. An
    /// offset beyond the end is the end.
    pub fn line_col(&self, file: FileId, offset: u32) -> (usize, usize) {
        let Some(source) = self.get(file) else {
            return (1, 1);
        };
        let mut offset = (offset as usize).min(source.text.len());
        while !source.text.is_char_boundary(offset) {
            offset -= 1;
        }
        let line = source.lines.partition_point(|&start| start <= offset);
        let start = source.lines[line - 1];
        (line, source.text[start..offset].chars().count() + 1)
    }

    /// A line, counted from 1, without its line break; empty if there is no such line.
    pub fn line(&self, file: FileId, line: usize) -> &str {
        let Some(source) = self.get(file) else {
            return "";
        };
        let Some(&start) = line
            .checked_sub(1)
            .and_then(|index| source.lines.get(index))
        else {
            return "";
        };
        let end = source.lines.get(line).copied().unwrap_or(source.text.len());
        source.text[start..end].trim_end_matches(['\n', '\r'])
    }

    /// `name:line:column` of a span's start, as editors and terminals recognise it.
    pub fn place(&self, span: Span) -> String {
        let (line, column) = self.line_col(span.file, span.start);
        format!("{}:{line}:{column}", self.name(span.file))
    }

    fn get(&self, file: FileId) -> Option<&Source> {
        self.files.get(file.0 as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_and_columns_count_from_one_and_in_characters() {
        let mut sources = Sources::new();
        let file = sources.add("a", "ä=1\r\n\nlast");
        for (offset, want) in [
            (0, (1, 1)),
            (1, (1, 1)), // inside a character: its start
            (2, (1, 2)),
            (6, (2, 1)),
            (7, (3, 1)),
            (11, (3, 5)),
            (99, (3, 5)),
        ] {
            assert_eq!(sources.line_col(file, offset), want, "offset {offset}");
        }
        assert_eq!(sources.line(file, 1), "ä=1");
        assert_eq!(sources.line(file, 3), "last");
        assert_eq!(sources.line(file, 0), "");
        assert_eq!(sources.line(file, 4), "");
        assert_eq!(sources.place(Span::new(file, 7, 8)), "a:3:1");
    }

    #[test]
    fn an_unknown_file_is_empty() {
        let sources = Sources::new();
        assert_eq!(sources.text(FileId(7)), "");
        assert_eq!(sources.line_col(FileId(7), 3), (1, 1));
        assert_eq!(sources.slice(Span::new(FileId(7), 0, 3)), "");
    }
}
