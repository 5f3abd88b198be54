//! Namespaces: leaving, joining and making them.

use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{Mode, OFlags};
use rustix::thread::{ThreadNameSpaceType, UnshareFlags};

use crate::{Error, Result};

/// A kind of namespace, and the name of its file in `/proc/PID/ns`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Control groups.
    Cgroup,
    /// System V and POSIX message queues.
    Ipc,
    /// Mounts.
    Mount,
    /// Network.
    Network,
    /// Process ids.
    Pid,
    /// Users.
    User,
    /// Host names.
    Uts,
}

impl Kind {
    /// The name of its file in `/proc/PID/ns`.
    pub fn file_name(self) -> &'static str {
        match self {
            Self::Cgroup => "cgroup",
            Self::Ipc => "ipc",
            Self::Mount => "mnt",
            Self::Network => "net",
            Self::Pid => "pid",
            Self::User => "user",
            Self::Uts => "uts",
        }
    }

    fn join_flag(self) -> ThreadNameSpaceType {
        match self {
            Self::Cgroup => ThreadNameSpaceType::CONTROL_GROUP,
            Self::Ipc => ThreadNameSpaceType::INTER_PROCESS_COMMUNICATION,
            Self::Mount => ThreadNameSpaceType::MOUNT,
            Self::Network => ThreadNameSpaceType::NETWORK,
            Self::Pid => ThreadNameSpaceType::PROCESS_ID,
            Self::User => ThreadNameSpaceType::USER,
            Self::Uts => ThreadNameSpaceType::HOST_NAME_AND_NIS_DOMAIN_NAME,
        }
    }

    /// For clone3.
    pub(crate) fn clone_flag(self) -> libc::c_int {
        self.unshare_flag().bits().cast_signed()
    }

    fn unshare_flag(self) -> UnshareFlags {
        match self {
            Self::Cgroup => UnshareFlags::NEWCGROUP,
            Self::Ipc => UnshareFlags::NEWIPC,
            Self::Mount => UnshareFlags::NEWNS,
            Self::Network => UnshareFlags::NEWNET,
            Self::Pid => UnshareFlags::NEWPID,
            Self::User => UnshareFlags::NEWUSER,
            Self::Uts => UnshareFlags::NEWUTS,
        }
    }
}

/// Makes new namespaces and moves the calling thread into them (for [`Kind::Pid`]: its
/// future children).
pub fn unshare(kinds: &[Kind]) -> Result<()> {
    let flags = kinds
        .iter()
        .fold(UnshareFlags::empty(), |all, kind| all | kind.unshare_flag());
    // SAFETY: no flag given here unshares the descriptor table, which is what makes the
    // function unsafe.
    unsafe { rustix::thread::unshare_unsafe(flags) }
        .map_err(|errno| Error::new("make a new namespace of kind", names(kinds), errno))
}

/// Makes a mount namespace of the calling process's own: what is mounted or unmounted in
/// it from now on is seen nowhere else. What the host mounts and unmounts is seen in it, so
/// that it keeps no disk of the host's busy.
pub fn private_mounts() -> Result<()> {
    unshare(&[Kind::Mount])?;
    let root = open(Path::new("/"), OFlags::PATH | OFlags::DIRECTORY)?;
    crate::mount::make_slave(root.as_fd(), true)
}

/// Moves the calling thread into namespaces of the process behind a pidfd.
pub fn join_process(pidfd: BorrowedFd<'_>, kinds: &[Kind]) -> Result<()> {
    let empty = ThreadNameSpaceType::empty();
    let flags = kinds.iter().fold(empty, |all, kind| all | kind.join_flag());
    rustix::thread::move_into_thread_name_spaces(pidfd, flags)
        .map_err(|errno| Error::new("join a process's namespaces", names(kinds), errno))
}

/// Moves the calling thread into an open namespace.
pub fn join(namespace: BorrowedFd<'_>, kind: Kind) -> Result<()> {
    // By number: not all kinds have a name in the library's enum of links.
    // SAFETY: setns takes a descriptor and a flag and touches no memory of ours.
    let answer = unsafe { libc::setns(namespace.as_raw_fd(), kind.clone_flag()) };
    match answer {
        0 => Ok(()),
        _ => Err(Error::last("join a namespace of kind", kind.file_name())),
    }
}

/// Opens a namespace of a process.
pub fn open_of(pid: i32, kind: Kind) -> Result<OwnedFd> {
    let path = format!("/proc/{pid}/ns/{}", kind.file_name());
    open(Path::new(&path), OFlags::empty())
}

/// Makes a network namespace and moves the calling thread into it.
pub fn enter_new_network() -> Result<OwnedFd> {
    unshare(&[Kind::Network])?;
    open(Path::new("/proc/thread-self/ns/net"), OFlags::empty())
}

/// Does something among the mounts of the process behind a pidfd, on a short-lived thread:
/// the caller stays where it is.
pub fn among_mounts_of<T: Send>(
    pidfd: BorrowedFd<'_>,
    act: impl FnOnce() -> Result<T> + Send,
) -> Result<T> {
    std::thread::scope(|scope| {
        let worker = std::thread::Builder::new().spawn_scoped(scope, || {
            // The root and working directory move along; they must be the thread's own.
            // SAFETY: the descriptor table stays shared.
            unsafe { rustix::thread::unshare_unsafe(UnshareFlags::FS) }
                .map_err(|errno| Error::new("leave", "the process's directories", errno))?;
            join_process(pidfd, &[Kind::Mount])?;
            act()
        });
        let worker = worker.map_err(|error| Error::new("start", "a thread", error))?;
        worker
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// Raises the loopback interface of the current network namespace.
pub fn raise_loopback() -> Result<()> {
    let socket = std::net::UdpSocket::bind("0.0.0.0:0")
        .map_err(|error| Error::new("make", "a socket", error))?;
    // SAFETY: ifreq is plain bytes and integers, for which all zeroes are valid.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(b"lo\0") {
        *to = *from as libc::c_char;
    }
    let up = libc::IFF_UP | libc::IFF_RUNNING | libc::IFF_LOOPBACK;
    request.ifr_ifru.ifru_flags = i16::try_from(up).expect("interface flags fit 16 bits");
    // SAFETY: SIOCSIFFLAGS reads one ifreq, which lives through the call.
    let answer = unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS, &raw const request) };
    match answer {
        0 => Ok(()),
        _ => Err(Error::last("raise", "the loopback interface")),
    }
}

/// Writes a kernel parameter, by its path below `/proc/sys`; the network ones are those of
/// the calling thread's network namespace.
pub fn write_sysctl(path: &str, value: &str) -> Result<()> {
    use std::io::Write;
    let full = format!("/proc/sys/{path}");
    let written = File::options()
        .write(true)
        .open(&full)
        .and_then(|mut file| {
            // One write: the kernel parses each on its own.
            file.write_all(value.as_bytes())
        });
    written.map_err(|error| Error::new("write", full, error))
}

fn open(path: &Path, flags: OFlags) -> Result<OwnedFd> {
    rustix::fs::open(path, flags | OFlags::CLOEXEC, Mode::empty())
        .map_err(|errno| Error::new("open", path.display().to_string(), errno))
}

fn names(kinds: &[Kind]) -> String {
    let names: Vec<_> = kinds.iter().map(|kind| kind.file_name()).collect();
    names.join(", ")
}
