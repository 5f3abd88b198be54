//! Base images, made once for the machine and loaded into each test's own store.

#![allow(dead_code, reason = "each test crate uses a part of it")]

use std::fs::File;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::server::run;
use super::{SHIM, Shim};

/// An image that tests start from.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Base {
    /// `busybox:latest`
    Busybox,
    /// `debian:bookworm-slim`
    Debian,
    /// `postgres:latest`
    Postgres,
    /// [`Base::APP`]: what the Dockerfile of the seed example builds.
    App,
}

impl Base {
    /// The name of [`Base::App`].
    pub(crate) const APP: &str = "shim-test/seed:latest";

    fn image(self) -> &'static str {
        match self {
            Self::Busybox => "busybox:latest",
            Self::Debian => "debian:bookworm-slim",
            Self::Postgres => "postgres:latest",
            Self::App => Self::APP,
        }
    }

    /// Directories and files that the image is made from; another content is another
    /// archive.
    fn sources(self) -> &'static [&'static str] {
        match self {
            Self::Busybox | Self::Debian => &["scripts/base-image"],
            Self::Postgres => &["scripts/base-image", "tests/bases/postgres"],
            Self::App => &["scripts/base-image", "tests/seed"],
        }
    }

    /// Makes the image in the cache's store.
    fn make(self, cache: &Path) {
        let script = |name: &str| {
            let mut command = Command::new(source("scripts/base-image"));
            command.arg(name);
            command
        };
        let mut command = match self {
            Self::Busybox => script("busybox"),
            Self::Debian => script("debian"),
            Self::Postgres => script("postgres"),
            Self::App => {
                succeed(script("debian"), cache);
                let mut command = Command::new(SHIM);
                command
                    .args(["build", "-q", "-t", Self::APP])
                    .arg(source("tests/seed"));
                command
            }
        };
        command.current_dir("/");
        succeed(command, cache);
    }
}

/// A path of the checkout.
pub(crate) fn source(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

impl Shim {
    /// Loads base images into this test's store.
    pub(crate) fn has(&self, bases: &[Base]) {
        for base in bases {
            self.ok(&["load", "-q", "-i", archive(*base).to_str().unwrap()]);
        }
    }

    /// Copies a directory of the checkout into this test's, where the caller may read it.
    pub(crate) fn copy(&self, directory: &str, name: &str) -> PathBuf {
        for entry in std::fs::read_dir(source(directory)).unwrap() {
            let entry = entry.unwrap();
            let file = entry.file_name().into_string().unwrap();
            self.write(
                &format!("{name}/{file}"),
                std::fs::read(entry.path()).unwrap(),
            );
        }
        self.path(name)
    }
}

/// The archive of a base image, made if this machine has none yet: `$SHIM_TEST_CACHE`,
/// else below `/var/tmp`, because it takes a minute and survives the tests.
pub(crate) fn archive(base: Base) -> PathBuf {
    let cache = std::env::var_os("SHIM_TEST_CACHE")
        .map_or_else(|| PathBuf::from("/var/tmp/shim-test-cache"), PathBuf::from);
    std::fs::create_dir_all(&cache).unwrap();
    std::fs::set_permissions(&cache, PermissionsExt::from_mode(0o755)).unwrap();
    let stem = base.image().replace(['/', ':'], "-");
    let archive = cache.join(format!("{stem}-{}.tar", fingerprint(base.sources())));
    let lock = File::create(cache.join("lock")).unwrap();
    lock.lock().unwrap();
    if !archive.exists() {
        // An image of this name that older sources made must not be taken for it.
        let mut remove = Command::new(SHIM);
        remove.args(["rmi", "-f", base.image()]);
        let _ = prepared(&mut remove, &cache).output();
        base.make(&cache);
        let half = cache.join(format!("{stem}.half"));
        let mut save = Command::new(SHIM);
        save.args(["save", "-o"]).arg(&half).arg(base.image());
        succeed(save, &cache);
        std::fs::rename(half, &archive).unwrap();
    }
    archive
}

/// As root, in the cache's own store.
fn prepared<'c>(command: &'c mut Command, cache: &Path) -> &'c mut Command {
    command
        .env("SHIM", SHIM)
        .env("SHIM_ROOT", cache.join("store"))
        .env("SHIM_BASE_CACHE", cache)
}

fn succeed(mut command: Command, cache: &Path) {
    let output = prepared(&mut command, cache).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}\n{said}");
}

/// Short digest of what some directories hold.
fn fingerprint(paths: &[&str]) -> String {
    let paths: Vec<String> = paths
        .iter()
        .map(|p| format!("'{}'", source(p).display()))
        .collect();
    let script = format!(
        "find {} -type f | sort | xargs cat | sha256sum",
        paths.join(" ")
    );
    let sum = run("sh", &["-c", &script]);
    String::from_utf8(sum[..12].to_vec()).unwrap()
}
