//! `network_mode` and `networks` of a service, and `extra_hosts`.

use text::{Diagnostic, suggest};

use super::Reader;
use crate::at::At;
use crate::project::{Attachment, ServiceNetwork};
use crate::yaml::{Entry, Map, Node};

impl Reader<'_> {
    /// Where a service's packets go; the network `default` if nothing is said.
    pub(super) fn service_network(&mut self, service: &Map, at: &At<'_>) -> ServiceNetwork {
        let mode = Self::get(service, "network_mode", at);
        let networks = Self::get(service, "networks", at);
        match (mode, networks) {
            (Some((mode, _)), Some((networks, _))) => {
                self.diagnostics.push(
                    Diagnostic::error(format!("`{at}` has both `network_mode` and `networks`"))
                        .at(networks.span)
                        .related(mode.span, "and this")
                        .hint("keep one of them"),
                );
                ServiceNetwork::None
            }
            (Some((mode, at)), None) => self.network_mode(mode, &at),
            (None, Some((networks, at))) => match self.map(networks, &at) {
                Some(map) if !map.is_empty() => self.attachments(map, &at),
                _ => default_network(),
            },
            (None, None) => default_network(),
        }
    }

    fn network_mode(&mut self, node: &Node, at: &At<'_>) -> ServiceNetwork {
        let Some(mode) = self.string(node, at) else {
            return ServiceNetwork::None;
        };
        match mode.split_once(':').unwrap_or((&mode, "")) {
            ("none", "") => ServiceNetwork::None,
            ("host", "") => ServiceNetwork::Host,
            ("bridge" | "default", "") => default_network(),
            ("service", name) if !name.is_empty() => ServiceNetwork::Service(name.to_owned()),
            ("container", name) if !name.is_empty() => ServiceNetwork::Container(name.to_owned()),
            _ => {
                let modes = ["none", "host", "bridge"];
                self.diagnostics.push(
                    Diagnostic::error(format!("`{at}`: unknown mode `{mode}`"))
                        .at(node.span)
                        .did_you_mean(suggest::nearest(&mode, modes))
                        .hint("modes are none, host, service:NAME and container:NAME"),
                );
                ServiceNetwork::None
            }
        }
    }

    fn attachments(&mut self, map: &Map, at: &At<'_>) -> ServiceNetwork {
        let mut attachments: Vec<Attachment> = map
            .iter()
            .map(|entry| self.attachment(entry, &at.key(&entry.key)))
            .collect();
        attachments.sort_by(|a, b| (-a.priority, &a.network).cmp(&(-b.priority, &b.network)));
        ServiceNetwork::Networks(attachments)
    }

    fn attachment(&mut self, entry: &Entry, at: &At<'_>) -> Attachment {
        let mut attachment = attachment(&entry.key);
        if entry.value.is_null() {
            return attachment;
        }
        let Some(map) = self.map(&entry.value, at) else {
            return attachment;
        };
        attachment.aliases = self.strings_of(map, "aliases", at).unwrap_or_default();
        attachment.priority = i64::from(self.number_of::<i32>(map, "priority", at).unwrap_or(0));
        if let Some((node, at)) = Self::get(map, "ipv4_address", at)
            && let Some(text) = self.string(node, &at)
        {
            match text.parse() {
                Ok(address) => attachment.ipv4_address = Some(address),
                Err(_) => self.invalid(node, &at, format_args!("`{text}` is not an IPv4 address")),
            }
        }
        attachment
    }

    /// Lines for `/etc/hosts`; a name may have several addresses.
    pub(super) fn extra_hosts(&mut self, service: &Map, at: &At<'_>) -> Vec<(String, String)> {
        let Some((node, at)) = Self::get(service, "extra_hosts", at) else {
            return Vec::new();
        };
        let Some(map) = self.map(node, &at) else {
            return Vec::new();
        };
        let mut hosts = Vec::new();
        for entry in map.iter() {
            let at = at.key(&entry.key);
            let addresses: &[Node] = match &entry.value.value {
                crate::yaml::Value::List(items) => items,
                _ => std::slice::from_ref(&entry.value),
            };
            for node in addresses {
                hosts.extend(
                    self.host_address(node, &at)
                        .map(|ip| (entry.key.clone(), ip)),
                );
            }
        }
        hosts
    }

    fn host_address(&mut self, node: &Node, at: &At<'_>) -> Option<String> {
        let text = self.string(node, at)?;
        let bare = text
            .strip_prefix('[')
            .and_then(|text| text.strip_suffix(']'))
            .unwrap_or(&text);
        if bare == "host-gateway" || bare.parse::<std::net::IpAddr>().is_ok() {
            return Some(bare.to_owned());
        }
        self.invalid(
            node,
            at,
            format_args!("`{text}` is neither an IP address nor `host-gateway`"),
        );
        None
    }
}

fn default_network() -> ServiceNetwork {
    ServiceNetwork::Networks(vec![attachment("default")])
}

fn attachment(network: &str) -> Attachment {
    Attachment {
        network: network.to_owned(),
        aliases: Vec::new(),
        ipv4_address: None,
        priority: 0,
    }
}
