//! One nf_tables ruleset, sent as one batch: a transparent proxy for everything that is
//! routed through a network namespace.
//!
//! In the words of the `nft` program:
//!
//! ```text
//! table ip shim                  # these two only to replace what is there
//! delete table ip shim
//! table ip shim {
//!     chain prerouting {
//!         type filter hook prerouting priority mangle; policy accept;
//!         socket transparent 1 meta mark set MARK accept
//!         meta l4proto tcp tproxy to :PORT meta mark set MARK accept
//!         meta l4proto udp tproxy to :PORT meta mark set MARK accept
//!     }
//! }
//! ```
//!
//! The first rule must come first: it hands the answers to connections that were made with
//! somebody else's address to the socket that made them.

use std::io;
use std::os::fd::AsFd;

use crate::{Error, Result, netlink};

/// The object that errors of this module name.
pub const RULESET: &str = "the nf_tables ruleset";

const TABLE: &str = "shim";
const CHAIN: &str = "prerouting";

const NFNL_SUBSYS_NFTABLES: u16 = 10;
const NFNL_MSG_BATCH_BEGIN: u16 = 0x10;
const NFNL_MSG_BATCH_END: u16 = 0x11;
const NFT_MSG_NEWTABLE: u16 = 0;
const NFT_MSG_DELTABLE: u16 = 2;
const NFT_MSG_NEWCHAIN: u16 = 3;
const NFT_MSG_NEWRULE: u16 = 6;

const NLM_F_REQUEST: u16 = 1;
const NLM_F_ACK: u16 = 4;
const NLM_F_CREATE: u16 = 0x400;
const NLM_F_APPEND: u16 = 0x800;
const NLMSG_ERROR: u16 = 2;
const NLA_F_NESTED: u16 = 0x8000;

const NF_ACCEPT: u32 = 1;
const NF_INET_PRE_ROUTING: u32 = 0;
const NF_IP_PRI_MANGLE: i32 = -150;
const NFPROTO_IPV4: u8 = 2;
const NFT_REG_VERDICT: u32 = 0;
const NFT_REG_1: u32 = 1;
const NFT_META_MARK: u32 = 3;
const NFT_META_L4PROTO: u32 = 16;

/// Gives the calling thread's network namespace its ruleset: TCP and UDP that comes in for
/// other machines goes to the transparent sockets at `port` instead, and packets with mark
/// `mark` are those that must be routed to this machine.
///
/// With `replace`, a ruleset of ours that is there already makes way. Destroying it costs a
/// few milliseconds, so a namespace that was just made is better loaded without.
pub fn load_transparent_proxy(port: u16, mark: u32, replace: bool) -> Result<()> {
    let fail = |error: io::Error| Error::new("load", RULESET, error);
    let netfilter = Some(rustix::net::netlink::NETFILTER);
    let socket = netlink::open(netfilter, "an nf_tables socket")?;
    let batch = transparent_proxy(port, mark, replace);
    netlink::send(socket.as_fd(), &batch.bytes).map_err(fail)?;
    let mut buffer = [0; 16 * 1024];
    let mut answered = 0;
    while answered < batch.expected {
        let length = netlink::receive(socket.as_fd(), &mut buffer).map_err(fail)?;
        answered += acknowledgements(&buffer[..length]).map_err(fail)?;
    }
    Ok(())
}

fn transparent_proxy(port: u16, mark: u32, replace: bool) -> Batch {
    let table = |a: &mut Attributes| a.text(1, TABLE);
    let mut batch = Batch::default();
    batch.frame(NFNL_MSG_BATCH_BEGIN);
    if replace {
        // Added first so that the deletion finds one, whatever was there.
        batch.message(NFT_MSG_NEWTABLE, NLM_F_CREATE, table);
        batch.message(NFT_MSG_DELTABLE, 0, table);
    }
    batch.message(NFT_MSG_NEWTABLE, NLM_F_CREATE, table);
    batch.message(NFT_MSG_NEWCHAIN, NLM_F_CREATE, |a| {
        a.text(1, TABLE);
        a.text(3, CHAIN);
        a.nested(4, |hook| {
            hook.number(1, NF_INET_PRE_ROUTING);
            hook.number(2, NF_IP_PRI_MANGLE.cast_unsigned());
        });
        a.number(5, NF_ACCEPT);
        a.text(7, "filter");
    });
    batch.rule(|expressions| {
        expressions.push("socket", |e| {
            e.number(1, 0);
            e.number(2, NFT_REG_1);
        });
        expressions.equals(&[1]);
        expressions.mark_and_accept(mark);
    });
    for protocol in [libc::IPPROTO_TCP, libc::IPPROTO_UDP] {
        batch.rule(|expressions| {
            expressions.push("meta", |e| {
                e.number(1, NFT_REG_1);
                e.number(2, NFT_META_L4PROTO);
            });
            let number = u8::try_from(protocol).expect("both are below 256");
            expressions.equals(&[number]);
            expressions.load(&port.to_be_bytes());
            expressions.push("tproxy", |e| {
                e.number(1, u32::from(NFPROTO_IPV4));
                e.number(3, NFT_REG_1);
            });
            expressions.mark_and_accept(mark);
        });
    }
    batch.frame(NFNL_MSG_BATCH_END);
    batch
}

/// Messages that the kernel takes all or none of.
#[derive(Default)]
struct Batch {
    bytes: Vec<u8>,
    expected: usize,
    sequence: u32,
}

impl Batch {
    /// The begin or the end, which name the subsystem instead of belonging to it.
    fn frame(&mut self, kind: u16) {
        let [high, low] = NFNL_SUBSYS_NFTABLES.to_be_bytes();
        self.append(kind, NLM_F_REQUEST, &[0, 0, high, low]);
    }

    fn message(&mut self, kind: u16, flags: u16, fill: impl FnOnce(&mut Attributes)) {
        let mut attributes = Attributes(vec![NFPROTO_IPV4, 0, 0, 0]);
        fill(&mut attributes);
        let flags = NLM_F_REQUEST | NLM_F_ACK | flags;
        self.append(NFNL_SUBSYS_NFTABLES << 8 | kind, flags, &attributes.0);
        self.expected += 1;
    }

    fn rule(&mut self, fill: impl FnOnce(&mut Expressions<'_>)) {
        self.message(NFT_MSG_NEWRULE, NLM_F_CREATE | NLM_F_APPEND, |a| {
            a.text(1, TABLE);
            a.text(2, CHAIN);
            a.nested(4, |list| fill(&mut Expressions(list)));
        });
    }

    fn append(&mut self, kind: u16, flags: u16, payload: &[u8]) {
        let length = u32::try_from(16 + payload.len()).expect("a ruleset is small");
        self.bytes.extend(length.to_ne_bytes());
        self.bytes.extend(kind.to_ne_bytes());
        self.bytes.extend(flags.to_ne_bytes());
        self.bytes.extend(self.sequence.to_ne_bytes());
        self.bytes.extend(0_u32.to_ne_bytes());
        self.bytes.extend(payload);
        self.sequence += 1;
    }
}

/// A list of attributes, each padded to four bytes.
struct Attributes(Vec<u8>);

impl Attributes {
    fn bytes(&mut self, kind: u16, value: &[u8]) {
        let length = u16::try_from(4 + value.len()).expect("an attribute is small");
        self.0.extend(length.to_ne_bytes());
        self.0.extend(kind.to_ne_bytes());
        self.0.extend(value);
        self.0.resize(self.0.len().next_multiple_of(4), 0);
    }

    fn text(&mut self, kind: u16, value: &str) {
        let mut bytes = value.as_bytes().to_vec();
        bytes.push(0);
        self.bytes(kind, &bytes);
    }

    /// nf_tables numbers are big-endian.
    fn number(&mut self, kind: u16, value: u32) {
        self.bytes(kind, &value.to_be_bytes());
    }

    fn nested(&mut self, kind: u16, fill: impl FnOnce(&mut Attributes)) {
        let mut inner = Attributes(Vec::new());
        fill(&mut inner);
        self.bytes(kind | NLA_F_NESTED, &inner.0);
    }
}

/// The expressions of one rule, which work on registers.
struct Expressions<'a>(&'a mut Attributes);

impl Expressions<'_> {
    fn push(&mut self, name: &str, fill: impl FnOnce(&mut Attributes)) {
        self.0.nested(1, |e| {
            e.text(1, name);
            e.nested(2, fill);
        });
    }

    /// Goes on only if register 1 holds `value`.
    fn equals(&mut self, value: &[u8]) {
        self.push("cmp", |e| {
            e.number(1, NFT_REG_1);
            e.number(2, 0);
            e.nested(3, |data| data.bytes(1, value));
        });
    }

    /// Puts `value` into register 1.
    fn load(&mut self, value: &[u8]) {
        self.push("immediate", |e| {
            e.number(1, NFT_REG_1);
            e.nested(2, |data| data.bytes(1, value));
        });
    }

    fn mark_and_accept(&mut self, mark: u32) {
        self.load(&mark.to_ne_bytes());
        self.push("meta", |e| {
            e.number(2, NFT_META_MARK);
            e.number(3, NFT_REG_1);
        });
        self.push("immediate", |e| {
            e.number(1, NFT_REG_VERDICT);
            e.nested(2, |data| {
                data.nested(2, |verdict| verdict.number(1, NF_ACCEPT))
            });
        });
    }
}

/// How many messages of a packet say yes; the first that says no is the error.
fn acknowledgements(mut packet: &[u8]) -> io::Result<usize> {
    let mut count = 0;
    while let Some((header, _)) = packet.split_first_chunk::<16>() {
        let [a, b, c, d, kind_low, kind_high, ..] = *header;
        let length = u32::from_ne_bytes([a, b, c, d]) as usize;
        let payload = packet.get(16..length).ok_or(io::ErrorKind::InvalidData)?;
        if u16::from_ne_bytes([kind_low, kind_high]) == NLMSG_ERROR {
            let code = payload
                .first_chunk::<4>()
                .ok_or(io::ErrorKind::InvalidData)?;
            match i32::from_ne_bytes(*code) {
                0 => count += 1,
                code => return Err(io::Error::from_raw_os_error(-code)),
            }
        }
        packet = packet.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    Ok(count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_takes_the_ruleset_twice() {
        // A thread of its own: its network namespace ends with it.
        std::thread::spawn(|| {
            crate::net::new_namespace().unwrap();
            load_transparent_proxy(4321, 1, false).unwrap();
            load_transparent_proxy(4322, 1, true).unwrap();
        })
        .join()
        .unwrap();
    }
}
