//! What a container writes: kept, bounded, followed, whatever happens to it or the disk.

#![expect(
    clippy::unwrap_used,
    reason = "a test that panics has failed, which is meant"
)]

mod kit;

use std::io::{Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use kit::bases::Base;
use kit::web::{PATIENCE, wait_until};
use kit::{Shim, run};

fn until(what: &str, holds: impl FnMut() -> bool) {
    assert!(wait_until(PATIENCE, holds), "in vain: {what}");
}

fn run_args<'a>(flags: &[&'a str], script: &'a str) -> Vec<&'a str> {
    [
        &["run", "--network", "none"],
        flags,
        &["busybox", "sh", "-c", script],
    ]
    .concat()
}

fn directory(shim: &Shim, container: &str) -> PathBuf {
    let id = shim.ok(&["inspect", "--format", "{{.Id}}", container]);
    shim.root().join("containers").join(id)
}

/// Bytes on the disk of a container's log files, and how many there are.
fn on_disk(directory: &Path) -> (u64, usize) {
    let entries = std::fs::read_dir(directory).unwrap().flatten();
    let logs = entries.filter(|e| e.file_name().to_str().unwrap().starts_with("log"));
    // One that is given up in this moment is none.
    let sizes: Vec<u64> = logs
        .filter_map(|e| Some(e.metadata().ok()?.blocks() * 512))
        .collect();
    (sizes.iter().sum(), sizes.len())
}

as_root_and_user! {
    fn a_log_takes_no_more_room_than_it_may(shim: &Shim) {
        shim.has(&[Base::Busybox]);
        let script = "yes 'a line of some length' | head -n 300000; echo last";
        let options = ["--log-opt", "max-size=1m", "--log-opt", "max-file=3"];
        let flags = [&["-d", "--name", "c"], options.as_slice()].concat();
        shim.ok(&run_args(&flags, script));
        let directory = directory(shim, "c");
        let mut most = 0;
        until("it ends", || {
            most = most.max(on_disk(&directory).0);
            shim.ok(&["ps", "-q"]).is_empty()
        });
        let (bytes, files) = on_disk(&directory);
        assert_eq!(files, 3);
        assert!((2_000_000..=3_300_000).contains(&bytes), "{bytes}");
        assert!(most <= 3_300_000, "{most}");
        let log = shim.ok(&["logs", "c"]);
        assert!(log.ends_with("a line of some length\nlast"));
        assert!(log.lines().count() > 15_000, "{}", log.lines().count());
        assert_eq!(shim.ok(&["logs", "--tail", "10000", "c"]).lines().count(), 10_000);
    }

    fn who_follows_sees_every_line_through_rotation_and_restart(shim: &Shim) {
        shim.has(&[Base::Busybox]);
        let script = "echo begin; while [ ! -e /go ]; do sleep 0.1; done; rm /go; seq 3000; exec sleep 1000";
        // Files in plenty: no reader here is too slow for them.
        let options = ["--log-opt", "max-size=10k", "--log-opt", "max-file=500"];
        let flags = [&["-d", "--name", "c", "--stop-signal", "KILL"], options.as_slice()].concat();
        shim.ok(&run_args(&flags, script));
        let mut follower = shim.command(&["logs", "-f", "c"]);
        let mut follower = follower.stdout(Stdio::piped()).spawn().unwrap();
        let mut seen = String::new();
        let mut out = follower.stdout.take().unwrap();
        let mut read_until = |end: &str| {
            let mut bytes = [0; 4096];
            while !seen.ends_with(end) {
                let count = out.read(&mut bytes).unwrap();
                assert!(count > 0, "it ended after\n{seen}");
                seen.push_str(std::str::from_utf8(&bytes[..count]).unwrap());
            }
            std::mem::take(&mut seen)
        };
        let numbers: String = (1..=3000).map(|n| format!("{n}\n")).collect();
        for _ in 0..2 {
            assert_eq!(read_until("begin\n"), "begin\n");
            shim.ok(&["exec", "c", "touch", "/go"]);
            assert_eq!(read_until("3000\n"), numbers);
            shim.ok(&["restart", "c"]);
        }
        assert_eq!(read_until("begin\n"), "begin\n");
        shim.ok(&["stop", "c"]);
        assert!(follower.wait().unwrap().success(), "it ends with the container");
        assert_eq!(shim.ok(&["logs", "c"]).lines().count(), 3 + 2 * 3000);
    }

    fn bytes_of_every_kind_come_back(shim: &Shim) {
        shim.has(&[Base::Busybox]);
        let script = "i=0; while [ $i -lt 256 ]; do printf \"\\\\$(printf %03o $i)\"; i=$((i+1)); done; head -c 100000 /dev/urandom | tee /copy";
        shim.ok(&run_args(&["-d", "--name", "c"], script));
        until("it ends", || shim.ok(&["ps", "-q"]).is_empty());
        let output = shim.command(&["logs", "c"]).output().unwrap();
        let all: Vec<u8> = (0..=255).collect();
        assert_eq!(output.stdout[..256], all);
        assert_eq!(output.stdout.len(), 256 + 100_000);
        // Docker's readers see text in every line.
        let log = std::fs::read_to_string(directory(shim, "c").join("log")).unwrap();
        for line in log.lines() {
            let line: serde_json::Value = serde_json::from_str(line).unwrap();
            assert!(line["log"].is_string() && line["stream"] == "stdout", "{line}");
        }
        let exported = shim.command(&["export", "c"]).output().unwrap().stdout;
        let random = &output.stdout[256..];
        assert!(exported.windows(4096).any(|w| w == &random[..4096]), "the bytes are the same");
    }

    fn a_log_cut_by_a_crash_is_whole_up_to_the_cut(shim: &Shim) {
        shim.has(&[Base::Busybox]);
        shim.ok(&run_args(&["--name", "c"], "echo one; echo two"));
        let log = directory(shim, "c").join("log");
        let whole = std::fs::read(&log).unwrap();
        // In the middle of its text, and behind it.
        for (cut, want) in [(12, "one\ntw"), (60, "one\ntwo\n")] {
            let second = whole.iter().position(|&b| b == b'\n').unwrap() + 1;
            let end = second + 8 + if cut == 12 { 2 } else { 20 };
            std::fs::write(&log, &whole[..end]).unwrap();
            assert_eq!(shim.run(&["logs", "c"]).stdout, want, "cut at {end}");
        }
        shim.ok(&["start", "c"]);
        until("it ends", || shim.ok(&["ps", "-q"]).is_empty());
        assert_eq!(shim.run(&["logs", "c"]).stdout, "one\ntwo\none\ntwo\n");
    }

    fn what_is_attached_to_lines_is_shown_with_details(shim: &Shim) {
        shim.has(&[Base::Busybox]);
        let options = ["--log-opt", "tag=a b", "--log-opt", "labels=colour", "--label", "colour=red"];
        let flags = [&["--name", "c"], options.as_slice()].concat();
        shim.run(&run_args(&flags, "echo text")).succeeded();
        assert_eq!(shim.ok(&["logs", "--details", "c"]), "colour=red,tag=a+b text");
        assert_eq!(shim.ok(&["logs", "c"]), "text");
        shim.run(&run_args(&["--name", "d"], "echo text")).succeeded();
        assert_eq!(shim.ok(&["logs", "--details", "d"]), " text", "as docker has it");

        shim.ok(&run_args(&["--name", "quiet", "--log-driver", "none"], "echo text"));
        shim.run(&["logs", "quiet"]).failed(&["quiet", "no log", "--log-driver none"]);
        assert!(!directory(shim, "quiet").join("log").exists());
    }
}

#[test]
fn a_full_disk_drops_lines_and_not_the_container() {
    let shim = Shim::as_root();
    shim.has(&[Base::Busybox]);
    let script = "echo first; while [ ! -e /dev/shm/go ]; do sleep 0.1; done; \
        yes 'a line of some length' | head -n 200000; echo done > /dev/shm/done; \
        while [ ! -e /dev/shm/more ]; do sleep 0.1; done; echo more; sleep 1000";
    let id = shim.ok(&[&["create"], &run_args(&["--name", "c"], script)[1..]].concat());
    // A disk of its own for the log: the container's directory is moved to it.
    let directory = shim.root().join("containers").join(&id);
    let disk = Disk::of(&shim, "size=1m");
    let config = directory.join("config.json");
    let mut plan: serde_json::Value =
        serde_json::from_slice(&std::fs::read(&config).unwrap()).unwrap();
    plan["paths"]["log"] = disk.0.join("log").to_str().unwrap().into();
    std::fs::write(&config, serde_json::to_vec(&plan).unwrap()).unwrap();
    shim.ok(&["start", "c"]);
    let sh = |script: &str| shim.run(&["exec", "c", "sh", "-c", script]);
    sh("touch /dev/shm/go").succeeded();
    until("its output is taken", || {
        sh("test -e /dev/shm/done").code == 0
    });
    let text = || std::fs::read_to_string(disk.0.join("log")).unwrap();
    let whole = |text: &str| {
        text.lines()
            .all(|line| serde_json::from_str::<serde_json::Value>(line).is_ok())
    };
    until("the disk is full of whole lines", || {
        text().len() > 900_000 && whole(&text())
    });
    run(
        "mount",
        &["-o", "remount,size=100m", disk.0.to_str().unwrap()],
    );
    sh("touch /dev/shm/more").succeeded();
    until("it goes on", || text().contains("more\\n"));
    let text = text();
    assert!(whole(&text));
    let logged = text.matches("a line of some length\\n").count();
    let note = text
        .split("[shim: ")
        .nth(1)
        .expect("what is missing is told");
    let missing: usize = note.split(' ').next().unwrap().parse().unwrap();
    assert_eq!(logged + missing, 200_000, "{note:.200}");
    assert!(note.contains("No space left on device"), "{note:.200}");
    shim.ok(&["rm", "-f", "c"]);
}

/// A small tmpfs, unmounted at the end.
struct Disk(PathBuf);

impl Disk {
    fn of(shim: &Shim, options: &str) -> Self {
        let path = shim.path("disk");
        std::fs::create_dir(&path).unwrap();
        run(
            "mount",
            &[
                "-t",
                "tmpfs",
                "-o",
                options,
                "shim-test",
                path.to_str().unwrap(),
            ],
        );
        Self(path)
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        run("umount", &["-l", self.0.to_str().unwrap()]);
    }
}

/// 10 GB of output, three files of 10 MB. Minutes: `--run-ignored only`.
#[test]
#[ignore = "it takes minutes"]
fn ten_gigabytes_take_thirty_megabytes() {
    let shim = Shim::as_root();
    shim.has(&[Base::Busybox]);
    let options = ["--log-opt", "max-size=10m", "--log-opt", "max-file=3"];
    let flags = [&["-d", "--name", "c"], options.as_slice()].concat();
    shim.ok(&run_args(&flags, "yes 'a line that is sixty-four bytes long, as lines of logs may be.' | head -c 10000000000"));
    let directory = directory(&shim, "c");
    let mut most = 0;
    while !shim.ok(&["ps", "-q"]).is_empty() {
        most = most.max(on_disk(&directory).0);
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    assert!(most <= 33_000_000, "{most}");
}

/// 2 GB through a process and back.
#[test]
#[ignore = "it takes minutes"]
fn two_gigabytes_go_through_exec_and_back() {
    const BLOCKS: u64 = 2048;
    let shim = Shim::as_root();
    shim.has(&[Base::Busybox]);
    shim.ok(&run_args(&["-d", "--name", "c"], "sleep 1000"));
    let mut exec = shim.command(&["exec", "-i", "c", "cat"]);
    let mut exec = exec
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let (mut input, mut output) = (exec.stdin.take().unwrap(), exec.stdout.take().unwrap());
    let block = |n: u64| {
        let mut block: Vec<u8> = (0..1u32 << 20).map(|i| (i % 251) as u8).collect();
        block[..8].copy_from_slice(&n.to_le_bytes());
        block
    };
    let feeder = std::thread::spawn(move || {
        for n in 0..BLOCKS {
            input.write_all(&block(n)).unwrap();
        }
    });
    let mut seen = vec![0; 1 << 20];
    for n in 0..BLOCKS {
        output.read_exact(&mut seen).unwrap();
        assert!(seen == block(n), "block {n} differs");
    }
    assert_eq!(output.read(&mut seen).unwrap(), 0);
    feeder.join().unwrap();
    assert!(exec.wait().unwrap().success());
}
