//! A small language for the tests: a registry process, images to put into it, a
//! server whose answers a closure decides, and a sink that keeps all in memory.

use std::collections::{BTreeMap, HashMap};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use model::event::{Event, EventSink, Silent};
use model::image::{Manifest, media};
use model::{Descriptor, Digest, Platform, Reference};
use registry::{BlobSink, BlobSource, BoxError, Client, Config, Layer, Pulled};

#[path = "../../../../tests/kit/server.rs"]
mod server;

pub(crate) use server::{Server, free_port, run};

/// A registry's images as this crate names them.
pub(crate) trait References {
    fn reference(&self, rest: &str) -> Reference;
}

impl References for Server {
    fn reference(&self, rest: &str) -> Reference {
        self.name(rest).parse().unwrap()
    }
}

/// An image on disk in OCI layout: three layers, the second of a MiB.
pub(crate) struct Layout {
    directory: tempfile::TempDir,
}

impl Layout {
    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    /// In skopeo's notation.
    pub(crate) fn source(&self) -> String {
        format!("oci:{}:latest", self.path().display())
    }

    /// An image for this machine.
    pub(crate) fn single() -> Self {
        let layout = Self::empty();
        let manifest = layout.image("amd64", media::OCI_LAYER_GZIP, gzip);
        layout.finish(vec![manifest]);
        layout
    }

    /// The same with zstd layers.
    pub(crate) fn zstd() -> Self {
        let layout = Self::empty();
        let manifest = layout.image("amd64", media::OCI_LAYER_ZSTD, zstd);
        layout.finish(vec![manifest]);
        layout
    }

    /// An index of amd64 and arm64 images.
    pub(crate) fn index() -> Self {
        let layout = Self::empty();
        let manifests = vec![
            layout.image("amd64", media::OCI_LAYER_GZIP, gzip),
            layout.image("arm64", media::OCI_LAYER_GZIP, gzip),
        ];
        let index = serde_json::json!({
            "schemaVersion": 2, "mediaType": media::OCI_INDEX, "manifests": manifests,
        });
        let index = layout.blob(media::OCI_INDEX, &serde_json::to_vec(&index).unwrap());
        layout.finish(vec![index]);
        layout
    }

    fn empty() -> Self {
        let directory = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(directory.path().join("blobs/sha256")).unwrap();
        let marker = br#"{"imageLayoutVersion":"1.0.0"}"#;
        std::fs::write(directory.path().join("oci-layout"), marker).unwrap();
        Self { directory }
    }

    fn finish(&self, mut manifests: Vec<Descriptor>) {
        manifests[0]
            .annotations
            .insert("org.opencontainers.image.ref.name".into(), "latest".into());
        let index = serde_json::json!({ "schemaVersion": 2, "manifests": manifests });
        std::fs::write(self.path().join("index.json"), index.to_string()).unwrap();
    }

    fn image(
        &self,
        architecture: &str,
        layer_type: &str,
        pack: fn(&[u8]) -> Vec<u8>,
    ) -> Descriptor {
        let mut layers = Vec::new();
        let mut diff_ids = Vec::new();
        for (name, length) in [("etc/one", 100), ("big", 1 << 20), ("etc/three", 5000)] {
            let plain = tar_of(&format!("{name}-{architecture}"), &noise(length));
            diff_ids.push(digest_of(&plain));
            layers.push(self.blob(layer_type, &pack(&plain)));
        }
        let config = serde_json::json!({
            "architecture": architecture, "os": "linux", "config": { "Cmd": ["sh"] },
            "rootfs": { "type": "layers", "diff_ids": diff_ids },
        });
        let config = self.blob(media::OCI_CONFIG, &serde_json::to_vec(&config).unwrap());
        let manifest = Manifest {
            schema_version: 2,
            media_type: Some(media::OCI_MANIFEST.into()),
            config,
            layers,
            annotations: BTreeMap::new(),
        };
        let bytes = serde_json::to_vec(&manifest).unwrap();
        let mut descriptor = self.blob(media::OCI_MANIFEST, &bytes);
        descriptor.platform = Some(format!("linux/{architecture}").parse().unwrap());
        descriptor
    }

    fn blob(&self, media_type: &str, bytes: &[u8]) -> Descriptor {
        let descriptor = describe(media_type, bytes);
        let name = self
            .path()
            .join("blobs/sha256")
            .join(descriptor.digest.hex());
        std::fs::write(name, bytes).unwrap();
        descriptor
    }
}

pub(crate) fn describe(media_type: &str, bytes: &[u8]) -> Descriptor {
    Descriptor {
        media_type: media_type.into(),
        digest: digest_of(bytes),
        size: bytes.len() as u64,
        platform: None,
        annotations: BTreeMap::new(),
    }
}

pub(crate) fn digest_of(bytes: &[u8]) -> Digest {
    use sha2::Digest as _;
    Digest::from_sha256(sha2::Sha256::digest(bytes).into())
}

/// Bytes that do not compress.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    (0..length).map(|_| next()).collect()
}

fn tar_of(name: &str, content: &[u8]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(content.len() as u64);
    header.set_mode(0o644);
    builder.append_data(&mut header, name, content).unwrap();
    builder.into_inner().unwrap()
}

fn gzip(plain: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(plain).unwrap();
    encoder.finish().unwrap()
}

fn zstd(plain: &[u8]) -> Vec<u8> {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), plain).unwrap();
    run("zstd", &["-q", "-c", file.path().to_str().unwrap()])
}

/// A request as the test server sees it.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) headers: HashMap<String, String>,
}

impl Request {
    pub(crate) fn is_blob(&self, digest: &Digest) -> bool {
        self.method == "GET" && self.path.ends_with(&format!("/blobs/{digest}"))
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }
}

/// An answer, as raw as it goes out.
#[derive(Debug, Clone)]
pub(crate) struct Reply {
    /// Status line and headers, without the empty line.
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
    /// The connection is cut after this many bytes of the body.
    pub(crate) cut: Option<usize>,
    /// Instead of being cut, the connection then stands still.
    pub(crate) hang: bool,
}

impl Reply {
    pub(crate) fn new(status: &str, headers: &str, body: &[u8]) -> Self {
        let head = format!(
            "HTTP/1.1 {status}\r\nContent-Length: {}\r\n{headers}",
            body.len()
        );
        Self {
            head,
            body: body.to_vec(),
            cut: None,
            hang: false,
        }
    }

    pub(crate) fn ok(media_type: &str, body: &[u8]) -> Self {
        let headers = format!(
            "Content-Type: {media_type}\r\nDocker-Content-Digest: {}\r\n",
            digest_of(body)
        );
        Self::new("200 OK", &headers, body)
    }

    pub(crate) fn not_found() -> Self {
        Self::new("404 Not Found", "", b"")
    }
}

/// What each request was and how many bytes of body went back.
pub(crate) type Log = Arc<Mutex<Vec<(Request, usize)>>>;

/// A server that answers as a closure says, one request a connection.
pub(crate) struct Fake {
    pub(crate) address: SocketAddr,
    pub(crate) log: Log,
}

impl Fake {
    pub(crate) fn new(answer: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let log = Log::default();
        let (answer, ours) = (Arc::new(answer), Arc::clone(&log));
        // Lives as long as the test's process.
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (answer, log) = (Arc::clone(&answer), Arc::clone(&ours));
                std::thread::spawn(move || serve(stream, answer.as_ref(), &log));
            }
        });
        Self { address, log }
    }

    /// Stands before `upstream` and lets `alter` change each answer.
    pub(crate) fn before(
        upstream: &str,
        alter: impl Fn(&Request, Reply) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let upstream = upstream.to_owned();
        Self::new(move |request| alter(request, forward(&upstream, request)))
    }

    pub(crate) fn reference(&self, rest: &str) -> Reference {
        format!("{}/{rest}", self.address).parse().unwrap()
    }

    /// Requests so far, as `METHOD path`.
    pub(crate) fn requests(&self) -> Vec<String> {
        let log = self.log.lock().unwrap();
        log.iter()
            .map(|(r, _)| format!("{} {}", r.method, r.path))
            .collect()
    }
}

fn serve(mut stream: TcpStream, answer: &dyn Fn(&Request) -> Reply, log: &Log) {
    let Some(request) = read_request(&stream) else {
        return;
    };
    let mut reply = answer(&request);
    if request.method == "HEAD" {
        reply.body.clear();
    }
    let sent = reply.cut.unwrap_or(usize::MAX).min(reply.body.len());
    log.lock().unwrap().push((request, sent));
    let head = format!("{}Connection: close\r\n\r\n", reply.head);
    let _ = stream.write_all(head.as_bytes());
    let _ = stream.write_all(&reply.body[..sent]);
    if reply.hang {
        // Until the client has lost its patience and closes.
        let _ = stream.read_to_end(&mut Vec::new());
    }
}

fn read_request(stream: &TcpStream) -> Option<Request> {
    let mut lines = BufReader::new(stream).lines();
    let first = lines.next()?.ok()?;
    let mut words = first.split(' ');
    let (method, path) = (words.next()?.to_owned(), words.next()?.to_owned());
    let headers = lines
        .map_while(|line| line.ok().filter(|l| !l.is_empty()))
        .filter_map(|l| {
            l.split_once(": ")
                .map(|(k, v)| (k.to_ascii_lowercase(), v.to_owned()))
        })
        .collect();
    Some(Request {
        method,
        path,
        headers,
    })
}

fn forward(upstream: &str, request: &Request) -> Reply {
    let mut stream = TcpStream::connect(upstream).unwrap();
    let mut head = format!("{} {} HTTP/1.1\r\n", request.method, request.path);
    for (name, value) in request
        .headers
        .iter()
        .filter(|(name, _)| *name != "connection")
    {
        head += &format!("{name}: {value}\r\n");
    }
    stream
        .write_all(format!("{head}connection: close\r\n\r\n").as_bytes())
        .unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let end = answer.windows(4).position(|w| w == b"\r\n\r\n").unwrap();
    let head = String::from_utf8_lossy(&answer[..end]);
    let head = head
        .lines()
        .filter(|l| !l.to_ascii_lowercase().starts_with("connection:"));
    let head = head.map(|l| format!("{l}\r\n")).collect();
    Reply {
        head,
        body: answer[end + 4..].to_vec(),
        cut: None,
        hang: false,
    }
}

/// Keeps what arrives whole, in memory.
#[derive(Default)]
pub(crate) struct Memory {
    pub(crate) blobs: Mutex<HashMap<Digest, Vec<u8>>>,
    pub(crate) layers: Mutex<HashMap<Digest, Vec<u8>>>,
    /// Lowers of each layer taken.
    pub(crate) lowers: Mutex<HashMap<Digest, usize>>,
    /// Layers of this digest are refused, as by a full disk.
    pub(crate) refuses: Option<Digest>,
}

impl BlobSink for Memory {
    fn find(&self, digest: &Digest) -> Result<Option<Vec<u8>>, BoxError> {
        Ok(self.blobs.lock().unwrap().get(digest).cloned())
    }

    fn keep(&self, descriptor: &Descriptor, bytes: &[u8]) -> Result<(), BoxError> {
        assert_eq!(descriptor.digest, digest_of(bytes));
        self.blobs
            .lock()
            .unwrap()
            .insert(descriptor.digest.clone(), bytes.to_vec());
        Ok(())
    }

    fn has_layer(&self, layer: Layer<'_>) -> Result<bool, BoxError> {
        Ok(self
            .layers
            .lock()
            .unwrap()
            .contains_key(&layer.descriptor.digest))
    }

    fn take_layer(&self, layer: Layer<'_>, reader: &mut dyn Read) -> Result<(), BoxError> {
        if self.refuses.as_ref() == Some(&layer.descriptor.digest) {
            return Err("no space left".into());
        }
        let mut bytes = Vec::new();
        reader.read_to_end(&mut bytes)?;
        self.lowers
            .lock()
            .unwrap()
            .insert(layer.diff_id.clone(), layer.lowers.len());
        self.layers
            .lock()
            .unwrap()
            .insert(layer.descriptor.digest.clone(), bytes);
        Ok(())
    }
}

impl BlobSource for Memory {
    fn open(&self, digest: &Digest) -> Result<Box<dyn Read + Send>, BoxError> {
        let blob = self
            .find(digest)?
            .or_else(|| self.layers.lock().unwrap().get(digest).cloned());
        let blob = blob.ok_or("no such blob")?;
        Ok(Box::new(std::io::Cursor::new(blob)))
    }
}

impl Memory {
    pub(crate) fn is_empty(&self) -> bool {
        self.blobs.lock().unwrap().is_empty() && self.layers.lock().unwrap().is_empty()
    }
}

/// Keeps events as short texts.
#[derive(Default)]
pub(crate) struct Told(pub(crate) Mutex<Vec<String>>);

impl EventSink for Told {
    fn send(&self, event: Event) {
        let text = match event {
            Event::Done { outcome, .. } | Event::Failed { outcome, .. } => outcome,
            Event::Warning { text } => text,
            _ => return,
        };
        self.0.lock().unwrap().push(text);
    }
}

/// A client that loses patience early.
pub(crate) fn client() -> Client {
    Client::new(Config {
        stall: Duration::from_secs(5),
        retries: 2,
        ..Config::default()
    })
}

pub(crate) fn pull(reference: &Reference, sink: &Memory) -> registry::Result<Pulled> {
    client().pull(reference, &amd64(), sink, &Silent)
}

pub(crate) fn amd64() -> Platform {
    "linux/amd64".parse().unwrap()
}

/// An error as a user reads it: message, causes, hint.
pub(crate) fn story(error: &registry::Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        text += &format!(": {inner}");
        cause = inner.source();
    }
    match error.hint() {
        Some(hint) => format!("{text} (hint: {hint})"),
        None => text,
    }
}

/// A login file in a directory of its own.
pub(crate) fn login_file() -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("config.json");
    (directory, path)
}
