//! What the host itself uses to find names.

use std::net::{IpAddr, Ipv4Addr};

/// The useful part of `/etc/resolv.conf`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Resolvers {
    /// The servers, in the order to ask them.
    pub(crate) servers: Vec<IpAddr>,
    /// The domains that short names are looked for in.
    pub(crate) search: Vec<String>,
}

impl Resolvers {
    /// What the host uses now. Read every time, a laptop moves between networks; and from the
    /// host's side, so that a server on its loopback is as good as any.
    pub(crate) fn of_host() -> Self {
        Self::parse(&std::fs::read_to_string("/etc/resolv.conf").unwrap_or_default())
    }

    fn parse(text: &str) -> Self {
        let mut found = Self::default();
        for line in text.lines() {
            let mut words = line
                .split(['#', ';'])
                .next()
                .unwrap_or("")
                .split_ascii_whitespace();
            match words.next() {
                // A zone (`fe80::1%eth0`) needs the interface's number: such servers are rare.
                Some("nameserver") => {
                    found
                        .servers
                        .extend(words.next().and_then(|word| word.parse::<IpAddr>().ok()));
                }
                Some("search" | "domain") => {
                    found.search = words
                        .filter(|word| *word != ".")
                        .map(str::to_owned)
                        .collect();
                }
                _ => {}
            }
        }
        if found.servers.is_empty() {
            // As resolv.conf(5) has it.
            found.servers.push(Ipv4Addr::LOCALHOST.into());
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_and_search_domains_are_read() {
        let text = "# made by hand\nnameserver 127.0.0.53 # local\nnameserver ::1\nnameserver x\n\
                    domain old.example\nsearch a.example b.example .\noptions edns0\n";
        let found = Resolvers::parse(text);
        assert_eq!(
            found.servers,
            [
                "127.0.0.53".parse::<IpAddr>().unwrap(),
                "::1".parse().unwrap()
            ]
        );
        assert_eq!(found.search, ["a.example", "b.example"]);
        assert_eq!(
            Resolvers::parse("").servers,
            [IpAddr::V4(Ipv4Addr::LOCALHOST)]
        );
    }
}
