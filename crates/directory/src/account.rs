//! An account: who may log in, and as whom they may send.
//!
//! RFC 6409 s.6.1. Invariant: only the hash of a password is kept, and it is never printed.

use std::fmt;
use std::str::FromStr;

use mail::{AddressError, Domain, Mailbox};

use crate::alias::read;
use crate::extension::split;
use crate::snapshot::Directory;

/// Senders that an account may use besides its own login.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum SenderRule {
    /// `me@example.com`, with or without an extension.
    Address(Mailbox),
    /// `@example.com`: each address of the domain, and of no subdomain.
    Domain(Domain),
    /// `*`: any address at all.
    Any,
}

/// Someone who may submit mail.
#[derive(Clone, PartialEq, Eq)]
pub struct Account {
    /// The name to log in with.
    pub login: Mailbox,
    /// The password's verifier, as a PHC string.
    pub password_hash: String,
    /// The senders that are allowed besides the login itself.
    pub may_send_as: Vec<SenderRule>,
    /// Whether logging in is allowed.
    pub enabled: bool,
}

impl Account {
    /// Whether `from` is the login, the login with an extension, or allowed by a rule. The directory knows
    /// the delimiters. Whether the account is enabled is another question ([`Directory::owned_by_sender`]).
    pub fn may_send_as(&self, from: &Mailbox, directory: &Directory) -> bool {
        let bare = split(from, &directory.contents().delimiters).map(|(bare, _)| bare);
        let is = |mailbox: &Mailbox| mailbox == from || Some(mailbox) == bare.as_ref();
        is(&self.login)
            || self.may_send_as.iter().any(|rule| match rule {
                SenderRule::Address(mailbox) => is(mailbox),
                SenderRule::Domain(domain) => *domain == from.domain,
                SenderRule::Any => true,
            })
    }
}

impl fmt::Debug for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Account")
            .field("login", &self.login)
            .field("may_send_as", &self.may_send_as)
            .field("enabled", &self.enabled)
            .finish_non_exhaustive()
    }
}

impl FromStr for SenderRule {
    type Err = AddressError;
    fn from_str(text: &str) -> Result<Self, AddressError> {
        if text == "*" { Ok(Self::Any) } else { read(text, Self::Domain, Self::Address) }
    }
}

impl fmt::Display for SenderRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(mailbox) => mailbox.fmt(f),
            Self::Domain(domain) => write!(f, "@{domain}"),
            Self::Any => f.write_str("*"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Contents;

    fn may(rules: &[&str], from: &str) -> bool {
        let account = Account {
            login: "me@example.com".parse().unwrap(),
            password_hash: "secret".into(),
            may_send_as: rules.iter().map(|r| r.parse().unwrap()).collect(),
            enabled: true,
        };
        let directory = Directory::new(Contents::default());
        directory.owned_by_sender(&account, &from.parse().unwrap())
    }

    #[test]
    fn the_login_and_its_extensions_are_always_allowed() {
        assert!(may(&[], "ME@example.com"));
        assert!(may(&[], "me+shop@example.com"));
        assert!(!may(&[], "you@example.com"));
        assert!(!may(&[], "me@sub.example.com"));
        assert!(!may(&[], "\"me@example.com\"@evil.example"));
    }

    #[test]
    fn rules_allow_more() {
        assert!(may(&["info@example.com"], "info+a@example.com"));
        assert!(may(&["@example.org"], "you@example.org"));
        assert!(!may(&["@example.org"], "you@sub.example.org"));
        assert!(may(&["*"], "you@anywhere.example"));
        for text in ["info@example.com", "@example.org", "*"] {
            assert_eq!(text.parse::<SenderRule>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn the_verifier_is_not_printed() {
        let account =
            Account { login: "me@example.com".parse().unwrap(), password_hash: "secret".into(), may_send_as: Vec::new(), enabled: false };
        assert!(!format!("{account:?}").contains("secret"));
        let directory = Directory::new(Contents::default());
        assert!(!directory.owned_by_sender(&account, &account.login));
    }
}
