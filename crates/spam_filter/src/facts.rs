//! What a filter is told beside the message.

use std::net::IpAddr;

use mail::{Domain, QueueId, ReversePath};

/// Envelope and session of a message.
#[derive(Debug, Clone)]
pub struct Facts<'a> {
    /// Our name.
    pub hostname: &'a Domain,
    /// The message's queue id.
    pub id: QueueId,
    /// The client's address.
    pub client: IpAddr,
    /// Its name, where DNS confirms it.
    pub client_name: Option<&'a str>,
    /// What it called itself.
    pub hello: &'a str,
    /// The account, where it logged in.
    pub login: Option<&'a str>,
    /// Where reports go.
    pub reverse_path: &'a ReversePath,
    /// The forward-paths, with their brackets.
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
