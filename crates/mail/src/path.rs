//! Reverse-path and forward-path: the arguments in angle brackets of MAIL and RCPT.
//!
//! RFC 5321 s.4.1.1.2, s.4.1.1.3, s.4.5.1 and appendix C. Invariant: a source route is read and dropped, never kept.

use std::fmt;

use crate::address::{AddressError, Mailbox};

/// Where DSNs go: a mailbox, or nowhere.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ReversePath {
    /// `<>`: a DSN or the like, about which no DSN is ever sent.
    Null,
    /// A mailbox.
    Mailbox(Mailbox),
}

/// Where a message goes.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ForwardPath {
    /// `<Postmaster>` without a domain: the postmaster of this server.
    Postmaster,
    /// A mailbox.
    Mailbox(Mailbox),
}

/// Why a path was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PathError {
    /// The angle brackets are missing or do not match.
    Brackets,
    /// The text between them is not a mailbox.
    Address(AddressError),
}

impl fmt::Display for PathError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Brackets => f.write_str("the address must be in angle brackets"),
            Self::Address(e) => e.fmt(f),
        }
    }
}

impl std::error::Error for PathError {}

/// Splits `<...>` from the start of a command's argument: the text inside, and the rest of the line.
fn split_path(argument: &str) -> Result<(&str, &str), PathError> {
    let inner = argument.strip_prefix('<').ok_or(PathError::Brackets)?;
    let mut quoted = false;
    let mut escaped = false;
    for (i, c) in inner.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            '>' if !quoted => return Ok((inner.get(..i).unwrap_or_default(), inner.get(i + 1..).unwrap_or_default())),
            _ => {}
        }
    }
    Err(PathError::Brackets)
}

/// `@a,@b:u@c` without its route: `u@c`.
fn strip_source_route(inner: &str) -> &str {
    match (inner.starts_with('@'), inner.find(':')) {
        (true, Some(colon)) => inner.get(colon + 1..).unwrap_or_default(),
        _ => inner,
    }
}

impl ReversePath {
    /// Reads `<...>` from the start of MAIL's argument; also returns the rest of the line.
    pub fn take(argument: &str) -> Result<(Self, &str), PathError> {
        let (inner, rest) = split_path(argument)?;
        let path = if inner.is_empty() {
            Self::Null
        } else {
            Self::Mailbox(Mailbox::parse(strip_source_route(inner)).map_err(PathError::Address)?)
        };
        Ok((path, rest))
    }

    /// The mailbox, unless null.
    pub fn mailbox(&self) -> Option<&Mailbox> {
        match self {
            Self::Null => None,
            Self::Mailbox(m) => Some(m),
        }
    }

    /// Reads the form of [`Self::to_bare`]: no brackets, empty for null.
    pub fn parse_bare(text: &str) -> Result<Self, AddressError> {
        if text.is_empty() { Ok(Self::Null) } else { Mailbox::parse(text).map(Self::Mailbox) }
    }

    /// The text without brackets: empty for null.
    pub fn to_bare(&self) -> String {
        self.mailbox().map(Mailbox::to_string).unwrap_or_default()
    }
}

impl ForwardPath {
    /// Reads `<...>` from the start of RCPT's argument; also returns the rest of the line.
    pub fn take(argument: &str) -> Result<(Self, &str), PathError> {
        let (inner, rest) = split_path(argument)?;
        if inner.eq_ignore_ascii_case("postmaster") {
            return Ok((Self::Postmaster, rest));
        }
        let mailbox = Mailbox::parse(strip_source_route(inner)).map_err(PathError::Address)?;
        Ok((Self::Mailbox(mailbox), rest))
    }

    /// The text without brackets.
    pub fn to_bare(&self) -> String {
        match self {
            Self::Postmaster => "postmaster".to_owned(),
            Self::Mailbox(mailbox) => mailbox.to_string(),
        }
    }
}

impl fmt::Display for ReversePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("<>"),
            Self::Mailbox(m) => write!(f, "<{m}>"),
        }
    }
}

impl fmt::Display for ForwardPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Postmaster => f.write_str("<postmaster>"),
            Self::Mailbox(m) => write!(f, "<{m}>"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn source_routes_are_dropped() {
        let (path, rest) = ForwardPath::take("<@a,@b:u@example.com> NOTIFY=NEVER").unwrap();
        assert_eq!(path.to_string(), "<u@example.com>");
        assert_eq!(rest, " NOTIFY=NEVER");
        assert_eq!(ForwardPath::take("<PostMaster>").unwrap().0, ForwardPath::Postmaster);
        assert_eq!(ReversePath::take("<>").unwrap().0, ReversePath::Null);
        assert_eq!(ForwardPath::take("<\"a>b\"@x.org>").unwrap().0.to_string(), "<\"a>b\"@x.org>");
    }

    #[test]
    fn invalid_paths_are_refused() {
        for text in ["", "me@x.org", "<me@x.org", "<me>", "<<me@x.org>>", "<;id;>"] {
            assert!(ReversePath::take(text).is_err(), "{text}");
        }
        assert!(ForwardPath::take("<>").is_err());
    }
}
