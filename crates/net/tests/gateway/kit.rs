//! A machine made of network namespaces: a host, the outside world, and containers.
//!
//! Nothing touches the network of the machine that runs the tests. Needs root.

use std::fs;
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use model::ContainerId;
use model::network::{Attachment, NetworkPlan, PublishedPort, Ready, Transport};
use net::Client;
use sys::netlink::{Route, VethEnd};

/// Set for the child process that is the gateway.
pub(crate) const GATEWAY: &str = "SHIM_TEST_GATEWAY";
/// The descriptor of the ready pipe in that process.
const READY: i32 = 100;

pub(crate) const HOST: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
pub(crate) const OUTSIDE: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 7);

/// How long anything may take on a slow machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A network namespace that nothing else is in.
pub(crate) struct Namespace(pub(crate) OwnedFd);

impl Namespace {
    pub(crate) fn new() -> Self {
        let make = || {
            let namespace = sys::net::new_namespace().expect("these tests need root");
            Route::open().unwrap().set_up(1).unwrap();
            namespace
        };
        Self(thread::spawn(make).join().unwrap())
    }

    /// Does something in it.
    pub(crate) fn within<T: Send>(&self, act: impl FnOnce() -> T + Send) -> T {
        thread::scope(|scope| {
            let body = || {
                sys::net::enter_namespace(self.0.as_fd()).unwrap();
                act()
            };
            scope.spawn(body).join().unwrap()
        })
    }

    /// Serves TCP: each connection is told who it is, then gets back what it sends, until it
    /// sends no more.
    pub(crate) fn serve_tcp(&self, address: impl Into<IpAddr>, port: u16) -> u16 {
        let address = SocketAddr::new(address.into(), port);
        let listener = self.within(|| TcpListener::bind(address).unwrap());
        // With the usual 128 places, a burst on a busy machine would be answered by SYN
        // cookies, which can lose a stream's first bytes without either end being told.
        rustix::net::listen(&listener, 4096).unwrap();
        let port = listener.local_addr().unwrap().port();
        thread::spawn(move || {
            for stream in listener.incoming() {
                thread::spawn(move || answer(stream?));
            }
            std::io::Result::Ok(())
        });
        port
    }

    /// Serves UDP: each datagram is answered with its sender's address and itself.
    pub(crate) fn serve_udp(&self, address: impl Into<IpAddr>, port: u16) -> u16 {
        let address = SocketAddr::new(address.into(), port);
        let socket = self.within(|| UdpSocket::bind(address).unwrap());
        let port = socket.local_addr().unwrap().port();
        thread::spawn(move || {
            let mut buffer = vec![0; 65_536];
            loop {
                let (length, from) = socket.recv_from(&mut buffer)?;
                let mut reply = format!("{from} ").into_bytes();
                reply.extend_from_slice(&buffer[..length]);
                socket.send_to(&reply, from)?;
            }
            #[expect(unreachable_code, reason = "gives the closure its type")]
            std::io::Result::Ok(())
        });
        port
    }

    /// What a TCP server says to a client here that sends `text`.
    pub(crate) fn call(
        &self,
        server: impl Into<SocketAddr>,
        text: &str,
    ) -> std::io::Result<String> {
        let server = server.into();
        self.within(|| {
            let mut stream = TcpStream::connect_timeout(&server, PATIENCE)?;
            stream.set_read_timeout(Some(PATIENCE))?;
            stream.write_all(text.as_bytes())?;
            stream.shutdown(std::net::Shutdown::Write)?;
            let mut said = String::new();
            stream.read_to_string(&mut said)?;
            Ok(said)
        })
    }

    /// What a UDP server says to a datagram from here.
    pub(crate) fn tell(
        &self,
        server: impl Into<SocketAddr>,
        text: &str,
    ) -> std::io::Result<String> {
        let server = server.into();
        self.within(|| {
            let any: IpAddr = match server {
                SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
                SocketAddr::V6(_) => std::net::Ipv6Addr::UNSPECIFIED.into(),
            };
            let socket = UdpSocket::bind((any, 0))?;
            socket.set_read_timeout(Some(Duration::from_secs(5)))?;
            // Connected, so that an answer from anywhere else is not taken.
            socket.connect(server)?;
            socket.send(text.as_bytes())?;
            let mut buffer = vec![0; 65_536];
            let length = socket.recv(&mut buffer)?;
            Ok(String::from_utf8_lossy(&buffer[..length]).into_owned())
        })
    }

    /// The hardware address that answers for an address, seen from here.
    pub(crate) fn neighbour(&self, address: Ipv4Addr) -> String {
        // Nobody listens; the answer to whose it is comes first.
        let _ = self.call((address, 9), "");
        let text = self.within(|| fs::read_to_string("/proc/thread-self/net/arp").unwrap());
        let mut rows = text.lines().map(|line| line.split_whitespace());
        let mut row = rows
            .find(|row| row.clone().next() == Some(&address.to_string()))
            .expect("it answered");
        row.nth(3).unwrap().to_owned()
    }

    /// Tells an interface apart from its like that was made later.
    pub(crate) fn link_index(&self, name: &str) -> Option<u32> {
        self.within(|| Route::open().unwrap().link_index(name).unwrap())
    }

    /// Are there interfaces other than the loopback?
    pub(crate) fn interfaces(&self) -> Vec<String> {
        let text = self.within(|| fs::read_to_string("/proc/thread-self/net/dev").unwrap());
        let names = text.lines().skip(2).filter_map(|line| line.split_once(':'));
        names
            .map(|(name, _)| name.trim().to_owned())
            .filter(|name| name != "lo")
            .collect()
    }
}

fn answer(mut stream: TcpStream) -> std::io::Result<()> {
    let peer = stream.peer_addr()?;
    write!(stream, "{peer} ")?;
    let mut copy = stream.try_clone()?;
    std::io::copy(&mut copy, &mut stream)?;
    stream.shutdown(std::net::Shutdown::Both)
}

/// A host with a gateway, and the world outside it.
pub(crate) struct Machine {
    pub(crate) host: Namespace,
    pub(crate) outside: Namespace,
    pub(crate) dir: tempfile::TempDir,
    gateway: Option<Child>,
}

impl Machine {
    pub(crate) fn new() -> Self {
        let (host, outside) = (Namespace::new(), Namespace::new());
        host.within(|| {
            let route = Route::open().unwrap();
            let bridge = route.add_bridge("lan", [2, 0, 0, 0, 0, 1], 1500).unwrap();
            route.add_address(bridge, HOST, 24).unwrap();
            let (near, far) = (end("near"), end("lan0"));
            route
                .add_veth(&near, bridge, &far, outside.0.as_fd(), 1500)
                .unwrap();
        });
        outside.within(|| {
            let route = Route::open().unwrap();
            let index = route.link_index("lan0").unwrap().unwrap();
            route.add_address(index, OUTSIDE, 24).unwrap();
            route.set_up(index).unwrap();
        });
        Self {
            host,
            outside,
            dir: tempfile::tempdir().unwrap(),
            gateway: None,
        }
    }

    pub(crate) fn run_dir(&self) -> &Path {
        self.dir.path()
    }

    /// A connection to the gateway, which is started if there is none.
    pub(crate) fn client(&mut self) -> Client {
        let dir = self.dir.path().to_owned();
        let (host, gateway) = (&self.host, &mut self.gateway);
        Client::ensure(&dir.clone(), |ready| {
            *gateway = Some(host.within(|| start_gateway(&dir, ready))?);
            Ok(())
        })
        .unwrap()
    }

    pub(crate) fn gateway_pid(&self) -> u32 {
        self.gateway.as_ref().expect("a gateway was started").id()
    }

    /// Kills the gateway as nothing can be caught.
    pub(crate) fn kill_gateway(&mut self) {
        let mut gateway = self.gateway.take().expect("a gateway was started");
        gateway.kill().unwrap();
        gateway.wait().unwrap();
    }

    /// Waits for the gateway's own end and gives its exit code.
    pub(crate) fn gateway_end(&mut self) -> Option<i32> {
        let mut gateway = self.gateway.take().expect("a gateway was started");
        gateway.wait().unwrap().code()
    }

    /// Attaches a new container.
    pub(crate) fn container(&mut self, plan: NetworkPlan) -> Container {
        let netns = Namespace::new();
        let client = self.client();
        let (ready, router) = client.attach(plan, false, netns.0.as_fd(), None).unwrap();
        Container {
            netns,
            ready,
            router,
            client,
        }
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        if let Some(mut gateway) = self.gateway.take() {
            let _ = gateway.kill();
            let _ = gateway.wait();
        }
    }
}

/// One attached container. What would be its supervisor is the test.
pub(crate) struct Container {
    pub(crate) netns: Namespace,
    pub(crate) ready: Ready,
    pub(crate) router: OwnedFd,
    pub(crate) client: Client,
}

impl Container {
    pub(crate) fn address(&self) -> Ipv4Addr {
        self.ready.links[0].address
    }
}

fn end(name: &str) -> VethEnd<'_> {
    VethEnd { name, mac: None }
}

pub(crate) fn start_gateway(dir: &Path, ready: OwnedFd) -> std::io::Result<Child> {
    let exe = std::env::current_exe()?;
    // A shell moves the pipe to a known number: our own descriptors close at the start.
    let script = format!(
        "exec {READY}>&1 >/dev/null && exec \"$0\" --exact the_gateway_process --nocapture"
    );
    Command::new("bash")
        .args(["-c", &script])
        .arg(exe)
        .env(GATEWAY, dir)
        .stdin(Stdio::null())
        .stdout(ready)
        .spawn()
}

/// The child process's part: is the gateway when it was started for that.
pub(crate) fn gateway_process() {
    let Some(dir) = std::env::var_os(GATEWAY).map(PathBuf::from) else {
        return;
    };
    let ready = sys::process::inherited(READY).unwrap();
    let config = net::gateway::GatewayConfig {
        socket: net::socket_path(&dir),
        run_dir: dir,
        router_netns: None,
        ready: Some(ready),
    };
    std::process::exit(net::gateway::main(config));
}

pub(crate) fn attachment(network: &str, third: u8) -> Attachment {
    Attachment {
        network: network.to_owned(),
        subnet: (Ipv4Addr::new(10, 89, third, 0), 24),
        address: None,
        aliases: vec![],
        internal: false,
        mac: None,
    }
}

pub(crate) fn plan(name: &str, attachments: Vec<Attachment>) -> NetworkPlan {
    let mut seed = [0; 32];
    for (place, byte) in seed.iter_mut().zip(name.bytes().rev().cycle()) {
        *place = byte;
    }
    NetworkPlan {
        container: ContainerId::from_random(seed),
        name: name.to_owned(),
        attachments,
        published: vec![],
        host_loopback: false,
        servers: Vec::new(),
    }
}

pub(crate) fn publish(host_port: u16, container_port: u16, transport: Transport) -> PublishedPort {
    PublishedPort {
        host_ip: None,
        host_port: Some(host_port),
        container_port,
        transport,
    }
}

/// What the kernel counted in a namespace.
pub(crate) fn counter(namespace: &Namespace, file: &str, group: &str, name: &str) -> u64 {
    let path = format!("/proc/thread-self/net/{file}");
    let text = namespace.within(|| fs::read_to_string(path).unwrap());
    let mut lines = text.lines().filter_map(|line| line.strip_prefix(group));
    let (names, values) = (lines.next().unwrap(), lines.next().unwrap());
    let mut both = names.split_whitespace().zip(values.split_whitespace());
    let found = both.find(|(it, _)| *it == name).expect("a known counter");
    found.1.parse().unwrap()
}

/// Waits until something holds.
pub(crate) fn eventually(what: &str, test: impl Fn() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !test() {
        assert!(Instant::now() < end, "never happened: {what}");
        thread::sleep(Duration::from_millis(20));
    }
}
