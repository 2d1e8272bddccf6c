//! Envelope and session data for the filter.

use std::net::IpAddr;

use mail::{Domain, QueueId, ReversePath};

/// The envelope and the session of a message.
#[derive(Debug, Clone)]
pub struct Facts<'a> {
    /// The server's host name.
    pub hostname: &'a Domain,
    /// The message's queue ID.
    pub id: QueueId,
    /// The client's address.
    pub client: IpAddr,
    /// The client's name, if DNS confirms it.
    pub client_name: Option<&'a str>,
    /// The client's HELO or EHLO name.
    pub hello: &'a str,
    /// The login, if the client authenticated.
    pub login: Option<&'a str>,
    /// The reverse-path.
    pub reverse_path: &'a ReversePath,
    /// The forward-paths, with angle brackets.
    pub recipients: Vec<String>,
}

#[cfg(test)]
pub(crate) fn sample<'a>(hostname: &'a Domain, reverse_path: &'a ReversePath) -> Facts<'a> {
    Facts {
        hostname,
        id: QueueId(9),
        client: "192.0.2.1".parse().unwrap(),
        client_name: None,
        hello: "client.test",
        login: None,
        reverse_path,
        recipients: vec!["<me@example.test>".into(), "<you@example.test>".into()],
    }
}
