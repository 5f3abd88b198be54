//! `extends`: a service that begins as another one.

use std::path::{Path, PathBuf};

use text::{Diagnostic, Span, suggest};

use super::{Assembler, Scope};
use crate::at::At;
use crate::merge::merge;
use crate::normalise::Base;
use crate::yaml::{Entry, Map, Node, Value};

/// A name and where it is written.
type Name = (String, Span);

/// The service and, if it is another, the file that an `extends` names.
type Target = (Name, Option<Name>);

/// A service on the way that `extends` has led.
type Link = (PathBuf, String);

impl Assembler<'_> {
    /// Completes every service of a document that extends another.
    pub(super) fn extend(&mut self, document: &mut Node, path: &Path, scope: Scope<'_>) {
        let Value::Map(top) = &mut document.value else {
            return;
        };
        let Some(Value::Map(services)) = top.get_mut("services").map(|node| &mut node.value) else {
            return;
        };
        let extending: Vec<String> = services
            .iter()
            .filter(|entry| {
                entry
                    .value
                    .as_map()
                    .is_some_and(|map| map.get("extends").is_some())
            })
            .map(|entry| entry.key.clone())
            .collect();
        let written = services.clone();
        // On the way of a failure: they would fail for the same reason.
        let mut failed: Vec<Link> = Vec::new();
        for name in extending {
            if failed
                .iter()
                .any(|(file, service)| file == path && *service == name)
            {
                continue;
            }
            let mut chain = Vec::new();
            match (
                self.complete(&written, &name, path, scope, &mut chain),
                services.get_mut(&name),
            ) {
                (Some(complete), Some(node)) => *node = complete,
                _ => {
                    self.unsound = true;
                    failed.extend(chain);
                }
            }
        }
    }

    /// A service with everything that it extends below it.
    fn complete(
        &mut self,
        services: &Map,
        name: &str,
        path: &Path,
        scope: Scope<'_>,
        chain: &mut Vec<Link>,
    ) -> Option<Node> {
        let mut node = services.get(name)?.clone();
        let Value::Map(map) = &mut node.value else {
            return Some(node);
        };
        let Some(Entry {
            value: extends,
            key_span,
            ..
        }) = map.remove("extends")
        else {
            return Some(node);
        };
        let ((target, span), file) = self.target(&extends, key_span)?;
        let link = (path.to_owned(), name.to_owned());
        if chain.contains(&link) {
            self.diagnostics.push(cycle(chain, &link, span));
            return None;
        }
        chain.push(link);
        let home = scope.environment.get("HOME");
        let base = Base {
            directory: scope.directory,
            home: home.as_deref(),
        };
        let file = file.map(|(file, span)| (base.absolute(&file), span));
        let below = match file {
            Some((file, file_span)) if file != path => {
                let document = self.extended_file(&file, file_span, scope)?;
                let services = document.as_map().and_then(|top| top.get("services"));
                let empty = Map::default();
                let services = services.and_then(Node::as_map).unwrap_or(&empty);
                let directory = file.parent().unwrap_or(Path::new("/"));
                let scope = Scope { directory, ..scope };
                self.below(services, &target, span, &file, scope, chain)
            }
            _ => self.below(services, &target, span, path, scope, chain),
        };
        chain.pop();
        let services = At::Top.key("services");
        Some(merge(
            below?,
            node,
            &services.key(name),
            &mut self.diagnostics,
        ))
    }

    fn below(
        &mut self,
        services: &Map,
        target: &str,
        span: Span,
        path: &Path,
        scope: Scope<'_>,
        chain: &mut Vec<Link>,
    ) -> Option<Node> {
        if services.get(target).is_none() {
            let file = path.file_name().unwrap_or_default().to_string_lossy();
            let names = services.iter().map(|entry| entry.key.as_str());
            self.diagnostics.push(
                Diagnostic::error(format!(
                    "there is no service `{target}` in {file} to extend"
                ))
                .at(span)
                .did_you_mean(suggest::nearest(target, names)),
            );
            return None;
        }
        self.complete(services, target, path, scope, chain)
    }

    fn target(&mut self, extends: &Node, key_span: Span) -> Option<Target> {
        let text = |node: &Node| node.as_text().map(|text| (text.to_owned(), node.span));
        let (service, file) = match &extends.value {
            Value::Map(map) => (
                map.get("service").and_then(text),
                map.get("file").and_then(text),
            ),
            _ => (text(extends), None),
        };
        if service.is_none() {
            self.diagnostics.push(
                Diagnostic::error("`extends` must name a service")
                    .at(key_span)
                    .hint("write `extends: name`, or `extends: {file: …, service: name}`"),
            );
        }
        service.map(|service| (service, file))
    }

    /// A file that is read only for its services; once, so that its complaints come once.
    fn extended_file(&mut self, path: &Path, mentioned: Span, scope: Scope<'_>) -> Option<Node> {
        if let Some(known) = self.extended.get(path) {
            return known.clone();
        }
        let directory = path.parent().unwrap_or(Path::new("/"));
        let scope = Scope { directory, ..scope };
        let parsed = self.parse(path, Some(mentioned));
        let mut result: Option<Node> = None;
        for document in parsed.into_iter().flat_map(|parsed| parsed.documents) {
            let Some(document) = self.prepare(document, scope) else {
                continue;
            };
            result = Some(match result.take() {
                Some(below) => merge(below, document, &At::Top, &mut self.diagnostics),
                None => document,
            });
        }
        self.extended.insert(path.to_owned(), result.clone());
        result
    }
}

fn cycle(chain: &[Link], link: &Link, span: Span) -> Diagnostic {
    let names = chain
        .iter()
        .skip_while(|known| *known != link)
        .map(|(_, name)| name.as_str());
    let path: Vec<&str> = names.chain(std::iter::once(link.1.as_str())).collect();
    Diagnostic::error(format!("services extend each other: {}", path.join(" → "))).at(span)
}
