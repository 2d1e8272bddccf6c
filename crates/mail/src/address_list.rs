//! The addresses of a header field such as From or To.
//!
//! RFC 5322 s.3.4 and s.4.4, RFC 6854 (groups in From). Invariant: this is the only parser of addresses in header fields, so that DMARC, allowed
//! senders and the rules for From never see different addresses; quotes, comments and routes are parsed completely.

use std::fmt;

use crate::address::{AddressError, LocalPart, Mailbox};
use crate::domain::{Domain, DomainError};
use crate::header::Fields;

/// One member of an address list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Member {
    /// An address.
    Mailbox(Mailbox),
    /// Not an address: a name alone, such as `MAILER-DAEMON`, or `<>`. This is its text.
    Bare(String),
    /// It has an `@` but is not a valid address; this is its text.
    Invalid(String, AddressListError),
}

/// The addresses of a field.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AddressList {
    /// The addresses, in order.
    pub mailboxes: Vec<Mailbox>,
    /// The members that are not addresses: names alone, and `<>`.
    pub bare: Vec<String>,
}

/// Why a field cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AddressListError {
    /// Angle brackets do not match, or one member has two pairs of them.
    Brackets,
    /// A comment does not end.
    Comment,
    /// There are words next to an address that is not in angle brackets.
    Words,
    /// The address is not valid.
    Address(AddressError),
}

impl fmt::Display for AddressListError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Brackets => f.write_str("its angle brackets do not match"),
            Self::Comment => f.write_str("a comment in it does not end"),
            Self::Words => f.write_str("there are words next to the address; an address after a name must be in angle brackets"),
            Self::Address(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for AddressListError {}

impl AddressList {
    /// Reads the value of a field.
    ///
    /// # Errors
    /// The error of the first member that has an `@` but is not a valid address.
    pub fn parse(value: &str) -> Result<Self, AddressListError> {
        let mut list = Self::default();
        for member in members(value) {
            match member {
                Member::Mailbox(mailbox) => list.mailboxes.push(mailbox),
                Member::Bare(text) => list.bare.push(text),
                Member::Invalid(_, error) => return Err(error),
            }
        }
        Ok(list)
    }

    /// Reads all fields of this name in the header section at the start of `content`; an empty list if there is none.
    ///
    /// # Errors
    /// As [`AddressList::parse`].
    pub fn of_field(content: &[u8], name: &str) -> Result<Self, AddressListError> {
        let mut list = Self::default();
        for field in Fields::new(content).filter(|field| field.is(name)) {
            let one = Self::parse(&field.unfolded())?;
            list.mailboxes.extend(one.mailboxes);
            list.bare.extend(one.bare);
        }
        Ok(list)
    }
}

/// Reads the members of an address list, with groups expanded.
pub fn members(value: &str) -> Vec<Member> {
    let (tokens, is_closed) = tokens(value);
    let mut members = Vec::new();
    let mut member: Vec<Token> = Vec::new();
    let mut in_angle = false;
    for token in tokens {
        match token {
            Token::Special(c @ ('<' | '>')) => in_angle = c == '<',
            // A semicolon outside a group separates members too, as some programs write it.
            Token::Special(',' | ';') if !in_angle => {
                members.extend(read(&member));
                member.clear();
                continue;
            }
            // The words before are the name of a group.
            Token::Special(':') if !in_angle && !member.contains(&Token::Special('@')) => {
                member.clear();
                continue;
            }
            _ => {}
        }
        member.push(token);
    }
    match read(&member) {
        Some(last) if !is_closed => members.push(Member::Invalid(text(&member), fault_of_open(last))),
        last => members.extend(last),
    }
    members
}

/// A field that ends within a comment is invalid; an error of its last member takes precedence.
fn fault_of_open(last: Member) -> AddressListError {
    if let Member::Invalid(_, error) = last { error } else { AddressListError::Comment }
}

/// A token of the value; blanks and comments separate tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    Word(String),
    Quoted(String),
    /// A domain literal, with its brackets.
    Literal(String),
    Special(char),
}

fn is_special(c: char) -> bool {
    matches!(c, '<' | '>' | '@' | ',' | ';' | ':' | '.')
}

/// The tokens, and whether every comment ends.
fn tokens(value: &str) -> (Vec<Token>, bool) {
    let mut tokens = Vec::new();
    let mut rest = value;
    loop {
        let mut chars = rest.chars();
        let Some(c) = chars.next() else { return (tokens, true) };
        let behind = chars.as_str();
        rest = match c {
            ' ' | '\t' | '\r' | '\n' => behind,
            '(' => match behind_comment(behind) {
                Some(behind) => behind,
                None => return (tokens, false),
            },
            c if is_special(c) => {
                tokens.push(Token::Special(c));
                behind
            }
            c => {
                let delimited = match c {
                    '"' => delimited(behind, '"').map(|(inner, behind)| (Token::Quoted(inner), behind)),
                    '[' => delimited(behind, ']').map(|(inner, behind)| (Token::Literal(format!("[{inner}]")), behind)),
                    _ => None,
                };
                // A single quotation mark or bracket is a character of a name.
                let (token, behind) = delimited.unwrap_or_else(|| word(rest));
                tokens.push(token);
                behind
            }
        };
    }
}

/// The word at the start, of at least one character, and what is behind it.
fn word(text: &str) -> (Token, &str) {
    let ends = |c: char| c.is_ascii_whitespace() || is_special(c) || matches!(c, '(' | '"' | '[');
    let end = text.char_indices().skip(1).find(|(_, c)| ends(*c)).map_or(text.len(), |(at, _)| at);
    let (word, behind) = text.split_at_checked(end).unwrap_or((text, ""));
    (Token::Word(word.to_owned()), behind)
}

/// The text up to the mark, with quoted pairs resolved, and what is behind the mark; `None` if that is missing.
fn delimited(text: &str, end: char) -> Option<(String, &str)> {
    let (mut chars, mut inner) = (text.chars(), String::new());
    loop {
        match chars.next()? {
            '\\' => inner.push(chars.next()?),
            // Folding white space in a quoted string counts as the blank only.
            '\r' | '\n' => {}
            c if c == end => return Some((inner, chars.as_str())),
            c => inner.push(c),
        }
    }
}

/// What is behind a comment whose opening parenthesis has been read; `None` if it does not end.
fn behind_comment(text: &str) -> Option<&str> {
    let (mut chars, mut depth) = (text.chars(), 1_u32);
    while depth > 0 {
        match chars.next()? {
            '\\' => drop(chars.next()),
            '(' => depth += 1,
            ')' => depth -= 1,
            _ => {}
        }
    }
    Some(chars.as_str())
}

/// One member; `None` if it is empty, as the obsolete syntax allows.
fn read(tokens: &[Token]) -> Option<Member> {
    if tokens.is_empty() {
        return None;
    }
    let found = match tokens.iter().position(|token| *token == Token::Special('<')) {
        Some(open) => in_brackets(tokens, open),
        None if tokens.contains(&Token::Special('>')) => Err(AddressListError::Brackets),
        None => address(tokens),
    };
    Some(match found {
        Ok(Some(mailbox)) => Member::Mailbox(mailbox),
        Ok(None) => Member::Bare(name(tokens)),
        Err(error) => Member::Invalid(text(tokens), error),
    })
}

/// The words of a member without an address.
fn name(tokens: &[Token]) -> String {
    let words: Vec<Token> = tokens.iter().filter(|token| !matches!(token, Token::Special('<' | '>' | '@' | ':'))).cloned().collect();
    text(&words)
}

fn text(tokens: &[Token]) -> String {
    let mut text = String::new();
    for token in tokens {
        match token {
            Token::Special(c) => text.push(*c),
            Token::Word(part) | Token::Literal(part) | Token::Quoted(part) => {
                if text.ends_with(|c: char| !is_special(c)) || (text.ends_with('.') && text.contains(' ')) {
                    text.push(' ');
                }
                text.push_str(part);
            }
        }
    }
    text
}

/// `[display-name] "<" [obs-route] addr-spec ">"`. A name may contain anything but another pair of brackets.
fn in_brackets(tokens: &[Token], open: usize) -> Result<Option<Mailbox>, AddressListError> {
    let inner = tokens.get(open + 1..).unwrap_or_default();
    let close = inner.iter().position(|token| *token == Token::Special('>')).ok_or(AddressListError::Brackets)?;
    let (inner, after) = (inner.get(..close).unwrap_or_default(), inner.get(close + 1..).unwrap_or_default());
    let before = tokens.get(..open).unwrap_or_default();
    let is_bracket = |token: &Token| matches!(token, Token::Special('<' | '>'));
    if inner.iter().chain(before).any(is_bracket) || after.iter().any(|token| is_bracket(token) || *token == Token::Special('@')) {
        return Err(AddressListError::Brackets);
    }
    address(without_route(inner))
}

/// `@a.test,@b.test:u@c.test` without its route.
fn without_route(tokens: &[Token]) -> &[Token] {
    if !matches!(tokens.first(), Some(Token::Special('@' | ','))) {
        return tokens;
    }
    let colon = tokens.iter().position(|token| *token == Token::Special(':'));
    colon.and_then(|colon| tokens.get(colon + 1..)).unwrap_or(tokens)
}

/// `local-part "@" domain`; `None` without an `@`.
fn address(tokens: &[Token]) -> Result<Option<Mailbox>, AddressListError> {
    let Some(at) = tokens.iter().position(|token| *token == Token::Special('@')) else { return Ok(None) };
    let (local, domain) = (tokens.get(..at).unwrap_or_default(), tokens.get(at + 1..).unwrap_or_default());
    let local = local_part(local)?;
    let domain = domain_of(domain)?;
    Mailbox::new(local, domain).map(Some).map_err(AddressListError::Address)
}

fn local_part(tokens: &[Token]) -> Result<LocalPart, AddressListError> {
    let bad = AddressListError::Address(AddressError::BadLocalPart);
    if has_two_words(tokens) {
        return Err(AddressListError::Words);
    }
    // Consecutive dots, or a dot at the end: see `LocalPart::parse`.
    if matches!(tokens.first(), None | Some(Token::Special(_))) {
        return Err(bad);
    }
    let mut plain = String::new();
    for token in tokens {
        match token {
            Token::Word(word) if LocalPart::parse(word).is_ok() => plain.push_str(word),
            Token::Quoted(inner) if !inner.chars().any(char::is_control) => plain.push_str(inner),
            Token::Special('.') => plain.push('.'),
            _ => return Err(bad),
        }
    }
    if plain.is_empty() { Err(bad) } else { Ok(LocalPart::from_plain(&plain)) }
}

fn domain_of(tokens: &[Token]) -> Result<Domain, AddressListError> {
    let bad = |error| AddressListError::Address(AddressError::Domain(error));
    if has_two_words(tokens) {
        return Err(AddressListError::Words);
    }
    let mut name = String::new();
    for token in tokens {
        match token {
            Token::Word(word) => name.push_str(word),
            Token::Literal(literal) if tokens.len() == 1 => name.push_str(literal),
            Token::Special('.') => name.push('.'),
            _ => return Err(bad(DomainError::BadCharacter)),
        }
    }
    Domain::parse(&name).map_err(bad)
}

/// Whether only blanks separate two words.
fn has_two_words(tokens: &[Token]) -> bool {
    tokens.windows(2).any(|pair| !pair.iter().any(|token| matches!(token, Token::Special(_))))
}

#[cfg(test)]
#[path = "address_list_tests.rs"]
mod tests;
