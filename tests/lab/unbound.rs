//! A validating resolver of the lab: unbound with the lab's zone and its trust anchor.

use std::net::{Ipv4Addr, UdpSocket};
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::{DNS_PORT, Dns, Lab, Process, wait_for};

/// A running unbound.
#[derive(Debug)]
pub struct Unbound {
    _process: Process,
    /// Its address, on [`DNS_PORT`] and on 53, for programs without another choice. The latter needs root.
    pub address: Ipv4Addr,
}

impl Unbound {
    /// Starts one that trusts the key of the zone `test`.
    pub fn start(lab: &Lab, dns: &Dns) -> Self {
        let address = lab.address(54);
        let anchor = dns.trust_anchor(lab);
        let configuration = lab.write(
            "unbound.conf",
            &format!(
                "server:\n  interface: {address}@{DNS_PORT}\n  interface: {address}@53\n  access-control: 127.0.0.0/8 allow\n  do-not-query-localhost: no\n  username: \"\"\n  \
                 chroot: \"\"\n  pidfile: \"\"\n  use-syslog: no\n  verbosity: 1\n  logfile: \"{log}\"\n  do-ip6: no\n  \
                 trust-anchor-file: \"{anchor}\"\n  module-config: \"validator iterator\"\n  local-zone: \"test.\" nodefault\n  \
                 cache-max-ttl: 1\n  cache-max-negative-ttl: 1\n  root-hints: \"\"\n\
                 stub-zone:\n  name: \"test.\"\n  stub-addr: {server}@{DNS_PORT}\n  stub-prime: no\nremote-control:\n  control-enable: no\n",
                log = lab.path().join("unbound.log").display(),
                anchor = anchor.display(),
                server = dns.address,
            ),
        );
        let mut command = Command::new("unbound");
        command.arg("-d").arg("-c").arg(configuration).stdout(Stdio::null()).stderr(Stdio::null());
        let mut process = Process::start(&mut command);
        wait_for("unbound to answer", || {
            assert!(process.is_running(), "unbound ended: {}", std::fs::read_to_string(lab.path().join("unbound.log")).unwrap_or_default());
            answers(address).then_some(())
        });
        Self { _process: process, address }
    }
}

fn answers(address: Ipv4Addr) -> bool {
    let query = b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x04test\x00\x00\x06\x00\x01";
    let Ok(socket) = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)) else { return false };
    let mut answer = [0; 512];
    socket.set_read_timeout(Some(Duration::from_millis(300))).is_ok()
        && socket.send_to(query, (address, DNS_PORT)).is_ok()
        && socket.recv(&mut answer).is_ok_and(|n| n > 12 && answer[3] & 15 == 0 && answer[7] > 0)
}
