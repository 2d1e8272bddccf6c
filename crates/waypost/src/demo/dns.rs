//! The small Internet's name server: answers for a handful of names, and for nothing else.
//!
//! RFC 1035. It exists for the demonstration only. Invariant: it binds loopback, so nobody else is answered.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};

use anyhow::Result;
use hickory_proto::op::{Message, MessageType, ResponseCode};
use hickory_proto::rr::rdata::{A, MX};
use hickory_proto::rr::{Name, RData, Record, RecordType};
use tokio::net::UdpSocket;

/// The names: a mail domain each, with the address of its one mail host `mx.DOMAIN`.
pub type Zone = HashMap<String, Ipv4Addr>;

/// Starts answering; returns where.
pub async fn start(zone: Zone) -> Result<SocketAddr> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let address = socket.local_addr()?;
    tokio::spawn(async move {
        let mut query = [0; 1232];
        while let Ok((n, peer)) = socket.recv_from(&mut query).await {
            let reply = query.get(..n).and_then(|q| answer(q, &zone));
            if let Some(reply) = reply {
                // A client that is gone asks no more.
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
    let Some(address) = zone.get(domain) else {
        message.metadata.response_code = ResponseCode::NXDomain;
        return message.to_vec().ok();
    };
    let data = match question.query_type() {
        RecordType::MX if name == domain => Some(RData::MX(MX::new(10, Name::from_ascii(format!("mx.{domain}.")).ok()?))),
        RecordType::A if name != domain => Some(RData::A(A(*address))),
        _ => None,
    };
    if let Some(data) = data {
        message.add_answer(Record::from_rdata(question.name().clone(), 60, data));
    }
    message.to_vec().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_resolver_finds_what_is_there_and_nothing_else() {
        let zone = Zone::from([("example.test".into(), Ipv4Addr::LOCALHOST)]);
        let server = start(zone).await.unwrap();
        let resolver = net::Resolver::of_servers(&[server]).unwrap();
        let domain = |text: &str| mail::Domain::parse(text).unwrap();
        let mx = resolver.mx(&domain("example.test")).await.unwrap();
        assert_eq!(mx[0].host, Some(domain("mx.example.test")));
        assert_eq!(resolver.addresses(&domain("mx.example.test"), true).await.unwrap(), [Ipv4Addr::LOCALHOST]);
        assert_eq!(resolver.mx(&domain("nowhere.test")).await.unwrap_err(), policy::RouteFailure::NoSuchDomain);
    }
}
