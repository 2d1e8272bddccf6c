//! Stage: what is sent on, one message for each target of an alias, one for all foreign recipients of own mail.
//!
//! RFC 5321 s.4.4, RFC 9228 (Delivered-To), RFC 6409 s.8. Invariant: the content stays as it came, byte for byte; fields are only
//! put on top, and no target's message names another target.

use std::collections::HashSet;

use mail::{Domain, Mailbox, QueueId, ReceivedField, rfc5322_date, with_protocol};
use net::{Clock, random_u32};
use policy::{AcceptedRecipient, LOOP_FIELD, Schedule};
use store::{Flow, Message, NewMessage, NewRecipient};

use crate::decide::Accepted;
use crate::received::Received;

/// Messages that are ready to be committed; at least one.
#[derive(Debug)]
pub(crate) struct Prepared(pub Vec<NewMessage>);

/// Makes the outgoing messages.
pub(crate) fn prepare(accepted: Accepted, hostname: &Domain, schedule: &Schedule, clock: &Clock) -> Prepared {
    let Accepted { received, lacks_message_id, lacks_date } = accepted;
    let mut messages: Vec<NewMessage> = Vec::with_capacity(received.recipients.len());
    let mut own: Vec<NewRecipient> = Vec::new();
    let mut seen: HashSet<String> = HashSet::new();
    let mut first = Some(received.id);
    let mut next_id = || first.take().unwrap_or_else(|| QueueId::next(clock.now_ms(), random_u32()));
    let mut missing = Vec::new();
    write_missing(&mut missing, &received, hostname, lacks_message_id, lacks_date);
    for (recipient, accepted) in &received.recipients {
        match accepted {
            AcceptedRecipient::Foreign(mailbox) if seen.insert(mailbox.key()) => {
                own.push(NewRecipient {
                    mailbox: mailbox.clone(),
                    notify: recipient.notify,
                    orcpt: recipient.orcpt.clone(),
                    known_as: None,
                });
            }
            AcceptedRecipient::Alias { alias, targets } => {
                for target in targets.iter().filter(|target| seen.insert(target.key())) {
                    let id = next_id();
                    let mut prefix = Vec::with_capacity(512);
                    write_forward_fields(&mut prefix, alias, target);
                    write_received(&mut prefix, &received, hostname, id, Some(alias));
                    prefix.extend_from_slice(&missing);
                    let to = NewRecipient {
                        mailbox: target.clone(),
                        notify: recipient.notify,
                        orcpt: recipient.orcpt.clone(),
                        known_as: Some(alias.clone()),
                    };
                    messages.push(message(&received, id, Flow::Forward, prefix, vec![to], schedule));
                }
            }
            AcceptedRecipient::Foreign(_) => {}
        }
    }
    if !own.is_empty() {
        let id = next_id();
        let only = if let [only] = own.as_slice() { Some(only.mailbox.clone()) } else { None };
        let mut prefix = Vec::with_capacity(256);
        write_received(&mut prefix, &received, hostname, id, only.as_ref());
        prefix.extend_from_slice(&missing);
        messages.push(message(&received, id, Flow::Own, prefix, own, schedule));
    }
    Prepared(messages)
}

fn message(
    received: &Received,
    id: QueueId,
    flow: Flow,
    prefix: Vec<u8>,
    recipients: Vec<NewRecipient>,
    schedule: &Schedule,
) -> NewMessage {
    NewMessage {
        message: Message {
            id,
            flow,
            reverse_path: received.reverse_path.clone(),
            body: received.parameters.body,
            smtputf8: received.parameters.smtputf8,
            ret: received.parameters.ret,
            envid: received.parameters.envid.clone(),
            arrived_ms: received.at_ms,
            expires_ms: schedule.expires_ms(received.at_ms),
            rewritten_path: None,
            may_report: true,
            delay_reported: false,
            prefix: prefix.into(),
        },
        content: received.content.clone(),
        recipients,
        claimed: false,
        held: None,
    }
}

/// What Google asks of forwarders, and the field by which we know our own forwards when they come back.
fn write_forward_fields(out: &mut Vec<u8>, alias: &Mailbox, target: &Mailbox) {
    out.extend_from_slice(format!("X-Forwarded-For: {alias} {target}\r\nX-Forwarded-To: {target}\r\n{LOOP_FIELD}: {alias}\r\n").as_bytes());
}

fn write_received(out: &mut Vec<u8>, received: &Received, hostname: &Domain, id: QueueId, recipient: Option<&Mailbox>) {
    let facts = &received.facts;
    let authenticated = facts.login.is_some();
    ReceivedField {
        hello: if authenticated { "submission" } else { &facts.hello },
        client: (!authenticated).then_some(facts.client),
        by: hostname,
        with: with_protocol(facts.extended, facts.tls.is_some(), authenticated, received.parameters.smtputf8),
        tls: facts.tls.as_deref(),
        id,
        recipient,
        at_unix_s: received.at_ms / 1000,
    }
    .write_to(out);
}

fn write_missing(out: &mut Vec<u8>, received: &Received, hostname: &Domain, message_id: bool, date: bool) {
    if message_id {
        out.extend_from_slice(format!("Message-ID: <{}@{hostname}>\r\n", received.id).as_bytes());
    }
    if date {
        out.extend_from_slice(format!("Date: {}\r\n", rfc5322_date(received.at_ms / 1000)).as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::received::SessionFacts;
    use bytes::Bytes;
    use mail::{ForwardPath, MailParameters, Recipient, ReversePath};
    use store::Content;

    fn mailbox(text: &str) -> Mailbox {
        Mailbox::parse(text).unwrap()
    }

    fn prepared(login: Option<&str>, recipients: Vec<AcceptedRecipient>) -> Vec<NewMessage> {
        let content = Content::memory(QueueId(9), Bytes::from_static(b"Subject: hi\r\n\r\nbody\r\n"));
        let recipient = || Recipient::new(ForwardPath::Mailbox(mailbox("me@example.test")));
        let facts = SessionFacts {
            client: "192.0.2.1".parse().unwrap(),
            hello: "client.test".into(),
            extended: true,
            tls: None,
            login: login.map(Into::into),
        };
        let received = Received {
            id: QueueId(9),
            at_ms: 0,
            facts,
            reverse_path: ReversePath::Null,
            parameters: MailParameters::default(),
            recipients: recipients.into_iter().map(|a| (recipient(), a)).collect(),
            content,
        };
        let (lacks_message_id, lacks_date) = (login.is_some(), login.is_some());
        let accepted = Accepted { received, lacks_message_id, lacks_date };
        prepare(accepted, &Domain::parse("mx.example.test").unwrap(), &Schedule::default(), &Clock::simulated(0)).0
    }

    #[test]
    fn each_target_gets_a_message_that_names_no_other() {
        let alias = AcceptedRecipient::Alias { alias: mailbox("me@example.test"), targets: vec![mailbox("a@x.test"), mailbox("b@y.test")] };
        let messages = prepared(None, vec![alias.clone(), alias]);
        assert_eq!(messages.len(), 2);
        assert_eq!(messages[0].message.id, QueueId(9));
        assert_ne!(messages[1].message.id, QueueId(9));
        let text = String::from_utf8(messages[0].message.prefix.to_vec()).unwrap();
        assert!(text.starts_with("X-Forwarded-For: me@example.test a@x.test\r\nX-Forwarded-To: a@x.test\r\nDelivered-To: me@example.test\r\nReceived: from client.test ([192.0.2.1])\r\n"), "{text}");
        assert!(!text.contains("b@y.test"));
    }

    #[test]
    fn own_mail_hides_where_its_writer_is_and_gains_what_is_missing() {
        let messages = prepared(
            Some("me@example.test"),
            vec![AcceptedRecipient::Foreign(mailbox("a@x.test")), AcceptedRecipient::Foreign(mailbox("b@y.test"))],
        );
        assert_eq!(messages.len(), 1);
        assert_eq!(messages[0].recipients.len(), 2);
        let text = String::from_utf8(messages[0].message.prefix.to_vec()).unwrap();
        assert!(text.contains("with ESMTPA") && text.contains("Message-ID: <") && text.contains("Date: "), "{text}");
        assert!(!text.contains("192.0.2.1") && !text.contains("client.test") && !text.contains("x.test"), "{text}");
    }
}
