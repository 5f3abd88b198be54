//! Processes: forks, descriptors of processes, death signals, sealed copies of programs.

use std::ffi::{CStr, CString};
use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::path::Path;

use rustix::fs::{MemfdFlags, SealFlags};
use rustix::io::Errno;
use rustix::process::{DumpableBehavior, Pid, PidfdFlags, Signal};

use crate::ns::Kind;
use crate::{Error, Result};

/// Which side of a fork this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fork {
    /// The caller; the child's number.
    Parent(i32),
    /// The new process.
    Child,
}

/// Reads a small text file of procfs, by its path below `/proc`.
pub fn read_proc(path: &str) -> Result<String> {
    let full = format!("/proc/{path}");
    std::fs::read_to_string(&full).map_err(|error| Error::new("read", full, error))
}

/// When a process started, in clock ticks since boot: field 22 of its `stat`.
pub fn start_time(pid: i32) -> Result<u64> {
    let text = read_proc(&format!("{pid}/stat"))?;
    parse_start_time(&text).ok_or_else(|| {
        Error::new(
            "read the start time in",
            format!("/proc/{pid}/stat"),
            Errno::INVAL,
        )
    })
}

/// The program's name stands in parentheses and may itself hold any character, so the
/// fields are counted from the last closing one.
fn parse_start_time(stat: &str) -> Option<u64> {
    let (_, rest) = stat.rsplit_once(')')?;
    rest.split_ascii_whitespace().nth(19)?.parse().ok()
}

/// Opens a process; `None` when there is no such process.
pub fn pidfd_open(pid: i32) -> Result<Option<OwnedFd>> {
    let fail = |errno| Error::new("open process", pid.to_string(), errno);
    let Some(number) = Pid::from_raw(pid).filter(|_| pid > 0) else {
        return Ok(None);
    };
    match rustix::process::pidfd_open(number, PidfdFlags::empty()) {
        Ok(fd) => Ok(Some(fd)),
        Err(Errno::SRCH) => Ok(None),
        Err(errno) => Err(fail(errno)),
    }
}

/// Makes the calling process the parent of its descendants whose own parents end.
pub fn adopt_orphans() -> Result<()> {
    rustix::process::set_child_subreaper(Some(rustix::process::getpid()))
        .map_err(|errno| Error::new("become", "the parent of orphans", errno))
}

/// The children of the calling process's only thread.
pub fn children() -> Result<Vec<i32>> {
    let text = read_proc("thread-self/children")?;
    Ok(text
        .split_ascii_whitespace()
        .filter_map(|number| number.parse().ok())
        .collect())
}

/// Sends a signal; `false` when the process has ended.
pub fn pidfd_signal(pidfd: impl AsFd, signal: i32) -> Result<bool> {
    let fd = pidfd.as_fd().as_raw_fd();
    let info = std::ptr::null::<libc::siginfo_t>();
    // SAFETY: a null siginfo is allowed and means what kill(2) would send. Done by hand
    // because the number may be a real-time signal, which has no name.
    let answer = unsafe { libc::syscall(libc::SYS_pidfd_send_signal, fd, signal, info, 0) };
    match (
        answer,
        Errno::from_io_error(&std::io::Error::last_os_error()),
    ) {
        (0, _) => Ok(true),
        (_, Some(Errno::SRCH)) => Ok(false),
        _ => Err(Error::last("send", format!("signal {signal}"))),
    }
}

/// Forks. Only for a process with one thread, where the child may do what it likes.
pub fn fork() -> Result<Fork> {
    clone(0)
}

/// Forks a process whose parent is the caller's parent.
pub fn fork_sibling() -> Result<Fork> {
    clone(libc::CLONE_PARENT)
}

fn clone(flags: libc::c_int) -> Result<Fork> {
    // SAFETY: without CLONE_VM and with a null stack this is a fork: the child has its own
    // copy of all memory. Callers have one thread, so no lock is held by another.
    let answer = unsafe {
        libc::syscall(
            libc::SYS_clone,
            flags | libc::SIGCHLD,
            std::ptr::null::<u8>(),
            0,
            0,
            0,
        )
    };
    match answer {
        0 => Ok(Fork::Child),
        pid if pid > 0 => Ok(Fork::Parent(i32::try_from(pid).expect("pids fit i32"))),
        _ => Err(Error::last("fork", "this process")),
    }
}

/// linux/sched.h; the C library's constant has too small a type.
const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

/// Which side of [`fork_into`] this is.
#[derive(Debug)]
pub enum Birth {
    /// The caller: the child's number and a descriptor of it.
    Parent(i32, OwnedFd),
    /// The new process.
    Child,
}

/// Forks a process that is born in new namespaces and, with a descriptor of a directory of
/// control groups version 2, in that group: moving there later would wait for an RCU period.
/// Only for a process with one thread.
pub fn fork_into(kinds: &[Kind], cgroup: Option<BorrowedFd<'_>>) -> Result<Birth> {
    let mut pidfd: libc::c_int = -1;
    // SAFETY: clone_args is plain integers, for which all zeroes are valid.
    let mut arguments: libc::clone_args = unsafe { std::mem::zeroed() };
    let flags = kinds
        .iter()
        .fold(libc::CLONE_PIDFD, |all, k| all | k.clone_flag());
    arguments.flags = u64::from(flags.cast_unsigned());
    arguments.pidfd = (&raw mut pidfd).expose_provenance() as u64;
    arguments.exit_signal = libc::SIGCHLD as u64;
    if let Some(cgroup) = cgroup {
        arguments.flags |= CLONE_INTO_CGROUP;
        arguments.cgroup = u64::from(cgroup.as_raw_fd().cast_unsigned());
    }
    // SAFETY: without CLONE_VM and with a null stack this is a fork, as in `clone`. The
    // structure and the number it points to live through the call.
    let answer = unsafe {
        libc::syscall(
            libc::SYS_clone3,
            &raw const arguments,
            size_of::<libc::clone_args>(),
        )
    };
    match answer {
        0 => Ok(Birth::Child),
        pid if pid > 0 => {
            // SAFETY: the kernel has just opened it for us.
            let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
            let pid = i32::try_from(pid).expect("pids fit i32");
            Ok(Birth::Parent(pid, pidfd))
        }
        _ => Err(Error::last("fork", "the container's first process")),
    }
}

/// Ends the calling process at once, without running destructors.
pub fn exit_now(code: i32) -> ! {
    // SAFETY: takes no pointers and does not return.
    unsafe { libc::_exit(code) }
}

/// Has the kernel send a signal to the calling process when its parent's thread ends.
pub fn set_parent_death_signal(signal: i32) -> Result<()> {
    let fail = |errno| Error::new("set", "the parent-death signal", errno);
    let signal = Signal::from_named_raw(signal).ok_or_else(|| fail(Errno::INVAL))?;
    rustix::process::set_parent_process_death_signal(Some(signal)).map_err(fail)
}

/// Keeps other processes of the same user from looking into this one until it executes a
/// program: one that enters a container is otherwise open to those inside.
pub fn forbid_inspection() -> Result<()> {
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable)
        .map_err(|errno| Error::new("make undumpable", "this process", errno))
}

/// Closes every descriptor above 2 but those kept, for a process that goes on to execute a
/// program: until then a path like `/proc/self/fd/7/..` would lead to whatever is open.
///
/// # Errors
/// The kernel's answer; some may be closed then.
///
/// # Panics
/// Never, but the caller must not use anything that it still holds besides those kept: its
/// destructors must not run either, so it ends by execve or [`exit_now`].
pub fn close_all_but(kept: &[BorrowedFd<'_>]) -> Result<()> {
    let mut kept: Vec<u32> = kept
        .iter()
        .filter_map(|fd| u32::try_from(fd.as_raw_fd()).ok())
        .filter(|number| *number > 2)
        .collect();
    kept.sort_unstable();
    let mut first = 3;
    for number in kept.into_iter().chain([u32::MAX]) {
        if number > first {
            // SAFETY: takes no pointers. By the contract of this function nobody uses what
            // is closed.
            let answer = unsafe { libc::syscall(libc::SYS_close_range, first, number - 1, 0) };
            if answer != 0 {
                return Err(Error::last("close", format!("descriptors from {first}")));
            }
        }
        first = number.saturating_add(1);
    }
    Ok(())
}

/// Changes to a directory as a path of the calling process's root. No magic link of procfs
/// is followed: it could lead out.
pub fn change_directory(path: &str) -> Result<()> {
    use rustix::fs::{CWD, Mode, OFlags, ResolveFlags};
    let fail = |errno| Error::new("change directory to", path, errno);
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = rustix::fs::openat(CWD, "/", flags, Mode::empty()).map_err(fail)?;
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    let directory = loop {
        match rustix::fs::openat2(&root, path, flags, Mode::empty(), resolve) {
            Err(Errno::AGAIN | Errno::INTR) => {}
            other => break other.map_err(fail)?,
        }
    };
    rustix::process::fchdir(directory).map_err(fail)
}

/// Closes every descriptor from `first` on when the process executes a program.
pub fn close_on_exec_from(first: u32) -> Result<()> {
    // SAFETY: takes no pointers; marking descriptors close-on-exec closes none now.
    let answer = unsafe {
        libc::syscall(
            libc::SYS_close_range,
            first,
            u32::MAX,
            libc::CLOSE_RANGE_CLOEXEC,
        )
    };
    match answer {
        0 => Ok(()),
        _ => Err(Error::last(
            "mark descriptors",
            format!("from {first} close-on-exec"),
        )),
    }
}

/// Gives every signal its default meaning again and blocks none: what a program ignores or
/// blocks, it passes on to what it executes.
pub fn reset_signals() -> Result<()> {
    // SAFETY: a sigset_t is plain integers, for which all zeroes are valid.
    let mut none: libc::sigset_t = unsafe { std::mem::zeroed() };
    // The kernel's structure: handler, flags, restorer, mask; all zeroes is the default.
    let default = [0usize; 4];
    // SAFETY: signals of default action run no code of ours; SIGKILL and SIGSTOP refuse,
    // which is harmless. By hand, because the C library hides two numbers that it uses
    // itself, and those may be ignored by whoever started us. Both sets live through the
    // calls, and the mask is filled in before it is used.
    let answer = unsafe {
        for signal in 1..=64 {
            let old = std::ptr::null_mut::<usize>();
            libc::syscall(libc::SYS_rt_sigaction, signal, default.as_ptr(), old, 8);
        }
        libc::sigemptyset(&raw mut none);
        libc::sigprocmask(libc::SIG_SETMASK, &raw const none, std::ptr::null_mut())
    };
    match answer {
        0 => Ok(()),
        _ => Err(Error::last("unblock", "all signals")),
    }
}

/// Lets go of the pages of our own program's code and constants. What is used again comes
/// back from the page cache, a window at a time; what only the start needed does not.
pub fn release_program_pages() -> Result<()> {
    for (start, length) in unwritten_ranges(&read_proc("self/maps")?) {
        // SAFETY: these are private mappings of a file that were never writable, so a page
        // read again has the same content, and nobody can tell that it was gone.
        let answer = unsafe {
            libc::madvise(
                std::ptr::without_provenance_mut(start),
                length,
                libc::MADV_DONTNEED,
            )
        };
        if answer != 0 {
            return Err(Error::last("release", "pages of our program"));
        }
    }
    Ok(())
}

/// Start and length of the program's constants and code: its first mappings, up to the
/// executable one. Later ones that look the same have been written to by the loader.
fn unwritten_ranges(maps: &str) -> Vec<(usize, usize)> {
    let mut ranges = Vec::new();
    let mut program = None;
    for line in maps.lines() {
        let fields: Vec<_> = line.split_ascii_whitespace().take(5).collect();
        let [addresses, mode, _, _, inode] = fields[..] else {
            break;
        };
        let Some((start, end)) = addresses.split_once('-') else {
            break;
        };
        let number = |text| usize::from_str_radix(text, 16).unwrap_or(0);
        let same = *program.get_or_insert(inode) == inode && inode != "0";
        if !same || !matches!(mode, "r--p" | "r-xp") {
            break;
        }
        ranges.push((number(start), number(end).saturating_sub(number(start))));
        if mode == "r-xp" {
            return ranges;
        }
    }
    Vec::new()
}

/// The form in which the kernel takes a list: pointers, the last one null.
fn pointers(list: &[CString]) -> Vec<*const libc::c_char> {
    let texts = list.iter().map(|text| text.as_ptr());
    texts.chain([std::ptr::null()]).collect()
}

/// Executes an open program in place of this one; returns only the reason why not.
pub fn execute_open(program: BorrowedFd<'_>, argv: &[CString], env: &[CString]) -> Errno {
    let (argv, env) = (pointers(argv), pointers(env));
    // SAFETY: as in `execve`; the empty path is a constant.
    unsafe {
        libc::syscall(
            libc::SYS_execveat,
            program.as_raw_fd(),
            c"".as_ptr(),
            argv.as_ptr(),
            env.as_ptr(),
            libc::AT_EMPTY_PATH,
        )
    };
    Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::INVAL)
}

/// Executes a program in place of this one; returns only the reason why not.
pub fn execve(program: &CStr, argv: &[CString], env: &[CString]) -> Errno {
    let (argv, env) = (pointers(argv), pointers(env));
    // SAFETY: both arrays end with a null pointer and point to NUL-terminated strings that
    // outlive the call.
    unsafe { libc::execve(program.as_ptr(), argv.as_ptr(), env.as_ptr()) };
    Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::INVAL)
}

/// A sealed copy of a file in memory: nobody can change it any more.
pub fn sealed_copy(path: impl AsRef<Path>, name: &str) -> Result<OwnedFd> {
    let shown = path.as_ref().display().to_string();
    let fail = |error: std::io::Error| Error::new("copy to memory", shown.clone(), error);
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let mut copy = File::from(rustix::fs::memfd_create(name, flags).map_err(|e| fail(e.into()))?);
    let mut source = File::open(path.as_ref()).map_err(fail)?;
    std::io::copy(&mut source, &mut copy).map_err(fail)?;
    seal(&copy)?;
    Ok(copy.into())
}

/// A sealed file in memory with these bytes.
pub fn sealed_bytes(bytes: &[u8], name: &str) -> Result<OwnedFd> {
    use std::io::{Seek, Write};
    let fail = |error: std::io::Error| Error::new("make a memory file of", name, error);
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let mut file = File::from(rustix::fs::memfd_create(name, flags).map_err(|e| fail(e.into()))?);
    file.write_all(bytes).map_err(fail)?;
    file.rewind().map_err(fail)?;
    seal(&file)?;
    Ok(file.into())
}

fn seal(file: &File) -> Result<()> {
    let seals = SealFlags::SEAL | SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE;
    rustix::fs::fcntl_add_seals(file, seals).map_err(|e| Error::new("seal", "a memory file", e))
}

/// Closes every descriptor above 2 that we were executed with, except `kept`. Those that
/// this process opened itself are close-on-exec, which tells them apart.
pub fn close_inherited(kept: &[i32]) -> Result<()> {
    const LIST: &str = "/proc/self/fd";
    let fail = |error: std::io::Error| Error::new("list", LIST, error);
    for entry in std::fs::read_dir(LIST).map_err(fail)? {
        let name = entry.map_err(fail)?.file_name();
        let Some(number) = name.to_str().and_then(|name| name.parse::<i32>().ok()) else {
            continue;
        };
        // SAFETY: asks for flags only; a number that is not open is an error.
        let flags = unsafe { libc::fcntl(number, libc::F_GETFD) };
        if number > 2 && !kept.contains(&number) && flags >= 0 && flags & libc::FD_CLOEXEC == 0 {
            // SAFETY: without close-on-exec it came through exec, and whoever was told of it
            // has named it in `kept`; so nobody in this process owns it.
            unsafe { libc::close(number) };
        }
    }
    Ok(())
}

/// Takes ownership of a descriptor that we were executed with, and marks it close-on-exec.
/// The caller vouches that nothing else in this process owns that number.
pub fn inherited(number: i32) -> Result<OwnedFd> {
    // SAFETY: the descriptor is checked to be open by fcntl below before it is used; by the
    // contract of this function nobody else owns it.
    let fd = unsafe {
        if libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC) != 0 {
            return Err(Error::last("take over", format!("descriptor {number}")));
        }
        OwnedFd::from_raw_fd(number)
    };
    Ok(fd)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn start_time_of_a_program_with_a_hostile_name() {
        let stat = "42 (a) b) R 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 9871 20";
        assert_eq!(parse_start_time(stat), Some(9871));
        assert_eq!(parse_start_time("42 (a"), None);
        let own = std::process::id() as i32;
        assert_eq!(start_time(own).unwrap(), start_time(own).unwrap());
    }

    #[test]
    fn a_sealed_copy_cannot_be_written() {
        use std::io::Write;
        let fd = sealed_bytes(b"abc", "test").unwrap();
        assert!(File::from(fd).write_all(b"x").is_err());
    }

    #[test]
    fn only_what_was_never_written_is_let_go() {
        let maps = "00200000-00300000 r--p 00000000 fe:00 567  /shim\n\
                    00300000-00400000 r-xp 00100000 fe:00 567  /shim\n\
                    00400000-00404000 r--p 00200000 fe:00 567  /shim\n\
                    00404000-00408000 rw-p 00204000 fe:00 567  /shim\n";
        let both = vec![(0x20_0000, 0x10_0000), (0x30_0000, 0x10_0000)];
        assert_eq!(unwritten_ranges(maps), both);
        assert_eq!(unwritten_ranges(&maps.replace("r-xp", "rwxp")), []);
        assert_eq!(unwritten_ranges(""), []);
        release_program_pages().unwrap();
    }

    #[test]
    fn a_fork_ends_with_its_code() {
        let Fork::Parent(pid) = fork().unwrap() else {
            exit_now(7)
        };
        let pid = Pid::from_raw(pid).unwrap();
        let (_, status) =
            rustix::process::waitpid(Some(pid), rustix::process::WaitOptions::empty())
                .unwrap()
                .unwrap();
        assert_eq!(status.exit_status(), Some(7));
    }
}
