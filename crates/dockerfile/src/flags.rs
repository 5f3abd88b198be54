//! `--name=value` between an instruction's keyword and its arguments.

use text::{Diagnostic, Span, suggest};

use crate::Word;
use crate::context::Context;
use crate::word::Slice;
use crate::words::unquote;

/// The flags of one instruction, still to be taken by name.
pub(crate) struct Flags(Vec<Flag>);

struct Flag {
    name: String,
    value: Option<Word>,
    span: Span,
}

/// Which flags an instruction knows: those that may be given once, and any number of
/// times.
#[derive(Clone, Copy, Default)]
pub(crate) struct Known {
    pub(crate) once: &'static [&'static str],
    pub(crate) repeated: &'static [&'static str],
}

impl Flags {
    /// Cuts the flags off an instruction's arguments, reports those that the instruction
    /// does not know, and gives the arguments behind them. `--` ends the flags.
    pub(crate) fn take<'a>(
        cx: &mut Context,
        keyword: &str,
        known: Known,
        arguments: Slice<'a>,
    ) -> (Self, Slice<'a>) {
        let mut flags: Vec<Flag> = Vec::new();
        let mut rest = arguments.trim();
        while rest.as_str().starts_with("--") {
            let (raw, after) = first_quoted(rest, cx.escape);
            rest = after;
            if raw.as_str() == "--" {
                break;
            }
            let flag = Flag::parse(raw, cx.escape);
            let twice = known.once.contains(&flag.name.as_str())
                && flags.iter().any(|earlier| earlier.name == flag.name);
            if !known.once.contains(&flag.name.as_str())
                && !known.repeated.contains(&flag.name.as_str())
            {
                cx.report(unknown(keyword, known, &flag));
            } else if twice {
                let message = format!("the flag `--{}` is given twice", flag.name);
                cx.report(Diagnostic::error(message).at(flag.span));
            } else {
                flags.push(flag);
            }
        }
        (Self(flags), rest)
    }

    /// A flag that needs a value.
    pub(crate) fn value(&mut self, cx: &mut Context, name: &str) -> Option<Word> {
        self.values(cx, name).pop()
    }

    /// A flag that needs a value and may be repeated.
    pub(crate) fn values(&mut self, cx: &mut Context, name: &str) -> Vec<Word> {
        let mut values = Vec::new();
        for flag in self.0.extract_if(.., |flag| flag.name == name) {
            match flag.value {
                Some(value) => values.push(value),
                None => cx.report(
                    Diagnostic::error(format!("the flag `--{name}` needs a value"))
                        .at(flag.span)
                        .hint(format!("write `--{name}=…`")),
                ),
            }
        }
        values
    }

    /// A flag that is true when it only stands there.
    pub(crate) fn boolean(&mut self, cx: &mut Context, name: &str) -> Option<bool> {
        let at = self.0.iter().position(|flag| flag.name == name)?;
        let flag = self.0.remove(at);
        let Some(value) = flag.value else {
            return Some(true);
        };
        match value.text.to_ascii_lowercase().as_str() {
            "true" => Some(true),
            "false" => Some(false),
            _ => {
                let message = format!("`--{name}` is either true or false, not `{}`", value.text);
                cx.report(Diagnostic::error(message).at(value.span));
                None
            }
        }
    }
}

impl Flag {
    /// Quotes and escapes are removed here, once for all.
    fn parse(raw: Slice<'_>, escape: char) -> Self {
        let span = raw.span();
        let body = raw.sub(2, raw.as_str().len());
        let verbatim = !raw.as_str().contains(['\'', '"', escape]);
        if verbatim {
            return match body.split_once('=') {
                Some((name, value)) => Self {
                    name: name.as_str().to_owned(),
                    value: Some(value.to_word()),
                    span,
                },
                None => Self {
                    name: body.as_str().to_owned(),
                    value: None,
                    span,
                },
            };
        }
        let text = unquote(body.as_str(), escape);
        match text.split_once('=') {
            Some((name, value)) => Self {
                name: name.to_owned(),
                value: Some(Word::rewritten(value, span)),
                span,
            },
            None => Self {
                name: text,
                value: None,
                span,
            },
        }
    }
}

fn unknown(keyword: &str, known: Known, flag: &Flag) -> Diagnostic {
    let names = || known.once.iter().chain(known.repeated).copied();
    let message = format!("`{keyword}` has no flag `--{}`", flag.name);
    let diagnostic = Diagnostic::error(message).at(flag.span);
    match suggest::nearest(&flag.name, names()) {
        Some(near) => diagnostic.hint(format!("did you mean `--{near}`?")),
        None if names().next().is_none() => {
            diagnostic.hint("it has none; an argument that begins with `--` goes behind `--`")
        }
        None => {
            let list: Vec<_> = names().map(|name| format!("`--{name}`")).collect();
            diagnostic.hint(format!("it has {}", list.join(", ")))
        }
    }
}

/// The first word, blanks inside quotes included, and what follows, trimmed. Here the
/// escape character also works inside single quotes.
fn first_quoted(slice: Slice<'_>, escape: char) -> (Slice<'_>, Slice<'_>) {
    let mut quote = None;
    let mut chars = slice.as_str().char_indices();
    while let Some((at, c)) = chars.next() {
        match quote {
            _ if c == escape => {
                chars.next();
            }
            None if c.is_whitespace() => {
                let (word, rest) = slice.split_at(at);
                return (word, rest.trim());
            }
            None if c == '\'' || c == '"' => quote = Some(c),
            Some(open) if open == c => quote = None,
            _ => {}
        }
    }
    slice.split_at(slice.as_str().len())
}
