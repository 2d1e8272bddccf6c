//! The directory of an address's mailbox on this machine.
//!
//! Invariant: for any address, the mailbox is a directory of its own below the configured path.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use mail::Mailbox;

/// Placeholder of the local part.
const USER: &str = "{user}";
/// Placeholder of the domain.
const DOMAIN: &str = "{domain}";

/// Maximum length of a directory name, in octets.
const NAME_MAX_BYTES: usize = 200;

/// The path of mailboxes, with `{user}` and optionally `{domain}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MaildirPlace(String);

impl FromStr for MaildirPlace {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let part = |part: &str| part.is_empty() || part == "." || part == "..";
        if !text.starts_with('/') || text.split('/').skip(1).any(part) || text.contains('\0') {
            return Err("it must be an absolute path without . and ..".into());
        }
        if !text.contains(USER) {
            return Err(format!("{USER} is missing"));
        }
        let rest = text.replace(USER, "").replace(DOMAIN, "");
        if rest.contains(['{', '}']) {
            return Err(format!("only {USER} and {DOMAIN} are allowed in braces"));
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for MaildirPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl MaildirPlace {
    /// The directory that all mailboxes are below: the path up to the first placeholder.
    pub fn root(&self) -> PathBuf {
        self.0.split('/').take_while(|part| !part.contains('{')).map(|part| if part.is_empty() { "/" } else { part }).collect()
    }

    /// The mailbox of an address; `None` if its local part cannot be a directory name. Names are in lower case: one mailbox for each address.
    pub fn of(&self, mailbox: &Mailbox) -> Option<PathBuf> {
        let user = mailbox.local.as_str().to_lowercase();
        let is_name = !user.is_empty() && !user.starts_with('.') && user.len() <= NAME_MAX_BYTES;
        let is_odd = |c: char| c == '/' || c == '\\' || c.is_control() || c.is_whitespace() || c == '{' || c == '}';
        if !is_name || user.contains(is_odd) {
            return None;
        }
        let domain = mailbox.domain.as_str().to_lowercase();
        Some(self.0.replace(DOMAIN, &domain).replace(USER, &user).into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_address_has_its_own_directory() {
        let place: MaildirPlace = "/var/mail/{domain}/{user}/Maildir".parse().unwrap();
        let of = |address: &str| place.of(&Mailbox::parse(address).unwrap()).map(|path| path.display().to_string());
        assert_eq!(of("Foo.Bar+x@Local.test").as_deref(), Some("/var/mail/local.test/foo.bar+x/Maildir"));
        for odd in ["\"../../etc\"@local.test", "\"a/b\"@local.test", "\"..\"@local.test", "\"a b\"@local.test", "\"{domain}\"@local.test"]
        {
            assert_eq!(of(odd), None, "{odd}");
        }
        assert_eq!(of(&format!("{}@local.test", "a".repeat(64))).map(|path| path.len()), Some("/var/mail/local.test//Maildir".len() + 64));
    }

    #[test]
    fn paths_are_absolute_and_contain_the_user() {
        for wrong in ["var/mail/{user}", "/var/mail", "/var/../{user}", "/var//{user}", "/var/{user}/{home}", "", "/var/{user"] {
            assert!(wrong.parse::<MaildirPlace>().is_err(), "{wrong}");
        }
    }
}
