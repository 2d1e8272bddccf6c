//! The addresses as which users of this machine may send without a login.
//!
//! RFC 6409 s.6.1. Invariant: a user may send under its own name, and under others only if the configuration says so or it is privileged: a
//! compromised program does not gain the addresses of others.

use std::fmt;
use std::str::FromStr;

use directory::{Directory, SenderRule};
use mail::{AddressError, Domain, LocalPart, Mailbox, Reply};

/// A user of this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalUser {
    /// Its login name.
    pub name: String,
    /// Root, or the user that the server runs as: it has full control of the server anyway.
    pub privileged: bool,
}

/// A rule of the configuration: `www-data=noreply@example.com`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalRule {
    /// The user's login name.
    pub user: String,
    /// The address, or the domain, as which it may send.
    pub sender: SenderRule,
}

impl FromStr for LocalRule {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let (user, sender) = text.split_once('=').ok_or("'=' between user and sender is missing")?;
        let user = user.trim();
        if user.is_empty() || user.contains(char::is_whitespace) {
            return Err("no user before '='".into());
        }
        if let Some(domain) = sender.trim().strip_prefix("*@") {
            return Err(format!("*@{domain} is the address of a user called `*`; for every address of the domain write @{domain}"));
        }
        let sender = sender.trim().parse().map_err(|e: AddressError| e.to_string())?;
        Ok(Self { user: user.to_owned(), sender })
    }
}

impl fmt::Display for LocalRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.user, self.sender)
    }
}

/// What decisions about a local user depend on.
#[derive(Debug, Clone, Copy)]
pub struct LocalRules<'a> {
    /// The hosted domains.
    pub directory: &'a Directory,
    /// Our host name, the domain of addresses without one.
    pub hostname: &'a Domain,
    /// The rules of the configuration.
    pub rules: &'a [LocalRule],
}

impl LocalUser {
    /// Whether the user may send as this address.
    pub fn may_send_as(&self, from: &Mailbox, given: LocalRules<'_>) -> bool {
        let is_ours = from.domain == *given.hostname || given.directory.hosts(&from.domain);
        let bare = given.directory.without_extension(from);
        let is_own = LocalPart::parse(&self.name).is_ok_and(|name| name == bare.local);
        let allows = |rule: &LocalRule| match &rule.sender {
            SenderRule::Address(mailbox) => *mailbox == *from || *mailbox == bare,
            SenderRule::Domain(domain) => *domain == from.domain,
            SenderRule::Any => is_ours,
        };
        (is_ours && (self.privileged || is_own)) || given.rules.iter().filter(|rule| rule.user == self.name).any(allows)
    }

    /// Refuses an address that the user may not send as, in the envelope or in the From field.
    pub fn check(&self, from: &Mailbox, given: LocalRules<'_>) -> Result<(), Reply> {
        if self.may_send_as(from, given) {
            return Ok(());
        }
        let name = &self.name;
        Err(Reply::new(
            550,
            (5, 7, 1),
            format!("user {name} may not send as {from}; the operator can allow it: local_users = [\"{name}={from}\"] under [submission]"),
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use directory::{Contents, HostedDomain};

    fn may(user: &str, privileged: bool, rules: &[&str], from: &str) -> bool {
        let directory = Directory::new(Contents {
            domains: vec![HostedDomain { name: "example.com".parse().unwrap(), enabled: true }],
            delimiters: "+".into(),
            ..Contents::default()
        });
        let rules: Vec<LocalRule> = rules.iter().map(|rule| rule.parse().unwrap()).collect();
        let hostname = Domain::parse("mx.example.net").unwrap();
        let given = LocalRules { directory: &directory, hostname: &hostname, rules: &rules };
        LocalUser { name: user.into(), privileged }.may_send_as(&from.parse().unwrap(), given)
    }

    #[test]
    fn users_send_as_themselves_and_root_as_any_hosted_address() {
        assert!(may("ann", false, &[], "ann@mx.example.net") && may("ann", false, &[], "Ann+x@example.com"));
        assert!(!may("ann", false, &[], "me@example.com") && !may("ann", false, &[], "ann@gmail.com"));
        assert!(may("root", true, &[], "me@example.com") && !may("root", true, &[], "me@gmail.com"));
    }

    #[test]
    fn rules_allow_further_senders() {
        let rules = ["www-data=noreply@example.com", "git=@example.org", "cron=*"];
        assert!(may("www-data", false, &rules, "noreply@example.com") && !may("www-data", false, &rules, "me@example.com"));
        assert!(may("git", false, &rules, "x@example.org") && !may("git", false, &rules, "x@example.com"));
        assert!(may("cron", false, &rules, "me@example.com") && !may("cron", false, &rules, "me@gmail.com"));
        assert!(!may("ann", false, &rules, "noreply@example.com"));
        for wrong in ["www-data", "=x@example.com", "a b=x@example.com", "a=x"] {
            assert!(wrong.parse::<LocalRule>().is_err(), "{wrong}");
        }
    }
}
