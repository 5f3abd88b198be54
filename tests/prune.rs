//! What is pruned, what is spared, what the store says it takes, and docker's words for it.

#![allow(
    clippy::unwrap_used,
    reason = "a test that panics has failed, which is meant"
)]

mod kit;

use kit::Shim;
use kit::bases::Base;

/// Bytes of docker's units.
fn bytes(text: &str) -> f64 {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = &text[digits.len()..];
    let scale = ["B", "kB", "MB", "GB"]
        .iter()
        .position(|u| *u == unit)
        .unwrap();
    digits.parse::<f64>().unwrap() * 1000f64.powi(scale as i32)
}

/// What `du` says of the store, as root.
fn du(shim: &Shim) -> f64 {
    let root = shim.root();
    let out = kit::run("du", &["-s", "-B1", root.to_str().unwrap()]);
    let text = String::from_utf8(out).unwrap();
    text.split_whitespace().next().unwrap().parse().unwrap()
}

fn df_total(shim: &Shim) -> f64 {
    let sizes = shim.ok(&["system", "df", "--format", "{{.Size}}"]);
    sizes.lines().map(bytes).sum()
}

fn close(shim: &Shim) {
    let (told, true_) = (df_total(shim), du(shim));
    assert!((told - true_).abs() < true_ * 0.02, "df {told}, du {true_}");
}

as_root_and_user! {

fn what_the_store_takes_is_told(shim: &Shim) {
    shim.has(&[Base::Busybox]);
    close(shim);
    shim.write("ctx/Dockerfile", "FROM busybox\nRUN head -c 3000000 /dev/urandom > /big\nRUN head -c 1000000 /dev/urandom > /small\n");
    shim.ok(&["build", "-q", "-t", "app", "ctx"]);
    let fill = "head -c 2000000 /dev/urandom > /data/x; head -c 1500000 /dev/urandom > /y";
    shim.ok(&["run", "--name", "c", "-v", "data:/data", "--network", "none", "app", "sh", "-c", fill]);
    close(shim);
    let rows = shim.ok(&["system", "df"]);
    let heading: Vec<&str> = rows.lines().next().unwrap().split_whitespace().collect();
    assert_eq!(heading, ["TYPE", "TOTAL", "ACTIVE", "SIZE", "RECLAIMABLE"]);
    let row = |kind: &str| {
        let line = rows.lines().find(|line| line.starts_with(kind)).unwrap();
        line[kind.len()..].split_whitespace().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(row("Images")[..2], ["2", "1"]);
    assert_eq!(row("Containers")[..2], ["1", "0"]);
    assert_eq!(row("Local Volumes")[..2], ["1", "1"]);
    assert!(row("Containers")[3].starts_with("1.5"), "{rows}");
    assert_eq!(row("Local Volumes")[3], "0B", "{rows}");
    let all = shim.ok(&["system", "df", "-v"]);
    for part in ["Images space usage:", "Containers space usage:", "Local Volumes space usage:", "data", "app"] {
        assert!(all.contains(part), "no {part} in\n{all}");
    }
    // The cache goes, and what no image has with it.
    shim.ok(&["rmi", "-f", "app"]);
    close(shim);
    let told = shim.ok(&["system", "prune", "-a", "-f", "--volumes"]);
    assert!(told.contains("Deleted Containers:\n") && told.contains("Deleted Images:\nuntagged: busybox:latest\n"), "{told}");
    let last = told.lines().last().unwrap().strip_prefix("Total reclaimed space: ").unwrap().to_owned();
    assert!(bytes(&last) > 5e6, "{told}");
    assert_eq!(shim.ok(&["volume", "ls", "-q"]), "data", "a volume with a name stays");
    close(shim);
    assert!(du(shim) < 3e6, "{} are left", du(shim));
    assert_eq!(shim.ok(&["images", "-q"]), "");
}

fn only_the_unused_is_pruned(shim: &Shim) {
    shim.has(&[Base::Busybox]);
    let none = ["--network", "none", "busybox"];
    shim.ok(&[&["run", "-d", "--name", "up", "-v", "/anon", "-v", "kept:/k"], &none[..], &["sleep", "1000"]].concat());
    shim.ok(&[&["run", "--name", "old", "-v", "/gone", "--label", "stage=test"], &none[..], &["true"]].concat());
    shim.ok(&[&["create", "--name", "new"], &none[..], &["true"]].concat());
    shim.ok(&["network", "create", "--label", "a=b", "front"]);
    shim.ok(&["volume", "create", "--label", "a=b", "loose"]);

    let asked = shim.run_with(&["container", "prune"], b"n\n").succeeded();
    assert_eq!(asked, "WARNING! This will remove all stopped containers.\nAre you sure you want to continue? [y/N] ");
    shim.ok(&["container", "prune", "-f", "--filter", "label=stage=prod"]);
    shim.ok(&["container", "prune", "-f", "--filter", "until=1h"]);
    shim.run(&["container", "prune", "-f", "--filter", "colour=red"]).failed(&["invalid filter `colour=red`"]);
    shim.run(&["container", "prune", "-f", "--filter", "until=soon"]).failed(&["until=soon"]);
    assert_eq!(shim.ok(&["ps", "-aq"]).lines().count(), 3);
    let old = shim.ok(&["inspect", "-f", "{{.Id}}", "old"]);
    let told = shim.run_with(&["container", "prune", "--filter", "label=stage"], b"y\n").succeeded();
    assert!(told.ends_with(&format!("Deleted Containers:\n{old}\n\n{}", told.lines().last().unwrap())), "{told}");
    shim.ok(&["container", "prune", "-f"]);
    assert_eq!(shim.ok(&["ps", "-a", "--format", "{{.Names}}"]), "up");

    let told = shim.ok(&["volume", "prune", "-f"]);
    assert_eq!(told.lines().filter(|line| line.len() == 64).count(), 1, "{told}");
    assert_eq!(shim.ok(&["volume", "ls", "-q", "--filter", "dangling=true"]), "loose");
    shim.ok(&["volume", "prune", "-f", "-a", "--filter", "label!=a"]);
    assert!(shim.ok(&["volume", "prune", "-fa"]).starts_with("Deleted Volumes:\nloose\n\n"));
    assert_eq!(shim.ok(&["volume", "ls", "-q"]).lines().count(), 2, "both of the running one");

    assert_eq!(shim.ok(&["network", "prune", "-f"]), "Deleted Networks:\nfront\n");
    assert_eq!(shim.ok(&["image", "prune", "-af"]), "Total reclaimed space: 0B", "it is in use");
    shim.ok(&["container", "rm", "-f", "-v", "up"]);
    assert!(shim.ok(&["image", "prune", "-f"]).starts_with("Total"), "it has a name");
    assert!(shim.ok(&["image", "prune", "-af"]).starts_with("Deleted Images:\nuntagged: busybox:latest\ndeleted: sha256:"));
}

}

#[test]
fn objects_have_dockers_flags() {
    let shim = Shim::as_root();
    assert_eq!(
        shim.ok(&[
            "volume", "create", "--label", "a=b", "--label", "c", "-d", "local", "v"
        ]),
        "v"
    );
    assert_eq!(shim.ok(&["volume", "create"]).len(), 64);
    shim.run(&["volume", "create", "-d", "nfs", "w"])
        .failed(&["driver `nfs` is not supported"]);
    shim.run(&["volume", "create", "-o", "type=tmpfs", "w"])
        .failed(&["--opt is not supported"]);
    let format = "{{.Name}} {{.Driver}} {{.Labels}}";
    assert_eq!(
        shim.ok(&["volume", "ls", "-f", "label=a=b", "--format", format]),
        "v local a=b,c="
    );
    assert_eq!(
        shim.ok(&["volume", "inspect", "-f", "{{.Labels.a}}", "v"]),
        "b"
    );
    shim.run(&["volume", "ls", "-f", "size=3"])
        .failed(&["invalid filter `size=3`"]);
    shim.run(&["volume", "rm", "none"])
        .failed(&["no such volume: none"]);
    shim.ok(&["volume", "rm", "-f", "none"]);
    shim.ok(&["volume", "prune", "-fa"]);

    let id = shim.ok(&[
        "network",
        "create",
        "--label",
        "a=b",
        "--internal",
        "--subnet",
        "10.123.4.0/24",
        "n",
    ]);
    assert_eq!(
        shim.ok(&["network", "ls", "-q", "--no-trunc", "-f", "label=a"]),
        id
    );
    let format = "{{.Name}} {{.Driver}} {{.Scope}} {{.Internal}}";
    assert_eq!(
        shim.ok(&["network", "ls", "-f", "name=n", "--format", format]),
        "n bridge local true"
    );
    for flag in [
        "--ipv6",
        "--attachable",
        "--opt=a=b",
        "--gateway=10.123.4.1",
    ] {
        let name = flag.split('=').next().unwrap();
        shim.run(&["network", "create", flag, "m"])
            .failed(&[name, "is not supported"]);
    }
    shim.run(&["network", "create", "-d", "overlay", "m"])
        .failed(&["driver `overlay`"]);
    assert_eq!(shim.ok(&["network", "rm", "n"]), "n");
    shim.ok(&["network", "rm", "-f", "n"]);
}

#[test]
fn management_words_are_the_top_levels_commands() {
    let shim = Shim::as_root();
    shim.has(&[Base::Busybox]);
    shim.ok(&[
        "container",
        "run",
        "-d",
        "--name",
        "c",
        "--network",
        "none",
        "busybox",
        "sleep",
        "1000",
    ]);
    assert_eq!(shim.ok(&["container", "exec", "c", "echo", "hi"]), "hi");
    assert_eq!(shim.ok(&["container", "ls", "--format", "{{.Names}}"]), "c");
    assert_eq!(
        shim.ok(&["container", "inspect", "-f", "{{.Name}}", "c"]),
        "/c"
    );
    shim.run(&["container", "inspect", "busybox"])
        .failed(&["no such container: busybox"]);
    assert_eq!(shim.ok(&["container", "stop", "-t", "0", "c"]), "c");
    assert_eq!(shim.ok(&["container", "rm", "c"]), "c");
    assert_eq!(
        shim.run(&["container", "run", "--nonsense", "busybox"])
            .code,
        125
    );
    assert_eq!(
        shim.run(&["container", "exec", "none", "true"]).code,
        shim.run(&["exec", "none", "true"]).code
    );
}
