//! The lab's name server: Knot DNS, authoritative for the zones of a test.

use std::fmt::Write as _;
use std::net::{Ipv4Addr, UdpSocket};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::{Lab, Process, run_ok, wait_for};

/// A running name server.
#[derive(Debug)]
pub struct Dns {
    _process: Process,
    /// Where it answers, port 53.
    pub address: Ipv4Addr,
}

/// The port of the name server.
pub const DNS_PORT: u16 = 5353;

/// The secret of the TSIG key `lab`, which may change zones.
pub const UPDATE_SECRET: &str = "aG93IHdlIHByb3ZlIHVwZGF0ZXMgb2Ygem9uZXMgMQ==";

const REVERSE_V6: &str = "0.1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0 ";

/// Changes a zone of a server that accepts updates.
pub(crate) fn update(server: Ipv4Addr, zone: &str, lines: &str) {
    let script = format!("server {server} {DNS_PORT}\nzone {zone}\n{lines}\nsend\nquit\n");
    crate::fed("knsupdate", &["-y", &format!("hmac-sha256:lab:{UPDATE_SECRET}")], &script);
}

/// A zone line with a TXT record, in strings of at most 255 octets.
pub fn txt(name: &str, text: &str) -> String {
    let strings: Vec<String> = text.as_bytes().chunks(250).map(|piece| format!("\"{}\"", String::from_utf8_lossy(piece))).collect();
    format!("{name} TXT {}\n", strings.join(" "))
}

impl Dns {
    /// Serves the zone `test`, signed with DNSSEC, answers SERVFAIL for the zone `broken` and REFUSED for others. `records` are lines such as
    /// `example MX 10 mx.example`. SPF allows all addresses of the lab for foreign.test.
    pub fn start(lab: &Lab, records: &str) -> Self {
        Self::with_zones(lab, records, &[])
    }

    /// The same with one more zone: its name and its records.
    pub fn with_zone(lab: &Lab, records: &str, name: &str, more: &str) -> Self {
        Self::with_zones(lab, records, &[(name, more)])
    }

    /// The same with more zones, which are not signed.
    pub fn with_zones(lab: &Lab, records: &str, others: &[(&str, &str)]) -> Self {
        let address = lab.address(53);
        let mut zone = String::from("$ORIGIN test.\n$TTL 60\n@ SOA ns hostmaster 1 3600 600 86400 60\n@ NS ns\n");
        let _ = writeln!(zone, "ns A {address}\nforeign TXT \"v=spf1 ip4:127.0.0.0/8 -all\"\n{records}");
        lab.write("dns/test.zone", &zone);
        let directory = lab.path().join("dns");
        let shown = directory.display();
        let other = |(name, more): &(&str, &str)| {
            lab.write(
                &format!("dns/{name}.zone"),
                &format!("$ORIGIN {name}.\n$TTL 60\n@ SOA ns.test. hostmaster 1 3600 600 86400 60\n@ NS ns.test.\n{more}"),
            );
            format!("  - domain: {name}\n    storage: \"{shown}\"\n    file: {name}.zone\n")
        };
        let other: String = others.iter().map(other).collect();
        let configuration = lab.write(
            "dns/knot.conf",
            &format!(
                "server:\n  rundir: \"{shown}\"\n  listen: {address}@{DNS_PORT}\n  udp-workers: 1\n  tcp-workers: 1\n  background-workers: 1\n\
                 log:\n  - target: stderr\n    any: warning\ndatabase:\n  storage: \"{shown}\"\n\
                 policy:\n  - id: lab\n    single-type-signing: on\n    algorithm: ecdsap256sha256\n\
                 zone:\n  - domain: test\n    dnssec-signing: on\n    dnssec-policy: lab\n    storage: \"{shown}\"\n    file: test.zone\n    zonefile-load: whole\n    zonefile-sync: -1\n    journal-content: none\n  \
                 - domain: broken\n    storage: \"{shown}\"\n    file: missing.zone\n{other}"
            ),
        );
        let mut command = Command::new("knotd");
        command.arg("-c").arg(configuration).stdout(Stdio::null()).stderr(Stdio::null());
        let dns = Self { _process: Process::start(&mut command), address };
        wait_for("the name server", || dns.answers().then_some(()));
        dns
    }

    /// Serves the signed zone `test` with `records` only, and accepts updates with the key `lab`. It also has the reverse zones of 192.0.2.10 and 2001:db8::10.
    pub fn start_for_updates(lab: &Lab, records: &str) -> Self {
        let address = lab.address(53);
        let head =
            |origin: &str| format!("$ORIGIN {origin}\n$TTL 60\n@ SOA ns.test. hostmaster.test. 1 3600 600 86400 60\n@ NS ns.test.\n");
        lab.write("dns/test.zone", &format!("{}ns A {address}\n{records}", head("test.")));
        lab.write("dns/v4.zone", &format!("{}10 PTR mx.example.test.\n", head("2.0.192.in-addr.arpa.")));
        lab.write("dns/v6.zone", &format!("{}{}PTR mx.example.test.\n", head("8.b.d.0.1.0.0.2.ip6.arpa."), REVERSE_V6));
        let shown = lab.path().join("dns").display().to_string();
        let zone = |domain: &str, file: &str| {
            let signed = if domain == "test" { "    dnssec-signing: on\n    dnssec-policy: lab\n" } else { "" };
            format!(
                "  - domain: {domain}\n{signed}    storage: \"{shown}\"\n    file: {file}\n    acl: lab\n    zonefile-load: whole\n    zonefile-sync: -1\n    journal-content: none\n"
            )
        };
        let zones = [("test", "test.zone"), ("2.0.192.in-addr.arpa", "v4.zone"), ("8.b.d.0.1.0.0.2.ip6.arpa", "v6.zone")];
        let zones: String = zones.iter().map(|(domain, file)| zone(domain, file)).collect();
        let configuration = lab.write(
            "dns/knot.conf",
            &format!(
                "server:\n  rundir: \"{shown}\"\n  listen: {address}@{DNS_PORT}\n  udp-workers: 1\n  tcp-workers: 1\n  background-workers: 1\n\
                 log:\n  - target: stderr\n    any: warning\ndatabase:\n  storage: \"{shown}\"\n\
                 policy:\n  - id: lab\n    single-type-signing: on\n    algorithm: ecdsap256sha256\n\
                 key:\n  - id: lab\n    algorithm: hmac-sha256\n    secret: {UPDATE_SECRET}\nacl:\n  - id: lab\n    key: lab\n    action: update\nzone:\n{zones}"
            ),
        );
        let mut command = Command::new("knotd");
        command.arg("-c").arg(configuration).stdout(Stdio::null()).stderr(Stdio::null());
        let dns = Self { _process: Process::start(&mut command), address };
        wait_for("the name server", || dns.answers().then_some(()));
        dns
    }

    /// Changes a zone of [`Self::start_for_updates`] by lines such as `del name A`.
    pub fn update(&self, zone: &str, lines: &str) {
        update(self.address, zone, lines);
    }

    /// A file with the key of the zone `test`, as the trust anchor of a validator.
    pub fn trust_anchor(&self, lab: &Lab) -> PathBuf {
        let server = format!("@{}", self.address);
        let keys = run_ok("kdig", &[&server, "-p", &DNS_PORT.to_string(), "+short", "DNSKEY", "test."]);
        let lines: String =
            keys.lines().filter(|line| line.starts_with("257 ")).map(|key| format!("test. 3600 IN DNSKEY {key}\n")).collect();
        assert!(!lines.is_empty(), "no key: {keys}");
        lab.write("test.key", &lines)
    }

    /// Asks for the SOA of `test`.
    fn answers(&self) -> bool {
        let query = b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x04test\x00\x00\x06\x00\x01";
        let Ok(socket) = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)) else { return false };
        let mut answer = [0; 512];
        socket.set_read_timeout(Some(Duration::from_millis(200))).is_ok()
            && socket.send_to(query, (self.address, DNS_PORT)).is_ok()
            && socket.recv(&mut answer).is_ok_and(|n| n > 12 && answer[3] & 15 == 0 && answer[7] > 0)
    }
}
