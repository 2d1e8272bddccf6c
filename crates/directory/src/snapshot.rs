//! The directory: a snapshot of domains, aliases and accounts.
//!
//! RFC 5321 s.4.5.1, RFC 2142 s.4. Invariant: a snapshot never changes; of two entries with one key the first counts, as in
//! Postfix.

use std::collections::{BTreeMap, HashMap, HashSet};

use mail::{Domain, LocalPart, Mailbox};

use crate::account::Account;
use crate::alias::{Alias, AliasSource};
use crate::alias_options::AliasOptions;
use crate::aliases::Aliases;
use crate::extension::split;
use crate::signing_key::{KeyState, SigningKey};

/// A domain for which this server accepts mail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostedDomain {
    /// Its name.
    pub name: Domain,
    /// Whether it accepts mail.
    pub enabled: bool,
}

/// The contents of a [`Directory`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contents {
    /// The hosted domains.
    pub domains: Vec<HostedDomain>,
    /// The aliases, in order of precedence.
    pub aliases: Aliases,
    /// The accounts.
    pub accounts: Vec<Account>,
    /// The DKIM keys.
    pub keys: Vec<SigningKey>,
    /// Options of aliases, in the database or in the virtual file, by the alias's key.
    pub alias_options: BTreeMap<String, AliasOptions>,
    /// The characters that start an extension; empty for no extensions. Default: `+`.
    pub delimiters: String,
    /// Whether some aliases cannot be read at present: an address that is not found may exist.
    pub incomplete: bool,
}

impl Default for Contents {
    fn default() -> Self {
        Self {
            domains: Vec::new(),
            aliases: Aliases::default(),
            accounts: Vec::new(),
            keys: Vec::new(),
            alias_options: BTreeMap::new(),
            delimiters: "+".into(),
            incomplete: false,
        }
    }
}

/// An immutable snapshot with quick lookups.
#[derive(Debug)]
pub struct Directory {
    contents: Contents,
    domains: HashMap<Domain, usize>,
    accounts: HashMap<String, usize>,
    legacy_mechanisms: HashSet<String>,
    all_have_scram_keys: bool,
}

/// Returns the position of the first item with each key.
fn index<T, K: Eq + std::hash::Hash>(items: &[T], key: impl Fn(&T) -> K) -> HashMap<K, usize> {
    let mut places = HashMap::with_capacity(items.len());
    for (place, item) in items.iter().enumerate() {
        places.entry(key(item)).or_insert(place);
    }
    places
}

impl Directory {
    /// Builds a snapshot without checks; [`Directory::problems`] returns its problems.
    pub fn new(contents: Contents) -> Self {
        let active = || contents.accounts.iter().filter(|account| account.is_active());
        Self {
            legacy_mechanisms: active().flat_map(|account| &account.legacy_mechanisms).cloned().collect(),
            all_have_scram_keys: active().flat_map(|account| &account.passwords).all(|password| password.scram_sha256.is_some()),
            domains: index(&contents.domains, |d| d.name.clone()),
            accounts: index(&contents.accounts, |a| a.login.key()),
            contents,
        }
    }

    /// Returns the contents.
    pub fn contents(&self) -> &Contents {
        &self.contents
    }

    /// Returns whether an active account allows this mechanism, which needs the password itself.
    pub fn allows_legacy(&self, mechanism: &str) -> bool {
        self.legacy_mechanisms.contains(mechanism)
    }

    /// Returns whether every password of every active account has SCRAM keys.
    pub fn all_have_scram_keys(&self) -> bool {
        self.all_have_scram_keys
    }

    /// Returns the active keys of a domain, in order.
    pub fn signing_keys(&self, domain: &Domain) -> impl Iterator<Item = &SigningKey> {
        self.contents.keys.iter().filter(move |key| key.domain == *domain && key.state == KeyState::Active)
    }

    /// Returns whether any domain is hosted, enabled or not; a server without one is not set up yet.
    pub fn has_domains(&self) -> bool {
        !self.domains.is_empty()
    }

    /// Returns whether the domain is hosted and enabled.
    pub fn hosts(&self, domain: &Domain) -> bool {
        self.hosted(domain).is_some_and(|hosted| hosted.enabled)
    }

    /// Returns the hosted domain, enabled or not.
    pub fn hosted(&self, domain: &Domain) -> Option<&HostedDomain> {
        self.domains.get(domain).and_then(|place| self.contents.domains.get(*place))
    }

    /// Returns the account of this login, enabled or not, ignoring case and surrounding white space.
    pub fn account(&self, login: &str) -> Option<&Account> {
        let key = Mailbox::parse(login.trim()).ok()?.key();
        self.accounts.get(&key).and_then(|place| self.contents.accounts.get(*place))
    }

    /// Returns the account of this login if it is active: enabled, and not suspended.
    pub fn active_account(&self, login: &str) -> Option<&Account> {
        self.account(login).filter(|account| account.is_active())
    }

    /// Returns whether the account is active and may send as `from`.
    pub fn owned_by_sender(&self, account: &Account, from: &Mailbox) -> bool {
        account.is_active() && account.may_send_as(from, self)
    }

    /// Returns the mailbox without its extension: `me@` for `me+shop@`.
    pub fn without_extension(&self, mailbox: &Mailbox) -> Mailbox {
        split(mailbox, &self.contents.delimiters).map_or_else(|| mailbox.clone(), |(bare, _)| bare)
    }

    /// Returns the alias with exactly this key, `me@example.com` or `@example.com`, ignoring case: one level, as `postmap -q`.
    /// Disabled aliases are found too.
    pub fn lookup(&self, key: &str) -> Option<&Alias> {
        self.alias(&key.parse::<AliasSource>().ok()?.key())
    }

    /// Returns whether mail to this mailbox must be accepted even without an alias: postmaster (RFC 5321 s.4.5.1) and abuse
    /// (RFC 2142 s.4) of a hosted domain. [`Directory::expand`] makes no exception for it.
    pub fn is_role(&self, mailbox: &Mailbox) -> bool {
        self.hosts(&mailbox.domain) && Self::is_role_name(&mailbox.local)
    }

    /// Returns whether this is the local part of such a mailbox.
    pub fn is_role_name(local: &LocalPart) -> bool {
        ["postmaster", "abuse"].iter().any(|role| local.as_str().eq_ignore_ascii_case(role))
    }

    /// Returns the alias with this key, which is in lower case.
    pub(crate) fn alias(&self, key: &str) -> Option<&Alias> {
        self.contents.aliases.get(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Origin, SenderRule};

    fn directory() -> Directory {
        let alias = |source: &str, target: &str| Alias {
            source: source.parse().unwrap(),
            targets: vec![target.parse().unwrap()],
            enabled: true,
            origin: Origin::Database,
        };
        Directory::new(Contents {
            domains: vec![
                HostedDomain { name: "example.com".parse().unwrap(), enabled: true },
                HostedDomain { name: "example.net".parse().unwrap(), enabled: false },
            ],
            aliases: vec![alias("me@example.com", "first@gmail.com"), alias("ME@example.com", "second@gmail.com")].into(),
            accounts: vec![Account { may_send_as: vec![SenderRule::Any], ..Account::new("me@example.com".parse().unwrap(), [0; 16]) }],
            ..Contents::default()
        })
    }

    #[test]
    fn lookups_ignore_case() {
        let directory = directory();
        assert!(directory.account(" ME@Example.com\n").is_some());
        assert!(directory.account("me").is_none());
        assert_eq!(directory.lookup("Me@EXAMPLE.com").unwrap().targets[0].to_string(), "first@gmail.com");
        assert!(directory.lookup("me+shop@example.com").is_none());
        assert!(directory.lookup("example.com").is_none());
    }

    #[test]
    fn a_disabled_domain_accepts_no_mail() {
        let directory = directory();
        assert!(directory.hosts(&"EXAMPLE.com".parse().unwrap()));
        assert!(!directory.hosts(&"example.net".parse().unwrap()));
        assert!(directory.hosted(&"example.net".parse().unwrap()).is_some());
        assert!(!directory.hosts(&"sub.example.com".parse().unwrap()));
    }

    #[test]
    fn role_mailboxes_exist_in_hosted_domains() {
        let directory = directory();
        assert!(directory.is_role(&"PostMaster@example.com".parse().unwrap()));
        assert!(directory.is_role(&"abuse@example.com".parse().unwrap()));
        assert!(!directory.is_role(&"postmaster@example.net".parse().unwrap()));
        assert!(!directory.is_role(&"me@example.com".parse().unwrap()));
    }
}
