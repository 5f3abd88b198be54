//! Words with their variables replaced.

use text::Diagnostic;
use text::expand::{Dockerfile as Shell, ExpandError, ExpandErrorKind, Expanded};

use crate::{Heredoc, Word};

/// Expands a word to one text: variables, quotes and escapes, with the escape character
/// of the file.
pub fn expand_word(
    word: &Word,
    escape: char,
    lookup: &dyn Fn(&str) -> Option<String>,
) -> Result<Expanded, Diagnostic> {
    Shell::new(escape)
        .word(&word.text, lookup)
        .map_err(|error| diagnostic(word, &error))
}

/// Expands a word that may become several, as `EXPOSE $PORTS` does.
pub fn expand_words(
    word: &Word,
    escape: char,
    lookup: &dyn Fn(&str) -> Option<String>,
) -> Result<Vec<String>, Diagnostic> {
    Shell::new(escape)
        .words(&word.text, lookup)
        .map_err(|error| diagnostic(word, &error))
}

/// The content of a here-document given to `COPY` or `ADD`: variables are replaced unless
/// its delimiter was quoted; quotes inside are ordinary characters.
pub fn expand_heredoc(
    heredoc: &Heredoc,
    lookup: &dyn Fn(&str) -> Option<String>,
) -> Result<Expanded, Diagnostic> {
    if !heredoc.expand {
        return Ok(Expanded {
            text: heredoc.text.text.clone(),
            ..Expanded::default()
        });
    }
    Shell::heredoc()
        .word(&heredoc.text.text, lookup)
        .map_err(|error| diagnostic(&heredoc.text, &error))
}

fn diagnostic(word: &Word, error: &ExpandError) -> Diagnostic {
    let diagnostic = Diagnostic::error(error.to_string()).at(word.locate(error.offset, error.end));
    match &error.kind {
        ExpandErrorKind::UnclosedQuote(_) => {
            diagnostic.hint("put the escape character before a quote that is meant literally")
        }
        ExpandErrorKind::BadName | ExpandErrorKind::BadOperator(_) => diagnostic.hint(
            "known are ${x} ${x:-word} ${x-word} ${x:+word} ${x+word} ${x:?word} ${x?word} \
             ${x#pattern} ${x##pattern} ${x%pattern} ${x%%pattern} ${x/pattern/new} \
             ${x//pattern/new}",
        ),
        ExpandErrorKind::Required { name, .. } => diagnostic.hint(format!(
            "give it with `--build-arg {name}=…`, or a default in its ARG"
        )),
        _ => diagnostic,
    }
}
