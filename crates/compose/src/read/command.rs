//! `command`, `entrypoint` and `healthcheck`.

use text::Diagnostic;

use super::Reader;
use crate::at::At;
use crate::project::{Health, HealthTest};
use crate::words;
use crate::yaml::{Map, Node, Value};

impl Reader<'_> {
    /// A command: a list as it is, a string split into words. An empty one clears the
    /// image's.
    pub(super) fn command_of(&mut self, map: &Map, key: &str, at: &At<'_>) -> Option<Vec<String>> {
        let (node, at) = Self::get(map, key, at)?;
        match &node.value {
            Value::Text(text) => self.split(text, node, &at),
            Value::List(items) => Some(self.arguments(items, &at)),
            _ => {
                self.wrong(node, &at, "a string or a list of strings");
                None
            }
        }
    }

    fn arguments(&mut self, items: &[Node], at: &At<'_>) -> Vec<String> {
        let items = items.iter().enumerate();
        items
            .filter_map(|(index, item)| self.string(item, &at.item(index)))
            .collect()
    }

    fn split(&mut self, text: &str, node: &Node, at: &At<'_>) -> Option<Vec<String>> {
        match words::split(text) {
            Ok(split) => {
                if let Some(operator) = split.stopped_at {
                    let message = format!("`{at}` ends at `{operator}`: no shell reads it");
                    self.diagnostics.push(
                        Diagnostic::warning(message)
                            .at(node.span)
                            .hint("write `sh -c '…'` around it, or put the sign in quotes"),
                    );
                }
                Some(split.words)
            }
            Err(quote) => {
                let message = format!("`{at}`: nothing follows or closes this `{quote}`");
                self.diagnostics
                    .push(Diagnostic::error(message).at(node.span));
                None
            }
        }
    }

    /// A health check. `disable` and `["NONE"]` mean the same.
    pub(super) fn health(&mut self, service: &Map, at: &At<'_>) -> Option<Health> {
        let (node, at) = Self::get(service, "healthcheck", at)?;
        let map = self.map(node, &at)?;
        let mut health = Health {
            test: Self::get(map, "test", &at).and_then(|(test, at)| self.test(test, &at)),
            interval: self.duration_of(map, "interval", &at),
            timeout: self.duration_of(map, "timeout", &at),
            start_period: self.duration_of(map, "start_period", &at),
            start_interval: self.duration_of(map, "start_interval", &at),
            retries: self.number_of(map, "retries", &at),
        };
        if self.boolean_of(map, "disable", &at) == Some(true) {
            health.test = Some(HealthTest::Disabled);
        }
        Some(health)
    }

    fn test(&mut self, node: &Node, at: &At<'_>) -> Option<HealthTest> {
        let items = match &node.value {
            Value::Text(line) => return Some(HealthTest::Shell(line.clone())),
            Value::List(items) => items,
            _ => {
                self.wrong(node, at, "a string or a list");
                return None;
            }
        };
        let words = self.arguments(items, at);
        let wrong = match words
            .split_first()
            .map(|(kind, rest)| (kind.as_str(), rest))
        {
            Some(("NONE", _)) => return Some(HealthTest::Disabled),
            Some(("CMD", command)) if !command.is_empty() => {
                return Some(HealthTest::Command(command.to_vec()));
            }
            Some(("CMD-SHELL", line)) if !line.is_empty() => {
                return Some(HealthTest::Shell(line.join(" ")));
            }
            Some(("CMD" | "CMD-SHELL", _)) => "a command after its first word",
            _ => "`CMD`, `CMD-SHELL` or `NONE` as its first word",
        };
        self.diagnostics.push(
            Diagnostic::error(format!("`{at}` needs {wrong}"))
                .at(node.span)
                .hint("write `[\"CMD\", \"program\", \"argument\"]`, or one string for the shell"),
        );
        None
    }
}
