//! `environment` and `env_file`.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::Path;

use text::{Diagnostic, Span};

use super::Reader;
use crate::at::At;
use crate::dotenv;
use crate::yaml::{Map, Node};

type Values = BTreeMap<String, Option<String>>;

impl Reader<'_> {
    /// What a service's processes find in their environment: the files in their order,
    /// then `environment` over them. A name without a value takes the caller's; where
    /// there is none, a file's value stays.
    pub(super) fn environment(&mut self, service: &Map, with_files: bool, at: &At<'_>) -> Values {
        let mut own = self.table_of(service, "environment", at);
        for (name, value) in &mut own {
            if value.is_none() {
                *value = self.environment.get(name);
            }
        }
        let mut all = Values::new();
        if let Some((files, at)) = Self::get(service, "env_file", at).filter(|_| with_files) {
            for (index, file) in self.list(files, &at).iter().enumerate() {
                let read = self.env_file(file, &at.item(index), &own, &all);
                all.extend(read.into_iter().map(|(name, value)| (name, Some(value))));
            }
        }
        for (name, value) in own {
            if value.is_some() || !all.contains_key(&name) {
                all.insert(name, value);
            }
        }
        all
    }

    fn env_file(
        &mut self,
        node: &Node,
        at: &At<'_>,
        own: &Values,
        before: &Values,
    ) -> dotenv::Variables {
        let Some(map) = self.map(node, at) else {
            return dotenv::Variables::new();
        };
        let Some(path) = self.word_of(map, "path", at) else {
            if map.get("path").is_none_or(Node::is_null) {
                self.invalid(node, at, "`path` is missing");
            }
            return dotenv::Variables::new();
        };
        let required = self.boolean_of(map, "required", at).unwrap_or(true);
        let raw = match self.word_of(map, "format", at).as_deref() {
            Some("raw") => true,
            Some(other) => {
                self.invalid(
                    node,
                    at,
                    format_args!("unknown format `{other}` (want raw)"),
                );
                false
            }
            None => false,
        };
        let span = map.get("path").map_or(node.span, |path| path.span);
        let Some(text) = self.read_env_file(Path::new(&path), required, span) else {
            return dotenv::Variables::new();
        };
        let known = |values: &Values, name: &str| values.get(name).cloned().flatten();
        let environment = self.environment;
        let strong = |name: &str| environment.get(name).or_else(|| known(own, name));
        if raw {
            return dotenv::parse_raw(&text, &strong);
        }
        dotenv::parse(&text, &strong, &|name| known(before, name)).unwrap_or_else(|error| {
            let file = self
                .sources
                .add(self.shown(Path::new(&path)), text.as_str());
            let place = Span::new(file, error.start, error.end);
            self.diagnostics.push(
                Diagnostic::error(error.message)
                    .at(place)
                    .related(span, "read from here"),
            );
            dotenv::Variables::new()
        })
    }

    fn read_env_file(&mut self, path: &Path, required: bool, span: Span) -> Option<String> {
        match self.files.read(path) {
            Ok(text) => Some(text),
            Err(error) if error.kind() == ErrorKind::NotFound && !required => None,
            Err(error) => {
                let why = crate::assemble::reason(&error);
                let message = format!("cannot read {}: {why}", self.shown(path));
                let diagnostic = Diagnostic::error(message).at(span);
                let absent = error.kind() == ErrorKind::NotFound;
                self.diagnostics.push(match absent {
                    true => diagnostic.hint("`required: false` lets the file be absent"),
                    false => diagnostic,
                });
                None
            }
        }
    }

    fn shown(&self, path: &Path) -> String {
        path.strip_prefix(self.current_directory)
            .unwrap_or(path)
            .display()
            .to_string()
    }
}
