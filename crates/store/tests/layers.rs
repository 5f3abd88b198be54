//! Layers end to end: what is announced is verified, what is refused leaves nothing,
//! what is stored can be written again.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use std::io::{Cursor, Read, Write};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::Path;

use common::{Bench, digest, gzip, layer, tar, zstd};
use model::{Descriptor, Digest};
use store::layers::Limits;
use store::{Error, Options, Store};

#[test]
fn every_compression_gives_the_same_layer() {
    let plain = tar(&[
        ("etc/", ""),
        ("etc/hosts", "127.0.0.1 localhost\n"),
        ("bin/", ""),
    ]);
    for bytes in [plain.clone(), gzip(&plain), zstd(&plain)] {
        let bench = Bench::new();
        let (descriptor, diff_id) = (layer(&bytes), digest(&plain));
        let info = bench
            .store
            .layers()
            .ingest(&bytes[..], &descriptor, &diff_id, true)
            .unwrap();
        assert_eq!(
            (info.diff_id, info.size),
            (diff_id.clone(), plain.len() as u64)
        );
        let hosts = bench.store.layers().path(&diff_id).join("etc/hosts");
        assert_eq!(
            std::fs::read_to_string(hosts).unwrap(),
            "127.0.0.1 localhost\n"
        );
        let blob = std::fs::read(bench.store.blobs().path(&descriptor.digest)).unwrap();
        assert_eq!(blob, bytes);
        bench.nothing_half_made();
    }
}

#[test]
fn the_blob_is_kept_only_when_asked_for() {
    let bench = Bench::new();
    let plain = tar(&[("a", "1")]);
    let bytes = gzip(&plain);
    let (descriptor, diff_id) = (layer(&bytes), digest(&plain));
    let layers = bench.store.layers();
    layers
        .ingest(&bytes[..], &descriptor, &diff_id, false)
        .unwrap();
    assert!(!bench.store.blobs().has(&descriptor.digest));
    // Asked for later, it is fetched again and the layer stays.
    layers
        .ingest(&bytes[..], &descriptor, &diff_id, true)
        .unwrap();
    assert!(bench.store.blobs().has(&descriptor.digest));
    // All is here: not a byte is read.
    let error = std::io::Error::other("must not be read");
    layers
        .ingest(Failing(Some(error)), &descriptor, &diff_id, true)
        .unwrap();
}

/// Runs an ingest that must fail and leave nothing at all.
#[must_use]
fn refused(bytes: impl Read, descriptor: &Descriptor, diff_id: &Digest) -> Error {
    let bench = Bench::new();
    let error = bench
        .store
        .layers()
        .ingest(bytes, descriptor, diff_id, true)
        .unwrap_err();
    assert!(!bench.store.layers().has(diff_id));
    assert!(!bench.store.blobs().has(&descriptor.digest));
    for dir in ["layers", "blobs/sha256", "tmp", "trash"] {
        assert_eq!(bench.list(dir), [""; 0], "{dir} is empty after: {error}");
    }
    error
}

#[test]
fn what_is_not_as_announced_is_refused() {
    let plain = tar(&[("a", &"content ".repeat(50_000)), ("b", "2")]);
    let other = digest(b"other");
    for bytes in [plain.clone(), gzip(&plain), zstd(&plain)] {
        let (good, diff_id) = (layer(&bytes), digest(&plain));
        // Every flipped byte is caught, wherever it hits.
        for at in [0, 1, 5, 20, bytes.len() / 2, bytes.len() - 1] {
            let mut bent = bytes.clone();
            bent[at] ^= 0x20;
            let error = refused(&bent[..], &good, &diff_id);
            assert!(
                matches!(error, Error::Digest { what: "layer", .. }),
                "byte {at}: {error}"
            );
        }
        let short = refused(&bytes[..bytes.len() - 1], &good, &diff_id);
        assert!(matches!(short, Error::Size { .. }), "{short}");
        let long = [&bytes[..], b"x"].concat();
        let long = refused(&long[..], &good, &diff_id);
        assert!(matches!(long, Error::Size { .. }), "{long}");
        let size = Descriptor {
            size: good.size + 1,
            ..good.clone()
        };
        assert!(matches!(
            refused(&bytes[..], &size, &diff_id),
            Error::Size { .. }
        ));
        let error = refused(&bytes[..], &good, &other);
        assert_eq!(
            error.to_string(),
            format!("uncompressed layer has digest {diff_id}, not {other} as announced")
        );
    }
}

#[test]
fn a_failing_source_is_told_as_such() {
    let plain = gzip(&tar(&[("a", "1")]));
    let broken = Cursor::new(plain[..20].to_vec())
        .chain(Failing(Some(std::io::Error::other("connection reset"))));
    let error = refused(broken, &layer(&plain), &digest(b""));
    let why = std::error::Error::source(&error).unwrap().to_string();
    assert_eq!(
        (error.to_string().as_str(), why.as_str()),
        ("cannot read layer", "connection reset")
    );
}

struct Failing(Option<std::io::Error>);

impl Read for Failing {
    fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
        Err(self.0.take().unwrap())
    }
}

#[test]
fn a_hostile_entry_leaves_nothing() {
    let plain = tar(&[("fine", "1"), ("../outside", "2")]);
    let error = refused(&plain[..], &layer(&plain), &digest(&plain));
    assert_eq!(
        error.to_string(),
        "entry `../outside` is refused: it leads out of the layer"
    );
}

#[test]
fn bombs_are_refused() {
    let bench = Bench::new();
    let plain = tar(&[("zeros", &"\0".repeat(3 << 20))]);
    let bytes = gzip(&plain);
    let limits = Limits {
        max_bytes: 1 << 20,
        ..Limits::default()
    };
    let error = bench
        .store
        .layers()
        .ingest_limited(&bytes[..], &layer(&bytes), &digest(&plain), true, limits)
        .unwrap_err();
    assert!(
        error.to_string().starts_with("layer unpacked has"),
        "{error}"
    );
    bench.nothing_half_made();
}

#[test]
fn two_at_once_make_one() {
    let bench = Bench::new();
    let plain = tar(&[("a", &"x".repeat(1 << 20))]);
    let bytes = gzip(&plain);
    let (descriptor, diff_id) = (layer(&bytes), digest(&plain));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                bench
                    .store
                    .layers()
                    .ingest(&bytes[..], &descriptor, &diff_id, true)
                    .unwrap();
            });
        }
    });
    assert_eq!(bench.list("layers").len(), 1, "locks go with their holders");
    bench.nothing_half_made();
}

#[test]
fn an_upper_directory_becomes_a_layer_and_a_tar_and_a_layer() {
    let bench = Bench::new();
    let layers = bench.store.layers();
    let scratch = layers.scratch().unwrap();
    let upper = scratch.upper();
    write_odd_tree(&upper);
    let info = layers.adopt(scratch).unwrap();
    let path = layers.path(&info.diff_id);
    assert!(
        path.join("removed")
            .symlink_metadata()
            .unwrap()
            .file_type()
            .is_char_device()
    );

    let mut bytes = Vec::new();
    layers.write_tar(&info.diff_id, &mut bytes).unwrap();
    assert_eq!(
        (digest(&bytes), bytes.len() as u64),
        (info.diff_id.clone(), info.size)
    );

    // Elsewhere the same bytes give a tree that gives the same bytes.
    let other = Bench::new();
    let there = other.store.layers();
    let copy = there
        .ingest(&bytes[..], &layer(&bytes), &info.diff_id, false)
        .unwrap();
    assert_eq!(copy.notes, [""; 0]);
    let mut again = Vec::new();
    there.write_tar(&info.diff_id, &mut again).unwrap();
    assert!(bytes == again, "the tar of the tree of the tar is the tar");

    let there = there.path(&info.diff_id);
    let meta = |path: &str| there.join(path).symlink_metadata().unwrap();
    assert_eq!(meta("sub/suid").permissions().mode() & 0o7777, 0o6711);
    assert_eq!(
        (meta("sub/suid").uid(), meta("sub/suid").gid()),
        (40_000, 5)
    );
    assert_eq!(meta("sub/suid").ino(), meta("zz-linked").ino());
    assert!(meta("removed").file_type().is_char_device() && meta("removed").rdev() == 0);
    assert!(meta("pipe").file_type().is_fifo());
    assert_eq!(meta("sub").mtime(), 1_000_000);
    let root = sys::fs::DirFd::open(&there).unwrap();
    let opaque = root
        .xattr("hiding".as_ref(), "user.overlay.opaque".as_ref())
        .unwrap();
    assert_eq!(opaque.as_deref(), Some(&b"y"[..]));
    bench.nothing_half_made();
}

/// One of everything that an overlay's upper directory may hold.
fn write_odd_tree(upper: &Path) {
    let long = format!("{}/{}", "d".repeat(120), "ö".repeat(60));
    std::fs::create_dir_all(upper.join(&long)).unwrap();
    std::fs::create_dir(upper.join("sub")).unwrap();
    std::fs::create_dir(upper.join("hiding")).unwrap();
    let dir = sys::fs::DirFd::open(upper).unwrap();
    let sub = dir.open_dir("sub".as_ref()).unwrap();
    let mut file = sub.create_file("suid".as_ref(), 0o600).unwrap();
    file.write_all(&[7; 1000]).unwrap();
    sub.chown("suid".as_ref(), 40_000, 5).unwrap();
    sub.chmod("suid".as_ref(), 0o6711).unwrap();
    // One of its bytes is a newline.
    let capability = [1, 0, 0, 2, 10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    sub.set_xattr("suid".as_ref(), "security.capability".as_ref(), &capability)
        .unwrap();
    dir.hard_link(&sub, "suid".as_ref(), "zz-linked".as_ref())
        .unwrap();
    dir.symlink("sub/suid".as_ref(), "link".as_ref()).unwrap();
    dir.symlink("x".repeat(300).as_ref(), "long-link".as_ref())
        .unwrap();
    dir.mkfifo("pipe".as_ref(), 0o640).unwrap();
    dir.mkwhiteout("removed".as_ref()).unwrap();
    dir.set_xattr("hiding".as_ref(), "user.overlay.opaque".as_ref(), b"y")
        .unwrap();
    dir.set_xattr(
        "hiding".as_ref(),
        "user.overlay.origin".as_ref(),
        b"private",
    )
    .unwrap();
    dir.set_xattr("sub".as_ref(), "user.mine".as_ref(), b"kept")
        .unwrap();
    let time = sys::fs::Timespec {
        tv_sec: 1_000_000,
        tv_nsec: 5,
    };
    for name in ["sub", "hiding", "link", "pipe"] {
        dir.set_mtime(name.as_ref(), time).unwrap();
    }
    std::os::unix::net::UnixListener::bind(upper.join("socket")).unwrap();
}

#[test]
fn equal_uppers_are_one_layer() {
    let bench = Bench::new();
    let make = || {
        let scratch = bench.store.layers().scratch().unwrap();
        let file = scratch.upper().join("a");
        std::fs::write(&file, "same").unwrap();
        let epoch = std::time::SystemTime::UNIX_EPOCH;
        std::fs::File::open(&file)
            .unwrap()
            .set_modified(epoch)
            .unwrap();
        bench.store.layers().adopt(scratch).unwrap()
    };
    assert_eq!(make(), make());
    assert_eq!(bench.list("layers").len(), 1);
    bench.nothing_half_made();
}

#[test]
fn omitted_parents_look_as_below() {
    let bench = Bench::new();
    let layers = bench.store.layers();
    let base = tar(&[
        ("tmp/", "1777"),
        ("srv/", ""),
        ("opt/", "700"),
        ("opt/app/", "750"),
    ]);
    let top = tar(&[("opt/app/bin/x", "1"), ("tmp/y", "2"), ("srv/z", "3")]);
    let (base_id, top_id) = (digest(&base), digest(&top));
    // The upper layer may well come first.
    layers
        .ingest(&top[..], &layer(&top), &top_id, false)
        .unwrap();
    layers
        .ingest(&base[..], &layer(&base), &base_id, false)
        .unwrap();
    let stack = layers.stack(&[base_id.clone(), top_id.clone()]).unwrap();
    assert_eq!(
        stack.len(),
        3,
        "a layer of directories lies above: {stack:?}"
    );
    assert_eq!(stack[1..], [layers.path(&top_id), layers.path(&base_id)]);
    let mode = |path: &str| {
        stack[0]
            .join(path)
            .symlink_metadata()
            .map(|m| m.permissions().mode() & 0o7777)
    };
    assert_eq!(mode("tmp").unwrap(), 0o1777);
    assert_eq!(mode("opt").unwrap(), 0o700);
    assert_eq!(mode("opt/app").unwrap(), 0o750);
    assert!(mode("srv").is_err(), "what is as assumed needs no help");
    assert!(mode("opt/app/bin").is_err());
    assert_eq!(
        layers.stack(&[base_id, top_id.clone()]).unwrap(),
        stack,
        "made once"
    );
    // Below nothing there is nothing to look like.
    assert_eq!(
        layers.stack(std::slice::from_ref(&top_id)).unwrap(),
        [layers.path(&top_id)]
    );
}

#[test]
fn a_layer_that_was_not_synced_does_not_outlive_the_boot() {
    let bench = Bench::new();
    let layers = bench.store.layers();
    let plain = tar(&[("a", "1")]);
    let (descriptor, diff_id) = (layer(&plain), digest(&plain));
    layers
        .ingest(&plain[..], &descriptor, &diff_id, false)
        .unwrap();
    let record = bench
        .root()
        .join("layers")
        .join(diff_id.hex())
        .join("layer.json");
    let text = std::fs::read_to_string(&record).unwrap();
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
    assert!(text.contains(boot.trim()));
    std::fs::write(&record, text.replace(boot.trim(), "an earlier one")).unwrap();
    assert!(!layers.has(&diff_id));
    layers
        .ingest(&plain[..], &descriptor, &diff_id, false)
        .unwrap();
    assert!(layers.has(&diff_id));
    layers.seal(std::slice::from_ref(&diff_id)).unwrap();
    assert!(
        !std::fs::read_to_string(&record)
            .unwrap()
            .contains(boot.trim())
    );
}

#[test]
fn what_a_crash_left_is_swept_and_what_lives_is_not() {
    let bench = Bench::new();
    let tmp = bench.root().join("tmp");
    std::fs::create_dir_all(tmp.join("half-layer/fs/etc")).unwrap();
    std::fs::write(tmp.join("half-blob"), "x").unwrap();
    let alive = bench.store.layers().scratch().unwrap();
    let store = Store::open(bench.root(), Options::default()).unwrap();
    assert!(!tmp.join("half-layer").exists() && !tmp.join("half-blob").exists());
    assert!(alive.upper().exists());
    assert_eq!(bench.list("trash").len(), 2);
    store.sweep();
    assert_eq!(bench.list("trash"), [""; 0]);
    drop(alive);
    bench.nothing_half_made();
}

#[test]
fn another_layout_is_not_touched() {
    let bench = Bench::new();
    std::fs::write(bench.root().join("format"), "7\n").unwrap();
    let error = Store::open(bench.root(), Options::default()).unwrap_err();
    assert!(
        error
            .to_string()
            .ends_with("has layout version 7, this program needs 1"),
        "{error}"
    );
    assert!(error.hint().is_some());
}
