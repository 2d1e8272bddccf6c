//! A mailbox: a local part at a domain.
//!
//! RFC 5321 s.4.1.2 and s.4.5.3.1, RFC 6531 s.3.3. Invariant: a local part contains no control character, and
//! its text has no quotes and backslashes; quoting is added when it is written. Accepted beyond the syntax: consecutive dots and a dot at the
//! end, which Japanese carriers assigned and Postfix accepts; they are written quoted, which is valid.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use crate::domain::{Domain, DomainError};

/// Maximum length of a local part, in octets. RFC 5321 s.4.5.3.1.1 requires no more than 64, but mailing lists use longer return addresses,
/// and their mail must not be lost.
const LOCAL_MAX: usize = 256;

/// Maximum length of an address, in octets, within the 512 of a command line.
const ADDRESS_MAX: usize = 510;

/// The part before the `@`, unquoted. Compared case-insensitively: no user means two mailboxes by it.
#[derive(Clone)]
pub struct LocalPart(Arc<str>);

/// A local part and a domain: `me@example.com`.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Mailbox {
    /// The part before the `@`.
    pub local: LocalPart,
    /// The part after it.
    pub domain: Domain,
}

/// Why a text is not a mailbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AddressError {
    /// There is no `@`.
    NoDomain,
    /// The local part is empty, badly quoted, or has a character that needs quoting.
    BadLocalPart,
    /// The local part is longer than 256 octets, or the address longer than 510.
    TooLong,
    /// The domain is not valid.
    Domain(DomainError),
}

impl fmt::Display for AddressError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoDomain => f.write_str("the address has no @domain"),
            Self::BadLocalPart => f.write_str("the part before the @ is not valid"),
            Self::TooLong => f.write_str("the address is too long"),
            Self::Domain(e) => e.fmt(f),
        }
    }
}

impl std::error::Error for AddressError {}

impl LocalPart {
    /// Reads a dot-string or a quoted-string.
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        let plain = match text.strip_prefix('"') {
            Some(rest) => unquote(rest)?,
            None if is_dots_and_atoms(text) => text.to_owned(),
            None => return Err(AddressError::BadLocalPart),
        };
        if plain.len() > LOCAL_MAX {
            return Err(AddressError::TooLong);
        }
        Ok(Self(plain.into()))
    }

    /// A local part of this text, quoted when written if necessary. The text has no control characters.
    pub(crate) fn from_plain(text: &str) -> Self {
        Self(text.into())
    }

    /// The text without quotes.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn is_atext(c: char) -> bool {
    c.is_ascii_alphanumeric() || "!#$%&'*+-/=?^_`{|}~".contains(c) || (!c.is_ascii() && !c.is_control())
}

fn is_dot_string(text: &str) -> bool {
    !text.is_empty() && text.split('.').all(|atom| !atom.is_empty() && atom.chars().all(is_atext))
}

/// A dot-string, or one with consecutive dots or a dot at the end: `a..b`, `a.`.
fn is_dots_and_atoms(text: &str) -> bool {
    !text.is_empty() && !text.starts_with('.') && text.chars().all(|c| c == '.' || is_atext(c))
}

fn unquote(rest: &str) -> Result<String, AddressError> {
    let inner = rest.strip_suffix('"').ok_or(AddressError::BadLocalPart)?;
    let mut plain = String::with_capacity(inner.len());
    let mut chars = inner.chars();
    while let Some(c) = chars.next() {
        let c = match c {
            '\\' => chars.next().ok_or(AddressError::BadLocalPart)?,
            '"' => return Err(AddressError::BadLocalPart),
            c => c,
        };
        if c.is_control() {
            return Err(AddressError::BadLocalPart);
        }
        plain.push(c);
    }
    if plain.is_empty() { Err(AddressError::BadLocalPart) } else { Ok(plain) }
}

impl PartialEq for LocalPart {
    fn eq(&self, other: &Self) -> bool {
        self.0.eq_ignore_ascii_case(&other.0)
    }
}

impl Eq for LocalPart {}

impl std::hash::Hash for LocalPart {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        for b in self.0.bytes() {
            state.write_u8(b.to_ascii_lowercase());
        }
    }
}

impl fmt::Display for LocalPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if is_dot_string(&self.0) {
            return f.write_str(&self.0);
        }
        f.write_str("\"")?;
        for c in self.0.chars() {
            if c == '"' || c == '\\' {
                f.write_str("\\")?;
            }
            write!(f, "{c}")?;
        }
        f.write_str("\"")
    }
}

impl fmt::Debug for LocalPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Mailbox {
    /// A local part at a domain.
    ///
    /// # Errors
    /// [`AddressError::TooLong`].
    pub fn new(local: LocalPart, domain: Domain) -> Result<Self, AddressError> {
        let mailbox = Self { local, domain };
        let is_too_long = mailbox.local.0.len() > LOCAL_MAX || mailbox.to_string().len() > ADDRESS_MAX;
        if is_too_long { Err(AddressError::TooLong) } else { Ok(mailbox) }
    }

    /// The postmaster of a domain (RFC 5321 s.4.5.1).
    pub fn postmaster(domain: &Domain) -> Self {
        Self { local: LocalPart(Arc::from("postmaster")), domain: domain.clone() }
    }

    /// Reads `local@domain`.
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        if text.len() > ADDRESS_MAX {
            return Err(AddressError::TooLong);
        }
        let at = split_at_sign(text).ok_or(AddressError::NoDomain)?;
        let local = LocalPart::parse(text.get(..at).unwrap_or_default())?;
        let domain = Domain::parse(text.get(at + 1..).unwrap_or_default()).map_err(AddressError::Domain)?;
        // Quotes and A-labels can make the written form longer than the text, and what is stored must be read again.
        let may_be_too_long = local.0.len() + domain.as_str().len() > ADDRESS_MAX / 2;
        if may_be_too_long { Self::new(local, domain) } else { Ok(Self { local, domain }) }
    }

    /// Whether this mailbox needs SMTPUTF8.
    pub fn needs_utf8(&self) -> bool {
        !self.local.0.is_ascii()
    }

    /// The text in lower case: the key for lookups.
    pub fn key(&self) -> String {
        self.to_string().to_lowercase()
    }
}

/// The `@` that ends the local part: the first outside quotes, so that `"u@evil"` in `"u@evil"@host` is one local part.
fn split_at_sign(text: &str) -> Option<usize> {
    if !text.starts_with('"') {
        return text.find('@');
    }
    let mut escaped = false;
    for (i, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return text.get(i + 1..)?.starts_with('@').then_some(i + 1),
            _ => {}
        }
    }
    None
}

impl FromStr for Mailbox {
    type Err = AddressError;
    fn from_str(text: &str) -> Result<Self, AddressError> {
        Self::parse(text)
    }
}

impl fmt::Display for Mailbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.local, self.domain)
    }
}

impl fmt::Debug for Mailbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mailboxes_round_trip() {
        for text in [
            "me@example.com",
            "a.b+c@example.com",
            "\"two words\"@example.com",
            "\"u@evil\"@example.com",
            "u%evil@example.com",
            "evil!u@example.com",
            "grüße@example.com",
            "me@[192.0.2.1]",
            "\"a\\\"b\\\\c\"@example.com",
        ] {
            assert_eq!(Mailbox::parse(text).unwrap().to_string(), text);
        }
    }

    #[test]
    fn unnecessary_quotes_are_dropped() {
        assert_eq!(Mailbox::parse("\"me\"@example.com").unwrap(), Mailbox::parse("ME@Example.com").unwrap());
        assert_eq!(Mailbox::parse("\"me\"@example.com").unwrap().to_string(), "me@example.com");
    }

    #[test]
    fn misplaced_dots_are_accepted_and_written_quoted() {
        for (text, written) in [("a..b@docomo.test", "\"a..b\"@docomo.test"), ("a.@docomo.test", "\"a.\"@docomo.test")] {
            let mailbox = Mailbox::parse(text).unwrap();
            assert_eq!(mailbox.to_string(), written);
            assert_eq!(Mailbox::parse(written).unwrap(), mailbox);
        }
    }

    #[test]
    fn invalid_mailboxes_are_refused() {
        let long = format!("{}@example.com", "a".repeat(257));
        let labels = ["d".repeat(63), "d".repeat(63), "d".repeat(63), "d".repeat(61)].join(".");
        // Written with quotes it would be longer than what can be read.
        let grows = format!("{}..b@{labels}", "a".repeat(253));
        for text in [
            "",
            "me",
            "@example.com",
            ".a@x.org",
            "..@x.org",
            ";id;@x.org",
            "a b@x.org",
            "\"a@x.org",
            "\"\"@x.org",
            "a\r\n@x.org",
            "\"a\r\nb\"@x.org",
            "a@b@c",
            &long,
            &grows,
        ] {
            assert!(Mailbox::parse(text).is_err(), "{text:?}");
        }
    }
}
