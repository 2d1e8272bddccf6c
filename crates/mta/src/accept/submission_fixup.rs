//! Stage: corrects a submitted message before it is judged and signed.
//!
//! RFC 6409 s.8, RFC 5322 s.3.6.3 (Bcc), s.3.6.8 and s.4.5 (a blank before a colon). As Postfix does, it drops fields that must not leave
//! the submission server (message_drop_headers) and the separator line of a mailbox file; a line that is not a field ends the header
//! section. Invariant: nothing else changes.

use bytes::{Bytes, BytesMut};
use mail::{Field, Fields, QueueId, interrupted_at, without_blanks_before_colons};
use net::{Clock, random_u32};
use policy::missing_from;

use crate::accept::received::Received;
use crate::queue::not_taken::NotTaken;
use crate::support::content_place::ContentPlace;
use crate::support::large_contents::{ContentOrigin, LargeContents, header};

/// Fields that must not leave the submission server.
const DROPPED: [&str; 4] = ["Bcc", "Resent-Bcc", "Return-Path", "Content-Length"];

/// Whether a field is dropped.
pub(crate) fn is_dropped(field: &Field<'_>) -> bool {
    DROPPED.iter().any(|name| field.is(name))
}

/// Strips the separator line of mailbox files.
pub(crate) fn without_separator(content: &[u8]) -> &[u8] {
    let after = content.strip_prefix(b"From ").or_else(|| content.strip_prefix(b">From "));
    // A From field may have a blank before its colon.
    if after.is_none_or(|after| after.trim_ascii_start().starts_with(b":")) {
        return content;
    }
    content.iter().position(|b| *b == b'\n').and_then(|at| content.get(at + 1..)).unwrap_or_default()
}

/// Corrects the message: `received` has new content afterwards if anything had to change.
pub(crate) async fn correct(place: ContentPlace<'_>, clock: &Clock, room: &LargeContents, received: &mut Received) -> Result<(), NotTaken> {
    let front = header(&received.content).await?;
    let fields = without_separator(&front);
    let is_interrupted = interrupted_at(fields).is_some();
    if is_interrupted && Fields::find_first(fields, "From").is_none() {
        return Err(missing_from(fields).into());
    }
    let needs_change = |field: Field<'_>| is_dropped(&field) || field.has_blank_before_colon();
    if fields.len() == front.len() && !is_interrupted && !Fields::new(fields).any(needs_change) {
        return Ok(());
    }
    let whole = room.load(&received.content, ContentOrigin::Account).await?;
    let content = place.put(QueueId::next(clock.now_ms(), random_u32()), &rewritten(&whole.bytes)).await?;
    place.discard(&std::mem::replace(&mut received.content, content));
    Ok(())
}

fn rewritten(whole: &[u8]) -> Bytes {
    let whole = without_separator(whole);
    // Many verifiers do not parse a field with a blank before its colon (RFC 5322 s.4.5), so the blank is removed; but not from a signed
    // message, since the client's own signature may cover the field with it.
    let is_signed = Fields::new(whole).any(|field| field.is("DKIM-Signature"));
    let mut out = BytesMut::with_capacity(whole.len() + 2);
    let mut read = 0;
    for field in Fields::new(whole) {
        read += field.raw.len();
        if is_dropped(&field) {
            continue;
        }
        match is_signed {
            true => out.extend_from_slice(field.raw),
            false => out.extend_from_slice(&without_blanks_before_colons(field.raw)),
        }
    }
    let rest = whole.get(read..).unwrap_or_default();
    if !rest.starts_with(b"\r\n") {
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(rest);
    out.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn submission_only_fields_are_dropped_and_the_rest_stays() {
        for (content, want) in [
            (
                "From: a@x.test\r\nBcc: b@x.test,\r\n c@x.test\r\nX: y\r\nRESENT-BCC: d@x.test\r\nReturn-Path: <e@x.test>\r\ncontent-length: 4\r\n\r\nBcc: body\r\n",
                "From: a@x.test\r\nX: y\r\n\r\nBcc: body\r\n",
            ),
            ("From a@x.test Sat Nov 28\r\nFrom: a@x.test\r\n\r\nb\r\n", "From: a@x.test\r\n\r\nb\r\n"),
            ("From: a@x.test\r\nX-Spam-Flag YES\r\nDate: x\r\n\r\nb\r\n", "From: a@x.test\r\n\r\nX-Spam-Flag YES\r\nDate: x\r\n\r\nb\r\n"),
            ("From: a@x.test\r\nBcc: b@x.test\r\n", "From: a@x.test\r\n\r\n"),
            ("From : a@x.test\r\nSubject\t: y\r\n\r\nb : c\r\n", "From: a@x.test\r\nSubject: y\r\n\r\nb : c\r\n"),
            ("From : a@x.test\r\nBcc : b@x.test\r\n\r\nX : y\r\n", "From: a@x.test\r\n\r\nX : y\r\n"),
            ("DKIM-Signature: x\r\nFrom : a@x.test\r\n\r\n", "DKIM-Signature: x\r\nFrom : a@x.test\r\n\r\n"),
        ] {
            assert_eq!(rewritten(content.as_bytes()), want.as_bytes(), "{content:?}");
        }
    }
}
