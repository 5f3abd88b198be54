//! Network namespaces of a thread, and what sockets can do beyond the standard library:
//! other machines' addresses as one's own, and both addresses of a datagram.

use std::io;
use std::mem::{MaybeUninit, offset_of};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::ptr;

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType};
use rustix::thread::{LinkNameSpaceType, UnshareFlags};

use crate::{Error, Result};

/// Moves the calling thread, and it alone, into a new network namespace.
pub fn new_namespace() -> Result<OwnedFd> {
    // SAFETY: only the network namespace is unshared, no descriptor table.
    unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWNET) }
        .map_err(|errno| Error::new("make", "a network namespace", errno))?;
    current_namespace()
}

/// The calling thread's network namespace.
pub fn current_namespace() -> Result<OwnedFd> {
    const PATH: &str = "/proc/thread-self/ns/net";
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    rustix::fs::open(PATH, flags, Mode::empty()).map_err(|errno| Error::new("open", PATH, errno))
}

/// Moves the calling thread into a network namespace.
pub fn enter_namespace(namespace: BorrowedFd<'_>) -> Result<()> {
    rustix::thread::move_into_link_name_space(namespace, Some(LinkNameSpaceType::Network))
        .map_err(|errno| Error::new("enter", "a network namespace", errno))
}

/// Tells two network namespaces apart: equal numbers, same namespace.
pub fn namespace_id(namespace: BorrowedFd<'_>) -> Result<(u64, u64)> {
    let stat = rustix::fs::fstat(namespace)
        .map_err(|errno| Error::new("examine", "a network namespace", errno))?;
    Ok((stat.st_dev, stat.st_ino))
}

/// A TCP socket, non-blocking and close-on-exec.
pub fn tcp_socket(ipv6: bool) -> Result<OwnedFd> {
    socket(ipv6, SocketType::STREAM, "a TCP socket")
}

/// A UDP socket, non-blocking and close-on-exec.
pub fn udp_socket(ipv6: bool) -> Result<OwnedFd> {
    socket(ipv6, SocketType::DGRAM, "a UDP socket")
}

fn socket(ipv6: bool, kind: SocketType, what: &str) -> Result<OwnedFd> {
    let family = if ipv6 {
        AddressFamily::INET6
    } else {
        AddressFamily::INET
    };
    rustix::net::socket_with(
        family,
        kind,
        SocketFlags::CLOEXEC | SocketFlags::NONBLOCK,
        None,
    )
    .map_err(|errno| Error::new("make", what, errno))
}

/// Lets an IPv4 socket have addresses that are not this machine's.
pub fn set_transparent(socket: impl AsFd) -> Result<()> {
    set_option(socket.as_fd(), libc::SOL_IP, libc::IP_TRANSPARENT)
        .map_err(|e| Error::new("make transparent", "a socket", e))
}

/// Has an IPv4 UDP socket tell where each datagram was meant to go, address and port.
pub fn set_receive_original(socket: impl AsFd) -> Result<()> {
    set_option(socket.as_fd(), libc::SOL_IP, libc::IP_RECVORIGDSTADDR)
        .map_err(|e| Error::new("ask for original destinations on", "a socket", e))
}

/// Has a UDP socket tell which of our addresses each datagram came to.
pub fn set_receive_local(socket: impl AsFd, ipv6: bool) -> Result<()> {
    let (level, option) = match ipv6 {
        true => (libc::SOL_IPV6, libc::IPV6_RECVPKTINFO),
        false => (libc::SOL_IP, libc::IP_PKTINFO),
    };
    set_option(socket.as_fd(), level, option)
        .map_err(|e| Error::new("ask for local addresses on", "a socket", e))
}

/// Has a socket that is bound to port 0 take its port only when it connects, so that the same
/// port serves connections to different ends.
pub fn set_late_port(socket: impl AsFd) -> Result<()> {
    set_option(socket.as_fd(), libc::SOL_IP, libc::IP_BIND_ADDRESS_NO_PORT)
        .map_err(|e| Error::new("delay the port of", "a socket", e))
}

fn set_option(socket: BorrowedFd<'_>, level: i32, option: i32) -> io::Result<()> {
    let on: libc::c_int = 1;
    let size = size_of::<libc::c_int>() as libc::socklen_t;
    // SAFETY: the pointer is to a live int, and the length is an int's.
    let answer = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            level,
            option,
            (&raw const on).cast(),
            size,
        )
    };
    match answer {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// One received datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Datagram {
    /// How many bytes of the buffer it fills. A longer one was cut.
    pub length: usize,
    /// Who sent it.
    pub from: SocketAddr,
    /// Where it was sent to: with its port if the socket tells original destinations, with
    /// port 0 if it tells local addresses.
    pub to: Option<SocketAddr>,
}

/// Control data in a buffer that is aligned for it.
#[repr(C, align(8))]
struct Control([MaybeUninit<u8>; 128]);

/// Receives one datagram.
pub fn receive_datagram(
    socket: impl AsFd,
    buffer: &mut [u8],
) -> std::result::Result<Datagram, Errno> {
    // SAFETY: an all-zero address is a valid value of this C type.
    let mut from: libc::sockaddr_storage = unsafe { std::mem::zeroed() };
    let mut control = Control([MaybeUninit::uninit(); 128]);
    let mut part = libc::iovec {
        iov_base: buffer.as_mut_ptr().cast(),
        iov_len: buffer.len(),
    };
    // SAFETY: an all-zero msghdr is valid: null pointers with zero lengths.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_name = (&raw mut from).cast();
    message.msg_namelen = size_of::<libc::sockaddr_storage>() as libc::socklen_t;
    message.msg_iov = &raw mut part;
    message.msg_iovlen = 1;
    message.msg_control = control.0.as_mut_ptr().cast();
    message.msg_controllen = control.0.len() as _;
    // SAFETY: every pointer of the message is to a live buffer of the length beside it.
    let length = unsafe { libc::recvmsg(socket.as_fd().as_raw_fd(), &raw mut message, 0) };
    let Ok(length) = usize::try_from(length) else {
        return Err(last_errno());
    };
    let from = address(&from).ok_or(Errno::AFNOSUPPORT)?;
    Ok(Datagram {
        length,
        from,
        to: destination(&message),
    })
}

/// The destination that the control data of a received message tells.
fn destination(message: &libc::msghdr) -> Option<SocketAddr> {
    let mut found = None;
    // SAFETY: the message was filled by recvmsg and its control buffer is still alive.
    let mut header = unsafe { libc::CMSG_FIRSTHDR(message) };
    while !header.is_null() {
        // SAFETY: CMSG_FIRSTHDR and CMSG_NXTHDR give headers within the control buffer.
        let (level, kind) = unsafe { ((*header).cmsg_level, (*header).cmsg_type) };
        // SAFETY: as above; the data follows its header.
        let data = unsafe { libc::CMSG_DATA(header) };
        match (level, kind) {
            (libc::SOL_IP, libc::IP_ORIGDSTADDR) => {
                // SAFETY: the kernel puts a sockaddr_in there.
                let it: libc::sockaddr_in = unsafe { ptr::read_unaligned(data.cast()) };
                return Some(from_in(&it));
            }
            (libc::SOL_IP, libc::IP_PKTINFO) => {
                // SAFETY: the kernel puts an in_pktinfo there.
                let it: libc::in_pktinfo = unsafe { ptr::read_unaligned(data.cast()) };
                let address = Ipv4Addr::from(it.ipi_spec_dst.s_addr.to_ne_bytes());
                found = Some(SocketAddr::from((address, 0)));
            }
            (libc::SOL_IPV6, libc::IPV6_PKTINFO) => {
                // SAFETY: the kernel puts an in6_pktinfo there.
                let it: libc::in6_pktinfo = unsafe { ptr::read_unaligned(data.cast()) };
                found = Some(SocketAddr::from((Ipv6Addr::from(it.ipi6_addr.s6_addr), 0)));
            }
            _ => {}
        }
        // SAFETY: `header` is a header within the message's control buffer.
        header = unsafe { libc::CMSG_NXTHDR(message, header) };
    }
    found
}

/// Sends one datagram to `to`, from our address `from` when there is one.
pub fn send_datagram(
    socket: impl AsFd,
    bytes: &[u8],
    to: SocketAddr,
    from: Option<IpAddr>,
) -> std::result::Result<(), Errno> {
    let (mut name, name_length) = to_raw(to);
    let mut control = Control([MaybeUninit::zeroed(); 128]);
    let mut part = libc::iovec {
        iov_base: bytes.as_ptr().cast_mut().cast(),
        iov_len: bytes.len(),
    };
    // SAFETY: an all-zero msghdr is valid: null pointers with zero lengths.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_name = (&raw mut name).cast();
    message.msg_namelen = name_length;
    message.msg_iov = &raw mut part;
    message.msg_iovlen = 1;
    if let Some(from) = from {
        message.msg_control = control.0.as_mut_ptr().cast();
        message.msg_controllen = control.0.len() as _;
        message.msg_controllen = put_source(&message, from) as _;
    }
    // SAFETY: every pointer of the message is to a live buffer of the length beside it;
    // sendmsg only reads the bytes.
    let sent = unsafe {
        libc::sendmsg(
            socket.as_fd().as_raw_fd(),
            &raw const message,
            libc::MSG_NOSIGNAL,
        )
    };
    match sent {
        0.. => Ok(()),
        _ => Err(last_errno()),
    }
}

/// Writes the source address into a message's control buffer; gives the bytes used.
fn put_source(message: &libc::msghdr, from: IpAddr) -> usize {
    // SAFETY: in_pktinfo and in6_pktinfo are plain integers, valid when zero.
    let (mut v4, mut v6): (libc::in_pktinfo, libc::in6_pktinfo) = unsafe { std::mem::zeroed() };
    let (level, kind, data, size): (_, _, *const u8, _) = match from {
        IpAddr::V4(address) => {
            v4.ipi_spec_dst.s_addr = u32::from_ne_bytes(address.octets());
            let size = size_of::<libc::in_pktinfo>();
            (libc::SOL_IP, libc::IP_PKTINFO, (&raw const v4).cast(), size)
        }
        IpAddr::V6(address) => {
            v6.ipi6_addr.s6_addr = address.octets();
            let size = size_of::<libc::in6_pktinfo>();
            (
                libc::SOL_IPV6,
                libc::IPV6_PKTINFO,
                (&raw const v6).cast(),
                size,
            )
        }
    };
    let length = u32::try_from(size).expect("a few bytes");
    // SAFETY: the control buffer is aligned and larger than one header with either payload;
    // `data` points to `size` readable bytes.
    unsafe {
        let header = libc::CMSG_FIRSTHDR(message);
        (*header).cmsg_level = level;
        (*header).cmsg_type = kind;
        (*header).cmsg_len = libc::CMSG_LEN(length) as _;
        ptr::copy_nonoverlapping(data, libc::CMSG_DATA(header), size);
        libc::CMSG_SPACE(length) as usize
    }
}

fn address(raw: &libc::sockaddr_storage) -> Option<SocketAddr> {
    match libc::c_int::from(raw.ss_family) {
        libc::AF_INET => {
            // SAFETY: the family says that it is a sockaddr_in, which is smaller.
            Some(from_in(unsafe { &*ptr::from_ref(raw).cast() }))
        }
        libc::AF_INET6 => {
            // SAFETY: the family says that it is a sockaddr_in6, which is smaller.
            let it: &libc::sockaddr_in6 = unsafe { &*ptr::from_ref(raw).cast() };
            let ip = Ipv6Addr::from(it.sin6_addr.s6_addr);
            let port = u16::from_be(it.sin6_port);
            Some(std::net::SocketAddrV6::new(ip, port, it.sin6_flowinfo, it.sin6_scope_id).into())
        }
        _ => None,
    }
}

fn from_in(raw: &libc::sockaddr_in) -> SocketAddr {
    let ip = Ipv4Addr::from(raw.sin_addr.s_addr.to_ne_bytes());
    SocketAddr::from((ip, u16::from_be(raw.sin_port)))
}

fn to_raw(address: SocketAddr) -> (libc::sockaddr_storage, libc::socklen_t) {
    // SAFETY: an all-zero address is a valid value of this C type.
    let mut raw: libc::sockaddr_storage = unsafe { std::mem::zeroed() };
    let size = match address {
        SocketAddr::V4(it) => {
            // SAFETY: a sockaddr_storage has room and alignment for every address.
            let v4: &mut libc::sockaddr_in = unsafe { &mut *(&raw mut raw).cast() };
            v4.sin_family = libc::AF_INET as libc::sa_family_t;
            v4.sin_port = it.port().to_be();
            v4.sin_addr.s_addr = u32::from_ne_bytes(it.ip().octets());
            size_of::<libc::sockaddr_in>()
        }
        SocketAddr::V6(it) => {
            // SAFETY: as above.
            let v6: &mut libc::sockaddr_in6 = unsafe { &mut *(&raw mut raw).cast() };
            v6.sin6_family = libc::AF_INET6 as libc::sa_family_t;
            v6.sin6_port = it.port().to_be();
            v6.sin6_addr.s6_addr = it.ip().octets();
            v6.sin6_scope_id = it.scope_id();
            size_of::<libc::sockaddr_in6>()
        }
    };
    (raw, size as libc::socklen_t)
}

fn last_errno() -> Errno {
    Errno::from_io_error(&io::Error::last_os_error()).unwrap_or(Errno::IO)
}

const _: () = assert!(
    offset_of!(libc::sockaddr_in, sin_family) == offset_of!(libc::sockaddr_storage, ss_family)
);

#[cfg(test)]
mod tests {
    use super::*;

    fn bound(ipv6: bool) -> (OwnedFd, SocketAddr) {
        let socket = udp_socket(ipv6).unwrap();
        set_receive_local(&socket, ipv6).unwrap();
        let ip: IpAddr = if ipv6 {
            Ipv6Addr::UNSPECIFIED.into()
        } else {
            [0, 0, 0, 0].into()
        };
        rustix::net::bind(&socket, &SocketAddr::new(ip, 0)).unwrap();
        let address = rustix::net::getsockname(&socket).unwrap();
        (socket, SocketAddr::try_from(address).unwrap())
    }

    #[test]
    fn a_datagram_tells_both_its_ends_and_is_answered_from_the_right_one() {
        let (server, server_address) = bound(false);
        let (client, client_address) = bound(false);
        let there = SocketAddr::new([127, 0, 0, 9].into(), server_address.port());
        send_datagram(&client, b"ping", there, Some([127, 0, 0, 7].into())).unwrap();
        let mut buffer = [0; 16];
        let got = receive_datagram(&server, &mut buffer).unwrap();
        let from = SocketAddr::new([127, 0, 0, 7].into(), client_address.port());
        let to = Some(SocketAddr::from(([127, 0, 0, 9], 0)));
        assert_eq!(
            got,
            Datagram {
                length: 4,
                from,
                to
            }
        );
        assert_eq!(receive_datagram(&server, &mut buffer), Err(Errno::AGAIN));
    }

    #[test]
    fn a_thread_can_leave_and_come_back() {
        std::thread::spawn(|| {
            let home = current_namespace().unwrap();
            let new = new_namespace().unwrap();
            let ids = [home.as_fd(), new.as_fd()].map(|fd| namespace_id(fd).unwrap());
            assert_ne!(ids[0], ids[1]);
            enter_namespace(home.as_fd()).unwrap();
            let now = current_namespace().unwrap();
            assert_eq!(namespace_id(now.as_fd()).unwrap(), ids[0]);
        })
        .join()
        .unwrap();
    }
}
