//! A small language for the tests of the program: who runs it, in which store, and
//! what came of it.
//!
//! The tests run as root, because they must also become somebody else. Those who lack
//! the privileges or the programs fail loudly.

#![allow(dead_code, reason = "each test crate uses a part of it")]
#![allow(
    clippy::unwrap_used,
    reason = "a test that panics has failed, which is meant"
)]

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

pub(crate) mod bases;
pub(crate) mod leaks;
mod server;
pub(crate) mod terminal;
pub(crate) mod traces;
mod users;
pub(crate) mod web;

#[allow(unused_imports, reason = "each test crate uses a part of it")]
pub(crate) use server::{Server, free_port, run};
pub(crate) use users::User;

/// The program under test.
pub(crate) const SHIM: &str = env!("CARGO_BIN_EXE_shim");

/// Declares each scenario twice: as root, and as a plain user with subuid ranges.
#[macro_export]
macro_rules! as_root_and_user {
    ($($(#[$meta:meta])* fn $name:ident($shim:ident: &Shim) $body:block)*) => {
        $(
            $(#[$meta])*
            mod $name {
                #[allow(unused_imports)]
                use super::*;

                fn scenario($shim: &Shim) $body

                #[test]
                fn as_root() {
                    scenario(&Shim::as_root());
                }

                #[test]
                fn as_user() {
                    scenario(&Shim::as_user());
                }
            }
        )*
    };
}

/// The program with a store, a home and a caller of its own. Containers and files are
/// removed with the value.
pub(crate) struct Shim {
    user: Option<User>,
    directory: tempfile::TempDir,
    seen: leaks::Seen,
}

/// What a command did.
#[must_use]
#[derive(Debug)]
pub(crate) struct Outcome {
    /// For messages.
    command: String,
    /// Exit status; 128 + the signal's number if there was one.
    pub(crate) code: i32,
    /// Standard output.
    pub(crate) stdout: String,
    /// Standard error.
    pub(crate) stderr: String,
}

impl Shim {
    /// As root.
    pub(crate) fn as_root() -> Self {
        let directory = tempfile::Builder::new()
            .prefix("shim-test-")
            .tempdir()
            .unwrap();
        Self::prepare(None, directory)
    }

    /// As a plain user with subuid and subgid ranges.
    pub(crate) fn as_user() -> Self {
        let user = User::with_ranges();
        let directory = tempfile::Builder::new()
            .prefix("shim-test-")
            .tempdir_in(&user.home)
            .unwrap();
        Self::prepare(Some(user), directory)
    }

    /// As a plain user without subordinate ids.
    pub(crate) fn as_plain() -> Self {
        let user = User::without_ranges();
        let directory = tempfile::Builder::new()
            .prefix("shim-test-")
            .tempdir_in(&user.home)
            .unwrap();
        Self::prepare(Some(user), directory)
    }

    fn prepare(user: Option<User>, directory: tempfile::TempDir) -> Self {
        let shim = Self {
            user,
            directory,
            seen: leaks::Seen::default(),
        };
        std::fs::create_dir(shim.path("home")).unwrap();
        if let Some(user) = &shim.user {
            user.own(shim.directory.path());
            user.own(&shim.path("home"));
        }
        shim
    }

    /// A path in this test's directory, which the caller may write to.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Writes a file that the caller owns.
    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, content).unwrap();
        if let Some(user) = &self.user {
            let inside = path.ancestors().take_while(|p| *p != self.directory.path());
            inside.for_each(|p| user.own(p));
        }
        path
    }

    /// The store.
    pub(crate) fn root(&self) -> PathBuf {
        self.path("store")
    }

    /// Whether the caller is a plain user.
    pub(crate) fn rootless(&self) -> bool {
        self.user.is_some()
    }

    /// The command line `shim ARGS`, ready to be spawned.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = match &self.user {
            Some(user) => user.command(SHIM),
            None => Command::new(SHIM),
        };
        command
            .args(args)
            .current_dir(self.directory.path())
            .env_clear();
        command.env(
            "PATH",
            "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        );
        command
            .env("HOME", self.path("home"))
            .env("SHIM_ROOT", self.root());
        if let Some(user) = &self.user {
            command.env("XDG_RUNTIME_DIR", &user.runtime);
        }
        command
    }

    /// Runs another program as the caller, outside of any container.
    pub(crate) fn outside(&self, program: &Path, args: &[&str]) -> Outcome {
        let program = program.to_str().unwrap();
        let mut command = match &self.user {
            Some(user) => user.command(program),
            None => Command::new(program),
        };
        Outcome::of(command.args(args), program, b"")
    }

    /// Runs `shim ARGS` without standard input.
    pub(crate) fn run(&self, args: &[&str]) -> Outcome {
        self.run_with(args, b"")
    }

    /// Runs `shim ARGS` with this standard input.
    pub(crate) fn run_with(&self, args: &[&str], input: &[u8]) -> Outcome {
        Outcome::of(
            &mut self.command(args),
            &format!("shim {}", args.join(" ")),
            input,
        )
    }

    /// Runs `shim ARGS`, which must succeed; its standard output without the last
    /// line's end.
    #[track_caller]
    pub(crate) fn ok(&self, args: &[&str]) -> String {
        self.run(args).succeeded()
    }

    /// Names in a directory of the store, sorted; none if it is not there.
    pub(crate) fn stored(&self, directory: &str) -> Vec<String> {
        let Ok(entries) = std::fs::read_dir(self.root().join(directory)) else {
            return Vec::new();
        };
        let mut names: Vec<String> = entries
            .map(|e| e.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }
}

impl Drop for Shim {
    /// A test that left something behind fails here, unless it has failed already.
    fn drop(&mut self) {
        let removed = self.remove_all();
        if !std::thread::panicking() {
            removed.succeeded();
            self.leaks_nothing();
        }
        // What is left there are locks.
        let _ = std::fs::remove_dir_all(self.run_dir());
    }
}

impl Outcome {
    /// Runs a command, called `name` in messages, with this standard input.
    pub(crate) fn of(command: &mut Command, name: &str, input: &[u8]) -> Self {
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let input = input.to_vec();
        let feeder = std::thread::spawn(move || {
            // A program that does not read is no concern of ours.
            let _ = stdin.write_all(&input);
        });
        let outcome = Self::from_child(child, name);
        feeder.join().unwrap();
        outcome
    }

    /// Waits for a process whose output comes through pipes.
    pub(crate) fn from_child(child: Child, name: &str) -> Self {
        let output = child.wait_with_output().unwrap();
        let signal = std::os::unix::process::ExitStatusExt::signal(&output.status);
        Self {
            command: name.to_owned(),
            code: output
                .status
                .code()
                .unwrap_or_else(|| 128 + signal.unwrap_or(0)),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// It must have succeeded; its standard output without the last line's end.
    #[track_caller]
    pub(crate) fn succeeded(self) -> String {
        assert_eq!(
            self.code, 0,
            "{}\n{}{}",
            self.command, self.stdout, self.stderr
        );
        self.stdout
            .strip_suffix('\n')
            .unwrap_or(&self.stdout)
            .to_owned()
    }

    /// It must have failed with one error, and with every one of `parts` in it.
    #[track_caller]
    pub(crate) fn failed(self, parts: &[&str]) -> String {
        assert_ne!(self.code, 0, "{} succeeded\n{}", self.command, self.stdout);
        for part in parts {
            assert!(
                self.stderr.contains(part),
                "{}: no `{part}` in\n{}",
                self.command,
                self.stderr
            );
        }
        let panics = self.stderr.contains("panicked at");
        assert!(!panics, "{}\n{}", self.command, self.stderr);
        self.stderr
    }
}

/// A small image on disk in OCI layout, made by umoci: busybox, a second layer on top, and
/// a configuration. Prints `hello` when run.
pub(crate) struct Layout {
    directory: tempfile::TempDir,
}

impl Layout {
    /// Makes one for this machine.
    pub(crate) fn busybox() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let bundle = directory.path().join("bundle");
        let tree = bundle.join("rootfs");
        let layout = Self { directory };
        let image = format!("{}:latest", layout.path().display());
        let umoci = |verb: &str, more: &[&str]| {
            run(
                "umoci",
                &[&[verb, "--image", image.as_str()], more].concat(),
            );
        };
        let bundle = bundle.to_str().unwrap();
        run(
            "umoci",
            &["init", "--layout", layout.path().to_str().unwrap()],
        );
        umoci("new", &[]);
        umoci("unpack", &[bundle]);
        for name in ["bin", "etc", "tmp"] {
            std::fs::create_dir_all(tree.join(name)).unwrap();
        }
        std::fs::copy("/bin/busybox", tree.join("bin/busybox")).expect("busybox is installed");
        for name in ["sh", "cat", "true", "ls", "sleep", "echo"] {
            std::os::unix::fs::symlink("busybox", tree.join("bin").join(name)).unwrap();
        }
        umoci("repack", &["--refresh-bundle", bundle]);
        std::fs::write(tree.join("etc/greeting"), "hello\n").unwrap();
        umoci("repack", &["--refresh-bundle", bundle]);
        let command = ["--config.cmd", "cat", "--config.cmd", "/etc/greeting"];
        umoci(
            "config",
            &[command.as_slice(), &["--config.env", "A=b"]].concat(),
        );
        layout
    }

    /// The directory.
    pub(crate) fn path(&self) -> PathBuf {
        self.directory.path().join("layout")
    }

    /// In skopeo's notation.
    pub(crate) fn source(&self) -> String {
        format!("oci:{}:latest", self.path().display())
    }

    /// The same image without compression, in skopeo's notation.
    pub(crate) fn plain(&self) -> String {
        let plain = format!("dir:{}", self.directory.path().join("plain").display());
        run(
            "skopeo",
            &[
                "copy",
                "--quiet",
                "--dest-decompress",
                &self.source(),
                &plain,
            ],
        );
        plain
    }
}

/// SHA-256 of a file, `sha256:…`.
pub(crate) fn digest_of(path: &Path) -> String {
    let line = String::from_utf8(run("sha256sum", &[path.to_str().unwrap()])).unwrap();
    format!("sha256:{}", line.split(' ').next().unwrap())
}
