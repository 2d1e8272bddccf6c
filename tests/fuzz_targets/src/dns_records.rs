//! Records and policies that other domains publish: SPF, DMARC, DKIM keys, MTA-STS.
//!
//! RFC 7208, RFC 9989, RFC 6376 s.3.6.1, RFC 8461, RFC 8460 s.3.

use mail::dkim_key::KeyRecord;
use mail::dmarc_record::{DmarcPolicyRecord, is_dmarc};
use mail::spf::{MacroString, MacroValues, Mechanism, SpfRecord, is_spf, is_within};
use mail::{Domain, Tags};
use policy::{StsReceived, parse_sts_id};
use reports::{ADDRESSES_MAX, ReportAddress, confirm_destination, rua_addresses, rua_mailboxes, tls_report_addresses};

use crate::addresses::check_mailbox;
use crate::checks::{INPUT_MAX_BYTES, text};

/// A record is read as a whole; every directive is one of its terms; an expanded name fits into DNS.
pub fn spf_records(data: &[u8]) {
    let data = &data[..data.len().min(INPUT_MAX_BYTES)];
    let _ = is_spf(data);
    let Ok(record) = SpfRecord::parse(data) else { return };
    let text = String::from_utf8_lossy(data);
    for directive in &record.directives {
        assert!(text.contains(&directive.term));
        match &directive.mechanism {
            Mechanism::Include(name) | Mechanism::Exists(name) | Mechanism::Ptr(Some(name)) => expand(name),
            Mechanism::A { host, prefix } | Mechanism::Mx { host, prefix } => {
                assert!(prefix.v4 <= 32 && prefix.v6 <= 128);
                host.iter().for_each(expand);
            }
            Mechanism::Network { address, bits } => assert!(is_within(*address, *address, *bits)),
            Mechanism::Ptr(None) | Mechanism::All => {}
        }
    }
    record.redirect.iter().for_each(expand);
    assert!(record.networks().count() <= record.directives.len());
}

fn expand(name: &MacroString) {
    for client in ["192.0.2.3", "2001:db8::cb01"] {
        let values = MacroValues {
            local_part: "strong-bad",
            sender_domain: "email.example.com",
            client: client.parse().expect("an address"),
            hello: "mx.example.org",
            domain: "email.example.com",
            client_name: "unknown",
        };
        let expanded = name.expand(&values);
        assert!(expanded.len() <= 253 || !expanded.contains('.'), "{expanded:?}");
    }
    if let Some(literal) = name.literal() {
        assert!(!literal.is_empty());
    }
}

/// A record that is accepted is one; its report addresses are few and are addresses.
pub fn dmarc_records(data: &[u8]) {
    let text = text(data);
    if let Some(record) = DmarcPolicyRecord::parse(text.as_bytes()) {
        assert!(is_dmarc(text.as_bytes()));
        assert_eq!(record.published("example.test").policy, record.policy);
        let packed: String = text.to_lowercase().split_whitespace().collect();
        assert!(!record.has_policy || packed.contains("p="));
    }
    let lines: Vec<String> = text.lines().map(ToOwned::to_owned).collect();
    for addresses in [rua_addresses(&text), tls_report_addresses(&lines)] {
        assert!(addresses.len() <= ADDRESSES_MAX);
        for address in addresses {
            if let ReportAddress::Mail(mailbox) = &address {
                check_mailbox(mailbox);
            }
        }
    }
    let to = "reports@example.test".parse().expect("a mailbox");
    for mailboxes in [rua_mailboxes(&text), confirm_destination(&lines, &to)] {
        mailboxes.iter().for_each(check_mailbox);
    }
}

/// A key record that is accepted has its key as one word.
pub fn dkim_keys(data: &[u8]) {
    let data = &data[..data.len().min(INPUT_MAX_BYTES)];
    if let Ok(key) = KeyRecord::parse(data) {
        assert!(!key.public.contains(|c: char| c.is_ascii_whitespace()));
        assert!(Tags::parse(data).is_some_and(|tags| tags.get("p").is_some()));
    }
}

/// A policy that is accepted is stored and read back as the same policy.
pub fn mta_sts_policies(data: &[u8]) {
    let text = text(data);
    if let Ok(policy) = StsReceived::parse(&text) {
        assert_eq!(StsReceived::parse(&policy.text()).as_ref(), Ok(&policy));
        for host in ["mx.example.test", "a.mx.example.test"] {
            let _ = policy.names(&Domain::parse(host).expect("a domain"));
        }
    }
    let lines: Vec<String> = text.lines().map(ToOwned::to_owned).collect();
    if let Some(id) = parse_sts_id(&lines) {
        assert!((1..=32).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_alphanumeric()), "{id:?}");
    }
}
