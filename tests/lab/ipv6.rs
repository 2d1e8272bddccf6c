//! IPv6 addresses of a lab: the loopback interface has only one of its own.
//!
//! Invariant: added addresses are removed again.

use std::net::Ipv6Addr;

use crate::{Lab, run, run_ok};

/// An address on the loopback interface, removed on drop.
#[derive(Debug)]
pub struct LabIpv6 {
    /// A unique local address.
    pub address: Ipv6Addr,
}

impl LabIpv6 {
    /// The lab's address with this number.
    pub fn new(lab: &Lab, host: u8) -> Self {
        let [_, a, b, _] = lab.address(1).octets();
        let address = Ipv6Addr::new(0xfd7a, 0x1ab, u16::from(a), u16::from(b), 0, 0, 0, u16::from(host));
        let of = format!("{address}/128");
        run_ok("ip", &["-6", "addr", "replace", &of, "dev", "lo", "nodad"]);
        Self { address }
    }

    /// Its reverse zone, and its name in it.
    pub fn reverse(&self) -> (String, String) {
        let digits: Vec<String> =
            self.address.octets().iter().rev().flat_map(|b| [format!("{:x}", b & 15), format!("{:x}", b >> 4)]).collect();
        let (host, network) = digits.split_at(16);
        (format!("{}.ip6.arpa", network.join(".")), host.join("."))
    }
}

impl Drop for LabIpv6 {
    fn drop(&mut self) {
        run("ip", &["-6", "addr", "del", &format!("{}/128", self.address), "dev", "lo"]);
    }
}
