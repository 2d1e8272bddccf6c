//! A stub resolver: one question to the configured resolvers, with signatures and the resolver's verdict (AD) in the answer.
//!
//! RFC 6840 s.5.7 (AD). Invariant: the AD bit of a server that is not on a loopback address proves nothing, since anyone on the way can set it: callers
//! must ignore it.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use hickory_resolver::proto::op::Message;
use hickory_resolver::proto::rr::{Name, RecordType};
use tokio::time::timeout;

use crate::dns_query::DnsQuery;

/// Time limit for one server. A validating resolver may have to ask many others first.
const SERVER_TIMEOUT: Duration = Duration::from_secs(8);

/// Asks the servers in order; returns the first answer.
pub(crate) async fn ask(servers: &[SocketAddr], name: &Name, kind: RecordType) -> io::Result<Message> {
    let mut last = io::Error::other("no name server is configured");
    for server in servers {
        match timeout(SERVER_TIMEOUT, ask_one(*server, name, kind)).await {
            Ok(Ok(message)) => return Ok(message),
            Ok(Err(error)) => last = error,
            Err(_) => last = io::ErrorKind::TimedOut.into(),
        }
    }
    Err(last)
}

async fn ask_one(server: SocketAddr, name: &Name, kind: RecordType) -> io::Result<Message> {
    let query = DnsQuery::with_dnssec(name, kind)?;
    let message = query.over_udp(server).await?;
    if message.metadata.truncation { query.over_tcp(server).await } else { Ok(message) }
}
