//! The question: which message, from which client, and what is assumed where the operator did not say.
//!
//! RFC 5321 s.2.3.8 (lines end with CRLF). Invariant: an assumption is always in the answer.

use std::net::{IpAddr, Ipv4Addr};

use bytes::{Bytes, BytesMut};
use mail::{ForwardPath, QueueId, ReversePath, rfc5322_date};

use crate::explain::explainer::Explainer;
use crate::settings::ListenerKind;

/// The client if none is named and none is found: one that is reserved for documents.
const NO_CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));

/// A message to explain, as the operator describes it.
#[derive(Debug, Clone)]
pub struct ExplainRequest {
    /// The reverse-path.
    pub from: ReversePath,
    /// The recipient.
    pub to: ForwardPath,
    /// The client's address.
    pub client: Option<IpAddr>,
    /// The client's name in EHLO.
    pub hello: Option<String>,
    /// The account that has logged in.
    pub login: Option<String>,
    /// The message.
    pub message: Option<Bytes>,
}

/// The same, with nothing left open.
#[derive(Debug)]
pub(super) struct Question {
    pub from: ReversePath,
    pub to: ForwardPath,
    pub client: IpAddr,
    pub hello: String,
    pub login: Option<String>,
    /// The message, with CRLF line ends.
    pub message: Bytes,
    /// Whether the operator gave the message.
    pub has_message: bool,
    /// What was assumed.
    pub assumptions: Vec<String>,
}

impl Question {
    /// The listener that such a client uses.
    pub fn listener(&self) -> ListenerKind {
        if self.login.is_some() { ListenerKind::Submission } else { ListenerKind::Mx }
    }

    pub async fn of(explainer: &Explainer, request: ExplainRequest) -> Self {
        let ExplainRequest { from, to, client, hello, login, message } = request;
        let mut assumptions = Vec::new();
        let client = match client {
            Some(client) => client.to_canonical(),
            // The client of an account does not matter.
            None if login.is_some() => IpAddr::V4(Ipv4Addr::LOCALHOST),
            None => some_client(explainer, &from, &mut assumptions).await,
        };
        let hello = match hello {
            Some(hello) => hello,
            None if login.is_some() => "client".to_owned(),
            None => {
                let name = explainer.resolver.authenticator().confirmed_name(client).await.1;
                let hello = name.unwrap_or_else(|| literal(client));
                assumptions.push(format!("the client calls itself {hello}: no --helo was given"));
                hello
            }
        };
        let has_message = message.is_some();
        let message = match message {
            Some(message) => with_crlf(&message, &mut assumptions),
            None => {
                let message = assumed_message(&from, &to, &hello, explainer.shared.clock.now_s());
                let author = from.mailbox().map_or_else(|| "of a mail system".to_owned(), |from| format!("with From: {from}"));
                assumptions.push(format!("a message {author}, without a DKIM signature: no --message was given"));
                message
            }
        };
        Self { from, to, client, hello, login, message, has_message, assumptions }
    }
}

/// An address that the SPF record of the sender's domain allows.
async fn some_client(explainer: &Explainer, from: &ReversePath, assumptions: &mut Vec<String>) -> IpAddr {
    let domain = from.mailbox().map(|from| from.domain.to_string());
    let found = match &domain {
        Some(domain) => explainer.resolver.authenticator().spf_client(domain).await,
        None => None,
    };
    let (client, why) = match (found, domain) {
        (Some(client), Some(domain)) => (client, format!("the SPF record of {domain} allows it")),
        _ => (NO_CLIENT, "an address of no one".to_owned()),
    };
    assumptions.push(format!("the client is {client} ({why}): no --ip was given"));
    client
}

fn literal(client: IpAddr) -> String {
    if client.is_ipv4() { format!("[{client}]") } else { format!("[IPv6:{client}]") }
}

/// The message with CRLF line ends, as a client sends it.
pub fn with_crlf(message: &Bytes, assumptions: &mut Vec<String>) -> Bytes {
    let mut previous = 0;
    let has_bare = message.iter().any(|b| std::mem::replace(&mut previous, *b) != b'\r' && *b == b'\n');
    if !has_bare {
        return message.clone();
    }
    assumptions.push("its lines end with CRLF, as in SMTP: in the file they do not".into());
    let mut out = BytesMut::with_capacity(message.len() + message.len() / 32);
    for line in message.split_inclusive(|b| *b == b'\n') {
        match line.strip_suffix(b"\n") {
            Some(text) => {
                out.extend_from_slice(text.strip_suffix(b"\r").unwrap_or(text));
                out.extend_from_slice(b"\r\n");
            }
            None => out.extend_from_slice(line),
        }
    }
    out.freeze()
}

fn assumed_message(from: &ReversePath, to: &ForwardPath, hello: &str, now_s: i64) -> Bytes {
    let author = from.mailbox().map_or_else(
        || if hello.starts_with('[') { "mailer-daemon@mail.invalid".to_owned() } else { format!("mailer-daemon@{hello}") },
        ToString::to_string,
    );
    let to = match to {
        ForwardPath::Mailbox(to) => to.to_string(),
        ForwardPath::Postmaster => "postmaster".to_owned(),
    };
    let id = QueueId::next(now_s.saturating_mul(1000), net::random_u32());
    let (date, domain) = (rfc5322_date(now_s), author.rsplit_once('@').map_or("mail.invalid", |(_, domain)| domain));
    format!("From: <{author}>\r\nTo: <{to}>\r\nSubject: a message\r\nDate: {date}\r\nMessage-ID: <{id}@{domain}>\r\n\r\ntext\r\n").into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_ends_become_crlf_and_are_kept_where_they_are() {
        let mut said = Vec::new();
        let crlf = Bytes::from_static(b"From: a\r\n\r\nb\r\n");
        assert_eq!(with_crlf(&crlf, &mut said), crlf);
        assert!(said.is_empty());
        assert_eq!(with_crlf(&Bytes::from_static(b"From: a\n\r\nb\rc\n\nend"), &mut said), b"From: a\r\n\r\nb\rc\r\n\r\nend"[..]);
        assert_eq!(said.len(), 1);
    }

    #[test]
    fn an_assumed_message_is_well_formed() {
        let (from, to) = (ReversePath::Mailbox("her@foreign.test".parse().unwrap()), ForwardPath::Postmaster);
        let text = assumed_message(&from, &to, "[192.0.2.1]", 0);
        assert!(text.starts_with(b"From: <her@foreign.test>\r\nTo: <postmaster>\r\n"), "{text:?}");
        let bounce = assumed_message(&ReversePath::Null, &to, "[192.0.2.1]", 0);
        assert!(bounce.starts_with(b"From: <mailer-daemon@mail.invalid>\r\n"), "{bounce:?}");
        assert_eq!(policy::check_well_formed(&text, false), Ok(()));
    }
}
