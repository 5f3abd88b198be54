//! Published ports: listening sockets on the host, and who has one that is wanted.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::OwnedFd;

use model::network::{PublishedPort, Transport};
use rustix::io::Errno;
use rustix::net::sockopt;

use crate::error::{Error, Result};

/// How often a port of the kernel's choice is tried, when IPv6 has it taken.
const TRIES: usize = 16;

/// A socket of the host that leads into a container.
#[derive(Debug)]
pub(crate) struct Opened {
    /// Bound, and listening if TCP.
    pub(crate) socket: OwnedFd,
    /// TCP or UDP.
    pub(crate) transport: Transport,
}

/// Opens a published port; gives it with its number.
pub(crate) fn open(wanted: &PublishedPort) -> Result<(PublishedPort, Vec<Opened>)> {
    let mut failure = None;
    for _ in 0..TRIES {
        match open_once(wanted) {
            // The kernel chose a port that only IPv4 had free.
            Err(error @ Error::PortInUse { .. }) if wanted.host_port.is_none() => {
                failure = Some(error);
            }
            other => return other,
        }
    }
    Err(failure.expect("at least one try"))
}

fn open_once(wanted: &PublishedPort) -> Result<(PublishedPort, Vec<Opened>)> {
    let transport = wanted.transport;
    let wished = wanted.host_port.unwrap_or(0);
    let first = wanted.host_ip.unwrap_or(Ipv4Addr::UNSPECIFIED.into());
    let (opened, port) = listen(first, wished, transport)?;
    let mut all = vec![opened];
    if wanted.host_ip.is_none() {
        match listen(Ipv6Addr::UNSPECIFIED.into(), port, transport) {
            Ok((opened, _)) => all.push(opened),
            Err(Error::Kernel(_) | Error::NoSuchAddress { .. }) => {} // A host without IPv6.
            Err(error) => return Err(error),
        }
    }
    Ok((
        PublishedPort {
            host_port: Some(port),
            ..*wanted
        },
        all,
    ))
}

fn listen(address: IpAddr, port: u16, transport: Transport) -> Result<(Opened, u16)> {
    let ipv6 = address.is_ipv6();
    let socket = match transport {
        Transport::Tcp => sys::net::tcp_socket(ipv6)?,
        Transport::Udp => sys::net::udp_socket(ipv6)?,
    };
    let bound = prepare(&socket, transport, ipv6)
        .and_then(|()| rustix::net::bind(&socket, &SocketAddr::new(address, port)))
        .and_then(|()| match transport {
            Transport::Tcp => rustix::net::listen(&socket, 4096),
            Transport::Udp => Ok(()),
        })
        .and_then(|()| SocketAddr::try_from(rustix::net::getsockname(&socket)?));
    match bound {
        Ok(name) => Ok((Opened { socket, transport }, name.port())),
        Err(errno) => Err(refused(errno, address, port, transport)),
    }
}

fn prepare(socket: &OwnedFd, transport: Transport, ipv6: bool) -> rustix::io::Result<()> {
    if ipv6 {
        sockopt::set_ipv6_v6only(socket, true)?;
    }
    match transport {
        // Connections of a container that was here before may still be fading away.
        Transport::Tcp => sockopt::set_socket_reuseaddr(socket, true),
        Transport::Udp => sys::net::set_receive_local(socket, ipv6)
            .map_err(|error| error.errno().unwrap_or(Errno::INVAL)),
    }
}

fn refused(errno: Errno, address: IpAddr, port: u16, transport: Transport) -> Error {
    match errno {
        Errno::ADDRINUSE => {
            let holder = holder(address, port, transport);
            Error::PortInUse {
                address,
                port,
                transport,
                holder,
            }
        }
        Errno::ACCESS | Errno::PERM => {
            let first_free = first_free_port();
            Error::PortReserved {
                address,
                port,
                transport,
                first_free,
            }
        }
        Errno::ADDRNOTAVAIL => Error::NoSuchAddress { address, port },
        errno => {
            let object = format!("{}/{}", SocketAddr::new(address, port), transport.as_str());
            sys::Error::new("listen on", object, errno).into()
        }
    }
}

fn first_free_port() -> u16 {
    let text = fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start");
    text.ok()
        .and_then(|text| text.trim().parse().ok())
        .unwrap_or(1024)
}

/// Who has a port, e.g. `nginx (pid 812)`. Other users' processes are seen by root only.
fn holder(address: IpAddr, port: u16, transport: Transport) -> Option<String> {
    let name = transport.as_str();
    let own = if address.is_ipv6() {
        ["6", ""]
    } else {
        ["", "6"]
    };
    let inode = own.into_iter().find_map(|family| {
        let table = fs::read_to_string(format!("/proc/net/{name}{family}")).ok()?;
        socket_inode(&table, port, transport).map(str::to_owned)
    })?;
    let target = format!("socket:[{inode}]");
    let processes = fs::read_dir("/proc").ok()?.flatten();
    processes
        .filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok())
        .find_map(|pid| {
            let mut files = fs::read_dir(format!("/proc/{pid}/fd")).ok()?.flatten();
            files.find(|file| {
                fs::read_link(file.path()).is_ok_and(|it| it.as_os_str() == &*target)
            })?;
            let name = fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
            Some(format!("{} (pid {pid})", name.trim()))
        })
}

/// The inode of the socket that listens on a port, from the kernel's table.
fn socket_inode(table: &str, port: u16, transport: Transport) -> Option<&str> {
    let state = match transport {
        Transport::Tcp => "0A",
        Transport::Udp => "07",
    };
    table.lines().skip(1).find_map(|line| {
        let fields: Vec<_> = line.split_ascii_whitespace().collect();
        let (_, local) = fields.get(1)?.split_once(':')?;
        let here = u16::from_str_radix(local, 16).ok()? == port && *fields.get(3)? == state;
        here.then(|| fields.get(9).copied()).flatten()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn publish(ip: Option<IpAddr>, port: Option<u16>, transport: Transport) -> PublishedPort {
        PublishedPort {
            host_ip: ip,
            host_port: port,
            container_port: 80,
            transport,
        }
    }

    #[test]
    fn a_free_port_is_found_for_both_families_and_its_holder_is_named() {
        for transport in [Transport::Tcp, Transport::Udp] {
            let (port, opened) = open(&publish(None, None, transport)).unwrap();
            assert!(port.host_port.is_some_and(|number| number > 0));
            assert!(opened.iter().all(|one| one.transport == transport));
            let error = open(&publish(None, port.host_port, transport)).unwrap_err();
            let own = fs::read_to_string("/proc/self/comm").unwrap();
            let expected = format!("in use by {} (pid {})", own.trim(), std::process::id());
            assert!(error.to_string().ends_with(&expected), "{error}");
            assert!(error.hint().is_some());
        }
    }

    #[test]
    fn an_address_of_another_machine_is_refused() {
        let foreign = Some(Ipv4Addr::new(192, 0, 2, 1).into());
        let error = open(&publish(foreign, Some(8080), Transport::Tcp)).unwrap_err();
        assert!(
            error.to_string().contains("does not have that address"),
            "{error}"
        );
    }

    #[test]
    fn the_kernels_table_is_read() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt\n\
             0: 0100007F:1F90 00000000:0000 01 00000000:00000000 00:00000000 0 0 0 77 1\n\
             1: 00000000:1F90 00000000:0000 0A 00000000:00000000 00:00000000 0 0 0 4711 1\n";
        assert_eq!(socket_inode(table, 8080, Transport::Tcp), Some("4711"));
        assert_eq!(socket_inode(table, 8081, Transport::Tcp), None);
        assert_eq!(socket_inode("", 8081, Transport::Udp), None);
    }
}
