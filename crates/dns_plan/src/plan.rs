//! The plan: the records that follow from the facts.
//!
//! RFC 7208 s.3, RFC 9989 s.4.7, RFC 6376 s.3.6.1, RFC 7671 s.8.1 (the next key is published in advance). Invariant: a name with several roles
//! (host, forwarding domain, hosted domain) gets each record once.

use std::net::IpAddr;

use mail::Domain;

use super::{DkimFact, DmarcStage, DnsFacts, DnsSeverity, KeyStage, PlannedRecord, RecordKind, RecordType, reverse_name};
use crate::client_records::client_records;

/// TTL of records: short enough to correct a mistake within the hour.
const TTL_S: u32 = 3600;

/// Placeholder of an unknown address.
const UNKNOWN: &str = "(this server's IPv4 address)";

use DnsSeverity::{Optional, Recommended, Required};

struct Planner<'a> {
    facts: &'a DnsFacts,
    records: Vec<PlannedRecord>,
    domain: Option<Domain>,
}

/// Plans all records: of each hosted domain, of the server, and of the forwarding domain.
pub fn plan(facts: &DnsFacts) -> Vec<PlannedRecord> {
    let mut planner = Planner { facts, records: Vec::new(), domain: None };
    for domain in &facts.domains {
        planner.domain = Some(domain.clone());
        planner.domain_records(domain);
    }
    planner.domain = None;
    planner.host();
    planner.forwarding();
    for domain in &facts.domains {
        planner.domain = Some(domain.clone());
        planner.keys(domain);
        planner.for_clients(domain);
    }
    planner.domain = None;
    if !facts.domains.contains(&facts.forwarding) {
        planner.keys(&facts.forwarding);
    }
    planner.optional();
    planner.records
}

impl Planner<'_> {
    fn add(&mut self, owner: &str, (record_type, kind): (RecordType, RecordKind), value: String, severity: DnsSeverity, why: &'static str) {
        let mut owner = owner.trim_end_matches('.').to_ascii_lowercase();
        owner.push('.');
        let same = |r: &PlannedRecord| r.owner == owner && r.record_type == record_type && r.value == value;
        if !self.records.iter().any(same) {
            let domain = self.domain.clone();
            self.records.push(PlannedRecord { domain, owner, record_type, value, ttl_s: TTL_S, kind, severity, why });
        }
    }

    fn domain_records(&mut self, domain: &Domain) {
        let facts = self.facts;
        let name = domain.as_str();
        self.mail_hosts(name, "other servers deliver mail for the domain to this server");
        let mut spf = String::from("v=spf1 mx");
        for address in self.own_sources(domain) {
            spf.push_str(&mechanism(address));
        }
        for include in &facts.includes {
            spf.push_str(&format!(" include:{include}"));
        }
        spf.push_str(" ~all");
        self.add(name, (RecordType::Txt, RecordKind::Spf), spf, Required, "it allows this server to send for the domain");
        // Only the domain itself is aligned: mail under the forwarding domain must not pass as its mail (aspf=s).
        let dmarc = format!("v=DMARC1; p={}; aspf=s; rua=mailto:{}@{name}", facts.dmarc.as_str(), facts.dmarc_user);
        let why = "Gmail and others require it of all senders; its reports show which servers send under your name";
        self.add(&format!("_dmarc.{name}"), (RecordType::Txt, RecordKind::Dmarc), dmarc, Required, why);
    }

    /// The MX records of a name: this server, and the others, which take its mail while this one is down.
    fn mail_hosts(&mut self, name: &str, why: &'static str) {
        let facts = self.facts;
        let of = |host: &Domain| format!("10 {host}.");
        self.add(name, (RecordType::Mx, RecordKind::Mx), of(&facts.hostname), Required, why);
        for host in &facts.other_hosts {
            let why = "that server shares the mail: it takes it while this one is down";
            self.add(name, (RecordType::Mx, RecordKind::Mx), of(host), Recommended, why);
        }
    }

    /// If the domain is also the forwarding domain, the source addresses of forwards: they may not be the host's.
    fn own_sources(&self, domain: &Domain) -> Vec<IpAddr> {
        let facts = self.facts;
        let is_own = *domain == facts.forwarding;
        facts.forward_addresses.iter().filter(|address| is_own && !facts.addresses.contains(address)).copied().collect()
    }

    fn addresses(&mut self, name: &str, severity: DnsSeverity, why: &'static str) {
        for address in self.facts.addresses.clone() {
            let record_type = if address.is_ipv4() { RecordType::A } else { RecordType::Aaaa };
            self.add(name, (record_type, RecordKind::HostAddress), address.to_string(), severity, why);
        }
        if self.facts.addresses.is_empty() {
            self.add(name, (RecordType::A, RecordKind::HostAddress), UNKNOWN.into(), severity, why);
        }
    }

    fn host(&mut self) {
        let facts = self.facts;
        let name = facts.hostname.as_str();
        self.addresses(name, Required, "other servers and clients connect to this address");
        let why = "Gmail and others refuse a server whose address has no PTR record, or one with another name";
        for address in &facts.addresses {
            self.add(&reverse_name(*address), (RecordType::Ptr, RecordKind::Ptr), format!("{name}."), Required, why);
        }
        if !facts.domains.contains(&facts.hostname) {
            let mut spf = String::from("v=spf1 a");
            if facts.hostname == facts.forwarding {
                let others = facts.forward_addresses.iter().filter(|address| !facts.addresses.contains(address));
                others.for_each(|address| spf.push_str(&mechanism(*address)));
                facts.forward_includes.iter().for_each(|include| spf.push_str(&format!(" include:{include}")));
            }
            spf.push_str(" -all");
            let why = "DSNs have a null reverse-path, so SPF checks the name of the server";
            self.add(
                name,
                (RecordType::Txt, RecordKind::Spf),
                spf,
                if facts.hostname == facts.forwarding { Required } else { Recommended },
                why,
            );
        }
    }

    fn forwarding(&mut self) {
        let facts = self.facts;
        let name = facts.forwarding.as_str();
        if facts.domains.contains(&facts.forwarding) {
            return;
        }
        if facts.forwarding != facts.hostname {
            self.mail_hosts(name, "DSNs about forwarded mail come back here");
            self.addresses(name, Recommended, "some servers accept mail only from a domain with an address");
            let mut spf = String::from("v=spf1");
            facts.forward_addresses.iter().for_each(|address| spf.push_str(&mechanism(*address)));
            if facts.forward_addresses.is_empty() {
                spf.push_str(&format!(" a:{}", facts.hostname));
            }
            facts.other_hosts.iter().for_each(|host| spf.push_str(&format!(" a:{host}")));
            facts.forward_includes.iter().for_each(|include| spf.push_str(&format!(" include:{include}")));
            spf.push_str(" -all");
            self.add(name, (RecordType::Txt, RecordKind::Spf), spf, Required, "it allows this server to forward under that name");
        }
        let dmarc = format!("v=DMARC1; p={}; adkim=r; aspf=r", DmarcStage::Reject.as_str());
        let why = "no other server can use the name under which mail is forwarded";
        self.add(&format!("_dmarc.{name}"), (RecordType::Txt, RecordKind::Dmarc), dmarc, Recommended, why);
    }

    fn keys(&mut self, domain: &Domain) {
        let facts = self.facts;
        for key in facts.keys.iter().filter(|key| key.domain == *domain) {
            let (severity, why) = key_matters(key);
            let value = match key.stage {
                KeyStage::Revoked => format!("v=DKIM1; k={}; p=", key.key_type),
                _ => key.record.clone(),
            };
            self.add(&format!("{}._domainkey.{domain}", key.selector), (RecordType::Txt, RecordKind::Dkim), value, severity, why);
        }
    }

    fn for_clients(&mut self, domain: &Domain) {
        let facts = self.facts;
        for record in client_records(domain, &facts.hostname, facts.ports, facts.imap_host.as_ref(), &facts.sts) {
            let served = !record.value.ends_with(" .");
            let (record_type, kind, severity, why) = match (record.kind, record.name.split('.').next().unwrap_or_default()) {
                ("SRV", _) if served => {
                    (RecordType::Srv, RecordKind::Srv, Recommended, "mail programs use it to find the server for sending or reading")
                }
                ("SRV", _) => (RecordType::Srv, RecordKind::Srv, Optional, "mail programs do not try a service that does not exist"),
                ("CNAME", "mta-sts") => {
                    (RecordType::Cname, RecordKind::MtaStsHost, Recommended, "other servers fetch the MTA-STS policy there")
                }
                ("CNAME", _) => (RecordType::Cname, RecordKind::Autoconfig, Recommended, "mail programs fetch their settings there"),
                _ => (RecordType::Txt, RecordKind::MtaSts, Recommended, "it tells other servers that mail to you requires TLS"),
            };
            self.add(&record.name, (record_type, kind), record.value.trim_matches('"').to_owned(), severity, why);
        }
        let reports = format!("v=TLSRPTv1; rua=mailto:{}@{domain}", facts.tls_user);
        let why = "other servers report failures of TLS with this server";
        self.add(&format!("_smtp._tls.{domain}"), (RecordType::Txt, RecordKind::TlsRpt), reports, Optional, why);
    }

    fn optional(&mut self) {
        let facts = self.facts;
        let host = facts.hostname.as_str();
        for digest in &facts.tlsa {
            let why = "servers that validate DNSSEC require this key, so no other host can pose as this server";
            self.add(&format!("_25._tcp.{host}"), (RecordType::Tlsa, RecordKind::Tlsa), format!("3 1 1 {digest}"), Optional, why);
        }
        if let Some(authority) = &facts.authority {
            let why = "no other authority may issue certificates for this server";
            self.add(host, (RecordType::Caa, RecordKind::Caa), format!("0 issue \"{authority}\""), Optional, why);
        }
        for name in facts.no_mail.iter().map(Domain::as_str) {
            self.add(name, (RecordType::Mx, RecordKind::NullMx), "0 .".into(), Recommended, "it says that the name accepts no mail");
            self.add(name, (RecordType::Txt, RecordKind::Spf), "v=spf1 -all".into(), Recommended, "it says that the name sends no mail");
        }
    }
}

fn mechanism(address: IpAddr) -> String {
    match address {
        IpAddr::V4(v4) => format!(" ip4:{v4}"),
        IpAddr::V6(v6) => format!(" ip6:{v6}"),
    }
}

fn key_matters(key: &DkimFact) -> (DnsSeverity, &'static str) {
    let severity = if key.key_type == "rsa" { Required } else { Optional };
    match key.stage {
        KeyStage::Active => (severity, "receivers verify signatures with it"),
        KeyStage::Next => (severity.min(Recommended), "it is published before its first use: waypost key rotate checks for it"),
        KeyStage::Retired => (severity.min(Recommended), "mail that it signed may still be on its way"),
        KeyStage::Revoked => (Optional, "the key is revoked: no signature with it is valid any more"),
    }
}
