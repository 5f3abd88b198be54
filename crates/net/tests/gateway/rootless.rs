//! The same for a plain user: the gateway and the containers in a user namespace, the host's
//! network namespace out of their power.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::Ipv4Addr;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use model::network::Transport;
use net::Client;

use crate::kit::{self, HOST, Machine, Namespace, OUTSIDE, attachment, plan, publish};

/// Set for the child process that is the user; holds the run directory.
const USER: &str = "SHIM_TEST_USER";
/// The ports that are served outside, TCP and UDP.
const PORTS: &str = "SHIM_TEST_PORTS";
/// Somebody who is nobody.
const NOBODY: &str = "65534";

/// Not a test: the user's part, in a user namespace.
#[test]
fn the_user() {
    let Some(dir) = std::env::var_os(USER).map(PathBuf::from) else {
        return;
    };
    let ports = std::env::var(PORTS).unwrap();
    let (tcp, udp) = ports.split_once(' ').unwrap();
    let client =
        || Client::ensure(&dir, |ready| kit::start_gateway(&dir, ready).map(drop)).unwrap();

    let mut wanted = plan("web", vec![attachment("front", 0)]);
    wanted.published = vec![
        publish(8000, 80, Transport::Tcp),
        publish(8000, 80, Transport::Udp),
    ];
    let netns = Namespace::new();
    let connection = client();
    let attached = connection
        .attach(wanted.clone(), false, netns.0.as_fd(), None)
        .unwrap();
    netns.serve_tcp(Ipv4Addr::UNSPECIFIED, 80);
    netns.serve_udp(Ipv4Addr::UNSPECIFIED, 80);
    let said = netns
        .call((OUTSIDE, tcp.parse().unwrap()), "hello")
        .unwrap();
    assert!(said.starts_with("192.0.2.1:"), "{said}");
    let said = netns
        .tell((OUTSIDE, udp.parse().unwrap()), "hello")
        .unwrap();
    assert!(said.starts_with("192.0.2.1:"), "{said}");

    let mut low = plan("low", vec![attachment("front", 0)]);
    low.published = vec![publish(80, 80, Transport::Tcp)];
    let error = client()
        .attach(low, false, Namespace::new().0.as_fd(), None)
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "port 80/tcp on 0.0.0.0 is reserved for root"
    );
    let hint = error.hint().unwrap();
    assert!(
        hint.contains("sudo sysctl -w net.ipv4.ip_unprivileged_port_start=80"),
        "{hint}"
    );

    std::io::stdout().write_all(b"\nready\n").unwrap();
    let _ = std::io::stdin().read(&mut [0]);
    let end = client();
    end.end_when_idle().unwrap();
    drop((connection, attached));
    end.wait_for_end();
}

#[test]
fn a_plain_user_has_all_of_it() {
    let machine = Machine::new();
    let ports = [
        machine.outside.serve_tcp(OUTSIDE, 0),
        machine.outside.serve_udp(OUTSIDE, 0),
    ];
    let dir = machine.run_dir().join("user");
    std::fs::create_dir(&dir).unwrap();
    let nobody = NOBODY.parse().ok();
    std::os::unix::fs::chown(&dir, nobody, nobody).unwrap();
    std::os::unix::fs::chown(machine.run_dir(), nobody, nobody).unwrap();

    let mut user = machine.host.within(|| {
        Command::new("setpriv")
            .args(["--reuid", NOBODY, "--regid", NOBODY, "--clear-groups"])
            .args(["unshare", "--user", "--map-root-user"])
            .arg(std::env::current_exe().unwrap())
            .args(["--exact", "rootless::the_user", "--nocapture"])
            .env(USER, &dir)
            .env(PORTS, format!("{} {}", ports[0], ports[1]))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap()
    });
    let mut lines = BufReader::new(user.stdout.take().unwrap()).lines();
    let ready = lines.any(|line| line.unwrap() == "ready");
    assert!(ready, "the user's part ended early");
    for said in [
        machine.outside.call((HOST, 8000), "hi"),
        machine.outside.tell((HOST, 8000), "hi"),
    ] {
        let said = said.unwrap();
        assert!(
            said.starts_with("192.0.2.7:") && said.ends_with(" hi"),
            "{said}"
        );
    }
    drop(user.stdin.take());
    assert!(user.wait().unwrap().success());
}
