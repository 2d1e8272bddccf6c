//! Another form of a message that its target would not take as it came: under a From field of ours, or within a message of ours.
//!
//! RFC 5322 s.3.6.2, RFC 9989 s.7 (indirect mail flows), RFC 2046 s.5.2.1 (message/rfc822). Invariant: the body stays as it came, and whoever answers still
//! reaches the original author.

use bytes::{BufMut, Bytes, BytesMut};
use mail::{Body, Domain, Field, Fields, Mailbox, QueueId, ReversePath, header_len, rfc5322_date};
use mail_parser::MessageParser;
use net::{Clock, random_u32};
use policy::AcceptedRecipient;
use store::{ClaimedRecipient, Content, Message, NewMessage, Store, StoreError};

use crate::accept::decide::Accepted;
use crate::queue::dispatch::World;
use crate::settings::Settings;
use crate::support::large_contents::Whose;

/// The message under a From field of ours, for one recipient. `None` where it cannot be read.
pub(crate) async fn mend(world: &World, message: &Message, recipient: &ClaimedRecipient, content: Option<&Content>) -> Option<NewMessage> {
    let whole = world.large.load(content?, Whose::Stranger).await.ok()?;
    let settings = world.settings.load();
    let known_as = recipient.recipient.known_as.as_ref().unwrap_or(&recipient.recipient.mailbox);
    let from = author(message, &settings.forward.srs.domain)?;
    let mended = rewritten(&whole.bytes, &from, &known_as.domain)?;
    follow(world, message, recipient, mended).await
}

/// The accepted message within one of ours, for all its recipients: what is passed on from here.
pub(crate) async fn wrap<'a>(
    store: &Store,
    settings: &Settings,
    clock: &Clock,
    mut accepted: Accepted<'a>,
) -> Result<Accepted<'a>, StoreError> {
    let domain = &settings.forward.srs.domain;
    let from = Mailbox::parse(&format!("postmaster@{domain}")).map_err(|e| StoreError::Corrupt(e.to_string()))?;
    let mut aliases = accepted.received.recipients.iter().filter_map(|(_, recipient)| match recipient {
        AcceptedRecipient::Alias { alias, .. } => Some(alias),
        _ => None,
    });
    // Whoever reads one copy is not told of the others.
    let to = aliases.next().filter(|first| aliases.all(|other| other == *first));
    let now_ms = clock.now_ms();
    let bytes = wrapped(&accepted.whole.bytes, accepted.received.id, to, &from, &settings.hostname, now_ms / 1000);
    let mut spool = store.spool(QueueId::next(now_ms, random_u32()));
    spool.write(&bytes).await?;
    let content = spool.finish().await?;
    store.discard(&std::mem::replace(&mut accepted.received.content, content));
    if !bytes.is_ascii() {
        accepted.received.parameters.body = Body::EightBit;
    }
    accepted.whole.bytes = bytes;
    accepted.is_ours = true;
    Ok(accepted)
}

/// The message within one of ours.
pub(crate) fn wrapped(whole: &[u8], id: QueueId, to: Option<&Mailbox>, from: &Mailbox, hostname: &Domain, now_unix_s: i64) -> Bytes {
    let subject = Fields::find_first(whole, "Subject").map(|f| f.value.trim_ascii().to_vec()).unwrap_or_default();
    let encoding = if whole.is_ascii() { "7bit" } else { "8bit" };
    let mut out = BytesMut::with_capacity(whole.len() + 1024);
    let addressed = match to {
        Some(to) => format!("From: \"Mail for {}\" <{from}>\r\nTo: <{to}>\r\nSubject: Fwd: ", escaped(&to.to_string())),
        None => format!("From: \"Forwarded mail\" <{from}>\r\nTo: undisclosed-recipients:;\r\nSubject: Fwd: "),
    };
    out.put_slice(addressed.as_bytes());
    out.put_slice(&subject);
    out.put_slice(
        format!(
            "\r\nDate: {}\r\nMessage-ID: <{}.wrapped@{hostname}>\r\nMIME-Version: 1.0\r\nContent-Type: message/rfc822\r\nContent-Transfer-Encoding: {encoding}\r\n\r\n",
            rfc5322_date(now_unix_s),
            id
        )
        .as_bytes(),
    );
    out.put_slice(whole);
    out.freeze()
}

/// The address in the From field: the return address, which is of the forwarding domain, so that SPF and DKIM align with it.
fn author(message: &Message, domain: &Domain) -> Option<Mailbox> {
    match message.envelope_from() {
        ReversePath::Mailbox(mailbox) if mailbox.domain == *domain => Some(mailbox.clone()),
        _ => Mailbox::parse(&format!("forwarded@{domain}")).ok(),
    }
}

async fn follow(world: &World, message: &Message, recipient: &ClaimedRecipient, bytes: Bytes) -> Option<NewMessage> {
    let id = QueueId::next(world.clock.now_ms(), random_u32());
    let is_8bit = !bytes.is_ascii();
    let unsigned = unsigned(&message.prefix);
    let mut prefix = world.signing.sign(&world.live.current(), &world.settings.load().forward.srs.domain, &unsigned, &bytes).await;
    prefix.extend_from_slice(&unsigned);
    let mut spool = world.store.spool(id);
    spool.write(&bytes).await.ok()?;
    let content = spool.finish().await.ok()?;
    Some(NewMessage {
        message: Message {
            id,
            mendable: false,
            body: if is_8bit { Body::EightBit } else { message.body },
            prefix: prefix.into(),
            ..message.clone()
        },
        content,
        recipients: vec![recipient.recipient.clone()],
        claimed: false,
        held: None,
    })
}

/// The prefix without our signatures: they were made over the other form.
fn unsigned(prefix: &Bytes) -> Bytes {
    let mut out = BytesMut::with_capacity(prefix.len());
    for field in Fields::new(prefix).filter(|field| !field.is("DKIM-Signature")) {
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
fn rewritten(whole: &[u8], from: &Mailbox, via: &Domain) -> Option<Bytes> {
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

/// What stands between the quotes of a quoted-string.
pub(crate) fn escaped(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).flat_map(|c| if matches!(c, '"' | '\\') { vec!['\\', c] } else { vec![c] }).collect()
}

/// A phrase: quoted where it is ASCII, an encoded-word (RFC 2047 s.4.1) for each piece otherwise.
pub(crate) fn encoded(text: &str) -> String {
    use base64::Engine as _;
    if text.is_ascii() {
        return format!("\"{text}\"");
    }
    let mut words = Vec::new();
    let mut piece = String::new();
    for c in text.replace("\\", "").chars() {
        if piece.len() + c.len_utf8() > 42 {
            words.push(std::mem::take(&mut piece));
        }
        piece.push(c);
    }
    words.push(piece);
    let word = |piece: &String| format!("=?utf-8?B?{}?=", base64::engine::general_purpose::STANDARD.encode(piece));
    words.iter().map(word).collect::<Vec<_>>().join("\r\n ")
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

    fn mend_text(content: &str) -> String {
        let from = Mailbox::parse("SRS0=x@fwd.example.test").unwrap();
        String::from_utf8(rewritten(content.as_bytes(), &from, &Domain::parse("example.test").unwrap()).unwrap().to_vec()).unwrap()
    }

    #[test]
    fn the_author_is_kept_where_answers_go() {
        let mended = mend_text("Subject: hi\r\nFrom: Her Name <her@bank.test>\r\nTo: me\r\n\r\nbody\r\n\r\n");
        assert_eq!(
            mended,
            "Subject: hi\r\nFrom: \"Her Name via example.test\" <SRS0=x@fwd.example.test>\r\nReply-To: Her Name <her@bank.test>\r\n\
             X-Original-From: Her Name <her@bank.test>\r\nTo: me\r\n\r\nbody\r\n\r\n"
        );
        let with_reply_to = mend_text("Reply-To: desk@bank.test\r\nFrom: her@bank.test\r\n\r\n");
        assert_eq!(with_reply_to.matches("Reply-To:").count(), 1);
        assert!(with_reply_to.contains("From: \"her at bank.test via example.test\" <"));
    }

    #[test]
    fn a_name_adds_no_field() {
        let mended = mend_text("From: \"a\\\"b\" =?utf-8?q?=0D=0ABcc:_x@y.test?= <her@bank.test>\r\n\r\n");
        let fields: Vec<String> = Fields::new(mended.as_bytes()).map(|f| String::from_utf8_lossy(f.name).into_owned()).collect();
        assert_eq!(fields, ["From", "Reply-To", "X-Original-From"]);
        let umlaut = mend_text("From: =?utf-8?q?J=C3=BCrgen_von_und_zu_dem_sehr_langen_Namen_aus_dem_S=C3=BCden?= <j@bank.test>\r\n\r\n");
        assert!(umlaut.is_ascii() && umlaut.contains("From: =?utf-8?B?"), "{umlaut}");
    }

    #[test]
    fn our_old_signature_is_taken_off() {
        let prefix = Bytes::from_static(b"DKIM-Signature: v=1;\r\n\tb=abc\r\nDelivered-To: me@x.test\r\nReceived: from a\r\n\tby b\r\n");
        assert_eq!(unsigned(&prefix), b"Delivered-To: me@x.test\r\nReceived: from a\r\n\tby b\r\n".as_slice());
    }
}
