//! `${VAR}` in the values of a tree. Keys are never expanded.

use std::collections::BTreeMap;

use text::{Diagnostic, Sources, Span, expand};

use crate::yaml::{Node, Value};

/// The variables of a project: the caller's environment, then the files of variables.
#[derive(Debug, Clone, Default)]
pub(crate) struct Environment {
    variables: BTreeMap<String, String>,
}

impl Environment {
    /// Of the caller's environment alone.
    pub(crate) fn new(variables: BTreeMap<String, String>) -> Self {
        Self { variables }
    }

    /// The value of a variable.
    pub(crate) fn get(&self, name: &str) -> Option<String> {
        self.variables.get(name).cloned()
    }

    /// Sets a variable, whatever it was.
    pub(crate) fn set(&mut self, name: &str, value: &str) {
        self.variables.insert(name.to_owned(), value.to_owned());
    }

    /// Adds variables; those that are there already keep their value.
    pub(crate) fn add_weaker(&mut self, variables: BTreeMap<String, String>) {
        for (name, value) in variables {
            self.variables.entry(name).or_insert(value);
        }
    }
}

/// Expands every text below `node`, complaining about what is malformed, required and
/// absent, or (once a variable) unset.
pub(crate) fn interpolate(
    node: &mut Node,
    environment: &Environment,
    sources: &Sources,
    diagnostics: &mut Vec<Diagnostic>,
) {
    match &mut node.value {
        Value::Text(text) if text.contains('$') => {
            let place = Place {
                span: node.span,
                offset: offset_of(text, node.span, sources),
            };
            match expand::compose(text, &|name| environment.get(name)) {
                Ok(expanded) => {
                    for variable in expanded.unset {
                        unset(&variable, &place, diagnostics);
                    }
                    *text = expanded.text;
                }
                Err(error) => {
                    let span = place.part(error.offset, error.end);
                    diagnostics.push(complaint(&error).at(span));
                }
            }
        }
        Value::List(items) => {
            for item in items {
                interpolate(item, environment, sources, diagnostics);
            }
        }
        Value::Map(map) => {
            for (_, value) in map.iter_mut() {
                interpolate(value, environment, sources, diagnostics);
            }
        }
        _ => {}
    }
}

fn complaint(error: &expand::ExpandError) -> Diagnostic {
    let diagnostic = Diagnostic::error(error.to_string());
    match &error.kind {
        expand::ExpandErrorKind::Required { name, .. } => {
            diagnostic.hint(format!("set `{name}` in the environment or in `.env`"))
        }
        _ => diagnostic.hint("a dollar that begins no variable is written `$$`"),
    }
}

fn unset(variable: &expand::Variable, place: &Place, diagnostics: &mut Vec<Diagnostic>) {
    let name = &variable.name;
    let message = format!("variable `{name}` is not set; nothing is put in its place");
    if diagnostics.iter().any(|earlier| earlier.message == message) {
        return;
    }
    let span = place.part(variable.offset, variable.offset + 1 + name.len());
    diagnostics.push(
        Diagnostic::warning(message)
            .at(span)
            .hint(format!("`${{{name}:-}}` says that this is meant")),
    );
}

/// Where an expanded text is written.
struct Place {
    span: Span,
    /// Where its first byte is, if it is written without escapes and line breaks.
    offset: Option<usize>,
}

impl Place {
    /// The place of a part of the text; of the whole if that cannot be told.
    fn part(&self, start: usize, end: usize) -> Span {
        match self.offset {
            Some(offset) => Span::new(self.span.file, offset + start, offset + end),
            None => self.span,
        }
    }
}

fn offset_of(text: &str, span: Span, sources: &Sources) -> Option<usize> {
    let written = sources.slice(span);
    let quote = usize::from(written.starts_with(['"', '\'']));
    let inner = written.get(quote..written.len().checked_sub(quote)?)?;
    (inner == text).then_some(span.start as usize + quote)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::yaml::parse;

    fn run(text: &str) -> (String, String) {
        let mut sources = Sources::new();
        let file = sources.add("compose.yaml", text);
        let (mut documents, mut diagnostics) = parse(file, text);
        let variables = [("TAG", "16"), ("EMPTY", "")];
        let variables = variables.map(|(k, v)| (k.to_owned(), v.to_owned()));
        let environment = Environment::new(variables.into());
        for document in &mut documents {
            interpolate(document, &environment, &sources, &mut diagnostics);
        }
        let value = documents
            .first()
            .and_then(Node::as_map)
            .and_then(|map| map.get("a"));
        let value = value.and_then(Node::scalar_text).unwrap_or_default();
        (value, text::render(&sources, &diagnostics, false))
    }

    #[test]
    fn values_are_expanded_and_complaints_point_into_them() {
        assert_eq!(
            run("a: postgres:${TAG}\n"),
            ("postgres:16".into(), String::new())
        );
        assert_eq!(run("a: '$TAG'\n").0, "16");
        assert_eq!(run("a: |\n  echo $$TAG $TAG\n").0, "echo $TAG 16\n");
        assert_eq!(run("a: {b: ok}\n$TAG: x\n").1, "");
        insta::assert_snapshot!(run("a: \"x ${NO} ${NO}\"\nb: $NO\n").1, @r#"
        warning: variable `NO` is not set; nothing is put in its place
         --> compose.yaml:1:7
          |
        1 | a: "x ${NO} ${NO}"
          |       ^^^
        hint: `${NO:-}` says that this is meant
        "#);
        insta::assert_snapshot!(run("a: ${TAG\n").1, @"
        error: `${` is never closed
         --> compose.yaml:1:4
          |
        1 | a: ${TAG
          |    ^^^^^
        hint: a dollar that begins no variable is written `$$`
        ");
        insta::assert_snapshot!(run("a: \"tab\\t${PASSWORD:?set a password}\"\n").1, @r#"
        error: required variable `PASSWORD` has no value: set a password
         --> compose.yaml:1:4
          |
        1 | a: "tab\t${PASSWORD:?set a password}"
          |    ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
        hint: set `PASSWORD` in the environment or in `.env`
        "#);
    }

    #[test]
    fn what_is_expanded_stays_text() {
        let (value, _) = run("a: ${TAG}\n");
        assert_eq!(value, "16");
    }

    proptest! {
        #[test]
        fn never_panics(value in "[$\\{\\}:?+TAG\"'\\\\ ü-]{0,30}") {
            run(&format!("a: \"{value}\"\n"));
            run(&format!("a: {value}\n"));
        }
    }
}
