//! One question to a resolver, and its answer with the signatures and with its word on whether it is secure.
//!
//! RFC 1035 s.4.2, RFC 6840 s.5.7 (AD), RFC 6891 s.6.1. Invariant: an answer is taken only for the question that was asked. The AD bit of a server
//! that is not on a loopback address proves nothing, since anyone on the way may set it: callers must not believe it.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use hickory_resolver::proto::op::{Edns, Message, MessageType, OpCode, Query};
use hickory_resolver::proto::rr::{Name, RecordType};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;

use crate::random::random_u32;

/// One try with one server. A validator may have to ask many others first.
const TRY: Duration = Duration::from_secs(8);

/// What fits a datagram without being cut in two on most ways.
const PAYLOAD_BYTES: u16 = 1232;

/// The servers, one after the other, until one answers.
pub(crate) async fn ask(servers: &[SocketAddr], name: &Name, kind: RecordType) -> io::Result<Message> {
    let mut last = io::Error::other("there is no name server");
    for server in servers {
        match timeout(TRY, one(*server, name, kind)).await {
            Ok(Ok(message)) => return Ok(message),
            Ok(Err(error)) => last = error,
            Err(_) => last = io::ErrorKind::TimedOut.into(),
        }
    }
    Err(last)
}

async fn one(server: SocketAddr, name: &Name, kind: RecordType) -> io::Result<Message> {
    let query = question(name, kind);
    let octets = query.to_vec().map_err(io::Error::other)?;
    let local = if server.is_ipv4() { IpAddr::from(Ipv4Addr::UNSPECIFIED) } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((local, 0)).await?;
    socket.connect(server).await?;
    socket.send(&octets).await?;
    let mut buffer = [0; 4096];
    loop {
        let n = socket.recv(&mut buffer).await?;
        // What is no answer to the question may come from anybody: the right one may follow.
        match Message::from_vec(buffer.get(..n).unwrap_or_default()) {
            Ok(message) if answers(&message, &query) => {
                return if message.metadata.truncation { over_tcp(server, &octets, &query).await } else { Ok(message) };
            }
            _ => {}
        }
    }
}

fn question(name: &Name, kind: RecordType) -> Message {
    let id = u16::try_from(random_u32() & 0xffff).unwrap_or_default();
    let mut message = Message::new(id, MessageType::Query, OpCode::Query);
    message.metadata.recursion_desired = true;
    message.metadata.authentic_data = true;
    message.add_query(Query::query(name.clone(), kind));
    let mut edns = Edns::new();
    edns.set_dnssec_ok(true).set_max_payload(PAYLOAD_BYTES);
    message.set_edns(edns);
    message
}

fn answers(message: &Message, query: &Message) -> bool {
    message.metadata.id == query.metadata.id && message.metadata.message_type == MessageType::Response && message.queries == query.queries
}

async fn over_tcp(server: SocketAddr, octets: &[u8], query: &Message) -> io::Result<Message> {
    let mut tcp = TcpStream::connect(server).await?;
    let length = u16::try_from(octets.len()).map_err(io::Error::other)?;
    tcp.write_all(&[&length.to_be_bytes(), octets].concat()).await?;
    let mut reply = vec![0; usize::from(tcp.read_u16().await?)];
    tcp.read_exact(&mut reply).await?;
    let message = Message::from_vec(&reply).map_err(io::Error::other)?;
    if answers(&message, query) { Ok(message) } else { Err(io::Error::other("the answer is to another question")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_to_its_question() {
        let (name, other) = (Name::from_ascii("a.test.").unwrap(), Name::from_ascii("b.test.").unwrap());
        let query = question(&name, RecordType::MX);
        let mut reply = query.clone();
        assert!(!answers(&reply, &query), "a question is no answer");
        reply.metadata.message_type = MessageType::Response;
        assert!(answers(&reply, &query));
        reply.queries = vec![Query::query(other, RecordType::MX)];
        assert!(!answers(&reply, &query));
        let read = Message::from_vec(&query.to_vec().unwrap()).unwrap();
        assert!(read.metadata.authentic_data && read.edns.is_some_and(|edns| edns.flags().dnssec_ok));
    }
}
