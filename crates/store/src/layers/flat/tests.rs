use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use super::*;
use crate::Store;

struct World {
    directory: tempfile::TempDir,
    store: Store,
}

impl World {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(&directory.path().join("store"), Default::default()).unwrap();
        Self { directory, store }
    }

    fn path(&self, path: &str) -> PathBuf {
        self.directory.path().join(path)
    }

    fn file(&self, path: &str, text: &str) {
        fs::create_dir_all(self.path(path).parent().unwrap()).unwrap();
        fs::write(self.path(path), text).unwrap();
    }

    fn dir(&self, path: &str) -> DirFd {
        DirFd::open(&self.path(path)).unwrap()
    }

    /// Two layers: the upper one hides, replaces and adds.
    fn layers(&self) -> Vec<PathBuf> {
        for (path, text) in [
            ("low/etc/a", "a"),
            ("low/etc/b", "b"),
            ("low/gone/x", "x"),
            ("low/opaque/old", "old"),
            ("low/was-dir/x", "x"),
            ("low/was-file", "x"),
            ("high/etc/b", "B"),
            ("high/opaque/new", "new"),
            ("high/was-dir", "file now"),
            ("high/was-file/x", "dir now"),
        ] {
            self.file(path, text);
        }
        fs::hard_link(self.path("low/etc/a"), self.path("low/linked")).unwrap();
        symlink("etc/a", self.path("low/link")).unwrap();
        self.dir("high").mkwhiteout("gone".as_ref()).unwrap();
        self.dir("high/opaque").set_opaque(".".as_ref()).unwrap();
        vec![self.path("high"), self.path("low")]
    }

    fn flat(&self) -> Flat {
        let layers = self.layers();
        self.store
            .layers()
            .flatten(&layers, &self.path("tree"))
            .unwrap()
    }

    fn changes(&self, flat: &Flat, without: &[&str]) -> Vec<String> {
        fs::create_dir(self.path("upper")).unwrap();
        let without: Vec<PathBuf> = without.iter().map(PathBuf::from).collect();
        flat.changes_to(&self.path("upper"), &without).unwrap();
        let mut found = Vec::new();
        show(&self.dir("upper"), "", &mut found);
        found
    }
}

fn show(dir: &DirFd, path: &str, found: &mut Vec<String>) {
    for item in dir.items().unwrap() {
        let path = format!("{path}/{}", item.name.to_str().unwrap());
        let stat = dir.stat(&item.name).unwrap().unwrap();
        if item.is_dir {
            let below = dir.open_dir(&item.name).unwrap();
            found.push(format!(
                "{path}/{}",
                if below.is_opaque() { " opaque" } else { "" }
            ));
            show(&below, &path, found);
        } else if sys::fs::is_whiteout(&stat) {
            found.push(format!("{path} gone"));
        } else {
            found.push(path);
        }
    }
}

fn read(path: PathBuf) -> String {
    fs::read_to_string(path).unwrap()
}

#[test]
fn layers_are_laid_over_each_other() {
    let world = World::new();
    world.flat();
    let mut found = Vec::new();
    show(&world.dir("tree"), "", &mut found);
    assert_eq!(
        found,
        [
            "/etc/",
            "/etc/a",
            "/etc/b",
            "/link",
            "/linked",
            "/opaque/",
            "/opaque/new",
            "/was-dir",
            "/was-file/",
            "/was-file/x"
        ]
    );
    assert_eq!(read(world.path("tree/etc/b")), "B");
    let inode =
        |path: &str| std::os::unix::fs::MetadataExt::ino(&fs::metadata(world.path(path)).unwrap());
    assert_eq!(inode("tree/etc/a"), inode("tree/linked"));
    assert_ne!(inode("tree/etc/a"), inode("low/etc/a"), "it is a copy");
}

#[test]
fn what_a_step_changes_becomes_a_layer() {
    let world = World::new();
    let flat = world.flat();
    let at = |path: &str| world.path(&format!("tree/{path}"));
    fs::write(at("etc/b"), "changed").unwrap();
    fs::write(at("etc/new"), "new").unwrap();
    fs::create_dir_all(at("srv/deep")).unwrap();
    fs::remove_file(at("link")).unwrap();
    fs::remove_dir_all(at("opaque")).unwrap();
    fs::create_dir(at("opaque")).unwrap();
    fs::set_permissions(at("was-file"), fs::Permissions::from_mode(0o700)).unwrap();
    fs::write(at("etc/ignored"), "").unwrap();
    assert_eq!(
        world.changes(&flat, &["etc/ignored"]),
        [
            "/etc/",
            "/etc/b",
            "/etc/new",
            "/link gone",
            "/opaque/ opaque",
            "/srv/",
            "/srv/deep/",
            "/was-file/"
        ]
    );
    assert_eq!(read(world.path("upper/etc/b")), "changed");
    let mode = fs::metadata(world.path("upper/was-file"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o7777, 0o700);
}

#[test]
fn a_step_that_changes_nothing_is_an_empty_layer() {
    let world = World::new();
    let flat = world.flat();
    assert_eq!(world.changes(&flat, &[]), [""; 0]);
}
