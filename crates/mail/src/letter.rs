//! The first header fields of the server's own messages: DSNs, reports and notices.
//!
//! RFC 5322 s.3.6, RFC 3834 s.5 (Auto-Submitted). Invariant: each such message has these fields once, in this order.

use std::fmt;

use crate::{Mailbox, rfc5322_date};

/// The value of Auto-Submitted (RFC 3834 s.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AutoSubmitted {
    /// Sent without a message as its cause.
    Generated,
    /// A reply to a message.
    Replied,
}

/// The fields From to Auto-Submitted. Its text ends with CRLF; other fields may follow.
#[derive(Debug, Clone, Copy)]
pub struct LetterHead<'a> {
    /// The display name of the From field, if any; needs no escape in a quoted-string.
    pub name: Option<&'a str>,
    /// The address of the From field.
    pub from: &'a Mailbox,
    /// The To field.
    pub to: &'a Mailbox,
    /// The Subject field, without control characters except in folds.
    pub subject: &'a str,
    /// The Message-ID, without angle brackets.
    pub message_id: &'a str,
    /// Now, in Unix seconds.
    pub now_unix_s: i64,
    /// The Auto-Submitted field.
    pub auto_submitted: AutoSubmitted,
}

impl fmt::Display for LetterHead<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, from, to, subject, message_id, now_unix_s, auto_submitted } = self;
        match name {
            Some(name) => write!(f, "From: \"{name}\" <{from}>\r\n")?,
            None => write!(f, "From: <{from}>\r\n")?,
        }
        let date = rfc5322_date(*now_unix_s);
        let auto_submitted = match auto_submitted {
            AutoSubmitted::Generated => "auto-generated",
            AutoSubmitted::Replied => "auto-replied",
        };
        write!(f, "To: <{to}>\r\nSubject: {subject}\r\nDate: {date}\r\nMessage-ID: <{message_id}>\r\nAuto-Submitted: {auto_submitted}\r\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_written_in_order() {
        let (from, to) = (Mailbox::postmaster(&"mx.test".parse().unwrap()), Mailbox::parse("me@example.test").unwrap());
        assert_eq!(Ok(from.clone()), Mailbox::parse("postmaster@mx.test"));
        let head = LetterHead {
            name: Some("Waypost"),
            from: &from,
            to: &to,
            subject: "a\r\n\tb",
            message_id: "1.notice@mx.test",
            now_unix_s: 0,
            auto_submitted: AutoSubmitted::Generated,
        };
        let fields =
            "To: <me@example.test>\r\nSubject: a\r\n\tb\r\nDate: Thu, 1 Jan 1970 00:00:00 +0000\r\nMessage-ID: <1.notice@mx.test>\r\n";
        assert_eq!(head.to_string(), format!("From: \"Waypost\" <postmaster@mx.test>\r\n{fields}Auto-Submitted: auto-generated\r\n"));
        let without_name = LetterHead { name: None, auto_submitted: AutoSubmitted::Replied, ..head };
        assert_eq!(without_name.to_string(), format!("From: <postmaster@mx.test>\r\n{fields}Auto-Submitted: auto-replied\r\n"));
    }
}
