//! `$X` and `${X…}` in the two dialects that we read.
//!
//! They look alike and are not: a compose file writes a literal dollar as `$$` and knows
//! no quotes, a Dockerfile has an escape character, shell quotes, and pattern removal and
//! replacement. Both are therefore own functions over shared types: [`compose`], and
//! [`Dockerfile`] with its two ways of reading a word.
//!
//! The word after an operator is only evaluated when its value is needed, as in a shell:
//! `${A:-${B:?needed}}` is no error while `A` is set.

use std::fmt;

mod compose;
mod dockerfile;
mod pattern;

pub use compose::compose;
pub use dockerfile::Dockerfile;

/// The result of an expansion.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Expanded {
    /// The text with every variable replaced.
    pub text: String,
    /// Variables that were needed, have no value and no default, in order of appearance;
    /// they were replaced by nothing.
    pub unset: Vec<Variable>,
    /// Names of the variables whose value went into the text or decided about it.
    pub used: Vec<String>,
}

/// A variable where it is mentioned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Variable {
    /// Its name.
    pub name: String,
    /// Offset of the `$` in the input.
    pub offset: usize,
}

/// Why a text cannot be expanded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExpandError {
    /// Offset of the first byte of the offending part in the input.
    pub offset: usize,
    /// One past its last byte.
    pub end: usize,
    /// What is wrong with it.
    pub kind: ExpandErrorKind,
}

/// Kinds of [`ExpandError`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ExpandErrorKind {
    /// `${` without its `}`.
    UnclosedBrace,
    /// A quote without its other half.
    UnclosedQuote(char),
    /// `${…/pattern` without the second slash.
    MissingReplacement,
    /// A dollar, or `${`, not followed by a name.
    BadName,
    /// Something other than an operator after the name.
    BadOperator(String),
    /// A pattern with an escape that means nothing.
    BadPattern(String),
    /// `${X:?message}` of a variable without a value.
    Required {
        /// The variable.
        name: String,
        /// The message, empty if there is none.
        message: String,
    },
}

impl fmt::Display for ExpandError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            ExpandErrorKind::UnclosedBrace => write!(f, "`${{` is never closed"),
            ExpandErrorKind::UnclosedQuote(quote) => write!(f, "the quote {quote} is never closed"),
            ExpandErrorKind::MissingReplacement => {
                write!(
                    f,
                    "a replacement needs two slashes: `${{name/pattern/new}}`"
                )
            }
            ExpandErrorKind::BadName => write!(f, "`$` is not followed by a variable's name"),
            ExpandErrorKind::BadOperator(operator) => {
                write!(f, "unknown operator `{operator}` in a substitution")
            }
            ExpandErrorKind::BadPattern(pattern) => write!(f, "bad pattern `{pattern}`"),
            ExpandErrorKind::Required { name, message } if message.is_empty() => {
                write!(f, "required variable `{name}` has no value")
            }
            ExpandErrorKind::Required { name, message } => {
                write!(f, "required variable `{name}` has no value: {message}")
            }
        }
    }
}

impl std::error::Error for ExpandError {}

/// What both dialects keep while they read.
struct State<'a> {
    input: &'a str,
    at: usize,
    lookup: &'a dyn Fn(&str) -> Option<String>,
    unset: Vec<Variable>,
    used: Vec<String>,
    /// Depth of `${`, bounded so that hostile input cannot exhaust the stack.
    depth: usize,
}

const MAX_DEPTH: usize = 100;

impl<'a> State<'a> {
    fn new(input: &'a str, lookup: &'a dyn Fn(&str) -> Option<String>) -> Self {
        Self {
            input,
            at: 0,
            lookup,
            unset: vec![],
            used: vec![],
            depth: 0,
        }
    }

    fn rest(&self) -> &'a str {
        &self.input[self.at..]
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn next(&mut self) -> Option<char> {
        let next = self.peek()?;
        self.at += next.len_utf8();
        Some(next)
    }

    fn eat(&mut self, wanted: char) -> bool {
        let found = self.peek() == Some(wanted);
        if found {
            self.at += wanted.len_utf8();
        }
        found
    }

    /// An error about everything from `offset` to where we are.
    fn error(&self, offset: usize, kind: ExpandErrorKind) -> ExpandError {
        ExpandError {
            offset,
            end: self.at.max(offset),
            kind,
        }
    }

    /// An error about what stands at `sign` in a `${` that began at `start`. Where the line
    /// ends there it is rather the brace that is missing.
    fn bad_operator(&mut self, start: usize, sign: usize) -> ExpandError {
        let found = &self.input[sign..self.at];
        if found.ends_with(['\n', '\r']) {
            self.at = sign;
            return self.error(start, ExpandErrorKind::UnclosedBrace);
        }
        self.error(start, ExpandErrorKind::BadOperator(found.to_owned()))
    }

    /// Enters a `${` that began at `offset`.
    fn enter(&mut self, offset: usize) -> Result<(), ExpandError> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(self.error(offset, ExpandErrorKind::BadName));
        }
        Ok(())
    }

    fn value(&mut self, name: &str) -> Option<String> {
        let value = (self.lookup)(name);
        if value.is_some() && !self.used.iter().any(|used| used == name) {
            self.used.push(name.to_owned());
        }
        value
    }

    /// The value of a plain `$X`: nothing if unset, and noted.
    fn plain(&mut self, name: &str, offset: usize) -> String {
        self.value(name).unwrap_or_else(|| {
            self.unset.push(Variable {
                name: name.to_owned(),
                offset,
            });
            String::new()
        })
    }
}

/// The four operators that both dialects share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operator {
    /// `-`: the word if there is no value.
    Default,
    /// `+`: the word if there is a value.
    Alternative,
    /// `?`: an error if there is no value.
    Required,
}

impl Operator {
    fn from_char(c: char) -> Option<Self> {
        match c {
            '-' => Some(Self::Default),
            '+' => Some(Self::Alternative),
            '?' => Some(Self::Required),
            _ => None,
        }
    }

    /// Whether the word is needed, given whether there is a value.
    fn needs_word(self, has_value: bool) -> bool {
        match self {
            Self::Default | Self::Required => !has_value,
            Self::Alternative => has_value,
        }
    }
}
