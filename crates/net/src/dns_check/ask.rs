//! One question to one server, over UDP and, where the answer is too long for it, over TCP.
//!
//! RFC 1035 s.4.2, RFC 7766 s.5, RFC 5452 s.9.1 (an answer is to the question that was asked). Invariant: each question ends within [`TIMEOUT`] times
//! [`TRIES`], and an answer that is not to it is not read.

use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

pub(super) use hickory_resolver::proto::op::Message;
use hickory_resolver::proto::op::{Edns, MessageType, OpCode, Query};
use hickory_resolver::proto::rr::{Name, RecordType};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;

/// How long one try takes at most.
const TIMEOUT: Duration = Duration::from_secs(3);

/// So many tries over UDP.
const TRIES: usize = 2;

/// The longest answer over UDP that arrives nearly everywhere.
const PAYLOAD_BYTES: u16 = 1232;

/// Asks. Clones remember the same silent servers.
#[derive(Debug, Clone, Default)]
pub(super) struct Asker(Arc<Mutex<HashSet<SocketAddr>>>);

impl Asker {
    /// Asks the server; what it says, or why that is not known.
    pub async fn ask(&self, server: SocketAddr, name: &str, kind: RecordType, recursive: bool) -> Result<Message, String> {
        if self.silent().contains(&server) {
            return Err("it did not answer before".into());
        }
        let name = Name::from_ascii(name).map_err(|e| format!("no such name can exist: {e}"))?;
        let mut query = Message::new(u16::try_from(crate::random_u32() & 0xffff).unwrap_or_default(), MessageType::Query, OpCode::Query);
        query.metadata.recursion_desired = recursive;
        query.add_query(Query::query(name, kind));
        let mut edns = Edns::new();
        edns.set_max_payload(PAYLOAD_BYTES);
        query.set_edns(edns);
        let octets = query.to_vec().map_err(|e| e.to_string())?;
        let mut failure = String::new();
        for _ in 0..TRIES {
            match timeout(TIMEOUT, over_udp(server, &query, &octets)).await {
                Ok(Ok(message)) if message.metadata.truncation => {
                    return timeout(TIMEOUT, over_tcp(server, &query, &octets))
                        .await
                        .unwrap_or_else(|_| Err("no answer over TCP, which a long one needs".into()));
                }
                Ok(Ok(message)) => return Ok(message),
                Ok(Err(why)) => failure = why,
                Err(_) => failure = format!("no answer within {} s", TIMEOUT.as_secs()),
            }
        }
        self.silent().insert(server);
        Err(failure)
    }

    fn silent(&self) -> std::sync::MutexGuard<'_, HashSet<SocketAddr>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn over_udp(server: SocketAddr, query: &Message, octets: &[u8]) -> Result<Message, String> {
    let any: IpAddr = if server.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let exchange = async {
        let socket = UdpSocket::bind(SocketAddr::new(any, 0)).await?;
        socket.connect(server).await?;
        socket.send(octets).await?;
        let mut buffer = vec![0; usize::from(u16::MAX)];
        loop {
            let length = socket.recv(&mut buffer).await?;
            if let Some(message) = buffer.get(..length).and_then(|octets| read(query, octets)) {
                return Ok(message);
            }
        }
    };
    exchange.await.map_err(|e: std::io::Error| e.to_string())
}

async fn over_tcp(server: SocketAddr, query: &Message, octets: &[u8]) -> Result<Message, String> {
    let exchange = async {
        let mut stream = TcpStream::connect(server).await?;
        let length = u16::try_from(octets.len()).unwrap_or_default();
        stream.write_all(&[&length.to_be_bytes(), octets].concat()).await?;
        let mut buffer = vec![0; usize::from(stream.read_u16().await?)];
        stream.read_exact(&mut buffer).await?;
        Ok(buffer)
    };
    let buffer: Vec<u8> = exchange.await.map_err(|e: std::io::Error| e.to_string())?;
    read(query, &buffer).ok_or_else(|| "the answer over TCP cannot be read".into())
}

/// The message, where it is an answer to this question.
fn read(query: &Message, octets: &[u8]) -> Option<Message> {
    let message = Message::from_vec(octets).ok()?;
    let is_ours = message.metadata.id == query.metadata.id && message.metadata.message_type == MessageType::Response;
    // A refusal may leave the question out.
    let same = message.queries.is_empty() || message.queries == query.queries;
    (is_ours && same).then_some(message)
}
