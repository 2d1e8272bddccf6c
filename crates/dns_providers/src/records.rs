//! Records of the plan in the words of the library that changes zones, and back.
//!
//! RFC 1035 s.5.1. Invariant: what goes there and comes back is the same text, so that a record is known again.

use data_encoding::HEXLOWER;
use dns_plan::RecordType;
use dns_update::{
    CAARecord, DnsRecord, DnsRecordType, KeyValue, MXRecord, SRVRecord, TLSARecord, TlsaCertUsage, TlsaMatching, TlsaSelector,
};

/// The type.
pub fn type_of(record_type: RecordType) -> Option<DnsRecordType> {
    Some(match record_type {
        RecordType::A => DnsRecordType::A,
        RecordType::Aaaa => DnsRecordType::AAAA,
        RecordType::Cname => DnsRecordType::CNAME,
        RecordType::Mx => DnsRecordType::MX,
        RecordType::Txt => DnsRecordType::TXT,
        RecordType::Srv => DnsRecordType::SRV,
        RecordType::Tlsa => DnsRecordType::TLSA,
        RecordType::Caa => DnsRecordType::CAA,
        RecordType::Ptr => return None,
    })
}

/// The record, where it can be written.
pub fn record_of(record_type: RecordType, value: &str) -> Option<DnsRecord> {
    let mut words = value.split(' ');
    let mut number = || words.next().and_then(|word| word.parse::<u16>().ok());
    Some(match record_type {
        RecordType::A => DnsRecord::A(value.parse().ok()?),
        RecordType::Aaaa => DnsRecord::AAAA(value.parse().ok()?),
        RecordType::Cname => DnsRecord::CNAME(value.to_owned()),
        RecordType::Txt => DnsRecord::TXT(value.to_owned()),
        RecordType::Mx => DnsRecord::MX(MXRecord { priority: number()?, exchange: words.next()?.to_owned() }),
        RecordType::Srv => {
            DnsRecord::SRV(SRVRecord { priority: number()?, weight: number()?, port: number()?, target: words.next()?.to_owned() })
        }
        RecordType::Tlsa => {
            // The plan has no other kind.
            let hex = value.strip_prefix("3 1 1 ")?;
            let pairs: Vec<char> = hex.chars().collect();
            let octet = |pair: &[char]| u8::from_str_radix(&pair.iter().collect::<String>(), 16).ok();
            DnsRecord::TLSA(TLSARecord {
                cert_usage: TlsaCertUsage::DaneEe,
                selector: TlsaSelector::Spki,
                matching: TlsaMatching::Sha256,
                cert_data: pairs.chunks(2).map(octet).collect::<Option<_>>()?,
            })
        }
        RecordType::Caa => {
            let name = value.strip_prefix("0 issue \"")?.strip_suffix('"')?;
            DnsRecord::CAA(CAARecord::Issue { issuer_critical: false, name: Some(name.to_owned()), options: Vec::new() })
        }
        RecordType::Ptr => return None,
    })
}

/// A record as the plan writes it.
pub fn value_of(record: &DnsRecord) -> String {
    match record {
        DnsRecord::A(address) => address.to_string(),
        DnsRecord::AAAA(address) => address.to_string(),
        DnsRecord::CNAME(name) | DnsRecord::NS(name) => dotted(name),
        DnsRecord::MX(mx) => format!("{} {}", mx.priority, dotted(&mx.exchange)),
        DnsRecord::TXT(text) => text.clone(),
        DnsRecord::SRV(srv) => format!("{} {} {} {}", srv.priority, srv.weight, srv.port, dotted(&srv.target)),
        DnsRecord::TLSA(tlsa) => {
            let hex = HEXLOWER.encode(&tlsa.cert_data);
            let is_ours =
                (tlsa.cert_usage, tlsa.selector, tlsa.matching) == (TlsaCertUsage::DaneEe, TlsaSelector::Spki, TlsaMatching::Sha256);
            if is_ours { format!("3 1 1 {hex}") } else { format!("another TLSA {hex}") }
        }
        DnsRecord::CAA(CAARecord::Issue { name, options, issuer_critical }) => {
            authority("issue", *issuer_critical, name.as_deref(), options)
        }
        DnsRecord::CAA(CAARecord::IssueWild { name, options, issuer_critical }) => {
            authority("issuewild", *issuer_critical, name.as_deref(), options)
        }
        DnsRecord::CAA(CAARecord::Iodef { url, .. }) => format!("0 iodef \"{url}\""),
    }
}

fn authority(tag: &str, is_critical: bool, name: Option<&str>, options: &[KeyValue]) -> String {
    let options: String = options.iter().map(|option| format!("; {}={}", option.key, option.value)).collect();
    format!("{} {tag} \"{}{options}\"", if is_critical { 128 } else { 0 }, name.unwrap_or_default())
}

fn dotted(name: &str) -> String {
    format!("{}.", name.trim_end_matches('.').to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_and_back_is_the_same() {
        for (record_type, value) in [
            (RecordType::A, "192.0.2.10"),
            (RecordType::Aaaa, "2001:db8::10"),
            (RecordType::Cname, "mx.example.com."),
            (RecordType::Mx, "10 mx.example.com."),
            (RecordType::Mx, "0 ."),
            (RecordType::Txt, "v=spf1 mx ~all"),
            (RecordType::Srv, "0 1 465 mx.example.com."),
            (RecordType::Srv, "0 0 0 ."),
            (RecordType::Tlsa, "3 1 1 aabbcc00"),
            (RecordType::Caa, "0 issue \"letsencrypt.org\""),
        ] {
            assert_eq!(record_of(record_type, value).map(|record| value_of(&record)).as_deref(), Some(value));
        }
        assert!(record_of(RecordType::A, "(this server's IPv4 address)").is_none());
    }
}
