//! Plain values: text, booleans, numbers, durations, sizes, tables. `None` stands for
//! absent as well as for wrong; what is wrong has been complained about.

use std::collections::BTreeMap;
use std::time::Duration;

use model::units;
use text::Diagnostic;

use super::Reader;
use crate::at::At;
use crate::yaml::{Map, Node, Value};

impl Reader<'_> {
    /// Says what a value must be.
    pub(super) fn wrong(&mut self, node: &Node, at: &At<'_>, wanted: &str) {
        let is = match &node.value {
            Value::Null => "has no value".to_owned(),
            _ => format!("is {}", node.kind()),
        };
        let diagnostic =
            Diagnostic::error(format!("`{at}` must be {wanted}, but {is}")).at(node.span);
        let number = matches!(node.value, Value::Bool(_) | Value::Int(_) | Value::Float(_));
        let written = self.sources.slice(node.span);
        let diagnostic = match number && wanted.starts_with("a string") {
            true => diagnostic.hint(format!("put it in quotes: `\"{written}\"`")),
            false => diagnostic,
        };
        self.diagnostics.push(diagnostic);
    }

    /// Says that a text is not what it must be.
    pub(super) fn invalid(&mut self, node: &Node, at: &At<'_>, why: impl std::fmt::Display) {
        self.diagnostics
            .push(Diagnostic::error(format!("`{at}`: {why}")).at(node.span));
    }

    /// The value of a key unless it is absent or null, and its path.
    pub(super) fn get<'n, 'p>(
        map: &'n Map,
        key: &'p str,
        at: &'p At<'p>,
    ) -> Option<(&'n Node, At<'p>)> {
        let node = map.get(key).filter(|node| !node.is_null())?;
        Some((node, at.key(key)))
    }

    /// A mapping.
    pub(super) fn map<'n>(&mut self, node: &'n Node, at: &At<'_>) -> Option<&'n Map> {
        let map = node.as_map();
        if map.is_none() {
            self.wrong(node, at, "a mapping");
        }
        map
    }

    /// A list.
    pub(super) fn list<'n>(&mut self, node: &'n Node, at: &At<'_>) -> &'n [Node] {
        match &node.value {
            Value::List(items) => items,
            _ => {
                self.wrong(node, at, "a list");
                &[]
            }
        }
    }

    /// A string, not a number.
    pub(super) fn string(&mut self, node: &Node, at: &At<'_>) -> Option<String> {
        match &node.value {
            Value::Text(text) => Some(text.clone()),
            _ => {
                self.wrong(node, at, "a string");
                None
            }
        }
    }

    /// The string of a key.
    pub(super) fn string_of(&mut self, map: &Map, key: &str, at: &At<'_>) -> Option<String> {
        let (node, at) = Self::get(map, key, at)?;
        self.string(node, &at)
    }

    /// The string of a key, empty meaning absent.
    pub(super) fn word_of(&mut self, map: &Map, key: &str, at: &At<'_>) -> Option<String> {
        self.string_of(map, key, at).filter(|text| !text.is_empty())
    }

    /// A string or a number, as text.
    pub(super) fn scalar(&mut self, node: &Node, at: &At<'_>) -> Option<String> {
        let text = node.scalar_text();
        if text.is_none() {
            self.wrong(node, at, "a string or a number");
        }
        text
    }

    /// The list of strings of a key.
    pub(super) fn strings_of(&mut self, map: &Map, key: &str, at: &At<'_>) -> Option<Vec<String>> {
        let (node, at) = Self::get(map, key, at)?;
        let items = self.list(node, &at).iter().enumerate();
        Some(
            items
                .filter_map(|(i, item)| self.string(item, &at.item(i)))
                .collect(),
        )
    }

    /// The boolean of a key; the words `yes`, `no` and so on are taken with a warning.
    pub(super) fn boolean_of(&mut self, map: &Map, key: &str, at: &At<'_>) -> Option<bool> {
        let (node, at) = Self::get(map, key, at)?;
        let text = match &node.value {
            Value::Bool(value) => return Some(*value),
            Value::Text(text) => text.to_ascii_lowercase(),
            _ => String::new(),
        };
        let value = match text.as_str() {
            "true" => return Some(true),
            "false" => return Some(false),
            "yes" | "y" | "on" => true,
            "no" | "n" | "off" => false,
            _ => {
                self.wrong(node, &at, "true or false");
                return None;
            }
        };
        self.diagnostics.push(
            Diagnostic::warning(format!("`{at}`: `{text}` is not a boolean of YAML 1.2"))
                .at(node.span)
                .hint(format!("write `{value}`")),
        );
        Some(value)
    }

    /// The whole number of a key, also if it is written as a string.
    pub(super) fn number_of<T>(&mut self, map: &Map, key: &str, at: &At<'_>) -> Option<T>
    where
        T: TryFrom<i128> + std::str::FromStr,
    {
        let (node, at) = Self::get(map, key, at)?;
        self.whole(node, &at)
    }

    /// A whole number, also if it is written as a string.
    pub(super) fn whole<T>(&mut self, node: &Node, at: &At<'_>) -> Option<T>
    where
        T: TryFrom<i128> + std::str::FromStr,
    {
        let value = match &node.value {
            Value::Int(value) => T::try_from(*value).ok(),
            Value::Text(text) => text.trim().parse().ok(),
            _ => None,
        };
        if value.is_none() {
            match node.scalar_text() {
                Some(text) => {
                    self.invalid(node, at, format_args!("`{text}` is not a number that fits"))
                }
                None => self.wrong(node, at, "a whole number"),
            }
        }
        value
    }

    /// The duration of a key.
    pub(super) fn duration_of(&mut self, map: &Map, key: &str, at: &At<'_>) -> Option<Duration> {
        let (node, at) = Self::get(map, key, at)?;
        match &node.value {
            Value::Text(text) => units::parse_duration(text)
                .map_err(|why| self.invalid(node, &at, why))
                .ok(),
            Value::Int(0) => Some(Duration::ZERO),
            Value::Int(number) => {
                self.diagnostics.push(
                    Diagnostic::error(format!("`{at}` must be a duration with its unit"))
                        .at(node.span)
                        .hint(format!("`{number}s` for seconds")),
                );
                None
            }
            _ => {
                self.wrong(node, &at, "a duration, such as 30s");
                None
            }
        }
    }

    /// The size in bytes of a key.
    pub(super) fn size_of(&mut self, map: &Map, key: &str, at: &At<'_>) -> Option<u64> {
        let (node, at) = Self::get(map, key, at)?;
        let text = self.scalar(node, &at)?;
        units::parse_size(&text)
            .map_err(|why| self.invalid(node, &at, why))
            .ok()
    }

    /// A mapping of names to plain values.
    pub(super) fn table_of(
        &mut self,
        map: &Map,
        key: &str,
        at: &At<'_>,
    ) -> BTreeMap<String, Option<String>> {
        let Some((node, at)) = Self::get(map, key, at) else {
            return BTreeMap::new();
        };
        let Some(table) = node.as_map() else {
            self.wrong(node, &at, "a mapping, or a list of `NAME=value`");
            return BTreeMap::new();
        };
        let mut values = BTreeMap::new();
        for entry in table.iter() {
            let value = match entry.value.is_null() {
                true => None,
                false => match self.scalar(&entry.value, &at.key(&entry.key)) {
                    Some(text) => Some(text),
                    None => continue,
                },
            };
            values.insert(entry.key.clone(), value);
        }
        values
    }

    /// Labels: a name without a value maps to nothing.
    pub(super) fn labels(&mut self, map: &Map, at: &At<'_>) -> BTreeMap<String, String> {
        let labels = self.table_of(map, "labels", at);
        labels
            .into_iter()
            .map(|(name, value)| (name, value.unwrap_or_default()))
            .collect()
    }
}
