//! A name server on loopback: answers from a map, over UDP and TCP, and logs the questions.
//!
//! RFC 1035. Invariant: a name that is not in the map does not exist; `Rdata::Failure` is SERVFAIL, `Rdata::Silence` no answer.

use std::collections::HashMap;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hickory_proto::op::{Message, MessageType, ResponseCode};
use hickory_proto::rr::rdata::{A, AAAA, CNAME, MX, PTR, TXT};
use hickory_proto::rr::{Name, RData, Record, RecordType};
use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolverConfig, ResolverOpts};
use msgauth::Authenticator;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, UdpSocket};

/// A record, or a failure.
#[derive(Debug, Clone)]
pub enum Rdata {
    A(Ipv4Addr),
    Aaaa(Ipv6Addr),
    Cname(String),
    Mx(u16, String),
    Ptr(String),
    Txt(Vec<Vec<u8>>),
    Failure,
    Silence,
}

/// The records by lower-case name without the final dot.
pub type Zone = HashMap<String, Vec<Rdata>>;

/// A text record.
pub fn txt(text: &str) -> Rdata {
    Rdata::Txt(text.as_bytes().chunks(255).map(<[u8]>::to_vec).collect())
}

/// A zone with these records.
pub fn zone<const N: usize>(records: [(&str, Rdata); N]) -> Zone {
    let mut zone = Zone::new();
    for (name, record) in records {
        zone.entry(name.to_ascii_lowercase()).or_default().push(record);
    }
    zone
}

/// The questions: name and type.
pub type Log = Arc<Mutex<Vec<String>>>;

/// Starts a server for the zone, and an authenticator that uses it.
pub async fn start(zone: Zone) -> (Authenticator, Log) {
    let (udp, tcp) = loop {
        let udp = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        // The port may be taken for TCP.
        if let Ok(tcp) = TcpListener::bind(udp.local_addr().unwrap()).await {
            break (udp, tcp);
        }
    };
    let address = udp.local_addr().unwrap();
    let log = Log::default();
    let zone = Arc::new(zone);
    {
        let (zone, log) = (zone.clone(), log.clone());
        tokio::spawn(async move {
            let mut query = [0; 4096];
            while let Ok((n, peer)) = udp.recv_from(&mut query).await {
                let Some(reply) = answer(&query[..n], &zone, &log) else { continue };
                let cut = |reply: Vec<u8>| Message::from_vec(&reply).unwrap().truncate().to_vec().unwrap();
                let _ = udp.send_to(&if reply.len() > 1232 { cut(reply) } else { reply }, peer).await;
            }
        });
    }
    let asked = log.clone();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = tcp.accept().await {
            let (zone, log) = (zone.clone(), log.clone());
            tokio::spawn(async move {
                while let Ok(length) = stream.read_u16().await {
                    let mut query = vec![0; length.into()];
                    stream.read_exact(&mut query).await.unwrap();
                    let Some(reply) = answer(&query, &zone, &log) else { continue };
                    stream.write_u16(u16::try_from(reply.len()).unwrap()).await.unwrap();
                    stream.write_all(&reply).await.unwrap();
                }
            });
        }
    });
    // A busy machine may take its time to answer.
    (authenticator(address, Duration::from_secs(2)), asked)
}

/// An authenticator that uses this server, and asks once.
pub fn authenticator(address: SocketAddr, timeout: Duration) -> Authenticator {
    let with_port = |mut connection: ConnectionConfig| {
        connection.port = address.port();
        connection
    };
    let server = NameServerConfig::new(address.ip(), true, vec![with_port(ConnectionConfig::udp()), with_port(ConnectionConfig::tcp())]);
    let mut options = ResolverOpts::default();
    options.timeout = timeout;
    options.attempts = 1;
    Authenticator::new(ResolverConfig::from_parts(None, vec![], vec![server]), options).unwrap()
}

fn key_of(name: &Name) -> String {
    let labels: Vec<String> = name.iter().map(|label| String::from_utf8_lossy(label).to_ascii_lowercase()).collect();
    labels.join(".")
}

fn name(text: &str) -> Name {
    let mut name = Name::from_labels(text.split('.').filter(|label| !label.is_empty()).map(str::as_bytes)).unwrap();
    name.set_fqdn(true);
    name
}

fn rdata(record: &Rdata) -> Option<(RecordType, RData)> {
    Some(match record {
        Rdata::A(address) => (RecordType::A, RData::A(A(*address))),
        Rdata::Aaaa(address) => (RecordType::AAAA, RData::AAAA(AAAA(*address))),
        Rdata::Cname(target) => (RecordType::CNAME, RData::CNAME(CNAME(name(target)))),
        Rdata::Mx(preference, host) => (RecordType::MX, RData::MX(MX::new(*preference, name(host)))),
        Rdata::Ptr(target) => (RecordType::PTR, RData::PTR(PTR(name(target)))),
        Rdata::Txt(texts) => (RecordType::TXT, RData::TXT(TXT::from_bytes(texts.iter().map(Vec::as_slice).collect()))),
        Rdata::Failure | Rdata::Silence => return None,
    })
}

fn answer(query: &[u8], zone: &Zone, log: &Log) -> Option<Vec<u8>> {
    let mut message = Message::from_vec(query).ok()?;
    let question = message.queries.first()?.clone();
    let (mut key, kind) = (key_of(question.name()), question.query_type());
    log.lock().unwrap().push(format!("{key} {kind}"));
    message.metadata.message_type = MessageType::Response;
    message.metadata.recursion_available = true;
    message.additionals.clear();
    message.edns = None;
    let mut owner = question.name().clone();
    for _ in 0..8 {
        let Some(records) = zone.get(&key) else {
            message.metadata.response_code = ResponseCode::NXDomain;
            break;
        };
        let found: Vec<RData> = records.iter().filter_map(rdata).filter(|(own, _)| *own == kind).map(|(_, data)| data).collect();
        if !found.is_empty() {
            message.add_answers(found.into_iter().map(|data| Record::from_rdata(owner.clone(), 60, data)));
            break;
        }
        if let Some(Rdata::Cname(target)) = records.iter().find(|record| matches!(record, Rdata::Cname(_))) {
            message.add_answer(Record::from_rdata(owner.clone(), 60, RData::CNAME(CNAME(name(target)))));
            (owner, key) = (name(target), target.to_ascii_lowercase());
            continue;
        }
        if records.iter().any(|record| matches!(record, Rdata::Silence)) {
            return None;
        }
        if records.iter().any(|record| matches!(record, Rdata::Failure)) {
            message.metadata.response_code = ResponseCode::ServFail;
        }
        break;
    }
    message.to_vec().ok()
}
