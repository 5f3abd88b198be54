//! A compiled glob and its matcher.

/// Which patterns are understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dialect {
    /// Go's `filepath.Match`.
    Match,
    /// The same, and `**` for any number of directories.
    List,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    Char(char),
    /// `?`: anything but a slash.
    Any,
    /// `*`: any number of anything but a slash.
    Star,
    /// `[…]`.
    Class {
        negated: bool,
        ranges: Vec<(char, char)>,
    },
    /// `**` at the end, or fused with a following literal: anything, slashes too.
    Rest,
    /// `**/`: nothing, or anything that ends with a slash. Always followed by `Dirs`, its
    /// second half; two tokens because only the first can be passed by for free.
    MaybeDirs,
    /// See `MaybeDirs`.
    Dirs,
}

/// A compiled glob.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Tokens(Vec<Token>);

impl Tokens {
    /// `None` if Go would refuse the pattern.
    pub(super) fn parse(pattern: &str, dialect: Dialect) -> Option<Self> {
        let mut tokens = Vec::new();
        let mut rest = pattern;
        while let Some(c) = rest.chars().next() {
            let after = &rest[c.len_utf8()..];
            rest = match c {
                '*' if dialect == Dialect::List && after.starts_with('*') => {
                    double_star(&mut tokens, &after[1..], pattern)
                }
                '*' => {
                    tokens.push(Token::Star);
                    after
                }
                '?' => {
                    tokens.push(Token::Any);
                    after
                }
                '[' => {
                    let (class, after) = class(after)?;
                    tokens.push(class);
                    after
                }
                '\\' => {
                    let escaped = after.chars().next()?;
                    tokens.push(Token::Char(escaped));
                    &after[escaped.len_utf8()..]
                }
                c => {
                    tokens.push(Token::Char(c));
                    after
                }
            };
        }
        Some(Self(tokens))
    }

    /// Whether the whole name matches.
    pub(super) fn matches(&self, name: &str) -> bool {
        self.run(name, |_, _| false)
            .is_some_and(|live| live[self.0.len()])
    }

    /// Whether a path matches, or one of its parents: what stands before a slash.
    pub(super) fn matches_or_parent(&self, path: &str) -> bool {
        let end = self.0.len();
        let mut parent = false;
        let live = self.run(path, |live, next| {
            parent = next == '/' && live[end];
            parent
        });
        parent || live.is_some_and(|live| live[end])
    }

    /// Whether some name that begins with `prefix`, and is longer, could match.
    pub(super) fn could_continue(&self, prefix: &str) -> bool {
        // Whatever token comes next, some further text satisfies it and those behind it.
        let live = self.run(prefix, |_, _| false);
        live.is_some_and(|live| live[..self.0.len()].contains(&true))
    }

    /// The states that are live after `name`: state n says that the first n tokens are
    /// satisfied. `None` as soon as none is, or if `stop` says so of the states before a
    /// character: the common pattern differs from a path in its first letters.
    fn run(&self, name: &str, mut stop: impl FnMut(&[bool], char) -> bool) -> Option<Vec<bool>> {
        let mut live = vec![false; self.0.len() + 1];
        let mut next = live.clone();
        live[0] = true;
        self.pass_free(&mut live);
        for c in name.chars() {
            if stop(&live, c) || !self.step(&live, c, &mut next) {
                return None;
            }
            std::mem::swap(&mut live, &mut next);
        }
        Some(live)
    }

    /// The states after one more character; whether there are any.
    fn step(&self, live: &[bool], c: char, next: &mut [bool]) -> bool {
        next.fill(false);
        for (state, token) in self.0.iter().enumerate().filter(|(state, _)| live[*state]) {
            match token {
                Token::Char(wanted) => next[state + 1] |= *wanted == c,
                Token::Any => next[state + 1] |= c != '/',
                Token::Star => next[state] |= c != '/',
                Token::Class { negated, ranges } => {
                    let inside = ranges.iter().any(|&(low, high)| low <= c && c <= high);
                    next[state + 1] |= inside != *negated;
                }
                Token::Rest => next[state] = true,
                Token::MaybeDirs => {}
                Token::Dirs => {
                    next[state] = true;
                    next[state + 1] |= c == '/';
                }
            }
        }
        self.pass_free(next);
        next.contains(&true)
    }

    /// Tokens that may match nothing are passed by.
    fn pass_free(&self, live: &mut [bool]) {
        for (state, token) in self.0.iter().enumerate() {
            if live[state] {
                match token {
                    Token::Star | Token::Rest => live[state + 1] = true,
                    Token::MaybeDirs => {
                        live[state + 1] = true;
                        live[state + 2] = true;
                    }
                    _ => {}
                }
            }
        }
    }
}

/// What follows a `**`. Docker swallows a slash behind it; at the end it matches
/// everything, and `**name` at the very beginning of an otherwise literal pattern matches
/// every path that ends with these letters, while elsewhere `**` stands for directories.
fn double_star<'a>(tokens: &mut Vec<Token>, after: &'a str, pattern: &str) -> &'a str {
    let literal = pattern
        .strip_prefix("**")
        .is_some_and(super::Glob::is_literal);
    let rest = after.strip_prefix('/').unwrap_or(after);
    if rest.is_empty() || (literal && rest.len() == after.len()) {
        tokens.push(Token::Rest);
    } else {
        tokens.extend([Token::MaybeDirs, Token::Dirs]);
    }
    rest
}

/// The class behind a `[`, and what follows its `]`.
fn class(rest: &str) -> Option<(Token, &str)> {
    let (negated, mut rest) = match rest.strip_prefix('^') {
        Some(rest) => (true, rest),
        None => (false, rest),
    };
    let mut ranges = Vec::new();
    loop {
        if let Some(after) = rest.strip_prefix(']').filter(|_| !ranges.is_empty()) {
            return Some((Token::Class { negated, ranges }, after));
        }
        let (low, after) = class_char(rest)?;
        let (high, after) = match after.strip_prefix('-') {
            Some(after) => class_char(after)?,
            None => (low, after),
        };
        ranges.push((low, high));
        rest = after;
    }
}

/// A character of a class; a bare `-` or `]` is refused.
fn class_char(rest: &str) -> Option<(char, &str)> {
    let mut chars = rest.chars();
    let c = match chars.next()? {
        '-' | ']' => return None,
        '\\' => chars.next()?,
        c => c,
    };
    Some((c, chars.as_str()))
}
