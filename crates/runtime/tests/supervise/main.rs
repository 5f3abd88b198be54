//! Real supervisors on a busybox root file system.
//!
//! A start needs a freshly executed process with one thread, and a supervisor executes
//! its own program: so this test is its own program, without the usual harness, and
//! dispatches the hidden entries itself. Works as root, and as a plain user who has
//! subordinate ids.
#![expect(clippy::unwrap_used, reason = "all of it is tests")]
#![expect(clippy::print_stdout, reason = "it is its own harness")]

mod attached;
mod execs;
mod kit;
mod life;
mod network;

use std::ffi::OsString;
use std::panic::catch_unwind;

/// A test's name and body.
type Test = (&'static str, fn());

/// A hidden entry of this program's own: makes the file that it is given.
const FOLLOWS: &str = "__follows";

/// What the entry that stands for a gateway makes in the runtime directory.
const GATEWAY_MARK: &str = "gateway-was-executed";

fn main() {
    let args: Vec<OsString> = std::env::args_os().skip(1).collect();
    match args.first().and_then(|word| word.to_str()) {
        Some(runtime::supervise::ENTRY) => std::process::exit(runtime::supervise::main(&args[1..])),
        Some(runtime::session::ENTRY) => std::process::exit(runtime::session::main(&args[1..])),
        Some(FOLLOWS) => {
            std::thread::sleep(std::time::Duration::from_millis(100));
            std::fs::write(&args[1], "").unwrap();
        }
        Some("__gateway") => {
            std::fs::write(std::path::Path::new(&args[1]).join(GATEWAY_MARK), "").unwrap();
        }
        _ => harness(&args),
    }
}

/// The part of the usual harness's command line that cargo and nextest use.
fn harness(args: &[OsString]) {
    let words: Vec<&str> = args.iter().filter_map(|word| word.to_str()).collect();
    let flag = |flag: &str| words.contains(&flag);
    if flag("--list") {
        // None of ours is an ignored one.
        let names = tests().into_iter().filter(|_| !flag("--ignored"));
        names.for_each(|(name, _)| println!("{name}: test"));
        return;
    }
    let filter = words.iter().copied().find(|word| !word.starts_with('-'));
    run(filter, flag("--exact"));
}

fn tests() -> Vec<Test> {
    [life::TESTS, attached::TESTS, execs::TESTS, network::TESTS].concat()
}

fn run(filter: Option<&str>, exact: bool) {
    let fits = |name: &str, filter: &str| match exact {
        true => name == filter,
        false => name.contains(filter),
    };
    let tests = tests();
    let chosen = tests
        .iter()
        .filter(|(name, _)| filter.is_none_or(|filter| fits(name, filter)));
    let mut failed = Vec::new();
    for (name, test) in chosen {
        let ok = catch_unwind(test).is_ok();
        println!("test {name} ... {}", if ok { "ok" } else { "FAILED" });
        if !ok {
            failed.push(*name);
        }
    }
    assert!(failed.is_empty(), "failed: {failed:?}");
}
