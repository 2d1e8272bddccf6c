//! A clue: what a person knows about a message, as a query of the index.
//!
//! Its form says what it can be: a queue ID, a Message-ID, an address, a domain or host, an IP address or network, a login, words of a refusal. If it
//! can be several, all are looked for. Invariant: a clue matches an event if and only if it matches one of the event's tokens.

use std::net::IpAddr;

use events::Event;
use mail::{Domain, Mailbox, QueueId};

use crate::tokens::{Tokens, hex, token, words};

/// Maximum length of a clue, in octets.
const CLUE_MAX_BYTES: usize = 1000;

/// Maximum length of a token of a word that is not taken for the start of a longer one, in octets; the letter before it counts.
const WHOLE_MAX_BYTES: usize = 4;

/// Why a text is not a clue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ClueError {
    /// It has no letter or digit.
    #[error("the clue is empty: give a queue ID, a Message-ID, an address, a domain, a host, an IP address or words of a reply")]
    Empty,
    /// It is too long.
    #[error("the clue is longer than {CLUE_MAX_BYTES} octets: give a part of it")]
    TooLong,
}

/// A clue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Clue {
    text: String,
    terms: Vec<Term>,
}

/// One way to read a clue.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Term {
    /// A token.
    Is(String),
    /// The start of a token.
    Starts(String),
    /// Words; the last may be the start of one if it is long enough.
    Words(Vec<String>),
    /// Addresses of a network: the first bits of this one.
    Network { address: IpAddr, bits: u8 },
}

impl Clue {
    /// Reads a clue as a person types it.
    ///
    /// # Errors
    /// It is empty or too long.
    pub fn parse(text: &str) -> Result<Self, ClueError> {
        let text = text.trim();
        let bare = text.trim_matches(['<', '>', '"']).trim();
        if !bare.contains(char::is_alphanumeric) {
            return Err(ClueError::Empty);
        }
        if bare.len() > CLUE_MAX_BYTES {
            return Err(ClueError::TooLong);
        }
        let mut terms = Vec::new();
        if bare.contains(char::is_whitespace) {
            terms.extend(words_of(bare));
        } else if let Some(network) = network(bare) {
            terms.push(network);
        } else if let Some(domain) = bare.strip_prefix('@') {
            names(domain, &mut terms);
        } else if bare.contains('@') {
            terms.push(Term::Is(token('a', bare)));
            terms.push(Term::Is(token('m', bare)));
            terms.extend(Mailbox::parse(bare).ok().map(|mailbox| Term::Is(token('a', &mailbox.key()))));
        } else {
            one_word(bare, &mut terms);
        }
        terms.dedup();
        if terms.is_empty() {
            return Err(ClueError::Empty);
        }
        Ok(Self { text: text.to_owned(), terms })
    }

    /// Returns the clue of one message.
    pub(crate) fn of_message(id: QueueId) -> Self {
        let text = id.to_string();
        Self { terms: vec![Term::Is(token('q', &text))], text }
    }

    /// Returns the text that was typed.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether it matches an event.
    pub fn matches(&self, event: &Event) -> bool {
        let tokens = Tokens::of(event);
        self.terms.iter().any(|term| match term {
            Term::Is(token) => tokens.iter().any(|other| other == token),
            Term::Starts(start) => tokens.iter().any(|other| other.starts_with(start)),
            Term::Words(words) => match words.split_last() {
                Some((last, rest)) => {
                    let is_last = |other: &str| other == last || (is_start(last) && other.starts_with(last));
                    rest.iter().all(|word| tokens.iter().any(|other| other == word)) && tokens.iter().any(is_last)
                }
                None => false,
            },
            Term::Network { address, bits } => event.client.is_some_and(|client| is_within(client, *address, *bits)),
        })
    }

    /// Returns the query for FTS5. It may find more than the clue matches.
    pub(crate) fn expression(&self) -> String {
        let terms = self.terms.iter().map(|term| match term {
            Term::Is(token) => quoted(token),
            Term::Starts(start) => format!("{} *", quoted(start)),
            Term::Words(words) => {
                let last = words.len().saturating_sub(1);
                let each = words
                    .iter()
                    .enumerate()
                    .map(|(n, word)| if n == last && is_start(word) { format!("{} *", quoted(word)) } else { quoted(word) });
                format!("({})", each.collect::<Vec<_>>().join(" AND "))
            }
            Term::Network { address, bits } => {
                let digits = hex(*address);
                // One digit for the family, then one for each four bits.
                let kept = digits.get(..1 + usize::from(*bits) / 4).unwrap_or(&digits);
                let is_whole = kept.len() == digits.len();
                format!("{}{}", quoted(&format!("i{kept}")), if is_whole { "" } else { " *" })
            }
        });
        terms.collect::<Vec<_>>().join(" OR ")
    }
}

/// Returns the query for events of some kinds.
pub(crate) fn kinds_expression<'a>(names: impl Iterator<Item = &'a str>) -> String {
    names.map(|name| quoted(&token('k', name))).collect::<Vec<_>>().join(" OR ")
}

/// Whether a word may be the start of one: short starts would match too much.
fn is_start(word: &str) -> bool {
    word.len() > WHOLE_MAX_BYTES
}

fn quoted(token: &str) -> String {
    format!("\"{}\"", token.replace('"', "\"\""))
}

fn words_of(text: &str) -> Option<Term> {
    let words: Vec<String> = words(text).map(|word| token('w', word)).collect();
    if words.is_empty() { None } else { Some(Term::Words(words)) }
}

fn names(name: &str, terms: &mut Vec<Term>) {
    terms.push(Term::Is(token('n', name.trim_end_matches('.'))));
    terms.extend(Domain::parse(name).ok().map(|domain| Term::Is(token('n', domain.as_str()))));
}

/// A word without `@`: a queue ID, a name, a login, the start of an address, a word of a refusal.
fn one_word(word: &str, terms: &mut Vec<Term>) {
    if let Ok(id) = word.parse::<QueueId>() {
        terms.push(Term::Is(token('q', &id.to_string())));
    }
    if word.contains('.') {
        names(word, terms);
    }
    terms.push(Term::Is(token('m', word)));
    terms.push(Term::Is(token('l', word)));
    terms.push(Term::Starts(format!("{}@", token('a', word))));
    terms.extend(words_of(word));
}

/// Reads `192.0.2.7`, `192.0.2.0/24`, `[192.0.2.7]`, `2001:db8::/32`.
fn network(text: &str) -> Option<Term> {
    let text = text.trim_matches(['[', ']']);
    let text = text.strip_prefix("IPv6:").unwrap_or(text);
    let (address, bits) = text.split_once('/').map_or((text, None), |(address, bits)| (address, Some(bits)));
    let address = address.parse::<IpAddr>().ok()?.to_canonical();
    let most = if address.is_ipv4() { 32 } else { 128 };
    let bits = bits.map_or(Some(most), |bits| bits.parse::<u8>().ok().filter(|bits| *bits <= most))?;
    Some(Term::Network { address, bits })
}

fn is_within(address: IpAddr, network: IpAddr, bits: u8) -> bool {
    let of = |address: IpAddr| match address.to_canonical() {
        IpAddr::V4(v4) => (4, u128::from(v4.to_bits()) << 96),
        IpAddr::V6(v6) => (6, v6.to_bits()),
    };
    let (family, octets) = of(address);
    let (other_family, other) = of(network);
    family == other_family && (octets ^ other).checked_shr(128 - u32::from(bits)).unwrap_or(0) == 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use events::EventKind;

    fn event() -> Event {
        Event::new(EventKind::Failed, 0)
            .of_message("6h22d211fvjnf".parse().unwrap())
            .message_id(Some("Ab.1@sender.test"))
            .from("Ada@sender.test")
            .to("me+shop@example.test")
            .target("foo@inbox.test")
            .client("192.0.2.7".parse().unwrap())
            .host("mx.a.inbox.test")
            .login(Some("ada"))
            .reply("550 5.1.1 No such mailbox here")
    }

    #[test]
    fn every_clue_finds_its_event_and_no_other() {
        let other = Event::new(EventKind::Failed, 0).from("x@y.test").client("2001:db8::1".parse().unwrap()).reply("550 5.7.1 spam");
        for clue in [
            "6h22d211fvjnf",
            "6H22D211FVJNF",
            "<ab.1@sender.test>",
            "ADA@sender.test",
            "<ada@Sender.test>",
            "me+shop@example.test",
            "me@example.test",
            "@example.test",
            "example.test",
            "foo@inbox.test",
            "mx.a.inbox.test",
            "a.inbox.test.",
            "inbox.test",
            "192.0.2.7",
            "192.0.2.0/24",
            "192.0.2.4/30",
            "192.0.0.0/13",
            "0.0.0.0/0",
            "ada",
            "no such mailbox",
            "mailbox such",
            "550 5.1.1",
            "5.1.1",
            "\"such mail\"",
        ] {
            let clue = Clue::parse(clue).unwrap();
            assert!(clue.matches(&event()), "{clue:?}");
            assert!(!clue.matches(&other), "{clue:?}");
        }
        for clue in
            ["6h22d211fvjng", "da@sender.test", "b.test", "192.0.2.8", "192.0.2.8/30", "2001:db8::/32", "such mailboxes", "such ma", "test"]
        {
            assert!(!Clue::parse(clue).unwrap().matches(&event()), "{clue}");
        }
        assert!(Clue::parse("2001:db8::/32").unwrap().matches(&other) && Clue::parse("[IPv6:2001:db8::1]").unwrap().matches(&other));
    }

    #[test]
    fn nothing_and_too_much_are_no_clues() {
        for text in ["", "  ", "<>", "@", "\"*\"", "--"] {
            assert_eq!(Clue::parse(text), Err(ClueError::Empty), "{text}");
        }
        assert_eq!(Clue::parse(&"a".repeat(1001)), Err(ClueError::TooLong));
    }

    #[test]
    fn hostile_clues_are_quoted() {
        assert_eq!(Clue::parse("a\"b@c").unwrap().expression(), "\"aa\"\"b@c\" OR \"ma\"\"b@c\"");
        assert_eq!(Clue::parse("xx OR yyyy").unwrap().expression(), "(\"wxx\" AND \"wor\" AND \"wyyyy\" *)");
    }
}
