//! The Dockerfile's shell words: variables, quotes and the escape character, with the
//! operators `:- - :+ + :? ? # ## % %% / //`.

use super::pattern::Pattern;
use super::{ExpandError, ExpandErrorKind, Expanded, Operator, State};

/// How words of a Dockerfile are read.
///
/// ```
/// use text::expand::Dockerfile;
/// let lookup = |name: &str| (name == "FILE").then(|| "app.tar.gz".to_owned());
/// let shell = Dockerfile::new('\\');
/// assert_eq!(shell.word(r#"/opt/"${FILE%%.*}"/\$x"#, &lookup).unwrap().text, "/opt/app/$x");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dockerfile {
    escape: char,
    quotes: bool,
}

impl Dockerfile {
    /// With the escape character of the file, `\` or `` ` ``.
    pub fn new(escape: char) -> Self {
        Self {
            escape,
            quotes: true,
        }
    }

    /// For the text of a here-document: quotes are ordinary characters, and the escape
    /// character is always the backslash.
    pub fn heredoc() -> Self {
        Self {
            escape: '\\',
            quotes: false,
        }
    }

    /// Expands to one text: quotes and escapes are removed, blanks kept.
    pub fn word(
        &self,
        input: &str,
        lookup: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Expanded, ExpandError> {
        let (output, state) = self.run(input, lookup)?;
        Ok(Expanded {
            text: output.text,
            unset: state.unset,
            used: state.used,
        })
    }

    /// Expands and then splits at unquoted blanks, also at those which came from a
    /// variable.
    pub fn words(
        &self,
        input: &str,
        lookup: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Vec<String>, ExpandError> {
        self.run(input, lookup).map(|(output, _)| output.finish())
    }

    fn run<'a>(
        &self,
        input: &'a str,
        lookup: &'a dyn Fn(&str) -> Option<String>,
    ) -> Result<(Output, State<'a>), ExpandError> {
        let mut reader = Reader {
            shell: *self,
            state: State::new(input, lookup),
            raw_escapes: false,
        };
        let output = reader.until(None, true)?;
        Ok((output, reader.state))
    }
}

/// The text as a whole, and cut into words.
#[derive(Default)]
struct Output {
    text: String,
    words: Vec<String>,
    word: String,
}

impl Output {
    /// Unquoted: a blank ends the word.
    fn push(&mut self, c: char) {
        self.text.push(c);
        if !c.is_whitespace() {
            self.word.push(c);
        } else if !self.word.is_empty() {
            self.words.push(std::mem::take(&mut self.word));
        }
    }

    /// Quoted or escaped: nothing is special.
    fn push_quoted(&mut self, text: &str) {
        self.text.push_str(text);
        self.word.push_str(text);
    }

    fn finish(mut self) -> Vec<String> {
        if !self.word.is_empty() {
            self.words.push(self.word);
        }
        self.words
    }
}

struct Reader<'a> {
    shell: Dockerfile,
    state: State<'a>,
    /// Inside a pattern escapes stay, because they mean something there.
    raw_escapes: bool,
}

/// Where a nested word ends, and the `${` it belongs to.
#[derive(Clone, Copy)]
struct Stop {
    at: char,
    open: usize,
}

impl Reader<'_> {
    /// Reads up to the end, or up to and with the stop character. Without `needed`
    /// nothing is looked up, and what comes out means nothing.
    fn until(&mut self, stop: Option<Stop>, needed: bool) -> Result<Output, ExpandError> {
        let mut out = Output::default();
        while let Some(c) = self.state.peek() {
            match c {
                _ if stop.is_some_and(|stop| stop.at == c) => {
                    self.state.next();
                    return Ok(out);
                }
                '$' => self.dollar(needed)?.chars().for_each(|c| out.push(c)),
                '\'' if self.shell.quotes => out.push_quoted(&self.single_quoted()?),
                '"' if self.shell.quotes => out.push_quoted(&self.double_quoted(needed)?),
                _ if c == self.shell.escape => self.escaped(&mut out),
                _ => {
                    self.state.next();
                    out.push(c);
                }
            }
        }
        let Some(stop) = stop else { return Ok(out) };
        let kind = match stop.at {
            '/' => ExpandErrorKind::MissingReplacement,
            _ => ExpandErrorKind::UnclosedBrace,
        };
        Err(self.state.error(stop.open, kind))
    }

    /// An escape character outside quotes: the next character is ordinary; at the very
    /// end it vanishes.
    fn escaped(&mut self, out: &mut Output) {
        let start = self.state.at;
        self.state.next();
        let next = self.state.next();
        if self.raw_escapes {
            out.push_quoted(&self.state.input[start..self.state.at]);
        } else if let Some(next) = next {
            out.push_quoted(next.encode_utf8(&mut [0; 4]));
        }
    }

    fn single_quoted(&mut self) -> Result<String, ExpandError> {
        let start = self.state.at;
        self.state.next();
        let rest = self.state.rest();
        let Some(length) = rest.find('\'') else {
            self.state.at = self.state.input.len();
            return Err(self
                .state
                .error(start, ExpandErrorKind::UnclosedQuote('\'')));
        };
        self.state.at += length + 1;
        Ok(rest[..length].to_owned())
    }

    /// Inside double quotes the escape character only escapes `"`, `$` and itself.
    fn double_quoted(&mut self, needed: bool) -> Result<String, ExpandError> {
        let start = self.state.at;
        self.state.next();
        let mut out = String::new();
        while let Some(c) = self.state.peek() {
            if c == '$' {
                out.push_str(&self.dollar(needed)?);
                continue;
            }
            self.state.next();
            if c == '"' {
                return Ok(out);
            }
            let escapes = c == self.shell.escape
                && self
                    .state
                    .peek()
                    .is_none_or(|n| n == '"' || n == '$' || n == self.shell.escape);
            if !escapes {
                out.push(c);
                continue;
            }
            if self.raw_escapes {
                out.push(c);
            }
            out.extend(self.state.next());
        }
        Err(self.state.error(start, ExpandErrorKind::UnclosedQuote('"')))
    }

    fn dollar(&mut self, needed: bool) -> Result<String, ExpandError> {
        let start = self.state.at;
        self.state.next();
        if self.state.eat('{') {
            self.state.enter(start)?;
            let value = self.braced(needed, start)?;
            self.state.depth -= 1;
            return Ok(value);
        }
        let name = self.name();
        Ok(match (name.as_str(), needed) {
            ("", _) => "$".to_owned(),
            (_, false) => String::new(),
            (name, true) => self.state.plain(name, start),
        })
    }

    /// What follows a `${` that began at `start`.
    fn braced(&mut self, needed: bool, start: usize) -> Result<String, ExpandError> {
        if self.state.peek().is_none() {
            return Err(self.state.error(start, ExpandErrorKind::UnclosedBrace));
        }
        let name = self.name();
        if name.is_empty() {
            return Err(self.state.error(start, ExpandErrorKind::BadName));
        }
        let sign = self.state.at;
        let empty_is_unset = self.state.eat(':');
        let operator = self.state.next();
        let known = operator.and_then(Operator::from_char);
        match (operator, known) {
            (None, _) => Err(self.state.error(start, ExpandErrorKind::UnclosedBrace)),
            (Some('}'), _) if !empty_is_unset => Ok(if needed {
                self.state.plain(&name, start)
            } else {
                String::new()
            }),
            (Some(sign @ ('#' | '%')), _) if !empty_is_unset => {
                self.removal(sign, needed, start, &name)
            }
            (Some('/'), _) if !empty_is_unset => self.replacement(needed, start, &name),
            (_, Some(operator)) => self.operation(operator, empty_is_unset, needed, start, &name),
            _ => Err(self.state.bad_operator(start, sign)),
        }
    }

    fn operation(
        &mut self,
        operator: Operator,
        empty_is_unset: bool,
        needed: bool,
        start: usize,
        name: &str,
    ) -> Result<String, ExpandError> {
        let value = if needed { self.state.value(name) } else { None };
        let value = value.filter(|value| !(empty_is_unset && value.is_empty()));
        let word_needed = needed && operator.needs_word(value.is_some());
        let word = self.nested('}', start, false, word_needed)?;
        match (operator, value) {
            _ if !needed => Ok(String::new()),
            (Operator::Default, None) | (Operator::Alternative, Some(_)) => Ok(word),
            (Operator::Default | Operator::Required, Some(value)) => Ok(value),
            (Operator::Alternative, None) => Ok(String::new()),
            (Operator::Required, None) => {
                let kind = ExpandErrorKind::Required {
                    name: name.to_owned(),
                    message: word,
                };
                Err(self.state.error(start, kind))
            }
        }
    }

    /// `#p` and `##p` cut off the shortest and longest beginning, `%p` and `%%p` the end.
    fn removal(
        &mut self,
        sign: char,
        needed: bool,
        start: usize,
        name: &str,
    ) -> Result<String, ExpandError> {
        let word = self.nested('}', start, true, needed)?;
        if !needed {
            return Ok(String::new());
        }
        let (word, longest) = match word.strip_prefix(sign) {
            Some(word) => (word, true),
            None => (word.as_str(), false),
        };
        let pattern = self.pattern(word, start)?;
        let value = self.state.plain(name, start);
        Ok(match sign {
            '#' => pattern.remove_prefix(&value, longest),
            _ => pattern.remove_suffix(&value, longest),
        })
    }

    /// `/p/new` replaces the first match, `//p/new` all.
    fn replacement(
        &mut self,
        needed: bool,
        start: usize,
        name: &str,
    ) -> Result<String, ExpandError> {
        let all = self.state.eat('/');
        let word = self.nested('/', start, true, needed)?;
        let new = self.nested('}', start, true, needed)?;
        if !needed {
            return Ok(String::new());
        }
        let pattern = self.pattern(&word, start)?;
        let value = self.state.plain(name, start);
        Ok(pattern.replace(&value, &new, all))
    }

    fn nested(
        &mut self,
        at: char,
        open: usize,
        raw_escapes: bool,
        needed: bool,
    ) -> Result<String, ExpandError> {
        let outer = std::mem::replace(&mut self.raw_escapes, raw_escapes);
        let output = self.until(Some(Stop { at, open }), needed);
        self.raw_escapes = outer;
        Ok(output?.text)
    }

    fn pattern(&self, word: &str, start: usize) -> Result<Pattern, ExpandError> {
        Pattern::parse(word).ok_or_else(|| {
            self.state
                .error(start, ExpandErrorKind::BadPattern(word.to_owned()))
        })
    }

    /// A name, a number, or one of the shell's special parameters, which are never set
    /// here but are still not plain text.
    fn name(&mut self) -> String {
        let rest = self.state.rest();
        let length = match rest.chars().next() {
            Some(c) if c.is_numeric() => rest.find(|c: char| !c.is_numeric()),
            Some('@' | '*' | '#' | '?' | '-' | '$' | '!') => Some(1),
            _ => rest.find(|c: char| !(c.is_alphanumeric() || c == '_')),
        };
        let name = &rest[..length.unwrap_or(rest.len())];
        self.state.at += name.len();
        name.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn lookup(name: &str) -> Option<String> {
        match name {
            "A" => Some("a".into()),
            "EMPTY" => Some(String::new()),
            "FILE" => Some("foo.tar.gz".into()),
            "PATHS" => Some("/usr/lib/x/lib".into()),
            "TWO" => Some("one two".into()),
            "QUOTED" => Some("'q'".into()),
            _ => None,
        }
    }

    fn word(input: &str) -> String {
        let expanded = Dockerfile::new('\\').word(input, &lookup);
        expanded.unwrap_or_else(|e| panic!("{input}: {e}")).text
    }

    #[test]
    fn variables_quotes_and_escapes() {
        for (input, want) in [
            ("plain", "plain"),
            ("$A${A}", "aa"),
            ("$A_B x$NO.", " x."),
            (r"\$A \${A}", "$A ${A}"),
            (r"a\ b", "a b"),
            (r"end\", "end"),
            ("'$A'", "$A"),
            (r"'\'", r"\"),
            (r#""$A""#, "a"),
            (r#""it's \"$A\" \x \$A""#, r#"it's "a" \x $A"#),
            ("$", "$"),
            ("a$ b", "a$ b"),
            ("$1$@$?x", "x"),
            ("$QUOTED", "'q'"),
            ("$TWO", "one two"),
            ("ü$A", "üa"),
        ] {
            assert_eq!(word(input), want, "{input}");
        }
    }

    #[test]
    fn operators() {
        for (input, want) in [
            ("${A:-d}${NO:-d}${EMPTY:-d}", "add"),
            ("${A-d}${NO-d}${EMPTY-d}", "ad"),
            ("${A:+r}${NO:+r}${EMPTY:+r}", "r"),
            ("${A+r}${NO+r}${EMPTY+r}", "rr"),
            ("${A:?e}${EMPTY?e}", "a"),
            ("${NO:-${ALSO:-$A}}", "a"),
            ("${NO:-'}'}", "}"),
            (r"${NO:-\}}", "}"),
            ("${A:-${NO:?e}}", "a"),
            ("${FILE#*.}", "tar.gz"),
            ("${FILE##*.}", "gz"),
            ("${FILE%.*}", "foo.tar"),
            ("${FILE%%.*}", "foo"),
            ("${FILE#no}", "foo.tar.gz"),
            ("${FILE%?z}", "foo.tar."),
            ("${FILE#f*o}", "o.tar.gz"),
            ("${FILE##f*o}", ".tar.gz"),
            ("${FILE/o/0}", "f0o.tar.gz"),
            ("${FILE//o/0}", "f00.tar.gz"),
            ("${FILE//./}", "footargz"),
            ("${FILE//[/x}", "foo.tar.gz"),
            (r"${PATHS//\//_}", "_usr_lib_x_lib"),
            ("${PATHS/%lib/x}", "/usr/lib/x/lib"),
            ("${PATHS##*/}", "lib"),
            ("${NO#x}${NO/a/b}", ""),
            (r"${FILE#\*}", "foo.tar.gz"),
            ("${FILE/$A/A}", "foo.tAr.gz"),
        ] {
            assert_eq!(word(input), want, "{input}");
        }
    }

    #[test]
    fn words_are_split_after_expansion() {
        let shell = Dockerfile::new('\\');
        for (input, want) in [
            ("a  b", vec!["a", "b"]),
            ("$TWO", vec!["one", "two"]),
            ("\"$TWO\" x", vec!["one two", "x"]),
            (r"a\ b c", vec!["a b", "c"]),
            ("$EMPTY", vec![]),
            ("pre${TWO}post", vec!["preone", "twopost"]),
        ] {
            assert_eq!(shell.words(input, &lookup).unwrap(), want, "{input}");
        }
    }

    #[test]
    fn the_escape_character_can_be_a_backtick() {
        let shell = Dockerfile::new('`');
        assert_eq!(shell.word(r"c:\x`$A$A", &lookup).unwrap().text, r"c:\x$Aa");
    }

    #[test]
    fn heredocs_keep_their_quotes() {
        let shell = Dockerfile::heredoc();
        let text = "it's \"$A\" \\$A\n";
        assert_eq!(shell.word(text, &lookup).unwrap().text, "it's \"a\" $A\n");
    }

    #[test]
    fn errors_say_where() {
        let shell = Dockerfile::new('\\');
        for (input, range, message) in [
            ("x'abc", 1..5, "the quote ' is never closed"),
            ("x\"$A", 1..4, "the quote \" is never closed"),
            ("${A", 0..3, "`${` is never closed"),
            ("${", 0..2, "`${` is never closed"),
            ("a${A:-b", 1..7, "`${` is never closed"),
            ("${}", 0..2, "`$` is not followed by a variable's name"),
            ("${A!x}", 0..4, "unknown operator `!` in a substitution"),
            ("${A:=x}", 0..5, "unknown operator `:=` in a substitution"),
            ("${A:}", 0..5, "unknown operator `:}` in a substitution"),
            (
                "${A/b}",
                0..6,
                "a replacement needs two slashes: `${name/pattern/new}`",
            ),
            (r"${A#\x}", 0..7, r"bad pattern `\x`"),
            (
                "-${NO:?why not}",
                1..15,
                "required variable `NO` has no value: why not",
            ),
        ] {
            let error = shell.word(input, &lookup).expect_err(input);
            assert_eq!(
                (error.offset..error.end, error.to_string().as_str()),
                (range, message)
            );
        }
    }

    #[test]
    fn unset_variables_are_noted() {
        let expanded = Dockerfile::new('\\')
            .word("$A $NO ${X:-y} ${Z#p}", &lookup)
            .unwrap();
        let names: Vec<_> = expanded
            .unset
            .iter()
            .map(|v| (v.name.as_str(), v.offset))
            .collect();
        assert_eq!(names, [("NO", 3), ("Z", 15)]);
        assert_eq!(expanded.used, ["A"]);
    }

    proptest! {
        #[test]
        fn never_panics_and_errors_lie_inside(input in "[$${}:?+Aa\\-ü#%/*'\"\\\\` ]{0,40}") {
            for shell in [Dockerfile::new('\\'), Dockerfile::new('`'), Dockerfile::heredoc()] {
                if let Err(error) = shell.word(&input, &lookup) {
                    prop_assert!(error.offset <= error.end && error.end <= input.len());
                    prop_assert!(input.get(error.offset..error.end).is_some());
                }
            }
        }

        #[test]
        fn single_quotes_keep_everything(input in "[^']*") {
            prop_assert_eq!(word(&format!("'{input}'")), input);
        }

        #[test]
        fn escaping_every_character_gives_the_text_back(input in ".*") {
            let escaped: String = input.chars().flat_map(|c| ['\\', c]).collect();
            prop_assert_eq!(word(&escaped), input);
        }
    }
}
