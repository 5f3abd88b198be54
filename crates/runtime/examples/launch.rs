//! Starts a container from a plan, without store, engine or supervisor: what the tests of
//! this crate execute, because a start needs a fresh process with one thread.
//!
//! `launch run PLAN` starts it, waits, and exits as it did. `launch exec PLAN ARGV…` runs
//! another process in it. As a plain user, it enters the user namespace first. The other
//! words are probes: what a setuid program becomes, whether our program can be overwritten.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program")]
#![expect(clippy::unwrap_used, reason = "a failed step of a test says where")]

use std::fs::File;
use std::os::fd::OwnedFd;
use std::path::Path;

use model::ContainerPlan;
use model::container::{ProcessRef, RunPhase, RunState};
use runtime::stdio::Stdio;
use runtime::{exec, launch};

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let code = match arguments.first().map(String::as_str) {
        Some(runtime::step::ENTRY) => runtime::step::main(),
        Some("run") => run(Path::new(&arguments[1])),
        Some("exec") => execute(Path::new(&arguments[1]), &arguments[2..]),
        Some("step") => step(Path::new(&arguments[1])),
        Some("euid") => euid(),
        Some("overwrite") => overwrite(arguments.get(1).is_some()),
        _ => panic!("usage: launch run|exec|step PLAN [ARGV…]"),
    };
    std::process::exit(code);
}

fn load(path: &Path) -> ContainerPlan {
    let plan: ContainerPlan = serde_json::from_reader(File::open(path).unwrap()).unwrap();
    if let Err(error) = runtime::userns::enter(&plan.paths.run_dir) {
        fail(&error, error.hint(), 125);
    }
    plan
}

fn fail(error: &dyn std::error::Error, hint: Option<String>, code: i32) -> ! {
    eprintln!("{error}");
    let mut cause = error.source();
    while let Some(next) = cause {
        eprintln!("cause: {next}");
        cause = next.source();
    }
    if let Some(hint) = hint {
        eprintln!("hint: {hint}");
    }
    std::process::exit(code)
}

/// Our own streams, as given to us.
fn streams() -> Stdio {
    let copy = |fd: i32| -> OwnedFd {
        File::options()
            .read(true)
            .write(fd != 0)
            .open(format!("/proc/self/fd/{fd}"))
            .map_or_else(
                |_| match fd {
                    0 => rustix::io::dup(rustix::stdio::stdin()).unwrap(),
                    1 => rustix::io::dup(rustix::stdio::stdout()).unwrap(),
                    _ => rustix::io::dup(rustix::stdio::stderr()).unwrap(),
                },
                OwnedFd::from,
            )
    };
    Stdio::Fds {
        stdin: copy(0),
        stdout: copy(1),
        stderr: copy(2),
    }
}

fn stdio(tty: bool) -> Stdio {
    match tty {
        true => Stdio::Terminal {
            rows: 24,
            columns: 80,
        },
        false => streams(),
    }
}

fn run(path: &Path) -> i32 {
    let plan = load(path);
    let started = match launch::start(&plan, stdio(plan.process.tty)) {
        Ok(started) => started,
        Err(error) => fail(&error, error.hint(), error.exit_code()),
    };
    let state = RunState {
        boot_id: runtime::process::boot_id().unwrap(),
        supervisor: runtime::process::this().unwrap(),
        init: runtime::process::of(started.pid).ok(),
        phase: RunPhase::Running,
        started_at: String::new(),
        restarts: 0,
        health: None,
        network: started.ready.clone(),
    };
    let text = serde_json::to_vec(&state).unwrap();
    let half_made = plan.paths.run_dir.join("state.half-made");
    std::fs::write(&half_made, text).unwrap();
    std::fs::rename(half_made, plan.paths.run_dir.join("state.json")).unwrap();
    let code = wait(started.pid, started.terminal);
    launch::clean_up(&plan);
    code
}

fn execute(path: &Path, argv: &[String]) -> i32 {
    let plan = load(path);
    let text = std::fs::read(plan.paths.run_dir.join("state.json")).unwrap();
    let state: RunState = serde_json::from_slice(&text).unwrap();
    let init: ProcessRef = state.init.unwrap();
    let mut process = plan.process.clone();
    process.argv = argv.to_vec();
    let target = exec::ExecTarget {
        init,
        boot_id: &state.boot_id,
        plan: &plan,
    };
    match exec::exec(target, &process, stdio(process.tty)) {
        Ok(child) => wait(child.pid, child.terminal),
        Err(error) => fail(&error, None, error.exit_code()),
    }
}

fn step(path: &Path) -> i32 {
    let plan = load(path);
    let exe = runtime::own_exe::protect().unwrap();
    let child = match runtime::step::spawn(&exe, &plan) {
        Ok(child) => child,
        Err(error) => fail(&error, None, 125),
    };
    let mut output = File::from(child.output.try_clone().unwrap());
    std::io::copy(&mut output, &mut std::io::stdout()).unwrap();
    match child.wait() {
        Ok(code) => code,
        Err(error) => fail(&error, None, 125),
    }
}

fn euid() -> i32 {
    println!("{}", rustix::process::geteuid().as_raw());
    0
}

/// As a protected process, says how the mount of its own program is. (Trying to write
/// would tell nothing: a program that runs is busy anyhow.)
fn overwrite(protected: bool) -> i32 {
    if protected {
        let mount = rustix::fs::statvfs("/proc/self/exe").unwrap().f_flag;
        println!("{}", mount.contains(rustix::fs::StatVfsMountFlags::RDONLY));
        return 0;
    }
    let exe = runtime::own_exe::protect().unwrap();
    let mut child = std::process::Command::new(exe.path());
    child
        .args(["overwrite", "protected"])
        .status()
        .unwrap()
        .code()
        .unwrap()
}

/// Copies what comes from the terminal, if there is one, and waits for the end.
fn wait(pid: i32, terminal: Option<OwnedFd>) -> i32 {
    if let Some(terminal) = terminal {
        // Ends with an error once the other side is closed.
        let _ = std::io::copy(&mut File::from(terminal), &mut std::io::stdout());
    }
    let pid = rustix::process::Pid::from_raw(pid).unwrap();
    let options = rustix::process::WaitOptions::empty();
    let (_, status) = rustix::process::waitpid(Some(pid), options)
        .unwrap()
        .unwrap();
    let code = status.exit_status();
    code.unwrap_or_else(|| 128 + status.terminating_signal().unwrap())
}
