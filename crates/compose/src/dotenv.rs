//! Files of `NAME=value` lines: `.env`, `--env-file` and `env_file`.

use std::collections::BTreeMap;

use text::expand::{self, ExpandError};

/// What is wrong with such a file, and where, in bytes.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct DotenvError {
    /// First byte.
    pub(crate) start: usize,
    /// One past the last.
    pub(crate) end: usize,
    /// What is wrong.
    pub(crate) message: String,
}

/// Names and values.
pub(crate) type Variables = BTreeMap<String, String>;

/// Gives the value of a name.
pub(crate) type Lookup<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Reads a file in compose's syntax: `export`, comments, three kinds of quoting,
/// `${VAR}` in all but single quotes. For the value of a name `strong` is asked, then
/// what the file itself has said so far, then `weak`.
pub(crate) fn parse(
    text: &str,
    strong: Lookup<'_>,
    weak: Lookup<'_>,
) -> Result<Variables, DotenvError> {
    let mut reader = Reader {
        text,
        at: 0,
        variables: Variables::new(),
        strong,
        weak,
    };
    if text.starts_with('\u{feff}') {
        reader.at = '\u{feff}'.len_utf8();
    }
    while reader.skip_to_statement() {
        reader.statement()?;
    }
    Ok(reader.variables)
}

/// Reads a file as `docker run --env-file` does: everything after `=` is the value.
pub(crate) fn parse_raw(text: &str, lookup: Lookup<'_>) -> Variables {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let lines = text.lines().map(str::trim_start);
    lines
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .filter_map(|line| match line.split_once('=') {
            Some((name, value)) => Some((name.to_owned(), value.to_owned())),
            None => lookup(line).map(|value| (line.to_owned(), value)),
        })
        .collect()
}

struct Reader<'t> {
    text: &'t str,
    at: usize,
    variables: Variables,
    strong: Lookup<'t>,
    weak: Lookup<'t>,
}

impl<'t> Reader<'t> {
    fn rest(&self) -> &'t str {
        &self.text[self.at..]
    }

    /// Skips blank lines and comments; false at the end.
    fn skip_to_statement(&mut self) -> bool {
        loop {
            let rest = self.rest();
            self.at += rest.len() - rest.trim_start().len();
            match self.rest().chars().next() {
                None => return false,
                Some('#') => self.skip_line(),
                Some(_) => return true,
            }
        }
    }

    fn skip_line(&mut self) {
        self.at += self
            .rest()
            .find('\n')
            .map_or(self.rest().len(), |at| at + 1);
    }

    fn skip_blanks(&mut self) {
        let rest = self.rest();
        self.at += rest.len() - rest.trim_start_matches(is_blank).len();
    }

    fn statement(&mut self) -> Result<(), DotenvError> {
        if let Some(rest) = self.rest().strip_prefix("export")
            && rest.starts_with(is_blank)
        {
            self.at += "export".len();
            self.skip_blanks();
        }
        let name = self.name()?;
        self.skip_blanks();
        match self.rest().chars().next() {
            Some('=' | ':') => {
                self.at += 1;
                self.skip_blanks();
                let value = self.value()?;
                self.variables.insert(name.to_owned(), value);
            }
            None | Some('\n' | '#') => {
                self.skip_line();
                if let Some(value) = self.lookup(name) {
                    self.variables.insert(name.to_owned(), value);
                }
            }
            Some(_) => return Err(self.error(self.at, "a variable's name cannot have a space")),
        }
        Ok(())
    }

    fn name(&mut self) -> Result<&'t str, DotenvError> {
        let rest = self.rest();
        let fits = |c: char| c.is_alphanumeric() || matches!(c, '_' | '.' | '-' | '[' | ']');
        let end = rest.find(|c| !fits(c)).unwrap_or(rest.len());
        let after = rest[end..].chars().next();
        let name = &rest[..end];
        match after {
            None | Some('=' | ':' | '\n' | '#') if !name.is_empty() => {}
            Some(c) if !name.is_empty() && is_blank(c) => {}
            Some(c) => {
                let message = format!("unexpected character `{c}` in a variable's name");
                return Err(self.error(self.at + end, message));
            }
            None => return Err(self.error(self.at, "a variable's name is missing")),
        }
        self.at += end;
        Ok(name)
    }

    fn value(&mut self) -> Result<String, DotenvError> {
        match self.rest().chars().next() {
            Some(quote @ ('"' | '\'')) => self.quoted(quote),
            _ => self.unquoted(),
        }
    }

    fn unquoted(&mut self) -> Result<String, DotenvError> {
        let start = self.at;
        let line = self.rest().split('\n').next().unwrap_or("");
        self.skip_line();
        let value = line.split(" #").next().unwrap_or("").trim_end();
        // `X= # note` leaves nothing but the comment.
        let value = if value.starts_with('#') { "" } else { value };
        self.expand(value, start)
    }

    fn quoted(&mut self, quote: char) -> Result<String, DotenvError> {
        let start = self.at;
        let mut value = String::new();
        let mut chars = self.rest().char_indices().skip(1);
        while let Some((at, c)) = chars.next() {
            if c == quote {
                let end = start + at + 1;
                self.at = start + 1;
                let value = match quote {
                    '"' => self.expand(&unescape(&value), start)?,
                    _ => value,
                };
                self.at = end;
                return Ok(value);
            }
            match c {
                '\\' => match chars.next() {
                    Some((_, next)) if next == quote => value.push(quote),
                    Some((_, next)) => value.extend(['\\', next]),
                    None => break,
                },
                _ => value.push(c),
            }
        }
        Err(self.error(start, format!("`{quote}` is never closed")))
    }

    fn lookup(&self, name: &str) -> Option<String> {
        let own = || self.variables.get(name).cloned();
        (self.strong)(name)
            .or_else(own)
            .or_else(|| (self.weak)(name))
    }

    fn expand(&self, value: &str, start: usize) -> Result<String, DotenvError> {
        let expanded = expand::compose(value, &|name| self.lookup(name));
        expanded
            .map(|expanded| expanded.text)
            .map_err(|error: ExpandError| {
                let message = error.to_string();
                self.error(start, message)
            })
    }

    /// An error from `start` to the end of its line.
    fn error(&self, start: usize, message: impl Into<String>) -> DotenvError {
        let line = self.text[start..]
            .find(['\r', '\n'])
            .unwrap_or(self.text.len() - start);
        DotenvError {
            start,
            end: start + line,
            message: message.into(),
        }
    }
}

/// White space other than a line break.
fn is_blank(c: char) -> bool {
    c != '\n' && c.is_whitespace()
}

/// The escapes of double quotes. `\$` becomes `$$`, which the expansion understands.
fn unescape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        let Some(c) = rest.chars().next() else {
            out.push('\\');
            break;
        };
        let plain = match c {
            'a' => Some("\x07"),
            'b' => Some("\x08"),
            'f' => Some("\x0c"),
            'n' => Some("\n"),
            'r' => Some("\r"),
            't' => Some("\t"),
            'v' => Some("\x0b"),
            '"' => Some("\""),
            '\\' => Some("\\"),
            '$' => Some("$$"),
            _ => None,
        };
        match plain {
            Some(plain) => out.push_str(plain),
            None => out.extend(['\\', c]),
        }
        rest = &rest[c.len_utf8()..];
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn host(name: &str) -> Option<String> {
        (name == "HOST").then(|| "h".to_owned())
    }

    #[track_caller]
    fn gives(text: &str, want: &[(&str, &str)]) {
        let got =
            parse(text, &host, &|_| None).unwrap_or_else(|e| panic!("{text:?}: {}", e.message));
        let got: Vec<_> = got.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        assert_eq!(got, want, "{text:?}");
    }

    #[test]
    fn every_form_of_a_line() {
        gives(
            "A=1\nB = 2\nexport C=3\n",
            &[("A", "1"), ("B", "2"), ("C", "3")],
        );
        gives(
            "# c\n\nA=x # note\nB=x#y\nC= # n\n",
            &[("A", "x"), ("B", "x#y"), ("C", "")],
        );
        gives(
            "A='$X # y'\nB=\"p\\nq\"\n",
            &[("A", "$X # y"), ("B", "p\nq")],
        );
        gives("A=\"two\nlines\"\nB=1", &[("A", "two\nlines"), ("B", "1")]);
        gives(
            "A='it\\'s'\nB=\"say \\\"x\\\"\"",
            &[("A", "it's"), ("B", "say \"x\"")],
        );
        gives(
            "A=\"\\$HOST $HOST\"\nB=\\$",
            &[("A", "$HOST h"), ("B", "\\$")],
        );
        gives("A=1\nB=${A}${HOST}${NO:-d}", &[("A", "1"), ("B", "1hd")]);
        gives("HOST\nNOBODY\nA: yaml\n", &[("A", "yaml"), ("HOST", "h")]);
        gives("\u{feff}A=1\r\nB=2\r\n", &[("A", "1"), ("B", "2")]);
        gives("export=1\nEMPTY=\n", &[("EMPTY", ""), ("export", "1")]);
        gives(
            "A=a=b\nJ={\"k\": 1}\n",
            &[("A", "a=b"), ("J", "{\"k\": 1}")],
        );
    }

    #[test]
    fn errors_point_at_their_line() {
        for (text, start, end, message) in [
            (
                "A=1\nB C=2\n",
                6,
                9,
                "a variable's name cannot have a space",
            ),
            (
                "A%=2\nX=1",
                1,
                4,
                "unexpected character `%` in a variable's name",
            ),
            ("A='x\nB=1\n", 2, 4, "`'` is never closed"),
            ("A=${x\n", 2, 5, "`${` is never closed"),
            ("=1", 0, 2, "unexpected character `=` in a variable's name"),
        ] {
            let error = parse(text, &host, &|_| None).expect_err(text);
            assert_eq!(
                (error.start, error.end, error.message.as_str()),
                (start, end, message)
            );
        }
    }

    #[test]
    fn raw_files_keep_everything_after_the_equals_sign() {
        let got = parse_raw("# c\nA='$x' # y\nHOST\nNO\n", &host);
        let got: Vec<_> = got.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        assert_eq!(got, [("A", "'$x' # y"), ("HOST", "h")]);
    }

    proptest! {
        #[test]
        fn never_panics(text in "[A-B=:#'\"\\\\$ {}\nxü\u{feff}]{0,60}") {
            if let Err(error) = parse(&text, &host, &|_| None) {
                prop_assert!(text.get(error.start..error.end).is_some());
            }
        }

        #[test]
        fn single_quotes_keep_everything(value in "[^'\\\\]{0,20}") {
            let got = parse(&format!("A='{value}'\n"), &host, &|_| None).unwrap();
            prop_assert_eq!(&got["A"], &value);
        }
    }
}
