//! `.dockerignore`.

use text::gomatch::Patterns;
use text::{Diagnostic, FileId};

/// Which paths of a context are left out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ignore {
    patterns: Patterns,
}

impl Ignore {
    /// Parses a `.dockerignore`. Bad patterns are reported and skipped.
    pub fn parse(file: FileId, text: &str) -> (Self, Vec<Diagnostic>) {
        let _ = (file, text);
        (Self::default(), vec![])
    }

    /// Whether a path is left out. Paths are relative to the context, with `/` and
    /// without `.` or `..`.
    pub fn excludes(&self, path: &str) -> bool {
        self.patterns.matches(path)
    }

    /// Whether a directory and everything below it is left out, so that it need not be
    /// read. A left-out directory may still hold files that a later `!pattern` wants.
    pub fn prunes(&self, directory: &str) -> bool {
        self.patterns.matches_all_below(directory)
    }

    /// Whether nothing is left out.
    pub fn is_empty(&self) -> bool {
        self.patterns.is_empty()
    }
}
