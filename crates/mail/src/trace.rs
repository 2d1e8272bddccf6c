//! Trace fields, which this server adds to a message.
//!
//! RFC 5321 s.4.4 (Received), RFC 3848 and RFC 6531 s.4.3 (the WITH keywords). Invariant: a field is a few
//! folded lines under 998 octets, and text of a peer is escaped.

use std::fmt::Write as _;
use std::net::IpAddr;

use crate::address::Mailbox;
use crate::date::rfc5322_date;
use crate::domain::Domain;
use crate::queue_id::QueueId;

/// The keyword after `with`: SMTP, ESMTP, ESMTPS, ESMTPSA, and their UTF8 forms.
pub fn with_protocol(extended: bool, tls: bool, authenticated: bool, utf8: bool) -> &'static str {
    match (extended, tls, authenticated, utf8) {
        (false, ..) => "SMTP",
        (true, false, false, false) => "ESMTP",
        (true, true, false, false) => "ESMTPS",
        (true, false, true, false) => "ESMTPA",
        (true, true, true, false) => "ESMTPSA",
        (true, false, false, true) => "UTF8SMTP",
        (true, true, false, true) => "UTF8SMTPS",
        (true, false, true, true) => "UTF8SMTPA",
        (true, true, true, true) => "UTF8SMTPSA",
    }
}

/// The facts of one Received field.
#[derive(Debug, Clone)]
pub struct ReceivedField<'a> {
    /// The argument of EHLO or HELO, without control characters.
    pub hello: &'a str,
    /// The client's address; left out after a login, for privacy.
    pub client: Option<IpAddr>,
    /// Our host name.
    pub by: &'a Domain,
    /// See [`with_protocol`].
    pub with: &'static str,
    /// TLS version and cipher suite, if TLS was used.
    pub tls: Option<&'a str>,
    /// The queue ID.
    pub id: QueueId,
    /// The recipient, if there is only one.
    pub recipient: Option<&'a Mailbox>,
    /// Time of arrival, in Unix seconds.
    pub at_unix_s: i64,
}

impl ReceivedField<'_> {
    /// Appends the field with its final CRLF.
    pub fn write_to(&self, out: &mut Vec<u8>) {
        let mut text = String::with_capacity(256);
        let hello: String = self.hello.chars().filter(|c| c.is_ascii_graphic() && !"()<>\"\\;".contains(*c)).take(255).collect();
        let _ = write!(text, "Received: from {}", if hello.is_empty() { "unknown" } else { &hello });
        if let Some(client) = self.client {
            let _ = write!(text, " ({})", Domain::literal(client));
        }
        let _ = write!(text, "\r\n\tby {} (Waypost) with {} id {}", self.by, self.with, self.id);
        if let Some(tls) = self.tls {
            let _ = write!(text, "\r\n\t({tls})");
        }
        if let Some(recipient) = self.recipient {
            let _ = write!(text, "\r\n\tfor <{recipient}>");
        }
        let _ = write!(text, ";\r\n\t{}\r\n", rfc5322_date(self.at_unix_s));
        out.extend_from_slice(text.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_received_field_is_folded_and_escaped() {
        let by = Domain::parse("mx.example.test").unwrap();
        let to = Mailbox::parse("me@example.test").unwrap();
        let received = ReceivedField {
            hello: "evil (x)",
            client: Some("192.0.2.7".parse().unwrap()),
            by: &by,
            with: with_protocol(true, true, false, false),
            tls: Some("TLSv1_3 with TLS13_AES_256_GCM_SHA384"),
            id: QueueId(1),
            recipient: Some(&to),
            at_unix_s: 0,
        };
        let mut out = Vec::new();
        received.write_to(&mut out);
        let text = String::from_utf8(out).unwrap();
        assert!(text.starts_with("Received: from evilx ([192.0.2.7])\r\n\tby mx.example.test (Waypost) with ESMTPS id "), "{text}");
        assert!(text.ends_with("for <me@example.test>;\r\n\tThu, 1 Jan 1970 00:00:00 +0000\r\n"), "{text}");
    }
}
