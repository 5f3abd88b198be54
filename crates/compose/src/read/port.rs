//! `ports`: `[[ip:]published:]target[/protocol]`, ranges, and the long form.

use std::net::IpAddr;

use model::Transport;

use super::Reader;
use crate::at::At;
use crate::project::Port;
use crate::yaml::{Map, Node, Value};

impl Reader<'_> {
    /// The ports of a service. Of two that mean the same, as happens when files are
    /// merged, one remains.
    pub(super) fn ports(&mut self, service: &Map, at: &At<'_>) -> Vec<Port> {
        let Some((node, at)) = Self::get(service, "ports", at) else {
            return Vec::new();
        };
        let mut ports: Vec<Port> = Vec::new();
        for (index, item) in self.list(node, &at).iter().enumerate() {
            for port in self.port(item, &at.item(index)) {
                match ports.iter_mut().find(|known| known.is_same(&port)) {
                    Some(known) => *known = port,
                    None => ports.push(port),
                }
            }
        }
        ports
    }

    fn port(&mut self, node: &Node, at: &At<'_>) -> Vec<Port> {
        if let Value::Map(map) = &node.value {
            return self.long_port(node, map, at).into_iter().collect();
        }
        let Some(text) = self.scalar(node, at) else {
            return Vec::new();
        };
        parse(&text).unwrap_or_else(|why| {
            self.invalid(node, at, format_args!("{why} in `{text}`"));
            Vec::new()
        })
    }

    fn long_port(&mut self, node: &Node, map: &Map, at: &At<'_>) -> Option<Port> {
        let Some((target, target_at)) = Self::get(map, "target", at) else {
            self.invalid(node, at, "`target`, the container's port, is missing");
            return None;
        };
        let target_text = self.scalar(target, &target_at)?;
        let Ok(target) = number(&target_text) else {
            self.invalid(
                target,
                &target_at,
                format_args!("`{target_text}` is not a port"),
            );
            return None;
        };
        let published = match Self::get(map, "published", at) {
            Some((published, at)) => {
                let text = self.scalar(published, &at)?;
                match text.is_empty() {
                    true => None,
                    false => Some(
                        range(&text)
                            .map_err(|why| self.invalid(published, &at, why))
                            .ok()?,
                    ),
                }
            }
            None => None,
        };
        let (ip, protocol) = (
            self.word_of(map, "host_ip", at),
            self.word_of(map, "protocol", at),
        );
        let transport = transport(protocol.as_deref().unwrap_or("tcp"));
        let host_ip = ip.map(|ip| address(&ip)).transpose();
        match (transport, host_ip) {
            (Ok(transport), Ok(host_ip)) => Some(Port {
                name: self.word_of(map, "name", at),
                host_ip: host_ip.flatten(),
                published,
                target,
                transport,
            }),
            (Err(why), _) | (_, Err(why)) => {
                self.invalid(node, at, why);
                None
            }
        }
    }
}

impl Port {
    fn is_same(&self, other: &Self) -> bool {
        (self.host_ip, self.published, self.target, self.transport)
            == (
                other.host_ip,
                other.published,
                other.target,
                other.transport,
            )
    }
}

/// Reads the short form. Equally long ranges pair up; a range for one container port
/// offers a choice.
fn parse(text: &str) -> Result<Vec<Port>, String> {
    let (spec, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    let transport = transport(protocol)?;
    let (host_ip, published, target) = split(spec)?;
    let host_ip = match host_ip {
        Some(ip) => address(ip)?,
        None => None,
    };
    let targets = range(target)?;
    let published = match published {
        None | Some("" | "0") => None,
        Some(published) => Some(range(published)?),
    };
    let port = |published, target| Port {
        name: None,
        host_ip,
        published,
        target,
        transport,
    };
    let length = |(first, last): (u16, u16)| last - first;
    match published {
        None => Ok((targets.0..=targets.1)
            .map(|target| port(None, target))
            .collect()),
        Some(published) if length(targets) == 0 => Ok(vec![port(Some(published), targets.0)]),
        Some(published) if length(published) == length(targets) => {
            let pairs = (published.0..=published.1).zip(targets.0..=targets.1);
            Ok(pairs
                .map(|(host, target)| port(Some((host, host)), target))
                .collect())
        }
        Some(_) => Err("two ranges of different lengths".into()),
    }
}

/// Address, published port and container port, from the right: an IPv6 address has
/// colons of its own.
fn split(spec: &str) -> Result<(Option<&str>, Option<&str>, &str), String> {
    let Some((rest, target)) = spec.rsplit_once(':') else {
        return Ok((None, None, spec));
    };
    match rest.rsplit_once(':') {
        None => Ok((None, Some(rest), target)),
        Some((ip, published)) => Ok((Some(ip), Some(published), target)),
    }
}

/// An address; `0.0.0.0` stays what it is, only IPv4.
fn address(text: &str) -> Result<Option<IpAddr>, String> {
    if text.is_empty() {
        return Ok(None);
    }
    let bare = text
        .strip_prefix('[')
        .and_then(|text| text.strip_suffix(']'))
        .unwrap_or(text);
    bare.parse()
        .map(Some)
        .map_err(|_| format!("`{text}` is not an IP address"))
}

fn range(text: &str) -> Result<(u16, u16), String> {
    let (first, last) = match text.split_once('-') {
        Some((first, last)) => (number(first)?, number(last)?),
        None => (number(text)?, number(text)?),
    };
    match first <= last {
        true => Ok((first, last)),
        false => Err(format!("the range `{text}` ends before it begins")),
    }
}

fn number(text: &str) -> Result<u16, String> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    match text.parse::<u16>() {
        Ok(number) if digits && number > 0 => Ok(number),
        _ if text.is_empty() => Err("a port is missing".into()),
        _ => Err(format!("`{text}` is not a port (1 to 65535)")),
    }
}

fn transport(protocol: &str) -> Result<Transport, String> {
    match protocol.to_ascii_lowercase().as_str() {
        "tcp" => Ok(Transport::Tcp),
        "udp" => Ok(Transport::Udp),
        _ => Err(format!(
            "protocol `{protocol}` is not supported (only tcp and udp are)"
        )),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn show(text: &str) -> String {
        match parse(text) {
            Ok(ports) => {
                let show = |port: &Port| {
                    let ip = port.host_ip.map_or(String::new(), |ip| format!("{ip} "));
                    let published = match port.published {
                        None => "any".to_owned(),
                        Some((first, last)) if first == last => first.to_string(),
                        Some((first, last)) => format!("{first}-{last}"),
                    };
                    format!(
                        "{ip}{published}→{}/{}",
                        port.target,
                        port.transport.as_str()
                    )
                };
                ports.iter().map(show).collect::<Vec<_>>().join(" ")
            }
            Err(why) => format!("error: {why}"),
        }
    }

    #[test]
    fn the_short_forms() {
        for (text, want) in [
            ("8000", "any→8000/tcp"),
            ("3000-3002", "any→3000/tcp any→3001/tcp any→3002/tcp"),
            ("8000:80", "8000→80/tcp"),
            ("9090-9091:8080-8081", "9090→8080/tcp 9091→8081/tcp"),
            ("7052-7055:8000", "7052-7055→8000/tcp"),
            ("127.0.0.1:8001:8001", "127.0.0.1 8001→8001/tcp"),
            ("127.0.0.1::80", "127.0.0.1 any→80/tcp"),
            ("[::1]:80:80", "::1 80→80/tcp"),
            ("::1:80:80", "::1 80→80/tcp"),
            ("6060:6060/udp", "6060→6060/udp"),
            ("53/UDP", "any→53/udp"),
            ("0.0.0.0:1:1", "0.0.0.0 1→1/tcp"),
            (":80", "any→80/tcp"),
            ("80:", "error: a port is missing"),
            ("70000:80", "error: `70000` is not a port (1 to 65535)"),
            ("0:80", "any→80/tcp"),
            ("80:0", "error: `0` is not a port (1 to 65535)"),
            ("+1:80", "error: `+1` is not a port (1 to 65535)"),
            ("1-2:1-3", "error: two ranges of different lengths"),
            ("5-2:80", "error: the range `5-2` ends before it begins"),
            ("x:80:80", "error: `x` is not an IP address"),
            (
                "80/sctp",
                "error: protocol `sctp` is not supported (only tcp and udp are)",
            ),
            ("", "error: a port is missing"),
        ] {
            assert_eq!(show(text), want, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn never_panics(text in "[0-9a:.\\[\\]/tcpud-]{0,24}") {
            let _ = parse(&text);
        }
    }
}
