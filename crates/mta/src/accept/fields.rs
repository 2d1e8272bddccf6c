//! The fields that we add on top of a message: trace, forwarding, authentication results.
//!
//! RFC 5321 s.4.4, RFC 9228 (Delivered-To), RFC 8601 (Authentication-Results), RFC 6409 s.8. Invariant: each function writes whole fields
//! that end with CRLF, and quotes untrusted text.

use mail::auth_results::{Facts, authentication_results};
use mail::evidence::Evidence;
use mail::{Domain, Mailbox, QueueId, ReceivedField, rfc5322_date, with_protocol};
use policy::LOOP_FIELD;

use crate::accept::received::Received;

/// Writes the fields that Google asks forwarders to add, and the field by which we detect a loop.
pub(crate) fn write_forward(out: &mut Vec<u8>, alias: &Mailbox, target: &Mailbox) {
    out.extend_from_slice(format!("X-Forwarded-For: {alias} {target}\r\nX-Forwarded-To: {target}\r\n{LOOP_FIELD}: {alias}\r\n").as_bytes());
}

/// Writes the Received field.
pub(crate) fn write_received(out: &mut Vec<u8>, received: &Received, hostname: &Domain, id: QueueId, recipient: Option<&Mailbox>) {
    let facts = &received.facts;
    let authenticated = facts.login.is_some();
    ReceivedField {
        hello: if authenticated && !facts.local { "submission" } else { &facts.hello },
        client: (!authenticated).then_some(facts.client),
        by: hostname,
        with: match facts.local {
            true => "local",
            false => with_protocol(facts.extended, facts.tls.is_some(), authenticated, received.parameters.smtputf8),
        },
        tls: facts.tls.as_deref(),
        id,
        recipient,
        at_unix_s: received.at_ms / 1000,
    }
    .write_to(out);
}

/// Writes the Authentication-Results field.
pub(crate) fn write_results(out: &mut Vec<u8>, received: &Received, hostname: &Domain, evidence: &Evidence) {
    let sender = received.reverse_path.mailbox().map(ToString::to_string);
    let from = Some(evidence.dmarc.domain.as_str()).filter(|from| !from.is_empty());
    let facts = Facts { client: received.facts.client, hello: &received.facts.hello, reverse_path: sender.as_deref(), header_from: from };
    out.extend_from_slice(authentication_results(hostname, evidence, &facts).as_bytes());
}

/// Writes the required fields that a submitted message lacks.
pub(crate) fn write_missing(out: &mut Vec<u8>, received: &Received, hostname: &Domain, message_id: bool, date: bool) {
    if message_id {
        out.extend_from_slice(format!("Message-ID: <{}@{hostname}>\r\n", received.id).as_bytes());
    }
    if date {
        out.extend_from_slice(format!("Date: {}\r\n", rfc5322_date(received.at_ms / 1000)).as_bytes());
    }
}
