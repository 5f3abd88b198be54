//! A tree as plain JSON, for files that are YAML and no compose files.

use serde_json::Value as Json;

use super::{Node, Value, parse};

/// Reads the first document of a YAML text; anchors and merge keys are expanded. The error
/// is one line.
pub fn yaml_value(text: &str) -> Result<Json, String> {
    let mut sources = text::Sources::new();
    let file = sources.add("", text);
    let (documents, diagnostics) = parse::parse(file, text);
    match (diagnostics.first(), documents.first()) {
        (Some(complaint), _) => Err(complaint.message.clone()),
        (None, Some(node)) => Ok(json(node)),
        (None, None) => Ok(Json::Null),
    }
}

fn json(node: &Node) -> Json {
    match &node.value {
        Value::Null => Json::Null,
        Value::Bool(value) => Json::Bool(*value),
        Value::Int(value) => match i64::try_from(*value) {
            Ok(value) => value.into(),
            Err(_) => u64::try_from(*value).map_or_else(|_| value.to_string().into(), Json::from),
        },
        Value::Float(value) => (*value).into(),
        Value::Text(text) => text.as_str().into(),
        Value::List(nodes) => nodes.iter().map(json).collect(),
        Value::Map(map) => map
            .iter()
            .map(|entry| (entry.key.clone(), json(&entry.value)))
            .collect::<serde_json::Map<_, _>>()
            .into(),
    }
}
