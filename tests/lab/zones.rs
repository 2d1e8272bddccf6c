//! Records of the zones that many tests share, as lines for [`Dns`](crate::Dns).

use crate::{Lab, MX_PORT};

/// The zone of most tests: example.test with our server, and inbox.test, where its alias leads.
pub fn zone(lab: &Lab) -> String {
    domain(lab, "example", 1) + &domain(lab, "inbox", 2)
}

/// The usual zone with fwd.example.test, a forwarding domain that leads to our server and is allowed to send, and foreign.test, whose DMARC
/// policy rejects unauthenticated mail.
pub fn forwarding_zone(lab: &Lab) -> String {
    zone(lab)
        + "fwd.example MX 10 mx.example\nfwd.example TXT \"v=spf1 ip4:127.0.0.0/8 -all\"\n\
           _dmarc.foreign TXT \"v=DMARC1; p=reject; adkim=s; aspf=s\"\n"
        + &domain(lab, "foreign", 3)
}

/// A domain with one mail host, at the lab's address `host`.
pub fn domain(lab: &Lab, name: &str, host: u8) -> String {
    format!("{name} MX 10 mx.{name}\nmx.{name} A {}\n", lab.address(host))
}

/// A domain with a mail host and a host of MTA-STS policies, at the lab's addresses 11 and 12.
pub fn sts_domain(lab: &Lab, name: &str) -> String {
    format!("{}_mta-sts.{name} TXT \"v=STSv1; id=1\"\nmta-sts.{name} A {}\n", domain(lab, name, 11), lab.address(12))
}

/// The TLSA record of a domain's mail host.
pub fn tlsa(name: &str, record: &str) -> String {
    format!("_{MX_PORT}._tcp.mx.{name} TLSA {record}\n")
}
