//! Transfers that break, and bytes that are not the promised ones.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use model::Descriptor;
use model::event::Silent;
use registry::{Client, Config, Error};

use crate::kit::{Fake, Layout, Memory, References, Reply, Request, Server, amd64, pull, story};

/// A registry with one image, and its largest layer.
fn server() -> (Server, Descriptor) {
    let server = Server::open();
    server.fill(&Layout::single().source(), "a:1", &[]);
    let pulled = pull(&server.reference("a:1"), &Memory::default()).unwrap();
    (server, pulled.contents.layers[1].clone())
}

fn flip(reply: &mut Reply) {
    let middle = reply.body.len() / 2;
    reply.body[middle] ^= 1;
}

#[test]
fn one_flipped_byte_is_refused() {
    let (server, layer) = server();
    let digest = layer.digest.clone();
    let proxy = Fake::before(&server.host, move |request, mut reply| {
        if request.is_blob(&digest) {
            flip(&mut reply);
        }
        reply
    });
    let sink = Memory::default();
    let error = pull(&proxy.reference("a:1"), &sink).unwrap_err();
    assert!(
        matches!(&error, Error::Corrupt { what: "layer", expected, .. } if *expected == layer.digest)
    );
    assert!(
        story(&error).contains("nothing was kept"),
        "{}",
        story(&error)
    );
    assert!(
        sink.blobs.lock().unwrap().is_empty(),
        "no manifest, so no image"
    );
    assert!(!sink.layers.lock().unwrap().contains_key(&layer.digest));
    pull(&server.reference("a:1"), &sink).unwrap();
}

#[test]
fn a_flipped_manifest_or_configuration_is_refused() {
    let (server, _) = server();
    let pulled = pull(&server.reference("a:1"), &Memory::default()).unwrap();
    let config = pulled.contents.config.digest.to_string();
    for part in ["/manifests/sha256:".to_owned(), config] {
        let wanted = part.clone();
        let proxy = Fake::before(&server.host, move |request, mut reply| {
            if request.method == "GET" && request.path.contains(&wanted) {
                flip(&mut reply);
            }
            reply
        });
        let sink = Memory::default();
        let error = pull(&proxy.reference("a:1"), &sink).unwrap_err();
        assert!(matches!(error, Error::Corrupt { .. }), "{part}: {error:?}");
        assert!(sink.is_empty());
    }
}

#[test]
fn a_cut_connection_is_resumed() {
    let (server, layer) = server();
    let cuts = AtomicUsize::new(0);
    let digest = layer.digest.clone();
    let proxy = Fake::before(&server.host, move |request, mut reply| {
        if request.is_blob(&digest) && cuts.fetch_add(1, Ordering::Relaxed) < 2 {
            reply.cut = Some(reply.body.len() / 2);
        }
        reply
    });
    pull(&proxy.reference("a:1"), &Memory::default()).unwrap();
    let log = proxy.log.lock().unwrap();
    let of_layer: Vec<&(Request, usize)> = log
        .iter()
        .filter(|(r, _)| r.is_blob(&layer.digest))
        .collect();
    let sent: usize = of_layer.iter().map(|(_, sent)| sent).sum();
    assert_eq!(of_layer.len(), 3);
    let half = layer.size / 2;
    assert_eq!(
        of_layer[1].0.header("range"),
        Some(format!("bytes={half}-").as_str())
    );
    assert_eq!(sent as u64, layer.size, "only the rest is fetched");
}

#[test]
fn a_connection_that_stands_still_is_resumed() {
    let (server, layer) = server();
    let stalls = AtomicUsize::new(0);
    let digest = layer.digest.clone();
    let proxy = Fake::before(&server.host, move |request, mut reply| {
        if request.is_blob(&digest) && stalls.fetch_add(1, Ordering::Relaxed) == 0 {
            reply.cut = Some(1000);
            reply.hang = true;
        }
        reply
    });
    let config = Config {
        stall: Duration::from_millis(500),
        ..Config::default()
    };
    let sink = Memory::default();
    let reference = proxy.reference("a:1");
    Client::new(config)
        .pull(&reference, &amd64(), &sink, &Silent)
        .unwrap();
    assert!(sink.layers.lock().unwrap().contains_key(&layer.digest));
}

#[test]
fn a_sink_that_refuses_ends_the_pull() {
    let (server, layer) = server();
    let sink = Memory {
        refuses: Some(layer.digest.clone()),
        ..Memory::default()
    };
    let error = pull(&server.reference("a:1"), &sink).unwrap_err();
    assert!(
        matches!(&error, Error::Sink { what: "layer", .. }),
        "{error:?}"
    );
    assert!(
        story(&error).ends_with("no space left"),
        "{}",
        story(&error)
    );
    assert!(sink.blobs.lock().unwrap().is_empty());
}

#[test]
fn a_registry_without_ranges_is_read_again_from_the_start() {
    let (server, layer) = server();
    let cuts = AtomicUsize::new(0);
    let digest = layer.digest.clone();
    let upstream = server.host.clone();
    let proxy = Fake::before(&server.host, move |request, reply| {
        if !request.is_blob(&digest) {
            return reply;
        }
        let whole = blob_without_range(&upstream, request);
        let cut = (cuts.fetch_add(1, Ordering::Relaxed) == 0).then_some(whole.len() / 3);
        Reply {
            cut,
            ..Reply::new("200 OK", "", &whole)
        }
    });
    let sink = Memory::default();
    pull(&proxy.reference("a:1"), &sink).unwrap();
    assert_eq!(
        sink.layers.lock().unwrap()[&layer.digest].len() as u64,
        layer.size
    );
}

fn blob_without_range(host: &str, request: &Request) -> Vec<u8> {
    let (name, digest) = request.path.rsplit_once("/blobs/").unwrap();
    let name = name.strip_prefix("/v2/").unwrap();
    let sink = Memory::default();
    pull(&format!("{host}/{name}:1").parse().unwrap(), &sink).unwrap();
    sink.layers.lock().unwrap()[&digest.parse().unwrap()].clone()
}

#[test]
fn a_connection_that_always_breaks_is_given_up() {
    let (server, layer) = server();
    let digest = layer.digest.clone();
    let proxy = Fake::before(&server.host, move |request, mut reply| {
        if request.is_blob(&digest) {
            reply.cut = Some(0);
        }
        reply
    });
    let sink = Memory::default();
    let error = pull(&proxy.reference("a:1"), &sink).unwrap_err();
    assert!(
        matches!(&error, Error::Interrupted { done: 0, .. }),
        "{error:?}"
    );
    assert!(sink.blobs.lock().unwrap().is_empty());
}

#[test]
fn wrong_sizes_are_refused() {
    let (server, layer) = server();
    for change in [-1i64, 1] {
        let digest = layer.digest.clone();
        let proxy = Fake::before(&server.host, move |request, reply| {
            if !request.is_blob(&digest) {
                return reply;
            }
            let mut body = reply.body;
            body.resize((body.len() as i64 + change) as usize, 0);
            Reply::new("206 Partial Content", "", &body)
        });
        let sink = Memory::default();
        let error = pull(&proxy.reference("a:1"), &sink).unwrap_err();
        let got = (layer.size as i64 + change) as u64;
        assert!(
            matches!(&error, Error::WrongSize { expected, actual, .. } if *expected == layer.size && *actual == got),
            "{error:?}"
        );
        assert!(sink.blobs.lock().unwrap().is_empty());
    }
}

#[test]
fn a_missing_blob_is_named() {
    let (server, layer) = server();
    let digest = layer.digest.clone();
    let proxy = Fake::before(&server.host, move |request, reply| {
        if request.is_blob(&digest) {
            Reply::not_found()
        } else {
            reply
        }
    });
    let error = pull(&proxy.reference("a:1"), &Memory::default()).unwrap_err();
    assert!(
        matches!(&error, Error::BlobMissing { digest, .. } if *digest == layer.digest),
        "{error:?}"
    );
}
