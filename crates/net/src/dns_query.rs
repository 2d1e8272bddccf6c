//! One DNS question to one server, over UDP and, where the answer is truncated, over TCP.
//!
//! RFC 1035 s.4.2, RFC 7766 s.5, RFC 5452 s.9.1, RFC 6891 s.6.1. Invariant: only an answer to the question that was asked is returned. No time limit: that
//! is the caller's.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use hickory_resolver::proto::op::{Edns, Message, MessageType, OpCode, Query, ResponseCode};
use hickory_resolver::proto::rr::{Name, RecordType};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};

use crate::random::random_u32;

/// The largest UDP answer that passes almost every network unfragmented, in octets.
const PAYLOAD_BYTES: u16 = 1232;

/// A question, ready to send.
#[derive(Debug)]
pub(crate) struct DnsQuery {
    message: Message,
    octets: Vec<u8>,
}

impl DnsQuery {
    /// A question to a server that is authoritative for the name (`recursive` unset) or to a resolver.
    pub fn new(name: &Name, kind: RecordType, recursive: bool) -> io::Result<Self> {
        let mut message = query(name, kind);
        message.metadata.recursion_desired = recursive;
        Self::encode(message)
    }

    /// A question to a resolver that validates: asks for signatures (DO) and for the verdict (AD, RFC 6840 s.5.7).
    pub fn with_dnssec(name: &Name, kind: RecordType) -> io::Result<Self> {
        let mut message = query(name, kind);
        message.metadata.recursion_desired = true;
        message.metadata.authentic_data = true;
        if let Some(edns) = &mut message.edns {
            edns.set_dnssec_ok(true);
        }
        Self::encode(message)
    }

    fn encode(message: Message) -> io::Result<Self> {
        let octets = message.to_vec().map_err(io::Error::other)?;
        Ok(Self { message, octets })
    }

    /// Sends the question over UDP and returns the first answer to it, truncated or not.
    pub async fn over_udp(&self, server: SocketAddr) -> io::Result<Message> {
        let any: IpAddr = if server.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
        let socket = UdpSocket::bind((any, 0)).await?;
        socket.connect(server).await?;
        socket.send(&self.octets).await?;
        let mut buffer = vec![0; usize::from(u16::MAX)];
        loop {
            let length = socket.recv(&mut buffer).await?;
            // Anyone can send a datagram from the server's address; the real answer may follow.
            if let Some(message) = buffer.get(..length).and_then(|octets| self.answer(octets)) {
                return Ok(message);
            }
        }
    }

    /// Sends the question over TCP.
    pub async fn over_tcp(&self, server: SocketAddr) -> io::Result<Message> {
        let mut stream = TcpStream::connect(server).await?;
        let length = u16::try_from(self.octets.len()).map_err(io::Error::other)?;
        stream.write_all(&[&length.to_be_bytes(), self.octets.as_slice()].concat()).await?;
        let mut buffer = vec![0; usize::from(stream.read_u16().await?)];
        stream.read_exact(&mut buffer).await?;
        self.answer(&buffer).ok_or_else(|| io::Error::other("the TCP answer is not to the question"))
    }

    /// The message, if it answers this question.
    fn answer(&self, octets: &[u8]) -> Option<Message> {
        let message = Message::from_vec(octets).ok()?;
        let query = &self.message;
        let is_response = message.metadata.id == query.metadata.id && message.metadata.message_type == MessageType::Response;
        // An error response may leave the question out; a positive or negative answer may not.
        let is_error = !matches!(message.metadata.response_code, ResponseCode::NoError | ResponseCode::NXDomain);
        let is_same = message.queries == query.queries || (is_error && message.queries.is_empty());
        (is_response && is_same).then_some(message)
    }
}

fn query(name: &Name, kind: RecordType) -> Message {
    let id = u16::try_from(random_u32() & 0xffff).unwrap_or_default();
    let mut message = Message::new(id, MessageType::Query, OpCode::Query);
    message.add_query(Query::query(name.clone(), kind));
    let mut edns = Edns::new();
    edns.set_max_payload(PAYLOAD_BYTES);
    message.set_edns(edns);
    message
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_response_to_the_same_question_is_an_answer() {
        let (name, other) = (Name::from_ascii("a.test.").unwrap(), Name::from_ascii("b.test.").unwrap());
        let query = DnsQuery::with_dnssec(&name, RecordType::MX).unwrap();
        let is_answer = |message: &Message| query.answer(&message.to_vec().unwrap()).is_some();
        let mut reply = query.message.clone();
        assert!(!is_answer(&reply), "a query is not a response");
        reply.metadata.message_type = MessageType::Response;
        assert!(is_answer(&reply));
        reply.queries = vec![Query::query(other, RecordType::MX)];
        assert!(!is_answer(&reply));
        reply.queries.clear();
        assert!(!is_answer(&reply), "NOERROR without the question");
        reply.metadata.response_code = ResponseCode::FormErr;
        assert!(is_answer(&reply), "an error may leave the question out");
        let sent = Message::from_vec(&query.octets).unwrap();
        assert!(sent.metadata.authentic_data && sent.edns.is_some_and(|edns| edns.flags().dnssec_ok));
    }
}
