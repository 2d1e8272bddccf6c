//! MAIL: decides about a sender, by the account that has logged in.
//!
//! RFC 5321 s.3.3, RFC 6409 s.6.1. Invariant: an account that was disabled after its login sends nothing more.

use directory::Directory;
use mail::{Reply, ReversePath};

use crate::accept::decide::inactive_account;

/// Decides about a reverse-path; the error is the reply to the client.
pub(crate) fn check_sender(directory: &Directory, login: Option<&str>, reverse_path: &ReversePath) -> Result<(), Reply> {
    match login.map(|login| directory.active_account(login)) {
        Some(None) => Err(inactive_account()),
        account => policy::check_reverse_path(directory, account.flatten(), reverse_path),
    }
}
