//! Clients at a running container: several at once, coming and going, slow or gone; and
//! what a signal does.

#![expect(
    clippy::unwrap_used,
    reason = "a test that panics has failed, which is meant"
)]

mod kit;

use std::io::{Read, Write};
use std::process::{Child, Stdio};
use std::time::Duration;

use kit::bases::Base;
use kit::terminal::Terminal;
use kit::web::{PATIENCE, wait_until};
use kit::{Shim, run};

/// Ctrl-P Ctrl-Q.
const DETACH: &str = "\x10\x11";

fn until(what: &str, holds: impl FnMut() -> bool) {
    assert!(wait_until(PATIENCE, holds), "in vain: {what}");
}

fn start(shim: &Shim, flags: &[&str], command: &[&str]) {
    shim.has(&[Base::Busybox]);
    let first = ["run", "-d", "--network", "none", "--name", "c"];
    shim.ok(&[&first, flags, &["busybox"], command].concat());
}

fn spawn(shim: &Shim, args: &[&str]) -> Child {
    let mut command = shim.command(args);
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    command.spawn().unwrap()
}

fn signal(name: &str, pid: u32) {
    run("kill", &[&format!("-{name}"), &pid.to_string()]);
}

fn state(shim: &Shim) -> String {
    shim.ok(&[
        "inspect",
        "--format",
        "{{.State.Status}} {{.State.ExitCode}}",
        "c",
    ])
}

as_root_and_user! {
    fn two_terminals_share_one(shim: &Shim) {
        start(shim, &["-it"], &["sh"]);
        let mut one = Terminal::run(&shim.command(&["attach", "c"]));
        one.press("echo $((6 * 7))\r");
        one.expect("42");
        // The second one is shown what was said before, and all that is said now.
        let mut two = Terminal::run(&shim.command(&["attach", "c"]));
        two.expect("42");
        two.press("echo $((3 * 41))\r");
        two.expect("123");
        one.expect("123");
        // Each says its size when it changes; the last word counts.
        one.resize(50, 132);
        until("the size has arrived", || {
            one.press("stty size\r");
            std::thread::sleep(Duration::from_millis(100));
            one.shown().contains("50 132")
        });
        // Who leaves takes nobody along, and may come back.
        one.press(DETACH);
        assert_eq!(one.end().0, 0);
        two.press("echo still $((4 * 5))\r");
        two.expect("still 20");
        let mut again = Terminal::run(&shim.command(&["attach", "c"]));
        again.expect("still 20");
        // Who is killed does not, either.
        signal("KILL", again.program());
        two.press("echo and $((4 * 6))\r");
        two.expect("and 24");
        two.press("exit 7\r");
        assert_eq!(two.end().0, 7);
    }

    fn a_client_that_stops_reading_blocks_nobody(shim: &Shim) {
        let script = "read go; i=0; while [ $i -lt 40000 ]; do echo line $i of many; i=$((i+1)); done; read end";
        start(shim, &["-i"], &["sh", "-c", script]);
        // Its output goes into a pipe that nobody reads.
        let mut slow = spawn(shim, &["attach", "--no-stdin", "c"]);
        let mut quick = spawn(shim, &["attach", "c"]);
        let mut input = quick.stdin.take().unwrap();
        let mut output = quick.stdout.take().unwrap();
        until("both are attached", || {
            input.write_all(b"").unwrap();
            attached(shim) == 2
        });
        input.write_all(b"go\n").unwrap();
        let mut seen = String::new();
        let mut bytes = [0; 4096];
        while !seen.ends_with("line 39999 of many\n") {
            let count = output.read(&mut bytes).unwrap();
            assert!(count > 0, "it ended");
            seen.push_str(std::str::from_utf8(&bytes[..count]).unwrap());
        }
        until("the log has all", || shim.ok(&["logs", "--tail", "1", "c"]) == "line 39999 of many");
        input.write_all(b"end\n").unwrap();
        assert!(quick.wait().unwrap().success());
        let mut rest = String::new();
        slow.stdout.take().unwrap().read_to_string(&mut rest).unwrap();
        assert!(rest.starts_with("line 0 of many\n"), "{rest:.100}");
        assert!(slow.wait().unwrap().success());
    }

    fn signals_are_passed_on_unless_told_otherwise(shim: &Shim) {
        let script = "trap 'echo got USR1' USR1; trap 'exit 9' TERM; while :; do sleep 1000 & wait $!; done";
        start(shim, &[], &["sh", "-c", script]);
        let mut deaf = spawn(shim, &["attach", "--sig-proxy=false", "c"]);
        let mut passing = spawn(shim, &["attach", "c"]);
        until("both are attached", || attached(shim) == 2);
        signal("TERM", deaf.id());
        deaf.wait().unwrap();
        assert_eq!(state(shim), "running 0");
        signal("USR1", passing.id());
        until("it has arrived", || shim.ok(&["logs", "c"]) == "got USR1");
        signal("TERM", passing.id());
        assert_eq!(passing.wait().unwrap().code(), Some(9));
        assert_eq!(state(shim), "exited 9");
    }

    fn who_sends_no_input_only_listens(shim: &Shim) {
        start(shim, &["-i"], &["sh", "-c", "echo ready; cat"]);
        let mut listener = spawn(shim, &["attach", "--no-stdin", "c"]);
        listener.stdin.take().unwrap().write_all(b"unheard\n").unwrap();
        let mut speaker = spawn(shim, &["attach", "c"]);
        speaker.stdin.as_mut().unwrap().write_all(b"heard\n").unwrap();
        until("it has arrived", || shim.ok(&["logs", "c"]) == "ready\nheard");
        // The end of a client's input is not the container's.
        drop(speaker.stdin.take());
        std::thread::sleep(Duration::from_millis(300));
        assert_eq!(state(shim), "running 0");
        shim.ok(&["kill", "c"]);
        let mut heard = String::new();
        listener.stdout.take().unwrap().read_to_string(&mut heard).unwrap();
        assert!(heard.ends_with("heard\n") && !heard.contains("unheard"), "{heard}");
        assert_eq!(listener.wait().unwrap().code(), Some(137));
        assert_eq!(speaker.wait().unwrap().code(), Some(137));
    }

    fn real_time_signals_arrive(shim: &Shim) {
        // Busybox' shell knows them by number only.
        let script = "trap 'echo got it' 37; echo ready; while :; do sleep 1000 & wait $!; done";
        start(shim, &[], &["sh", "-c", script]);
        until("it listens", || shim.ok(&["logs", "c"]) == "ready");
        for (count, name) in ["SIGRTMIN+3", "rtmin+3", "RTMAX-27", "37"].iter().enumerate() {
            shim.ok(&["kill", "-s", name, "c"]);
            let arrived = |text: String| text.matches("got it").count() == count + 1;
            until(name, || arrived(shim.ok(&["logs", "c"])));
        }
    }

    fn hundreds_of_execs_leave_nothing(shim: &Shim) {
        start(shim, &[], &["sleep", "10000"]);
        shim.ok(&["exec", "c", "true"]);
        let pid = shim.ok(&["inspect", "--format", "{{.State.Pid}}", "c"]);
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        let parent = stat.rsplit_once(") ").unwrap().1.split(' ').nth(1).unwrap().to_owned();
        let open = || std::fs::read_dir(format!("/proc/{parent}/fd")).unwrap().count();
        let inside = || shim.ok(&["exec", "c", "sh", "-c", "ls -d /proc/[0-9]* | wc -l"]);
        let before = (open(), shim.processes().len(), inside(), shim.runtime_files());
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for n in 0..50 {
                        let code = (n % 100).to_string();
                        let exec = shim.run(&["exec", "c", "sh", "-c", &format!("exit {code}")]);
                        assert_eq!(exec.code.to_string(), code, "{}", exec.stderr);
                    }
                });
            }
        });
        until("all are gone", || {
            (open(), shim.processes().len(), inside(), shim.runtime_files()) == before
        });
    }
}

/// How many clients are connected to the supervisor of `c`, by its open sockets.
fn attached(shim: &Shim) -> usize {
    let pid = shim.ok(&["inspect", "--format", "{{.State.Pid}}", "c"]);
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let parent = stat
        .rsplit_once(") ")
        .unwrap()
        .1
        .split(' ')
        .nth(1)
        .unwrap()
        .to_owned();
    let sockets = run("ss", &["-xpH", "state", "connected"]);
    let text = String::from_utf8_lossy(&sockets).into_owned();
    text.lines()
        .filter(|line| line.contains(&format!("pid={parent},")) && line.contains("/ctl"))
        .count()
}
