//! Aligned columns, with Go's tabwriter algorithm and docker's three blanks.

use std::io::Write;

use tabwriter::TabWriter;

use crate::terminal;

/// Rows of cells.
#[derive(Default)]
pub(crate) struct Table {
    text: String,
}

impl Table {
    /// A table with this heading.
    pub(crate) fn with_heading<const N: usize>(heading: [&str; N]) -> Self {
        let mut table = Self::default();
        table.row(heading);
        table
    }

    /// Adds one row; a cell may itself hold tabs.
    pub(crate) fn row<I>(&mut self, cells: I)
    where
        I: IntoIterator,
        I::Item: AsRef<str>,
    {
        let cells: Vec<_> = cells
            .into_iter()
            .map(|c| terminal::value(c.as_ref()).replace('\n', " "))
            .collect();
        self.text.push_str(&cells.join("\t"));
        self.text.push('\n');
    }

    /// Adds one row that a template made, which has escaped its values itself.
    pub(crate) fn made(&mut self, row: &str) {
        self.text.push_str(&row.replace('\n', " "));
        self.text.push('\n');
    }

    /// The aligned text.
    pub(crate) fn finish(self) -> String {
        self.aligned(0)
    }

    /// The same with columns of at least twenty, as docker's `top` has them.
    pub(crate) fn finish_wide(self) -> String {
        self.aligned(20)
    }

    fn aligned(self, least: usize) -> String {
        let mut writer = TabWriter::new(Vec::new()).padding(3).minwidth(least);
        let written = writer
            .write_all(self.text.as_bytes())
            .and_then(|()| writer.flush());
        match (written, writer.into_inner()) {
            (Ok(()), Ok(bytes)) => String::from_utf8_lossy(&bytes).into_owned(),
            _ => self.text,
        }
    }
}
