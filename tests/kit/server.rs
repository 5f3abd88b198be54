//! A registry process of a test's own: Debian's docker-registry on loopback.

#![allow(dead_code, reason = "each test crate uses a part of it")]

use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

/// A registry, ended with the value.
pub(crate) struct Server {
    child: Child,
    /// Host and port.
    pub(crate) host: String,
    directory: tempfile::TempDir,
}

impl Server {
    /// Anyone may do anything.
    pub(crate) fn open() -> Self {
        Self::start("")
    }

    /// Only user `kim` with password `pass:word` may.
    pub(crate) fn guarded() -> Self {
        Self::start("auth:\n  htpasswd:\n    realm: test\n    path: DIR/htpasswd\n")
    }

    fn start(extra: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let dir = directory.path().to_str().unwrap();
        let port = free_port();
        let config = format!(
            "version: 0.1\nlog:\n  level: error\nstorage:\n  filesystem:\n    rootdirectory: \
             DIR/data\nhttp:\n  addr: 127.0.0.1:{port}\n  secret: test\n{extra}"
        );
        std::fs::write(
            directory.path().join("config.yml"),
            config.replace("DIR", dir),
        )
        .unwrap();
        let passwords = run("htpasswd", &["-Bbn", "kim", "pass:word"]);
        std::fs::write(directory.path().join("htpasswd"), passwords).unwrap();
        let log = std::fs::File::create(directory.path().join("log")).unwrap();
        let child = Command::new("docker-registry")
            .args(["serve", &format!("{dir}/config.yml")])
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .expect("docker-registry is installed");
        wait_for(port);
        Self {
            child,
            host: format!("127.0.0.1:{port}"),
            directory,
        }
    }

    /// An image in this registry.
    pub(crate) fn name(&self, rest: &str) -> String {
        format!("{}/{rest}", self.host)
    }

    /// Copies an image here by skopeo; `from` is in its notation.
    pub(crate) fn fill(&self, from: &str, name: &str, options: &[&str]) {
        let to = format!("docker://{}", self.name(name));
        let mut args = vec!["copy", "--quiet", "--dest-tls-verify=false"];
        args.extend_from_slice(options);
        args.extend([from, to.as_str()]);
        run("skopeo", &args);
    }

    /// The raw manifest, as skopeo sees it.
    pub(crate) fn raw(&self, name: &str) -> Vec<u8> {
        let image = format!("docker://{}", self.name(name));
        run(
            "skopeo",
            &["inspect", "--raw", "--tls-verify=false", &image],
        )
    }

    /// The file in which the registry keeps a blob (`sha256:…`).
    pub(crate) fn blob(&self, digest: &str) -> PathBuf {
        let hex = digest.strip_prefix("sha256:").unwrap();
        let path = format!(
            "data/docker/registry/v2/blobs/sha256/{}/{hex}/data",
            &hex[..2]
        );
        self.path().join(path)
    }

    /// A directory that lives as long as the registry.
    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A port of loopback that nobody listens on at this moment.
pub(crate) fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .unwrap()
        .local_addr()
        .unwrap()
        .port()
}

fn wait_for(port: u16) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
        assert!(Instant::now() < deadline, "the registry did not start");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Runs a program that must succeed; its standard output.
pub(crate) fn run(program: &str, args: &[&str]) -> Vec<u8> {
    let output = Command::new(program).args(args).output();
    let output = output.unwrap_or_else(|e| panic!("{program} is needed: {e}"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {args:?}: {said}");
    output.stdout
}
