//! Unix sockets that keep packet boundaries and carry descriptors.
//!
//! All sockets here are `SOCK_SEQPACKET` and close-on-exec. One packet is one message;
//! a packet that does not fit its buffer is an error, never a shortened message.

use std::ffi::OsStr;
use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags,
    SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketAddrUnix, SocketFlags, SocketType,
};

use crate::{Error, Result};

/// Most descriptors that one packet may carry.
pub const MAX_FDS: usize = 16;

/// One received message.
#[derive(Debug)]
pub struct Packet {
    /// What was said.
    pub bytes: Vec<u8>,
    /// The descriptors that came along, close-on-exec.
    pub fds: Vec<OwnedFd>,
}

/// Who is at the other end of a connection, as the kernel recorded it at connect time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer {
    /// Process id in our pid namespace; 0 when it has none there.
    pub pid: i32,
    /// User id in our user namespace.
    pub uid: u32,
    /// Group id in our user namespace.
    pub gid: u32,
}

/// Listens on a new socket file. The file must not exist.
pub fn listen(path: &Path, backlog: i32) -> Result<OwnedFd> {
    let fail = |errno: Errno| Error::new("listen on", path.display().to_string(), errno);
    let socket = seqpacket(SocketFlags::empty()).map_err(fail)?;
    let (address, _directory) = address_of(path)?;
    rustix::net::bind(&socket, &address).map_err(fail)?;
    rustix::net::listen(&socket, backlog).map_err(fail)?;
    Ok(socket)
}

/// Connects to a socket file.
pub fn connect(path: &Path) -> Result<OwnedFd> {
    let fail = |errno: Errno| Error::new("connect to", path.display().to_string(), errno);
    let socket = seqpacket(SocketFlags::empty()).map_err(fail)?;
    let (address, _directory) = address_of(path)?;
    rustix::net::connect(&socket, &address).map_err(fail)?;
    Ok(socket)
}

/// Takes the next connection. The new socket blocks whatever the listener does.
pub fn accept(listener: impl AsFd) -> Result<OwnedFd> {
    rustix::io::retry_on_intr(|| rustix::net::accept_with(&listener, SocketFlags::CLOEXEC))
        .map_err(|errno| Error::new("accept a connection on", "a unix socket", errno))
}

/// Two sockets connected to each other.
pub fn pair() -> Result<(OwnedFd, OwnedFd)> {
    let kind = SocketType::SEQPACKET;
    rustix::net::socketpair(AddressFamily::UNIX, kind, SocketFlags::CLOEXEC, None)
        .map_err(|errno| Error::new("make", "a pair of unix sockets", errno))
}

/// Sends one packet, never empty (an empty one would look like the end), with descriptors.
pub fn send(socket: impl AsFd, bytes: &[u8], fds: &[BorrowedFd<'_>]) -> Result<()> {
    let fail = |errno: Errno| Error::new("send a packet to", "a unix socket", errno);
    if bytes.is_empty() || fds.len() > MAX_FDS {
        return Err(fail(Errno::INVAL));
    }
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_FDS))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !fds.is_empty() && !control.push(SendAncillaryMessage::ScmRights(fds)) {
        return Err(fail(Errno::INVAL));
    }
    let parts = [IoSlice::new(bytes)];
    let sent = rustix::io::retry_on_intr(|| {
        rustix::net::sendmsg(&socket, &parts, &mut control, SendFlags::NOSIGNAL)
    })
    .map_err(fail)?;
    match sent == bytes.len() {
        true => Ok(()),
        false => Err(fail(Errno::MSGSIZE)),
    }
}

/// Receives one packet of at most `limit` bytes; `None` is the end of the connection.
///
/// A longer packet, or more than [`MAX_FDS`] descriptors, is an error (`EMSGSIZE`); whatever
/// descriptors did arrive are closed.
pub fn recv(socket: impl AsFd, limit: usize) -> Result<Option<Packet>> {
    let fail = |errno: Errno| Error::new("receive a packet from", "a unix socket", errno);
    let mut bytes = vec![0; limit];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_FDS))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let received = rustix::io::retry_on_intr(|| {
        let mut parts = [IoSliceMut::new(&mut bytes)];
        let flags = RecvFlags::CMSG_CLOEXEC;
        rustix::net::recvmsg(&socket, &mut parts, &mut control, flags)
    })
    .map_err(fail)?;
    let mut fds = Vec::new();
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(rights) = message {
            fds.extend(rights);
        }
    }
    if received
        .flags
        .intersects(ReturnFlags::TRUNC | ReturnFlags::CTRUNC)
    {
        return Err(fail(Errno::MSGSIZE));
    }
    if received.bytes == 0 {
        return Ok(None);
    }
    bytes.truncate(received.bytes);
    Ok(Some(Packet { bytes, fds }))
}

/// Who is at the other end.
pub fn peer(socket: impl AsFd) -> Result<Peer> {
    let mut credentials = libc::ucred {
        pid: 0,
        uid: 0,
        gid: 0,
    };
    let mut size = size_of::<libc::ucred>() as libc::socklen_t;
    // SAFETY: the pointers are to live values of the type and size that SO_PEERCRED fills.
    let answer = unsafe {
        libc::getsockopt(
            socket.as_fd().as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_PEERCRED,
            (&raw mut credentials).cast(),
            &raw mut size,
        )
    };
    match answer {
        0 => Ok(Peer {
            pid: credentials.pid,
            uid: credentials.uid,
            gid: credentials.gid,
        }),
        _ => Err(Error::last("ask who is behind", "a unix socket")),
    }
}

fn seqpacket(flags: SocketFlags) -> rustix::io::Result<OwnedFd> {
    let flags = flags | SocketFlags::CLOEXEC;
    rustix::net::socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)
}

/// The address of a socket file. A path longer than an address can hold goes through the
/// directory's descriptor, which must live until the address was used.
fn address_of(path: &Path) -> Result<(SocketAddrUnix, Option<OwnedFd>)> {
    let fail = |errno: Errno| Error::new("use as a socket", path.display().to_string(), errno);
    match SocketAddrUnix::new(path) {
        Ok(address) => return Ok((address, None)),
        Err(Errno::NAMETOOLONG) => {}
        Err(errno) => return Err(fail(errno)),
    }
    let name: &OsStr = path.file_name().ok_or_else(|| fail(Errno::INVAL))?;
    let parent = path.parent().unwrap_or(Path::new("."));
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let directory = rustix::fs::open(parent, flags, Mode::empty()).map_err(fail)?;
    let mut short = PathBuf::from(format!("/proc/self/fd/{}", directory.as_raw_fd()));
    short.push(OsStr::from_bytes(name.as_bytes()));
    let address = SocketAddrUnix::new(&short).map_err(fail)?;
    Ok((address, Some(directory)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_path_carries_bytes_and_descriptors() {
        let top = tempfile::tempdir().unwrap();
        let deep = top.path().join("d".repeat(120));
        std::fs::create_dir(&deep).unwrap();
        let path = deep.join("gateway.sock");
        let listener = listen(&path, 8).unwrap();
        let client = connect(&path).unwrap();
        let server = accept(&listener).unwrap();
        let file = std::fs::File::open("/proc/self/status").unwrap();
        send(&client, b"hello", &[file.as_fd(), file.as_fd()]).unwrap();
        let packet = recv(&server, 64).unwrap().unwrap();
        assert_eq!(packet.bytes, b"hello");
        assert_eq!(packet.fds.len(), 2);
        for fd in &packet.fds {
            let flags = rustix::io::fcntl_getfd(fd).unwrap();
            assert!(flags.contains(rustix::io::FdFlags::CLOEXEC));
        }
        assert_eq!(peer(&server).unwrap().pid, std::process::id().cast_signed());
        drop(client);
        assert!(recv(&server, 64).unwrap().is_none());
    }

    #[test]
    fn a_packet_that_does_not_fit_is_an_error() {
        let (a, b) = pair().unwrap();
        send(&a, &[7; 65], &[]).unwrap();
        assert_eq!(recv(&b, 64).unwrap_err().errno(), Some(Errno::MSGSIZE));
        send(&a, &[7; 64], &[]).unwrap();
        assert_eq!(recv(&b, 64).unwrap().unwrap().bytes.len(), 64);
    }
}
