//! Asks one server, and remembers which servers do not answer.
//!
//! Invariant: each question ends within [`TIMEOUT`] times [`TRIES`] and one more for TCP.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

pub(super) use hickory_resolver::proto::op::Message;
use hickory_resolver::proto::rr::{Name, RecordType};
use parking_lot::Mutex;
use tokio::time::timeout;

use crate::dns_query::DnsQuery;

/// Time limit for one try.
const TIMEOUT: Duration = Duration::from_secs(3);

/// Tries over UDP.
const TRIES: usize = 2;

/// Asks servers. Clones share the list of silent servers.
#[derive(Debug, Clone, Default)]
pub(super) struct Asker {
    silent: Arc<Mutex<HashSet<SocketAddr>>>,
}

impl Asker {
    /// Asks the server.
    ///
    /// # Errors
    /// Why there is no answer, for people.
    pub async fn ask(&self, server: SocketAddr, name: &str, kind: RecordType, recursive: bool) -> Result<Message, String> {
        if self.silent.lock().contains(&server) {
            return Err("it did not answer before".into());
        }
        let name = Name::from_ascii(name).map_err(|e| format!("invalid name: {e}"))?;
        let query = DnsQuery::new(&name, kind, recursive).map_err(|e| e.to_string())?;
        let mut failure = String::new();
        for _ in 0..TRIES {
            match timeout(TIMEOUT, query.over_udp(server)).await {
                Ok(Ok(message)) if message.metadata.truncation => {
                    return match timeout(TIMEOUT, query.over_tcp(server)).await {
                        Ok(answer) => answer.map_err(|e| e.to_string()),
                        Err(_) => Err("the answer is truncated, and the server does not answer over TCP".into()),
                    };
                }
                Ok(Ok(message)) => return Ok(message),
                Ok(Err(error)) => failure = error.to_string(),
                Err(_) => failure = format!("no answer within {} s", TIMEOUT.as_secs()),
            }
        }
        self.silent.lock().insert(server);
        Err(failure)
    }
}
