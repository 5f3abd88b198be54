//! The gateway by hand, to try things between namespaces that `ip netns` made:
//!
//! ```text
//! gateway serve RUN_DIR
//! gateway attach RUN_DIR NETNS_FILE NAME [HOST_PORT:PORT]
//! ```
//!
//! `attach` prints what the container has and keeps it until its standard input ends.

use std::fs::File;
use std::io::{Read, Write};
use std::net::Ipv4Addr;
use std::os::fd::AsFd;
use std::path::PathBuf;

use model::ContainerId;
use model::network::{Attachment, NetworkPlan, PublishedPort, Transport};

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args[1..] {
        ["serve", dir] => {
            let run_dir = PathBuf::from(dir);
            let socket = net::socket_path(&run_dir);
            let config = net::gateway::GatewayConfig {
                socket,
                run_dir,
                router_netns: None,
                ready: None,
            };
            std::process::exit(net::gateway::main(config));
        }
        ["attach", dir, netns, name, ref ports @ ..] => attach(dir, netns, name, ports),
        _ => {
            let _ = writeln!(
                std::io::stderr(),
                "see the head of this example for its arguments"
            );
            std::process::exit(2);
        }
    }
}

fn attach(dir: &str, netns: &str, name: &str, ports: &[&str]) {
    let netns = File::open(netns).expect("a network namespace's file");
    let client = net::Client::connect(dir.as_ref()).expect("a run directory");
    let client = client.expect("a gateway that serves");
    let (ready, _router) = client
        .attach(plan(name, ports), false, netns.as_fd(), None)
        .expect("a sound plan");
    let text = serde_json::to_string(&ready).expect("string keys");
    writeln!(std::io::stdout(), "{text}").expect("an open standard output");
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
}

fn plan(name: &str, ports: &[&str]) -> NetworkPlan {
    let port = |text: &&str| {
        let (host, container) = text.split_once(':').expect("HOST_PORT:PORT");
        let container_port = container.parse().expect("a port");
        let host_port = host.parse().ok();
        [Transport::Tcp, Transport::Udp].map(|transport| PublishedPort {
            host_ip: None,
            host_port,
            container_port,
            transport,
        })
    };
    let mut seed = [0; 32];
    seed.iter_mut()
        .zip(name.bytes().rev().cycle())
        .for_each(|(place, byte)| *place = byte);
    NetworkPlan {
        container: ContainerId::from_random(seed),
        name: name.to_owned(),
        attachments: vec![Attachment {
            network: "default".to_owned(),
            subnet: (Ipv4Addr::new(10, 89, 0, 0), 24),
            address: None,
            aliases: vec![],
            internal: false,
            mac: None,
        }],
        published: ports.iter().flat_map(port).collect(),
        host_loopback: false,
        servers: Vec::new(),
    }
}
