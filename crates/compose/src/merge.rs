//! One file over another, by compose's rules for each attribute.
//!
//! Both sides are normalised, so the rules are few: mappings merge key by key, lists are
//! joined, the rest is replaced. `ports` and `volumes` are joined too; where two entries
//! mean the same port or target, the reader lets the later one win.

use text::Diagnostic;

use crate::at::At;
use crate::yaml::{Map, MergeTag, Node, Value};

/// Replaced as a whole.
const REPLACED: [&[&str]; 3] = [
    &["services", "*", "command"],
    &["services", "*", "entrypoint"],
    &["services", "*", "healthcheck", "test"],
];

/// Lists in which the same text need not be there twice.
const SETS: [&[&str]; 6] = [
    &["services", "*", "profiles"],
    &["services", "*", "expose"],
    &["services", "*", "tmpfs"],
    &["services", "*", "cap_add"],
    &["services", "*", "cap_drop"],
    &["services", "*", "networks", "*", "aliases"],
];

/// Puts `over` over `base`.
pub(crate) fn merge(
    base: Node,
    over: Node,
    at: &At<'_>,
    diagnostics: &mut Vec<Diagnostic>,
) -> Node {
    if over.tag == Some(MergeTag::Override) || is(&REPLACED, at) || base.is_null() {
        return over;
    }
    let span = over.span;
    match (base.value, over.value) {
        (value, Value::Null) => Node::new(base.span, value),
        (Value::Map(base), Value::Map(over)) => {
            Node::new(span, Value::Map(mappings(base, over, at, diagnostics)))
        }
        (Value::List(mut items), Value::List(more)) => {
            let set = is(&SETS, at);
            let known: Vec<String> = items.iter().filter_map(Node::scalar_text).collect();
            let new =
                |node: &Node| !(set && node.scalar_text().is_some_and(|t| known.contains(&t)));
            items.extend(more.into_iter().filter(new));
            Node::new(span, Value::List(items))
        }
        (base_value @ (Value::Map(_) | Value::List(_)), over_value) => conflict(
            Node::new(base.span, base_value),
            Node::new(span, over_value),
            at,
            diagnostics,
        ),
        (base_value, over_value @ (Value::Map(_) | Value::List(_))) => conflict(
            Node::new(base.span, base_value),
            Node::new(span, over_value),
            at,
            diagnostics,
        ),
        (_, value) => Node::new(span, value),
    }
}

fn mappings(mut base: Map, over: Map, at: &At<'_>, diagnostics: &mut Vec<Diagnostic>) -> Map {
    for entry in over {
        if entry.value.tag == Some(MergeTag::Reset) {
            base.remove(&entry.key);
            continue;
        }
        match base.get_mut(&entry.key) {
            Some(value) => {
                let below = std::mem::replace(value, Node::new(entry.value.span, Value::Null));
                *value = merge(below, entry.value, &at.key(&entry.key), diagnostics);
            }
            None => base.insert(entry),
        }
    }
    base
}

fn conflict(base: Node, over: Node, at: &At<'_>, diagnostics: &mut Vec<Diagnostic>) -> Node {
    diagnostics.push(
        Diagnostic::error(format!(
            "`{at}` is {} here, but {} before",
            over.kind(),
            base.kind()
        ))
        .at(over.span)
        .related(base.span, "before")
        .hint("`!override` before a value replaces what earlier files say"),
    );
    base
}

/// Drops what is tagged `!reset`: with nothing below it, it just disappears.
pub(crate) fn drop_reset(node: &mut Node) {
    match &mut node.value {
        Value::Map(map) => {
            let reset: Vec<String> = map
                .iter()
                .filter(|entry| entry.value.tag == Some(MergeTag::Reset))
                .map(|entry| entry.key.clone())
                .collect();
            for key in reset {
                map.remove(&key);
            }
            map.iter_mut().for_each(|(_, value)| drop_reset(value));
        }
        Value::List(items) => {
            items.retain(|item| item.tag != Some(MergeTag::Reset));
            items.iter_mut().for_each(drop_reset);
        }
        _ => {}
    }
}

fn is(patterns: &[&[&str]], at: &At<'_>) -> bool {
    let steps = at.steps();
    patterns.iter().any(|pattern| {
        pattern.len() == steps.len()
            && pattern
                .iter()
                .zip(&steps)
                .all(|(want, step)| *want == "*" || want == step)
    })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use text::Sources;

    use super::*;
    use crate::normalise::{self, Base};
    use crate::yaml::parse;

    /// Merges files and shows a service `a` as flow YAML, or the complaints.
    fn merged(files: &[&str]) -> String {
        let mut sources = Sources::new();
        let mut diagnostics = Vec::new();
        let mut result: Option<Node> = None;
        for (index, text) in files.iter().enumerate() {
            let text = format!("services:\n  a: {text}\n");
            let file = sources.add(format!("{index}.yaml"), text.as_str());
            let (documents, complaints) = parse(file, &text);
            diagnostics.extend(complaints);
            for mut document in documents {
                let base = Base {
                    directory: Path::new("/p"),
                    home: None,
                };
                normalise::document(&mut document, base, &mut diagnostics);
                result = Some(match result.take() {
                    Some(below) => merge(below, document, &At::Top, &mut diagnostics),
                    None => document,
                });
            }
        }
        if !diagnostics.is_empty() {
            return text::render(&sources, &diagnostics, false);
        }
        let mut result = result.unwrap();
        drop_reset(&mut result);
        show(
            result
                .as_map()
                .unwrap()
                .get("services")
                .unwrap()
                .as_map()
                .unwrap()
                .get("a")
                .unwrap(),
        )
    }

    fn show(node: &Node) -> String {
        match &node.value {
            Value::Null => "null".into(),
            Value::List(items) => {
                format!(
                    "[{}]",
                    items.iter().map(show).collect::<Vec<_>>().join(", ")
                )
            }
            Value::Map(map) => {
                let entries = map.iter().map(|e| format!("{}: {}", e.key, show(&e.value)));
                format!("{{{}}}", entries.collect::<Vec<_>>().join(", "))
            }
            _ => node.scalar_text().unwrap(),
        }
    }

    #[test]
    fn each_attribute_by_its_rule() {
        for (files, want) in [
            (vec!["{image: x}", "{image: y}"], "{image: y}"),
            (vec!["{command: [a, b]}", "{command: c}"], "{command: c}"),
            (
                vec!["{environment: [A=1, B=2]}", "{environment: {B: 3}}"],
                "{environment: {A: 1, B: 3}}",
            ),
            (
                vec!["{labels: {a: 1}}", "{labels: [b=2]}"],
                "{labels: {a: 1, b: 2}}",
            ),
            (
                vec!["{depends_on: [x]}", "{depends_on: {y: {condition: c}}}"],
                "{depends_on: {x: null, y: {condition: c}}}",
            ),
            (
                vec!["{networks: [x]}", "{networks: {x: {aliases: [z]}}}"],
                "{networks: {x: {aliases: [z]}}}",
            ),
            (
                vec!["{ports: ['1:1']}", "{ports: ['2:2']}"],
                "{ports: [1:1, 2:2]}",
            ),
            (
                vec!["{build: x}", "{build: {target: t}}"],
                "{build: {context: /p/x, target: t}}",
            ),
            (
                vec!["{build: {target: t}}", "{build: x}"],
                "{build: {target: t, context: /p/x}}",
            ),
            (
                vec![
                    "{healthcheck: {test: [CMD, a], retries: 1}}",
                    "{healthcheck: {test: b}}",
                ],
                "{healthcheck: {test: b, retries: 1}}",
            ),
            (
                vec!["{env_file: a}", "{env_file: [b]}"],
                "{env_file: [{path: /p/a}, {path: /p/b}]}",
            ),
            (
                vec!["{tmpfs: /a}", "{tmpfs: [/a, /b]}"],
                "{tmpfs: [/a, /b]}",
            ),
            (vec!["{image: x}", "{image: null}"], "{image: x}"),
            (vec!["{ports: [1]}", "{ports: !reset []}"], "{}"),
            (
                vec!["{ports: [1], tty: true}", "{ports: !override [2]}"],
                "{ports: [2], tty: true}",
            ),
            (
                vec![
                    "{environment: {A: 1, B: 2}}",
                    "{environment: {A: !reset null}}",
                ],
                "{environment: {B: 2}}",
            ),
            (vec!["{image: !reset null, tty: true}"], "{tty: true}"),
            (
                vec!["{volumes: ['./d:/d:ro']}", "{volumes: ['v:/d']}"],
                "{volumes: [{type: bind, target: /d, source: /p/d, read_only: true}, {type: volume, target: /d, source: v}]}",
            ),
        ] {
            assert_eq!(merged(&files), want, "{files:?}");
        }
    }

    #[test]
    fn different_kinds_cannot_be_merged() {
        insta::assert_snapshot!(merged(&["{ports: [1]}", "{ports: {x: 1}}"]), @"
        error: `services.a.ports` is a mapping here, but a list before
         --> 1.yaml:2:14
          |
        2 |   a: {ports: {x: 1}}
          |              ^^^^^^
          |
         ::: 0.yaml:2:14
          |
        2 |   a: {ports: [1]}
          |              --- before
        hint: `!override` before a value replaces what earlier files say
        ");
    }
}
