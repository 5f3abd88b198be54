//! The plain users that tests become.

use std::fs::File;
use std::os::unix::fs::{DirBuilderExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;

use super::server::run;

/// A user of this machine.
pub(crate) struct User {
    /// Login name.
    pub(crate) name: &'static str,
    /// Home directory.
    pub(crate) home: PathBuf,
    /// What a login session would have as XDG_RUNTIME_DIR.
    pub(crate) runtime: PathBuf,
    uid: u32,
    gid: u32,
}

impl User {
    /// `shimtest`, with subuid and subgid ranges.
    pub(crate) fn with_ranges() -> Self {
        let user = Self::made("shimtest");
        for (file, flag) in [
            ("/etc/subuid", "--add-subuids"),
            ("/etc/subgid", "--add-subgids"),
        ] {
            let ranges = std::fs::read_to_string(file).unwrap_or_default();
            if !ranges.lines().any(|line| line.starts_with("shimtest:")) {
                run("usermod", &[flag, "200000-265535", user.name]);
            }
        }
        user
    }

    /// `shimplain`, without them.
    pub(crate) fn without_ranges() -> Self {
        let user = Self::made("shimplain");
        for file in ["/etc/subuid", "/etc/subgid"] {
            let ranges = std::fs::read_to_string(file).unwrap_or_default();
            let kept: Vec<&str> = ranges
                .lines()
                .filter(|line| !line.starts_with("shimplain:"))
                .collect();
            if kept.len() != ranges.lines().count() {
                std::fs::write(file, kept.join("\n") + "\n").unwrap();
            }
        }
        user
    }

    fn made(name: &'static str) -> Self {
        // Tests run side by side; useradd does not like company.
        let lock = File::create("/run/shim-test-users.lock").expect("the tests run as root");
        lock.lock().unwrap();
        if find(name).is_none() {
            run("useradd", &["-m", "-s", "/bin/sh", name]);
        }
        let (uid, gid, home) = find(name).expect("useradd has made it");
        let runtime = PathBuf::from(format!("/run/user/{uid}"));
        let mut builder = std::fs::DirBuilder::new();
        builder
            .recursive(true)
            .mode(0o700)
            .create(&runtime)
            .unwrap();
        let user = Self {
            name,
            home,
            runtime,
            uid,
            gid,
        };
        user.own(&user.runtime);
        user
    }

    /// Gives a file or directory to the user.
    pub(crate) fn own(&self, path: &Path) {
        chown(path, Some(self.uid), Some(self.gid)).unwrap();
    }

    /// Who owns a file system, in mount's words.
    pub(super) fn owner(&self) -> String {
        format!("uid={},gid={}", self.uid, self.gid)
    }

    /// A program run as this user.
    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = Command::new("/usr/bin/setpriv");
        let (uid, gid) = (
            format!("--reuid={}", self.uid),
            format!("--regid={}", self.gid),
        );
        command.args([&uid, &gid, "--init-groups", "--", program]);
        command
    }
}

/// Looks a user up in `/etc/passwd`: uid, gid, home.
fn find(name: &str) -> Option<(u32, u32, PathBuf)> {
    let passwd = std::fs::read_to_string("/etc/passwd").unwrap();
    passwd.lines().find_map(|line| {
        let fields: Vec<&str> = line.split(':').collect();
        (fields[0] == name).then(|| {
            (
                fields[2].parse().unwrap(),
                fields[3].parse().unwrap(),
                fields[5].into(),
            )
        })
    })
}
