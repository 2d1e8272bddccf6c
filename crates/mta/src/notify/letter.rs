//! Plain-text letters to the postmaster and to the owners of accounts.
//!
//! RFC 3834 s.5 (Auto-Submitted). Invariant: text from a sender or from another server adds no line and no header field.

use mail::{AutoSubmitted, LetterHead, Mailbox, QueueId};
use store::NewMessage;

use crate::notify::outbox::Outbox;

/// Maximum characters of a line: 998 octets at most (RFC 5322 s.2.1.1), for text in ASCII.
const LINE_MAX_CHARS: usize = 900;

/// A letter to one addressee.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Letter<'a> {
    /// Its ID in the queue.
    pub id: QueueId,
    /// The addressee.
    pub to: &'a Mailbox,
    /// The subject, after `Waypost: `.
    pub subject: &'a str,
    /// The text. Lines end with LF.
    pub text: &'a str,
}

impl Letter<'_> {
    /// Makes its messages: one, or one per target if the addressee is an alias.
    pub async fn messages(&self, outbox: &Outbox) -> Vec<NewMessage> {
        let shared = &outbox.shared;
        let from = Mailbox::postmaster(&shared.settings.load().hostname);
        let head = self.head(&from, shared.clock.now_s());
        let content = format!("{head}{}", self.body());
        outbox.addressed(self.id, self.to, content.into_bytes().into(), !head.is_ascii()).await
    }

    fn head(&self, from: &Mailbox, now_unix_s: i64) -> String {
        let head = LetterHead {
            name: Some("Waypost"),
            from,
            to: self.to,
            subject: &format!("Waypost: {}", one_line(self.subject)),
            message_id: &format!("{}.notice@{}", self.id, from.domain),
            now_unix_s,
            auto_submitted: AutoSubmitted::Generated,
        };
        format!("{head}MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n")
    }

    fn body(&self) -> String {
        self.text.lines().map(|line| format!("{}\r\n", one_line(line))).collect()
    }
}

/// Makes one line of a foreign text.
pub(crate) fn one_line(text: &str) -> String {
    mail::one_line_at_most(text, LINE_MAX_CHARS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_letter_keeps_its_header_section() {
        let to = Mailbox::parse("me@example.test").unwrap();
        let letter = Letter { id: QueueId(2), to: &to, subject: "1\r\nBcc: x", text: "one\ntwo\r\n\n\u{1b}[2J" };
        let head = letter.head(&Mailbox::postmaster(&"mx.example.test".parse().unwrap()), 0);
        assert!(head.starts_with(
            "From: \"Waypost\" <postmaster@mx.example.test>\r\nTo: <me@example.test>\r\nSubject: Waypost: 1  Bcc: x\r\nDate: "
        ));
        assert!(head.contains(".notice@mx.example.test>\r\nAuto-Submitted: auto-generated\r\nMIME-Version: 1.0\r\n"), "{head}");
        assert_eq!(letter.body(), "one\r\ntwo\r\n\r\n [2J\r\n");
    }
}
