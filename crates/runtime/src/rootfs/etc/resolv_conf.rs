//! The text of `/etc/resolv.conf` (resolv.conf(5)).

use model::container::DnsPlan;
use model::network::Ready;

/// In networks of ours the gateway answers; the servers that the plan names are asked by it.
pub(super) fn of_gateway(dns: &DnsPlan, ready: &Ready) -> String {
    // A name of ours has no dot, and is to be asked for as it is.
    let mut options = dns.options.clone();
    if !options.iter().any(|it| it.starts_with("ndots:")) {
        options.push("ndots:0".to_owned());
    }
    let search = match dns.search.is_empty() {
        true => &ready.search,
        false => &dns.search,
    };
    text(&[ready.nameserver.to_string()], search, &options)
}

/// What is there already, where the plan says nothing else.
pub(super) fn changed(there: &str, dns: &DnsPlan) -> String {
    if *dns == DnsPlan::default() {
        return there.to_owned();
    }
    let of = |key: &str| -> Vec<Vec<String>> {
        let lines = there.lines().map(|line| line.split_ascii_whitespace());
        lines
            .filter_map(|mut words| {
                (words.next() == Some(key)).then(|| words.map(str::to_owned).collect())
            })
            .collect()
    };
    let or = |own: &[String], others: Vec<String>| match own.is_empty() {
        true => others,
        false => own.to_vec(),
    };
    let own: Vec<String> = dns.servers.iter().map(ToString::to_string).collect();
    // The last line of its kind counts.
    let last = |key| of(key).pop().unwrap_or_default();
    text(
        &or(&own, of("nameserver").concat()),
        &or(&dns.search, last("search")),
        &or(&dns.options, of("options").concat()),
    )
}

fn text(servers: &[String], search: &[String], options: &[String]) -> String {
    let mut text = String::new();
    for server in servers {
        text.push_str(&format!("nameserver {server}\n"));
    }
    // A dot alone says that there are none.
    if !search.is_empty() && search != ["."] {
        text.push_str(&format!("search {}\n", search.join(" ")));
    }
    if !options.is_empty() {
        text.push_str(&format!("options {}\n", options.join(" ")));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(words: &[&str]) -> Vec<String> {
        words.iter().map(|it| (*it).to_owned()).collect()
    }

    #[test]
    fn the_gateway_is_the_server_whatever_the_plan_names() {
        let ready = Ready {
            links: Vec::new(),
            published: Vec::new(),
            nameserver: [10, 89, 0, 1].into(),
            search: words(&["host.example"]),
        };
        let mut dns = DnsPlan::default();
        assert_eq!(
            of_gateway(&dns, &ready),
            "nameserver 10.89.0.1\nsearch host.example\noptions ndots:0\n"
        );
        dns.servers = vec![[192, 0, 2, 7].into()];
        dns.search = words(&["a.example", "b.example"]);
        dns.options = words(&["timeout:1", "ndots:2"]);
        assert_eq!(
            of_gateway(&dns, &ready),
            "nameserver 10.89.0.1\nsearch a.example b.example\noptions timeout:1 ndots:2\n"
        );
        dns.search = words(&["."]);
        assert!(!of_gateway(&dns, &ready).contains("search"));
    }

    #[test]
    fn what_the_plan_does_not_name_stays() {
        let host = "# by hand\nnameserver 127.0.0.53\nsearch a.example\noptions edns0\n";
        let mut dns = DnsPlan::default();
        assert_eq!(changed(host, &dns), host);
        dns.servers = vec![[192, 0, 2, 7].into(), [192, 0, 2, 8].into()];
        assert_eq!(
            changed(host, &dns),
            "nameserver 192.0.2.7\nnameserver 192.0.2.8\nsearch a.example\noptions edns0\n"
        );
        dns.search = words(&["."]);
        dns.options = words(&["rotate"]);
        assert_eq!(
            changed("", &dns),
            "nameserver 192.0.2.7\nnameserver 192.0.2.8\noptions rotate\n"
        );
    }
}
