//! Questions about names, asked by containers over the wire.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::thread;

use crate::kit::{self, Container, Machine, Namespace, PATIENCE, attachment, plan};

const A: u16 = 1;
const PTR: u16 = 12;
const AAAA: u16 = 28;

const NOERROR: u8 = 0;
const SERVFAIL: u8 = 2;
const NXDOMAIN: u8 = 3;

/// What the world outside says about every name.
const OUT_THERE: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 9);

fn question(name: &str, kind: u16) -> Vec<u8> {
    let mut bytes = vec![0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in name.split('.') {
        bytes.push(u8::try_from(label.len()).unwrap());
        bytes.extend_from_slice(label.as_bytes());
    }
    bytes.push(0);
    bytes.extend_from_slice(&kind.to_be_bytes());
    bytes.extend_from_slice(&[0, 1]);
    bytes
}

/// What is of interest in a response: its code, whether it was cut, and its addresses.
#[derive(Debug, PartialEq, Eq)]
struct Said {
    code: u8,
    cut: bool,
    addresses: Vec<Ipv4Addr>,
}

fn read(query: &[u8], response: &[u8]) -> Said {
    assert_eq!(response[..2], query[..2]);
    let count = u16::from_be_bytes([response[6], response[7]]);
    let mut rest = &response[query.len()..];
    let mut addresses = Vec::new();
    for _ in 0..count {
        // A name is a pointer to the question's, or spelt out again.
        let name = match rest[0] {
            0xc0.. => 2,
            _ => rest.iter().position(|byte| *byte == 0).unwrap() + 1,
        };
        let length = usize::from(u16::from_be_bytes([rest[name + 8], rest[name + 9]]));
        let data = &rest[name + 10..name + 10 + length];
        addresses.extend(<[u8; 4]>::try_from(data).map(Ipv4Addr::from));
        rest = &rest[name + 10 + length..];
    }
    Said {
        code: response[3] & 15,
        cut: response[2] & 2 != 0,
        addresses,
    }
}

fn said(code: u8, addresses: &[Ipv4Addr]) -> Said {
    Said {
        code,
        cut: false,
        addresses: addresses.to_vec(),
    }
}

fn ask(asker: &Container, name: &str, kind: u16) -> Said {
    ask_at(asker, asker.ready.nameserver, name, kind)
}

fn ask_at(asker: &Container, server: Ipv4Addr, name: &str, kind: u16) -> Said {
    let query = question(name, kind);
    let server = SocketAddr::from((server, 53));
    asker.netns.within(|| {
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.connect(server).unwrap();
        socket.send(&query).unwrap();
        let mut buffer = [0; 2048];
        let length = socket.recv(&mut buffer).unwrap();
        read(&query, &buffer[..length])
    })
}

fn ask_by_tcp(asker: &Container, name: &str, kind: u16) -> Said {
    let query = question(name, kind);
    let server = SocketAddr::from((asker.ready.nameserver, 53));
    asker.netns.within(|| {
        let mut stream = TcpStream::connect(server).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        write_framed(&mut stream, &query);
        read(&query, &read_framed(&mut stream))
    })
}

fn write_framed(stream: &mut TcpStream, message: &[u8]) {
    stream
        .write_all(&u16::try_from(message.len()).unwrap().to_be_bytes())
        .unwrap();
    stream.write_all(message).unwrap();
}

fn read_framed(stream: &mut TcpStream) -> Vec<u8> {
    let mut length = [0; 2];
    stream.read_exact(&mut length).unwrap();
    let mut message = vec![0; usize::from(u16::from_be_bytes(length))];
    stream.read_exact(&mut message).unwrap();
    message
}

fn response(query: &[u8], cut: bool, address: Ipv4Addr) -> Vec<u8> {
    let mut bytes = query.to_vec();
    bytes[2] = if cut { 0x83 } else { 0x81 };
    bytes[3] = 0x80;
    if !cut {
        bytes[7] = 1;
        bytes.extend_from_slice(&[0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4]);
        bytes.extend_from_slice(&address.octets());
    }
    bytes
}

/// A name server where the machine's own `/etc/resolv.conf` says that there is one.
fn serve_names(host: &Namespace) {
    let text = std::fs::read_to_string("/etc/resolv.conf").unwrap();
    let first = text
        .lines()
        .find_map(|line| line.strip_prefix("nameserver "))
        .unwrap_or("127.0.0.1");
    let server: IpAddr = first.trim().parse().unwrap();
    if let IpAddr::V4(server) = server {
        host.within(|| {
            sys::netlink::Route::open()
                .unwrap()
                .add_address(1, server, 32)
                .unwrap();
        });
    }
    serve_names_at(host, server, OUT_THERE);
}

/// A name server that knows one address, for every name.
fn serve_names_at(place: &Namespace, server: IpAddr, address: Ipv4Addr) {
    let (udp, tcp) = place.within(|| {
        (
            UdpSocket::bind((server, 53)).unwrap(),
            TcpListener::bind((server, 53)).unwrap(),
        )
    });
    thread::spawn(move || {
        let mut buffer = [0; 2048];
        while let Ok((length, from)) = udp.recv_from(&mut buffer) {
            let query = &buffer[..length];
            let large = query.windows(5).any(|part| part == b"large");
            udp.send_to(&response(query, large, address), from).unwrap();
        }
    });
    thread::spawn(move || {
        while let Ok((mut stream, _)) = tcp.accept() {
            let query = read_framed(&mut stream);
            write_framed(&mut stream, &response(&query, false, address));
        }
    });
}

#[test]
fn names_of_containers_are_answered() {
    let mut machine = Machine::new();
    let mut front = attachment("front", 0);
    front.aliases = vec!["api".to_owned()];
    let one = machine.container(plan("shop-api-1", vec![front.clone()]));
    let two = machine.container(plan("shop-api-2", vec![front]));
    let other = machine.container(plan("other", vec![attachment("back", 1)]));
    assert_eq!(ask(&one, "shop-api-2", A), said(NOERROR, &[two.address()]));
    assert_eq!(ask(&one, "SHOP-api-2", A), said(NOERROR, &[two.address()]));
    assert_eq!(ask(&one, "shop-api-2", AAAA), said(NOERROR, &[]));
    assert_eq!(
        ask_by_tcp(&one, "shop-api-2", A),
        said(NOERROR, &[two.address()])
    );
    let firsts = [(); 2].map(|()| ask(&two, "api", A).addresses[0]);
    assert_ne!(firsts[0], firsts[1]);
    assert_eq!(ask(&one, "2.0.89.10.in-addr.arpa", PTR).code, NOERROR);
    assert_eq!(ask(&one, "9.0.89.10.in-addr.arpa", PTR).code, NXDOMAIN);
    assert_eq!(ask(&one, "host.docker.internal", A).code, NXDOMAIN);
    // Nobody answers outside, and other networks' names are none of its business.
    assert_eq!(ask(&one, "other", A).code, SERVFAIL);
    // Nor does it help to ask the other network's server.
    let elsewhere = ask_at(&one, other.ready.nameserver, "other", A);
    assert_eq!(elsewhere.code, SERVFAIL);
    drop(two.client);
    kit::eventually("the name goes", || {
        ask(&one, "shop-api-2", A).code == SERVFAIL
    });
}

#[test]
fn other_names_are_relayed_to_the_hosts_servers() {
    let mut machine = Machine::new();
    serve_names(&machine.host);
    let one = machine.container(plan("one", vec![attachment("front", 0)]));
    assert_eq!(ask(&one, "example.org", A), said(NOERROR, &[OUT_THERE]));
    let cut = ask(&one, "large.example.org", A);
    assert!(cut.cut && cut.addresses.is_empty());
    assert_eq!(
        ask_by_tcp(&one, "large.example.org", A),
        said(NOERROR, &[OUT_THERE])
    );
}

#[test]
fn a_container_may_have_name_servers_of_its_own() {
    const NEAR: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 1);
    const FAR: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 2);
    let mut machine = Machine::new();
    serve_names(&machine.host);
    serve_names_at(&machine.outside, kit::OUTSIDE.into(), FAR);
    let server = machine.container(plan("server", vec![attachment("front", 0)]));
    serve_names_at(&server.netns, Ipv4Addr::UNSPECIFIED.into(), NEAR);
    let mut with = |name: &str, network: (&str, u8), servers: &[Ipv4Addr]| {
        let mut wanted = plan(name, vec![attachment(network.0, network.1)]);
        wanted.servers = servers.iter().map(|it| (*it).into()).collect();
        machine.container(wanted)
    };
    let unreachable = Ipv4Addr::new(192, 0, 2, 99);
    let outward = with("outward", ("front", 0), &[kit::OUTSIDE]);
    let inward = with("inward", ("front", 0), &[server.address()]);
    let second = with("second", ("front", 0), &[unreachable, kit::OUTSIDE]);
    let barred = with("barred", ("back", 1), &[server.address()]);
    for (asker, known) in [(&outward, FAR), (&inward, NEAR), (&second, FAR)] {
        assert_eq!(ask(asker, "example.org", A), said(NOERROR, &[known]));
        assert_eq!(ask_by_tcp(asker, "example.org", A), said(NOERROR, &[known]));
        // Our own names come first.
        assert_eq!(ask(asker, "server", A), said(NOERROR, &[server.address()]));
    }
    // It is in another network.
    assert_eq!(ask(&barred, "example.org", A).code, SERVFAIL);
    assert_eq!(ask(&server, "example.org", A), said(NOERROR, &[OUT_THERE]));
}

#[test]
fn a_container_without_a_way_out_asks_nobody_outside() {
    let mut machine = Machine::new();
    serve_names(&machine.host);
    let mut shut = attachment("vault", 0);
    shut.internal = true;
    let one = machine.container(plan("one", vec![shut]));
    assert_eq!(ask(&one, "example.org", A).code, NXDOMAIN);
    assert_eq!(ask(&one, "one", A), said(NOERROR, &[one.address()]));
    let mut vault = attachment("vault", 0);
    vault.internal = true;
    serve_names_at(&one.netns, Ipv4Addr::UNSPECIFIED.into(), OUT_THERE);
    let mut two = plan("two", vec![vault]);
    two.servers = vec![kit::HOST.into(), one.address().into()];
    let two = machine.container(two);
    assert_eq!(ask(&two, "example.org", A), said(NOERROR, &[OUT_THERE]));
}

#[test]
fn rubbish_does_not_stop_the_answers() {
    let mut machine = Machine::new();
    let one = machine.container(plan("one", vec![attachment("front", 0)]));
    let server = SocketAddr::from((one.ready.nameserver, 53));
    one.netns.within(|| {
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).unwrap();
        for length in 0..64 {
            socket.send_to(&[0xff; 64][..length], server).unwrap();
            socket.send_to(&[0x00; 64][..length], server).unwrap();
            socket
                .send_to(&question("one", A)[..length.min(21)], server)
                .unwrap();
        }
        drop(TcpStream::connect(server).unwrap());
        TcpStream::connect(server)
            .unwrap()
            .write_all(&[0, 200, 1])
            .unwrap();
    });
    assert_eq!(ask(&one, "one", A), said(NOERROR, &[one.address()]));
}
