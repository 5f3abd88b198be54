//! YAML as a tree in which everything knows its place.
//!
//! Scalars are typed as go-yaml v3 types them, because that is what the files were
//! written against: YAML 1.2's booleans, but `0440` is octal and `1_000` a number.

mod json;
mod parse;
mod scalar;

use std::collections::HashMap;

use text::Span;

pub use json::yaml_value;
pub(crate) use parse::parse;
pub(crate) use scalar::needs_quotes;

/// A value and where it is written.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    /// Where.
    pub(crate) span: Span,
    /// What.
    pub(crate) value: Value,
    /// Compose's own tags.
    pub(crate) tag: Option<MergeTag>,
}

/// Tags that steer the merging of files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MergeTag {
    /// `!reset`: what earlier files say is dropped, and this value too.
    Reset,
    /// `!override`: what earlier files say is dropped.
    Override,
}

/// What a node holds.
#[derive(Debug, Clone)]
pub(crate) enum Value {
    /// `null`, `~` or nothing.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// An integer; some fit only beyond 64 bits signed.
    Int(i128),
    /// A number that is not an integer.
    Float(f64),
    /// Anything else that is one word or text.
    Text(String),
    /// A sequence.
    List(Vec<Node>),
    /// A mapping.
    Map(Map),
}

/// A mapping in the order of the file, without duplicate keys.
#[derive(Debug, Clone, Default)]
pub(crate) struct Map {
    entries: Vec<Entry>,
    index: HashMap<String, usize>,
}

/// One key and its value.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    /// The key's text.
    pub(crate) key: String,
    /// Where the key is written.
    pub(crate) key_span: Span,
    /// What it maps to.
    pub(crate) value: Node,
}

impl Node {
    /// A node without a tag.
    pub(crate) fn new(span: Span, value: Value) -> Self {
        Self {
            span,
            value,
            tag: None,
        }
    }

    /// A text node.
    pub(crate) fn text(span: Span, text: impl Into<String>) -> Self {
        Self::new(span, Value::Text(text.into()))
    }

    /// Its entries, if it is a mapping.
    pub(crate) fn as_map(&self) -> Option<&Map> {
        match &self.value {
            Value::Map(map) => Some(map),
            _ => None,
        }
    }

    /// Its text, if it is one (a number is not).
    pub(crate) fn as_text(&self) -> Option<&str> {
        match &self.value {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// Whether it is null.
    pub(crate) fn is_null(&self) -> bool {
        matches!(self.value, Value::Null)
    }

    /// Text, number or boolean as docker turns them into text; `None` for the rest.
    pub(crate) fn scalar_text(&self) -> Option<String> {
        match &self.value {
            Value::Bool(value) => Some(value.to_string()),
            Value::Int(value) => Some(value.to_string()),
            Value::Float(value) => Some(scalar::format_float(*value)),
            Value::Text(text) => Some(text.clone()),
            Value::Null | Value::List(_) | Value::Map(_) => None,
        }
    }

    /// What kind of value it is, for messages.
    pub(crate) fn kind(&self) -> &'static str {
        match &self.value {
            Value::Null => "nothing",
            Value::Bool(_) => "a boolean",
            Value::Int(_) | Value::Float(_) => "a number",
            Value::Text(_) => "a string",
            Value::List(_) => "a list",
            Value::Map(_) => "a mapping",
        }
    }
}

impl Map {
    /// The value of a key.
    pub(crate) fn get(&self, key: &str) -> Option<&Node> {
        self.entry(key).map(|entry| &entry.value)
    }

    /// A key and its value.
    pub(crate) fn entry(&self, key: &str) -> Option<&Entry> {
        self.index.get(key).map(|&at| &self.entries[at])
    }

    /// The value of a key, to be changed.
    pub(crate) fn get_mut(&mut self, key: &str) -> Option<&mut Node> {
        self.index.get(key).map(|&at| &mut self.entries[at].value)
    }

    /// Adds an entry, or replaces the value of one with the same key.
    pub(crate) fn insert(&mut self, entry: Entry) {
        match self.index.get(&entry.key) {
            Some(&at) => self.entries[at] = entry,
            None => {
                self.index.insert(entry.key.clone(), self.entries.len());
                self.entries.push(entry);
            }
        }
    }

    /// Takes an entry out.
    pub(crate) fn remove(&mut self, key: &str) -> Option<Entry> {
        let at = self.index.remove(key)?;
        for later in self.index.values_mut().filter(|later| **later > at) {
            *later -= 1;
        }
        Some(self.entries.remove(at))
    }

    /// In the order of the file.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter()
    }

    /// In the order of the file, the values to be changed.
    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = (&str, &mut Node)> {
        self.entries
            .iter_mut()
            .map(|entry| (entry.key.as_str(), &mut entry.value))
    }

    /// Whether there are none.
    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

impl IntoIterator for Map {
    type Item = Entry;
    type IntoIter = std::vec::IntoIter<Entry>;

    fn into_iter(self) -> Self::IntoIter {
        self.entries.into_iter()
    }
}

impl FromIterator<Entry> for Map {
    fn from_iter<I: IntoIterator<Item = Entry>>(entries: I) -> Self {
        let mut map = Self::default();
        entries.into_iter().for_each(|entry| map.insert(entry));
        map
    }
}
