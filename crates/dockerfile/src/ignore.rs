//! `.dockerignore`: which paths of a context are left out.

use text::gomatch::Patterns;
use text::{Diagnostic, FileId, Span};

/// A parsed `.dockerignore`.
///
/// ```
/// use dockerfile::ignore::Ignore;
/// let (ignore, _) = Ignore::parse(text::FileId(0), "*\n# but\n!src\nsrc/*.log\n");
/// assert!(ignore.excludes("Makefile"));
/// assert!(!ignore.excludes("src/main.rs"));
/// assert!(ignore.excludes("src/build.log"));
/// assert!(ignore.prunes("docs") && !ignore.prunes("src"));
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ignore {
    patterns: Patterns,
}

impl Ignore {
    /// Parses a `.dockerignore`: a pattern a line, `#` in the first column begins a
    /// comment. Bad patterns are reported and skipped.
    pub fn parse(file: FileId, text: &str) -> (Self, Vec<Diagnostic>) {
        let mut diagnostics = Vec::new();
        let mut good = Vec::new();
        let mut at = 0;
        for full in text.split_inclusive('\n') {
            let start = at;
            at += full.len();
            let line = match start {
                0 => full.trim_start_matches('\u{feff}'),
                _ => full,
            };
            if line.starts_with('#') {
                continue;
            }
            match Patterns::new([line]) {
                Ok(_) => good.push(line),
                Err(error) => {
                    let indent = full.len() - full.trim_start().len();
                    let end = start + full.trim_end().len();
                    diagnostics.push(bad(&error.pattern, Span::new(file, start + indent, end)));
                }
            }
        }
        let patterns = Patterns::new(good).expect("each was accepted alone");
        (Self { patterns }, diagnostics)
    }

    /// Whether a path is left out. Paths are relative to the context, with `/` and
    /// without `.` or `..`.
    pub fn excludes(&self, path: &str) -> bool {
        self.patterns.matches(path)
    }

    /// Whether a directory and everything below it is left out, so that it need not be
    /// read. A directory that is left out may still hold files that a later `!pattern`
    /// wants.
    pub fn prunes(&self, directory: &str) -> bool {
        self.patterns.matches_all_below(directory)
    }

    /// Whether nothing is left out.
    pub fn is_empty(&self) -> bool {
        self.patterns.is_empty()
    }
}

fn bad(pattern: &str, span: Span) -> Diagnostic {
    let diagnostic = Diagnostic::error(format!("bad pattern `{pattern}`")).at(span);
    match pattern {
        "!" => diagnostic.hint("a pattern to keep follows the `!` without a blank"),
        _ => diagnostic.hint("a `[` needs its `]`, and a `\\` a character behind it"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_blanks_and_bad_patterns() {
        let text = "\u{feff}# all\n\n  *.log  \n[oops\n!\n/dist/\r\n";
        let (ignore, diagnostics) = Ignore::parse(FileId(0), text);
        assert!(ignore.excludes("a.log") && ignore.excludes("dist/x"));
        assert!(!ignore.excludes("src/a.log"));
        let found: Vec<_> = diagnostics
            .iter()
            .map(|d| (&text[d.span.unwrap().range()], d.message.as_str()))
            .collect();
        assert_eq!(
            found,
            [("[oops", "bad pattern `[oops`"), ("!", "bad pattern `!`")]
        );
    }

    #[test]
    fn nothing_is_left_out_by_default() {
        let (ignore, _) = Ignore::parse(FileId(0), "# nothing\n");
        assert!(ignore.is_empty() && !ignore.excludes("x") && !ignore.prunes("x"));
    }
}
