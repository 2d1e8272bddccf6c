//! The clues of an event as tokens of the index: a letter for what it is, and the text in lower case.
//!
//! `q` queue ID, `m` Message-ID, `a` address, `n` domain or host, `i` IP address in hexadecimal, `l` login, `w` word of a refusal, `k` kind.
//! Invariant: no token has a blank, so that the index splits the text only between tokens.

use std::net::IpAddr;

use events::{Event, Fact};

/// Maximum length of a token, in octets.
const TOKEN_MAX_BYTES: usize = 255;

/// Maximum tokens of an event: a message with more recipients is found by the first of them.
const TOKENS_MAX: usize = 512;

/// Maximum tokens that are compared with each new one; a repeated token costs space only.
const COMPARED_MAX: usize = 64;

/// Maximum names that are found by an end of a host name: `a.b.example.com` by `b.example.com` and `example.com`.
const SUFFIXES_MAX: usize = 4;

/// Maximum words of a text.
const WORDS_MAX: usize = 40;

/// The tokens of one event. It can be filled again.
#[derive(Debug, Default)]
pub(crate) struct Tokens {
    text: String,
    places: Vec<(usize, usize)>,
}

impl Tokens {
    /// Returns the tokens of an event.
    pub fn of(event: &Event) -> Self {
        let mut tokens = Self::default();
        tokens.fill(event);
        tokens
    }

    /// Replaces the tokens by those of another event.
    pub fn fill(&mut self, event: &Event) {
        self.text.clear();
        self.places.clear();
        self.add('k', event.kind.name());
        if let Some(id) = event.queue_id {
            self.add('q', &id.to_string());
        }
        if let Some(id) = &event.message_id {
            self.add('m', id);
        }
        for address in event.from.iter().chain(&event.to).chain(&event.target) {
            self.address(address);
        }
        if let Some(client) = &event.client {
            self.add('i', &hex(*client));
        }
        if let Some(host) = &event.host {
            self.name(host.trim_matches(['[', ']']));
        }
        if let Some(login) = &event.login {
            if login.contains('@') { self.address(login) } else { self.add('l', login) }
        }
        if let Some(reply) = event.reply.as_ref().filter(|reply| !reply.starts_with(['2', '3'])) {
            self.words(reply);
        }
        if let Some(reason) = &event.reason {
            self.words(reason);
        }
        for (fact, value) in &event.facts {
            match fact {
                Fact::FromField => self.address(value),
                Fact::About | Fact::Copies => value.split(' ').for_each(|id| self.add('q', id)),
                Fact::Domain => self.name(value),
                Fact::Subject => self.words(value),
                Fact::What => {
                    value.split_whitespace().for_each(|part| if part.contains('@') { self.address(part) } else { self.name(part) })
                }
                _ => {}
            }
        }
    }

    /// Returns the tokens with a blank after each.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Returns each token.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.places.iter().filter_map(|(start, end)| self.text.get(*start..*end))
    }

    fn add(&mut self, what: char, text: &str) {
        if text.is_empty() || self.places.len() >= TOKENS_MAX {
            return;
        }
        let start = self.text.len();
        fold(&mut self.text, what, text);
        let new = self.text.get(start..);
        if self.places.iter().take(COMPARED_MAX).any(|(from, to)| self.text.get(*from..*to) == new) {
            self.text.truncate(start);
            return;
        }
        self.places.push((start, self.text.len()));
        self.text.push(' ');
    }

    /// An address is found as a whole, without its extension, and by its domain.
    fn address(&mut self, address: &str) {
        let address = address.trim_matches(['<', '>']);
        let Some((local, domain)) = address.rsplit_once('@') else { return self.add('a', address) };
        if !local.is_empty() {
            self.add('a', address);
            if let Some((base, _)) = local.split_once('+').filter(|(base, _)| !base.is_empty()) {
                self.add('a', &format!("{base}@{domain}"));
            }
        }
        self.name(domain);
    }

    /// A name is found as a whole, and by each of its ends with two labels or more.
    fn name(&mut self, name: &str) {
        let name = name.trim_end_matches('.');
        self.add('n', name);
        let ends = name.match_indices('.').filter_map(|(at, _)| name.get(at + 1..)).filter(|end| end.contains('.'));
        let ends: Vec<&str> = ends.take(SUFFIXES_MAX).collect();
        ends.into_iter().for_each(|end| self.add('n', end));
    }

    fn words(&mut self, text: &str) {
        words(text).for_each(|word| self.add('w', word));
    }
}

/// Returns the words of a text: `5.1.1` and `mx.example.com` are one word each.
pub(crate) fn words(text: &str) -> impl Iterator<Item = &str> {
    let parts = text.split(|c: char| !c.is_alphanumeric() && !".-_".contains(c));
    parts.map(|part| part.trim_matches(['.', '-', '_'])).filter(|part| part.len() > 1).take(WORDS_MAX)
}

/// Appends a token.
pub(crate) fn fold(out: &mut String, what: char, text: &str) {
    out.push(what);
    let text = cut(text, TOKEN_MAX_BYTES);
    if text.is_ascii() {
        out.extend(text.bytes().map(|b| if b <= b' ' || b == 127 { '_' } else { char::from(b.to_ascii_lowercase()) }));
    } else {
        out.extend(text.chars().flat_map(char::to_lowercase).map(|c| if c.is_whitespace() || c.is_control() { '_' } else { c }));
    }
}

/// Returns one token.
pub(crate) fn token(what: char, text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 1);
    fold(&mut out, what, text);
    out
}

/// Returns an address in hexadecimal, after a digit for its family: every prefix of it is a network.
pub(crate) fn hex(address: IpAddr) -> String {
    match address.to_canonical() {
        IpAddr::V4(v4) => format!("4{:08x}", v4.to_bits()),
        IpAddr::V6(v6) => format!("6{:032x}", v6.to_bits()),
    }
}

/// Returns the start of a text of at most this many octets.
pub(crate) fn cut(text: &str, max_bytes: usize) -> &str {
    if text.len() <= max_bytes {
        return text;
    }
    text.get(..text.floor_char_boundary(max_bytes)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use events::EventKind;

    fn tokens(event: &Event) -> Vec<String> {
        Tokens::of(event).iter().map(str::to_owned).collect()
    }

    #[test]
    fn an_event_is_found_by_each_of_its_parts() {
        let event = Event::new(EventKind::Delivered, 0)
            .of_message(mail::QueueId(5))
            .from("Ada@Sender.Test")
            .to("me+shop@example.test")
            .target("foo@inbox.test")
            .client("192.0.2.7".parse().unwrap())
            .host("mx.a.inbox.test")
            .login(Some("me"))
            .reply("250 2.0.0 ok");
        let want = "kdelivered q0000000000005 aada@sender.test nsender.test ame+shop@example.test ame@example.test nexample.test afoo@inbox.test ninbox.test 4c0000207 nmx.a.inbox.test na.inbox.test lme";
        assert_eq!(tokens(&event).join(" "), want.replace(" 4c", " i4c"));
    }

    #[test]
    fn words_of_a_refusal_are_tokens_and_those_of_a_success_are_not() {
        let refused = Event::new(EventKind::Failed, 0).reply("550 5.1.1 <x>: No such user (mx.a.test)");
        assert_eq!(tokens(&refused).join(" "), "kfailed w550 w5.1.1 wno wsuch wuser wmx.a.test");
        assert_eq!(tokens(&Event::new(EventKind::Delivered, 0).reply("250 no such thing")).join(" "), "kdelivered");
    }

    #[test]
    fn hostile_text_stays_one_token() {
        let event = Event::new(EventKind::SenderRefused, 0).from("a b\u{2003}\"c\n@ü Y.test").login(Some("x y\tz"));
        assert!(tokens(&event).iter().all(|token| !token.contains(char::is_whitespace)), "{:?}", tokens(&event));
        let long = Event::new(EventKind::SenderRefused, 0).login(Some("ü".repeat(1000)));
        assert!(tokens(&long).iter().all(|token| token.len() <= 256));
        let mut many = Event::new(EventKind::MessageAccepted, 0);
        many.to = (0..5000).map(|n| format!("u{n}@example.test")).collect();
        assert_eq!(tokens(&many).len(), TOKENS_MAX);
    }
}
