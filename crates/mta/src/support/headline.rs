//! Author and subject of a message, decoded for a list.
//!
//! RFC 5322 s.3.6, RFC 2047 (encoded words). Invariant: each is one line of bounded length without control characters, whatever the sender wrote.

use mail_parser::MessageParser;

/// Maximum length of each, in characters.
const SHOWN_MAX: usize = 200;

/// Author and subject of a message.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Headline {
    /// The address of the first author, with its name.
    pub author: String,
    /// The subject, decoded.
    pub subject: String,
}

impl Headline {
    /// Reads them from a message or its beginning.
    pub fn of(content: &[u8]) -> Self {
        let Some(message) = MessageParser::default().parse_headers(content) else { return Self::default() };
        let author = message.from().and_then(|from| from.first()).map(|first| match (first.name(), first.address()) {
            (Some(name), Some(address)) => format!("{name} <{address}>"),
            (name, address) => address.or(name).unwrap_or_default().to_owned(),
        });
        Self { author: shown(&author.unwrap_or_default()), subject: shown(message.subject().unwrap_or_default()) }
    }
}

fn shown(text: &str) -> String {
    let plain = mail::one_line(text);
    let words: Vec<&str> = plain.split_whitespace().collect();
    words.join(" ").chars().take(SHOWN_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn author_and_subject_are_decoded_to_one_line() {
        let text = b"Received: by us\r\nFrom: =?utf-8?q?J=C3=B6rg?= <joerg@foreign.test>\r\nSubject: =?utf-8?q?Gr=C3=BC=C3=9Fe=1B[2J?=\r\n aus Ulm\r\n\r\nbody\r\n";
        let headline = Headline::of(text);
        assert_eq!((headline.author.as_str(), headline.subject.as_str()), ("Jörg <joerg@foreign.test>", "Grüße [2J aus Ulm"));
        assert_eq!(Headline::of(b""), Headline::default());
    }
}
