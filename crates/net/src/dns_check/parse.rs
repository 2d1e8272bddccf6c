//! Reads DNS messages into the plan's types.
//!
//! RFC 1035 s.4.1, RFC 2308 s.5 (negative TTL). Invariant: a referral is not an answer.

use std::net::IpAddr;

use data_encoding::HEXLOWER;
use dns_plan::{Answer, Data, Found, RecordType};
use hickory_resolver::proto::op::{Message, ResponseCode};
use hickory_resolver::proto::rr::{Name, RData, RecordType as Type};

/// The DNS record type.
pub(super) fn type_of(record_type: RecordType) -> Type {
    match record_type {
        RecordType::A => Type::A,
        RecordType::Aaaa => Type::AAAA,
        RecordType::Cname => Type::CNAME,
        RecordType::Mx => Type::MX,
        RecordType::Txt => Type::TXT,
        RecordType::Srv => Type::SRV,
        RecordType::Tlsa => Type::TLSA,
        RecordType::Caa => Type::CAA,
        RecordType::Ptr => Type::PTR,
    }
}

fn shown(name: &Name) -> String {
    name.to_ascii().to_ascii_lowercase()
}

/// The message's answer to a question for this type.
pub(super) fn answer(message: &Message, record_type: RecordType) -> Answer {
    match message.metadata.response_code {
        ResponseCode::NoError | ResponseCode::NXDomain => {}
        code => return Answer::Failed(format!("it answers {code}")),
    }
    let wanted = type_of(record_type);
    let found: Vec<Found> = message
        .answers
        .iter()
        .filter(|record| [wanted, Type::CNAME].contains(&record.record_type()))
        .filter_map(|record| Some(Found { data: data(&record.data)?, ttl_s: record.ttl }))
        .collect();
    if !found.is_empty() {
        return Answer::Records(found);
    }
    let soa = message.authorities.iter().find_map(|record| match &record.data {
        RData::SOA(soa) => Some((shown(&record.name), record.ttl.min(soa.minimum))),
        _ => None,
    });
    let is_referral = message.authorities.iter().any(|record| record.record_type() == Type::NS) && !message.metadata.authoritative;
    match soa {
        None if is_referral => Answer::Failed("it refers to other servers".into()),
        Some((zone, ttl_s)) if message.metadata.response_code == ResponseCode::NXDomain => Answer::NoName { zone, ttl_s },
        soa => Answer::Nothing(soa.map_or(0, |(_, ttl_s)| ttl_s)),
    }
}

fn data(data: &RData) -> Option<Data> {
    Some(match data {
        RData::A(a) => Data::Address(IpAddr::V4(a.0)),
        RData::AAAA(a) => Data::Address(IpAddr::V6(a.0)),
        RData::CNAME(name) => Data::Alias(shown(&name.0)),
        RData::PTR(name) => Data::Name(shown(&name.0)),
        RData::MX(mx) => Data::Mx(mx.preference, shown(&mx.exchange)),
        RData::TXT(txt) => {
            let octets: Vec<u8> = txt.txt_data.iter().flat_map(|string| string.iter().copied()).collect();
            Data::Text(String::from_utf8_lossy(&octets).into_owned())
        }
        RData::SRV(srv) => Data::Other(format!("{} {} {} {}", srv.priority, srv.weight, srv.port, shown(&srv.target))),
        RData::TLSA(tlsa) => {
            let (usage, selector, matching) = (u8::from(tlsa.cert_usage), u8::from(tlsa.selector), u8::from(tlsa.matching));
            Data::Other(format!("{usage} {selector} {matching} {}", HEXLOWER.encode(&tlsa.cert_data)))
        }
        RData::CAA(caa) => {
            let flags = if caa.issuer_critical { 128 } else { 0 };
            Data::Other(format!("{flags} {} \"{}\"", caa.tag.to_ascii_lowercase(), String::from_utf8_lossy(&caa.value)))
        }
        _ => return None,
    })
}

/// The zone of the name, by the SOA record in the answer.
pub(super) fn zone_of(message: &Message, name: &str) -> Option<String> {
    let records = message.answers.iter().chain(&message.authorities);
    let zones = records.filter(|record| record.record_type() == Type::SOA).map(|record| shown(&record.name));
    // The answer for a CNAME may have the SOA of its target's zone.
    zones.into_iter().find(|zone| name == zone || name.strip_suffix(zone.as_str()).is_some_and(|rest| rest.ends_with('.')))
}

/// The NS records of a message.
pub(super) fn name_servers(message: &Message) -> Vec<String> {
    message.answers.iter().filter_map(|record| if let RData::NS(host) = &record.data { Some(shown(&host.0)) } else { None }).collect()
}

/// The addresses in a message.
pub(super) fn addresses(message: &Message) -> Vec<IpAddr> {
    let address = |data: &RData| match data {
        RData::A(a) => Some(IpAddr::V4(a.0)),
        RData::AAAA(a) => Some(IpAddr::V6(a.0)),
        _ => None,
    };
    message.answers.iter().filter_map(|record| address(&record.data)).collect()
}
