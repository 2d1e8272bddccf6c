//! Senders that an alias blocks, or never holds: addresses, and domains with the names below them.
//!
//! RFC 5321 s.2.4 (domains without regard to case). Invariant: an entry has one form, so that a list has no doubles and is read back as written.

use std::fmt;
use std::str::FromStr;

use mail::{Domain, Mailbox};
use serde::{Deserialize, Serialize};

/// Maximum entries of a list.
pub const SENDERS_MAX: usize = 200;

/// An address, or all addresses of a domain and of those below it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum SenderPattern {
    /// `shop@example.com`
    Address(String),
    /// `@example.com`
    Domain(String),
}

/// A text that is no sender.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is neither an address nor @ and a domain")]
pub struct SenderPatternError(String);

impl FromStr for SenderPattern {
    type Err = SenderPatternError;
    fn from_str(text: &str) -> Result<Self, SenderPatternError> {
        let text = text.trim();
        let invalid = || SenderPatternError(text.chars().take(100).collect());
        match text.strip_prefix('@') {
            Some(domain) => Domain::parse(domain).map(|domain| Self::Domain(domain.as_str().to_ascii_lowercase())).map_err(|_| invalid()),
            None => Mailbox::parse(text).map(|mailbox| Self::Address(mailbox.key())).map_err(|_| invalid()),
        }
    }
}

impl fmt::Display for SenderPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => f.write_str(address),
            Self::Domain(domain) => write!(f, "@{domain}"),
        }
    }
}

impl SenderPattern {
    /// Whether it is this sender.
    fn matches(&self, sender: &Mailbox) -> bool {
        match self {
            Self::Address(address) => *address == sender.key(),
            Self::Domain(domain) => {
                let name = sender.domain.as_str().to_ascii_lowercase();
                name.strip_suffix(domain.as_str()).is_some_and(|above| above.is_empty() || above.ends_with('.'))
            }
        }
    }
}

/// A list of senders, in order and without doubles.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "Vec<String>", try_from = "Vec<String>")]
pub struct SenderList(Vec<SenderPattern>);

impl SenderList {
    /// Whether this sender is in it.
    pub fn has(&self, sender: &Mailbox) -> bool {
        self.0.iter().any(|pattern| pattern.matches(sender))
    }
}

impl TryFrom<Vec<String>> for SenderList {
    type Error = String;
    fn try_from(texts: Vec<String>) -> Result<Self, String> {
        let mut list = texts.iter().map(|text| text.parse()).collect::<Result<Vec<SenderPattern>, _>>().map_err(|e| e.to_string())?;
        list.sort();
        list.dedup();
        match list.len() {
            0 => Err("a list of senders needs an entry; null removes the list".to_owned()),
            1..=SENDERS_MAX => Ok(Self(list)),
            n => Err(format!("a list has at most {SENDERS_MAX} senders, not {n}; use @ and a domain for several of one domain")),
        }
    }
}

impl From<SenderList> for Vec<String> {
    fn from(list: SenderList) -> Self {
        list.0.iter().map(SenderPattern::to_string).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(texts: &[&str]) -> Result<SenderList, String> {
        SenderList::try_from(texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn addresses_and_domains_match_without_regard_to_case() {
        let senders = list(&["Spam@Example.test", "@Casino.test", "@casino.test"]).unwrap();
        assert_eq!(Vec::<String>::from(senders.clone()).len(), 2);
        for (sender, is_in) in [
            ("spam@EXAMPLE.test", true),
            ("spam2@example.test", false),
            ("win@casino.test", true),
            ("win@mail.casino.test", true),
            ("win@notcasino.test", false),
            ("casino.test@other.test", false),
        ] {
            assert_eq!(senders.has(&Mailbox::parse(sender).unwrap()), is_in, "{sender}");
        }
    }

    #[test]
    fn what_is_no_sender_is_refused() {
        for text in ["", "@", "nobody", "a@b@c", "@-.", "a b@c.test\u{0}"] {
            assert!(list(&[text]).is_err(), "{text:?}");
        }
        assert!(list(&[]).is_err());
        let many: Vec<String> = (0..=SENDERS_MAX).map(|n| format!("a{n}@x.test")).collect();
        assert!(SenderList::try_from(many).unwrap_err().contains("at most 200"));
    }
}
