//! Making a user namespace and its mapping.
//!
//! The kernel lets a user map only itself; more needs `newuidmap` and `newgidmap`, which
//! must run outside the namespace. So a helper is forked first and stays behind: once we
//! are inside it starts both, side by side, and tells how it went.

use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use rustix::io::Errno;
use rustix::process::{Pid, WaitOptions};
use sys::process::Fork;
use sys::userns::Range;

use super::EnterError;

const DIRECTORIES: [&str; 5] = [
    "/usr/bin",
    "/bin",
    "/usr/local/bin",
    "/usr/sbin",
    "/run/wrappers/bin",
];

/// One of the two mapping programs, and what it is to map.
struct Mapper {
    program: &'static str,
    path: String,
    own: u32,
    range: Range,
}

/// Moves the calling process into a new user namespace: 0 is the user, 1 and up its
/// subordinate range. Where there is no such range, 0 is all.
pub(super) fn make(uid: u32, gid: u32) -> Result<(), EnterError> {
    let user = user_name(uid);
    match mappers(&user, uid, gid) {
        Ok(mappers) => make_with(&mappers, user),
        Err(_) => {
            sys::userns::unshare().map_err(|error| refused(user, error))?;
            Ok(sys::userns::map_one(0, uid, gid)?)
        }
    }
}

/// Why a user has no more than one id.
pub(super) fn shortage(uid: u32, gid: u32) -> Option<EnterError> {
    mappers(&user_name(uid), uid, gid).err()
}

fn user_name(uid: u32) -> String {
    let passwd = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    sys::userns::user_name(&passwd, uid).map_or(uid.to_string(), str::to_owned)
}

fn mappers(user: &str, uid: u32, gid: u32) -> Result<[Mapper; 2], EnterError> {
    Ok([
        mapper("newuidmap", "/etc/subuid", user, uid, uid)?,
        mapper("newgidmap", "/etc/subgid", user, uid, gid)?,
    ])
}

fn make_with(mappers: &[Mapper; 2], user: String) -> Result<(), EnterError> {
    let helper = Helper::fork(mappers)?;
    if let Err(error) = sys::userns::unshare() {
        helper.cancel();
        return Err(refused(user, error));
    }
    helper.map()
}

fn mapper(
    program: &'static str,
    file: &'static str,
    user: &str,
    uid: u32,
    own: u32,
) -> Result<Mapper, EnterError> {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    let no_range = || EnterError::NoRange {
        user: user.to_owned(),
        file,
        free: sys::userns::first_free(&text),
    };
    let range = sys::userns::find_range(&text, user, uid).ok_or_else(no_range)?;
    let paths = DIRECTORIES
        .iter()
        .map(|directory| format!("{directory}/{program}"));
    let path = paths.into_iter().find(|path| Path::new(path).exists());
    let path = path.ok_or(EnterError::NoMapper { program })?;
    Ok(Mapper {
        program,
        path,
        own,
        range,
    })
}

/// The process that stays outside.
struct Helper {
    pid: Pid,
    go: OwnedFd,
    answer: OwnedFd,
}

impl Helper {
    fn fork(mappers: &[Mapper; 2]) -> sys::Result<Self> {
        let pipe = || {
            rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)
                .map_err(|errno| sys::Error::new("make", "a pipe", errno))
        };
        let ((wait, go), (answer, tell)) = (pipe()?, pipe()?);
        let target = std::process::id();
        match sys::process::fork()? {
            Fork::Child => {
                drop((go, answer));
                help(mappers, target, wait, tell);
                sys::process::exit_now(0)
            }
            Fork::Parent(pid) => {
                let pid = Pid::from_raw(pid).expect("a child's number is positive");
                Ok(Self { pid, go, answer })
            }
        }
    }

    /// Lets it go without mapping anything.
    fn cancel(self) {
        drop(self.go);
        let _ = rustix::process::waitpid(Some(self.pid), WaitOptions::empty());
    }

    /// We are inside now.
    fn map(self) -> Result<(), EnterError> {
        let fail = |error| sys::Error::new("hear from", "the mapping helper", error);
        std::fs::File::from(self.go).write_all(b"g").map_err(fail)?;
        let mut answer = String::new();
        std::fs::File::from(self.answer)
            .read_to_string(&mut answer)
            .map_err(fail)?;
        let _ = rustix::process::waitpid(Some(self.pid), WaitOptions::empty());
        match answer.split_once('\n') {
            Some(("ok", _)) => Ok(()),
            Some((program, message)) => {
                let program = if program == "newgidmap" {
                    "newgidmap"
                } else {
                    "newuidmap"
                };
                let message = message.trim().to_owned();
                Err(EnterError::Mapper { program, message })
            }
            None => Err(fail(std::io::ErrorKind::UnexpectedEof.into()).into()),
        }
    }
}

/// What the helper does.
fn help(mappers: &[Mapper; 2], target: u32, wait: OwnedFd, tell: OwnedFd) {
    let mut go = [0];
    if !matches!(std::fs::File::from(wait).read(&mut go), Ok(1)) {
        return;
    }
    let answer = match run(mappers, target) {
        Ok(()) => "ok\n".to_owned(),
        Err((program, message)) => format!("{program}\n{message}"),
    };
    let _ = std::fs::File::from(tell).write_all(answer.as_bytes());
}

fn run(mappers: &[Mapper; 2], target: u32) -> Result<(), (&'static str, String)> {
    let started = mappers
        .each_ref()
        .map(|mapper| (mapper.program, mapper.start(target)));
    for (program, child) in started {
        let output = child.and_then(Child::wait_with_output);
        let output = output.map_err(|error| (program, error.to_string()))?;
        if !output.status.success() {
            return Err((
                program,
                String::from_utf8_lossy(&output.stderr).into_owned(),
            ));
        }
    }
    Ok(())
}

impl Mapper {
    fn start(&self, target: u32) -> std::io::Result<Child> {
        let numbers = [
            target,
            0,
            self.own,
            1,
            1,
            self.range.first,
            self.range.count,
        ];
        Command::new(&self.path)
            .args(numbers.map(|number| number.to_string()))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
    }
}

/// Says which of the usual switches is off.
fn refused(user: String, source: sys::Error) -> EnterError {
    let is = |path: &str, value: &str| {
        sys::process::read_proc(path).is_ok_and(|text| text.trim() == value)
    };
    let remedy = if is("sys/kernel/unprivileged_userns_clone", "0") {
        "run `sysctl -w kernel.unprivileged_userns_clone=1` as root"
    } else if is("sys/user/max_user_namespaces", "0") || source.errno() == Some(Errno::NOSPC) {
        "run `sysctl -w user.max_user_namespaces=15000` as root"
    } else if is("sys/kernel/apparmor_restrict_unprivileged_userns", "1") {
        "run `sysctl -w kernel.apparmor_restrict_unprivileged_userns=0` as root"
    } else {
        "run shim as root, or outside the sandbox or container that forbids them"
    };
    EnterError::Refused {
        user,
        remedy: remedy.to_owned(),
        source,
    }
}
