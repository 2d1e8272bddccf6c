//! Automatic replies to a return address, from the mailbox behind an alias. vacation(1) replies to the reverse-path of a forward, under its user's own
//! address and without Auto-Submitted: it is dropped. Responders that follow RFC 3834 use the null reverse-path: the sender is told that there was an
//! answer, and not what it says.
//!
//! RFC 3834 s.4 and s.5, RFC 5321 s.4.5.5. Invariant: neither discloses the mailbox behind the alias. Only mail from a target of an alias is dropped:
//! refusing it would cause a DSN to a user who has sent nothing.

use bytes::Bytes;
use directory::Directory;
use mail::{AddressList, AutoSubmitted, Body, Fields, LetterHead, Mailbox, QueueId, ReversePath};
use net::{Clock, random_u32};
use policy::AcceptedRecipient;
use store::{Store, StoreError};

use crate::accept::decide::Accepted;
use crate::accept::received::Received;
use crate::settings::Settings;
use crate::support::content_place::ContentPlace;

/// Proof that the message was an automatic reply and was dropped.
#[derive(Debug)]
pub(crate) struct Dropped(());

/// Whether a message is an automatic reply to a return address. A DSN is not, since it has the null reverse-path.
pub(crate) fn is_auto_reply(received: &Received) -> bool {
    matches!(received.recipients.as_slice(), [(_, AcceptedRecipient::Sender { .. })]) && received.reverse_path != ReversePath::Null
}

/// Drops an automatic reply to a return address.
pub(crate) fn drop_auto_reply(store: &Store, received: &Received) -> Option<Dropped> {
    if !is_auto_reply(received) {
        return None;
    }
    store.discard(&received.content);
    Some(Dropped(()))
}

/// Whether a message with the null reverse-path to a return address, which is no DSN, comes from a responder: by its marks, or by an author that is the target of
/// an alias.
fn is_of_responder(front: &[u8], directory: &Directory) -> bool {
    let is_marked = Fields::find_first(front, "Auto-Submitted")
        .is_some_and(|field| field.unfolded().trim().to_ascii_lowercase().starts_with("auto-replied"));
    let authors = AddressList::of_field(front, "From").unwrap_or_default();
    is_marked || authors.mailboxes.iter().any(|author| policy::is_target(directory, author))
}

/// Replaces an automatic reply to one return address by a message of ours; any other message passes unchanged.
pub(crate) async fn tell_auto_reply<'a>(
    place: ContentPlace<'_>,
    directory: &Directory,
    settings: &Settings,
    clock: &Clock,
    mut accepted: Accepted<'a>,
) -> Result<Accepted<'a>, StoreError> {
    let [(_, AcceptedRecipient::Sender { sender, .. })] = accepted.received.recipients.as_slice() else { return Ok(accepted) };
    if accepted.received.reverse_path != ReversePath::Null || !is_of_responder(&accepted.whole.bytes, directory) {
        return Ok(accepted);
    }
    let now_ms = clock.now_ms();
    let id = QueueId::next(now_ms, random_u32());
    let bytes = told(&accepted.whole.bytes, settings, sender, id, now_ms / 1000);
    let content = place.put(id, &bytes).await?;
    place.discard(&std::mem::replace(&mut accepted.received.content, content));
    accepted.received.parameters.body = Body::SevenBit;
    accepted.received.parameters.smtputf8 = sender.needs_utf8();
    accepted.whole.bytes = bytes;
    accepted.is_ours = true;
    Ok(accepted)
}

/// The message of ours. Of the reply, it has the fields that name the message that was answered, which its sender wrote.
fn told(reply: &[u8], settings: &Settings, sender: &Mailbox, id: QueueId, now_unix_s: i64) -> Bytes {
    let from = Mailbox::postmaster(&settings.hostname);
    let head = LetterHead {
        name: Some("Automatic reply"),
        from: &from,
        to: sender,
        subject: "Automatic reply to your message",
        message_id: &format!("{id}@{}", settings.hostname),
        now_unix_s,
        auto_submitted: AutoSubmitted::Replied,
    };
    let mut text = head.to_string();
    if let Some(answered) = Fields::find_first(reply, "In-Reply-To").map(|field| field.unfolded()).filter(|id| is_message_id(id.trim())) {
        text.push_str(&format!("In-Reply-To: {0}\r\nReferences: {0}\r\n", answered.trim()));
    }
    text.push_str(
        "MIME-Version: 1.0\r\nContent-Type: text/plain; charset=us-ascii\r\n\r\n\
         The mailbox behind the address that you wrote to has answered your message\r\n\
         automatically: its owner may be away. The answer is not passed on, since it\r\n\
         would name that mailbox. Your message has arrived.\r\n",
    );
    text.into()
}

/// One Message-ID in ASCII: anything else could say more.
fn is_message_id(text: &str) -> bool {
    let inner = text.strip_prefix('<').and_then(|text| text.strip_suffix('>'));
    inner.is_some_and(|inner| inner.len() < 250 && inner.bytes().all(|b| b.is_ascii_graphic() && b != b'<' && b != b'>'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sender_is_told_of_an_answer_without_its_text() {
        let reply = b"From: Foo <foo@inbox.test>\r\nSubject: foo@inbox.test is away\r\nAuto-Submitted: Auto-Replied (vacation)\r\nIn-Reply-To: <1@foreign.test>\r\n\r\nask bar@inbox.test\r\n";
        let directory = Directory::new(directory::Contents::default());
        assert!(is_of_responder(reply, &directory) && !is_of_responder(b"From: x@y.test\r\n\r\n", &directory));
        let her = Mailbox::parse("her@foreign.test").unwrap();
        let text = String::from_utf8(told(reply, &Settings::plain(), &her, QueueId(7), 0).to_vec()).unwrap();
        assert!(
            !text.contains("inbox") && text.contains("In-Reply-To: <1@foreign.test>\r\n") && text.contains("Auto-Submitted: auto-replied"),
            "{text}"
        );
        assert!(!is_message_id("<a@b> <c@d>") && !is_message_id("foo@inbox.test") && is_message_id("<a@b>"));
    }
}
