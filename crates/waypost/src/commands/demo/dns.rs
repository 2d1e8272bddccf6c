//! The demonstration's name server, which answers for a few names only.
//!
//! RFC 1035. Invariant: binds loopback only.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use anyhow::Result;
use hickory_proto::op::{Message, MessageType, ResponseCode};
use hickory_proto::rr::rdata::{A, MX, TXT};
use hickory_proto::rr::{Name, RData, Record, RecordType};
use parking_lot::Mutex;
use tokio::net::UdpSocket;

/// Maximum octets of a string in a TXT record.
const TXT_STRING_MAX: usize = 255;

/// The records; clones share them.
#[derive(Debug, Clone, Default)]
pub struct Zone {
    /// Mail domains, with the address of the mail host `mx.DOMAIN` of each.
    hosts: HashMap<String, Ipv4Addr>,
    texts: Arc<Mutex<HashMap<String, String>>>,
}

impl Zone {
    /// A zone of these mail domains.
    pub fn of_hosts(hosts: &[(&str, Ipv4Addr)]) -> Self {
        Self { hosts: hosts.iter().map(|(name, address)| ((*name).to_owned(), *address)).collect(), ..Self::default() }
    }

    /// Publishes a TXT record.
    pub fn publish(&self, name: &str, text: &str) {
        self.texts.lock().insert(name.to_ascii_lowercase(), text.to_owned());
    }

    fn text(&self, name: &str) -> Option<String> {
        self.texts.lock().get(name).cloned()
    }
}

/// Starts the name server; returns its address.
pub async fn start(zone: Zone) -> Result<SocketAddr> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let address = socket.local_addr()?;
    tokio::spawn(async move {
        let mut query = [0; 1232];
        while let Ok((n, peer)) = socket.recv_from(&mut query).await {
            let reply = query.get(..n).and_then(|q| answer(q, &zone));
            if let Some(reply) = reply {
                // The client may be gone.
                let _ = socket.send_to(&reply, peer).await;
            }
        }
    });
    Ok(address)
}

fn answer(query: &[u8], zone: &Zone) -> Option<Vec<u8>> {
    let mut message = Message::from_vec(query).ok()?;
    let question = message.queries.first()?.clone();
    let name = question.name().to_ascii().trim_end_matches('.').to_ascii_lowercase();
    let domain = name.strip_prefix("mx.").unwrap_or(&name);
    message.metadata.message_type = MessageType::Response;
    message.metadata.authoritative = true;
    message.metadata.recursion_available = true;
    message.additionals.clear();
    message.edns = None;
    let text = zone.text(&name);
    let address = zone.hosts.get(domain);
    if address.is_none() && text.is_none() {
        message.metadata.response_code = ResponseCode::NXDomain;
        return message.to_vec().ok();
    }
    let data = match question.query_type() {
        RecordType::TXT => text.map(|text| RData::TXT(TXT::new(strings(&text)))),
        RecordType::MX if name == domain && address.is_some() => {
            Some(RData::MX(MX::new(10, Name::from_ascii(format!("mx.{domain}.")).ok()?)))
        }
        RecordType::A if name != domain => address.map(|address| RData::A(A(*address))),
        _ => None,
    };
    if let Some(data) = data {
        message.add_answer(Record::from_rdata(question.name().clone(), 60, data));
    }
    message.to_vec().ok()
}

/// Splits an ASCII text into the strings of a record.
fn strings(text: &str) -> Vec<String> {
    text.as_bytes().chunks(TXT_STRING_MAX).map(|piece| String::from_utf8_lossy(piece).into_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_resolver_finds_published_records_only() {
        let zone = Zone::of_hosts(&[("example.test", Ipv4Addr::LOCALHOST)]);
        let long = "x".repeat(700);
        zone.publish("key._domainkey.example.test", &long);
        let server = start(zone).await.unwrap();
        let resolver = net::Resolver::of_servers(&[server]).unwrap();
        let domain = |text: &str| mail::Domain::parse(text).unwrap();
        let mx = resolver.mx(&domain("example.test")).await.unwrap();
        assert_eq!(mx[0].host, Some(domain("mx.example.test")));
        assert_eq!(resolver.addresses(&domain("mx.example.test"), true).await.unwrap(), [Ipv4Addr::LOCALHOST]);
        assert_eq!(resolver.txt(&domain("key._domainkey.example.test")).await.unwrap(), [long]);
        assert_eq!(resolver.mx(&domain("nowhere.test")).await.unwrap_err(), policy::RouteFailure::NoSuchDomain);
    }
}
