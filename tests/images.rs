//! Images from end to end: pulled, pushed, saved, loaded, named, removed; with a real
//! registry on loopback, and skopeo, umoci and podman as the other side.

#![expect(
    clippy::unwrap_used,
    reason = "a test that panics has failed, which is meant"
)]

mod kit;

use std::path::Path;

use kit::{Layout, Server, Shim, digest_of, free_port, run};
use serde_json::Value;

/// What docker gives a container whose image has no PATH.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What every image of [`Layout::busybox`] looks like once it is here.
fn check(shim: &Shim, image: &str) {
    assert_eq!(
        shim.ok(&["run", "--rm", "--network", "none", image]),
        "hello",
        "{image}"
    );
    let env = shim.ok(&["inspect", "--format", "{{json .Config.Env}}", image]);
    let env: Vec<String> = serde_json::from_str(&env).unwrap();
    assert_eq!(env, ["A=b"], "{image}");
    let path = shim.ok(&[
        "run",
        "--rm",
        "--network",
        "none",
        image,
        "sh",
        "-c",
        "echo $A $PATH",
    ]);
    assert_eq!(
        path,
        format!("b {DEFAULT_PATH}"),
        "{image} has none of its own"
    );
}

fn id(shim: &Shim, image: &str) -> String {
    shim.ok(&["image", "inspect", "--format", "{{.Id}}", image])
}

fn manifest(server: &Server, name: &str) -> Value {
    serde_json::from_slice(&server.raw(name)).unwrap()
}

fn save_to(bytes: &[u8], path: &Path) -> String {
    std::fs::write(path, bytes).unwrap();
    digest_of(path)
}

/// Nothing of an image that was refused may be left over.
fn nothing_left(shim: &Shim) {
    assert_eq!(shim.ok(&["images", "-q"]), "");
    for directory in ["tmp", "images/refs", "images/ids"] {
        assert_eq!(shim.stored(directory), [""; 0], "{directory}");
    }
}

/// A blob that was refused is not kept either.
fn not_stored(shim: &Shim, digest: &str) {
    let hex = digest.strip_prefix("sha256:").unwrap().to_owned();
    assert!(!shim.stored("blobs/sha256").contains(&hex), "{digest}");
}

as_root_and_user! {

fn pulls_and_pushes_every_kind(shim: &Shim) {
    let server = Server::open();
    let layout = Layout::busybox();
    server.fill(&layout.source(), "oci:1", &[]);
    server.fill(&layout.source(), "docker:1", &["--format", "v2s2"]);
    server.fill(&layout.plain(), "zstd:1", &["--format", "oci", "--dest-compress-format", "zstd"]);
    for kind in ["oci", "docker", "zstd"] {
        let name = format!("{kind}:1");
        let image = server.name(&name);
        assert_eq!(shim.ok(&["pull", &image]), image);
        let raw = server.raw(&name);
        let config = manifest(&server, &name)["config"]["digest"].as_str().unwrap().to_owned();
        assert_eq!(id(shim, &image), config);
        check(shim, &image);

        let copy = server.name(&format!("copy/{name}"));
        shim.ok(&["tag", &image, &copy]);
        let digest = shim.ok(&["push", &copy]);
        assert_eq!(server.raw(&format!("copy/{name}")), raw, "{kind}: the same bytes");
        assert!(digest.contains(&save_to(&raw, &server.path().join("raw"))), "{digest}");

        shim.ok(&["rmi", "-f", &image, &copy]);
        let pinned = format!("{}@{}", server.name(kind), digest_of(&server.path().join("raw")));
        shim.ok(&["pull", "-q", &pinned]);
        check(shim, &pinned);
    }
}

fn lists_names_and_removes(shim: &Shim) {
    let server = Server::open();
    server.fill(&Layout::busybox().source(), "app:1", &[]);
    let image = server.name("app:1");
    shim.ok(&["pull", &image]);
    shim.ok(&["tag", &image, "mine:2"]);
    let rows = shim.ok(&["images", "--format", "{{.Repository}}:{{.Tag}} {{.ID}}"]);
    let full = id(shim, "mine:2");
    let short = &full["sha256:".len()..][..12];
    let mut rows: Vec<&str> = rows.lines().collect();
    rows.sort_unstable();
    assert_eq!(rows, [format!("{image} {short}"), format!("mine:2 {short}")]);
    let table = shim.ok(&["images"]);
    assert!(table.starts_with("REPOSITORY"), "{table}");

    let steps = shim.ok(&["history", "--format", "{{.CreatedBy}}", "mine:2"]);
    assert!(steps.lines().count() >= 2, "{steps}");
    let text = shim.ok(&["rmi", "mine:2"]);
    assert!(text.contains("Untagged: mine:2") && !text.contains("Deleted"), "{text}");
    assert_eq!(id(shim, &image), full);
    assert_eq!(id(shim, short), full);
    shim.ok(&["rmi", "-f", &image]);
    assert_eq!(shim.ok(&["images", "-q"]), "");
    shim.run(&["inspect", "mine:2"]).failed(&["mine:2"]);
    shim.run(&["rmi", "mine:2"]).failed(&["mine:2"]);
}

fn saves_and_loads_archives(shim: &Shim) {
    let server = Server::open();
    server.fill(&Layout::busybox().source(), "app:1", &[]);
    let image = server.name("app:1");
    shim.ok(&["pull", "-q", &image]);
    shim.ok(&["tag", &image, "mine:2"]);
    let before = id(shim, "mine:2");
    for format in ["docker-archive", "oci-archive"] {
        let archive = shim.path(format);
        let file = archive.to_str().unwrap();
        shim.ok(&["save", "--format", format, "-o", file, "mine:2"]);
        let seen = run("skopeo", &["inspect", "--config", &format!("{format}:{file}")]);
        let seen: Value = serde_json::from_slice(&seen).unwrap();
        assert_eq!(seen["config"]["Cmd"][0], "cat", "{format}: skopeo reads it");
        shim.ok(&["rmi", "-f", &image, "mine:2"]);
        assert_eq!(shim.ok(&["images", "-q"]), "");
        assert_eq!(shim.ok(&["load", "-i", file]), "Loaded image: mine:2");
        assert_eq!(id(shim, "mine:2"), before, "{format}");
        check(shim, "mine:2");
        shim.ok(&["tag", "mine:2", &image]);
    }
}

fn loads_what_others_saved(shim: &Shim) {
    let layout = Layout::busybox();
    for kind in ["docker-archive", "oci-archive"] {
        let file = layout.path().with_file_name(kind);
        let to = format!("{kind}:{}:theirs:3", file.display());
        run("skopeo", &["copy", "--quiet", &layout.source(), &to]);
        let bytes = std::fs::read(&file).unwrap();
        let text = shim.run_with(&["load"], &bytes).succeeded();
        assert!(text.starts_with("Loaded image"), "{text}");
        check(shim, "theirs:3");
        shim.ok(&["rmi", "-f", "theirs:3"]);
    }
    shim.run_with(&["load"], b"no archive").failed(&[]);
    nothing_left(shim);
}

fn logs_in_and_out(shim: &Shim) {
    let server = Server::guarded();
    let host = server.host.as_str();
    let layout = Layout::busybox();
    server.fill(&layout.source(), "app:1", &["--dest-creds", "kim:pass:word"]);
    let image = server.name("app:1");
    shim.run(&["pull", &image]).failed(&[host, "denies access", &format!("shim login {host}")]);

    let login = ["login", "-u", "kim", "--password-stdin", host];
    let text = shim.run_with(&login, b"wrong\n").failed(&[host, "`kim`", "hint:"]);
    assert!(!text.contains("wrong"), "{text}");
    assert!(!shim.path("home/.docker/config.json").exists());
    shim.run_with(&login, b"pass:word\n").succeeded();
    shim.ok(&["pull", &image]);
    check(shim, &image);
    shim.ok(&["tag", &image, &server.name("app:2")]);
    shim.ok(&["push", &server.name("app:2")]);

    shim.ok(&["logout", host]);
    shim.run(&["push", &server.name("app:2")]).failed(&["denies access"]);
}

fn refuses_altered_images(shim: &Shim) {
    let server = Server::open();
    server.fill(&Layout::busybox().source(), "app:1", &[]);
    let image = server.name("app:1");
    let layer = manifest(&server, "app:1")["layers"][0]["digest"].as_str().unwrap().to_owned();
    let file = server.blob(&layer);
    let good = std::fs::read(&file).unwrap();

    let mut flipped = good.clone();
    flipped[good.len() / 2] ^= 1;
    std::fs::write(&file, &flipped).unwrap();
    shim.run(&["pull", &image]).failed(&[&image, "layer", &layer]);
    nothing_left(shim);
    not_stored(shim, &layer);

    std::fs::write(&file, &good[..good.len() - 1]).unwrap();
    shim.run(&["pull", &image]).failed(&[&image, "wrong size", &good.len().to_string()]);
    nothing_left(shim);
    not_stored(shim, &layer);

    std::fs::write(&file, &good).unwrap();
    shim.ok(&["pull", &image]);
    check(shim, &image);
}

fn refuses_a_layer_that_contradicts_its_diff_id(shim: &Shim) {
    let layout = Layout::busybox();
    let blobs = layout.path().join("blobs/sha256");
    let read = |digest: &str| -> Value {
        let bytes = std::fs::read(blobs.join(&digest["sha256:".len()..])).unwrap();
        serde_json::from_slice(&bytes).unwrap()
    };
    let write = |value: &Value| -> Value {
        let bytes = serde_json::to_vec(value).unwrap();
        let digest = save_to(&bytes, &blobs.join("new"));
        std::fs::rename(blobs.join("new"), blobs.join(&digest["sha256:".len()..])).unwrap();
        serde_json::json!({ "digest": digest, "size": bytes.len() })
    };
    let index = layout.path().join("index.json");
    let mut top: Value = serde_json::from_slice(&std::fs::read(&index).unwrap()).unwrap();
    let mut manifest = read(top["manifests"][0]["digest"].as_str().unwrap());
    let mut config = read(manifest["config"]["digest"].as_str().unwrap());
    config["rootfs"]["diff_ids"][0] = format!("sha256:{}", "1".repeat(64)).into();
    let new = write(&config);
    manifest["config"]["digest"] = new["digest"].clone();
    manifest["config"]["size"] = new["size"].clone();
    let new = write(&manifest);
    top["manifests"][0]["digest"] = new["digest"].clone();
    top["manifests"][0]["size"] = new["size"].clone();
    std::fs::write(&index, top.to_string()).unwrap();

    let server = Server::open();
    server.fill(&layout.source(), "liar:1", &[]);
    shim.run(&["pull", &server.name("liar:1")]).failed(&["liar:1", "1111111111"]);
    nothing_left(shim);
}

fn says_what_is_missing(shim: &Shim) {
    let server = Server::open();
    let absent = server.name("no/such:1");
    shim.run(&["pull", &absent]).failed(&[&absent, "not found", "hint:"]);
    let nobody = format!("127.0.0.1:{}/app:1", free_port());
    shim.run(&["pull", &nobody]).failed(&[&nobody, "cannot reach", "Connection refused", "hint:"]);
    shim.run(&["pull", "registry.invalid/app"]).failed(&["registry.invalid", "unknown host"]);
    shim.run(&["pull", "UPPER/Case"]).failed(&["must be lowercase"]);
    shim.run(&["run", "--rm", &absent, "true"]).failed(&[&absent]);
    shim.run(&["push", "absent:1"]).failed(&["absent:1"]);
    nothing_left(shim);
}

}
