//! Where the mailbox of an address is, on this machine.
//!
//! Invariant: whatever an address looks like, its mailbox lies in a directory of its own below what the operator wrote.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use mail::Mailbox;

/// What stands for the local part.
const USER: &str = "{user}";
/// What stands for the domain.
const DOMAIN: &str = "{domain}";

/// A name in a file system is no longer than this, in octets.
const NAME_MAX_BYTES: usize = 200;

/// The place of mailboxes, with `{user}` and perhaps `{domain}` in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MaildirPlace(String);

impl FromStr for MaildirPlace {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let part = |part: &str| part.is_empty() || part == "." || part == "..";
        if !text.starts_with('/') || text.split('/').skip(1).any(part) || text.contains('\0') {
            return Err("it is no absolute path without . and ..".into());
        }
        if !text.contains(USER) {
            return Err(format!("it says nowhere whose mailbox it is: {USER} is missing"));
        }
        let rest = text.replace(USER, "").replace(DOMAIN, "");
        if rest.contains(['{', '}']) {
            return Err(format!("only {USER} and {DOMAIN} stand in braces"));
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
    /// The mailbox of an address; `None` where its local part is no name of a directory. Names are in lower case: one mailbox an address.
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
    fn each_address_has_a_directory_of_its_own() {
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
    fn a_place_is_absolute_and_says_whose_it_is() {
        for wrong in ["var/mail/{user}", "/var/mail", "/var/../{user}", "/var//{user}", "/var/{user}/{home}", "", "/var/{user"] {
            assert!(wrong.parse::<MaildirPlace>().is_err(), "{wrong}");
        }
    }
}
