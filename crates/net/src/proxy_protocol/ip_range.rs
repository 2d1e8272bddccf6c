//! An address, or all addresses with a prefix.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

/// A range of IP addresses: `192.0.2.1`, `10.1.0.0/16`, `2001:db8::/32`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IpRange {
    address: IpAddr,
    prefix_bits: u8,
}

/// Why a text is no range of addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidRange {
    /// The part before the slash is no address.
    #[error("it is no IP address")]
    Address,
    /// The part after the slash is no length of a prefix.
    #[error("the prefix has 1 to {0} bits")]
    Prefix(u8),
    /// The address has bits beyond the prefix.
    #[error("it has bits beyond its prefix of {0} bits")]
    HostBits(u8),
}

impl IpRange {
    /// Whether the address is in the range. An IPv4 address is the same in its IPv6 form.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(own), IpAddr::V4(other)) => (own.to_bits() ^ other.to_bits()).leading_zeros() >= u32::from(self.prefix_bits),
            (IpAddr::V6(own), IpAddr::V6(other)) => (own.to_bits() ^ other.to_bits()).leading_zeros() >= u32::from(self.prefix_bits),
            _ => false,
        }
    }

    /// Whether no bit beyond the prefix is set.
    fn is_network(&self) -> bool {
        let trailing = match self.address {
            IpAddr::V4(address) => 32 - address.to_bits().trailing_zeros(),
            IpAddr::V6(address) => 128 - address.to_bits().trailing_zeros(),
        };
        trailing <= u32::from(self.prefix_bits)
    }
}

fn all_bits(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

impl FromStr for IpRange {
    type Err = InvalidRange;

    fn from_str(text: &str) -> Result<Self, InvalidRange> {
        let (address, prefix) = text.split_once('/').map_or((text, None), |(address, prefix)| (address, Some(prefix)));
        let address: IpAddr = address.parse().map_err(|_| InvalidRange::Address)?;
        let all = all_bits(address);
        let prefix_bits = match prefix {
            None => all,
            Some(bits) => bits.parse().ok().filter(|bits| (1..=all).contains(bits)).ok_or(InvalidRange::Prefix(all))?,
        };
        let range = Self { address, prefix_bits };
        if range.is_network() { Ok(range) } else { Err(InvalidRange::HostBits(prefix_bits)) }
    }
}

impl fmt::Display for IpRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.prefix_bits == all_bits(self.address) {
            true => write!(f, "{}", self.address),
            false => write!(f, "{}/{}", self.address, self.prefix_bits),
        }
    }
}

#[cfg(test)]
mod range_tests {
    use super::*;

    #[test]
    fn a_range_contains_what_has_its_prefix() {
        let contains = |range: &str, address: &str| range.parse::<IpRange>().unwrap().contains(address.parse().unwrap());
        for (range, inside) in [
            ("192.0.2.1", "192.0.2.1"),
            ("192.0.2.1", "::ffff:192.0.2.1"),
            ("10.1.0.0/16", "10.1.255.255"),
            ("128.0.0.0/1", "255.0.0.0"),
            ("2001:db8::/32", "2001:db8:ffff::1"),
            ("2001:db8::1", "2001:db8::1"),
        ] {
            assert!(contains(range, inside), "{range} {inside}");
        }
        for (range, outside) in [
            ("192.0.2.1", "192.0.2.2"),
            ("10.1.0.0/16", "10.2.0.0"),
            ("128.0.0.0/1", "127.255.255.255"),
            ("2001:db8::/32", "10.1.0.0"),
            ("10.1.0.0/16", "a01::"),
        ] {
            assert!(!contains(range, outside), "{range} {outside}");
        }
    }

    #[test]
    fn a_range_is_written_as_it_was_read_and_a_wrong_one_says_why() {
        for text in ["192.0.2.1", "10.1.0.0/16", "2001:db8::/32", "::1"] {
            assert_eq!(text.parse::<IpRange>().unwrap().to_string(), text);
        }
        for (text, why) in [
            ("localhost", InvalidRange::Address),
            ("", InvalidRange::Address),
            ("10.0.0.0/0", InvalidRange::Prefix(32)),
            ("10.0.0.0/33", InvalidRange::Prefix(32)),
            ("::/129", InvalidRange::Prefix(128)),
            ("10.0.0.0/", InvalidRange::Prefix(32)),
            ("10.1.2.3/16", InvalidRange::HostBits(16)),
        ] {
            assert_eq!(text.parse::<IpRange>(), Err(why), "{text}");
        }
    }
}
