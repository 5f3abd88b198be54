//! Arithmetic on IPv4 subnets.

use std::fmt;
use std::net::Ipv4Addr;

/// An IPv4 subnet with room for a gateway and at least one container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Subnet {
    base: u32,
    prefix: u8,
}

impl Subnet {
    /// The subnet that `address` is in; `None` when it is too small, or not for ordinary
    /// machines (loopback, multicast, 0.0.0.0).
    pub(crate) fn new(address: Ipv4Addr, prefix: u8) -> Option<Self> {
        if !(1..=30).contains(&prefix) {
            return None;
        }
        let base = u32::from(address) & (u32::MAX << (32 - prefix));
        let first = Ipv4Addr::from(base);
        let special = first.is_loopback() || first.octets()[0] == 0 || first.octets()[0] >= 224;
        (!special).then_some(Self { base, prefix })
    }

    /// Length of the prefix in bits.
    pub(crate) fn prefix(self) -> u8 {
        self.prefix
    }

    /// The first address: the bridge's.
    pub(crate) fn gateway(self) -> Ipv4Addr {
        Ipv4Addr::from(self.base + 1)
    }

    fn broadcast(self) -> u32 {
        self.base | (u32::MAX >> self.prefix)
    }

    /// Is the address in this subnet?
    pub(crate) fn contains(self, address: Ipv4Addr) -> bool {
        (self.base..=self.broadcast()).contains(&u32::from(address))
    }

    /// May a container have the address?
    pub(crate) fn offers(self, address: Ipv4Addr) -> bool {
        (self.base + 2..self.broadcast()).contains(&u32::from(address))
    }

    /// Do the two share an address?
    pub(crate) fn overlaps(self, other: Self) -> bool {
        self.base <= other.broadcast() && other.base <= self.broadcast()
    }

    /// The first address after `last` (or from the start) that is not taken, going round.
    pub(crate) fn next_free(
        self,
        last: Option<Ipv4Addr>,
        taken: impl Fn(Ipv4Addr) -> bool,
    ) -> Option<Ipv4Addr> {
        let (first, end) = (self.base + 2, self.broadcast());
        let start = last
            .map_or(first, |last| u32::from(last) + 1)
            .clamp(first, end);
        (start..end)
            .chain(first..start)
            .map(Ipv4Addr::from)
            .find(|address| !taken(*address))
    }
}

impl fmt::Display for Subnet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", Ipv4Addr::from(self.base), self.prefix)
    }
}

/// The hardware address that goes with an address: locally administered, and the same again
/// after a restart, so that neighbours' caches stay right.
pub(crate) fn mac(address: Ipv4Addr) -> [u8; 6] {
    let [a, b, c, d] = address.octets();
    [0x02, 0x53, a, b, c, d]
}

/// `xx:xx:xx:xx:xx:xx`.
pub(crate) fn mac_text(mac: [u8; 6]) -> String {
    mac.map(|byte| format!("{byte:02x}")).join(":")
}

/// Reads [`mac_text`] back, if an interface can have it: neither of a group, which the lowest
/// bit of the first byte tells, nor all zero.
pub(crate) fn parse_mac(text: &str) -> Option<[u8; 6]> {
    let mut mac = [0; 6];
    let mut parts = text.split(':');
    for byte in &mut mac {
        let part = parts.next()?;
        if part.len() != 2 || !part.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return None;
        }
        *byte = u8::from_str_radix(part, 16).ok()?;
    }
    (parts.next().is_none() && mac[0] & 1 == 0 && mac != [0; 6]).then_some(mac)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn subnet(text: &str, prefix: u8) -> Subnet {
        Subnet::new(text.parse().unwrap(), prefix).unwrap()
    }

    #[test]
    fn addresses_are_given_out_in_turn_and_go_round() {
        let small = subnet("10.89.0.0", 29);
        assert_eq!(small.gateway(), Ipv4Addr::new(10, 89, 0, 1));
        let at = |n| Some(Ipv4Addr::new(10, 89, 0, n));
        assert_eq!(small.next_free(None, |_| false), at(2));
        assert_eq!(small.next_free(at(2), |_| false), at(3));
        assert_eq!(small.next_free(at(6), |_| false), at(2));
        assert_eq!(small.next_free(at(3), |a| a.octets()[3] != 2), at(2));
        assert_eq!(small.next_free(None, |_| true), None);
    }

    #[test]
    fn hardware_addresses_are_read() {
        let fine = mac(Ipv4Addr::new(10, 89, 0, 2));
        assert_eq!(parse_mac(&mac_text(fine)), Some(fine));
        for bad in [
            "",
            "02",
            "02:1:2:3:4:5",
            "03:00:00:00:00:01",
            "00:00:00:00:00:00",
        ] {
            assert_eq!(parse_mac(bad), None, "{bad}");
        }
        assert_eq!(parse_mac("02:00:00:00:00:01:02"), None);
        assert_eq!(parse_mac("02:00:00:00:00:+1"), None);
    }

    #[test]
    fn useless_subnets_are_refused() {
        assert!(Subnet::new(Ipv4Addr::new(10, 0, 0, 0), 31).is_none());
        assert!(Subnet::new(Ipv4Addr::new(127, 1, 0, 0), 24).is_none());
        assert!(Subnet::new(Ipv4Addr::new(224, 1, 0, 0), 24).is_none());
        assert_eq!(subnet("192.168.7.9", 24).to_string(), "192.168.7.0/24");
    }

    proptest! {
        #[test]
        fn what_is_given_out_may_be_had(
            base in any::<u32>(), prefix in 0_u8..=40, last in any::<Option<u32>>(),
        ) {
            if let Some(subnet) = Subnet::new(base.into(), prefix) {
                let given = subnet.next_free(last.map(Ipv4Addr::from), |_| false).unwrap();
                prop_assert!(subnet.offers(given) && subnet.contains(given));
                prop_assert!(!subnet.offers(subnet.gateway()));
                prop_assert!(subnet.overlaps(subnet));
            }
        }
    }
}
