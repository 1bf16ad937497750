//! Which addresses belong to the public Internet.
//!
//! IPv4 refuses the special-purpose ranges of IANA's registry by name. IPv6 is the other way round: only
//! global unicast passes, less the parts of it that are for documentation or carry an IPv4 address
//! inside, so that every form of embedding (mapped, compatible, 6to4, Teredo, NAT64) is refused whatever
//! it embeds.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{Ipv4Net, Ipv6Net};

const REFUSED_V4: [Ipv4Net; 15] = [
    v4([0, 0, 0, 0], 8),       // this network; the unspecified address
    v4([10, 0, 0, 0], 8),      // private
    v4([100, 64, 0, 0], 10),   // carrier-grade NAT; a cloud's metadata
    v4([127, 0, 0, 0], 8),     // loopback
    v4([169, 254, 0, 0], 16),  // link-local; most clouds' metadata
    v4([172, 16, 0, 0], 12),   // private
    v4([192, 0, 0, 0], 24),    // protocol assignments; a cloud's metadata
    v4([192, 0, 2, 0], 24),    // documentation
    v4([192, 88, 99, 0], 24),  // 6to4 relay
    v4([192, 168, 0, 0], 16),  // private
    v4([198, 18, 0, 0], 15),   // benchmarks
    v4([198, 51, 100, 0], 24), // documentation
    v4([203, 0, 113, 0], 24),  // documentation
    v4([224, 0, 0, 0], 4),     // multicast
    v4([240, 0, 0, 0], 4),     // reserved; broadcast
];

const GLOBAL_V6: Ipv6Net = v6([0x2000, 0], 3);

const REFUSED_V6: [Ipv6Net; 4] = [
    v6([0x2001, 0], 23),     // protocol assignments: Teredo, ORCHID, benchmarks
    v6([0x2001, 0xdb8], 32), // documentation
    v6([0x2002, 0], 16),     // 6to4
    v6([0x3fff, 0], 20),     // documentation
];

const LINK_LOCAL_V4: Ipv4Net = v4([169, 254, 0, 0], 16);
const LINK_LOCAL_V6: Ipv6Net = v6([0xfe80, 0], 10);
/// Where one cloud keeps its metadata on IPv6.
const METADATA_V6: Ipv6Net =
    Ipv6Net::new_assert(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0), 32);

const fn v4([a, b, c, d]: [u8; 4], prefix: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), prefix)
}

const fn v6([a, b]: [u16; 2], prefix: u8) -> Ipv6Net {
    Ipv6Net::new_assert(Ipv6Addr::new(a, b, 0, 0, 0, 0, 0, 0), prefix)
}

/// Whether an address belongs to the public Internet.
pub(super) fn is_public(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => !REFUSED_V4.iter().any(|net| net.contains(&ip)),
        IpAddr::V6(ip) => {
            GLOBAL_V6.contains(&ip) && !REFUSED_V6.iter().any(|net| net.contains(&ip))
        }
    }
}

/// Whether an address is link-local, where clouds hand out credentials of the machine.
pub(super) fn is_link_local(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => LINK_LOCAL_V4.contains(&ip),
        IpAddr::V6(ip) => match ip.to_ipv4_mapped() {
            Some(ip) => LINK_LOCAL_V4.contains(&ip),
            None => LINK_LOCAL_V6.contains(&ip) || METADATA_V6.contains(&ip),
        },
    }
}
