//! Pulls that succeed, and those that find nothing.

use model::event::Silent;
use model::image::media;
use registry::{Client, Config, Document, Error};

use crate::kit::{
    Fake, Layout, Memory, References, Reply, Server, Told, amd64, client, describe, digest_of,
    free_port, pull, story,
};

#[test]
fn every_kind_of_image_arrives_bit_by_bit() {
    let server = Server::open();
    let kinds: [(&str, Layout, &[&str], &str); 3] = [
        ("a/oci:1", Layout::single(), &[], media::OCI_MANIFEST),
        (
            "a/docker:1",
            Layout::single(),
            &["--format", "v2s2"],
            media::DOCKER_MANIFEST,
        ),
        ("a/zstd:1", Layout::zstd(), &[], media::OCI_MANIFEST),
    ];
    for (name, image, options, media_type) in kinds {
        server.fill(&image.source(), name, options);
        let sink = Memory::default();
        let pulled = pull(&server.reference(name), &sink).unwrap();
        let raw = server.raw(name);
        assert_eq!(pulled.manifest.bytes, raw, "{name}");
        assert_eq!(pulled.manifest.media_type, media_type, "{name}");
        assert_eq!(pulled.resolved, digest_of(&raw), "{name}");
        assert_eq!(
            (pulled.fetched_layers, pulled.config.config.cmd.clone()),
            (3, Some(vec!["sh".into()]))
        );
        for layer in &pulled.contents.layers {
            assert_eq!(
                digest_of(&sink.layers.lock().unwrap()[&layer.digest]),
                layer.digest
            );
        }
        for (at, diff_id) in pulled.config.rootfs.diff_ids.iter().enumerate() {
            assert_eq!(sink.lowers.lock().unwrap()[diff_id], at);
        }
        let by_digest = server.reference(name).with_digest(pulled.resolved.clone());
        assert_eq!(
            pull(&by_digest, &Memory::default()).unwrap().manifest,
            pulled.manifest
        );
    }
    let zstd = pull(&server.reference("a/zstd:1"), &Memory::default()).unwrap();
    assert!(
        zstd.contents
            .layers
            .iter()
            .all(|l| l.media_type == media::OCI_LAYER_ZSTD)
    );
}

#[test]
fn an_image_that_is_here_costs_one_head() {
    let server = Server::open();
    server.fill(&Layout::single().source(), "a:1", &[]);
    let proxy = Fake::before(&server.host, |_, reply| reply);
    let sink = Memory::default();
    let first = pull(&proxy.reference("a:1"), &sink).unwrap();
    proxy.log.lock().unwrap().clear();
    let told = Told::default();
    let again = client()
        .pull(&proxy.reference("a:1"), &amd64(), &sink, &told)
        .unwrap();
    assert_eq!((again.fetched_layers, again.manifest), (0, first.manifest));
    // On loopback a knock finds out whether http is spoken.
    let requests = proxy.requests();
    assert_eq!(requests, ["GET /v2/", "HEAD /v2/a/manifests/1"]);
    assert_eq!(*told.0.lock().unwrap(), ["Already exists"; 3]);

    proxy.log.lock().unwrap().clear();
    pull(&proxy.reference("a").with_digest(first.resolved), &sink).unwrap();
    assert!(proxy.requests().is_empty(), "pinned and here: no request");
}

#[test]
fn a_plain_http_registry_needs_no_certificates() {
    let server = Server::open();
    server.fill(&Layout::single().source(), "a:1", &[]);
    let config = Config {
        ca_bundles: Vec::new(),
        ..Config::default()
    };
    let sink = Memory::default();
    let reference = server.reference("a:1");
    Client::new(config.clone())
        .pull(&reference, &amd64(), &sink, &Silent)
        .unwrap();
    let elsewhere = "registry.invalid/a:1".parse().unwrap();
    let error = Client::new(config)
        .pull(&elsewhere, &amd64(), &sink, &Silent)
        .unwrap_err();
    assert!(matches!(error, Error::NoCertificates { .. }), "{error:?}");
}

#[test]
fn a_platform_is_chosen_from_an_index() {
    let server = Server::open();
    server.fill(&Layout::index().source(), "multi:1", &["--all"]);
    let sink = Memory::default();
    let reference = server.reference("multi:1");
    for architecture in ["amd64", "arm64"] {
        let platform = format!("linux/{architecture}").parse().unwrap();
        let pulled = client()
            .pull(&reference, &platform, &sink, &Silent)
            .unwrap();
        assert_eq!(pulled.config.architecture, architecture);
        assert_eq!(pulled.resolved, digest_of(&server.raw("multi:1")));
        assert_ne!(pulled.resolved, pulled.manifest.digest);
    }
    let error = client()
        .pull(&reference, &"linux/s390x".parse().unwrap(), &sink, &Silent)
        .unwrap_err();
    assert!(matches!(error, Error::NoPlatform { .. }));
    assert_eq!(
        story(&error),
        format!(
            "{reference} has no image for linux/s390x; it offers linux/amd64, linux/arm64 \
             (hint: choose one with --platform linux/amd64)"
        )
    );
}

#[test]
fn an_image_for_another_machine_is_told() {
    let server = Server::open();
    server.fill(&Layout::single().source(), "a:1", &[]);
    let told = Told::default();
    let arm = "linux/arm64".parse().unwrap();
    client()
        .pull(&server.reference("a:1"), &arm, &Memory::default(), &told)
        .unwrap();
    let told = told.0.lock().unwrap();
    assert!(
        told.iter().any(|t| t.contains("is made for linux/amd64")),
        "{told:?}"
    );
}

#[test]
fn what_is_not_there_is_named() {
    let server = Server::open();
    let error = pull(&server.reference("no/such"), &Memory::default()).unwrap_err();
    assert!(matches!(error, Error::NotFound { .. }), "{error:?}");
    let text = story(&error);
    assert!(
        text.contains(&server.host) && text.contains("no/such:latest"),
        "{text}"
    );
    assert!(text.contains("name a tag"), "{text}");
    let missing = server.reference("no/such").with_digest(digest_of(b"x"));
    assert!(matches!(
        pull(&missing, &Memory::default()),
        Err(Error::NotFound { .. })
    ));
}

#[test]
fn an_absent_registry_is_named() {
    let nobody = format!("127.0.0.1:{}/a:1", free_port()).parse().unwrap();
    let error = pull(&nobody, &Memory::default()).unwrap_err();
    assert!(matches!(error, Error::Unreachable { .. }), "{error:?}");
    assert!(
        story(&error).contains("Connection refused"),
        "{}",
        story(&error)
    );
    let unknown = "registry.invalid/a:1".parse().unwrap();
    let error = pull(&unknown, &Memory::default()).unwrap_err();
    assert!(matches!(error, Error::UnknownHost { .. }), "{error:?}");
}

/// A registry that serves one made-up image.
fn fake(layer_type: &'static str, diff_ids: &'static [&'static str]) -> Fake {
    let layer = b"layer".as_slice();
    let config = serde_json::json!({
        "architecture": "amd64", "os": "linux", "rootfs": { "type": "layers", "diff_ids": diff_ids },
    });
    let config = serde_json::to_vec(&config).unwrap();
    let manifest = serde_json::json!({
        "schemaVersion": 2, "mediaType": media::OCI_MANIFEST,
        "config": describe(media::OCI_CONFIG, &config), "layers": [describe(layer_type, layer)],
    });
    let manifest = serde_json::to_vec(&manifest).unwrap();
    Fake::new(move |request| match request.path.as_str() {
        "/v2/" => Reply::ok("text/plain", b"{}"),
        path if path.contains("/manifests/") => Reply::ok(media::OCI_MANIFEST, &manifest),
        path if path.ends_with(digest_of(&config).as_str()) => Reply::ok("x", &config),
        path if path.ends_with(digest_of(layer).as_str()) => Reply::ok("x", layer),
        _ => Reply::not_found(),
    })
}

const ONE: &str = "sha256:1111111111111111111111111111111111111111111111111111111111111111";

#[test]
fn unknown_and_foreign_layers_are_refused() {
    let foreign = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip";
    for layer_type in [foreign, "application/wasm"] {
        let sink = Memory::default();
        let error = pull(&fake(layer_type, &[ONE]).reference("a:1"), &sink).unwrap_err();
        assert!(
            matches!(
                error,
                Error::Unsupported {
                    what: "a layer",
                    ..
                }
            ),
            "{error:?}"
        );
        assert!(error.to_string().contains(layer_type) && sink.is_empty());
    }
    assert!(
        pull(
            &fake(media::OCI_LAYER, &[ONE]).reference("a:1"),
            &Memory::default()
        )
        .is_ok()
    );
}

#[test]
fn as_many_diff_ids_as_layers() {
    for diff_ids in [&[] as &[&str], &[ONE, ONE]] {
        let sink = Memory::default();
        let error = pull(&fake(media::OCI_LAYER, diff_ids).reference("a:1"), &sink).unwrap_err();
        assert!(matches!(error, Error::Malformed { .. }), "{error:?}");
        assert!(sink.is_empty());
    }
}

#[test]
fn a_document_cannot_be_both_kinds() {
    let both = br#"{"schemaVersion":2,"manifests":[],"layers":[]}"#;
    assert!(Document::new(both.to_vec()).is_err());
    assert!(Document::new(br#"{"schemaVersion":1,"layers":[]}"#.to_vec()).is_err());
}
