//! Whose files are whose: a plain user's bind mounts, and a user who has one id only.

#![expect(
    clippy::unwrap_used,
    reason = "a test that panics has failed, which is meant"
)]

mod kit;

use std::os::unix::fs::{MetadataExt, PermissionsExt};

use kit::bases::Base;
use kit::web::{PATIENCE, wait_until};
use kit::{Server, Shim, run};

/// An image whose user is 999, with a file of that user's and a link to a program.
const APP: &str = "\
FROM busybox
RUN chmod 755 / && echo app:x:999:998::/home/app:/bin/sh >> /etc/passwd \\
    && mkdir -p /home/app /data && echo own > /home/app/own && chmod 600 /home/app/own \\
    && chown -R 999:998 /home/app /data && ln /bin/busybox /bin/second
VOLUME /data
USER app
";

/// Said to a user without subordinate ids, once a command.
const ONE_ID: &str = "user shimplain has no range of subordinate ids";
const REMEDY: &str = "usermod --add-subuids";

fn app(shim: &Shim) {
    shim.has(&[Base::Busybox]);
    let context = shim.write("app/Dockerfile", APP);
    let context = context.parent().unwrap().to_str().unwrap().to_owned();
    shim.ok(&["build", "-q", "-t", "app", &context]);
}

fn sh(shim: &Shim, flags: &[&str], image: &str, script: &str) -> String {
    let args = ["run", "--rm", "--network", "none"];
    shim.ok(&[&args, flags, &[image, "sh", "-c", script]].concat())
}

/// A directory of the caller's with a file that nobody else may read.
fn shared(shim: &Shim) -> String {
    let file = shim.write("shared/secret", "secret\n");
    std::fs::set_permissions(&file, PermissionsExt::from_mode(0o600)).unwrap();
    format!("{}:/w", file.parent().unwrap().display())
}

fn owner(shim: &Shim, path: &str) -> (u32, u32) {
    let found = std::fs::metadata(shim.path(path)).unwrap();
    (found.uid(), found.gid())
}

#[test]
fn a_bind_mounts_files_belong_to_who_mounted_it() {
    let shim = Shim::as_user();
    app(&shim);
    let bind = shared(&shim);
    let script = "id -u; cat /w/secret /home/app/own; echo new > /w/made; \
        stat -c '%u:%g %n' / /bin/busybox /bin/second /home/app/own /w/secret /etc/hosts /dev; \
        touch /bin/x /etc/hosts2 2>/dev/null || echo denied; echo data > /data/x";
    assert_eq!(
        sh(&shim, &["-v", &bind], "app", script),
        "999\nsecret\nown\n0:0 /\n0:0 /bin/busybox\n0:0 /bin/second\n999:998 /home/app/own\n\
         999:998 /w/secret\n0:0 /etc/hosts\n0:0 /dev\ndenied"
    );
    assert_eq!(owner(&shim, "shared/made"), owner(&shim, "shared/secret"));
}

#[test]
fn root_and_who_steps_down_keep_the_plain_mapping() {
    let shim = Shim::as_user();
    app(&shim);
    let bind = shared(&shim);
    let map = "cat /proc/self/uid_map | wc -l; id -u";
    assert_eq!(sh(&shim, &["-v", &bind], "busybox", map), "2\n0");
    assert_eq!(sh(&shim, &["-v", &bind, "-u", "0"], "app", map), "2\n0");
    let made = sh(
        &shim,
        &["-v", &bind],
        "busybox",
        "echo x > /w/roots; stat -c %u /w/secret",
    );
    assert_eq!(made, "0");
    assert_eq!(owner(&shim, "shared/roots"), owner(&shim, "shared/secret"));
}

#[test]
fn ids_are_kept_on_request() {
    let shim = Shim::as_user();
    app(&shim);
    let bind = shared(&shim);
    let (uid, gid) = owner(&shim, "shared/secret");
    let script = "echo $(id -u):$(id -g); stat -c %u:%g /w/secret /bin/busybox";
    let kept = sh(&shim, &["-v", &bind, "--userns=keep-id"], "busybox", script);
    assert_eq!(kept, format!("{uid}:{gid}\n{uid}:{gid}\n0:0"));
    let asked = "--userns=keep-id:uid=5,gid=6";
    let kept = sh(&shim, &["-v", &bind, asked], "app", script);
    assert_eq!(kept, "5:6\n5:6\n0:0");
    let kept = sh(&shim, &["-v", &bind, asked, "-u", "999:998"], "app", script);
    assert_eq!(kept, "999:998\n5:6\n0:0");
    let plain = sh(&shim, &["-v", &bind, "--userns=host"], "app", script);
    assert_eq!(plain, "999:998\n0:0\n0:0");
    let run = |shim: &Shim, mode: &str| shim.run(&["run", "--rm", mode, "busybox", "true"]);
    run(&shim, "--userns=auto").failed(&["--userns=auto is not supported", "hint: use"]);
    let root = Shim::as_root();
    root.has(&[Base::Busybox]);
    run(&root, "--userns=keep-id").failed(&["keep-id is for plain users", "hint:"]);
}

#[test]
fn what_leaves_a_container_has_the_owners_seen_inside() {
    let shim = Shim::as_user();
    app(&shim);
    let bind = shared(&shim);
    let args = [
        "run",
        "-d",
        "--name",
        "c",
        "--network",
        "none",
        "-v",
        &bind,
        "app",
    ];
    shim.ok(&[&args[..], &["sh", "-c", "echo > /home/app/new; sleep 1000"]].concat());
    let made = || shim.run(&["exec", "c", "test", "-e", "/home/app/new"]).code == 0;
    assert!(wait_until(PATIENCE, made));
    let host = shim.write("host.txt", "text");
    shim.ok(&["cp", host.to_str().unwrap(), "c:/etc/copied"]);
    let stat = "stat -c %u:%g /etc/copied /home/app/new";
    assert_eq!(shim.ok(&["exec", "c", "sh", "-c", stat]), "0:0\n999:998");
    shim.ok(&["commit", "c", "made"]);
    assert_eq!(
        sh(&shim, &[], "made", &format!("{stat} /bin/busybox")),
        "0:0\n999:998\n0:0"
    );
    let tar = shim.path("c.tar");
    shim.ok(&["export", "-o", tar.to_str().unwrap(), "c"]);
    let listed = run("tar", &["--numeric-owner", "-tvf", tar.to_str().unwrap()]);
    let listed = String::from_utf8_lossy(&listed);
    let owner = |path: &str| {
        let line = listed.lines().find(|line| line.ends_with(path)).unwrap();
        line.split_whitespace().nth(1).unwrap()
    };
    assert_eq!(owner(" home/app/new"), "999/998");
    assert_eq!(owner(" etc/copied"), "0/0");
    assert_eq!(owner(" bin/busybox"), "0/0");
}

#[test]
fn a_path_that_is_closed_says_by_whom() {
    let shim = Shim::as_user();
    shim.has(&[Base::Busybox]);
    let closed = tempfile::tempdir().unwrap();
    std::fs::create_dir(closed.path().join("in")).unwrap();
    std::fs::set_permissions(closed.path(), PermissionsExt::from_mode(0o700)).unwrap();
    let directory = closed.path().to_str().unwrap();
    let bind = format!("{directory}/in:/w");
    shim.run(&["run", "--rm", "-v", &bind, "busybox", "true"])
        .failed(&[
            &format!("cannot mount {directory}/in at /w"),
            &format!(
                "{directory} belongs to a user of the host who is none of your ids, with mode 0700"
            ),
            "are 0 and up",
            &format!("hint: run `chmod o+x {directory}`"),
        ]);
}

#[test]
fn an_exec_is_whom_it_asks_for() {
    let shim = Shim::as_user();
    app(&shim);
    let bind = shared(&shim);
    let args = [
        "run",
        "-d",
        "--name",
        "c",
        "--network",
        "none",
        "-v",
        &bind,
        "app",
    ];
    shim.ok(&[&args[..], &["sleep", "1000"]].concat());
    let stat = "id -u; cat /w/secret; stat -c %u /w/secret";
    assert_eq!(
        shim.ok(&["exec", "c", "sh", "-c", stat]),
        "999\nsecret\n999"
    );
    let root = "id -u; touch /etc/new; stat -c %u /etc/new /w/secret";
    assert_eq!(
        shim.ok(&["exec", "-u", "0", "c", "sh", "-c", root]),
        "0\n0\n999"
    );
    shim.ok(&["restart", "-t", "0", "c"]);
    assert_eq!(
        shim.ok(&["exec", "c", "sh", "-c", stat]),
        "999\nsecret\n999"
    );
}

#[test]
fn as_root_ids_are_what_they_are() {
    let shim = Shim::as_root();
    app(&shim);
    let bind = shared(&shim);
    let script = "stat -c %u /w/secret; cat /w/secret 2>/dev/null || echo denied";
    assert_eq!(sh(&shim, &["-v", &bind], "app", script), "0\ndenied");
}

#[test]
fn one_id_is_told_once_and_is_enough_for_a_build() {
    let shim = Shim::as_plain();
    app(&shim);
    let outcome = shim.run(&["run", "--rm", "--network", "none", "app", "id", "-u"]);
    assert_eq!(outcome.stderr.matches(ONE_ID).count(), 1, "{outcome:?}");
    assert_eq!(outcome.stderr.matches(REMEDY).count(), 1, "{outcome:?}");
    assert_eq!(outcome.succeeded(), "999");
    let quiet = shim.run(&["images"]);
    assert!(quiet.stderr.is_empty(), "nothing is lost there: {quiet:?}");
    let _ = quiet.succeeded();
    let bind = shared(&shim);
    let script = "cat /w/secret; echo new > /w/made; stat -c %u /w/secret";
    assert_eq!(sh(&shim, &["-v", &bind], "app", script), "secret\n999");
    assert_eq!(owner(&shim, "shared/made"), owner(&shim, "shared/secret"));
    let faked = "touch /x; chown 5:6 /x; mknod /dev/sda1 b 8 1; stat -c %u:%g /x; mkfifo /p; \
        test -p /p && echo pipe";
    assert_eq!(sh(&shim, &[], "busybox", faked), "0:0\npipe");
    let out = shim.path("store");
    let foreign = format!("find {} ! -user shimplain | wc -l", out.display());
    assert_eq!(run("sh", &["-c", &foreign]), b"0\n");
}

#[test]
fn owners_survive_one_id_on_their_way_to_a_registry() {
    let (plain, user) = (Shim::as_plain(), Shim::as_user());
    for shim in [&plain, &user] {
        shim.has(&[Base::Busybox]);
    }
    let registry = Server::open();
    let name = registry.name("owners:1");
    let text = "FROM busybox\nCOPY --chown=12:34 file /srv/file\n";
    plain.write("context/Dockerfile", text);
    plain.write("context/file", "text");
    let context = plain.path("context");
    plain.ok(&["build", "-q", "-t", &name, context.to_str().unwrap()]);
    plain.ok(&["push", "-q", "--tls-verify=false", &name]);
    user.ok(&["pull", "-q", "--tls-verify=false", &name]);
    let stat = sh(&user, &[], &name, "stat -c %u:%g /srv/file");
    assert_eq!(stat, "12:34");
}

#[test]
fn debian_packages_install_with_one_id() {
    let shim = Shim::as_plain();
    shim.has(&[Base::Debian]);
    let text = "FROM debian:bookworm-slim\n\
        RUN apt-get update && apt-get install -y --no-install-recommends dbus openssh-client\n\
        RUN dpkg -s dbus | grep Status && ls /etc/apt/apt.conf.d\n";
    let context = shim.write("context/Dockerfile", text);
    let context = context.parent().unwrap().to_str().unwrap().to_owned();
    let outcome = shim.run(&["build", "--network", "host", "-t", "deb", &context]);
    let said = outcome.stderr.clone();
    let _ = outcome.succeeded();
    assert!(said.contains("install ok installed"), "{said}");
    // What makes apt content is not in the image.
    let layers = shim.ok(&[
        "run",
        "--rm",
        "--network",
        "none",
        "deb",
        "cat",
        "/usr/bin/ssh",
    ]);
    assert!(!layers.is_empty());
    let find = format!(
        "find {} -path '*/fs/*' -name 99shim",
        shim.path("store").display()
    );
    assert_eq!(run("sh", &["-c", &find]), b"");
}

#[test]
fn postgresql_keeps_its_data_with_one_id() {
    let shim = Shim::as_plain();
    shim.has(&[Base::Postgres]);
    let outcome = shim.run(&[
        "run",
        "-d",
        "--name",
        "pg",
        "--network",
        "none",
        "-v",
        "data:/var/lib/postgresql/data",
        "-e",
        "POSTGRES_PASSWORD=x",
        "postgres",
    ]);
    assert!(
        outcome.stderr.contains("runs as user 999 from its start"),
        "{outcome:?}"
    );
    let _ = outcome.succeeded();
    let query = |sql: &str| shim.run(&["exec", "pg", "psql", "-U", "postgres", "-tAc", sql]);
    let answers = || query("select 1").code == 0;
    // The first start also makes the cluster, and stops the server once.
    let ready = || {
        shim.run(&["logs", "pg"])
            .stdout
            .contains("init process complete")
            && answers()
    };
    assert!(
        wait_until(PATIENCE, ready),
        "{:?}",
        shim.run(&["logs", "pg"])
    );
    let _ = query("create table t as select 42 as a").succeeded();
    shim.ok(&["stop", "pg"]);
    shim.ok(&["start", "pg"]);
    assert!(
        wait_until(PATIENCE, answers),
        "{:?}",
        shim.run(&["logs", "pg"])
    );
    assert_eq!(query("select a from t").succeeded(), "42");
}
