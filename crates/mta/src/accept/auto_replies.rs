//! Automatic answers to a return address, from the mailbox behind an alias: vacation(1) answers to the reverse-path of what was forwarded, under its
//! user's own address and without Auto-Submitted.
//!
//! RFC 3834 s.4, RFC 5321 s.4.5.5. Invariant: only what a target of an alias sends is dropped here. A refusal would make its own server report a
//! failure to a user who has done nothing, and passed on it would name the mailbox behind the alias.

use mail::ReversePath;
use policy::AcceptedRecipient;
use store::Store;

use crate::accept::received::Received;

/// The message was an automatic answer, and its content is given up.
#[derive(Debug)]
pub(crate) struct Dropped(());

/// Drops an answer to a return address. Reports to one have the null reverse-path and go on.
pub(crate) fn drop_answer(store: &Store, received: &Received) -> Option<Dropped> {
    let [(_, AcceptedRecipient::Sender { .. })] = received.recipients.as_slice() else { return None };
    if received.reverse_path == ReversePath::Null {
        return None;
    }
    store.discard(&received.content);
    Some(Dropped(()))
}
