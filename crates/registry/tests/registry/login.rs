//! Users, passwords and tokens.

use std::sync::Arc;

use model::event::Silent;
use model::image::media;
use registry::{Client, Config, Credentials, Error, credentials};

use crate::kit::{
    Fake, Layout, Memory, References, Reply, Server, amd64, client, describe, digest_of,
    login_file, pull, run, story,
};

fn kim() -> Client {
    let credentials = Credentials::Password {
        user: "kim".into(),
        password: "pass:word".into(),
    };
    Client::new(Config {
        credentials,
        ..Config::default()
    })
}

#[test]
fn a_guarded_registry_asks_for_a_login() {
    let server = Server::guarded();
    let reference = server.reference("a:1");
    let error = pull(&reference, &Memory::default()).unwrap_err();
    assert!(
        matches!(error, Error::Unauthorized { user: None, .. }),
        "{error:?}"
    );
    assert!(
        story(&error).contains(&format!("shim login {}", server.host)),
        "{}",
        story(&error)
    );

    client().login(&server.host, "kim", "pass:word").unwrap();
    for (user, password) in [("kim", "wrong"), ("tom", "pass:word")] {
        let error = client().login(&server.host, user, password).unwrap_err();
        assert!(
            matches!(&error, Error::WrongPassword { user: u, .. } if u == user),
            "{error:?}"
        );
        assert!(!story(&error).contains(password), "{}", story(&error));
    }
}

#[test]
fn a_login_file_opens_the_door() {
    let server = Server::guarded();
    let (_directory, path) = login_file();
    credentials::store(&path, &server.host, "kim", "pass:word").unwrap();
    let layout = Layout::single();
    let from = layout.source();
    let to = format!("docker://{}/a:1", server.host);
    // skopeo reads the file that we wrote.
    let auth = path.to_str().unwrap();
    run(
        "skopeo",
        &[
            "copy",
            "-q",
            "--authfile",
            auth,
            "--dest-tls-verify=false",
            &from,
            &to,
        ],
    );
    let missing = server.path().join("none.json");
    let config = Config {
        credentials: Credentials::Files(vec![missing, path]),
        ..Config::default()
    };
    let client = Client::new(config);
    let sink = Memory::default();
    let pulled = client
        .pull(&server.reference("a:1"), &amd64(), &sink, &Silent)
        .unwrap();
    let pushed = client
        .push(&server.reference("b:1"), &pulled.manifest, &sink, &Silent)
        .unwrap();
    assert_eq!(pushed.digest, pulled.resolved);
}

/// `kim:pass:word` as a Basic header has it.
const BASIC: &str = "Basic a2ltOnBhc3M6d29yZA==";

/// A registry with a token server beside it, and one manifest without layers.
fn token_registry() -> Fake {
    let config =
        br#"{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[]}}"#;
    let manifest = serde_json::json!({
        "schemaVersion": 2, "mediaType": media::OCI_MANIFEST,
        "config": describe(media::OCI_CONFIG, config), "layers": [],
    });
    let manifest = serde_json::to_vec(&manifest).unwrap();
    let tokens = Arc::new(Fake::new(|request| match request.header("authorization") {
        Some(BASIC) => Reply::new("200 OK", "", br#"{"token":"t1"}"#),
        _ => Reply::new("401 Unauthorized", "", b"no"),
    }));
    Fake::new(move |request| {
        if request.header("authorization") != Some("Bearer t1") {
            let challenge = format!(
                "WWW-Authenticate: Bearer realm=\"http://{}/token\",service=\"test\"\r\n",
                tokens.address
            );
            return Reply::new("401 Unauthorized", &challenge, b"");
        }
        match request.path.as_str() {
            path if path.contains("/manifests/") => Reply::ok(media::OCI_MANIFEST, &manifest),
            path if path.contains("/blobs/") => Reply::ok("x", config),
            "/v2/" => Reply::ok("x", b"{}"),
            _ => Reply::not_found(),
        }
    })
}

#[test]
fn tokens_are_fetched_with_the_password() {
    let registry = token_registry();
    let host = registry.address.to_string();
    let reference = registry.reference("a:1");
    kim()
        .pull(&reference, &amd64(), &Memory::default(), &Silent)
        .unwrap();
    kim().login(&host, "kim", "pass:word").unwrap();
    let error = kim().login(&host, "kim", "wrong").unwrap_err();
    assert!(matches!(error, Error::WrongPassword { .. }), "{error:?}");
    let error = pull(&reference, &Memory::default()).unwrap_err();
    assert!(
        matches!(error, Error::Unauthorized { user: None, .. }),
        "{error:?}"
    );
}

#[test]
fn a_redirect_does_not_carry_the_password_along() {
    let layer = b"layer".as_slice();
    let elsewhere = Fake::new(move |_| Reply::ok("x", layer));
    let target = elsewhere.address;
    let config = br#"{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":
        ["sha256:1111111111111111111111111111111111111111111111111111111111111111"]}}"#;
    let manifest = serde_json::json!({
        "schemaVersion": 2, "mediaType": media::OCI_MANIFEST,
        "config": describe(media::OCI_CONFIG, config),
        "layers": [describe(media::OCI_LAYER, layer)],
    });
    let manifest = serde_json::to_vec(&manifest).unwrap();
    let registry = Fake::new(move |request| {
        if request.header("authorization") != Some(BASIC) {
            return Reply::new(
                "401 Unauthorized",
                "WWW-Authenticate: Basic realm=\"x\"\r\n",
                b"",
            );
        }
        match request.path.as_str() {
            path if path.contains("/manifests/") => Reply::ok(media::OCI_MANIFEST, &manifest),
            path if path.ends_with(digest_of(config).as_str()) => Reply::ok("x", config),
            _ => Reply::new(
                "307 Temporary Redirect",
                &format!("Location: http://{target}/there\r\n"),
                b"",
            ),
        }
    });
    kim()
        .pull(
            &registry.reference("a:1"),
            &amd64(),
            &Memory::default(),
            &Silent,
        )
        .unwrap();
    let log = elsewhere.log.lock().unwrap();
    assert_eq!(log.len(), 1);
    assert_eq!(log[0].0.header("authorization"), None);
}
