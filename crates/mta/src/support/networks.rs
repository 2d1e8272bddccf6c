//! The networks by which clients are counted and recognised.
//!
//! Invariant: an IPv4 address written as IPv6 is the IPv4 address.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// How long a network is known after mail or a login, in milliseconds.
pub(crate) const KNOWN_MS: i64 = 30 * 86_400_000;

/// An IPv4 address, or the /64 of an IPv6 address, within which a client can easily change its address.
pub(crate) fn network(address: IpAddr) -> IpAddr {
    masked(address, 32, 64)
}

/// The network whose clients share a quota: an IPv4 /24 or an IPv6 /48, the most that one customer of a provider gets.
pub(crate) fn block(address: IpAddr) -> IpAddr {
    masked(address, 24, 48)
}

/// The network by which a client is recognised, an IPv4 /16 or an IPv6 /32: large providers send one account's mail from many addresses of it.
pub(crate) fn neighbourhood(address: IpAddr) -> IpAddr {
    masked(address, 16, 32)
}

fn masked(address: IpAddr, v4_bits: u32, v6_bits: u32) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(v4) => IpAddr::V4(Ipv4Addr::from_bits(v4.to_bits() & !u32::MAX.checked_shr(v4_bits).unwrap_or(0))),
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & !u128::MAX.checked_shr(v6_bits).unwrap_or(0))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_cut_to_their_network() {
        let cut = |of: fn(IpAddr) -> IpAddr, address: &str| of(address.parse().unwrap()).to_string();
        assert_eq!(cut(network, "192.0.2.77"), "192.0.2.77");
        assert_eq!(cut(block, "192.0.2.77"), "192.0.2.0");
        assert_eq!(cut(neighbourhood, "::ffff:192.0.2.77"), "192.0.0.0");
        assert_eq!(cut(network, "2001:db8:1:2:3::4"), "2001:db8:1:2::");
        assert_eq!(cut(block, "2001:db8:1:2:3::4"), "2001:db8:1::");
        assert_eq!(cut(neighbourhood, "2001:db8:1:2:3::4"), "2001:db8::");
    }
}
