//! The directory: everything that is known about domains, aliases and accounts at one moment.
//!
//! RFC 5321 s.4.5.1, RFC 2142 s.4. Invariant: a snapshot never changes; where a key is written down twice the
//! first counts, as in Postfix.

use std::collections::{BTreeMap, HashMap, HashSet};

use mail::{Domain, LocalPart, Mailbox};

use crate::account::Account;
use crate::alias::{Alias, AliasSource};
use crate::alias_options::AliasOptions;
use crate::aliases::Aliases;
use crate::extension::split;
use crate::signing_key::{KeyState, SigningKey};

/// A domain that this server takes mail for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostedDomain {
    /// Its name.
    pub name: Domain,
    /// Whether it takes mail.
    pub enabled: bool,
}

/// What a [`Directory`] is built from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contents {
    /// The hosted domains.
    pub domains: Vec<HostedDomain>,
    /// The aliases, those that win first.
    pub aliases: Aliases,
    /// The accounts.
    pub accounts: Vec<Account>,
    /// The DKIM keys.
    pub keys: Vec<SigningKey>,
    /// Options of aliases, in the database or in the virtual file, by the alias's key.
    pub alias_options: BTreeMap<String, AliasOptions>,
    /// The characters that set off an extension: `+` by default; empty where there are no extensions.
    pub delimiters: String,
    /// Whether aliases are missing that cannot be read for now: an address that is not found may exist.
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

/// The place of the first item under each key.
fn index<T, K: Eq + std::hash::Hash>(items: &[T], key: impl Fn(&T) -> K) -> HashMap<K, usize> {
    let mut places = HashMap::with_capacity(items.len());
    for (place, item) in items.iter().enumerate() {
        places.entry(key(item)).or_insert(place);
    }
    places
}

impl Directory {
    /// Builds a snapshot. Anything is taken; [`Directory::problems`] says what is wrong with it.
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

    /// What it was built from.
    pub fn contents(&self) -> &Contents {
        &self.contents
    }

    /// Whether an active account allows this mechanism, which needs the password itself.
    pub fn allows_legacy(&self, mechanism: &str) -> bool {
        self.legacy_mechanisms.contains(mechanism)
    }

    /// Whether every password of every active account has keys for SCRAM.
    pub fn all_have_scram_keys(&self) -> bool {
        self.all_have_scram_keys
    }

    /// The keys that sign for a domain, in the order in which they are listed.
    pub fn signing_keys(&self, domain: &Domain) -> impl Iterator<Item = &SigningKey> {
        self.contents.keys.iter().filter(move |key| key.domain == *domain && key.state == KeyState::Active)
    }

    /// Whether any domain is hosted here, enabled or not; a server without one is not set up yet.
    pub fn has_domains(&self) -> bool {
        !self.domains.is_empty()
    }

    /// Whether mail for this domain is taken: it is hosted and enabled.
    pub fn hosts(&self, domain: &Domain) -> bool {
        self.hosted(domain).is_some_and(|hosted| hosted.enabled)
    }

    /// The domain's entry, enabled or not.
    pub fn hosted(&self, domain: &Domain) -> Option<&HostedDomain> {
        self.domains.get(domain).and_then(|place| self.contents.domains.get(*place))
    }

    /// The account of this login, enabled or not; case and surrounding white space do not matter.
    pub fn account(&self, login: &str) -> Option<&Account> {
        let key = Mailbox::parse(login.trim()).ok()?.key();
        self.accounts.get(&key).and_then(|place| self.contents.accounts.get(*place))
    }

    /// Returns the account of this login if it is active: enabled, and not suspended.
    pub fn active_account(&self, login: &str) -> Option<&Account> {
        self.account(login).filter(|account| account.is_active())
    }

    /// Whether the account is active and may send as `from`.
    pub fn owned_by_sender(&self, account: &Account, from: &Mailbox) -> bool {
        account.is_active() && account.may_send_as(from, self)
    }

    /// The mailbox without its extension: `me@` for `me+shop@`.
    pub fn without_extension(&self, mailbox: &Mailbox) -> Mailbox {
        split(mailbox, &self.contents.delimiters).map_or_else(|| mailbox.clone(), |(bare, _)| bare)
    }

    /// The alias under exactly this key, `me@example.com` or `@example.com`, without case: one level, as
    /// `postmap -q` answers. Disabled aliases are found too.
    pub fn lookup(&self, key: &str) -> Option<&Alias> {
        self.alias(&key.parse::<AliasSource>().ok()?.key())
    }

    /// Whether mail to this mailbox is owed an answer even where no alias names it: postmaster (RFC 5321
    /// s.4.5.1) and abuse (RFC 2142 s.4) of a hosted domain. [`Directory::expand`] makes no exception for it.
    pub fn is_role(&self, mailbox: &Mailbox) -> bool {
        self.hosts(&mailbox.domain) && Self::is_role_name(&mailbox.local)
    }

    /// Whether this is the name of such a mailbox, in whatever domain.
    pub fn is_role_name(local: &LocalPart) -> bool {
        ["postmaster", "abuse"].iter().any(|role| local.as_str().eq_ignore_ascii_case(role))
    }

    /// The alias whose key, already folded, this is.
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
    fn a_disabled_domain_takes_no_mail() {
        let directory = directory();
        assert!(directory.hosts(&"EXAMPLE.com".parse().unwrap()));
        assert!(!directory.hosts(&"example.net".parse().unwrap()));
        assert!(directory.hosted(&"example.net".parse().unwrap()).is_some());
        assert!(!directory.hosts(&"sub.example.com".parse().unwrap()));
    }

    #[test]
    fn roles_exist_in_hosted_domains() {
        let directory = directory();
        assert!(directory.is_role(&"PostMaster@example.com".parse().unwrap()));
        assert!(directory.is_role(&"abuse@example.com".parse().unwrap()));
        assert!(!directory.is_role(&"postmaster@example.net".parse().unwrap()));
        assert!(!directory.is_role(&"me@example.com".parse().unwrap()));
    }
}
