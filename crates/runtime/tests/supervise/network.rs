//! What a supervisor does about its gateway, with a gateway that the test plays.

use std::os::fd::{AsFd, OwnedFd};

use model::NetworkPlan;
use model::container::{NetworkMode, RestartPolicy};
use model::network::{Attachment, Link, Ready, Reply, Request};
use sys::unix::Packet;

use crate::Test;
use crate::kit::{Container, eventually, script};

pub(crate) const TESTS: &[Test] = &[
    (
        "a_new_gateway_is_given_what_exists",
        a_new_gateway_is_given_what_exists,
    ),
    (
        "a_dead_gateway_is_started_again",
        a_dead_gateway_is_started_again,
    ),
    ("a_restart_attaches_anew", a_restart_attaches_anew),
];

const ADDRESS: [u8; 4] = [10, 89, 0, 7];

fn networked(text: &str) -> Container {
    script(text).with(|plan| {
        plan.network = NetworkMode::Gateway(NetworkPlan {
            container: plan.id.clone(),
            name: plan.name.clone(),
            attachments: vec![Attachment {
                network: "net".into(),
                subnet: ([10, 89, 0, 0].into(), 24),
                address: None,
                aliases: Vec::new(),
                internal: false,
                mac: None,
            }],
            published: Vec::new(),
            host_loopback: false,
            servers: Vec::new(),
        });
    })
}

fn listen(container: &Container) -> OwnedFd {
    let path = &container.plan.paths.gateway;
    let _ = std::fs::remove_file(path);
    sys::unix::listen(path, 8).unwrap()
}

/// Answers one supervisor: its connection, what it asked, how many descriptors it gave.
fn answer(listener: &OwnedFd) -> (OwnedFd, NetworkPlan, bool, usize) {
    let connection = sys::unix::accept(listener).unwrap();
    let Some(Packet { bytes, fds }) = sys::unix::recv(&connection, 1 << 16).unwrap() else {
        // Only asked whether somebody listens.
        return answer(listener);
    };
    let Request::Attach { plan, adopt } = serde_json::from_slice(&bytes).unwrap() else {
        panic!("not an attach")
    };
    let ready = Reply::Ready(Ready {
        links: vec![Link {
            network: "net".into(),
            address: ADDRESS.into(),
            prefix: 24,
            gateway: [10, 89, 0, 1].into(),
            mac: "02:00:00:00:00:07".into(),
        }],
        published: Vec::new(),
        nameserver: [10, 89, 0, 1].into(),
        search: Vec::new(),
    });
    let router = std::fs::File::open("/proc/self/ns/net").unwrap();
    let reply = serde_json::to_vec(&ready).unwrap();
    sys::unix::send(&connection, &reply, &[router.as_fd()]).unwrap();
    (connection, plan, adopt, fds.len())
}

fn a_new_gateway_is_given_what_exists() {
    let container = networked("sleep 1000");
    let listener = listen(&container);
    let client = container.spawn();
    let (first, plan, adopt, fds) = answer(&listener);
    assert_eq!((plan.attachments[0].address, adopt, fds), (None, false, 1));
    { client }.started().unwrap();
    let link = &container.state().network.unwrap().links[0];
    assert_eq!(link.address, std::net::Ipv4Addr::from(ADDRESS));

    drop(first);
    let (second, plan, adopt, fds) = answer(&listener);
    assert_eq!(
        (plan.attachments[0].address, adopt, fds),
        (Some(ADDRESS.into()), true, 2)
    );
    // Also after the supervisor has executed itself.
    let supervisor = container.state().supervisor.pid;
    eventually("it executed itself", || {
        let path = format!("/proc/{supervisor}/cmdline");
        std::fs::read_to_string(path).unwrap().contains("--resume")
    });
    drop(second);
    let (_third, _, adopt, fds) = answer(&listener);
    assert_eq!((adopt, fds), (true, 2));
}

fn a_dead_gateway_is_started_again() {
    let container = networked("sleep 1000");
    let first = listen(&container);
    let client = container.spawn();
    let connection = answer(&first);
    { client }.started().unwrap();
    drop((first, connection));
    let mark = container.run_base().join(crate::GATEWAY_MARK);
    eventually("a gateway was executed", || mark.exists());
    let (_connection, _, adopt, _) = answer(&listen(&container));
    assert!(adopt);
}

fn a_restart_attaches_anew() {
    let container =
        networked("exit 1").with(|plan| plan.restart = RestartPolicy::OnFailure { max_retries: 1 });
    let listener = listen(&container);
    let client = container.spawn();
    let _first = answer(&listener);
    { client }.started().unwrap();
    let (_second, plan, adopt, fds) = answer(&listener);
    assert_eq!((plan.attachments[0].address, adopt, fds), (None, false, 1));
    assert_eq!(container.wait(), 1);
    assert_eq!(container.exit_record().restarts, 1);
}
