//! A step where neither mounts nor namespaces can be had, as inside another container.
//!
//! What is left is a change of root, into a copy of the layers that the caller has made.
//! The step shares processes, network and users with whoever runs us; its files are its
//! own. What an ordinary step has mounted is put into the copy as files and taken out
//! again ([`places`]).

mod places;

use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use model::ContainerPlan;
use rustix::process::{Pid, WaitOptions};
use sys::caps::{self, Set};
use sys::fs::{DirFd, OFlags};
use sys::process::Fork;

use super::{StepError, close_stdout, die_with_parent, pipe, read_plan, wait};
use crate::identity::{self, User};
use crate::program::{Failure, Program};
use places::Places;

pub use places::not_of_the_step;

const SIGKILL: i32 = 9;

/// Of `/etc/passwd` and `/etc/group`; more is not read.
const SMALL_FILE: u64 = 1 << 20;

/// Where the caller puts the copy of the layers.
pub fn tree(plan: &ContainerPlan) -> PathBuf {
    plan.rootfs.work.join("tree")
}

/// What the child does.
pub(super) fn run() -> Result<i32, StepError> {
    die_with_parent()?;
    let plan = read_plan()?;
    let root = DirFd::open(&tree(&plan))?;
    let places = Places::put(&root, &plan)?;
    let code = execute(&plan, &root);
    // Even after a failure: caches must get back to where they belong.
    places.take_out()?;
    code
}

fn execute(plan: &ContainerPlan, root: &DirFd) -> Result<i32, StepError> {
    let start = |message: String, code| StepError::Start {
        message,
        hint: None,
        code,
    };
    let read = |path: &str| small_file(root, path).unwrap_or_default();
    let user = identity::resolve_in(&read("etc/passwd"), &read("etc/group"), &plan.process.user)
        .map_err(|error| start(error.to_string(), 125))?;
    let program = Program::new(&plan.process, &user.home)
        .map_err(|error| start(error.to_string(), error.exit_code()))?;
    let names = plan.process.capabilities.iter().map(String::as_str);
    let asked =
        Set::from_names(names).map_err(|name| start(format!("unknown capability {name}"), 125))?;
    let inside = Inside {
        root,
        cwd: &plan.process.cwd,
        user: &user,
        bounding: asked.intersection(caps::permitted()?),
        program: &program,
    };
    sys::process::adopt_orphans()?;
    let (listener, report) = pipe()?;
    let pid = match sys::process::fork()? {
        Fork::Child => {
            drop(listener);
            inside.run(&report)
        }
        Fork::Parent(pid) => pid,
    };
    drop(report);
    // The step's output must end when the step does, not when we do.
    close_stdout()?;
    let failure = Failure::receive(listener);
    let code = wait(pid);
    end_others();
    match failure {
        None => code,
        Some(Failure::Program(error)) => Err(start(error.to_string(), error.exit_code())),
        Some(Failure::Other(message)) => Err(start(message, 125)),
    }
}

/// What the new process needs.
struct Inside<'a> {
    root: &'a DirFd,
    cwd: &'a str,
    user: &'a User,
    bounding: Set,
    program: &'a Program,
}

impl Inside<'_> {
    fn run(&self, report: &OwnedFd) -> ! {
        let failure = match self.prepare() {
            Ok(()) => Failure::Program(self.program.execute()),
            Err(error) => Failure::Other(format!("{error}: {}", error.source)),
        };
        failure.send(report);
        sys::process::exit_now(125)
    }

    fn prepare(&self) -> sys::Result<()> {
        let fail = |act, object: &str| {
            let object = object.to_owned();
            move |errno| sys::Error::new(act, object, errno)
        };
        rustix::process::setsid().map_err(fail("begin", "a session"))?;
        let nothing =
            File::open("/dev/null").map_err(|error| sys::Error::new("open", "/dev/null", error))?;
        rustix::stdio::dup2_stdin(nothing.as_fd()).map_err(fail("set up", "standard input"))?;
        rustix::stdio::dup2_stderr(rustix::stdio::stdout())
            .map_err(fail("set up", "standard error"))?;
        rustix::process::fchdir(self.root).map_err(fail("enter", "the step's root"))?;
        rustix::process::chroot(".").map_err(fail("change", "the root directory"))?;
        rustix::process::chdir(self.cwd).map_err(fail("change directory to", self.cwd))?;
        sys::process::close_on_exec_from(3)?;
        rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o022));
        caps::clear_ambient()?;
        caps::limit_bounding(self.bounding)?;
        let user = self.user;
        let wanted = if user.uid == 0 {
            self.bounding
        } else {
            Set::EMPTY
        };
        caps::become_user(user.uid, user.gid, &user.groups, wanted)?;
        sys::process::set_parent_death_signal(SIGKILL)?;
        sys::process::reset_signals()
    }
}

/// Ends what the step has left running: without a namespace of its own it would go on.
fn end_others() {
    // Each round ends the children there are; theirs are then ours.
    loop {
        let children = sys::process::children().unwrap_or_default();
        if children.is_empty() {
            return;
        }
        for child in children {
            if let Ok(Some(pidfd)) = sys::process::pidfd_open(child) {
                let _ = sys::process::pidfd_signal(&pidfd, SIGKILL);
            }
            let _ = rustix::process::waitpid(Pid::from_raw(child), WaitOptions::empty());
        }
    }
}

fn small_file(root: &DirFd, path: &str) -> Option<String> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK;
    let file = root.open_in_root(Path::new(path), flags).ok()?;
    if !file.metadata().ok()?.is_file() {
        return None;
    }
    let mut bytes = Vec::new();
    file.take(SMALL_FILE).read_to_end(&mut bytes).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}
