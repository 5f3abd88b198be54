//! The gateway as a process, between namespaces that stand for a host, the world outside it,
//! and containers. Needs root; leaves nothing behind.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::AsFd;

use model::network::Transport;

use kit::{HOST, Machine, Namespace, OUTSIDE, attachment, eventually, plan, publish};

mod kit;
mod questions;
mod rootless;

/// Not a test: the process that the others start.
#[test]
fn the_gateway_process() {
    kit::gateway_process();
}

#[test]
fn a_container_reaches_the_world_outside() {
    let mut machine = Machine::new();
    let tcp = machine.outside.serve_tcp(OUTSIDE, 0);
    let udp = machine.outside.serve_udp(OUTSIDE, 0);
    let one = machine.container(plan("one", vec![attachment("front", 0)]));
    let said = one.netns.call((OUTSIDE, tcp), "hello").unwrap();
    assert!(
        said.starts_with("192.0.2.1:") && said.ends_with(" hello"),
        "{said}"
    );
    let said = one.netns.tell((OUTSIDE, udp), "hello").unwrap();
    assert!(
        said.starts_with("192.0.2.1:") && said.ends_with(" hello"),
        "{said}"
    );
    // Nobody listens there.
    assert!(one.netns.call((OUTSIDE, 1), "hello").is_err());
}

#[test]
fn much_data_arrives_whole_in_both_directions() {
    let mut machine = Machine::new();
    let tcp = machine.outside.serve_tcp(OUTSIDE, 0);
    let one = machine.container(plan("one", vec![attachment("front", 0)]));
    let text: String = (0..400_000).map(|n| format!("{n:07} ")).collect();
    let address = SocketAddr::from((OUTSIDE, tcp));
    let said = one.netns.within(|| {
        use std::io::{Read, Write};
        let mut stream = std::net::TcpStream::connect(address).unwrap();
        let mut writer = stream.try_clone().unwrap();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                writer.write_all(text.as_bytes()).unwrap();
                writer.shutdown(std::net::Shutdown::Write).unwrap();
            });
            let mut said = String::new();
            stream.read_to_string(&mut said).unwrap();
            said
        })
    });
    assert!(
        said.split_once(' ').is_some_and(|(_, echo)| echo == text),
        "{} bytes",
        said.len()
    );
}

#[test]
fn published_ports_show_the_client_as_it_is() {
    let mut machine = Machine::new();
    let mut wanted = plan("web", vec![attachment("front", 0)]);
    wanted.published = vec![
        publish(8000, 80, Transport::Tcp),
        publish(8000, 80, Transport::Udp),
    ];
    let web = machine.container(wanted);
    web.netns.serve_tcp(Ipv4Addr::UNSPECIFIED, 80);
    web.netns.serve_udp(Ipv4Addr::UNSPECIFIED, 80);
    let from = |said: String| said.split_once(':').unwrap().0.to_owned();

    let outside = &machine.outside;
    assert_eq!(
        from(outside.call((HOST, 8000), "hello").unwrap()),
        "192.0.2.7"
    );
    assert_eq!(
        from(outside.tell((HOST, 8000), "hello").unwrap()),
        "192.0.2.7"
    );

    let local = [
        SocketAddr::from((Ipv4Addr::LOCALHOST, 8000)),
        (HOST, 8000).into(),
    ];
    for server in local
        .into_iter()
        .chain([(Ipv6Addr::LOCALHOST, 8000).into()])
    {
        assert_eq!(
            from(machine.host.call(server, "hello").unwrap()),
            "10.89.0.1",
            "{server}"
        );
        assert_eq!(
            from(machine.host.tell(server, "hello").unwrap()),
            "10.89.0.1",
            "{server}"
        );
    }
}

#[test]
fn a_container_reaches_published_ports_of_itself_and_others() {
    let mut machine = Machine::new();
    let mut wanted = plan("web", vec![attachment("front", 0)]);
    wanted.published = vec![
        publish(8000, 80, Transport::Tcp),
        publish(8000, 80, Transport::Udp),
    ];
    let web = machine.container(wanted);
    let other = machine.container(plan("other", vec![attachment("back", 1)]));
    web.netns.serve_tcp(Ipv4Addr::UNSPECIFIED, 80);
    web.netns.serve_udp(Ipv4Addr::UNSPECIFIED, 80);
    for netns in [&web.netns, &other.netns] {
        assert!(
            netns
                .call((HOST, 8000), "hello")
                .unwrap()
                .ends_with(" hello")
        );
        assert!(
            netns
                .tell((HOST, 8000), "hello")
                .unwrap()
                .ends_with(" hello")
        );
    }
    let gateway = other.ready.links[0].gateway;
    assert!(
        other
            .netns
            .call((gateway, 8000), "hello")
            .unwrap()
            .ends_with(" hello")
    );
    // Only through the published port: networks are apart.
    assert!(other.netns.call((web.address(), 80), "hello").is_err());
}

#[test]
fn neighbours_talk_and_an_internal_network_is_shut() {
    let mut machine = Machine::new();
    let tcp = machine.outside.serve_tcp(OUTSIDE, 0);
    let mut shut = attachment("vault", 2);
    shut.internal = true;
    let one = machine.container(plan("one", vec![shut.clone()]));
    let two = machine.container(plan("two", vec![shut, attachment("front", 0)]));
    one.netns.serve_tcp(Ipv4Addr::UNSPECIFIED, 80);
    assert!(
        two.netns
            .call((one.address(), 80), "hello")
            .unwrap()
            .ends_with(" hello")
    );
    assert!(one.netns.call((OUTSIDE, tcp), "hello").is_err());
    assert!(
        two.netns
            .call((OUTSIDE, tcp), "hello")
            .unwrap()
            .ends_with(" hello")
    );
    assert_eq!(two.ready.nameserver, Ipv4Addr::new(10, 89, 0, 1));
    assert_eq!(two.netns.interfaces(), ["eth0", "eth1"]);
    // A container with NET_ADMIN may make itself a route, and gets nowhere with it.
    one.netns.within(|| {
        let route = sys::netlink::Route::open().unwrap();
        route
            .add_default_route(Ipv4Addr::new(10, 89, 2, 1))
            .unwrap();
    });
    assert!(one.netns.call((OUTSIDE, tcp), "hello").is_err());
}

#[test]
fn the_hosts_loopback_is_for_those_who_may() {
    let mut machine = Machine::new();
    let tcp = machine.host.serve_tcp(Ipv4Addr::LOCALHOST, 0);
    let alias = Ipv4Addr::new(169, 254, 1, 2);
    let mut allowed = plan("one", vec![attachment("front", 0)]);
    allowed.host_loopback = true;
    let one = machine.container(allowed);
    let two = machine.container(plan("two", vec![attachment("front", 0)]));
    assert!(
        one.netns
            .call((alias, tcp), "hello")
            .unwrap()
            .ends_with(" hello")
    );
    assert!(two.netns.call((alias, tcp), "hello").is_err());
}

#[test]
fn a_port_in_use_names_its_holder_and_leaves_nothing() {
    let mut machine = Machine::new();
    let mut wanted = plan("web", vec![attachment("front", 0)]);
    wanted.published = vec![publish(8000, 80, Transport::Tcp)];
    let web = machine.container(wanted.clone());
    let refuse = |machine: &mut Machine, wanted: model::network::NetworkPlan| {
        let netns = Namespace::new();
        let client = machine.client();
        let error = client
            .attach(wanted, false, netns.0.as_fd(), None)
            .unwrap_err();
        assert_eq!(netns.interfaces(), [""; 0]);
        assert!(error.hint().is_some());
        error.to_string()
    };
    let mut second = plan("second", vec![attachment("front", 0)]);
    second.published = wanted.published.clone();
    let said = refuse(&mut machine, second.clone());
    assert_eq!(said, "port 8000/tcp on 0.0.0.0 is in use by container web");

    machine.host.serve_tcp(Ipv4Addr::UNSPECIFIED, 9000);
    second.published = vec![
        publish(9001, 80, Transport::Tcp),
        publish(9000, 80, Transport::Tcp),
    ];
    let said = refuse(&mut machine, second.clone());
    let own = std::fs::read_to_string("/proc/self/comm").unwrap();
    let holder = format!("is in use by {} (pid {})", own.trim(), std::process::id());
    assert!(said.ends_with(&holder), "{said}");

    // As soon as the first is gone its port is free, and so is that of the failed attempt.
    drop(web);
    second.published = vec![
        publish(9001, 80, Transport::Tcp),
        publish(8000, 80, Transport::Tcp),
    ];
    machine.container(second);
}

#[test]
fn a_new_gateway_takes_over_from_a_dead_one() {
    let mut machine = Machine::new();
    let mut wanted = plan("web", vec![attachment("front", 0)]);
    wanted.published = vec![publish(8000, 80, Transport::Tcp)];
    let web = machine.container(wanted.clone());
    web.netns.serve_tcp(Ipv4Addr::UNSPECIFIED, 80);
    let neighbour = machine.container(plan("two", vec![attachment("front", 0)]));
    machine.kill_gateway();
    web.client.wait_for_end();
    // The links outlive it.
    let inside = (web.address(), 80);
    assert!(
        neighbour
            .netns
            .call(inside, "hello")
            .unwrap()
            .ends_with(" hello")
    );

    wanted.attachments[0].address = Some(web.address());
    let (netns, router) = (web.netns.0.as_fd(), web.router.as_fd());
    let client = machine.client();
    let (ready, _) = client.attach(wanted, true, netns, Some(router)).unwrap();
    assert_eq!(ready, web.ready);
    let said = machine.outside.call((HOST, 8000), "hello").unwrap();
    assert!(said.starts_with("192.0.2.7:"), "{said}");
    assert!(
        neighbour
            .netns
            .call(inside, "hello")
            .unwrap()
            .ends_with(" hello")
    );
    let tcp = machine.outside.serve_tcp(OUTSIDE, 0);
    assert!(
        web.netns
            .call((OUTSIDE, tcp), "hello")
            .unwrap()
            .ends_with(" hello")
    );
}

#[test]
fn a_container_whose_router_namespace_is_lost_gets_new_links() {
    let mut machine = Machine::new();
    let mut wanted = plan("web", vec![attachment("front", 0)]);
    let web = machine.container(wanted.clone());
    machine.kill_gateway();
    // A newcomer is first, so that the new gateway has made a namespace of its own; nothing
    // tells it that there is somebody to wait for.
    std::fs::remove_file(machine.run_dir().join("gateway-tenants.json")).unwrap();
    let newcomer = machine.container(plan("new", vec![attachment("front", 0)]));
    assert_eq!(newcomer.address(), web.address());
    drop(newcomer);
    wanted.attachments[0].address = Some(web.address());
    let (netns, router) = (web.netns.0.as_fd(), web.router.as_fd());
    let client = machine.client();
    let (ready, _) = client.attach(wanted, true, netns, Some(router)).unwrap();
    assert_eq!(ready, web.ready);
    let tcp = machine.outside.serve_tcp(OUTSIDE, 0);
    assert!(
        web.netns
            .call((OUTSIDE, tcp), "hello")
            .unwrap()
            .ends_with(" hello")
    );
}

#[test]
fn a_hardware_address_can_be_chosen_and_outlives_the_gateway() {
    let mut machine = Machine::new();
    let mut wanted = plan("one", vec![attachment("front", 0)]);
    wanted.attachments[0].mac = Some("02:42:ac:11:00:09".to_owned());
    let one = machine.container(wanted.clone());
    assert_eq!(one.ready.links[0].mac, "02:42:ac:11:00:09");
    let near = machine.container(plan("near", vec![attachment("front", 0)]));
    assert_eq!(near.netns.neighbour(one.address()), "02:42:ac:11:00:09");
    // The router's namespace is lost, too.
    machine.kill_gateway();
    wanted.attachments[0].address = Some(one.address());
    let client = machine.client();
    let fresh = Namespace::new();
    let (netns, router) = (one.netns.0.as_fd(), fresh.0.as_fd());
    let (ready, _) = client
        .attach(wanted.clone(), true, netns, Some(router))
        .unwrap();
    assert_eq!(ready, one.ready);
    let near = machine.container(plan("near2", vec![attachment("front", 0)]));
    assert_eq!(near.netns.neighbour(one.address()), "02:42:ac:11:00:09");

    wanted.attachments[0] = attachment("front", 0);
    wanted.attachments[0].mac = Some("33:00:00:00:00:01".to_owned());
    let refused = machine
        .client()
        .attach(wanted, false, Namespace::new().0.as_fd(), None)
        .unwrap_err();
    assert_eq!(
        refused.to_string(),
        "no interface can have the hardware address 33:00:00:00:00:01, wanted in network front"
    );
}

#[test]
fn newcomers_wait_for_those_whose_gateway_was_killed() {
    let mut machine = Machine::new();
    let wanted = ["one", "two"].map(|name| plan(name, vec![attachment("front", 0)]));
    let old = wanted.clone().map(|plan| machine.container(plan));
    let indices = || old.each_ref().map(|it| it.netns.link_index("eth0"));
    let before = indices();
    let router = |fd: &std::os::fd::OwnedFd| sys::net::namespace_id(fd.as_fd()).unwrap();
    machine.kill_gateway();
    let successor = machine.client();
    let newcomer = Namespace::new();
    let dir = machine.run_dir();
    std::thread::scope(|scope| {
        let attached = scope.spawn(|| {
            let wanted = plan("new", vec![attachment("front", 0)]);
            successor.attach(wanted, false, newcomer.0.as_fd(), None)
        });
        let mut back = Vec::new();
        for (mut plan, it) in wanted.into_iter().zip(&old) {
            // Time enough for the newcomer, if it were not held back.
            std::thread::sleep(std::time::Duration::from_millis(300));
            assert!(!attached.is_finished());
            plan.attachments[0].address = Some(it.address());
            let client = net::Client::connect(dir).unwrap().unwrap();
            let (netns, router) = (it.netns.0.as_fd(), it.router.as_fd());
            let (ready, _) = client.attach(plan, true, netns, Some(router)).unwrap();
            assert_eq!(ready, it.ready);
            back.push(client);
        }
        let (ready, its_router) = attached.join().unwrap().unwrap();
        assert!(!old.iter().any(|it| it.address() == ready.links[0].address));
        assert_eq!(router(&its_router), router(&old[0].router));
        assert_eq!(indices(), before, "the links are the same");
        old[0].netns.serve_tcp(Ipv4Addr::UNSPECIFIED, 80);
        let said = newcomer.call((old[0].address(), 80), "hello").unwrap();
        assert!(said.ends_with(" hello"), "{said}");
    });
}

#[test]
fn newcomers_do_not_wait_for_the_dead_nor_for_ever() {
    let mut machine = Machine::new();
    let lost = machine.container(plan("one", vec![attachment("front", 0)]));
    machine.kill_gateway();
    // Its supervisor, this process, lives and does not come: its address stays its own.
    let new = machine.container(plan("new", vec![attachment("front", 0)]));
    assert_ne!(new.address(), lost.address());
    machine.kill_gateway();
    let record = machine.run_dir().join("gateway-tenants.json");
    let text = std::fs::read_to_string(&record).unwrap();
    assert_eq!(text.matches("\"pid\"").count(), 2, "{text}");
    let own = format!("\"pid\":{}", std::process::id());
    std::fs::write(&record, text.replace(&own, "\"pid\":1")).unwrap();
    let new = machine.container(plan("new", vec![attachment("front", 0)]));
    assert_eq!(new.address(), lost.address());
}

#[test]
fn many_streams_at_once_fit() {
    let mut machine = Machine::new();
    let tcp = machine.outside.serve_tcp(OUTSIDE, 0);
    let one = machine.container(plan("one", vec![attachment("front", 0)]));
    one.netns.within(|| {
        use std::io::{Read, Write};
        let mut streams: Vec<_> = (0..800)
            .map(|_| std::net::TcpStream::connect((OUTSIDE, tcp)).unwrap())
            .collect();
        for stream in &mut streams {
            stream.set_read_timeout(Some(kit::PATIENCE)).unwrap();
            stream.write_all(b"x").unwrap();
            stream.shutdown(std::net::Shutdown::Write).unwrap();
            let mut said = String::new();
            stream.read_to_string(&mut said).unwrap();
            assert!(said.ends_with(" x"), "{said:?}");
        }
    });
}

#[test]
fn bytes_travel_with_the_end_that_is_right_behind_them() {
    use std::io::{Read, Write};
    const STREAMS: u64 = 20;
    let mut machine = Machine::new();
    let listener = machine
        .outside
        .within(|| std::net::TcpListener::bind((OUTSIDE, 0)).unwrap());
    let server = listener.local_addr().unwrap();
    let one = machine.container(plan("one", vec![attachment("front", 0)]));
    let received = || kit::counter(&machine.outside, "snmp", "Tcp", "InSegs");
    let before = received();
    let pid = rustix::process::Pid::from_raw(machine.gateway_pid().cast_signed());
    let signal = |signal| rustix::process::kill_process(pid.unwrap(), signal).unwrap();
    // The kernel answers for the gateway, which then meets data and end at once.
    signal(rustix::process::Signal::STOP);
    let callers: Vec<_> = one.netns.within(|| {
        let call = |_| {
            let mut stream = std::net::TcpStream::connect(server).unwrap();
            stream.write_all(b"x").unwrap();
            stream.shutdown(std::net::Shutdown::Write).unwrap();
            stream
        };
        (0..STREAMS).map(call).collect()
    });
    signal(rustix::process::Signal::CONT);
    let mut served = Vec::new();
    for _ in &callers {
        let (mut stream, _) = listener.accept().unwrap();
        let mut said = String::new();
        stream.read_to_string(&mut said).unwrap();
        assert_eq!(said, "x");
        served.push(stream);
    }
    // A request to connect, its acknowledgement, the data with the end; a segment more if the
    // end came alone. Some may be sent twice on a slow machine.
    let segments = received() - before;
    assert!(segments < STREAMS * 7 / 2, "{segments} segments");
}

#[test]
fn connections_inside_are_not_made_by_cookies() {
    let mut machine = Machine::new();
    let one = machine.container(plan("one", vec![attachment("front", 0)]));
    for namespace in [&one.netns, &Namespace(one.router)] {
        for (name, value) in [("tcp_syncookies", "0\n"), ("tcp_max_syn_backlog", "4096\n")] {
            let path = format!("/proc/sys/net/ipv4/{name}");
            let setting = namespace.within(|| std::fs::read_to_string(path));
            assert_eq!(setting.unwrap(), value);
        }
    }
}

#[test]
fn the_end_of_a_container_frees_everything_and_the_gateway_ends_when_asked() {
    let mut machine = Machine::new();
    let mut wanted = plan("web", vec![attachment("front", 0)]);
    wanted.published = vec![publish(8000, 80, Transport::Tcp)];
    let web = machine.container(wanted);
    let kit::Container {
        netns,
        router,
        client,
        ..
    } = web;
    assert!(net::gateway::Identity::read(machine.run_dir()).is_some());
    let asking = machine.client();
    asking.end_when_idle().unwrap();
    assert_eq!(netns.interfaces(), ["eth0"]);
    drop(client);
    asking.wait_for_end();
    assert_eq!(machine.gateway_end(), Some(0));
    assert!(!net::socket_path(machine.run_dir()).exists());
    assert_eq!(net::gateway::Identity::read(machine.run_dir()), None);
    drop(router);
    eventually("the container's interface goes", || {
        netns.interfaces().is_empty()
    });
    machine.host.serve_tcp(Ipv4Addr::UNSPECIFIED, 8000);
}

#[test]
fn links_of_a_container_that_left_are_removed() {
    let mut machine = Machine::new();
    let stays = machine.container(plan("stays", vec![attachment("front", 0)]));
    let goes = machine.container(plan(
        "goes",
        vec![attachment("front", 0), attachment("back", 1)],
    ));
    let router = Namespace(stays.router);
    assert_eq!(router.interfaces().len(), 5);
    drop(goes.client);
    eventually("two links and a bridge go", || {
        router.interfaces().len() == 2
    });
    assert_eq!(goes.netns.interfaces(), [""; 0]);
}

#[test]
fn the_threads_that_read_strangers_bytes_may_do_nothing() {
    let mut machine = Machine::new();
    let _one = machine.container(plan("one", vec![attachment("front", 0)]));
    let tasks = format!("/proc/{}/task", machine.gateway_pid());
    let mut seen = 0;
    for task in std::fs::read_dir(tasks).unwrap() {
        let status = std::fs::read_to_string(task.unwrap().path().join("status")).unwrap();
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            line.unwrap().trim_start_matches(':').trim().to_owned()
        };
        let capabilities = u64::from_str_radix(&field("CapPrm"), 16).unwrap();
        match field("Name").as_str() {
            "front" | "worker" => {
                assert_eq!(capabilities, 0);
                assert_eq!(field("NoNewPrivs"), "1");
                seen += 1;
            }
            "router" => assert_eq!(capabilities.count_ones(), 5),
            _ => {}
        }
    }
    assert!(seen >= 2);
}
