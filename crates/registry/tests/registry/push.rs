//! Pushes: what arrives must be what was pulled.

use model::event::Silent;
use model::image::media;
use registry::{Document, Error};

use crate::kit::{Layout, Memory, References, Server, Told, client, digest_of, pull};

#[test]
fn a_pushed_image_keeps_its_digests() {
    let server = Server::open();
    let image = Layout::single();
    for (name, options) in [
        ("oci:1", &[] as &[&str]),
        ("docker:1", &["--format", "v2s2"]),
    ] {
        server.fill(&image.source(), name, options);
        let sink = Memory::default();
        let pulled = pull(&server.reference(name), &sink).unwrap();
        let target = server.reference(&format!("copy/{name}"));
        let told = Told::default();
        let pushed = client()
            .push(&target, &pulled.manifest, &sink, &told)
            .unwrap();
        assert_eq!(
            (pushed.digest, pushed.uploaded_blobs),
            (pulled.resolved.clone(), 4)
        );
        assert_eq!(server.raw(&format!("copy/{name}")), pulled.manifest.bytes);
        assert_eq!(
            pull(&target, &Memory::default()).unwrap().manifest,
            pulled.manifest
        );

        let again = client()
            .push(&target, &pulled.manifest, &sink, &told)
            .unwrap();
        assert_eq!(again.uploaded_blobs, 0);
        let mut expected = vec!["Pushed"; 4];
        expected.extend(["Layer already exists"; 4]);
        assert_eq!(*told.0.lock().unwrap(), expected);
    }
}

#[test]
fn an_index_is_pushed_with_its_manifests() {
    let server = Server::open();
    server.fill(&Layout::index().source(), "multi:1", &["--all"]);
    let sink = Memory::default();
    for platform in ["linux/amd64", "linux/arm64"] {
        let reference = server.reference("multi:1");
        client()
            .pull(&reference, &platform.parse().unwrap(), &sink, &Silent)
            .unwrap();
    }
    let index = Document::new(server.raw("multi:1")).unwrap();
    assert_eq!(index.media_type, media::OCI_INDEX);
    client()
        .push(&server.reference("copy:1"), &index, &sink, &Silent)
        .unwrap();
    assert_eq!(digest_of(&server.raw("copy:1")), index.digest);
    let arm = "linux/arm64".parse().unwrap();
    client()
        .pull(
            &server.reference("copy:1"),
            &arm,
            &Memory::default(),
            &Silent,
        )
        .unwrap();
}

#[test]
fn a_source_that_fails_ends_the_push() {
    let server = Server::open();
    server.fill(&Layout::single().source(), "a:1", &[]);
    let pulled = pull(&server.reference("a:1"), &Memory::default()).unwrap();
    let error = client()
        .push(
            &server.reference("b:1"),
            &pulled.manifest,
            &Memory::default(),
            &Silent,
        )
        .unwrap_err();
    assert!(matches!(error, Error::Source { .. }), "{error:?}");
    assert!(matches!(
        pull(&server.reference("b:1"), &Memory::default()),
        Err(Error::NotFound { .. })
    ));
}
