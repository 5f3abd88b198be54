//! Globs as Go programs read them: `filepath.Match` for `COPY`'s sources, and the pattern
//! lists of `.dockerignore`.
//!
//! They differ from gitignore's and the shell's: a pattern is anchored at the root, `*`
//! and `?` stop at slashes but not at leading dots, a class is negated with `^` only, and
//! in a list the last match wins. A pattern is compiled once; matching follows all ways to
//! match at once, so its time is the product of both lengths whatever the pattern.

use std::fmt;

mod list;
mod tokens;

pub use list::Patterns;
use tokens::{Dialect, Tokens};

/// A pattern that Go's `filepath.Match` would refuse.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadPattern {
    /// The pattern.
    pub pattern: String,
    /// Which of a list's patterns, from 0.
    pub index: usize,
}

impl fmt::Display for BadPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "bad pattern `{}`", self.pattern)
    }
}

impl std::error::Error for BadPattern {}

/// One pattern of Go's `filepath.Match`: `*`, `?`, `[a-z]`, `[^a-z]`, `\` before a
/// character that is meant literally.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Glob(Tokens);

impl Glob {
    /// Compiles a pattern.
    ///
    /// ```
    /// let glob = text::gomatch::Glob::new("src/*.r[st]").unwrap();
    /// assert!(glob.matches("src/lib.rs"));
    /// assert!(!glob.matches("src/a/lib.rs"));
    /// ```
    pub fn new(pattern: &str) -> Result<Self, BadPattern> {
        Tokens::parse(pattern, Dialect::Match)
            .map(Self)
            .ok_or_else(|| BadPattern {
                pattern: pattern.to_owned(),
                index: 0,
            })
    }

    /// Whether the whole name matches.
    pub fn matches(&self, name: &str) -> bool {
        self.0.matches(name)
    }

    /// Whether a pattern means anything but itself.
    pub fn is_literal(pattern: &str) -> bool {
        !pattern.contains(['*', '?', '[', '\\'])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn as_go_matches() {
        for (pattern, name, want) in [
            ("abc", "abc", true),
            ("*", "abc", true),
            ("*c", "abc", true),
            ("a*", "a", true),
            ("a*", "ab/c", false),
            ("a*/b", "abc/b", true),
            ("a*/b", "a/c/b", false),
            ("a*b*c*d*e*/f", "axbxcxdxe/f", true),
            ("a*b*c*d*e*/f", "axbxcxdxexxx/fff", false),
            ("ab[c]", "abc", true),
            ("ab[b-d]", "abc", true),
            ("ab[^c]", "abc", false),
            ("ab[^e-g]", "abc", true),
            (r"a\*b", "a*b", true),
            (r"a\*b", "ab", false),
            ("a?b", "a☺b", true),
            ("a[^a]b", "a☺b", true),
            ("a???b", "a☺b", false),
            ("a?b", "a/b", false),
            (r"[\]a]", "]", true),
            (r"[\-x]", "-", true),
            (r"[x\-]", "z", false),
            ("*x", "xxx", true),
            (".*", ".git", true),
            ("*", ".git", true),
            ("", "", true),
            ("", "a", false),
        ] {
            assert_eq!(
                Glob::new(pattern).unwrap().matches(name),
                want,
                "{pattern} {name}"
            );
        }
    }

    #[test]
    fn what_go_refuses() {
        for pattern in [
            "[", "[]a]", "[-]", "[x-]", "[-x]", "[a", "[^", "[^bc", "a[", r"a\", "[a-b-c]",
        ] {
            assert!(Glob::new(pattern).is_err(), "{pattern}");
        }
    }

    proptest! {
        #[test]
        fn never_panics(pattern in r"[a*?\[\]^\\/ü-]{0,20}", name in "[a/ü-]{0,20}") {
            if let Ok(glob) = Glob::new(&pattern) {
                glob.matches(&name);
            }
        }

        #[test]
        fn an_escaped_name_matches_itself_only(name in ".{0,20}", other in ".{0,20}") {
            let pattern: String = name.chars().flat_map(|c| ['\\', c]).collect();
            let glob = Glob::new(&pattern).unwrap();
            prop_assert!(glob.matches(&name));
            prop_assert_eq!(glob.matches(&other), name == other);
        }
    }
}
