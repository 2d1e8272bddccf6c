//! Stage: makes the outgoing messages: one for each target of an alias, one for all foreign recipients of own mail.
//!
//! RFC 5321 s.4.4, RFC 7208 s.2.4 (a forward leaves under a reverse-path of ours). Invariant: the content is unchanged, octet for octet; fields
//! are only added on top, and no target's message names another target.

use std::collections::HashSet;

use mail::srs::Srs;
use mail::{Domain, Fields, Mailbox, QueueId, Recipient, ReversePath};
use net::{Clock, random_u32};
use policy::{AcceptedRecipient, Treatment};
use store::{Flow, Message, NewMessage, NewRecipient, TlsWish};

use crate::accept::decide::Accepted;
use crate::accept::disclosed::Disclosed;
use crate::accept::fields::{write_forward, write_missing, write_received, write_results};
use crate::accept::message_auth::Proof;
use crate::accept::received::Received;
use crate::settings::Settings;
use crate::support::large_contents::Whole;

/// Messages ready for delivery or commit; at least one.
#[derive(Debug)]
pub(crate) struct Prepared<'a> {
    /// The messages.
    pub messages: Vec<NewMessage>,
    /// The content, in memory.
    pub whole: Whole<'a>,
    /// The proof of its sender.
    pub proof: Proof,
    /// The SRS token in their return address and the sender that it encodes; stored before they leave.
    pub token: Option<(String, Mailbox)>,
    /// Whether we wrote the content: around the received message, or in its place.
    pub is_ours: bool,
    /// The domain that signs a DSN with DKIM2, which goes back to the hop before ours.
    pub dsn_domain: Option<Domain>,
    /// Whether they may be delivered while the sender waits: all are forwards, and none is held.
    pub is_forward: bool,
}

/// Makes the outgoing messages.
pub(crate) fn prepare<'a>(accepted: Accepted<'a>, settings: &Settings, clock: &Clock) -> Prepared<'a> {
    let mut builder = MessageBuilder::new(&accepted, settings, clock);
    let mut own: Vec<NewRecipient> = Vec::new();
    for (recipient, target) in &accepted.received.recipients {
        match target {
            AcceptedRecipient::Foreign(mailbox) if builder.seen.insert(mailbox.key()) => own.push(to(recipient, mailbox, None)),
            AcceptedRecipient::Alias { alias, targets } => {
                for target in targets {
                    builder.forward(recipient, alias, target);
                }
            }
            AcceptedRecipient::Sender { known_as, sender } if builder.seen.insert(sender.key()) => {
                builder.send_back(recipient, known_as, sender)
            }
            AcceptedRecipient::Foreign(_) | AcceptedRecipient::Sender { .. } | AcceptedRecipient::Token { .. } => {}
            // Reports are read before this stage.
            AcceptedRecipient::Reports(_) => {}
        }
    }
    if !own.is_empty() {
        let divided = if settings.sign_dkim2 { Disclosed::of(&accepted.whole.bytes).divide(own) } else { vec![own] };
        for recipients in divided {
            builder.send_own(recipients);
        }
    }
    let MessageBuilder { messages, token, .. } = builder;
    // A success DSN requires a queued message, since `settle` writes the DSN.
    let wants_report = |m: &NewMessage| m.recipients.iter().any(|r| r.notify.success);
    let is_forward = messages.iter().all(|m| m.message.flow == Flow::Forward && m.held.is_none() && !wants_report(m));
    let Accepted { whole, proof, is_ours, returned, .. } = accepted;
    let dsn_domain = returned.filter(|_| is_ours).map(|returned| returned.signs_as);
    Prepared { messages, whole, proof, token, is_ours, dsn_domain, is_forward }
}

fn to(recipient: &Recipient, mailbox: &Mailbox, known_as: Option<&Mailbox>) -> NewRecipient {
    NewRecipient { mailbox: mailbox.clone(), notify: recipient.notify, orcpt: recipient.orcpt.clone(), known_as: known_as.cloned() }
}

/// Builds the messages.
struct MessageBuilder<'a> {
    accepted: &'a Accepted<'a>,
    settings: &'a Settings,
    clock: &'a Clock,
    /// Targets that have a copy.
    seen: HashSet<String>,
    /// The received message's ID; the first outgoing message takes it.
    first: Option<QueueId>,
    /// The fields that a submitted message lacks.
    missing: Vec<u8>,
    /// The reverse-path of a forward, if it is rewritten.
    rewritten: Option<ReversePath>,
    token: Option<(String, Mailbox)>,
    messages: Vec<NewMessage>,
}

impl<'a> MessageBuilder<'a> {
    fn new(accepted: &'a Accepted<'a>, settings: &'a Settings, clock: &'a Clock) -> Self {
        let received = &accepted.received;
        let mut missing = Vec::new();
        write_missing(&mut missing, received, &settings.hostname, accepted.lacks_message_id, accepted.lacks_date);
        let (rewritten, token) = rewrite(received, &accepted.proof, &settings.forward.srs);
        Self { accepted, settings, clock, seen: HashSet::new(), first: Some(received.id), missing, rewritten, token, messages: Vec::new() }
    }

    fn next_id(&mut self) -> QueueId {
        self.first.take().unwrap_or_else(|| QueueId::next(self.clock.now_ms(), random_u32()))
    }

    /// Adds a copy for one target of an alias.
    fn forward(&mut self, recipient: &Recipient, alias: &Mailbox, target: &Mailbox) {
        if !self.seen.insert(target.key()) {
            return;
        }
        let (received, hostname) = (&self.accepted.received, &self.settings.hostname);
        let id = self.next_id();
        let mut prefix = Vec::with_capacity(1024);
        write_forward(&mut prefix, alias, target);
        if let Proof::Evidence(evidence) = &self.accepted.proof {
            write_results(&mut prefix, received, hostname, evidence);
        }
        write_received(&mut prefix, received, hostname, id, Some(alias));
        prefix.extend_from_slice(&self.missing);
        let mut message = self.message(id, Flow::Forward, prefix, vec![to(recipient, target, Some(alias))]);
        message.message.rewritten_path = self.rewritten.clone();
        self.hold(&mut message);
        self.messages.push(message);
    }

    /// Adds a DSN about a message that we forwarded, to that message's sender.
    fn send_back(&mut self, recipient: &Recipient, known_as: &Mailbox, sender: &Mailbox) {
        let id = self.next_id();
        let mut prefix = Vec::with_capacity(256);
        // A DSN that we rewrote comes from us; where the original came from stays private.
        if !self.accepted.is_ours {
            write_received(&mut prefix, &self.accepted.received, &self.settings.hostname, id, Some(known_as));
        }
        let mut message = self.message(id, Flow::Report, prefix, vec![to(recipient, sender, Some(known_as))]);
        self.hold(&mut message);
        self.messages.push(message);
    }

    /// Holds the message if `decide` chose that.
    fn hold(&self, message: &mut NewMessage) {
        if let Treatment::Held(reason) = &self.accepted.treatment {
            message.held = Some(reason.clone());
            message.message.expires_ms = self.accepted.received.at_ms + i64::from(self.settings.forward.hold_s) * 1000;
        }
    }

    /// Adds the message of an account to foreign recipients.
    fn send_own(&mut self, recipients: Vec<NewRecipient>) {
        let id = self.next_id();
        let only = if let [only] = recipients.as_slice() { Some(only.mailbox.clone()) } else { None };
        let mut prefix = Vec::with_capacity(256);
        write_received(&mut prefix, &self.accepted.received, &self.settings.hostname, id, only.as_ref());
        prefix.extend_from_slice(&self.missing);
        let message = self.message(id, Flow::Own, prefix, recipients);
        self.messages.push(message);
    }

    fn message(&self, id: QueueId, flow: Flow, prefix: Vec<u8>, recipients: Vec<NewRecipient>) -> NewMessage {
        let received = &self.accepted.received;
        NewMessage {
            message: Message {
                id,
                flow,
                reverse_path: received.reverse_path.clone(),
                rewritten_path: None,
                may_report: self.accepted.may_report,
                mendable: self.accepted.treatment == Treatment::Rewritable && flow == Flow::Forward,
                body: received.parameters.body,
                smtputf8: received.parameters.smtputf8,
                ret: received.parameters.ret,
                envid: received.parameters.envid.clone(),
                tls: tls_wish(received),
                arrived_ms: received.at_ms,
                expires_ms: self.settings.schedule.expires_ms(received.at_ms),
                delay_reported: false,
                prefix: prefix.into(),
            },
            content: received.content.clone(),
            recipients,
            claimed: false,
            held: None,
        }
    }
}

/// The sender's requirement for TLS: in MAIL FROM, or else in a header field (RFC 8689 s.5).
fn tls_wish(received: &Received) -> TlsWish {
    if received.parameters.requiretls {
        return TlsWish::Required;
    }
    let says_no = |field: mail::Field<'_>| field.unfolded().trim().eq_ignore_ascii_case("no");
    match Fields::find_first(received.content.front(), "TLS-Required").is_some_and(says_no) {
        true => TlsWish::Optional,
        false => TlsWish::AsPublished,
    }
}

/// Returns the reverse-path of a forward. Mail of another server always gets a return address, even if its reverse-path is in a hosted
/// domain: otherwise our address would give it an SPF pass. Mail of an account keeps its reverse-path.
fn rewrite(received: &Received, proof: &Proof, srs: &Srs) -> (Option<ReversePath>, Option<(String, Mailbox)>) {
    let (Proof::Evidence(_), Some(sender)) = (proof, received.reverse_path.mailbox()) else { return (None, None) };
    if srs.owns(sender) {
        return (None, None);
    }
    match srs.rewrite(sender, received.at_ms / 1000) {
        Some(rewritten) => (Some(ReversePath::Mailbox(rewritten.address)), rewritten.token.map(|token| (token, sender.clone()))),
        None => (None, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::accept::received::SessionFacts;
    use crate::support::large_contents::LargeContents;
    use bytes::Bytes;
    use mail::{ForwardPath, MailParameters, Recipient, ReversePath};
    use store::Content;

    fn mailbox(text: &str) -> Mailbox {
        Mailbox::parse(text).unwrap()
    }

    fn prepared(login: Option<&str>, reverse_path: ReversePath, recipients: Vec<AcceptedRecipient>) -> Prepared<'static> {
        static ROOM: std::sync::LazyLock<LargeContents> = std::sync::LazyLock::new(LargeContents::default);
        let content = Content::memory(QueueId(9), Bytes::from_static(b"Subject: hi\r\n\r\nbody\r\n"));
        let recipient = || Recipient::new(ForwardPath::Mailbox(mailbox("me@example.test")));
        let facts = SessionFacts {
            listener: None,
            client: "192.0.2.1".parse().unwrap(),
            hello: "client.test".into(),
            extended: true,
            tls: None,
            login: login.map(Into::into),
            local: false,
        };
        let received = Received {
            id: QueueId(9),
            at_ms: 0,
            facts,
            reverse_path,
            parameters: MailParameters::default(),
            recipients: recipients.into_iter().map(|a| (recipient(), a)).collect(),
            content,
        };
        let (lacks_message_id, lacks_date) = (login.is_some(), login.is_some());
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let whole = runtime.block_on(ROOM.load(&received.content, crate::support::large_contents::ContentOrigin::Outside)).unwrap();
        let proof = login.map_or_else(|| Proof::Evidence(Box::default()), |login| Proof::Login(login.into()));
        let accepted = Accepted {
            received,
            proof,
            whole,
            treatment: Treatment::AsIs,
            may_report: true,
            is_ours: false,
            returned: None,
            lacks_message_id,
            lacks_date,
        };
        prepare(accepted, &Settings::plain(), &Clock::simulated(0))
    }

    #[test]
    fn each_target_gets_a_message_that_names_no_other() {
        let alias = AcceptedRecipient::Alias { alias: mailbox("me@example.test"), targets: vec![mailbox("a@x.test"), mailbox("b@y.test")] };
        let messages = prepared(None, ReversePath::Null, vec![alias.clone(), alias]).messages;
        assert_eq!(messages.len(), 2);
        assert_eq!(messages[0].message.id, QueueId(9));
        assert_ne!(messages[1].message.id, QueueId(9));
        let text = String::from_utf8(messages[0].message.prefix.to_vec()).unwrap();
        assert!(text.starts_with("X-Forwarded-For: me@example.test a@x.test\r\nX-Forwarded-To: a@x.test\r\nDelivered-To: me@example.test\r\nAuthentication-Results: mx.example.test;\r\n"), "{text}");
        assert!(text.contains("\r\nReceived: from client.test ([192.0.2.1])\r\n"), "{text}");
        assert!(!text.contains("b@y.test"));
    }

    #[test]
    fn own_mail_hides_the_client_and_gains_missing_fields() {
        let messages = prepared(
            Some("me@example.test"),
            ReversePath::Null,
            vec![AcceptedRecipient::Foreign(mailbox("a@x.test")), AcceptedRecipient::Foreign(mailbox("b@y.test"))],
        )
        .messages;
        assert_eq!(messages.len(), 1);
        assert_eq!(messages[0].recipients.len(), 2);
        let text = String::from_utf8(messages[0].message.prefix.to_vec()).unwrap();
        assert!(text.contains("with ESMTPA") && text.contains("Message-ID: <") && text.contains("Date: "), "{text}");
        assert!(!text.contains("192.0.2.1") && !text.contains("client.test") && !text.contains("x.test"), "{text}");
    }

    #[test]
    fn forwards_of_others_use_srs_and_those_of_accounts_keep_their_path() {
        let sender = ReversePath::Mailbox(mailbox("her@foreign.test"));
        let alias = AcceptedRecipient::Alias { alias: mailbox("me@example.test"), targets: vec![mailbox("a@x.test")] };
        let forwarded = prepared(None, sender.clone(), vec![alias.clone()]);
        let message = &forwarded.messages[0].message;
        assert_eq!(message.reverse_path, sender);
        let leaves_as = message.envelope_from().to_string();
        assert!(leaves_as.starts_with("<SRS0=") && leaves_as.ends_with("=foreign.test=her@fwd.example.test>"), "{leaves_as}");
        assert!(forwarded.is_forward && forwarded.token.is_none());
        let null = prepared(None, ReversePath::Null, vec![alias.clone()]);
        assert_eq!(null.messages[0].message.envelope_from(), &ReversePath::Null);
        let own = prepared(Some("me@example.test"), sender.clone(), vec![alias]);
        assert_eq!(own.messages[0].message.envelope_from(), &sender);
    }

    #[test]
    fn a_long_sender_gets_a_token_and_its_dsn_comes_back() {
        let long = mailbox(&format!("{}@foreign.test", "x".repeat(100)));
        let alias = AcceptedRecipient::Alias { alias: mailbox("me@example.test"), targets: vec![mailbox("a@x.test")] };
        let forwarded = prepared(None, ReversePath::Mailbox(long.clone()), vec![alias]);
        assert_eq!(forwarded.token.unwrap().1, long);
        let back = AcceptedRecipient::Sender { known_as: mailbox("SRS0=x@fwd.example.test"), sender: long.clone() };
        let returned = prepared(None, ReversePath::Null, vec![back]);
        assert_eq!(returned.messages[0].message.flow, Flow::Report);
        assert_eq!(returned.messages[0].recipients[0].mailbox, long);
        assert!(!returned.is_forward);
    }
}
