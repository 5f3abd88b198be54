//! The JSON form of `RUN`, `CMD`, `COPY` and others: a list of strings.

use text::Span;

use crate::Word;
use crate::word::Slice;

/// What an instruction's arguments are.
pub(crate) enum List {
    /// A list of strings.
    Strings(Vec<Word>),
    /// A list that holds something else, and where.
    Other(Span),
    /// No list: the arguments are to be read in the instruction's other form.
    No,
}

/// Reads arguments as a JSON list. They are one only if the whole text is.
pub(crate) fn list(slice: Slice<'_>) -> List {
    let slice = slice.trim();
    if !slice.as_str().starts_with('[') {
        return List::No;
    }
    let mut reader = Reader {
        slice,
        at: 1,
        other: None,
    };
    match (reader.elements(), reader.other) {
        (Some(_), Some(other)) => List::Other(other),
        (Some(words), None) => List::Strings(words),
        (None, _) => List::No,
    }
}

/// Whether a text that is no list was probably meant as one: `['a', 'b']`, `["a", "b"`. The
/// shell's `[` is followed by a blank.
pub(crate) fn looks_like_list(text: &str) -> bool {
    text.starts_with("['") || text.starts_with("[\"")
}

struct Reader<'a> {
    slice: Slice<'a>,
    at: usize,
    /// The first element that is not a string.
    other: Option<Span>,
}

impl<'a> Reader<'a> {
    fn rest(&self) -> &'a str {
        &self.slice.as_str()[self.at..]
    }

    fn skip_blanks(&mut self) {
        let rest = self.rest();
        self.at += rest.len() - rest.trim_start_matches([' ', '\t', '\r', '\n']).len();
    }

    fn eat(&mut self, c: char) -> bool {
        let found = self.rest().starts_with(c);
        self.at += usize::from(found);
        found
    }

    /// Everything behind the opening bracket; `None` if it is not JSON.
    fn elements(&mut self) -> Option<Vec<Word>> {
        let mut words = Vec::new();
        self.skip_blanks();
        if !self.eat(']') {
            loop {
                self.skip_blanks();
                words.extend(self.element()?);
                self.skip_blanks();
                if self.eat(']') {
                    break;
                }
                if !self.eat(',') {
                    return None;
                }
            }
        }
        self.skip_blanks();
        self.rest().is_empty().then_some(words)
    }

    /// A string, or `None` inside for a number or literal. Nested lists count as no JSON:
    /// `[[ … ]]` is the shell's.
    fn element(&mut self) -> Option<Option<Word>> {
        if self.eat('"') {
            return self.string().map(Some);
        }
        let rest = self.rest();
        let token = &rest[..rest.find([',', ']', ' ', '\t']).unwrap_or(rest.len())];
        let scalar = matches!(token, "true" | "false" | "null")
            || (token.parse::<f64>().is_ok() && token.ends_with(|c: char| c.is_ascii_digit()));
        if !scalar {
            return None;
        }
        let span = self.slice.sub(self.at, self.at + token.len()).span();
        self.other = self.other.or(Some(span));
        self.at += token.len();
        Some(None)
    }

    /// What follows an opening quote.
    fn string(&mut self) -> Option<Word> {
        let start = self.at;
        let mut unescaped = String::new();
        let mut escapes = false;
        loop {
            let c = self.next()?;
            match c {
                '"' => break,
                '\\' => {
                    escapes = true;
                    unescaped.push(self.escape()?);
                }
                c if c < ' ' => return None,
                c => unescaped.push(c),
            }
        }
        let inner = self.slice.sub(start, self.at - 1);
        Some(match escapes {
            true => Word::rewritten(unescaped, inner.span()),
            false => inner.to_word(),
        })
    }

    fn next(&mut self) -> Option<char> {
        let c = self.rest().chars().next()?;
        self.at += c.len_utf8();
        Some(c)
    }

    /// What follows a backslash.
    fn escape(&mut self) -> Option<char> {
        Some(match self.next()? {
            c @ ('"' | '\\' | '/') => c,
            'b' => '\u{8}',
            'f' => '\u{c}',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'u' => self.unicode()?,
            _ => return None,
        })
    }

    /// Four digits, or two times four for a character beyond the basic plane. A lone half
    /// becomes the replacement character, as in Go.
    fn unicode(&mut self) -> Option<char> {
        let first = self.hex()?;
        if (0xd800..0xdc00).contains(&first) && self.rest().starts_with("\\u") {
            let before = self.at;
            self.at += 2;
            let second = self.hex()?;
            if (0xdc00..0xe000).contains(&second) {
                return char::from_u32(0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00));
            }
            self.at = before;
        }
        Some(char::from_u32(first).unwrap_or(char::REPLACEMENT_CHARACTER))
    }

    fn hex(&mut self) -> Option<u32> {
        let digits = self.rest().get(..4)?;
        if !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
            return None;
        }
        self.at += 4;
        u32::from_str_radix(digits, 16).ok()
    }
}
