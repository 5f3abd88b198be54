//! Damaged records and a full disk: what can still be done is done, and what is wrong is
//! told with its remedy.

#![allow(
    clippy::unwrap_used,
    reason = "a test that panics has failed, which is meant"
)]

mod kit;

use std::path::PathBuf;

use kit::bases::Base;
use kit::{Outcome, Shim};

/// Cuts a file of the store off in the middle.
fn cut(shim: &Shim, path: &str) -> PathBuf {
    let path = shim.root().join(path);
    let bytes = std::fs::read(&path).unwrap();
    std::fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
    path
}

/// It must succeed and name these files with what mends them.
#[track_caller]
fn warns(outcome: Outcome, told: &[(&PathBuf, &str)]) -> String {
    for (path, remedy) in told {
        let place = outcome
            .stderr
            .find(&format!("warning: {} is damaged", path.display()));
        let place =
            place.unwrap_or_else(|| panic!("nothing of {} in\n{}", path.display(), outcome.stderr));
        let hint = outcome.stderr[place..].lines().nth(1).unwrap_or_default();
        assert!(
            hint.starts_with("hint: ") && hint.contains(remedy),
            "{hint}: no {remedy}"
        );
    }
    outcome.succeeded()
}

const PROJECT: &str = "
services:
  web:
    image: busybox
    command: sleep 1000
    network_mode: none
    stop_grace_period: 0s
    volumes: ['data:/data']
volumes:
  data:
    name: data
";

as_root_and_user! {

fn damaged_records_do_not_hide_the_others(shim: &Shim) {
    shim.has(&[Base::Busybox]);
    shim.ok(&["tag", "busybox", "other"]);
    let make = |verb: &str, name: &str, command: &str| {
        let words: Vec<&str> = command.split(' ').collect();
        shim.ok(&[&[verb, "--name", name, "--network", "none", "busybox"], &words[..]].concat())
    };
    make("create", "fine", "true");
    let [record, plan] = ["record", "plan"].map(|name| make("create", name, "true"));
    make("run", "exit", "true");
    let exit = shim.ok(&["inspect", "-f", "{{.Id}}", "exit"]);
    shim.ok(&["volume", "create", "data"]);
    shim.ok(&["network", "create", "front"]);
    let id = shim.ok(&["inspect", "-f", "{{.Id}}", "--type", "image", "busybox"]);
    shim.write("two/Dockerfile", "FROM busybox\nLABEL a=b\n");
    shim.ok(&["build", "-q", "-t", "two", "two"]);
    let two = shim.ok(&["inspect", "-f", "{{.Id}}", "--type", "image", "two"]);

    let files = [
        cut(shim, &format!("containers/{record}/record.json")),
        cut(shim, &format!("containers/{plan}/config.json")),
    ];
    let shown = warns(
        shim.run(&["ps", "-a", "--format", "{{.Names}}"]),
        &[(&files[0], &format!("shim rm -f {}", &record[..12])), (&files[1], "shim rm -f")],
    );
    assert_eq!(shown, "exit\nfine");
    cut(shim, &format!("containers/{exit}/exit.json"));
    assert_eq!(shim.ok(&["ps", "-a", "--format", "{{.Names}}"]), "exit\nfine");

    let images = [
        cut(shim, &format!("images/ids/{}", two.trim_start_matches("sha256:"))),
    ];
    let shown = warns(
        shim.run(&["images", "--no-trunc", "--format", "{{.Repository}} {{.ID}}"]),
        &[(&images[0], "shim rmi -f")],
    );
    assert_eq!(shown, format!("busybox {id}\nother {id}"));

    let others = [cut(shim, "volumes/data/record.json"), cut(shim, "networks/front.json")];
    warns(shim.run(&["volume", "ls"]), &[(&others[0], "shim volume create data")]);
    warns(shim.run(&["network", "ls"]), &[(&others[1], "shim network rm front")]);
    shim.write("app/compose.yaml", PROJECT);
    let up = shim.run(&["-f", "app/compose.yaml", "up", "-d"]);
    assert!(up.stderr.contains("warning: "), "{}", up.stderr);
    let _ = up.succeeded();
    assert!(shim.ok(&["ps", "-q"]).len() == 12);
    assert!(!shim.run(&["volume", "ls"]).stderr.contains("volumes/data"), "`up` has mended it");
    cut(shim, "projects/app/state.json");
    shim.ok(&["-f", "app/compose.yaml", "up", "-d"]);
    shim.ok(&["-f", "app/compose.yaml", "down", "-v"]);

    // Nothing is collected while nobody knows what is needed.
    shim.ok(&["rmi", "-f", "other"]);
    shim.run(&["rm", &record[..12]]).failed(&["record.json is damaged"]);
    shim.ok(&["rm", "-f", &record[..12], "plan", "exit"]);
    shim.ok(&["rmi", "-f", &two]);
    shim.ok(&["network", "rm", "front"]);
    let quiet = shim.run(&["ps", "-a", "--format", "{{.Names}}"]);
    assert_eq!(quiet.stderr, "");
    assert_eq!(quiet.succeeded(), "fine");
    assert_eq!(shim.run(&["images"]).stderr, "");
    shim.ok(&["create", "--name", "record", "--network", "none", "busybox"]);
}

fn a_container_made_with_rm_goes_though_its_supervisor_was_killed(shim: &Shim) {
    shim.has(&[Base::Busybox]);
    let run = ["run", "-d", "--rm", "-v", "/data", "--network", "none", "busybox", "sleep", "1000"];
    let id = shim.ok(&run);
    let state = shim.run_dir().join("c").join(&id[..16]).join("state.json");
    let state: serde_json::Value = serde_json::from_slice(&std::fs::read(state).unwrap()).unwrap();
    let pid = state["supervisor"]["pid"].as_i64().unwrap();
    kit::run("kill", &["-9", &pid.to_string()]);
    let alive = || {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        status.lines().any(|line| line.starts_with("State:") && !line.contains('Z'))
    };
    assert!(kit::web::wait_until(kit::web::PATIENCE, || !alive()));
    assert_eq!(shim.ok(&["ps", "-aq"]), "");
    assert_eq!(shim.ok(&["volume", "ls", "-q"]), "");
}

fn a_full_disk_can_be_emptied(shim: &Shim) {
    let archive = kit::bases::archive(Base::Busybox);
    shim.write("full", FULL.replace("ARCHIVE", archive.to_str().unwrap()));
    let said = shim.on_tmpfs("size=48m,nr_inodes=4000", "full").succeeded();
    assert!(said.ends_with("all done"), "{said}");
}

}

/// Runs on a file system of its own, which it fills to the last byte and inode.
const FULL: &str = r#"
set -eu
act() {
    "$SHIM" "$@" >out 2>&1 || { echo "shim $* failed: $(cat out)"; exit 1; }
}
act load -q -i ARCHIVE
none='--network none busybox'
act run -d --name up -v named:/v -v /anonymous $none sleep 1000
act run -d --name other $none sleep 1000
act run --name ended $none true
act create --name idle $none true
act create --name spare $none true
act volume create loose
mkdir "$SHIM_ROOT/fill"
dd if=/dev/zero of="$SHIM_ROOT/fill/bytes" bs=4k 2>/dev/null || true
n=0
while true 2>/dev/null >"$SHIM_ROOT/fill/$n"; do n=$((n + 1)); done || true
[ "$(df --output=avail,iavail "$SHIM_ROOT" | tail -n 1 | tr -s ' ')" = " 0 0" ] || {
    echo "not full: $(df --output=avail,iavail "$SHIM_ROOT")"
    exit 1
}
act ps -a
act stop -t 0 up
"$SHIM" ps -a --filter name=up --format '{{.Status}}' | grep -q '^Exited (137)' ||
    { echo "after stop: $("$SHIM" ps -a 2>&1)"; exit 1; }
act rm ended
act rm -f -v other
act rm idle
act container prune -f
[ -z "$("$SHIM" ps -aq)" ] || { echo "left: $("$SHIM" ps -a)"; exit 1; }
act volume prune -fa
[ -z "$("$SHIM" volume ls -q)" ] || { echo "volumes are left"; exit 1; }
act network prune -f
act image prune -af
act system prune -f
[ -z "$("$SHIM" images -q)" ] || { echo "images are left"; exit 1; }
rm -r "$SHIM_ROOT/fill"
echo all done
"#;
