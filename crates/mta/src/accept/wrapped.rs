//! Wraps a message in one of ours, for a target that would refuse it.
//!
//! RFC 2046 s.5.2.1 (message/rfc822). Invariant: the wrapped message is unchanged, octet for octet.

use bytes::{BufMut, Bytes, BytesMut};
use mail::{Body, Domain, Fields, Mailbox, QueueId, rfc5322_date};
use net::{Clock, random_u32};
use policy::AcceptedRecipient;
use store::StoreError;

use crate::accept::decide::Accepted;
use crate::settings::Settings;
use crate::support::content_place::ContentPlace;
use crate::support::phrase::escaped;

/// Wraps the accepted message, for all its recipients.
pub(crate) async fn wrap<'a>(
    place: ContentPlace<'_>,
    settings: &Settings,
    clock: &Clock,
    mut accepted: Accepted<'a>,
) -> Result<Accepted<'a>, StoreError> {
    let domain = &settings.forward.srs.domain;
    let from = Mailbox::postmaster(domain);
    let mut aliases = accepted.received.recipients.iter().filter_map(|(_, recipient)| match recipient {
        AcceptedRecipient::Alias { alias, .. } => Some(alias),
        _ => None,
    });
    // Several aliases share one content, so it names none of them.
    let to = aliases.next().filter(|first| aliases.all(|other| other == *first));
    let now_ms = clock.now_ms();
    let bytes = wrapped(&accepted.whole.bytes, accepted.received.id, to, &from, &settings.hostname, now_ms / 1000);
    let content = place.put(QueueId::next(now_ms, random_u32()), &bytes).await?;
    place.discard(&std::mem::replace(&mut accepted.received.content, content));
    if !bytes.is_ascii() {
        accepted.received.parameters.body = Body::EightBit;
    }
    accepted.whole.bytes = bytes;
    accepted.is_ours = true;
    Ok(accepted)
}

/// The wrapped message.
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
