//! Networks and volumes of the project.

use std::net::Ipv4Addr;

use text::Diagnostic;

use super::Reader;
use crate::at::At;
use crate::project::{Network, Volume};
use crate::yaml::{Entry, Map, Node, Value};

impl Reader<'_> {
    /// One network of the top-level section.
    pub(super) fn network(&mut self, entry: &Entry, at: &At<'_>) -> Option<Network> {
        let empty = Map::default();
        let map = match entry.value.is_null() {
            true => &empty,
            false => self.map(&entry.value, at)?,
        };
        let (external, name) = self.identity(map, &entry.key, at);
        self.driver(map, &["bridge", "default"], at);
        Some(Network {
            name,
            external,
            internal: self.boolean_of(map, "internal", at).unwrap_or(false),
            subnet: Self::get(map, "ipam", at).and_then(|(ipam, at)| self.subnet(ipam, &at)),
            labels: self.labels(map, at),
        })
    }

    /// One volume of the top-level section.
    pub(super) fn volume(&mut self, entry: &Entry, at: &At<'_>) -> Option<Volume> {
        let empty = Map::default();
        let map = match entry.value.is_null() {
            true => &empty,
            false => self.map(&entry.value, at)?,
        };
        let (external, name) = self.identity(map, &entry.key, at);
        self.driver(map, &["local"], at);
        Some(Volume {
            name,
            external,
            labels: self.labels(map, at),
        })
    }

    /// Whether the project owns it, and its name outside of the project.
    fn identity(&mut self, map: &Map, key: &str, at: &At<'_>) -> (bool, String) {
        let name = self.word_of(map, "name", at);
        // The old form, `external: {name: x}`.
        let old = Self::get(map, "external", at)
            .filter(|(node, _)| matches!(node.value, Value::Map(_)))
            .and_then(|(node, at)| self.word_of(node.as_map()?, "name", &at));
        let external = match map.get("external").map(|node| &node.value) {
            Some(Value::Map(_)) => true,
            _ => self.boolean_of(map, "external", at).unwrap_or(false),
        };
        let name = name.or(old).unwrap_or_else(|| match external {
            true => key.to_owned(),
            false => format!("{}_{key}", self.project),
        });
        (external, name)
    }

    fn driver(&mut self, map: &Map, known: &[&str], at: &At<'_>) {
        let Some(driver) = self.word_of(map, "driver", at) else {
            return;
        };
        if !known.contains(&driver.as_str()) {
            let span = map.get("driver").map(|node| node.span);
            let message = format!(
                "`{at}`: driver `{driver}` is not honoured; {} is used",
                known[0]
            );
            self.diagnostics.push(Diagnostic {
                span,
                ..Diagnostic::warning(message)
            });
        }
    }

    fn subnet(&mut self, ipam: &Node, at: &At<'_>) -> Option<(Ipv4Addr, u8)> {
        let map = self.map(ipam, at)?;
        self.driver(map, &["default"], at);
        let (pools, at) = Self::get(map, "config", at)?;
        let mut subnet = None;
        for (index, pool) in self.list(pools, &at).iter().enumerate() {
            let at = at.item(index);
            let Some(pool) = self.map(pool, &at) else {
                continue;
            };
            let Some((node, at)) = Self::get(pool, "subnet", &at) else {
                continue;
            };
            let Some(text) = self.string(node, &at) else {
                continue;
            };
            match parse_subnet(&text) {
                _ if text.contains(':') => self.diagnostics.push(
                    Diagnostic::warning(format!("`{at}`: IPv6 is not honoured yet")).at(node.span),
                ),
                Some(parsed) if subnet.is_none() => subnet = Some(parsed),
                Some(_) => self.diagnostics.push(
                    Diagnostic::warning(format!("`{at}`: a second subnet is not honoured yet"))
                        .at(node.span),
                ),
                None => self.invalid(
                    node,
                    &at,
                    format_args!("`{text}` is not a subnet (want e.g. 10.5.0.0/16)"),
                ),
            }
        }
        subnet
    }
}

/// `10.5.0.0/16`; bits beyond the prefix are cleared.
fn parse_subnet(text: &str) -> Option<(Ipv4Addr, u8)> {
    let (address, prefix) = text.split_once('/')?;
    let (address, prefix): (Ipv4Addr, u8) = (address.parse().ok()?, prefix.parse().ok()?);
    // A container, the gateway and the two reserved addresses need two bits.
    if !(1..=30).contains(&prefix) {
        return None;
    }
    let mask = u32::MAX << (32 - prefix);
    Some((Ipv4Addr::from(u32::from(address) & mask), prefix))
}
