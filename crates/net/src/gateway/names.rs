//! Questions about names: answered from the [`World`], else relayed, byte for byte, to the
//! servers that the container was given, or that the host itself asks.

use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::thread;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags};

use crate::dns::{self, Answer};
use crate::error::Result;
use crate::gateway::front::{Base, TURN};
use crate::gateway::poll::Table;
use crate::gateway::privilege;
use crate::gateway::router::Router;
use crate::gateway::world::{Server, World};
use crate::hosts::Resolvers;

/// What fits everywhere without the asker saying more.
const PLAIN: usize = 512;
/// How long one server may take.
const PATIENCE: Duration = Duration::from_secs(3);
/// Questions relayed at once.
const MOST: usize = 1024;
/// Conversations over TCP at once.
const MOST_STREAMS: usize = 32;
/// An asker over TCP that is silent for this long is left.
const SILENCE: Duration = Duration::from_secs(10);

/// The questions that wait for a server outside.
#[derive(Default)]
pub(super) struct Names {
    relays: Table<Relay>,
    streams: Arc<AtomicUsize>,
}

struct Relay {
    /// Ours, connected to the server; with a port of its own, which is hard to guess.
    upstream: OwnedFd,
    /// Where the question came to.
    door: Arc<OwnedFd>,
    client: SocketAddr,
    query: Vec<u8>,
    /// Servers not asked yet.
    servers: Vec<Server>,
    deadline: Instant,
}

impl Names {
    /// How long may pass until [`tidy`](Self::tidy).
    pub(super) fn patience(&self) -> Option<Duration> {
        (!self.relays.is_empty()).then_some(Duration::from_millis(250))
    }

    /// Takes questions that came by UDP.
    pub(super) fn ask(&mut self, base: &mut Base, door: &Arc<OwnedFd>) {
        for _ in 0..TURN {
            let datagram = match sys::net::receive_datagram(door, &mut base.buffer) {
                Ok(datagram) => datagram,
                Err(Errno::INTR) => continue,
                Err(_) => return,
            };
            let query = base.buffer[..datagram.length].to_vec();
            let client = datagram.from;
            let Some(question) = dns::parse_query(&query) else {
                continue;
            };
            match answer_to(&base.world, client.ip(), &question) {
                Some(answer) => reply(door, client, &query, &answer),
                None => {
                    let servers = servers_for(&base.world, client.ip());
                    self.relay(base, Arc::clone(door), client, query, servers);
                }
            }
        }
    }

    /// Asks the next server that can be asked, or says that none could.
    fn relay(
        &mut self,
        base: &Base,
        door: Arc<OwnedFd>,
        client: SocketAddr,
        query: Vec<u8>,
        servers: Vec<Server>,
    ) {
        let mut rest = servers.into_iter();
        while let Some(server) = rest.next() {
            if self.relays.len() >= MOST {
                break;
            }
            let Ok(upstream) = begin(server, &base.router, &query) else {
                continue;
            };
            let deadline = Instant::now() + PATIENCE;
            let servers = rest.collect();
            let number = self.relays.insert(Relay {
                upstream,
                door,
                client,
                query,
                servers,
                deadline,
            });
            let relay = self.relays.get(number).expect("just put there");
            // Unwatched, it is given up at its deadline.
            let _ = base.watch_relay(&relay.upstream, number);
            return;
        }
        reply(&door, client, &query, &Answer::Failure);
    }

    /// Takes a server's answer.
    pub(super) fn relayed(&mut self, base: &mut Base, number: usize) {
        let Some(relay) = self.relays.get(number) else {
            return;
        };
        match rustix::net::recv(&relay.upstream, &mut base.buffer[..], RecvFlags::empty()) {
            Ok((length, _)) => {
                let bytes = &base.buffer[..length];
                if dns::is_answer_to(bytes, &relay.query) {
                    let _ = sys::net::send_datagram(&relay.door, bytes, relay.client, None);
                    self.relays.remove(number);
                }
            }
            Err(Errno::AGAIN | Errno::INTR) => {}
            Err(_) => self.next_server(base, number),
        }
    }

    /// Gives up on servers that took too long.
    pub(super) fn tidy(&mut self, base: &mut Base) {
        if self.relays.is_empty() {
            return;
        }
        let now = Instant::now();
        for number in self.relays.numbers(|relay| relay.deadline <= now) {
            self.next_server(base, number);
        }
    }

    fn next_server(&mut self, base: &Base, number: usize) {
        if let Some(relay) = self.relays.remove(number) {
            let Relay {
                door,
                client,
                query,
                servers,
                ..
            } = relay;
            self.relay(base, door, client, query, servers);
        }
    }

    /// Answers an asker who came by TCP, in a thread of its own: few do.
    pub(super) fn converse(&self, base: &Base, stream: OwnedFd) {
        let streams = Arc::clone(&self.streams);
        if streams.fetch_add(1, Ordering::Relaxed) >= MOST_STREAMS {
            streams.fetch_sub(1, Ordering::Relaxed);
            return;
        }
        let (world, router) = (Arc::clone(&base.world), Arc::clone(&base.router));
        let count = Arc::clone(&streams);
        let body = move || {
            // However it ends, the asker has seen it end.
            let _ = converse(&world, &router, TcpStream::from(stream));
            count.fetch_sub(1, Ordering::Relaxed);
        };
        let thread = thread::Builder::new()
            .stack_size(privilege::STACK)
            .spawn(body);
        if thread.is_err() {
            streams.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

fn answer_to(world: &RwLock<World>, client: IpAddr, question: &dns::Query) -> Option<Answer> {
    let IpAddr::V4(client) = client else {
        return Some(Answer::Failure);
    };
    world
        .read()
        .unwrap_or_else(PoisonError::into_inner)
        .answer(client, question)
}

/// Whom to ask, in this order.
fn servers_for(world: &RwLock<World>, client: IpAddr) -> Vec<Server> {
    let own = match client {
        IpAddr::V4(client) => world
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .servers(client),
        IpAddr::V6(_) => None,
    };
    own.unwrap_or_else(|| {
        let servers = Resolvers::of_host().servers.into_iter();
        servers.map(Server::outside).collect()
    })
}

fn reply(door: &OwnedFd, client: SocketAddr, query: &[u8], answer: &Answer) {
    if let Some(bytes) = dns::respond(query, answer, PLAIN) {
        // A lost answer is asked for again.
        let _ = sys::net::send_datagram(door, &bytes, client, None);
    }
}

/// Sends a question to a server.
fn begin(server: Server, router: &Router, query: &[u8]) -> Result<OwnedFd> {
    let address = SocketAddr::new(server.address, 53);
    let fail = |errno| sys::Error::new("ask", address.to_string(), errno);
    let socket = match server.inside {
        true => router.udp_socket()?,
        false => sys::net::udp_socket(address.is_ipv6())?,
    };
    rustix::net::connect(&socket, &address).map_err(fail)?;
    rustix::net::send(&socket, query, SendFlags::NOSIGNAL).map_err(fail)?;
    Ok(socket)
}

fn converse(world: &RwLock<World>, router: &Arc<Router>, mut stream: TcpStream) -> io::Result<()> {
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(SILENCE))?;
    stream.set_write_timeout(Some(SILENCE))?;
    let client = stream.peer_addr()?.ip();
    loop {
        let query = read_message(&mut stream)?;
        let Some(question) = dns::parse_query(&query) else {
            return Ok(());
        };
        let response = match answer_to(world, client, &question) {
            Some(answer) => dns::respond(&query, &answer, usize::from(u16::MAX)),
            None => servers_for(world, client)
                .into_iter()
                .find_map(|server| ask_by_tcp(server, router, &query).ok())
                .or_else(|| dns::respond(&query, &Answer::Failure, PLAIN)),
        };
        let Some(response) = response else {
            return Ok(());
        };
        write_message(&mut stream, &response)?;
    }
}

fn ask_by_tcp(server: Server, router: &Arc<Router>, query: &[u8]) -> io::Result<Vec<u8>> {
    let address = SocketAddr::new(server.address, 53);
    let mut stream = match server.inside {
        true => TcpStream::from(router.tcp_socket().map_err(io::Error::other)?),
        false => TcpStream::connect_timeout(&address, PATIENCE)?,
    };
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    if server.inside {
        // The time limit of writing is that of connecting, too.
        rustix::net::connect(&stream, &address)?;
    }
    write_message(&mut stream, query)?;
    read_message(&mut stream)
}

fn read_message(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut length = [0; 2];
    stream.read_exact(&mut length)?;
    let mut message = vec![0; usize::from(u16::from_be_bytes(length))];
    stream.read_exact(&mut message)?;
    Ok(message)
}

fn write_message(stream: &mut TcpStream, message: &[u8]) -> io::Result<()> {
    let length = u16::try_from(message.len()).map_err(io::Error::other)?;
    let mut framed = length.to_be_bytes().to_vec();
    framed.extend_from_slice(message);
    stream.write_all(&framed)
}
