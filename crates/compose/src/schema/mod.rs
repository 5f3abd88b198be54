//! Names every key of a file: honoured, known but not honoured, or unknown.
//!
//! Only names are looked at here; what the values must be is decided where they are read.

mod flat;
mod table;

use text::{Diagnostic, Sources, suggest};

use crate::at::At;
use crate::yaml::{Entry, Map, Node, Value};

/// What a value may hold, as far as names go.
#[derive(Debug)]
pub(crate) enum Shape {
    /// Nothing with names of its own.
    Any,
    /// A mapping whose names are the user's, to plain values.
    Table,
    /// A mapping of these keys.
    Keys(&'static [Key]),
    /// A mapping whose names are the user's, to values of this shape.
    Each(&'static Shape),
    /// A list of such.
    Items(&'static Shape),
}

/// A key of the specification.
#[derive(Debug)]
pub(crate) struct Key {
    name: &'static str,
    status: Status,
    shape: Shape,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Status {
    /// Does what the specification says.
    Honoured,
    /// Known, and does nothing yet.
    NotYet,
    /// Known, and has nothing to do on a single machine or with this runtime.
    NoEffect,
}

/// Complains about every key of a file that is unknown, misplaced or not honoured. False
/// if indentation is lost: the values are then not where they were meant to be.
pub(crate) fn check(document: &Node, sources: &Sources, diagnostics: &mut Vec<Diagnostic>) -> bool {
    let mut checker = Checker {
        sources,
        diagnostics,
        sound: true,
    };
    checker.value(document, &table::TOP, &At::Top, true);
    checker.sound
}

struct Checker<'a> {
    sources: &'a Sources,
    diagnostics: &'a mut Vec<Diagnostic>,
    sound: bool,
}

impl Checker<'_> {
    /// `honoured` is false below a key that has been named as not honoured.
    fn value(&mut self, node: &Node, shape: &Shape, at: &At<'_>, honoured: bool) {
        match (shape, &node.value) {
            (Shape::Keys(keys), Value::Map(map)) => self.keys(map, keys, at, honoured),
            (Shape::Each(shape), Value::Map(map)) => {
                for entry in map.iter() {
                    self.value(&entry.value, shape, &at.key(&entry.key), honoured);
                }
            }
            (Shape::Items(shape), Value::List(items)) => {
                for (index, item) in items.iter().enumerate() {
                    self.value(item, shape, &at.item(index), honoured);
                }
            }
            // `gpus: all`, `include: file`: other forms have no names.
            _ => {}
        }
    }

    fn keys(&mut self, map: &Map, keys: &'static [Key], at: &At<'_>, honoured: bool) {
        let flattened = flat::find(map, keys, matches!(at, At::Top));
        for entry in map.iter().filter(|entry| !entry.key.starts_with("x-")) {
            match keys.iter().find(|key| key.name == entry.key) {
                Some(key) => self.known(entry, key, at, honoured),
                None if flattened.iter().any(|group| group.holds(entry)) => {}
                None => self.unknown(entry, keys, at),
            }
        }
        self.sound &= flattened.is_empty();
        for group in &flattened {
            self.diagnostics.push(group.complaint(self.sources));
            for entry in &group.entries {
                let shape = group.shape_of(&entry.key);
                self.value(&entry.value, shape, &at.key(&entry.key), honoured);
            }
        }
    }

    fn known(&mut self, entry: &Entry, key: &'static Key, at: &At<'_>, honoured: bool) {
        let here = at.key(&entry.key);
        let warning = match key.status {
            _ if !honoured => None,
            Status::Honoured if matches!(here, At::Key(At::Top, "version")) => {
                Some("`version` is obsolete and ignored".to_owned())
            }
            Status::Honoured => None,
            Status::NotYet => Some(format!("`{here}` is not honoured yet")),
            Status::NoEffect => Some(format!("`{here}` has no effect here")),
        };
        let silent = warning.is_none();
        self.diagnostics
            .extend(warning.map(|text| Diagnostic::warning(text).at(entry.key_span)));
        self.value(&entry.value, &key.shape, &here, honoured && silent);
    }

    fn unknown(&mut self, entry: &Entry, keys: &'static [Key], at: &At<'_>) {
        let name = &entry.key;
        let diagnostic = Diagnostic::error(format!("unknown key `{}`", at.key(name)))
            .at(entry.key_span)
            .did_you_mean(suggest::nearest(name, keys.iter().map(|key| key.name)));
        let diagnostic = match (diagnostic.hints.is_empty(), home_of(name)) {
            (true, Some(home)) => diagnostic.hint(format!("`{name}` is a key of {home}")),
            _ => diagnostic,
        };
        self.diagnostics.push(diagnostic);
    }
}

/// Where a key that stands in the wrong place would be at home.
fn home_of(name: &str) -> Option<&'static str> {
    let has = |shape: &Shape| match shape {
        Shape::Keys(keys) => keys.iter().any(|key| key.name == name),
        _ => false,
    };
    [
        (&table::TOP, "the top of the file"),
        (&table::SERVICE, "a service"),
        (&table::BUILD, "`build`"),
        (&table::DEPLOY, "`deploy`"),
        (&table::HEALTHCHECK, "`healthcheck`"),
    ]
    .into_iter()
    .find_map(|(shape, home)| has(shape).then_some(home))
}

#[cfg(test)]
mod tests;
