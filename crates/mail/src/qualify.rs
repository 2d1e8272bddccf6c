//! Addresses without a domain, as programs on this machine write them: `From: root (Cron Daemon)`.
//!
//! RFC 6409 s.4.2 (all domains are qualified), RFC 5322 s.3.4. Invariant: only `@domain` is inserted; every other octet is unchanged.

use crate::domain::Domain;

/// Returns the value of an address field with `@domain` after each address without a domain.
pub fn qualified(value: &str, domain: &Domain) -> String {
    let mut out = String::with_capacity(value.len() + 64);
    let mut reader = Reader::default();
    for c in value.chars() {
        if reader.ends_address(c) {
            reader.qualify(&mut out, domain);
        }
        out.push(c);
        reader.next(c, out.len());
    }
    reader.qualify(&mut out, domain);
    out
}

/// The state of the reader of an address list.
#[derive(Debug, Default)]
struct Reader {
    quoted: bool,
    escaped: bool,
    comment: u32,
    angle: bool,
    /// An address in angle brackets has ended: the words before it were a name.
    named: bool,
    /// The end of the last word of the address, in the output.
    end: Option<usize>,
    words: u32,
    in_word: bool,
    has_domain: bool,
}

impl Reader {
    /// Whether the address ends before this character.
    fn ends_address(&self, c: char) -> bool {
        let plain = !self.quoted && !self.escaped && self.comment == 0;
        plain && (c == ',' || c == ';' || (c == '>' && self.angle))
    }

    fn qualify(&mut self, out: &mut String, domain: &Domain) {
        // A group's name, or a name without an address, is not a single word.
        if let Some(end) = self.end.filter(|_| self.words == 1 && !self.has_domain && !self.named) {
            out.insert_str(end, &format!("@{domain}"));
        }
        (self.end, self.words, self.has_domain, self.in_word) = (None, 0, false, false);
    }

    fn next(&mut self, c: char, end: usize) {
        if self.escaped {
            self.escaped = false;
            return self.word(end);
        }
        match c {
            '\\' => self.escaped = true,
            '"' if self.comment == 0 => {
                self.quoted = !self.quoted;
                self.word(end);
            }
            _ if self.quoted => self.word(end),
            '(' => {
                self.comment += 1;
                self.in_word = false;
            }
            ')' => self.comment = self.comment.saturating_sub(1),
            _ if self.comment > 0 => {}
            '<' => {
                (self.angle, self.end, self.words, self.has_domain, self.in_word) = (true, None, 0, false, false);
            }
            '>' => (self.angle, self.named, self.in_word) = (false, true, false),
            ',' | ';' => self.named = false,
            // The words before are a group's name.
            ':' if !self.angle => (self.end, self.words, self.in_word) = (None, 0, false),
            '@' => {
                self.has_domain = true;
                self.word(end);
            }
            c if c.is_whitespace() => self.in_word = false,
            _ => self.word(end),
        }
    }

    fn word(&mut self, end: usize) {
        if self.comment > 0 {
            return;
        }
        if !self.in_word {
            self.words += 1;
            self.in_word = true;
        }
        self.end = Some(end);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_without_a_domain_are_qualified() {
        let domain = Domain::parse("mx.test").unwrap();
        for (value, want) in [
            (" root", " root@mx.test"),
            (" root (Cron Daemon)", " root@mx.test (Cron Daemon)"),
            (" \"(Cron Daemon)\" <root>", " \"(Cron Daemon)\" <root@mx.test>"),
            (" root, bob@x.test,\r\n\tann", " root@mx.test, bob@x.test,\r\n\tann@mx.test"),
            (" Bob Builder <bob@x.test>, (a comment, root) ann", " Bob Builder <bob@x.test>, (a comment, root) ann@mx.test"),
            (" \"a, b\" <me@x.test>", " \"a, b\" <me@x.test>"),
            (" \"odd one\"", " \"odd one\"@mx.test"),
            (" undisclosed-recipients:;", " undisclosed-recipients:;"),
            (" list: ann, bob@x.test;", " list: ann@mx.test, bob@x.test;"),
            (" Only A Name", " Only A Name"),
            (" <>", " <>"),
            ("", ""),
        ] {
            assert_eq!(qualified(value, &domain), want);
        }
    }
}
