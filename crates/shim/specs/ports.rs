//! `-p [[ip:]host:]container[/protocol]`, each port possibly a range.

use std::net::IpAddr;

use model::{PublishedPort, Transport};

use crate::error::CliError;

/// Reads one `-p`.
pub(crate) fn ports(text: &str) -> Result<Vec<PublishedPort>, CliError> {
    let bad = |why: &str| {
        CliError::usage(format!("invalid port `{text}`: {why}")).hint(
            "write [[IP:]HOST_PORT:]CONTAINER_PORT[/tcp|/udp], e.g. 8080:80 or 127.0.0.1:53:53/udp",
        )
    };
    let (rest, transport) = match text.rsplit_once('/') {
        None => (text, Transport::Tcp),
        Some((rest, "tcp")) => (rest, Transport::Tcp),
        Some((rest, "udp")) => (rest, Transport::Udp),
        Some((_, other)) => return Err(bad(&format!("unknown protocol `{other}`"))),
    };
    let (host, container) = match rest.rsplit_once(':') {
        Some((host, container)) => (Some(host), container),
        None => (None, rest),
    };
    let (ip, host_range) = match host {
        None => (None, None),
        Some(host) => split_host(host).map_err(|why| bad(&why))?,
    };
    let container = range(container).ok_or_else(|| bad("want a container port from 1 to 65535"))?;
    let host_range = match host_range {
        None => None,
        Some(text) => Some(range(text).ok_or_else(|| bad("want a host port from 1 to 65535"))?),
    };
    if host_range
        .as_ref()
        .is_some_and(|h| h.len() != container.len())
    {
        return Err(bad("the two ranges differ in length"));
    }
    let port = |(i, container_port): (usize, u16)| PublishedPort {
        host_ip: ip,
        host_port: host_range.as_ref().map(|range| range[i]),
        container_port,
        transport,
    };
    Ok(container.into_iter().enumerate().map(port).collect())
}

/// Reads one `--expose`: a port or a range, and its protocol.
pub(crate) fn expose(text: &str) -> Result<Vec<(u16, Transport)>, CliError> {
    let bad = || {
        CliError::usage(format!("invalid --expose `{text}`"))
            .hint("write PORT[-PORT][/tcp|/udp], e.g. 80, 53/udp or 8000-8010")
    };
    let (ports, transport) = match text.split_once('/').unwrap_or((text, "tcp")) {
        (ports, "tcp") => (ports, Transport::Tcp),
        (ports, "udp") => (ports, Transport::Udp),
        _ => return Err(bad()),
    };
    let ports = range(ports).ok_or_else(bad)?;
    Ok(ports.into_iter().map(|port| (port, transport)).collect())
}

/// `ip:port`, `ip:`, `[v6]:port` or `port`.
fn split_host(host: &str) -> Result<(Option<IpAddr>, Option<&str>), String> {
    let (ip, port) = match host.rsplit_once(':') {
        Some((ip, port)) => (Some(ip), port),
        None => (None, host),
    };
    let ip = ip.map(|ip| ip.trim_start_matches('[').trim_end_matches(']'));
    let parsed = ip
        .filter(|ip| !ip.is_empty())
        .map(str::parse::<IpAddr>)
        .transpose();
    let parsed =
        parsed.map_err(|_| format!("`{}` is not an IP address", ip.unwrap_or_default()))?;
    Ok((parsed, Some(port).filter(|p| !p.is_empty())))
}

fn range(text: &str) -> Option<Vec<u16>> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let port = |t: &str| t.parse::<u16>().ok().filter(|p| *p != 0);
    let (first, last) = (port(first)?, port(last)?);
    (first <= last).then(|| (first..=last).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn show(text: &str) -> String {
        let port = |p: &PublishedPort| {
            let ip = p.host_ip.map(|ip| ip.to_string()).unwrap_or_default();
            let host = p.host_port.map(|p| p.to_string()).unwrap_or_default();
            format!("{ip}|{host}|{}/{}", p.container_port, p.transport.as_str())
        };
        match ports(text) {
            Ok(list) => list.iter().map(port).collect::<Vec<_>>().join(" "),
            Err(_) => "error".into(),
        }
    }

    #[test]
    fn docker_forms() {
        assert_eq!(show("80"), "||80/tcp");
        assert_eq!(show("8080:80"), "|8080|80/tcp");
        assert_eq!(show("127.0.0.1:53:53/udp"), "127.0.0.1|53|53/udp");
        assert_eq!(show("127.0.0.1::80"), "127.0.0.1||80/tcp");
        assert_eq!(show("[::1]:8080:80"), "::1|8080|80/tcp");
        assert_eq!(show("7000-7001:80-81"), "|7000|80/tcp |7001|81/tcp");
        for bad in [
            "",
            "0",
            "a:b",
            "70000:80",
            "1-3:80-81",
            "80/sctp",
            "x.y:1:2",
            "9-8",
        ] {
            assert_eq!(show(bad), "error", "{bad}");
        }
    }

    #[test]
    fn exposed_ports() {
        assert_eq!(expose("53/udp").unwrap(), [(53, Transport::Udp)]);
        assert_eq!(
            expose("8-9").unwrap(),
            [(8, Transport::Tcp), (9, Transport::Tcp)]
        );
        for bad in ["", "0", "a", "9-8", "80/sctp", "1:2"] {
            assert!(expose(bad).is_err(), "{bad}");
        }
    }
}
