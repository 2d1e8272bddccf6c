//! MAIL and From: the sender addresses that an account may use.
//!
//! RFC 6409 s.6.1. Invariant: an account sends only as addresses of its own, in the envelope and in the From field.

use directory::{Account, Directory};
use mail::{Mailbox, Reply, ReversePath};

/// Checks the reverse-path. An account may use its own addresses, and the null reverse-path.
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
                "account {} may not send as {mailbox}; the operator can allow it: waypost account senders {} --add {mailbox}",
                account.login, account.login
            ),
        )),
        _ => Ok(()),
    }
}

/// Checks the From field of a submitted message: each of its addresses must be one of the account.
pub fn check_from(directory: &Directory, account: &Account, from: &[Mailbox]) -> Result<(), Reply> {
    if from.is_empty() {
        return Err(Reply::new(550, (5, 6, 0), "the message has no From field with an address"));
    }
    match from.iter().find(|mailbox| !directory.owned_by_sender(account, mailbox)) {
        Some(mailbox) => Err(Reply::new(
            550,
            (5, 7, 1),
            format!(
                "account {} may not use From: {mailbox}; the operator can allow it: waypost account senders {} --add {mailbox}",
                account.login, account.login
            ),
        )),
        None => Ok(()),
    }
}
