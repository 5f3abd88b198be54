//! What hostile and odd tars do.

use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::Path;

use super::super::tarball::Header;
use super::*;

/// Lines of a small language: `kind path [target or content]`.
fn tar(script: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for line in script.lines().map(str::trim).filter(|l| !l.is_empty()) {
        let mut words = line.splitn(3, ' ');
        let (kind, path) = (words.next().unwrap(), words.next().unwrap());
        let rest = words.next().unwrap_or("");
        let base = Header::file(path.as_bytes().to_vec(), 0, 0o644);
        let link = rest.as_bytes().to_vec();
        let header = match kind {
            "file" => Header {
                size: rest.len() as u64,
                ..base
            },
            "dir" => Header {
                kind: b'5',
                mode: 0o755,
                ..base
            },
            "sym" => Header {
                kind: b'2',
                link,
                ..base
            },
            "hard" => Header {
                kind: b'1',
                link,
                ..base
            },
            "chr" => Header {
                kind: b'3',
                device: Some((1, 3)),
                ..base
            },
            "blk" => Header {
                kind: b'4',
                device: Some((8, 0)),
                ..base
            },
            "fifo" => Header { kind: b'6', ..base },
            "odd" => Header { kind: b'D', ..base },
            "mode" => Header {
                mode: u32::from_str_radix(rest, 8).unwrap(),
                uid: 7,
                gid: 8,
                time: 1_000_000_000,
                ..base
            },
            "xattr" => {
                let (key, value) = rest.split_once('=').unwrap();
                base.with_xattrs(vec![(key.into(), value.into())])
            }
            other => panic!("no such line: {other}"),
        };
        bytes.extend(header.encode());
        if kind == "file" {
            bytes.extend(rest.as_bytes());
            bytes.resize(bytes.len().next_multiple_of(512), 0);
        }
    }
    bytes.resize(bytes.len() + 1024, 0);
    bytes
}

struct Tree {
    temp: tempfile::TempDir,
    outcome: Result<Unpacked>,
}

impl Tree {
    fn root(&self) -> std::path::PathBuf {
        self.temp.path().join("fs")
    }

    fn text(&self, path: &str) -> String {
        std::fs::read_to_string(self.root().join(path)).unwrap()
    }

    fn meta(&self, path: &str) -> std::fs::Metadata {
        std::fs::symlink_metadata(self.root().join(path)).unwrap()
    }

    fn has(&self, path: &str) -> bool {
        std::fs::symlink_metadata(self.root().join(path)).is_ok()
    }

    fn is_whiteout(&self, path: &str) -> bool {
        let meta = self.meta(path);
        meta.file_type().is_char_device() && meta.rdev() == 0
    }

    fn is_opaque(&self, path: &str) -> bool {
        let dir = DirFd::open(&self.root().join(path)).unwrap();
        dir.is_opaque()
    }

    fn done(&self) -> &Unpacked {
        self.outcome.as_ref().unwrap()
    }
}

/// Unpacks next to a file `outside` and a directory `dir`, which nothing may touch.
#[must_use]
fn unpack_bytes(bytes: &[u8]) -> Tree {
    let temp = tempfile::tempdir().unwrap();
    std::fs::write(temp.path().join("outside"), "untouched").unwrap();
    std::fs::create_dir(temp.path().join("dir")).unwrap();
    std::fs::create_dir(temp.path().join("fs")).unwrap();
    let root = DirFd::open(&temp.path().join("fs")).unwrap();
    let outcome = Unpacker::new(root, Limits::default()).run(&mut &bytes[..]);
    assert_eq!(
        std::fs::read_to_string(temp.path().join("outside")).unwrap(),
        "untouched"
    );
    assert_eq!(
        std::fs::metadata(temp.path().join("outside"))
            .unwrap()
            .nlink(),
        1
    );
    assert_eq!(
        std::fs::read_dir(temp.path().join("dir")).unwrap().count(),
        0
    );
    assert_eq!(std::fs::read_dir(temp.path()).unwrap().count(), 3);
    Tree { temp, outcome }
}

#[must_use]
fn unpack(script: &str) -> Tree {
    unpack_bytes(&tar(script))
}

#[test]
fn refuses_what_leads_out() {
    for (script, reason) in [
        ("file ../outside x", "leads out"),
        ("file a/../../outside x", "leads out"),
        ("dir ..", "leads out"),
        ("hard x ../outside", "leads out"),
        ("hard x absent", "not in the layer"),
        ("dir d\nhard x d", "hard link to directory"),
        ("hard x /", "layer's root"),
        (
            "sym l ../outside\nfile outside 1\nhard l/x l",
            "a file is where",
        ),
        ("file . x", "can only be a directory"),
        ("file a x\nfile a/b x", "a file is where"),
        ("file .wh. x", "whiteout of no name"),
        ("file d/.wh... x", "whiteout of no name"),
        ("sym a b\nsym b a\nfile a/x x", "too many symbolic links"),
        ("sym x ", "link to nowhere"),
    ] {
        let tree = unpack(script);
        match &tree.outcome {
            // A link that leads out ends at the root: then the target is absent there.
            Ok(_) => panic!("{script:?} was unpacked"),
            Err(e) => assert!(e.to_string().contains(reason), "{script:?}: {e}"),
        }
    }
}

#[test]
fn links_on_the_way_stay_inside() {
    // Each of these writes `x` through a link; where it ends up is as in a chroot.
    for (script, place) in [
        ("sym l /\nfile l/x 1", "x"),
        ("sym l ..\nfile l/x 1", "x"),
        ("sym l ../../../dir\nfile l/x 1", "dir/x"),
        ("dir usr/lib\nsym lib usr/lib\nfile lib/x 1", "usr/lib/x"),
        ("sym lib usr/lib\nfile lib/x 1", "usr/lib/x"),
        ("dir a\nsym a/l ../b\nfile a/l/x 1", "b/x"),
        ("sym l /etc\nsym m l\nfile m/x 1", "etc/x"),
    ] {
        let tree = unpack(script);
        tree.done();
        assert_eq!(tree.text(place), "1", "{script:?}");
    }
}

#[test]
fn links_at_the_end_are_replaced_not_followed() {
    let tree = unpack("sym x ../outside\nfile x new");
    assert_eq!(tree.text("x"), "new");
    let tree = unpack("sym x ../dir\ndir x\nfile x/f 1");
    assert!(tree.meta("x").is_dir() && tree.text("x/f") == "1");
    let tree = unpack("sym s ../outside\nhard h s");
    assert!(
        tree.meta("h").file_type().is_symlink(),
        "a hard link to the link itself"
    );
    let tree = unpack("sym x ../outside\nmode x 4755");
    assert!(tree.meta("x").is_file());
}

#[test]
fn the_last_of_equal_entries_wins() {
    let tree = unpack("file a 1\nfile a 2");
    assert_eq!(tree.text("a"), "2");
    let tree = unpack("dir a\nfile a/b 1\nfile a 2");
    assert_eq!(tree.text("a"), "2");
    let tree = unpack("file a 1\ndir a\ndir a\nfile a/b 3");
    assert_eq!(tree.text("a/b"), "3");
    let tree = unpack("file a 1\nhard a a");
    assert_eq!(tree.text("a"), "1");
    let tree = unpack("file a 1\nhard b a\nhard b a");
    assert_eq!(tree.meta("b").nlink(), 2);
}

#[test]
fn absolute_names_start_at_the_layers_root() {
    let tree = unpack("file /etc/passwd 1\nfile ./b 2\nhard c /etc/passwd");
    assert_eq!(
        (tree.text("etc/passwd"), tree.text("b"), tree.text("c")),
        ("1".into(), "2".into(), "1".into())
    );
}

#[test]
fn whiteouts_take_overlays_form() {
    let tree = unpack("dir d\nfile d/.wh.gone \nfile e/.wh..wh..opq \nfile .wh.top ");
    tree.done();
    assert!(tree.is_whiteout("d/gone") && tree.is_whiteout("top"));
    assert!(tree.is_opaque("e") && !tree.is_opaque("d"));
    assert!(!tree.has("d/.wh.gone") && !tree.has("e/.wh..wh..opq"));
    // The root itself may hide everything below.
    assert!(unpack("file .wh..wh..opq ").is_opaque(""));
    // Bookkeeping of aufs.
    assert!(!unpack("dir .wh..wh.plnk\nfile .wh..wh.aufs ").has(".wh..wh.aufs"));
}

#[test]
fn whiteouts_spare_what_the_layer_has_itself() {
    for script in ["file a new\nfile .wh.a ", "file .wh.a \nfile a new"] {
        assert_eq!(unpack(script).text("a"), "new", "{script:?}");
    }
    for script in [
        "dir a\nfile a/b 1\nfile .wh.a ",
        "file .wh.a \ndir a\nfile a/b 1",
        "file .wh.a \nfile a/b 1",
    ] {
        let tree = unpack(script);
        assert_eq!(tree.text("a/b"), "1", "{script:?}");
        assert!(
            tree.is_opaque("a"),
            "{script:?}: what was below stays hidden"
        );
    }
    assert_eq!(
        unpack("dir d\nfile d/a 1\nfile d/.wh..wh..opq ").text("d/a"),
        "1"
    );
}

#[test]
fn devices_and_oddities_are_left_out_and_said() {
    let tree = unpack("chr dev/null\nblk sda\nodd dump\nfifo pipe\nfile a 1");
    assert_eq!(
        tree.done().notes,
        [
            "/dump of unknown type `D` was left out",
            "device /dev/null was left out",
            "device /sda was left out"
        ]
    );
    assert!(!tree.has("dev/null") && !tree.has("sda") && !tree.has("dump"));
    assert!(tree.meta("pipe").file_type().is_fifo());
}

#[test]
fn metadata_arrives() {
    let tree = unpack(
        "mode suid 4755\nxattr f user.k=v\nxattr g user.overlay.redirect=/x\nxattr h trusted.overlay.opaque=y",
    );
    let meta = tree.meta("suid");
    assert_eq!(
        meta.permissions().mode() & 0o7777,
        0o4755,
        "chown must not clear it"
    );
    assert_eq!(
        (meta.uid(), meta.gid(), meta.mtime()),
        (7, 8, 1_000_000_000)
    );
    let root = DirFd::open(&tree.root()).unwrap();
    assert_eq!(
        root.xattr("f".as_ref(), "user.k".as_ref())
            .unwrap()
            .unwrap(),
        b"v"
    );
    assert!(
        root.xattrs("g".as_ref())
            .unwrap()
            .iter()
            .all(|x| !is_overlay_private(&x.name))
    );
    assert_eq!(tree.done().notes.len(), 2, "{:?}", tree.done().notes);
}

#[test]
fn capabilities_survive_the_change_of_owner() {
    let value = [1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let header = Header {
        uid: 5,
        ..Header::file(b"ping".to_vec(), 0, 0o755)
    };
    let header = header.with_xattrs(vec![(b"security.capability".to_vec(), value.to_vec())]);
    let tree = unpack_bytes(&[header.encode(), vec![0; 1024]].concat());
    let root = DirFd::open(&tree.root()).unwrap();
    assert!(tree.done().notes.is_empty());
    assert_eq!(
        root.xattr("ping".as_ref(), "security.capability".as_ref())
            .unwrap()
            .unwrap(),
        value
    );
}

#[test]
fn capabilities_may_spell_a_newline() {
    // CAP_CHOWN is bit 0, so 0x0a are bits 1 and 3: dac_override and fowner.
    let value = [1, 0, 0, 2, 10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let header = Header::file(b"f".to_vec(), 0, 0o755)
        .with_xattrs(vec![(b"security.capability".to_vec(), value.to_vec())]);
    let tree = unpack_bytes(&[header.encode(), vec![0; 1024]].concat());
    let root = DirFd::open(&tree.root()).unwrap();
    assert_eq!(
        root.xattr("f".as_ref(), "security.capability".as_ref())
            .unwrap()
            .unwrap(),
        value
    );
}

#[test]
fn directories_keep_their_time() {
    let mut bytes = Header {
        kind: b'5',
        time: 99,
        ..Header::file(b"d/".to_vec(), 0, 0o750)
    }
    .encode();
    bytes.extend(tar("file d/a 1\nfile d/b 2"));
    let tree = unpack_bytes(&bytes);
    tree.done();
    assert_eq!(
        (tree.meta("d").mtime(), tree.meta("d").mode() & 0o7777),
        (99, 0o750)
    );
}

#[test]
fn implied_directories_are_listed() {
    let tree = unpack("file a/b/c 1\ndir a\nfile x/y 1\nfile x 2\ndir l\nfile l/m 1");
    assert_eq!(tree.done().implied, ["a/b"]);
}

#[test]
fn broken_tars_end_in_errors() {
    let whole = tar("dir d\nfile d/a some content");
    for cut in [100, 600, 1100] {
        assert!(unpack_bytes(&whole[..cut]).outcome.is_err(), "cut at {cut}");
    }
    // An id that the kernel would take for "unchanged".
    let header = Header {
        uid: u32::MAX,
        ..Header::file(b"f".to_vec(), 0, 0o644)
    };
    assert!(unpack_bytes(&header.encode()).outcome.is_err());
}

#[test]
fn too_many_entries_are_refused() {
    let temp = tempfile::tempdir().unwrap();
    let root = DirFd::open(Path::new(temp.path())).unwrap();
    let limits = Limits {
        max_entries: 2,
        ..Limits::default()
    };
    let bytes = tar("file a 1\nfile b 1\nfile c 1");
    let error = Unpacker::new(root, limits)
        .run(&mut &bytes[..])
        .unwrap_err();
    assert_eq!(error.to_string(), "layer has more than 2 entries");
}

mod random {
    use proptest::prelude::*;

    use super::*;

    fn line() -> impl Strategy<Value = String> {
        let name = "(a|b|l|\\.\\.|\\.wh\\.a|\\.wh\\.\\.wh\\.\\.opq|/)(/(a|b|l|\\.\\.|\\.)){0,3}";
        ("(file|dir|sym|hard|fifo|chr)", name, name).prop_map(|(k, p, t)| format!("{k} {p} {t}"))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(300))]

        #[test]
        fn nothing_outside_is_touched(lines in proptest::collection::vec(line(), 1..12)) {
            let _ = unpack(&lines.join("\n"));
        }

        #[test]
        fn any_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..2048), at in 0usize..512, value in any::<u8>()) {
            let _ = unpack_bytes(&bytes);
            let mut bent = tar("dir d\nfile d/a content\nsym s d\nhard h d/a");
            bent[at] = value;
            let _ = unpack_bytes(&bent);
        }
    }
}
