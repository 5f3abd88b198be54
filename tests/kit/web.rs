//! Talking to what containers publish, from this machine or from beside it.

#![allow(dead_code, reason = "each test crate uses a part of it")]

use std::fs::File;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use super::server::run;

/// How long a service may take to come up on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// An HTTP answer: status line, headers and body, as it came. `None` if nobody answers.
pub(crate) fn get(port: u16, path: &str) -> Option<String> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(5)).ok()?;
    stream
        .set_read_timeout(Some(Duration::from_secs(60)))
        .unwrap();
    stream.write_all(request(path).as_bytes()).ok()?;
    let mut answer = Vec::new();
    // A reset after the answer does not unsay it.
    let _ = stream.read_to_end(&mut answer);
    (!answer.is_empty()).then(|| String::from_utf8_lossy(&answer).into_owned())
}

/// Asks until the answer has `part` in it.
pub(crate) fn get_until(port: u16, path: &str, part: &str) -> String {
    let mut last = None;
    let met = wait_until(PATIENCE, || {
        last = get(port, path);
        last.as_ref().is_some_and(|answer| answer.contains(part))
    });
    let last = last.unwrap_or_default();
    assert!(met, "port {port}{path}: no `{part}` in: {last}");
    last
}

fn request(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n")
}

/// Looks again and again until it holds; whether it did in time.
pub(crate) fn wait_until(patience: Duration, mut holds: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + patience;
    loop {
        if holds() {
            return true;
        }
        if Instant::now() > deadline {
            return false;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// A network namespace beside the host with an address of its own: a client that is not
/// this machine.
pub(crate) struct Neighbour {
    name: String,
    /// The host's address, as the neighbour reaches it.
    pub(crate) host: Ipv4Addr,
    /// The neighbour's own.
    pub(crate) address: Ipv4Addr,
}

impl Neighbour {
    /// Makes one out of the addresses kept for benchmarks (RFC 2544); `number` tells
    /// those of one test apart.
    pub(crate) fn new(number: u8) -> Self {
        let net = (std::process::id() % 250) as u8;
        let part = number * 4;
        let neighbour = Self {
            name: format!("shimtest{}n{number}", std::process::id()),
            host: Ipv4Addr::new(198, 18, net, part + 1),
            address: Ipv4Addr::new(198, 18, net, part + 2),
        };
        let (name, outer) = (neighbour.name.as_str(), neighbour.outer());
        let (host, own) = (
            format!("{}/30", neighbour.host),
            format!("{}/30", neighbour.address),
        );
        run("ip", &["netns", "add", name]);
        run(
            "ip",
            &[
                "link", "add", &outer, "type", "veth", "peer", "name", "eth0", "netns", name,
            ],
        );
        run("ip", &["addr", "add", &host, "dev", &outer]);
        run("ip", &["link", "set", &outer, "up"]);
        run("ip", &["-n", name, "addr", "add", &own, "dev", "eth0"]);
        run("ip", &["-n", name, "link", "set", "eth0", "up"]);
        neighbour
    }

    /// Its end on the host's side.
    pub(crate) fn device(&self) -> String {
        self.outer()
    }

    /// Answers each request to a port of its own with one line, and with who asked, as
    /// long as the test lives.
    pub(crate) fn serve(&self, port: u16, line: &'static str) {
        let listener = self.listen(port);
        std::thread::spawn(move || {
            while let Ok((mut stream, peer)) = listener.accept() {
                let head = "HTTP/1.0 200 OK\r\n\r\n";
                let _ = stream.read(&mut [0; 4096]);
                let _ = writeln!(stream, "{head}{line} to {}", peer.ip());
            }
        });
    }

    /// A listener in its network namespace.
    fn listen(&self, port: u16) -> TcpListener {
        let namespace = File::open(Path::new("/run/netns").join(&self.name)).unwrap();
        let address = (self.address, port);
        let inside = move || {
            let kind = Some(LinkNameSpaceType::Network);
            move_into_link_name_space(namespace.as_fd(), kind).unwrap();
            TcpListener::bind(address).unwrap()
        };
        // Only this thread moves.
        std::thread::spawn(inside).join().unwrap()
    }

    fn outer(&self) -> String {
        format!("st{}", &self.name["shimtest".len()..])
    }

    /// Sends bytes to a port of the host (`TCP` or `UDP`); what comes back.
    pub(crate) fn ask(&self, protocol: &str, port: u16, bytes: &[u8]) -> String {
        let to = format!("{protocol}:{}:{port}", self.host);
        let mut child = Command::new("ip")
            .args([
                "netns", "exec", &self.name, "socat", "-t", "10", "-T", "10", "-", &to,
            ])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("socat is installed");
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(bytes).unwrap();
        let mut answer = [0; 4096];
        let mut all = Vec::new();
        let mut stdout = child.stdout.take().unwrap();
        // UDP has no end: the first answer is the answer.
        while let Ok(n @ 1..) = stdout.read(&mut answer) {
            all.extend_from_slice(&answer[..n]);
            if protocol == "UDP" {
                break;
            }
        }
        drop((stdin, stdout));
        let _ = child.kill();
        let _ = child.wait();
        String::from_utf8_lossy(&all).into_owned()
    }

    /// An HTTP answer of a port of the host.
    pub(crate) fn get(&self, port: u16, path: &str) -> String {
        self.ask("TCP", port, request(path).as_bytes())
    }
}

impl Drop for Neighbour {
    fn drop(&mut self) {
        let _ = Command::new("ip")
            .args(["link", "del", &self.outer()])
            .status();
        let _ = Command::new("ip")
            .args(["netns", "del", &self.name])
            .status();
    }
}
