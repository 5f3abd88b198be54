//! The shell patterns of `${X#p}` and `${X/p/new}`: `*`, `?` and escaped characters.

/// One element of a pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Token {
    Char(char),
    Any,
    Star,
}

/// A parsed pattern. Brackets are ordinary characters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pattern(Vec<Token>);

impl Pattern {
    /// `None` if a backslash precedes something that needs none.
    pub(super) fn parse(pattern: &str) -> Option<Self> {
        let mut tokens = Vec::new();
        let mut chars = pattern.chars();
        while let Some(c) = chars.next() {
            tokens.push(match c {
                '*' => Token::Star,
                '?' => Token::Any,
                '\\' => match chars.next()? {
                    c @ ('*' | '?' | '\\' | '}' | '/') => Token::Char(c),
                    _ => return None,
                },
                c => Token::Char(c),
            });
        }
        Some(Self(tokens))
    }

    /// Without the beginning that matches.
    pub(super) fn remove_prefix(&self, value: &str, longest: bool) -> String {
        let chars: Vec<char> = value.chars().collect();
        let length = matched(&self.0, chars.iter(), longest).unwrap_or(0);
        chars[length..].iter().collect()
    }

    /// Without the end that matches.
    pub(super) fn remove_suffix(&self, value: &str, longest: bool) -> String {
        let chars: Vec<char> = value.chars().collect();
        let backwards: Vec<Token> = self.0.iter().rev().copied().collect();
        let length = matched(&backwards, chars.iter().rev(), longest).unwrap_or(0);
        chars[..chars.len() - length].iter().collect()
    }

    /// With the first match, or all, replaced. What matches nothing replaces nothing.
    pub(super) fn replace(&self, value: &str, new: &str, all: bool) -> String {
        let chars: Vec<char> = value.chars().collect();
        let mut out = String::new();
        let mut at = 0;
        while at < chars.len() {
            match matched(&self.0, chars[at..].iter(), true) {
                Some(length) if length > 0 => {
                    out.push_str(new);
                    at += length;
                    if !all {
                        break;
                    }
                }
                _ => {
                    out.push(chars[at]);
                    at += 1;
                }
            }
        }
        out.extend(&chars[at..]);
        out
    }
}

/// How many characters from the first on match all tokens: the fewest or the most.
///
/// All ways to match are followed at once, so that the time is the product of both
/// lengths whatever the pattern.
fn matched<'a>(
    tokens: &[Token],
    chars: impl Iterator<Item = &'a char>,
    longest: bool,
) -> Option<usize> {
    let mut states = vec![false; tokens.len() + 1];
    states[0] = true;
    skip_stars(tokens, &mut states);
    let mut best = states[tokens.len()].then_some(0);
    for (index, &c) in chars.enumerate() {
        if best.is_some() && !longest {
            break;
        }
        let mut next = vec![false; states.len()];
        for (state, _) in states.iter().enumerate().filter(|(_, live)| **live) {
            match tokens.get(state) {
                Some(Token::Star) => next[state] = true,
                Some(Token::Any) => next[state + 1] = true,
                Some(&Token::Char(wanted)) if wanted == c => next[state + 1] = true,
                _ => {}
            }
        }
        skip_stars(tokens, &mut next);
        if !next.contains(&true) {
            break;
        }
        if next[tokens.len()] {
            best = Some(index + 1);
        }
        states = next;
    }
    best
}

/// A star may match nothing.
fn skip_stars(tokens: &[Token], states: &mut [bool]) {
    for (state, token) in tokens.iter().enumerate() {
        if states[state] && *token == Token::Star {
            states[state + 1] = true;
        }
    }
}
