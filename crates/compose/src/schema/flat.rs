//! Recognises what lost its indentation: `services:` with nothing under it, followed by
//! keys that would be at home there.

use text::{Diagnostic, Sources, Span};

use super::{Key, Shape};
use crate::yaml::{Entry, Map, Value};

/// Keys that should be indented under another.
pub(super) struct Group<'m> {
    /// The key with nothing under it, where it is there at all.
    owner: Option<&'m Entry>,
    owner_name: &'static str,
    owner_shape: &'static Shape,
    /// What should be under it.
    pub(super) entries: Vec<&'m Entry>,
}

/// Finds such keys in one mapping.
pub(super) fn find<'m>(map: &'m Map, keys: &'static [Key], top: bool) -> Vec<Group<'m>> {
    let mut groups: Vec<Group<'m>> = Vec::new();
    let mut last_known: Option<(&Entry, &'static Key)> = None;
    for entry in map.iter().filter(|entry| !entry.key.starts_with("x-")) {
        if let Some(key) = keys.iter().find(|key| key.name == entry.key) {
            last_known = Some((entry, key));
            continue;
        }
        let owner = last_known
            .filter(|(owner, key)| owner.value.is_null() && could_hold(&key.shape, entry, keys));
        let (owner, key) = match owner {
            Some((owner, key)) => (Some(owner), key),
            None if top && looks_like_service(entry) => match keys.iter().find(is_services) {
                Some(key) => (map.entry("services"), key),
                None => continue,
            },
            None => continue,
        };
        match groups.iter_mut().find(|group| group.owner_name == key.name) {
            Some(group) => group.entries.push(entry),
            None => groups.push(Group {
                owner,
                owner_name: key.name,
                owner_shape: &key.shape,
                entries: vec![entry],
            }),
        }
    }
    groups
}

fn is_services(key: &&Key) -> bool {
    key.name == "services"
}

/// Whether a stray key would make sense under a key of this shape.
fn could_hold(shape: &'static Shape, stray: &Entry, siblings: &'static [Key]) -> bool {
    let misspelt = || {
        let names = siblings.iter().map(|key| key.name);
        text::suggest::nearest(&stray.key, names).is_some()
    };
    match shape {
        Shape::Keys(keys) => keys.iter().any(|key| key.name == stray.key),
        Shape::Each(_) => matches!(stray.value.value, Value::Map(_)) || !misspelt(),
        Shape::Table => stray.value.scalar_text().is_some() && !misspelt(),
        Shape::Any | Shape::Items(_) => false,
    }
}

fn looks_like_service(entry: &Entry) -> bool {
    let map = entry.value.as_map();
    map.is_some_and(|map| ["image", "build"].iter().any(|key| map.get(key).is_some()))
}

impl Group<'_> {
    /// Whether an entry is one of these.
    pub(super) fn holds(&self, entry: &Entry) -> bool {
        self.entries.iter().any(|stray| stray.key == entry.key)
    }

    /// The shape that a stray key would have where it belongs.
    pub(super) fn shape_of(&self, name: &str) -> &'static Shape {
        match self.owner_shape {
            Shape::Each(shape) => shape,
            Shape::Keys(keys) => {
                let key = keys.iter().find(|key| key.name == name);
                key.map_or(&Shape::Any, |key| &key.shape)
            }
            _ => &Shape::Any,
        }
    }

    /// One error for all of them.
    pub(super) fn complaint(&self, sources: &Sources) -> Diagnostic {
        let owner = self.owner_name;
        let names = names(&self.entries);
        let message = match (owner, self.entries.len()) {
            ("services", 1) => {
                format!("{names} looks like a service that needs indenting under `services:`")
            }
            ("services", _) => {
                format!("{names} look like services that need indenting under `services:`")
            }
            (_, 1) => format!("{names} looks as if it belonged under `{owner}:`"),
            _ => format!("{names} look as if they belonged under `{owner}:`"),
        };
        let first = self.entries[0];
        let mut diagnostic = Diagnostic::error(message).at(first.key_span);
        for entry in &self.entries[1..] {
            diagnostic = diagnostic.related(entry.key_span, "");
        }
        let lines = lines(sources, &self.entries);
        match self.owner {
            Some(entry) if entry.value.is_null() => diagnostic
                .related(entry.key_span, "has nothing under it")
                .hint(format!("indent {lines} by two more spaces")),
            Some(entry) => diagnostic.related(entry.key_span, "is here").hint(format!(
                "move {lines} under `{owner}:` and indent by two spaces"
            )),
            None => diagnostic.hint(format!(
                "write `{owner}:` above, and indent {lines} by two spaces"
            )),
        }
    }
}

/// `` `a`, `b` and `c` ``
fn names(entries: &[&Entry]) -> String {
    let quoted: Vec<String> = entries
        .iter()
        .map(|entry| format!("`{}`", entry.key))
        .collect();
    match quoted.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, rest)) => format!("{} and {last}", rest.join(", ")),
        None => String::new(),
    }
}

/// `line 4`, `lines 4 to 9`, `lines 4 to 9 and 12`.
fn lines(sources: &Sources, entries: &[&Entry]) -> String {
    let line = |span: Span, at: u32| sources.line_col(span.file, at).0;
    let mut ranges: Vec<(usize, usize)> = Vec::new();
    for entry in entries {
        let whole = entry.key_span.to(entry.value.span);
        let (first, last) = (line(whole, whole.start), line(whole, whole.end));
        match ranges.last_mut() {
            Some(range) if range.1 + 1 >= first => range.1 = last.max(range.1),
            _ => ranges.push((first, last)),
        }
    }
    let one = |&(first, last): &(usize, usize)| match first == last {
        true => first.to_string(),
        false => format!("{first} to {last}"),
    };
    let word = if matches!(ranges[..], [(first, last)] if first == last) {
        "line"
    } else {
        "lines"
    };
    let parts: Vec<String> = ranges.iter().map(one).collect();
    format!("{word} {}", parts.join(", "))
}
