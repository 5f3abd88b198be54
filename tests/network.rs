//! Networks from end to end: names, borders, published ports, the way out, and the
//! gateway's own life.

#![expect(
    clippy::unwrap_used,
    reason = "a test that panics has failed, which is meant"
)]

mod kit;

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;
use std::sync::atomic::{AtomicU8, Ordering};

use kit::bases::Base;
use kit::web::{Neighbour, PATIENCE, get, get_until, wait_until};
use kit::{Shim, free_port, run};

/// What the web containers answer: their host name, and who asks.
const WHO: &str = r#"#!/bin/sh
who=${REMOTE_ADDR#\[::ffff:}
printf 'Content-Type: text/plain\r\n\r\n%s sees %s\n' "$(hostname)" "${who%\]}"
"#;
const PAGE: &str = "/cgi-bin/who";

/// One of the neighbours of this process.
fn neighbour() -> Neighbour {
    static NEXT: AtomicU8 = AtomicU8::new(0);
    Neighbour::new(NEXT.fetch_add(1, Ordering::Relaxed))
}

/// The page that web containers serve.
fn pages(shim: &Shim) -> String {
    let who = shim.write("www/cgi-bin/who", WHO);
    std::fs::set_permissions(who, PermissionsExt::from_mode(0o755)).unwrap();
    format!("{}:/www:ro", shim.path("www").display())
}

/// Starts a web server of this name on port 80.
fn web(shim: &Shim, name: &str, flags: &[&str]) {
    let pages = pages(shim);
    let run = [
        "run",
        "-d",
        "--name",
        name,
        "--hostname",
        name,
        "-v",
        &pages,
    ];
    shim.ok(&[
        &run[..],
        flags,
        &["busybox", "httpd", "-f", "-p", "80", "-h", "/www"],
    ]
    .concat());
}

/// What asks for the page at an address and port.
fn ask(address: &str, port: u16) -> String {
    format!("printf 'GET {PAGE} HTTP/1.0\\r\\n\\r\\n' | nc -w 5 {address} {port}")
}

/// Asks for a page from inside a container. A static busybox finds names by `nslookup`
/// only: what its `wget` would load is not in the image.
fn fetch(shim: &Shim, from: &str, host: &str) -> kit::Outcome {
    let mut host = host.to_owned();
    if !host.starts_with(|c: char| c.is_ascii_digit()) || !host.contains('.') {
        let found = shim.run(&["exec", from, "nslookup", "-type=a", &host]);
        match found
            .stdout
            .lines()
            .filter_map(|line| line.strip_prefix("Address: "))
            .next_back()
        {
            Some(address) if found.code == 0 => host = address.to_owned(),
            _ => return found,
        }
    }
    let (host, port) = host.split_once(':').unwrap_or((&host, "80"));
    shim.run(&["exec", from, "sh", "-c", &ask(host, port.parse().unwrap())])
}

/// Asks until there is an answer with `part` in it.
fn fetch_until(shim: &Shim, from: &str, host: &str, part: &str) -> String {
    let mut last = String::new();
    let met = wait_until(PATIENCE, || {
        let outcome = fetch(shim, from, host);
        last = format!("{}{}", outcome.stdout, outcome.stderr);
        outcome.stdout.contains(part)
    });
    assert!(met, "{from} asks {host}: no `{part}` in {last}");
    last
}

fn inspect(shim: &Shim, container: &str, template: &str) -> String {
    shim.ok(&["inspect", "--format", template, container])
}

fn address(shim: &Shim, container: &str) -> String {
    inspect(shim, container, "{{.NetworkSettings.IPAddress}}")
}

/// What [`name_server`] knows of every name.
const ANSWER: &str = "203.0.113.9";

/// A name server on an address of this machine's own.
fn name_server() -> String {
    static NEXT: AtomicU8 = AtomicU8::new(0);
    // Tests are processes of one runner, or threads of one process.
    let [low, high, ..] = std::process::id().to_le_bytes();
    let address = [127, 53 + NEXT.fetch_add(1, Ordering::Relaxed), high, low];
    let address = std::net::Ipv4Addr::from(address);
    let socket = std::net::UdpSocket::bind((address, 53)).unwrap();
    std::thread::spawn(move || {
        let mut buffer = [0; 512];
        while let Ok((length, from)) = socket.recv_from(&mut buffer) {
            // The question, and one answer that points back to its name.
            let mut reply = buffer[..length].to_vec();
            (reply[2], reply[3], reply[7]) = (0x81, 0x80, 1);
            reply.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4]);
            reply.extend(ANSWER.parse::<std::net::Ipv4Addr>().unwrap().octets());
            let _ = socket.send_to(&reply, from);
        }
    });
    address.to_string()
}

/// The gateway's process, if there is one.
fn gateway(shim: &Shim) -> Option<u32> {
    shim.processes().into_iter().find(|pid| {
        let command = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&command).contains("__gateway")
    })
}

as_root_and_user! {

fn names_are_known_in_their_network_only(shim: &Shim) {
    shim.has(&[Base::Busybox]);
    shim.ok(&["network", "create", "one"]);
    shim.ok(&["network", "create", "two"]);
    web(shim, "web", &["--network", "one", "--network-alias", "www"]);
    web(shim, "near", &["--network", "one"]);
    web(shim, "far", &["--network", "two"]);
    web(shim, "both", &["--network", "one", "--network", "two"]);
    let id = inspect(shim, "web", "{{.Id}}");
    let near = address(shim, "near");
    for name in ["web", "www", &id[..12], &address(shim, "web")] {
        fetch_until(shim, "near", name, &format!("web sees {near}"));
    }
    fetch_until(shim, "both", "web", "web sees");
    fetch_until(shim, "both", "far", "far sees");
    fetch_until(shim, "far", "both", "both sees");
    for name in ["web", "www", &id[..12]] {
        let unknown = fetch(shim, "far", name);
        assert!(unknown.stdout.contains("NXDOMAIN"), "{name}: {unknown:?}");
    }
    let seen = fetch(shim, "far", &address(shim, "web"));
    assert_eq!(seen.stdout, "", "by address neither: {seen:?}");
    fetch_until(shim, "web", "127.0.0.1", "web sees");

    let found: BTreeSet<String> =
        shim.ok(&["network", "ls", "--format", "{{.Name}}"]).lines().map(str::to_owned).collect();
    assert!(found.is_superset(&BTreeSet::from(["one".to_owned(), "two".to_owned()])), "{found:?}");
    shim.run(&["network", "rm", "one"]).failed(&["one", "hint:"]);
    shim.run(&["network", "create", "one"]).failed(&["one"]);
    shim.run(&["run", "--rm", "--network", "three", "busybox", "true"]).failed(&["three", "hint:"]);
    shim.ok(&["rm", "-f", "web", "near", "far", "both"]);
    shim.ok(&["network", "rm", "one", "two"]);
}

fn an_internal_network_has_no_way_out(shim: &Shim) {
    shim.has(&[Base::Busybox]);
    let neighbour = neighbour();
    neighbour.serve(8080, "a page from outside");
    let ask = ["sh", "-c", &ask(&neighbour.address.to_string(), 8080)];
    shim.ok(&["network", "create", "--internal", "shut"]);
    web(shim, "inside", &["--network", "shut"]);
    let plain = [&["run", "--rm", "busybox"], &ask[..]].concat();
    let mut seen = String::new();
    let met = wait_until(PATIENCE, || {
        seen = shim.run(&plain).stdout;
        seen.contains("a page from outside")
    });
    assert!(met, "a usual network leads outside");
    assert!(seen.contains(&format!("to {}", neighbour.host)), "as the host's own: {seen}");
    let shut = [&["run", "--rm", "--network", "shut", "busybox"], &ask[..]].concat();
    let refused = shim.run(&shut);
    assert!(refused.stdout.is_empty() && refused.stderr.contains("can't connect"), "{refused:?}");
    web(shim, "beside", &["--network", "shut"]);
    fetch_until(shim, "beside", "inside", "inside sees");
}

fn published_ports_lead_inside_and_tell_who_asks(shim: &Shim) {
    shim.has(&[Base::Busybox]);
    let port = free_port();
    web(shim, "web", &["-p", &format!("{port}:80")]);
    get_until(port, PAGE, "web sees");
    let neighbour = neighbour();
    let answer = neighbour.get(port, PAGE);
    assert!(answer.contains(&format!("web sees {}", neighbour.address)), "{answer}");

    // The container itself, by an address of the host.
    fetch_until(shim, "web", &format!("{}:{port}", neighbour.host), "web sees");
    // And another one.
    web(shim, "other", &[]);
    fetch_until(shim, "other", &format!("{}:{port}", neighbour.host), "web sees");

    let row = shim.ok(&["ps", "--filter", "name=web", "--format", "{{.Ports}}"]);
    assert!(row.contains(&format!("0.0.0.0:{port}->80/tcp")), "{row}");
    shim.ok(&["stop", "-t", "0", "web"]);
    assert!(get(port, PAGE).is_none(), "nobody listens any more");
    assert_eq!(shim.ok(&["ps", "-a", "--filter", "name=web", "--format", "{{.Ports}}"]), "");
    shim.ok(&["start", "web"]);
    get_until(port, PAGE, "web sees");
}

fn a_free_port_is_found_and_shown(shim: &Shim) {
    shim.has(&[Base::Busybox]);
    web(shim, "web", &["-p", "80", "-p", "127.0.0.1::81/udp"]);
    let template = "{{(index (index .NetworkSettings.Ports \"80/tcp\") 0).HostPort}}";
    let port: u16 = inspect(shim, "web", template).parse().unwrap();
    get_until(port, PAGE, "web sees");
    let row = shim.ok(&["ps", "--format", "{{.Ports}}"]);
    assert!(row.contains(&format!(":{port}->80/tcp")), "{row}");
    assert!(row.contains("127.0.0.1:") && row.contains("->81/udp"), "{row}");
    // One address only.
    let neighbour = neighbour();
    let port = free_port();
    web(shim, "local", &["-p", &format!("127.0.0.1:{port}:80")]);
    get_until(port, PAGE, "local sees");
    assert_eq!(neighbour.get(port, PAGE), "");
}

fn a_port_in_use_names_its_holder(shim: &Shim) {
    shim.has(&[Base::Busybox]);
    let port = free_port();
    let publish = format!("{port}:80");
    web(shim, "first", &["-p", &publish]);
    let args = ["run", "-d", "--name", "second", "-p", &publish, "busybox", "sleep", "9"];
    let outcome = shim.run(&args);
    assert_eq!(outcome.code, 125);
    outcome.failed(&[&port.to_string(), "in use", "first", "hint:"]);
    // As with docker, it stays, to be started again or looked at.
    let all = shim.ok(&["ps", "-a", "--format", "{{.Names}} {{.State}}"]);
    assert_eq!(all, "second created\nfirst running");
    shim.ok(&["rm", "-f", "first", "second"]);

    let listener = std::net::TcpListener::bind(("0.0.0.0", port)).unwrap();
    let namespaces = shim.namespaces();
    let said = shim.run(&args).failed(&[&port.to_string(), "in use", "hint:"]);
    if !shim.rootless() {
        assert!(said.contains(&format!("pid {}", std::process::id())), "{said}");
    }
    shim.ok(&["rm", "second"]);
    shim.leaves_no_trace(&namespaces);
    drop(listener);
    shim.ok(&args);
    shim.ok(&["rm", "-f", "second"]);
    shim.leaves_no_trace(&namespaces);
}

fn networks_of_others_can_be_used(shim: &Shim) {
    shim.has(&[Base::Busybox]);
    let devices = |network: &str| {
        let script = "sed -n 's/^ *\\([^ ]*\\):.*/\\1/p' /proc/net/dev";
        let args = ["run", "--rm", "--network", network, "busybox", "sh", "-c", script];
        shim.ok(&args).lines().map(str::to_owned).collect::<BTreeSet<_>>()
    };
    assert_eq!(devices("none"), BTreeSet::from(["lo".to_owned()]));
    let neighbour = neighbour();
    assert!(devices("host").contains(&neighbour.device()), "the host's own");
    web(shim, "web", &[]);
    assert!(devices("container:web").contains("eth0"));
    let beside = ["run", "--rm", "--network", "container:web", "busybox"];
    let seen = shim.ok(&[&beside[..], &["sh", "-c", &ask("127.0.0.1", 80)]].concat());
    assert!(seen.contains("sees 127.0.0.1"), "{seen}");
    let same = "cat /etc/hosts /etc/resolv.conf; hostname";
    let there = shim.ok(&["exec", "web", "sh", "-c", same]);
    assert!(there.contains("\tweb\n") && there.ends_with("\nweb"), "{there}");
    assert_eq!(shim.ok(&[&beside[..], &["sh", "-c", same]].concat()), there);
    let absent = ["run", "--rm", "--network", "container:nobody", "busybox", "true"];
    shim.run(&absent).failed(&["nobody"]);
    let publish = ["run", "--rm", "--network", "host", "-p", "80:80", "busybox", "true"];
    let told = shim.run(&publish);
    assert!(told.code == 0 && told.stderr.contains("published ports mean nothing"), "{told:?}");
    let known = ["run", "--rm", "--add-host", "db:192.0.2.7", "busybox", "cat", "/etc/hosts"];
    let hosts = shim.ok(&known);
    assert!(hosts.lines().any(|line| line == "192.0.2.7\tdb"), "{hosts}");
}

fn names_and_addresses_are_what_the_flags_say(shim: &Shim) {
    shim.has(&[Base::Busybox]);
    let server = name_server();
    let show = "cat /etc/resolv.conf /sys/class/net/eth0/address; \
                nslookup -type=a far.example; ip -o -4 address show dev eth0";
    let flags = [
        "--dns", &server, "--dns-search", "a.example", "--dns-option", "timeout:3",
        "--mac-address", "02:42:0A:00:00:07",
    ];
    let shown = |flags: &[&str]| {
        shim.ok(&[&["run", "--rm"], flags, &["busybox", "sh", "-c", show]].concat())
    };
    let text = shown(&flags);
    for part in ["search a.example\noptions timeout:3 ndots:0\n02:42:0a:00:00:07\n", ANSWER] {
        assert!(text.contains(part), "no `{part}` in {text}");
    }
    shim.ok(&["network", "create", "--subnet", "10.88.77.0/24", "own"]);
    let own = ["--network", "own", "--ip", "10.88.77.9"];
    let text = shown(&[&own[..], &flags].concat());
    for part in ["nameserver 10.88.77.1\n", "02:42:0a:00:00:07\n", "10.88.77.9/24", ANSWER] {
        assert!(text.contains(part), "no `{part}` in {text}");
    }
    web(shim, "web", &own);
    let taken = [&["run", "--rm"], &own[..], &["busybox", "true"]].concat();
    shim.run(&taken).failed(&["10.88.77.9", "web", "hint:"]);
    let outside = ["run", "--rm", "--network", "own", "--ip", "10.88.76.9", "busybox", "true"];
    shim.run(&outside).failed(&["10.88.76.9", "10.88.77.0/24"]);
    shim.run(&["network", "rm", "own"]).failed(&["own", "web", "hint:"]);

    // The host itself, from where it is.
    let files = "cat /etc/hosts /etc/resolv.conf";
    let host = ["run", "--rm", "--network", "host", "--add-host", "h:host-gateway"];
    let text = shim.ok(&[&host[..], &["--dns", &server, "busybox", "sh", "-c", files]].concat());
    let own = std::fs::read_to_string("/etc/hosts").unwrap();
    assert!(text.starts_with(own.trim_end()), "{text}");
    assert!(text.contains("127.0.0.1\th\n"), "{text}");
    assert!(text.contains(&format!("nameserver {server}")), "{text}");
    shim.ok(&["rm", "-f", "web"]);
    shim.ok(&["network", "rm", "own"]);
}

fn a_gateway_that_was_killed_is_replaced(shim: &Shim) {
    shim.has(&[Base::Busybox]);
    let port = free_port();
    web(shim, "web", &["-p", &format!("{port}:80")]);
    web(shim, "near", &[]);
    get_until(port, PAGE, "web sees");
    let link = ["exec", "near", "ip", "-o", "address", "show", "dev", "eth0"];
    let before = shim.ok(&link);
    let old = gateway(shim).expect("containers have a network");
    run("kill", &["-KILL", &old.to_string()]);
    // A newcomer at once: it neither gets an address of theirs nor costs them their links.
    web(shim, "third", &[]);
    assert!(!["web", "near"].map(|it| address(shim, it)).contains(&address(shim, "third")));
    // The supervisors or it start another one, and that takes over what there is.
    assert!(wait_until(PATIENCE, || gateway(shim).is_some_and(|new| new != old)));
    get_until(port, PAGE, "web sees");
    assert_eq!(shim.ok(&link), before, "the link survives");
    fetch_until(shim, "near", "web", "web sees");
    fetch_until(shim, "near", "third", "third sees");
    fetch_until(shim, "third", "near", "near sees");
    let neighbour = neighbour();
    let answer = neighbour.get(port, PAGE);
    assert!(answer.contains(&format!("web sees {}", neighbour.address)), "{answer}");

    let namespaces = shim.namespaces();
    shim.ok(&["rm", "-f", "web", "near"]);
    assert!(gateway(shim).is_some(), "one container is left");
    shim.ok(&["stop", "-t", "0", "third"]);
    assert_eq!(gateway(shim), None, "it ends with the last container");
    shim.ok(&["rm", "third"]);
    shim.leaves_no_trace(&namespaces);
}

}
