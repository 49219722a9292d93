//! What kinds of addresses there are that are not public.
//!
//! Invariant: this is a table of facts; what follows from them is the egress rule's to say.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{Ipv4Net, Ipv6Net};

/// An IPv4 address in IPv6 clothes is looked at without them: `::ffff:0:0/96` (RFC 4291),
/// `::ffff:0:0:0/96` (RFC 2765) and `64:ff9b::/96` (RFC 6052).
pub(super) fn unwrap_mapped(address: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = address else {
        return address;
    };
    match v6.octets() {
        [0x00, 0x64, 0xff, 0x9b, 0, 0, 0, 0, 0, 0, 0, 0, a, b, c, d]
        | [0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0, a, b, c, d] => {
            Ipv4Addr::new(a, b, c, d).into()
        }
        _ => v6.to_ipv4_mapped().map_or(address, IpAddr::from),
    }
}

/// Whether a cloud keeps credentials there.
pub(super) fn is_metadata(address: IpAddr) -> bool {
    const V4: [Ipv4Addr; 4] = [
        Ipv4Addr::new(169, 254, 169, 254),
        Ipv4Addr::new(100, 100, 100, 200),
        Ipv4Addr::new(192, 0, 0, 192),
        Ipv4Addr::new(168, 63, 129, 16),
    ];
    const V6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254);
    V4.iter().any(|v4| address == *v4) || address == V6
}

/// What makes an address not public, by the special-purpose registries of IANA (RFC 6890).
pub(super) fn kind_of(address: IpAddr) -> Option<&'static str> {
    match address {
        IpAddr::V4(v4) => DENIED_V4.iter().find(|(net, _)| net.contains(&v4)).map(|found| found.1),
        IpAddr::V6(v6) => DENIED_V6.iter().find(|(net, _)| net.contains(&v6)).map(|found| found.1),
    }
}

const fn v4(a: u8, b: u8, c: u8, prefix: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, 0), prefix)
}

const fn v6(a: u16, b: u16, c: u16, prefix: u8) -> Ipv6Net {
    Ipv6Net::new_assert(Ipv6Addr::new(a, b, c, 0, 0, 0, 0, 0), prefix)
}

const DENIED_V4: [(Ipv4Net, &str); 15] = [
    (v4(0, 0, 0, 8), "an address of this network (0.0.0.0/8)"),
    (v4(10, 0, 0, 8), "a private address (10.0.0.0/8)"),
    (v4(100, 64, 0, 10), "a carrier's shared address (100.64.0.0/10)"),
    (v4(127, 0, 0, 8), "a loopback address (127.0.0.0/8)"),
    (v4(169, 254, 0, 16), "a link-local address (169.254.0.0/16)"),
    (v4(172, 16, 0, 12), "a private address (172.16.0.0/12)"),
    (v4(192, 0, 0, 24), "a protocol assignment (192.0.0.0/24)"),
    (v4(192, 0, 2, 24), "a documentation address (192.0.2.0/24)"),
    (v4(192, 88, 99, 24), "a 6to4 relay (192.88.99.0/24)"),
    (v4(192, 168, 0, 16), "a private address (192.168.0.0/16)"),
    (v4(198, 18, 0, 15), "a benchmarking address (198.18.0.0/15)"),
    (v4(198, 51, 100, 24), "a documentation address (198.51.100.0/24)"),
    (v4(203, 0, 113, 24), "a documentation address (203.0.113.0/24)"),
    (v4(224, 0, 0, 4), "a multicast address (224.0.0.0/4)"),
    (v4(240, 0, 0, 4), "a reserved address (240.0.0.0/4)"),
];

const DENIED_V6: [(Ipv6Net, &str); 12] = [
    // Holds ::, ::1 and the addresses that are compatible with IPv4.
    (v6(0, 0, 0, 96), "a loopback or unspecified address (::/96)"),
    (v6(0x64, 0xff9b, 1, 48), "a translated address (64:ff9b:1::/48)"),
    (v6(0x100, 0, 0, 64), "a discard address (100::/64)"),
    (v6(0x2001, 0, 0, 23), "a protocol assignment (2001::/23)"),
    (v6(0x2001, 0xdb8, 0, 32), "a documentation address (2001:db8::/32)"),
    (v6(0x2002, 0, 0, 16), "a 6to4 address (2002::/16)"),
    (v6(0x3fff, 0, 0, 20), "a documentation address (3fff::/20)"),
    (v6(0x5f00, 0, 0, 16), "a segment routing address (5f00::/16)"),
    (v6(0xfc00, 0, 0, 7), "a unique local address (fc00::/7)"),
    (v6(0xfe80, 0, 0, 10), "a link-local address (fe80::/10)"),
    (v6(0xfec0, 0, 0, 10), "a site-local address (fec0::/10)"),
    (v6(0xff00, 0, 0, 8), "a multicast address (ff00::/8)"),
];
