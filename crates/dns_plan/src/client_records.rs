//! The DNS records with which mail programs find their settings, and other servers the MTA-STS policy.
//!
//! RFC 6186 s.3, RFC 8314 s.5.1, RFC 2782, RFC 8461 s.3.1. Invariant: only services of this server are announced, and the IMAP host that the
//! operator configures; other services are denied (target "."), so that no program guesses.

use mail::Domain;
use policy::StsPolicy;

/// A record in zone file form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientRecord {
    /// Its owner name, with the final dot.
    pub name: String,
    /// SRV, CNAME or TXT.
    pub kind: &'static str,
    /// Its data.
    pub value: String,
}

/// The ports for submission; `None` without such a listener.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SubmissionPorts {
    /// With TLS from the start.
    pub submissions: Option<u16>,
    /// With STARTTLS.
    pub submission: Option<u16>,
}

/// Returns the records of a hosted domain.
pub fn client_records(
    domain: &Domain,
    hostname: &Domain,
    ports: SubmissionPorts,
    imap_host: Option<&Domain>,
    sts: &StsPolicy,
) -> Vec<ClientRecord> {
    let record = |prefix: &str, kind, value: String| ClientRecord { name: format!("{prefix}.{domain}."), kind, value };
    let denied = || "0 0 0 .".to_owned();
    let served = |priority: u8, port: Option<u16>| port.map_or_else(denied, |port| format!("{priority} 1 {port} {hostname}."));
    let mut records = vec![
        record("_submissions._tcp", "SRV", served(0, ports.submissions)),
        record("_submission._tcp", "SRV", served(10, ports.submission)),
        record("_imaps._tcp", "SRV", imap_host.map_or_else(denied, |host| format!("0 1 993 {host}."))),
    ];
    records.extend(["_imap._tcp", "_pop3s._tcp", "_pop3._tcp"].map(|name| record(name, "SRV", denied())));
    let pages = ["autoconfig", "autodiscover", "mta-sts"].into_iter();
    let leads_here = |label: &str| format!("{label}.{domain}") == hostname.as_str();
    records.extend(pages.filter(|label| !leads_here(label)).map(|label| record(label, "CNAME", format!("{hostname}."))));
    records.push(record("_mta-sts", "TXT", format!("\"{}\"", sts.record())));
    records
}

#[cfg(test)]
mod tests {
    use super::*;
    use policy::StsMode;

    fn shown(ports: SubmissionPorts, imap_host: Option<&str>, hostname: &str) -> Vec<String> {
        let (domain, hostname): (Domain, Domain) = ("example.com".parse().unwrap(), hostname.parse().unwrap());
        let sts = StsPolicy { mode: StsMode::Testing, mx: [hostname.clone()].into(), max_age_s: 604_800 };
        let imap_host = imap_host.map(|host| host.parse().unwrap());
        let records = client_records(&domain, &hostname, ports, imap_host.as_ref(), &sts);
        records.into_iter().map(|r| format!("{} {} {}", r.name, r.kind, r.value)).collect()
    }

    const BOTH: SubmissionPorts = SubmissionPorts { submissions: Some(465), submission: Some(587) };

    #[test]
    fn implicit_tls_comes_first_and_mailboxes_are_denied() {
        let records = shown(BOTH, None, "mx.example.com");
        assert_eq!(
            records[..9],
            [
                "_submissions._tcp.example.com. SRV 0 1 465 mx.example.com.",
                "_submission._tcp.example.com. SRV 10 1 587 mx.example.com.",
                "_imaps._tcp.example.com. SRV 0 0 0 .",
                "_imap._tcp.example.com. SRV 0 0 0 .",
                "_pop3s._tcp.example.com. SRV 0 0 0 .",
                "_pop3._tcp.example.com. SRV 0 0 0 .",
                "autoconfig.example.com. CNAME mx.example.com.",
                "autodiscover.example.com. CNAME mx.example.com.",
                "mta-sts.example.com. CNAME mx.example.com.",
            ]
        );
        assert!(records[9].starts_with("_mta-sts.example.com. TXT \"v=STSv1; id=") && records.len() == 10, "{records:?}");
    }

    #[test]
    fn a_configured_imap_host_is_announced_and_missing_listeners_are_denied() {
        let records = shown(SubmissionPorts { submission: None, ..BOTH }, Some("imap.example.net"), "autoconfig.example.com");
        assert_eq!(records[1], "_submission._tcp.example.com. SRV 0 0 0 .");
        assert_eq!(records[2], "_imaps._tcp.example.com. SRV 0 1 993 imap.example.net.");
        assert!(!records.iter().any(|record| record.starts_with("autoconfig.")), "a name is not its own alias");
    }
}
