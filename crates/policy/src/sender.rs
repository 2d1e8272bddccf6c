//! MAIL and From: who may say that they are whom.
//!
//! RFC 6409 s.6.1. Invariant: an account sends only as addresses that it owns, in the envelope and in the From field.

use directory::{Account, Directory};
use mail::{Mailbox, Reply, ReversePath};

/// Decides about MAIL. An account may use the addresses that it owns, and the null reverse-path.
pub fn check_reverse_path(directory: &Directory, account: Option<&Account>, path: &ReversePath) -> Result<(), Reply> {
    let Some(mailbox) = path.mailbox() else { return Ok(()) };
    if !mailbox.domain.is_fully_qualified() {
        return Err(Reply::new(553, (5, 1, 7), "the sender's domain is not fully qualified"));
    }
    match account {
        Some(account) if !directory.owned_by_sender(account, mailbox) => Err(Reply::new(
            553,
            (5, 7, 1),
            format!(
                "the account {} may not send as {mailbox}; whoever runs the server can allow it with: waypost account senders {} --add {mailbox}",
                account.login, account.login
            ),
        )),
        _ => Ok(()),
    }
}

/// Decides about the From field of a submitted message: each of its addresses must be the account's.
pub fn check_from(directory: &Directory, account: &Account, from: &[Mailbox]) -> Result<(), Reply> {
    if from.is_empty() {
        return Err(Reply::new(550, (5, 6, 0), "the message has no From field with an address"));
    }
    match from.iter().find(|mailbox| !directory.owned_by_sender(account, mailbox)) {
        Some(mailbox) => Err(Reply::new(
            550,
            (5, 7, 1),
            format!(
                "the account {} may not write From: {mailbox}; whoever runs the server can allow it with: waypost account senders {} --add {mailbox}",
                account.login, account.login
            ),
        )),
        None => Ok(()),
    }
}
