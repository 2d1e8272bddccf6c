//! Rewrites the From field of a message that its target refuses because of that field's DMARC policy.
//!
//! RFC 5322 s.3.6.2, RFC 9989 s.7 (indirect mail flows), draft-ietf-dkim-dkim2-spec-08 s.12. Invariant: the body is unchanged, and replies still reach the
//! original author.

use bytes::{BufMut, Bytes, BytesMut};
use mail::{Body, Domain, Field, Fields, Mailbox, QueueId, ReversePath, header_len};
use mail_parser::MessageParser;
use msgauth::{ChainEnvelope, NextHop, is_arc_field, is_chain_field, sealed_result};
use net::random_u32;
use store::{ClaimedRecipient, Content, Message, NewMessage};

use crate::context::{Shared, Snapshot};
use crate::notify::outbox::Outbox;
use crate::support::large_contents::{ContentOrigin, LargeContents};
use crate::support::phrase::{encoded, escaped};

/// The message with our From field, for one recipient; `None` if it cannot be read.
pub(crate) async fn rewrite_from(
    outbox: &Outbox,
    large: &LargeContents,
    message: &Message,
    recipient: &ClaimedRecipient,
    content: Option<&Content>,
) -> Option<NewMessage> {
    let whole = large.load(content?, ContentOrigin::Outside).await.ok()?;
    let settings = outbox.shared.settings.load();
    let known_as = recipient.recipient.known_as.as_ref().unwrap_or(&recipient.recipient.mailbox);
    let from = author(message, &settings.forward.srs.domain)?;
    let rewritten_message = rewritten(&whole.bytes, &from, &known_as.domain)?;
    let rewritten_message = Rewritten { received: whole.bytes.clone(), bytes: rewritten_message };
    queue_again(outbox, message, recipient, rewritten_message).await
}

/// The address in the From field: the return address, in the forwarding domain, so that SPF and DKIM align.
pub(crate) fn author(message: &Message, domain: &Domain) -> Option<Mailbox> {
    match message.envelope_from() {
        ReversePath::Mailbox(mailbox) if mailbox.domain == *domain => Some(mailbox.clone()),
        _ => Mailbox::parse(&format!("forwarded@{domain}")).ok(),
    }
}

/// A message with our From field, and as it came.
struct Rewritten {
    received: Bytes,
    bytes: Bytes,
}

async fn queue_again(outbox: &Outbox, message: &Message, recipient: &ClaimedRecipient, form: Rewritten) -> Option<NewMessage> {
    let Shared { store, clock, .. } = &outbox.shared;
    let Snapshot { settings, directory } = outbox.shared.snapshot();
    let id = QueueId::next(clock.now_ms(), random_u32());
    let is_8bit = !form.bytes.is_ascii();
    let domain = &settings.forward.srs.domain;
    let unsigned = unsigned(&message.prefix);
    let signed = outbox.signing.sign(&directory, domain, &unsigned, &form.bytes).await;
    let body = if is_8bit { Body::EightBit } else { message.body };
    let prefix = joined(&signed, &unsigned);
    let mut again = Message { id, mendable: false, body, prefix, ..message.clone() };
    // Our set covers the field that has changed. What it says of the chain below is still true.
    if let Some(arrived) = sealed_result(&message.prefix) {
        let set = outbox.signing.seal(&directory, domain, &again, &form.bytes, arrived).await;
        again.prefix = joined(&set, &again.prefix);
    }
    let hop = continued(outbox, message, recipient, &form, &again.prefix).await;
    again.prefix = joined(&hop, &again.prefix);
    let content = store.put(id, &form.bytes).await.ok()?;
    Some(NewMessage { message: again, content, recipients: vec![recipient.recipient.clone()], claimed: false, held: None })
}

fn joined(fields: &[u8], prefix: &[u8]) -> Bytes {
    [fields, prefix].concat().into()
}

/// The fields of our hop in the message's DKIM2 chain, with the recipe that restores what came; none if the form that was refused did not continue the chain.
async fn continued(outbox: &Outbox, message: &Message, recipient: &ClaimedRecipient, form: &Rewritten, prefix: &[u8]) -> Vec<u8> {
    // Our hop was signed only because the chain verified when the message came.
    let was_continued = Fields::new(&message.prefix).any(|field| is_chain_field(&field));
    let to = &recipient.recipient;
    let (Some(alias), true) = (&to.known_as, was_continued) else { return Vec::new() };
    let Snapshot { settings, directory } = outbox.shared.snapshot();
    let leaves_as = message.envelope_from();
    let Some(signers) = outbox.signing.hop_signers(&directory, &settings.forward.srs.domain, alias, leaves_as) else { return Vec::new() };
    let (from, to) = (leaves_as.to_bare(), vec![to.mailbox.to_string()]);
    let is_one_of_several = Fields::new(&message.prefix).any(|field| is_chain_field(&field) && is_exploded(&field));
    let (received, revised) = (form.received.clone(), [prefix, form.bytes.as_ref()].concat());
    let work = move || {
        let next = NextHop { envelope: ChainEnvelope { from: &from, to: &to }, is_one_of_several };
        signers.borrowed().sign_revision_again(&received, &revised, next)
    };
    match outbox.signing.compute(work).await {
        Some(Ok(fields)) => fields,
        Some(Err(error)) => {
            tracing::info!(id = %message.id, %error, "not continuing the DKIM2 chain of the rewritten form");
            Vec::new()
        }
        None => Vec::new(),
    }
}

/// Whether a signature of ours says that other copies went elsewhere.
fn is_exploded(field: &Field<'_>) -> bool {
    field.unfolded().contains("f=exploded")
}

/// The prefix without our signatures and our ARC set, which cover the original form.
fn unsigned(prefix: &Bytes) -> Bytes {
    let mut out = BytesMut::with_capacity(prefix.len());
    for field in Fields::new(prefix).filter(|field| !field.is("DKIM-Signature") && !is_chain_field(field) && !is_arc_field(field)) {
        out.put_slice(field.raw);
    }
    out.freeze()
}

fn write_field(out: &mut BytesMut, name: &[u8], value: &[u8]) {
    out.put_slice(name);
    out.put_slice(b":");
    out.put_slice(value);
    out.put_slice(b"\r\n");
}

/// `From: "Name via example.com" <ours>`, with the author in Reply-To and X-Original-From.
pub(crate) fn rewritten(whole: &[u8], from: &Mailbox, via: &Domain) -> Option<Bytes> {
    let front = whole.get(..header_len(whole))?;
    let name = display_name(front).unwrap_or_else(|| "Someone".into());
    let quoted = escaped(&name);
    let has_reply_to = Fields::find_first(front, "Reply-To").is_some();
    let mut out = BytesMut::with_capacity(whole.len() + 512);
    for Field { name, value, raw } in Fields::new(front) {
        if !name.eq_ignore_ascii_case(b"From") {
            out.put_slice(raw);
            continue;
        }
        let shown = encoded(&format!("{quoted} via {via}"));
        write_field(&mut out, b"From", format!(" {shown} <{from}>").as_bytes());
        if !has_reply_to {
            write_field(&mut out, b"Reply-To", value);
        }
        write_field(&mut out, b"X-Original-From", value);
    }
    out.put_slice(b"\r\n");
    out.put_slice(whole.get(front.len()..)?);
    Some(out.freeze())
}

fn display_name(front: &[u8]) -> Option<String> {
    let message = MessageParser::default().parse_headers(front)?;
    let first = message.from()?.mailboxes().next()?;
    let name = first.name().map(str::trim).filter(|name| !name.is_empty());
    name.map(ToOwned::to_owned).or_else(|| first.address().map(|address| address.replace('@', " at ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rewrite(content: &str) -> String {
        let from = Mailbox::parse("SRS0=x@fwd.example.test").unwrap();
        String::from_utf8(rewritten(content.as_bytes(), &from, &Domain::parse("example.test").unwrap()).unwrap().to_vec()).unwrap()
    }

    #[test]
    fn the_author_moves_to_reply_to() {
        let rewritten_message = rewrite("Subject: hi\r\nFrom: Her Name <her@bank.test>\r\nTo: me\r\n\r\nbody\r\n\r\n");
        assert_eq!(
            rewritten_message,
            "Subject: hi\r\nFrom: \"Her Name via example.test\" <SRS0=x@fwd.example.test>\r\nReply-To: Her Name <her@bank.test>\r\n\
             X-Original-From: Her Name <her@bank.test>\r\nTo: me\r\n\r\nbody\r\n\r\n"
        );
        let with_reply_to = rewrite("Reply-To: desk@bank.test\r\nFrom: her@bank.test\r\n\r\n");
        assert_eq!(with_reply_to.matches("Reply-To:").count(), 1);
        assert!(with_reply_to.contains("From: \"her at bank.test via example.test\" <"));
    }

    #[test]
    fn a_display_name_cannot_inject_a_field() {
        let rewritten_message = rewrite("From: \"a\\\"b\" =?utf-8?q?=0D=0ABcc:_x@y.test?= <her@bank.test>\r\n\r\n");
        let fields: Vec<String> = Fields::new(rewritten_message.as_bytes()).map(|f| String::from_utf8_lossy(f.name).into_owned()).collect();
        assert_eq!(fields, ["From", "Reply-To", "X-Original-From"]);
        let umlaut = rewrite("From: =?utf-8?q?J=C3=BCrgen_von_und_zu_dem_sehr_langen_Namen_aus_dem_S=C3=BCden?= <j@bank.test>\r\n\r\n");
        assert!(umlaut.is_ascii() && umlaut.contains("From: =?utf-8?B?"), "{umlaut}");
    }

    #[test]
    fn our_old_signature_is_removed() {
        let prefix = Bytes::from_static(b"DKIM-Signature: v=1;\r\n\tb=abc\r\nDelivered-To: me@x.test\r\nReceived: from a\r\n\tby b\r\n");
        let sealed = Bytes::from(
            [b"ARC-Seal: i=1; cv=none\r\nARC-Message-Signature: i=1\r\nARC-Authentication-Results: i=1; x\r\n", prefix.as_ref()].concat(),
        );
        assert_eq!((unsigned(&sealed), sealed_result(&sealed)), (unsigned(&prefix), Some(mail::evidence::ArcResult::None)));
        assert_eq!(unsigned(&prefix), b"Delivered-To: me@x.test\r\nReceived: from a\r\n\tby b\r\n".as_slice());
    }
}
