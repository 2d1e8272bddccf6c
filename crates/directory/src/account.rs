//! An account: its login, and the senders that it may use.
//!
//! RFC 6409 s.6.1. Invariant: an account holds no readable password; a verifier is never printed.

use std::fmt;
use std::str::FromStr;

use mail::{AddressError, Domain, Mailbox};

use crate::alias::read;
use crate::credential::{ClientCertificate, Password};
use crate::extension::split;
use crate::snapshot::Directory;

/// A sender that an account may use besides its login.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum SenderRule {
    /// `me@example.com`, with or without an extension.
    Address(Mailbox),
    /// `@example.com`: every address of the domain, but not of its subdomains.
    Domain(Domain),
    /// `*`: any address.
    Any,
}

/// The limits of an account; `None` is the default of the configuration.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Caps {
    /// Maximum recipients per hour.
    pub recipients_per_hour: Option<u32>,
    /// Maximum recipients per day to which the account has never sent before.
    pub new_recipients_per_day: Option<u32>,
}

/// An account that may submit mail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// The name to log in with.
    pub login: Mailbox,
    /// The salt of all its passwords: one computation checks all of them, and SCRAM names the salt before it is known which
    /// password the client uses.
    pub salt: [u8; 16],
    /// The passwords, one per client.
    pub passwords: Vec<Password>,
    /// The client certificates that log in without a password.
    pub certificates: Vec<ClientCertificate>,
    /// The allowed mechanisms that need the password itself (such as CRAM-MD5).
    pub legacy_mechanisms: Vec<String>,
    /// The senders that are allowed besides the login itself.
    pub may_send_as: Vec<SenderRule>,
    /// Whether logging in is allowed.
    pub enabled: bool,
    /// Why the account is suspended for what it sent, until the operator ends it.
    pub suspended: Option<String>,
    /// Its limits.
    pub caps: Caps,
    /// The IMAP host of its owner, for the configuration of clients. Default: derived from the alias.
    pub imap_host: Option<String>,
    /// Whether its user looks after the server: sees and changes everything on the owner's page.
    pub owner: bool,
}

impl Account {
    /// Returns an account without passwords.
    pub fn new(login: Mailbox, salt: [u8; 16]) -> Self {
        Self {
            login,
            salt,
            passwords: Vec::new(),
            certificates: Vec::new(),
            legacy_mechanisms: Vec::new(),
            may_send_as: Vec::new(),
            enabled: true,
            suspended: None,
            caps: Caps::default(),
            imap_host: None,
            owner: false,
        }
    }

    /// Returns whether the account is enabled and not suspended.
    pub fn is_active(&self) -> bool {
        self.enabled && self.suspended.is_none()
    }

    /// Returns whether `from` is the login, the login with an extension, allowed by a rule, or an alias that leads to the login,
    /// by the delimiters and aliases of the directory. Does not check that the account is active: see
    /// [`Directory::owned_by_sender`].
    pub fn may_send_as(&self, from: &Mailbox, directory: &Directory) -> bool {
        let bare = split(from, &directory.contents().delimiters).map(|(bare, _)| bare);
        let is = |mailbox: &Mailbox| mailbox == from || Some(mailbox) == bare.as_ref();
        is(&self.login)
            || self.may_send_as.iter().any(|rule| match rule {
                SenderRule::Address(mailbox) => is(mailbox),
                SenderRule::Domain(domain) => *domain == from.domain,
                SenderRule::Any => true,
            })
            || self.leads_here(from, directory)
    }

    /// Returns whether an alias leads from `from` to the login: its owner reads that mail, so may answer it. A catch-all does not count.
    pub fn leads_here(&self, from: &Mailbox, directory: &Directory) -> bool {
        let delimiters = &directory.contents().delimiters;
        // The extension is kept: info+x@ leads to me+x@.
        let is_own = |to: &Mailbox| *to == self.login || split(to, delimiters).is_some_and(|(bare, _)| bare == self.login);
        let comes_here = |expansion: crate::Expansion| {
            expansion.steps.first().is_some_and(|step| !step.key.starts_with('@'))
                && expansion.steps.iter().any(|step| step.results.iter().any(is_own))
        };
        directory.hosts(&from.domain) && directory.expand(from).is_ok_and(comes_here)
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
            may_send_as: rules.iter().map(|r| r.parse().unwrap()).collect(),
            ..Account::new("me@example.com".parse().unwrap(), [0; 16])
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
    fn an_alias_of_the_login_may_be_used() {
        let alias = |source: &str, target: &str| crate::Alias {
            source: source.parse().unwrap(),
            targets: vec![target.parse().unwrap()],
            enabled: true,
            origin: crate::Origin::Database,
        };
        let directory = Directory::new(Contents {
            domains: vec![crate::HostedDomain { name: "example.com".parse().unwrap(), enabled: true }],
            aliases: vec![
                alias("me@example.com", "foo@gmail.com"),
                alias("info@example.com", "me@example.com"),
                alias("hello@example.com", "info@example.com"),
                alias("her@example.com", "foo@gmail.com"),
                alias("@example.com", "me@example.com"),
            ]
            .into(),
            ..Contents::default()
        });
        let account = Account::new("me@example.com".parse().unwrap(), [0; 16]);
        let may = |from: &str| directory.owned_by_sender(&account, &from.parse().unwrap());
        assert!(may("info@example.com") && may("hello@example.com") && may("info+x@example.com"));
        assert!(!may("her@example.com"), "the same mailbox is not the same person's name");
        assert!(!may("whoever@example.com"), "a catch-all grants no addresses");
    }

    #[test]
    fn an_inactive_account_may_use_no_sender() {
        let directory = Directory::new(Contents::default());
        let account = Account::new("me@example.com".parse().unwrap(), [0; 16]);
        assert!(directory.owned_by_sender(&account, &account.login));
        let disabled = Account { enabled: false, ..account.clone() };
        let suspended = Account { suspended: Some("sent too much".into()), ..account };
        assert!(!directory.owned_by_sender(&disabled, &disabled.login) && !directory.owned_by_sender(&suspended, &suspended.login));
    }
}
