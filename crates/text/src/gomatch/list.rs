//! Pattern lists as `.dockerignore` and `COPY --exclude` have them.

use super::BadPattern;
use super::tokens::{Dialect, Tokens};

/// A list of patterns. A path is matched if the last pattern that matches it, or one of
/// its parents, has no `!` in front.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Patterns(Vec<Pattern>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Pattern {
    tokens: Tokens,
    negated: bool,
}

impl Patterns {
    /// Compiles a list. Blank patterns are skipped; each is trimmed and cleaned as a path,
    /// and a leading slash means nothing.
    pub fn new<'a>(patterns: impl IntoIterator<Item = &'a str>) -> Result<Self, BadPattern> {
        let mut list = Vec::new();
        for (index, raw) in patterns.into_iter().enumerate() {
            let trimmed = raw.trim();
            if trimmed.is_empty() {
                continue;
            }
            let bad = || BadPattern {
                pattern: trimmed.to_owned(),
                index,
            };
            let (negated, pattern) = match trimmed.strip_prefix('!') {
                Some(pattern) => (true, pattern.trim()),
                None => (false, trimmed),
            };
            if pattern.is_empty() {
                return Err(bad());
            }
            let pattern = clean(pattern);
            let tokens = Tokens::parse(&pattern, Dialect::List).ok_or_else(bad)?;
            list.push(Pattern { tokens, negated });
        }
        Ok(Self(list))
    }

    /// Whether there are no patterns.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether a path, relative and without `.` or `..`, is matched.
    ///
    /// ```
    /// let patterns = text::gomatch::Patterns::new(["docs", "!docs/*.md", "docs/secret.md"]).unwrap();
    /// assert!(patterns.matches("docs/logo.png"));
    /// assert!(!patterns.matches("docs/index.md"));
    /// assert!(patterns.matches("docs/secret.md"));
    /// ```
    pub fn matches(&self, path: &str) -> bool {
        self.deciding(path)
            .is_some_and(|index| !self.0[index].negated)
    }

    /// Whether a directory is matched and nothing below it can be saved by a later `!`,
    /// so that it need not be read at all.
    pub fn matches_all_below(&self, directory: &str) -> bool {
        let Some(index) = self
            .deciding(directory)
            .filter(|&index| !self.0[index].negated)
        else {
            return false;
        };
        let below = format!("{directory}/");
        let saved = |pattern: &Pattern| pattern.negated && pattern.tokens.could_continue(&below);
        !self.0[index + 1..].iter().any(saved)
    }

    /// The last pattern that matches a path or one of its parents.
    fn deciding(&self, path: &str) -> Option<usize> {
        self.0
            .iter()
            .rposition(|pattern| pattern.tokens.matches_or_parent(path))
    }
}

/// Removes empty and `.` components and resolves `..`, none of which leads above the root.
fn clean(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    match parts.is_empty() {
        true => ".".to_owned(),
        false => parts.join("/"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn patterns(list: &[&str]) -> Patterns {
        Patterns::new(list.iter().copied()).unwrap()
    }

    #[test]
    fn single_patterns_as_docker_reads_them() {
        for (pattern, path, want) in [
            ("**", "file", true),
            ("**", "dir/file", true),
            ("**/", "dir/file", true),
            ("**/**", "dir/file", true),
            ("dir/**", "dir", false),
            ("dir/**", "dir/file", true),
            ("dir/**", "dir/dir2/file", true),
            ("**/dir2/*", "dir/dir2/file", true),
            ("**/dir2/*", "dir/dir2/dir2/file", true),
            ("**/dir2/**", "dir/dir2/dir2/file", true),
            ("**file", "file", true),
            ("**file", "dir/file", true),
            ("**file", "dir/xfile", true),
            ("**/file", "dir/xfile", false),
            ("**/file", "file", true),
            ("**file*", "dir/file.txt", true),
            ("**/**/*.txt", "a/b/file.txt", true),
            ("a**/*.txt", "a/dir/file.txt", true),
            ("a/*.txt", "a/file.txt", true),
            ("a/*.txt", "a/b/file.txt", false),
            ("a[b-d]e", "ace", true),
            ("/foo", "foo", true),
            ("./foo/", "foo/bar", true),
            ("foo/../bar", "bar", true),
            ("..", "foo", false),
            (".*", ".foo", true),
            (".*", "foo", false),
            ("foo", "a/foo", false),
            ("abc.def", "abcXdef", false),
            (r"a\*b", "a*b", true),
            ("**/.git", "x/.git/config", true),
            ("*", "any/thing", true),
            ("*/b", "any/thing", false),
        ] {
            assert_eq!(patterns(&[pattern]).matches(path), want, "{pattern} {path}");
        }
    }

    #[test]
    fn the_last_match_wins() {
        for (list, path, want) in [
            (&["*", "!src"][..], "src/main.rs", false),
            (&["*", "!src"], "Makefile", true),
            (&["**", "!util/docker/web"], "util/docker/web/foo", false),
            (
                &["**", "!util/docker/web", "util/docker/web/foo"],
                "util/docker/web/foo",
                true,
            ),
            (&["!a", "a"], "a", true),
            (
                &["*.md", "!README*.md", "README-secret.md"],
                "README-secret.md",
                true,
            ),
            (
                &["*.md", "!README*.md", "README-secret.md"],
                "README-x.md",
                false,
            ),
            (&["dir", "!dir/sub"], "dir/sub/file", false),
            (&["dir", "!dir/sub"], "dir/other", true),
            (&["  ", "# a", " x "], "x", true),
        ] {
            assert_eq!(patterns(list).matches(path), want, "{list:?} {path}");
        }
    }

    #[test]
    fn a_directory_is_only_passed_by_if_nothing_below_is_wanted() {
        for (list, directory, want) in [
            (&["node_modules"][..], "node_modules", true),
            (&["node_modules"], "src", false),
            (&["*", "!src"], "docs", true),
            (&["*", "!src"], "src", false),
            (&["*", "!src/a/b"], "src", false),
            (&["*", "!src/a/b"], "src/a", false),
            (&["*", "!src/a/b"], "src/c", true),
            (&["*", "!**/*.md"], "docs", false),
            (&["*", "!*.md"], "docs", true),
            (&["!docs/x", "docs"], "docs", true),
            (&["docs", "!docs/**"], "docs", false),
        ] {
            assert_eq!(
                patterns(list).matches_all_below(directory),
                want,
                "{list:?} {directory}"
            );
        }
    }

    #[test]
    fn bad_patterns_are_named() {
        let error = Patterns::new(["fine", "", "[oops"]).unwrap_err();
        assert_eq!(
            (error.index, error.to_string().as_str()),
            (2, "bad pattern `[oops`")
        );
        assert!(Patterns::new(["!"]).is_err());
    }

    proptest! {
        #[test]
        fn what_matches_a_parent_matches_what_is_below(
            pattern in r"[ab*?/]{1,8}",
            path in "[ab]{1,2}(/[ab]{1,2}){0,3}",
        ) {
            let list = patterns(&[&pattern]);
            let by_parents = path
                .match_indices('/')
                .map(|(at, _)| at)
                .chain([path.len()])
                .any(|end| list.0[0].tokens.matches(&path[..end]));
            prop_assert_eq!(list.matches(&path), by_parents);
        }

        #[test]
        fn a_passed_by_directory_has_no_wanted_path(
            list in prop::collection::vec(r"!?[ab*/.]{1,6}", 1..6),
            directory in "[ab](/[ab]){0,2}",
            below in "[ab](/[ab]){0,2}",
        ) {
            if let Ok(patterns) = Patterns::new(list.iter().map(String::as_str)) {
                let path = format!("{directory}/{below}");
                if patterns.matches_all_below(&directory) {
                    prop_assert!(patterns.matches(&path));
                }
            }
        }
    }
}
