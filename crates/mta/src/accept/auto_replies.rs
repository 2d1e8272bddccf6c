//! Automatic replies to a return address, from the mailbox behind an alias: vacation(1) replies to the reverse-path of a forward, under its user's
//! own address and without Auto-Submitted.
//!
//! RFC 3834 s.4, RFC 5321 s.4.5.5. Invariant: only mail from a target of an alias is dropped here. Refusing it would cause a DSN to a user who
//! has sent nothing, and forwarding it would disclose the mailbox behind the alias.

use mail::ReversePath;
use policy::AcceptedRecipient;
use store::Store;

use crate::accept::received::Received;

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
