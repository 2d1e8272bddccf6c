//! Where the owner of an address reads mail, as far as its alias shows it.
//!
//! Invariant: nothing is guessed: only for providers whose IMAP host is known, and only where all targets are there. The answer tells something of
//! what lies behind an alias, so whoever asks decides who may hear it.

use mail::Mailbox;

use crate::alias::Target;
use crate::snapshot::Directory;

/// Domains of mailboxes, and where these are read.
const KNOWN: [(&str, &str); 2] = [("gmail.com", "imap.gmail.com"), ("googlemail.com", "imap.gmail.com")];

/// Where mail to these targets is read.
pub fn imap_host_behind(targets: &[Target]) -> Option<&'static str> {
    let host = |target: &Target| {
        let Target::Address(mailbox) = target else { return None };
        KNOWN.iter().find(|(domain, _)| mailbox.domain.as_str().eq_ignore_ascii_case(domain)).map(|(_, host)| *host)
    };
    let first = host(targets.first()?)?;
    targets.iter().all(|target| host(target) == Some(first)).then_some(first)
}

impl Directory {
    /// Where the owner of this account reads mail: what the account says, else what its alias shows.
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
    fn only_what_is_known_of_all_targets_counts() {
        assert_eq!(host(&["foo@gmail.com", "bar@GoogleMail.com"], None).as_deref(), Some("imap.gmail.com"));
        for targets in [&["foo@gmail.com", "foo@example.org"][..], &["foo@example.org"], &["@gmail.com"], &[]] {
            assert_eq!(host(targets, None), None, "{targets:?}");
        }
        assert_eq!(host(&["foo@gmail.com"], Some("imap.example.org")).as_deref(), Some("imap.example.org"));
    }
}
