//! `shim doctor` on this machine, and on worse ones.

#![expect(
    clippy::unwrap_used,
    reason = "a test that panics has failed, which is meant"
)]

mod kit;

use kit::bases::Base;
use kit::{Outcome, SHIM, Shim};

/// What it says of one check, in the text form.
fn said<'o>(outcome: &'o Outcome, check: &str) -> Vec<&'o str> {
    let mut lines = outcome.stdout.lines();
    let head = format!("{check}: ");
    let first = lines.by_ref().find(|line| line[9..].starts_with(&head));
    let first = first.unwrap_or_else(|| panic!("no {check} in {outcome:?}"));
    let rest = lines.take_while(|line| line.starts_with(' '));
    std::iter::once(first).chain(rest).collect()
}

/// `shim doctor` behind a command that takes something away from it.
fn without(shim: &Shim, script: &str) -> Outcome {
    let mut unshare = std::process::Command::new("unshare");
    let inner = shim.command(&["doctor"]);
    let words = std::iter::once(inner.get_program()).chain(inner.get_args());
    let words: Vec<_> = words
        .map(|w| format!("'{}'", w.to_str().unwrap()))
        .collect();
    let script = format!("{script}\nexec {}", words.join(" "));
    unshare.args(["-m", "sh", "-ec", &script]);
    for (name, value) in inner.get_envs() {
        value.map(|value| unshare.env(name, value));
    }
    unshare.current_dir("/");
    Outcome::of(&mut unshare, "shim doctor", b"")
}

as_root_and_user! {

fn the_machine_of_the_tests_runs_containers(shim: &Shim) {
    let outcome = shim.run(&["doctor"]);
    assert!(outcome.code < 2, "{outcome:?}");
    for check in ["kernel", "namespaces", "overlay", "system call filters", "store"] {
        let [line] = said(&outcome, check)[..] else {
            panic!("{outcome:?}");
        };
        assert!(line.starts_with("ok "), "{line}");
    }
    let json = shim.run(&["doctor", "--json"]);
    assert_eq!(json.code, outcome.code);
    let json: serde_json::Value = serde_json::from_str(&json.stdout).unwrap();
    let findings = json["findings"].as_array().unwrap();
    assert_eq!(findings[0]["check"], "kernel");
    assert_eq!(findings[0]["severity"], "fine");
    let severity = if outcome.code == 0 { "fine" } else { "degraded" };
    assert_eq!(json["severity"], severity);
    assert!(!shim.root().exists(), "looking makes no store");
}

}

#[test]
fn no_subordinate_ids_are_degraded() {
    let outcome = Shim::as_plain().run(&["doctor"]);
    assert_eq!(outcome.code, 1, "{outcome:?}");
    let lines = said(&outcome, "subordinate ids");
    assert!(
        lines[0].starts_with("degraded subordinate ids: shimplain has no range"),
        "{lines:?}"
    );
    assert!(lines[1].contains("every file belongs to you"), "{lines:?}");
    let remedy = lines[2].trim();
    assert!(
        remedy.starts_with("mend: usermod --add-subuids "),
        "{lines:?}"
    );
    assert!(remedy.ends_with(" shimplain"), "{lines:?}");
}

#[test]
fn what_is_taken_away_is_missed() {
    let shim = Shim::as_user();
    let hidden = "mount --bind /dev/null /usr/bin/newuidmap";
    let outcome = without(&shim, hidden);
    assert_eq!(outcome.code, 2, "{outcome:?}");
    let lines = said(&outcome, "newuidmap and newgidmap");
    assert!(lines[0].starts_with("fatal "), "{lines:?}");
    assert_eq!(lines[2].trim(), "mend: chmod u+s /usr/bin/newuidmap");
    let empty = "mount --bind /dev/null /etc/resolv.conf; mount -t tmpfs none /etc/ssl";
    let outcome = without(&shim, empty);
    assert_eq!(outcome.code, 1, "{outcome:?}");
    assert!(said(&outcome, "resolver")[0].starts_with("degraded "));
    assert_eq!(
        said(&outcome, "certificates")[2].trim(),
        "mend: apt-get install ca-certificates"
    );
}

#[test]
fn a_containers_root_is_told_what_is_left() {
    let shim = Shim::as_user();
    shim.has(&[Base::Busybox]);
    let program = format!("{SHIM}:/usr/bin/shim:ro");
    let args = [
        "run",
        "--rm",
        "--network",
        "none",
        "-v",
        &program,
        "busybox",
    ];
    let outcome = shim.run(&[&args[..], &["shim", "doctor"]].concat());
    assert_eq!(outcome.code, 1, "{outcome:?}");
    let lines = said(&outcome, "namespaces");
    assert!(lines[0].starts_with("degraded "), "{lines:?}");
    assert!(lines[1].contains("images can be built"), "{lines:?}");
}
