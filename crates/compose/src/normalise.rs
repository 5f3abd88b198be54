//! Brings the short and long forms of a file into one form, so that files can be merged
//! key by key, and makes paths absolute while it is known which file they come from.
//!
//! What does not have the form it should is left as it is: whoever reads it complains.

use std::path::{Component, Path, PathBuf};

use text::{Diagnostic, Span};

use crate::at::At;
use crate::yaml::{Entry, Map, Node, Value};

/// Where the relative paths of a file start.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Base<'a> {
    /// The directory.
    pub(crate) directory: &'a Path,
    /// What `~` stands for.
    pub(crate) home: Option<&'a str>,
}

impl Base<'_> {
    /// A path as an absolute one, without `.` and `..`.
    pub(crate) fn absolute(&self, path: &str) -> PathBuf {
        let path = match (path.strip_prefix('~'), self.home) {
            (Some(rest), Some(home)) if rest.is_empty() || rest.starts_with('/') => {
                PathBuf::from(format!("{home}{rest}"))
            }
            _ => PathBuf::from(path),
        };
        clean(&self.directory.join(path))
    }

    fn absolute_text(&self, path: &str) -> String {
        self.absolute(path).to_string_lossy().into_owned()
    }
}

/// Takes `.` and `..` out of an absolute path, as text: links are not followed.
pub(crate) fn clean(path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir => {
                out.pop();
            }
            other => out.push(other),
        }
    }
    out
}

/// Normalises a file.
pub(crate) fn document(document: &mut Node, base: Base<'_>, diagnostics: &mut Vec<Diagnostic>) {
    let Value::Map(top) = &mut document.value else {
        return;
    };
    if let Some(Node {
        value: Value::Map(services),
        ..
    }) = top.get_mut("services")
    {
        for (name, service_node) in services.iter_mut() {
            let services = At::Key(&At::Top, "services");
            service(service_node, base, &services.key(name), diagnostics);
        }
    }
    for section in ["networks", "volumes"] {
        if let Some(Node {
            value: Value::Map(resources),
            ..
        }) = top.get_mut(section)
        {
            for (_, resource) in resources.iter_mut() {
                on(resource, "labels", table);
            }
        }
    }
}

/// Normalises one service.
fn service(node: &mut Node, base: Base<'_>, at: &At<'_>, diagnostics: &mut Vec<Diagnostic>) {
    for key in ["environment", "labels"] {
        on(node, key, table);
    }
    on(node, "extra_hosts", hosts);
    for key in ["tmpfs", "profiles"] {
        on(node, key, list);
    }
    on(node, "depends_on", names_to_map);
    on(node, "networks", names_to_map);
    on(node, "build", |node| build(node, base));
    on(node, "env_file", |node| env_file(node, base));
    on(node, "volumes", |node| {
        let Value::List(items) = &mut node.value else {
            return;
        };
        for (index, item) in items.iter_mut().enumerate() {
            volume(item, base, &at.key("volumes").item(index), diagnostics);
        }
    });
}

fn on(node: &mut Node, key: &str, change: impl FnOnce(&mut Node)) {
    if let Value::Map(map) = &mut node.value
        && let Some(value) = map.get_mut(key)
    {
        change(value);
    }
}

/// A list of `NAME=value` becomes a mapping; a name alone maps to nothing.
fn table(node: &mut Node) {
    pairs(node, |text| text.split_once('='));
}

/// `host=address`, or `host:address`, the older form.
fn hosts(node: &mut Node) {
    pairs(node, |text| {
        text.split_once('=').or_else(|| text.split_once(':'))
    });
}

fn pairs(node: &mut Node, split: impl Fn(&str) -> Option<(&str, &str)>) {
    let Value::List(items) = &node.value else {
        return;
    };
    if !items.iter().all(|item| item.scalar_text().is_some()) {
        return;
    }
    let entries = items.iter().filter_map(|item| {
        let text = item.scalar_text()?;
        let (key, value) = match split(&text) {
            Some((key, value)) => (key.to_owned(), Node::text(item.span, value)),
            None => (text, Node::new(item.span, Value::Null)),
        };
        Some(Entry {
            key,
            key_span: item.span,
            value,
        })
    });
    node.value = Value::Map(entries.collect());
}

/// A single text becomes a list of one.
fn list(node: &mut Node) {
    if node.as_text().is_some() {
        let item = Node {
            tag: None,
            ..node.clone()
        };
        node.value = Value::List(vec![item]);
    }
}

/// A list of names becomes a mapping of them to nothing.
fn names_to_map(node: &mut Node) {
    let Value::List(items) = &node.value else {
        return;
    };
    if !items.iter().all(|item| item.as_text().is_some()) {
        return;
    }
    let entries = items.iter().filter_map(|item| {
        let key = item.as_text()?.to_owned();
        Some(Entry {
            key,
            key_span: item.span,
            value: Node::new(item.span, Value::Null),
        })
    });
    node.value = Value::Map(entries.collect());
}

/// `build: .` becomes `build: {context: .}`; the context becomes absolute.
fn build(node: &mut Node, base: Base<'_>) {
    if let Some(context) = node.as_text() {
        let context = Node::text(node.span, context);
        node.value = Value::Map([entry("context", context)].into_iter().collect());
    }
    on(node, "args", table);
    on(node, "context", |node| {
        if let Value::Text(context) = &mut node.value
            && !is_remote(context)
        {
            *context = base.absolute_text(context);
        }
    });
}

/// Whether a build context is something to be fetched.
pub(crate) fn is_remote(context: &str) -> bool {
    let schemes = [
        "https://",
        "http://",
        "git://",
        "ssh://",
        "git@",
        "github.com/",
    ];
    schemes.iter().any(|scheme| context.starts_with(scheme))
}

/// Text or list becomes a list of `{path: …}`.
fn env_file(node: &mut Node, base: Base<'_>) {
    list(node);
    let Value::List(items) = &mut node.value else {
        return;
    };
    for item in items {
        if let Some(path) = item.as_text() {
            let path = Node::text(item.span, path);
            item.value = Value::Map([entry("path", path)].into_iter().collect());
        }
        on(item, "path", |node| {
            if let Value::Text(path) = &mut node.value {
                *path = base.absolute_text(path);
            }
        });
    }
}

/// `source:target:options` becomes a mapping; a source that is a path becomes absolute.
fn volume(node: &mut Node, base: Base<'_>, at: &At<'_>, diagnostics: &mut Vec<Diagnostic>) {
    if let Some(short) = node.as_text() {
        let short = short.to_owned();
        match short_volume(&short, node.span, at, diagnostics) {
            Ok(map) => node.value = Value::Map(map),
            Err(why) => diagnostics.push(
                Diagnostic::error(format!("`{at}`: {why} in `{short}`"))
                    .at(node.span)
                    .hint("a volume is written `source:target`, `source:target:ro` or `target`"),
            ),
        }
    }
    let Value::Map(map) = &mut node.value else {
        return;
    };
    let is_bind = map.get("type").and_then(Node::as_text) == Some("bind");
    if let (true, Some(source)) = (is_bind, map.get_mut("source"))
        && let Value::Text(path) = &mut source.value
    {
        *path = base.absolute_text(path);
    }
}

fn short_volume(
    text: &str,
    span: Span,
    at: &At<'_>,
    diagnostics: &mut Vec<Diagnostic>,
) -> Result<Map, &'static str> {
    let parts: Vec<&str> = text.split(':').collect();
    if parts.iter().any(|part| part.is_empty()) {
        return Err("an empty part");
    }
    let (source, target, options) = match parts[..] {
        [target] => (None, target, ""),
        [source, target] => (Some(source), target, ""),
        [source, target, options] => (Some(source), target, options),
        _ => return Err("too many colons"),
    };
    let is_path = source.is_some_and(|source| source.starts_with(['.', '/', '~']));
    let text = |text: &str| Node::text(span, text);
    let flag = |value| Node::new(span, Value::Bool(value));
    let mut map: Map = [
        entry("type", text(if is_path { "bind" } else { "volume" })),
        entry("target", text(target)),
    ]
    .into_iter()
    .collect();
    if let Some(source) = source {
        map.insert(entry("source", text(source)));
    }
    for option in options.split(',').filter(|option| !option.is_empty()) {
        match option {
            "ro" | "readonly" => map.insert(entry("read_only", flag(true))),
            "rw" => map.insert(entry("read_only", flag(false))),
            "nocopy" => {
                let copy = Node::new(
                    span,
                    Value::Map([entry("nocopy", flag(true))].into_iter().collect()),
                );
                map.insert(entry("volume", copy));
            }
            // Labels for SELinux, and hints for other systems' virtual machines.
            "z" | "Z" | "cached" | "delegated" | "consistent" => {}
            _ => diagnostics.push(
                Diagnostic::warning(format!("`{at}`: option `{option}` is not honoured yet"))
                    .at(span),
            ),
        }
    }
    Ok(map)
}

fn entry(key: &str, value: Node) -> Entry {
    Entry {
        key: key.to_owned(),
        key_span: value.span,
        value,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_become_absolute() {
        let base = Base {
            directory: Path::new("/srv/app"),
            home: Some("/home/u"),
        };
        for (path, want) in [
            (".", "/srv/app"),
            ("./a/../b", "/srv/app/b"),
            ("../x", "/srv/x"),
            ("/abs", "/abs"),
            ("~/x", "/home/u/x"),
            ("~", "/home/u"),
            ("~other", "/srv/app/~other"),
            ("../../../..", "/"),
        ] {
            assert_eq!(base.absolute(path), Path::new(want), "{path}");
        }
    }

    #[test]
    fn remote_contexts_are_left_alone() {
        assert!(is_remote("https://github.com/a/b.git#main:dir"));
        assert!(is_remote("git@github.com:a/b.git"));
        assert!(!is_remote("./git"));
    }
}
