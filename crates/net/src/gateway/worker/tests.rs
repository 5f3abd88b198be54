//! One end's data and its end of stream reach the other end whole, in whatever order they
//! come and the worker learns of them.

use std::io::{Read, Write};
use std::net::{Shutdown as Close, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;

use super::*;

/// Longer than this, and a test has failed.
const PATIENCE: Duration = Duration::from_secs(20);

fn tcp_pair() -> (TcpStream, OwnedFd) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (far, _) = listener.accept().unwrap();
    near.set_read_timeout(Some(PATIENCE)).unwrap();
    far.set_nonblocking(true).unwrap();
    (near, far.into())
}

fn rest(mut stream: &TcpStream) -> String {
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text
}

/// What happens, before or after the stream is handed over.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Step {
    HandOver,
    Say,
    Close,
}

#[test]
fn streams_arrive_whole_in_every_order_of_data_end_and_hand_over() {
    use Step::{Close as End, HandOver, Say};
    let orders = [
        [HandOver, Say, End],
        [Say, HandOver, End],
        [Say, End, HandOver],
    ];
    let workers = Workers::start().unwrap();
    for (round, order) in (0..60).flat_map(|round| orders.map(|order| (round, order))) {
        // Both directions at once, either side first.
        let (client, accepted) = tcp_pair();
        let (server, connecting) = tcp_pair();
        let mut pair = Some(Pair {
            accepted,
            connecting,
            container: Ipv4Addr::LOCALHOST,
        });
        for step in order {
            let both = [(&client, "x"), (&server, "an answer")];
            let turned = [both[1], both[0]];
            for (mut end, text) in if round % 2 == 0 { both } else { turned } {
                match step {
                    HandOver => workers_carry(&workers, &mut pair),
                    Say => end.write_all(text.as_bytes()).unwrap(),
                    End => end.shutdown(Close::Write).unwrap(),
                }
            }
        }
        assert_eq!(rest(&server), "x", "{round} {order:?}");
        assert_eq!(rest(&client), "an answer", "{round} {order:?}");
    }
}

fn workers_carry(workers: &Workers, pair: &mut Option<Pair>) {
    if let Some(pair) = pair.take() {
        workers.carry(pair);
    }
}

#[test]
fn numbers_of_flows_that_ended_do_not_confuse_those_that_follow() {
    let workers = Workers::start().unwrap();
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..200 {
                    let (mut client, accepted) = tcp_pair();
                    let (mut server, connecting) = tcp_pair();
                    workers.carry(Pair {
                        accepted,
                        connecting,
                        container: Ipv4Addr::LOCALHOST,
                    });
                    server.write_all(b"hello ").unwrap();
                    client.write_all(b"x").unwrap();
                    client.shutdown(Close::Write).unwrap();
                    assert_eq!(rest(&server), "x");
                    server.write_all(b"x").unwrap();
                    drop(server);
                    assert_eq!(rest(&client), "hello x");
                }
            });
        }
    });
}

fn ends() -> (UnixStream, End) {
    let (near, far) = UnixStream::pair().unwrap();
    near.set_nonblocking(true).unwrap();
    far.set_nonblocking(true).unwrap();
    (near, End::new(far.into()))
}

#[test]
fn a_stale_word_of_the_end_does_not_hide_what_was_sent_before_it() {
    let mut buffer = vec![0; 64];
    let (mut source, mut from) = ends();
    let (mut sink, mut to) = ends();
    to.writable = true;
    // Reported as closing although nothing can be read: neither is believed over the kernel.
    (from.readable, from.closing) = (true, true);
    assert!(!copy(&mut from, &mut to, &mut buffer).unwrap());
    assert!(!from.finished && !to.told);
    source.write_all(b"x").unwrap();
    drop(source);
    from.readable = true;
    copy(&mut from, &mut to, &mut buffer).unwrap();
    assert!(to.told);
    let mut got = String::new();
    sink.read_to_string(&mut got).unwrap();
    assert_eq!(got, "x");
}

#[test]
fn the_end_waits_for_what_the_receiver_has_not_taken() {
    let mut buffer = vec![0; 64 * 1024];
    let (mut source, mut from) = ends();
    let (mut sink, mut to) = ends();
    let (mut sent, mut got) = (0, Vec::new());
    (from.readable, to.writable) = (true, true);
    while !to.told {
        if sent < 3_000_000 {
            match source.write(&[7; 50_000]) {
                Ok(count) => sent += count,
                Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock),
            }
            from.readable = true;
        } else {
            source.shutdown(Close::Write).unwrap();
            (from.readable, from.closing) = (true, true);
        }
        while copy(&mut from, &mut to, &mut buffer).unwrap() {}
        if !to.writable {
            assert!(!to.told || to.pending.is_empty());
            let mut part = vec![0; 1 << 20];
            let count = sink.read(&mut part).unwrap();
            got.extend_from_slice(&part[..count]);
            to.writable = true;
        }
    }
    sink.set_nonblocking(false).unwrap();
    sink.read_to_end(&mut got).unwrap();
    assert_eq!(got.len(), sent);
}
