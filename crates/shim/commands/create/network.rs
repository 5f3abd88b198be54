//! Flags about names, addresses and ports.

use std::net::{IpAddr, Ipv4Addr};

use clap::Args;
use engine::{NamespaceRequest, NetworkAttachment, NetworkRequest, RunRequest};

use crate::error::CliError;
use crate::specs;

#[derive(Args)]
#[command(next_help_heading = "Network")]
pub(super) struct NetworkArgs {
    /// Network: `bridge`, `none`, `host`, `container:NAME`, or a network's name.
    #[arg(long, visible_alias = "net", value_name = "NETWORK")]
    network: Vec<String>,
    /// Further name of the container in its named networks.
    #[arg(long, visible_alias = "net-alias", value_name = "NAME")]
    network_alias: Vec<String>,
    /// Address of the container in its named network.
    #[arg(long, value_name = "ADDRESS")]
    ip: Option<String>,
    /// Hardware address of the container.
    #[arg(long, value_name = "ADDRESS")]
    mac_address: Option<String>,
    /// Publishes a port of the container on the host.
    #[arg(short, long, value_name = "[[IP:]HOST:]PORT[/PROTOCOL]")]
    publish: Vec<String>,
    /// Publishes every exposed port on a port that is free.
    #[arg(short = 'P', long)]
    publish_all: bool,
    /// Port that the container listens on.
    #[arg(long, value_name = "PORT[/PROTOCOL]")]
    expose: Vec<String>,
    /// Host name inside [default: the short id].
    #[arg(short = 'h', long)]
    hostname: Option<String>,
    /// NIS domain name inside.
    #[arg(long, value_name = "NAME")]
    domainname: Option<String>,
    /// Further line of /etc/hosts; the address `host-gateway` is the host's loopback.
    #[arg(long, value_name = "NAME:ADDRESS")]
    add_host: Vec<String>,
    /// Name server.
    #[arg(long, value_name = "ADDRESS")]
    dns: Vec<String>,
    /// Domain that is tried behind names; `.` is none.
    #[arg(long, value_name = "DOMAIN")]
    dns_search: Vec<String>,
    /// Word for the resolver, e.g. ndots:2.
    #[arg(long, visible_alias = "dns-opt", value_name = "OPTION")]
    dns_option: Vec<String>,
}

impl NetworkArgs {
    pub(super) fn apply(&self, request: &mut RunRequest) -> Result<(), CliError> {
        for text in &self.publish {
            request.publish.extend(specs::ports(text)?);
        }
        for text in &self.expose {
            request.expose.extend(specs::expose(text)?);
        }
        request.publish_all = self.publish_all;
        request.hostname = self.hostname.clone();
        request.domainname = self.domainname.clone().unwrap_or_default();
        for name in [&self.hostname, &self.domainname].into_iter().flatten() {
            check_name(name)?;
        }
        request.network = self.network()?;
        for text in &self.add_host {
            let (name, address) = specs::host(text)?;
            request.add_host(name, address);
        }
        for text in &self.dns {
            let server: IpAddr = text.parse().map_err(|_| {
                CliError::usage(format!("invalid --dns `{text}`: it is not an address"))
                    .hint("e.g. 9.9.9.9")
            })?;
            request.dns.servers.push(server);
        }
        request.dns.search = words("--dns-search", &self.dns_search)?;
        request.dns.options = words("--dns-option", &self.dns_option)?;
        self.check_joined(request)
    }

    /// Who uses another container's network has nothing of their own to say about it.
    fn check_joined(&self, request: &RunRequest) -> Result<(), CliError> {
        if !matches!(request.network, NetworkRequest::Container(_)) {
            return Ok(());
        }
        let said = [
            ("--hostname", self.hostname.is_some()),
            ("--add-host", !self.add_host.is_empty()),
            ("--dns", !self.dns.is_empty()),
            ("--dns-search", !self.dns_search.is_empty()),
            ("--dns-option", !self.dns_option.is_empty()),
            ("--expose", !self.expose.is_empty()),
            ("--publish-all", self.publish_all),
            ("--publish", !self.publish.is_empty()),
        ];
        match said.iter().find(|(_, said)| *said) {
            None => Ok(()),
            Some((flag, _)) => Err(CliError::usage(format!(
                "{flag} cannot be combined with the network of another container"
            ))
            .hint("give it to that container")),
        }
    }

    fn network(&self) -> Result<NetworkRequest, CliError> {
        let special = |name: &str| match name {
            "none" => Some(NetworkRequest::None),
            "host" => Some(NetworkRequest::Host),
            "bridge" | "default" => Some(NetworkRequest::Default),
            name => name
                .strip_prefix("container:")
                .map(|c| NetworkRequest::Container(c.into())),
        };
        let named = self.network.iter().any(|name| special(name).is_none());
        let needs_name = [
            ("--network-alias", !self.network_alias.is_empty()),
            ("--ip", self.ip.is_some()),
        ];
        if let Some((flag, _)) = needs_name.iter().find(|(_, said)| *said && !named) {
            return Err(
                CliError::usage(format!("{flag} needs a network that has a name")).hint(
                    "make one with `shim network create NAME`, and join it with --network NAME",
                ),
            );
        }
        let address = self.address()?;
        let mac = self.mac()?;
        match self.network.as_slice() {
            [] if mac.is_none() => Ok(NetworkRequest::Default),
            [] => Ok(default_with(mac)),
            [one] if special(one).is_some() => match (special(one).unwrap_or_default(), mac) {
                (network, None) => Ok(network),
                (NetworkRequest::Default, mac) => Ok(default_with(mac)),
                (_, Some(_)) => Err(CliError::usage(format!(
                    "--mac-address cannot be combined with the network `{one}`"
                ))
                .hint("leave it out")),
            },
            several => {
                if let Some(name) = several.iter().find(|n| special(n).is_some()) {
                    let message = format!("network `{name}` cannot be combined with others");
                    return Err(CliError::usage(message).hint("leave it or the others out"));
                }
                if address.is_some() && several.len() > 1 {
                    let message = "--ip cannot tell which of several networks it means";
                    return Err(CliError::usage(message).hint("join one network"));
                }
                let attachment = |(number, network): (usize, &String)| NetworkAttachment {
                    network: network.clone(),
                    aliases: self.network_alias.clone(),
                    address,
                    mac: mac.clone().filter(|_| number == 0),
                };
                let all = several.iter().enumerate().map(attachment);
                Ok(NetworkRequest::Named(all.collect()))
            }
        }
    }

    fn address(&self) -> Result<Option<Ipv4Addr>, CliError> {
        let Some(text) = &self.ip else {
            return Ok(None);
        };
        text.parse().map(Some).map_err(|_| {
            CliError::usage(format!("invalid --ip `{text}`: it is not an IPv4 address"))
                .hint("write an address of the network's subnet, e.g. 10.89.1.7")
        })
    }

    /// In lower case, with colons.
    fn mac(&self) -> Result<Option<String>, CliError> {
        let Some(text) = &self.mac_address else {
            return Ok(None);
        };
        let parts: Vec<_> = text.split([':', '-']).collect();
        let hex = |part: &&str| part.len() == 2 && part.chars().all(|c| c.is_ascii_hexdigit());
        // The lowest bit of the first byte is for groups.
        let group = |part: &str| u8::from_str_radix(part, 16).is_ok_and(|byte| byte & 1 == 1);
        match parts.len() == 6 && parts.iter().all(hex) && !group(parts[0]) {
            true => Ok(Some(parts.join(":").to_ascii_lowercase())),
            false => Err(CliError::usage(format!("invalid --mac-address `{text}`"))
                .hint("write the address of one interface, e.g. 02:42:ac:11:00:02")),
        }
    }
}

/// The usual network, told something.
fn default_with(mac: Option<String>) -> NetworkRequest {
    NetworkRequest::Named(vec![NetworkAttachment {
        network: engine::DEFAULT_NETWORK.to_owned(),
        mac,
        ..NetworkAttachment::default()
    }])
}

/// A name that the kernel takes and `/etc/hosts` can hold.
fn check_name(name: &str) -> Result<(), CliError> {
    let safe = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
    match (1..=64).contains(&name.len()) && name.chars().all(safe) {
        true => Ok(()),
        false => Err(CliError::usage(format!("invalid host name `{name}`"))
            .hint("write at most 64 letters, digits, dots and dashes")),
    }
}

/// Words that go into `/etc/resolv.conf` as they are.
fn words(flag: &str, texts: &[String]) -> Result<Vec<String>, CliError> {
    match texts
        .iter()
        .find(|t| t.is_empty() || t.contains(char::is_whitespace))
    {
        None => Ok(texts.to_vec()),
        Some(bad) => Err(CliError::usage(format!("invalid {flag} `{bad}`")).hint("write one word")),
    }
}

/// Whoever uses the host's name cannot be given another.
pub(super) fn check_host_name(request: &RunRequest) -> Result<(), CliError> {
    if request.borders.uts == NamespaceRequest::Private {
        return Ok(());
    }
    let flag = match (&request.hostname, request.domainname.is_empty()) {
        (Some(_), _) => "--hostname",
        (None, false) => "--domainname",
        (None, true) => return Ok(()),
    };
    Err(
        CliError::usage(format!("{flag} cannot be combined with --uts"))
            .hint("the name is the other's, leave one of the two out"),
    )
}
