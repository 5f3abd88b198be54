//! A project written out again: as `docker compose config` does, and as what two
//! versions of a service are compared by.

mod canonical;
mod emit;
mod limits;

use std::collections::BTreeMap;

use serde_json::Value;

use crate::project::{Project, Service};

/// A document in the order in which it is written.
#[derive(Debug, Clone, PartialEq)]
enum Out {
    Null,
    Bool(bool),
    Int(i64),
    Text(String),
    List(Vec<Out>),
    Map(Vec<(String, Out)>),
}

impl Out {
    fn json(self) -> Value {
        match self {
            Self::Null => Value::Null,
            Self::Bool(value) => Value::Bool(value),
            Self::Int(value) => Value::from(value),
            Self::Text(text) => Value::String(text),
            Self::List(items) => Value::Array(items.into_iter().map(Self::json).collect()),
            Self::Map(entries) => Value::Object(
                entries
                    .into_iter()
                    .map(|(key, out)| (key, out.json()))
                    .collect(),
            ),
        }
    }

    /// With every dollar doubled, so that reading it back expands nothing.
    fn escaped(self) -> Self {
        match self {
            Self::Text(text) => Self::Text(text.replace('$', "$$")),
            Self::List(items) => Self::List(items.into_iter().map(Self::escaped).collect()),
            Self::Map(entries) => Self::Map(
                entries
                    .into_iter()
                    .map(|(key, out)| (key, out.escaped()))
                    .collect(),
            ),
            other => other,
        }
    }
}

/// The project as `docker compose config` writes it: long forms, absolute paths, sorted.
/// Loading it again gives the same project.
pub fn to_yaml(project: &Project) -> String {
    emit::emit(&canonical::project(project).escaped())
}

/// The project as `docker compose config --format json` writes it.
pub fn to_json(project: &Project) -> Value {
    canonical::project(project).escaped().json()
}

/// What of a service decides whether its container must be made anew, by field. Store it
/// with the container and compare it by [`changed_fields`]; the image's content is not
/// part of it.
pub fn fingerprint(service: &Service) -> BTreeMap<String, Value> {
    // These say when and whether it is started, not what runs.
    const ELSEWHERE: [&str; 4] = ["build", "depends_on", "profiles", "pull_policy"];
    match canonical::service(service) {
        Out::Map(fields) => fields
            .into_iter()
            .filter(|(field, _)| !ELSEWHERE.contains(&field.as_str()))
            .map(|(field, out)| (field, out.json()))
            .collect(),
        _ => BTreeMap::new(),
    }
}

/// One field of a service that differs.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// Path of the field, e.g. `environment.API_URL`.
    pub field: String,
    /// What the container was made with; `None` if nothing.
    pub old: Option<Value>,
    /// What the files say now; `None` if nothing.
    pub new: Option<Value>,
}

/// Compares two fingerprints: mappings key by key, lists as a whole.
pub fn changed_fields(old: &BTreeMap<String, Value>, new: &BTreeMap<String, Value>) -> Vec<Change> {
    let mut changes = Vec::new();
    for field in old
        .keys()
        .chain(new.keys().filter(|field| !old.contains_key(*field)))
    {
        compare(field, old.get(field), new.get(field), &mut changes);
    }
    changes.sort_by(|a, b| a.field.cmp(&b.field));
    changes
}

fn compare(field: &str, old: Option<&Value>, new: Option<&Value>, changes: &mut Vec<Change>) {
    if old == new {
        return;
    }
    let (Some(Value::Object(before)), Some(Value::Object(after))) = (old, new) else {
        changes.push(Change {
            field: field.to_owned(),
            old: old.cloned(),
            new: new.cloned(),
        });
        return;
    };
    for key in before
        .keys()
        .chain(after.keys().filter(|key| !before.contains_key(*key)))
    {
        compare(
            &format!("{field}.{key}"),
            before.get(key),
            after.get(key),
            changes,
        );
    }
}

#[cfg(test)]
mod tests;
