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
            .is_some_and(|live| live.contains(self.0.len()))
    }

    /// Whether a path matches, or one of its parents: what stands before a slash.
    pub(super) fn matches_or_parent(&self, path: &str) -> bool {
        let end = self.0.len();
        let mut parent = false;
        let live = self.run(path, |live, next| {
            parent = next == '/' && live.contains(end);
            parent
        });
        parent || live.is_some_and(|live| live.contains(end))
    }

    /// Whether some name that begins with `prefix`, and is longer, could match.
    pub(super) fn could_continue(&self, prefix: &str) -> bool {
        // Whatever token comes next, some further text satisfies it and those behind it.
        let live = self.run(prefix, |_, _| false);
        live.is_some_and(|live| live.list.iter().any(|&state| state < self.0.len()))
    }

    /// The states that are live after `name`: state n says that the first n tokens are
    /// satisfied. `None` as soon as none is, or if `stop` says so of the states before a
    /// character.
    fn run(&self, name: &str, mut stop: impl FnMut(&States, char) -> bool) -> Option<States> {
        // Most patterns differ from most paths in the first letter already.
        if matches!(self.0.first(), Some(&Token::Char(first)) if !name.starts_with(first)) {
            return None;
        }
        let mut live = States::new(self.0.len());
        let mut next = States::new(self.0.len());
        live.add(&self.0, 0);
        let mut rest = name;
        while let Some(c) = rest.chars().next() {
            if let [state] = live.list[..]
                && self.0.get(state) == Some(&Token::Dirs)
                && c != '/'
            {
                // Only a slash leads on from here.
                rest = &rest[rest.find('/').unwrap_or(rest.len())..];
                continue;
            }
            if stop(&live, c) {
                return None;
            }
            self.step(&live, c, &mut next);
            std::mem::swap(&mut live, &mut next);
            next.clear();
            if live.list.is_empty() {
                return None;
            }
            rest = &rest[c.len_utf8()..];
        }
        Some(live)
    }

    /// Adds the states after one more character.
    fn step(&self, live: &States, c: char, next: &mut States) {
        for &state in live.list.iter().filter(|&&state| state < self.0.len()) {
            let (stays, advances) = match &self.0[state] {
                Token::Char(wanted) => (false, *wanted == c),
                Token::Any => (false, c != '/'),
                Token::Star => (c != '/', false),
                Token::Class { negated, ranges } => {
                    let inside = ranges.iter().any(|&(low, high)| low <= c && c <= high);
                    (false, inside != *negated)
                }
                Token::Rest => (true, false),
                Token::MaybeDirs => (false, false),
                Token::Dirs => (true, c == '/'),
            };
            if stays {
                next.add(&self.0, state);
            }
            if advances {
                next.add(&self.0, state + 1);
            }
        }
    }
}

/// A set of states: usually very few of many.
struct States {
    list: Vec<usize>,
    member: Vec<bool>,
}

impl States {
    fn new(tokens: usize) -> Self {
        Self {
            list: Vec::new(),
            member: vec![false; tokens + 1],
        }
    }

    fn contains(&self, state: usize) -> bool {
        self.member[state]
    }

    fn clear(&mut self) {
        for state in self.list.drain(..) {
            self.member[state] = false;
        }
    }

    /// Adds a state, and those behind tokens that may match nothing.
    fn add(&mut self, tokens: &[Token], state: usize) {
        let mut state = state;
        loop {
            if std::mem::replace(&mut self.member[state], true) {
                return;
            }
            self.list.push(state);
            match tokens.get(state) {
                Some(Token::Star | Token::Rest) => state += 1,
                Some(Token::MaybeDirs) => {
                    // `Dirs` itself leads no further without a character.
                    if !std::mem::replace(&mut self.member[state + 1], true) {
                        self.list.push(state + 1);
                    }
                    state += 2;
                }
                _ => return,
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
