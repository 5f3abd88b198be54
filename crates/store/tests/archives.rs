//! Archives: those that other tools make load, and ours load in other tools.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use std::path::Path;
use std::process::Command;

use common::{Bench, digest, gzip, layer, tar};
use model::image::{RunConfig, media};
use model::{Descriptor, ImageConfig, Manifest, Reference};
use store::archive::Format;
use store::{Error, Image};

fn reference(text: &str) -> Reference {
    text.parse().unwrap()
}

/// An image of two layers, as a registry would give it: gzip blobs.
fn pulled(bench: &Bench, name: &str) -> Image {
    let lower = tar(&[("etc/", ""), ("etc/os", "shim"), ("gone", "x")]);
    let upper = tar(&[("etc/", ""), ("etc/more", "1"), (".wh.gone", "")]);
    let mut config = ImageConfig {
        architecture: "amd64".into(),
        os: "linux".into(),
        created: Some("2026-01-02T03:04:05Z".into()),
        config: RunConfig {
            cmd: Some(vec!["/bin/sh".into()]),
            ..RunConfig::default()
        },
        ..ImageConfig::default()
    };
    config.rootfs.kind = "layers".into();
    let mut layers = Vec::new();
    for plain in [lower, upper] {
        let bytes = gzip(&plain);
        let descriptor = layer(&bytes);
        bench
            .store
            .layers()
            .ingest(&bytes[..], &descriptor, &digest(&plain), true)
            .unwrap();
        config.rootfs.diff_ids.push(digest(&plain));
        layers.push(descriptor);
    }
    let blob = |value: Vec<u8>| (bench.store.blobs().put(&value, None).unwrap(), value.len());
    let (id, size) = blob(serde_json::to_vec(&config).unwrap());
    let manifest = Manifest {
        schema_version: 2,
        media_type: Some(media::OCI_MANIFEST.into()),
        config: Descriptor {
            media_type: media::OCI_CONFIG.into(),
            digest: id,
            size: size as u64,
            platform: None,
            annotations: Default::default(),
        },
        layers,
        annotations: Default::default(),
    };
    let (digest, _) = blob(serde_json::to_vec(&manifest).unwrap());
    bench
        .store
        .images()
        .put(&digest, Some(&reference(name)))
        .unwrap()
}

fn save(bench: &Bench, image: &Image, name: &str, format: Format) -> Vec<u8> {
    let mut bytes = Vec::new();
    let named = [(image.clone(), Some(reference(name)))];
    bench.store.save(&named, format, &mut bytes).unwrap();
    bytes
}

/// Runs a tool; its output.
fn run(program: &str, args: &[&str]) -> String {
    let output = Command::new(program)
        .args(args)
        .output()
        .unwrap_or_else(|e| panic!("these tests need {program}: {e}"));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {args:?}: {errors}");
    text
}

fn check_tree(bench: &Bench, image: &Image) {
    let stack = bench.store.layers().stack(&image.layers).unwrap();
    assert_eq!(stack.len(), 2);
    assert_eq!(
        std::fs::read_to_string(stack[1].join("etc/os")).unwrap(),
        "shim"
    );
    assert_eq!(
        std::fs::read_to_string(stack[0].join("etc/more")).unwrap(),
        "1"
    );
    assert!(
        stack[0].join("gone").symlink_metadata().is_ok(),
        "the whiteout"
    );
}

#[test]
fn both_kinds_round_trip() {
    let bench = Bench::new();
    let image = pulled(&bench, "example.org/a/b:1");
    for (format, same_digest) in [(Format::Docker, false), (Format::Oci, true)] {
        let bytes = save(&bench, &image, "example.org/a/b:1", format);
        assert!(
            bytes == save(&bench, &image, "example.org/a/b:1", format),
            "deterministic"
        );
        for archive in [bytes.clone(), gzip(&bytes)] {
            let other = Bench::new();
            let loaded = other.store.load(&archive[..]).unwrap();
            let [loaded] = &loaded[..] else {
                panic!("one image, not {}", loaded.len())
            };
            assert_eq!(loaded.references, [reference("example.org/a/b:1")]);
            assert_eq!(loaded.image.id, image.id);
            assert_eq!(loaded.image.digest == image.digest, same_digest);
            let (found, _) = other.store.images().resolve("example.org/a/b:1").unwrap();
            check_tree(&other, &found);
            other.nothing_half_made();
            // What was loaded can be saved again, the same bytes.
            assert!(save(&other, &found, "example.org/a/b:1", format) == bytes);
        }
    }
}

#[test]
fn one_archive_holds_several_names_and_images() {
    let bench = Bench::new();
    let image = pulled(&bench, "one");
    let other = bench
        .store
        .import(&tar(&[("f", "1")])[..], ImageConfig::default(), None)
        .unwrap();
    let listed = [
        (image.clone(), Some(reference("one"))),
        (image.clone(), Some(reference("two:2"))),
        (other.clone(), None),
    ];
    for format in [Format::Docker, Format::Oci] {
        let mut bytes = Vec::new();
        bench.store.save(&listed, format, &mut bytes).unwrap();
        let there = Bench::new();
        there.store.load(&bytes[..]).unwrap();
        let images = there.store.images();
        assert_eq!(images.list().unwrap().len(), 2);
        assert_eq!(images.resolve("two:2").unwrap().0.id, image.id);
        assert_eq!(
            images.resolve(other.id.short()).unwrap().0.layers,
            other.layers
        );
    }
}

#[test]
fn an_imported_tree_is_an_image() {
    let bench = Bench::new();
    let rootfs = gzip(&tar(&[("bin/", ""), ("bin/sh", "#!")]));
    let name = reference("base");
    let image = bench
        .store
        .import(&rootfs[..], ImageConfig::default(), Some(&name))
        .unwrap();
    assert_eq!((image.layers.len(), image.config.os.as_str()), (1, "linux"));
    assert_eq!(
        image.manifest.layers[0].digest, image.layers[0],
        "described as a plain tar"
    );
    let path = bench.store.layers().path(&image.layers[0]);
    assert_eq!(std::fs::read_to_string(path.join("bin/sh")).unwrap(), "#!");
    // Its bytes are generated when somebody wants them.
    let mut bytes = Vec::new();
    let layers = bench.store.layers();
    layers
        .write_blob(&image.manifest.layers[0], &image.layers[0], &mut bytes)
        .unwrap();
    assert_eq!(digest(&bytes), image.layers[0]);
    // Loaded where it came from, it needs no second copy.
    let archive = save(&bench, &image, "base", Format::Oci);
    bench.store.load(&archive[..]).unwrap();
    assert!(!bench.store.blobs().has(&image.layers[0]));
}

#[test]
fn what_is_no_archive_is_refused() {
    let bench = Bench::new();
    let big = |name: &str, text: &str| tar(&[(name, text)]);
    for (bytes, reason) in [
        (b"not a tar".to_vec(), "it is not a tar"),
        (vec![1; 2048], "it is not a tar"),
        (big("x", "1"), "neither `manifest.json` nor `index.json`"),
        (big("manifest.json", "["), "`manifest.json` cannot be read"),
        (big("manifest.json", "[]"), "no image for linux"),
        (
            big("manifest.json", r#"[{"Config":"c","Layers":[]}]"#),
            "it has no `c`",
        ),
        (
            big("manifest.json", r#"[{"Config":"../../etc/passwd"}]"#),
            "it has no `../../etc/passwd`",
        ),
    ] {
        let error = bench.store.load(&bytes[..]).unwrap_err();
        assert!(error.to_string().contains(reason), "{error}");
        bench.nothing_half_made();
    }
}

#[test]
fn a_bent_archive_is_refused() {
    let bench = Bench::new();
    let image = pulled(&bench, "a");
    let bytes = save(&bench, &image, "a", Format::Oci);
    let layer = bench
        .store
        .blobs()
        .read(&image.manifest.layers[0].digest)
        .unwrap();
    let at = bytes.windows(layer.len()).position(|w| w == layer).unwrap();
    let mut bent = bytes.clone();
    bent[at + layer.len() / 2] ^= 1;
    let there = Bench::new();
    let error = there.store.load(&bent[..]).unwrap_err();
    assert!(matches!(error, Error::Digest { .. }), "{error}");
    assert!(there.store.images().list().unwrap().is_empty());
    assert_eq!(there.list("layers"), [""; 0]);
}

#[test]
fn skopeo_reads_ours_and_we_read_its() {
    let bench = Bench::new();
    let image = pulled(&bench, "example.org/a:1");
    let temp = tempfile::tempdir().unwrap();
    let path = |name: &str| temp.path().join(name).display().to_string();
    for (kind, format) in [
        ("docker-archive", Format::Docker),
        ("oci-archive", Format::Oci),
    ] {
        let ours = path("ours.tar");
        std::fs::write(&ours, save(&bench, &image, "example.org/a:1", format)).unwrap();
        let shown = run(
            "skopeo",
            &["inspect", "--config", &format!("{kind}:{ours}")],
        );
        assert!(shown.contains(image.layers[1].as_str()), "{shown}");
        for target in ["docker-archive", "oci-archive"] {
            let theirs = path(&format!("{kind}-{target}.tar"));
            let to = format!("{target}:{theirs}:example.org/b:2");
            run(
                "skopeo",
                &["--insecure-policy", "copy", &format!("{kind}:{ours}"), &to],
            );
            let there = Bench::new();
            let loaded = there
                .store
                .load(std::fs::File::open(&theirs).unwrap())
                .unwrap();
            assert_eq!(loaded[0].image.layers, image.layers);
            check_tree(&there, &loaded[0].image);
            if target == "docker-archive" {
                assert_eq!(loaded[0].references, [reference("example.org/b:2")]);
            }
        }
    }
}

#[test]
fn zstd_layers_of_skopeo_load() {
    let bench = Bench::new();
    let image = pulled(&bench, "a");
    let temp = tempfile::tempdir().unwrap();
    let (ours, layout) = (temp.path().join("ours.tar"), temp.path().join("layout"));
    std::fs::write(&ours, save(&bench, &image, "a", Format::Docker)).unwrap();
    let from = format!("docker-archive:{}", ours.display());
    let to = format!("oci:{}:x", layout.display());
    let copy = [
        "--insecure-policy",
        "copy",
        "--dest-compress-format",
        "zstd",
        &from,
        &to,
    ];
    run("skopeo", &copy);
    let archive = tar_of(&layout);
    let there = Bench::new();
    let loaded = there.store.load(&archive[..]).unwrap();
    assert!(
        loaded[0].image.manifest.layers[0]
            .media_type
            .ends_with("zstd")
    );
    check_tree(&there, &loaded[0].image);
}

fn tar_of(dir: &Path) -> Vec<u8> {
    let mut bytes = Vec::new();
    store::layers::tree_tar(dir, None, &mut bytes).unwrap();
    bytes
}

#[test]
fn umoci_unpacks_ours_to_the_same_tree() {
    let bench = Bench::new();
    let image = pulled(&bench, "a");
    let temp = tempfile::tempdir().unwrap();
    let layout = temp.path().join("layout");
    std::fs::create_dir(&layout).unwrap();
    let archive = save(&bench, &image, "a:1", Format::Oci);
    let ours = temp.path().join("ours.tar");
    std::fs::write(&ours, archive).unwrap();
    let dir = layout.display().to_string();
    run("tar", &["-xf", &ours.display().to_string(), "-C", &dir]);
    let bundle = temp.path().join("bundle").display().to_string();
    run(
        "umoci",
        &["raw", "unpack", "--image", &format!("{dir}:1"), &bundle],
    );
    let os = std::fs::read_to_string(Path::new(&bundle).join("etc/os")).unwrap();
    assert_eq!(os, "shim");
    assert!(!Path::new(&bundle).join("gone").exists());
}

#[test]
fn gnu_tar_reads_our_trees() {
    let temp = tempfile::tempdir().unwrap();
    let tree = temp.path().join("tree");
    let long = format!("{}/{}", "d".repeat(150), "f".repeat(200));
    std::fs::create_dir_all(tree.join(&long).parent().unwrap()).unwrap();
    std::fs::write(tree.join(&long), "content").unwrap();
    std::os::unix::fs::symlink("over/there", tree.join("link")).unwrap();
    let ours = temp.path().join("ours.tar");
    std::fs::write(&ours, tar_of(&tree)).unwrap();
    let listed = run("tar", &["-tf", &ours.display().to_string()]);
    assert_eq!(
        listed.lines().collect::<Vec<_>>(),
        [&format!("{}/", "d".repeat(150)), &long, "link"]
    );
    // And we read what it writes, GNU's long names included.
    for format in ["gnu", "pax", "posix"] {
        let theirs = temp.path().join(format!("{format}.tar"));
        let (to, from) = (theirs.display().to_string(), tree.display().to_string());
        run("tar", &["--format", format, "-cf", &to, "-C", &from, "."]);
        let bench = Bench::new();
        let file = std::fs::File::open(&theirs).unwrap();
        let info = bench.store.layers().adopt_tar(file).unwrap();
        let path = bench.store.layers().path(&info.diff_id);
        assert_eq!(
            std::fs::read_to_string(path.join(&long)).unwrap(),
            "content"
        );
    }
}
