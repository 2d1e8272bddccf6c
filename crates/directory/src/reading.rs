//! The IMAP host of an account's owner, as far as the alias shows it.
//!
//! Invariant: nothing is guessed: the provider's IMAP host must be known, and all targets must be there. The host discloses the provider behind an alias,
//! so the caller decides to which clients it is shown.

use mail::Mailbox;

use crate::alias::Target;
use crate::snapshot::Directory;

/// Domains of mailboxes, and their IMAP hosts.
const KNOWN: [(&str, &str); 2] = [("gmail.com", "imap.gmail.com"), ("googlemail.com", "imap.gmail.com")];

/// Returns the IMAP host of these targets.
pub fn imap_host_behind(targets: &[Target]) -> Option<&'static str> {
    let host = |target: &Target| {
        let Target::Address(mailbox) = target else { return None };
        KNOWN.iter().find(|(domain, _)| mailbox.domain.as_str().eq_ignore_ascii_case(domain)).map(|(_, host)| *host)
    };
    let first = host(targets.first()?)?;
    targets.iter().all(|target| host(target) == Some(first)).then_some(first)
}

impl Directory {
    /// Returns the IMAP host of an account's owner: the one set for the account, else the one that its alias shows.
    pub fn imap_host(&self, login: &Mailbox) -> Option<String> {
        let account = self.account(&login.to_string()).filter(|account| account.enabled)?;
        let alias = self.lookup(&login.key()).filter(|alias| alias.enabled);
        account.imap_host.clone().or_else(|| imap_host_behind(&alias?.targets).map(ToOwned::to_owned))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::account::Account;
    use crate::alias::{Alias, Origin};
    use crate::snapshot::Contents;

    fn host(targets: &[&str], said: Option<&str>) -> Option<String> {
        let targets = targets.iter().map(|target| target.parse().unwrap()).collect();
        let alias = Alias { source: "me@example.test".parse().unwrap(), targets, enabled: true, origin: Origin::Database };
        let mut account = Account::new("me@example.test".parse().unwrap(), [0; 16]);
        account.imap_host = said.map(ToOwned::to_owned);
        let directory = Directory::new(Contents { aliases: vec![alias].into(), accounts: vec![account], ..Contents::default() });
        assert_eq!(directory.imap_host(&"nobody@example.test".parse().unwrap()), None);
        directory.imap_host(&"ME@example.test".parse().unwrap())
    }

    #[test]
    fn the_imap_host_must_be_known_for_all_targets() {
        assert_eq!(host(&["foo@gmail.com", "bar@GoogleMail.com"], None).as_deref(), Some("imap.gmail.com"));
        for targets in [&["foo@gmail.com", "foo@example.org"][..], &["foo@example.org"], &["@gmail.com"], &[]] {
            assert_eq!(host(targets, None), None, "{targets:?}");
        }
        assert_eq!(host(&["foo@gmail.com"], Some("imap.example.org")).as_deref(), Some("imap.example.org"));
    }
}
