//! Links, addresses, routes and rules over route netlink, one blocking request each.

use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use netlink_packet_core::{
    NLM_F_ACK, NLM_F_CREATE, NLM_F_EXCL, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage,
    NetlinkPayload,
};
use netlink_packet_route::AddressFamily;
use netlink_packet_route::RouteNetlinkMessage as Message;
use netlink_packet_route::address::{AddressAttribute, AddressMessage};
use netlink_packet_route::link::{
    InfoBridge, InfoData, InfoKind, InfoVeth, LinkAttribute, LinkFlags, LinkInfo, LinkMessage,
};
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteMessage, RouteProtocol, RouteScope, RouteType,
};
use netlink_packet_route::rule::{RuleAction, RuleAttribute, RuleMessage};
use rustix::io::Errno;
use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{AddressFamily as Family, RecvFlags, SendFlags, SocketFlags, SocketType};

use crate::{Error, Result};

/// A hardware address.
pub type Mac = [u8; 6];

/// A route netlink socket. It speaks of the network namespace that it was opened in.
#[derive(Debug)]
pub struct Route {
    socket: OwnedFd,
}

/// One half of a pair of virtual interfaces.
#[derive(Debug)]
pub struct VethEnd<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its hardware address; the kernel chooses when there is none.
    pub mac: Option<Mac>,
}

impl Route {
    /// Opens a socket in the calling thread's network namespace.
    pub fn open() -> Result<Self> {
        let socket = open(None, "a route netlink socket")?;
        Ok(Self { socket })
    }

    /// The index of an interface; `None` when there is none of that name.
    pub fn link_index(&self, name: &str) -> Result<Option<u32>> {
        let mut request = LinkMessage::default();
        request
            .attributes
            .push(LinkAttribute::IfName(name.to_owned()));
        match self.ask(Message::GetLink(request), 0) {
            Ok(Some(Message::NewLink(link))) => Ok(Some(link.header.index)),
            Ok(_) => Ok(None),
            Err(error) if Errno::from_io_error(&error) == Some(Errno::NODEV) => Ok(None),
            Err(error) => Err(Error::new("find the interface", name, error)),
        }
    }

    /// Makes a bridge, up, and gives its index.
    pub fn add_bridge(&self, name: &str, mac: Mac, mtu: u32) -> Result<u32> {
        let mut link = LinkMessage::default();
        raise(&mut link);
        link.attributes = vec![
            LinkAttribute::IfName(name.to_owned()),
            LinkAttribute::Address(mac.to_vec()),
            LinkAttribute::Mtu(mtu),
            LinkAttribute::LinkInfo(vec![
                LinkInfo::Kind(InfoKind::Bridge),
                LinkInfo::Data(InfoData::Bridge(vec![InfoBridge::MulticastSnooping(false)])),
            ]),
        ];
        self.make(Message::NewLink(link))
            .map_err(|e| Error::new("make the bridge", name, e))?;
        let gone = || Error::new("find the bridge", name, Errno::NODEV);
        self.link_index(name)?.ok_or_else(gone)
    }

    /// Makes a pair of interfaces: `near` here, up, as a port of bridge `bridge`, and `far`,
    /// down, directly in the network namespace `netns`.
    pub fn add_veth(
        &self,
        near: &VethEnd<'_>,
        bridge: u32,
        far: &VethEnd<'_>,
        netns: BorrowedFd<'_>,
        mtu: u32,
    ) -> Result<()> {
        let mut peer = LinkMessage::default();
        peer.attributes = vec![
            LinkAttribute::IfName(far.name.to_owned()),
            LinkAttribute::Mtu(mtu),
            LinkAttribute::NetNsFd(netns.as_raw_fd()),
        ];
        peer.attributes
            .extend(far.mac.map(|mac| LinkAttribute::Address(mac.to_vec())));
        let mut link = LinkMessage::default();
        raise(&mut link);
        link.attributes = vec![
            LinkAttribute::IfName(near.name.to_owned()),
            LinkAttribute::Mtu(mtu),
            LinkAttribute::Controller(bridge),
            LinkAttribute::LinkInfo(vec![
                LinkInfo::Kind(InfoKind::Veth),
                LinkInfo::Data(InfoData::Veth(InfoVeth::Peer(peer))),
            ]),
        ];
        link.attributes
            .extend(near.mac.map(|mac| LinkAttribute::Address(mac.to_vec())));
        self.make(Message::NewLink(link))
            .map_err(|e| Error::new("make the interface", near.name, e))
    }

    /// Sets an interface up.
    pub fn set_up(&self, index: u32) -> Result<()> {
        let mut link = LinkMessage::default();
        link.header.index = index;
        raise(&mut link);
        self.change(Message::SetLink(link))
            .map_err(|e| Error::new("set up", interface(index), e))
    }

    /// Removes an interface (and the other half of its pair). `false` when it was gone.
    pub fn delete_link(&self, name: &str) -> Result<bool> {
        let mut link = LinkMessage::default();
        link.attributes.push(LinkAttribute::IfName(name.to_owned()));
        match self.change(Message::DelLink(link)) {
            Ok(()) => Ok(true),
            Err(error) if Errno::from_io_error(&error) == Some(Errno::NODEV) => Ok(false),
            Err(error) => Err(Error::new("remove the interface", name, error)),
        }
    }

    /// Gives an interface an address. No harm when it has it already.
    pub fn add_address(&self, index: u32, address: Ipv4Addr, prefix: u8) -> Result<()> {
        let mut message = AddressMessage::default();
        message.header.family = AddressFamily::Inet;
        message.header.prefix_len = prefix;
        message.header.index = index;
        let mask = u32::MAX.checked_shr(u32::from(prefix)).unwrap_or(0);
        message.attributes = vec![
            AddressAttribute::Local(IpAddr::V4(address)),
            AddressAttribute::Address(IpAddr::V4(address)),
            AddressAttribute::Broadcast(Ipv4Addr::from(u32::from(address) | mask)),
        ];
        unless_there(self.make(Message::NewAddress(message)))
            .map_err(|e| Error::new("add the address", format!("{address}/{prefix}"), e))
    }

    /// Sends everything without a better route to `gateway`.
    pub fn add_default_route(&self, gateway: Ipv4Addr) -> Result<()> {
        let mut message = route(RouteHeaderTable::MAIN);
        message.header.scope = RouteScope::Universe;
        message.header.kind = RouteType::Unicast;
        message
            .attributes
            .push(RouteAttribute::Gateway(RouteAddress::Inet(gateway)));
        unless_there(self.make(Message::NewRoute(message)))
            .map_err(|e| Error::new("add the default route through", gateway.to_string(), e))
    }

    /// In routing table `table`, every IPv4 address counts as this machine's own.
    pub fn add_local_everything(&self, table: u8, loopback: u32) -> Result<()> {
        let mut message = route(table);
        message.header.scope = RouteScope::Host;
        message.header.kind = RouteType::Local;
        message.attributes.push(RouteAttribute::Oif(loopback));
        unless_there(self.make(Message::NewRoute(message)))
            .map_err(|e| Error::new("fill the routing table", table.to_string(), e))
    }

    /// IPv4 packets with mark `mark` are routed by table `table`.
    pub fn add_mark_rule(&self, mark: u32, table: u8) -> Result<()> {
        let mut message = RuleMessage::default();
        message.header.family = AddressFamily::Inet;
        message.header.table = table;
        message.header.action = RuleAction::ToTable;
        message.attributes = vec![RuleAttribute::FwMark(mark), RuleAttribute::Priority(100)];
        unless_there(self.make(Message::NewRule(message)))
            .map_err(|e| Error::new("add the routing rule for mark", mark.to_string(), e))
    }

    fn make(&self, message: Message) -> io::Result<()> {
        self.ask(message, NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL)
            .map(drop)
    }

    fn change(&self, message: Message) -> io::Result<()> {
        self.ask(message, NLM_F_ACK).map(drop)
    }

    /// One request and its answer: a message, or `None` for a plain yes.
    fn ask(&self, message: Message, flags: u16) -> io::Result<Option<Message>> {
        let mut header = NetlinkHeader::default();
        header.flags = NLM_F_REQUEST | flags;
        let mut packet = NetlinkMessage::new(header, NetlinkPayload::from(message));
        packet.finalize();
        let mut bytes = vec![0; packet.buffer_len()];
        packet.serialize(&mut bytes);
        send(self.socket.as_fd(), &bytes)?;
        let mut answer = [0; 16 * 1024];
        let length = receive(self.socket.as_fd(), &mut answer)?;
        let decoded = NetlinkMessage::<Message>::deserialize(&answer[..length])
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error.to_string()))?;
        match decoded.payload {
            NetlinkPayload::Error(error) => match error.code {
                Some(code) => Err(io::Error::from_raw_os_error(-code.get())),
                None => Ok(None),
            },
            NetlinkPayload::InnerMessage(message) => Ok(Some(message)),
            _ => Ok(None),
        }
    }
}

/// The numbers of routing tables with a meaning.
struct RouteHeaderTable;

impl RouteHeaderTable {
    const MAIN: u8 = 254;
}

fn route(table: u8) -> RouteMessage {
    let mut message = RouteMessage::default();
    message.header.address_family = AddressFamily::Inet;
    message.header.table = table;
    message.header.protocol = RouteProtocol::Static;
    message
}

fn raise(link: &mut LinkMessage) {
    link.header.flags |= LinkFlags::Up;
    link.header.change_mask |= LinkFlags::Up;
}

fn unless_there(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if Errno::from_io_error(&error) == Some(Errno::EXIST) => Ok(()),
        other => other,
    }
}

fn interface(index: u32) -> String {
    format!("interface {index}")
}

/// A netlink socket; without a protocol, of the route one.
pub(crate) fn open(protocol: Option<rustix::net::Protocol>, what: &str) -> Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC;
    let fail = |errno: Errno| Error::new("open", what, errno);
    let socket = rustix::net::socket_with(Family::NETLINK, SocketType::RAW, flags, protocol)
        .map_err(fail)?;
    rustix::net::bind(&socket, &SocketAddrNetlink::new(0, 0)).map_err(fail)?;
    Ok(socket)
}

/// Sends to the kernel.
pub(crate) fn send(socket: BorrowedFd<'_>, bytes: &[u8]) -> io::Result<()> {
    let to = SocketAddrNetlink::new(0, 0);
    rustix::net::sendto(socket, bytes, SendFlags::empty(), &to)?;
    Ok(())
}

/// Receives one packet of answers.
pub(crate) fn receive(socket: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<usize> {
    let received =
        rustix::io::retry_on_intr(|| rustix::net::recv(socket, &mut *buffer, RecvFlags::empty()));
    Ok(received?.1)
}
