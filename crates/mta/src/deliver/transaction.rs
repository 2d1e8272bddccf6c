//! Stage: one transaction with the next hop.
//!
//! RFC 5321 s.3.3 and s.4.5.3.2, RFC 8689 s.4.2.1. Invariant: every recipient gets an outcome, and only from a reply to
//! the command in question.

use mail::{EnhancedCode, Reply, header_len};
use policy::{Scope, Trouble};
use smtp::client::{ClientEvent, ClientTransaction, Failure, Outcome, Phase, Stage};
use store::{Claimed, Content, Store, TlsWish};
use tokio::time::timeout;

use crate::deliver::connect::{Connection, reply_timeout};
use crate::deliver::open_session::trouble_of;
use crate::support::stream::Stream;

/// A delivery to one recipient.
#[derive(Debug, Clone)]
pub(crate) struct Delivered {
    /// The reply that accepted it.
    pub reply: Reply,
    /// The host, for logs and DSNs.
    pub host: mail::Domain,
    /// TLS version and suite.
    pub tls: Option<String>,
    /// Why there was no TLS, where it was tried.
    pub plaintext: Option<String>,
    /// How the host was authenticated: `dane`, `mta-sts`, `certificate`, `pin`.
    pub verified: Option<&'static str>,
    /// Whether the next hop sends the requested DSNs.
    pub dsn_passed_on: bool,
}

/// One attempt: an outcome for each recipient, in order.
#[derive(Debug, Default)]
pub(crate) struct Attempt {
    pub results: Vec<Result<Delivered, Trouble>>,
    /// The connection was closed before the message began: try a new one.
    pub stale: bool,
    /// The host offers CHUNKING but rejects BDAT: send the message with DATA, over a new connection.
    pub wants_data: bool,
    /// The content was complete when the connection was lost: the host may have the message.
    pub is_in_doubt: bool,
    /// Whether the connection can be used again.
    pub reusable: bool,
}

impl Attempt {
    fn failed(recipients: usize, trouble: &Trouble, stale: bool) -> Self {
        Self { results: vec![Err(trouble.clone()); recipients], stale, ..Self::default() }
    }

    /// Whether a reply satisfies the predicate.
    pub fn has_reply(&self, what: fn(&Trouble) -> bool) -> bool {
        self.results.iter().any(|result| result.as_ref().is_err_and(what))
    }

    /// The attempt after a bug: everything is deferred.
    pub fn bug(recipients: usize) -> Self {
        Self::failed(recipients, &Trouble::bug("an internal error while delivering"), false)
    }
}

/// Sends the message.
pub(crate) async fn deliver(connection: &mut Connection, store: &Store, claimed: &Claimed, content: &Content) -> Attempt {
    let count = claimed.recipients.len();
    // A local mailbox server is the final hop.
    let requiretls = claimed.message.tls == TlsWish::Required && !matches!(connection.stream, Stream::Local(_));
    if requiretls && connection.verified.is_none() {
        return Attempt { reusable: true, ..Attempt::failed(count, &unverified(connection), false) };
    }
    connection.messages += 1;
    connection.session.begin(transaction(claimed, content, requiretls));
    let outcome = converse(connection, store, claimed, content).await;
    match outcome {
        Ok(outcome) => finished(connection, outcome),
        Err(Interrupted::Failed(failure)) => {
            let is_in_doubt = failure == (Failure::Disconnected { after_dot: true });
            let stale = matches!(failure, Failure::Disconnected { after_dot: false } | Failure::Closing421(_));
            let wants_data = matches!(failure, Failure::ChunkingRefused(_));
            Attempt { wants_data, is_in_doubt, ..Attempt::failed(count, &trouble_of(&failure, &connection.host), stale) }
        }
        Err(Interrupted::TimedOut) => {
            let is_in_doubt = connection.session.phase() == Phase::AfterDot;
            let late = Trouble::connection_lost(format!("{} did not answer in time", connection.host));
            Attempt { is_in_doubt, ..Attempt::failed(count, &late, false) }
        }
        Err(Interrupted::LeaseLost) => Attempt::failed(count, &Trouble::connection_lost("this node lost its claim of the message"), false),
        Err(Interrupted::Unreadable(text)) => Attempt::failed(count, &Trouble::unreadable(&text), false),
    }
}

/// The sender requires verified TLS on every hop (RFC 8689 s.4.2.1), and nothing published authenticates this host.
fn unverified(connection: &Connection) -> Trouble {
    let text =
        format!("the sender requires verified TLS (REQUIRETLS), and {} has neither TLSA records nor an MTA-STS policy", connection.host);
    Trouble::permanent(Scope::Message, 7, 30, text)
}

enum Interrupted {
    Failed(Failure),
    TimedOut,
    Unreadable(String),
    /// This node may not deliver it any more.
    LeaseLost,
}

fn transaction(claimed: &Claimed, content: &Content, requiretls: bool) -> ClientTransaction {
    let message = &claimed.message;
    let parameters = mail::MailParameters {
        size_bytes: None,
        body: message.body,
        smtputf8: message.smtputf8,
        ret: message.ret,
        envid: message.envid.clone(),
        requiretls,
    };
    let recipients: Vec<mail::Recipient> = claimed
        .recipients
        .iter()
        .map(|r| {
            let to = &r.recipient;
            let mut notify = to.notify;
            // The target behind an alias stays private: we report success, for the alias.
            notify.success &= to.known_as.is_none();
            let orcpt = if to.known_as.is_none() { to.orcpt.clone() } else { None };
            mail::Recipient { forward_path: mail::ForwardPath::Mailbox(to.mailbox.clone()), notify, orcpt }
        })
        .collect();
    let header = content.front().get(..header_len(content.front())).unwrap_or_default();
    let needs_utf8 = (message.smtputf8 && !header.is_ascii())
        || claimed.recipients.iter().any(|r| r.recipient.mailbox.needs_utf8())
        || message.envelope_from().mailbox().is_some_and(mail::Mailbox::needs_utf8);
    ClientTransaction {
        reverse_path: message.envelope_from().clone(),
        parameters,
        recipients,
        size_bytes: message.prefix.len() as u64 + content.size_bytes(),
        has_8bit: content.is_8bit() || !message.prefix.is_ascii(),
        needs_utf8,
    }
}

async fn converse(connection: &mut Connection, store: &Store, claimed: &Claimed, content: &Content) -> Result<Outcome, Interrupted> {
    let mut output = Vec::new();
    loop {
        while let Some(event) = connection.session.next_event() {
            match event {
                ClientEvent::SendContent => {
                    send_content(connection, claimed, content, &mut output).await?;
                    if !store.may_deliver(claimed.lease) {
                        // The content is not ended, so the host does not take it: another node delivers it.
                        return Err(Interrupted::LeaseLost);
                    }
                    connection.session.finish_content();
                    send(connection, &mut output).await?;
                }
                ClientEvent::Done(outcome) => return Ok(outcome),
                ClientEvent::Failed(failure) => return Err(Interrupted::Failed(failure)),
                ClientEvent::StartTls | ClientEvent::Ready => {}
            }
        }
        send(connection, &mut output).await?;
        read(connection).await?;
    }
}

/// Sends the session's output. If the peer has closed, its last reply, which may say why, is read first.
async fn send(connection: &mut Connection, output: &mut Vec<u8>) -> Result<(), Interrupted> {
    connection.session.take_output(output);
    if output.is_empty() {
        return Ok(());
    }
    let wait = reply_timeout(connection.session.phase());
    let sent = timeout(wait, connection.stream.send(output)).await.map_err(|_| Interrupted::TimedOut)?;
    output.clear();
    if sent.is_err() {
        let session = &mut connection.session;
        let _ = timeout(reply_timeout(smtp::client::Phase::Quit), connection.stream.read_into(|bytes| session.receive(bytes))).await;
        connection.session.disconnected();
    }
    Ok(())
}

async fn read(connection: &mut Connection) -> Result<(), Interrupted> {
    let session = &mut connection.session;
    let wait = reply_timeout(session.phase());
    let read = timeout(wait, connection.stream.read_into(|bytes| session.receive(bytes))).await.map_err(|_| Interrupted::TimedOut)?;
    if !matches!(read, Ok(n) if n > 0) {
        connection.session.disconnected();
    }
    Ok(())
}

async fn send_content(connection: &mut Connection, claimed: &Claimed, content: &Content, output: &mut Vec<u8>) -> Result<(), Interrupted> {
    let unreadable = |e: store::StoreError| Interrupted::Unreadable(e.to_string());
    connection.session.send_content(&claimed.message.prefix);
    let mut reader = content.read().await.map_err(unreadable)?;
    let mut left = content.size_bytes();
    while let Some(piece) = reader.next().await.map_err(unreadable)? {
        connection.session.send_content(&piece);
        left = left.saturating_sub(piece.len() as u64);
        if left > 0 {
            send(connection, output).await?;
        }
    }
    if left > 0 {
        return Err(Interrupted::Unreadable("it is shorter than recorded".into()));
    }
    Ok(())
}

fn finished(connection: &Connection, outcome: Outcome) -> Attempt {
    let scope = match outcome.refused_at {
        Some(Stage::Mail | Stage::Data | Stage::End) => Scope::Message,
        _ => Scope::Recipient,
    };
    let results = outcome
        .recipients
        .into_iter()
        .map(|result| match result {
            Ok(reply) => {
                let Connection { host, tls, plaintext, verified, .. } = connection;
                let (host, tls, plaintext, verified) = (host.clone(), tls.clone(), plaintext.clone(), *verified);
                Ok(Delivered { reply, host, tls, plaintext, verified, dsn_passed_on: outcome.dsn_passed_on })
            }
            Err(reply) => Err(refusal(&reply, scope, outcome.refused_at == Some(Stage::Local), connection)),
        })
        .collect();
    Attempt { results, reusable: outcome.reusable, ..Attempt::default() }
}

fn refusal(reply: &Reply, scope: Scope, by_us: bool, connection: &Connection) -> Trouble {
    let trouble = if by_us { Trouble::from_local_refusal(reply, scope) } else { Trouble::from_reply(&connection.host, reply, scope) };
    let source = if by_us { format!("{} cannot accept it", connection.host) } else { format!("{} said", connection.host) };
    let enhanced = if trouble.permanent { trouble.enhanced } else { EnhancedCode(4, trouble.enhanced.1, trouble.enhanced.2) };
    Trouble { enhanced, text: format!("{source}: {}", trouble.text), ..trouble }
}
