//! `include`: other compose files as projects of their own, taken in as they are.

use std::path::{Path, PathBuf};

use text::{Diagnostic, Span};

use super::{Assembler, Scope};
use crate::at::At;
use crate::merge::merge;
use crate::normalise::Base;
use crate::yaml::{Entry, Map, Node, Value};

/// What is taken over from an included file.
const SECTIONS: [&str; 6] = [
    "services", "networks", "volumes", "secrets", "configs", "models",
];

/// One item of `include`.
struct Inclusion {
    span: Span,
    paths: Vec<(String, Span)>,
    project_directory: Option<String>,
    env_files: Vec<(String, Span)>,
}

impl Assembler<'_> {
    /// Puts what `include` names under the document's own sections.
    pub(super) fn include(
        &mut self,
        document: &mut Node,
        path: &Path,
        scope: Scope<'_>,
        stack: &[PathBuf],
    ) {
        let Value::Map(top) = &mut document.value else {
            return;
        };
        let Some(entry) = top.remove("include") else {
            return;
        };
        let Value::List(items) = &entry.value.value else {
            if !entry.value.is_null() {
                self.diagnostics.push(
                    Diagnostic::error("`include` must be a list of files").at(entry.value.span),
                );
            }
            return;
        };
        let mut stack = stack.to_vec();
        stack.push(path.to_owned());
        for item in items {
            let Some(inclusion) = self.read_inclusion(item) else {
                continue;
            };
            if let Some(included) = self.included(&inclusion, scope, &stack) {
                self.take_over(top, included);
            }
        }
    }

    fn read_inclusion(&mut self, item: &Node) -> Option<Inclusion> {
        let texts = |node: Option<&Node>| -> Vec<(String, Span)> {
            let one = |node: &Node| node.as_text().map(|text| (text.to_owned(), node.span));
            match node.map(|node| &node.value) {
                Some(Value::List(items)) => items.iter().filter_map(one).collect(),
                _ => node.and_then(one).into_iter().collect(),
            }
        };
        let inclusion = match &item.value {
            Value::Text(text) => Inclusion {
                span: item.span,
                paths: vec![(text.clone(), item.span)],
                project_directory: None,
                env_files: Vec::new(),
            },
            Value::Map(map) => Inclusion {
                span: item.span,
                paths: texts(map.get("path")),
                project_directory: map
                    .get("project_directory")
                    .and_then(Node::as_text)
                    .map(str::to_owned),
                env_files: texts(map.get("env_file")),
            },
            _ => Inclusion {
                span: item.span,
                paths: Vec::new(),
                project_directory: None,
                env_files: Vec::new(),
            },
        };
        if inclusion.paths.is_empty() {
            self.diagnostics.push(
                Diagnostic::error("an item of `include` must be a path, or a mapping with `path`")
                    .at(item.span),
            );
            return None;
        }
        Some(inclusion)
    }

    fn included(
        &mut self,
        inclusion: &Inclusion,
        scope: Scope<'_>,
        stack: &[PathBuf],
    ) -> Option<Node> {
        let home = scope.environment.get("HOME");
        let base = Base {
            directory: scope.directory,
            home: home.as_deref(),
        };
        let mut parsed = Vec::new();
        let mut directory = None;
        for (path, span) in &inclusion.paths {
            if path.contains("://") || path.starts_with("oci:") || path.starts_with("git@") {
                self.diagnostics.push(
                    Diagnostic::error(format!("cannot include `{path}`: only files can be"))
                        .at(*span),
                );
                return None;
            }
            let path = base.absolute(path);
            if stack.contains(&path) {
                self.diagnostics.push(include_cycle(stack, &path, *span));
                return None;
            }
            directory.get_or_insert_with(|| path.parent().unwrap_or(Path::new("/")).to_owned());
            parsed.push(self.parse(&path, Some(*span))?);
        }
        let directory = match &inclusion.project_directory {
            Some(directory) => base.absolute(directory),
            None => directory?,
        };
        let mut environment = scope.environment.clone();
        let env_files: Vec<(PathBuf, Option<Span>)> = match inclusion.env_files.is_empty() {
            true => {
                let default = directory.join(".env");
                self.exists(&default)
                    .then_some((default, None))
                    .into_iter()
                    .collect()
            }
            false => {
                let named = inclusion.env_files.iter();
                named
                    .map(|(path, span)| (base.absolute(path), Some(*span)))
                    .collect()
            }
        };
        for (path, span) in env_files {
            let lookup = |name: &str| scope.environment.get(name);
            let variables = self.variables(&path, span, &lookup, &|_| None);
            environment.add_weaker(variables);
        }
        let scope = Scope {
            directory: &directory,
            environment: &environment,
        };
        self.merge_all(parsed, scope, stack).or_else(|| {
            self.diagnostics
                .push(Diagnostic::warning("the included file is empty").at(inclusion.span));
            None
        })
    }

    /// The document's own definitions win, key by key, as in a later `-f` file.
    fn take_over(&mut self, top: &mut Map, included: Node) {
        let Value::Map(included) = included.value else {
            return;
        };
        for Entry {
            key,
            key_span,
            value,
        } in included
        {
            if !SECTIONS.contains(&key.as_str()) {
                continue;
            }
            let merged = match top.remove(&key) {
                Some(own) => merge(value, own.value, &At::Top.key(&key), &mut self.diagnostics),
                None => value,
            };
            top.insert(Entry {
                key,
                key_span,
                value: merged,
            });
        }
    }
}

fn include_cycle(stack: &[PathBuf], path: &Path, span: Span) -> Diagnostic {
    let names: Vec<String> = stack
        .iter()
        .skip_while(|file| file.as_path() != path)
        .chain(std::iter::once(&path.to_owned()))
        .map(|file| {
            file.file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned()
        })
        .collect();
    Diagnostic::error(format!("files include each other: {}", names.join(" → "))).at(span)
}
