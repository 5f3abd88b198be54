//! What a kernel can do, asked without doing anything.

use std::path::Path;

use rustix::io::Errno;

use crate::process::{self, Fork};
use crate::{Error, Result, mount, ns, userns};

/// System calls that we need, and whether this kernel has each. One that a filter answers
/// for ("not permitted") counts as present.
pub fn calls() -> Vec<(&'static str, bool)> {
    let null = std::ptr::null::<u8>();
    let has = |number: libc::c_long| {
        // SAFETY: descriptors of -1, null pointers and sizes of 0 are refused by each of
        // these calls before it does anything.
        let answer = unsafe { libc::syscall(number, -1, null, null, 0, 0) };
        answer >= 0 || Errno::from_io_error(&std::io::Error::last_os_error()) != Some(Errno::NOSYS)
    };
    [
        ("openat2", libc::SYS_openat2),
        ("clone3", libc::SYS_clone3),
        ("fsopen", libc::SYS_fsopen),
        ("fsmount", libc::SYS_fsmount),
        ("move_mount", libc::SYS_move_mount),
        ("open_tree", libc::SYS_open_tree),
        ("mount_setattr", libc::SYS_mount_setattr),
        ("pidfd_open", libc::SYS_pidfd_open),
        ("pidfd_send_signal", libc::SYS_pidfd_send_signal),
    ]
    .into_iter()
    .map(|(name, number)| (name, has(number)))
    .chain([("close_range", has_close_range())])
    .collect()
}

fn has_close_range() -> bool {
    // SAFETY: a range that ends before it begins is refused; nothing is closed.
    let answer = unsafe { libc::syscall(libc::SYS_close_range, 2, 1, 0) };
    answer >= 0 || Errno::from_io_error(&std::io::Error::last_os_error()) != Some(Errno::NOSYS)
}

/// Whether the kernel has system call filters.
pub fn filters() -> bool {
    let action = libc::SECCOMP_RET_ERRNO;
    // SAFETY: the kernel reads one number, which lives through the call.
    let answer = unsafe {
        libc::syscall(
            libc::SYS_seccomp,
            libc::SECCOMP_GET_ACTION_AVAIL,
            0,
            &raw const action,
        )
    };
    answer == 0
}

/// Whether the clock is kept in step by somebody; `None` where the kernel does not tell.
pub fn clock_is_synchronised() -> Option<bool> {
    // SAFETY: timex is plain integers, for which all zeroes are valid: a question.
    let mut time: libc::timex = unsafe { std::mem::zeroed() };
    // SAFETY: the structure lives through the call, which fills it.
    let state = unsafe { libc::adjtimex(&raw mut time) };
    (state >= 0).then_some(state != libc::TIME_ERROR)
}

/// How far a plain user gets, as words of what failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reach {
    /// An overlay was mounted.
    Overlay,
    /// A namespace was made; the overlay failed.
    Namespace(String),
    /// Not even that.
    Nothing(String),
}

/// Tries in a child to make namespaces and to mount an overlay of directories `lower`,
/// `upper`, `work` in `directory`. Only for a process with one thread. `make_user` is
/// whether it takes a user namespace first.
pub fn reach(directory: &Path, make_user: bool) -> Result<Reach> {
    let (answer, tell) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)
        .map_err(|errno| Error::new("make", "a pipe", errno))?;
    let pid = match process::fork()? {
        Fork::Child => {
            drop(answer);
            let text = match attempt(directory, make_user) {
                Reach::Overlay => "o".to_owned(),
                Reach::Namespace(why) => format!("n{why}"),
                Reach::Nothing(why) => format!("x{why}"),
            };
            let _ = rustix::io::write(&tell, text.as_bytes());
            process::exit_now(0)
        }
        Fork::Parent(pid) => pid,
    };
    drop(tell);
    let mut text = String::new();
    let read = std::io::Read::read_to_string(&mut std::fs::File::from(answer), &mut text);
    let _ = rustix::process::waitpid(
        rustix::process::Pid::from_raw(pid),
        rustix::process::WaitOptions::empty(),
    );
    read.map_err(|error| Error::new("hear from", "a child", error))?;
    Ok(match text.split_at_checked(1) {
        Some(("o", _)) => Reach::Overlay,
        Some(("n", why)) => Reach::Namespace(why.to_owned()),
        Some((_, why)) => Reach::Nothing(why.to_owned()),
        None => Reach::Nothing("the attempt was cut short".to_owned()),
    })
}

fn attempt(directory: &Path, make_user: bool) -> Reach {
    let words = |error: Error| format!("{error}: {}", error.source);
    let (uid, gid) = (rustix::process::getuid(), rustix::process::getgid());
    let entered = || -> Result<()> {
        if make_user {
            userns::unshare()?;
            userns::map_one(0, uid.as_raw(), gid.as_raw())?;
        }
        ns::private_mounts()
    };
    if let Err(error) = entered() {
        return Reach::Nothing(words(error));
    }
    let (lower, upper) = ([directory.join("lower")], directory.join("upper"));
    let work = directory.join("work");
    let plan = mount::Overlay {
        lower: &lower,
        upper: Some((&upper, &work)),
        volatile: false,
    };
    match mount::overlay(plan, mount::Attributes::default()) {
        Ok(_) => Reach::Overlay,
        Err(error) => Reach::Namespace(words(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_kernel_has_what_these_tests_need() {
        let absent: Vec<_> = calls().into_iter().filter(|(_, there)| !there).collect();
        assert_eq!(absent, []);
        assert!(filters());
        let directory = tempfile::tempdir().unwrap();
        for name in ["lower", "upper", "work"] {
            std::fs::create_dir(directory.path().join(name)).unwrap();
        }
        let root = rustix::process::getuid().is_root();
        assert_eq!(reach(directory.path(), !root).unwrap(), Reach::Overlay);
        let absent = directory.path().join("absent");
        let found = reach(&absent, !root).unwrap();
        assert!(
            matches!(&found, Reach::Namespace(why) if why.contains("overlay")),
            "{found:?}"
        );
    }
}
