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

/// Drops a reply to a return address. A DSN passes, since it has the null reverse-path.
pub(crate) fn drop_auto_reply(store: &Store, received: &Received) -> Option<Dropped> {
    let [(_, AcceptedRecipient::Sender { .. })] = received.recipients.as_slice() else { return None };
    if received.reverse_path == ReversePath::Null {
        return None;
    }
    store.discard(&received.content);
    Some(Dropped(()))
}
