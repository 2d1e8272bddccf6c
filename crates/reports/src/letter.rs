//! The mail that carries a report: a text for people, and the report as an attachment.
//!
//! RFC 8460 s.5.3, RFC 6522 s.3 (multipart/report), RFC 2045 s.6.8 (Base64), RFC 2046 s.5.1. Invariant: a field value is one line of printable ASCII, so
//! that it adds no field and no part.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use mail::{AutoSubmitted, Domain, LetterHead, Mailbox};

/// Characters of Base64 per line.
const BASE64_LINE: usize = 76;

/// Maximum length of a field value, in octets.
const FIELD_MAX_BYTES: usize = 900;

/// Sender and recipient of a report.
#[derive(Debug, Clone, Copy)]
pub struct Envelope<'a> {
    /// The reporting domain: that of the From field and of the signature.
    pub submitter: &'a Domain,
    /// The policy domain.
    pub domain: &'a Domain,
    /// The From field.
    pub from: &'a Mailbox,
    /// The To field.
    pub to: &'a Mailbox,
    /// The unique part of the Message-ID: letters and digits.
    pub id: &'a str,
    /// Now, in Unix seconds.
    pub now_unix_s: i64,
}

/// The type of the multipart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Multipart {
    /// multipart/report, with this report-type.
    Report(&'static str),
    /// multipart/mixed.
    Mixed,
}

/// A compressed report.
#[derive(Debug, Clone, Copy)]
pub struct Attachment<'a> {
    /// Its media type.
    pub media_type: &'static str,
    /// Its file name.
    pub file_name: &'a str,
    /// The octets.
    pub bytes: &'a [u8],
}

/// A mail to compose.
#[derive(Debug, Clone, Copy)]
pub struct Letter<'a> {
    /// The From field.
    pub from: &'a Mailbox,
    /// The To field.
    pub to: &'a Mailbox,
    /// The Subject field, in pieces between which it is folded.
    pub subject: &'a [&'a str],
    /// Further fields: name and value.
    pub fields: &'a [(&'static str, &'a str)],
    /// The unique part of its Message-ID and boundary: letters and digits.
    pub id: &'a str,
    /// Now, in Unix seconds.
    pub now_unix_s: i64,
    /// The type of the multipart.
    pub multipart: Multipart,
    /// The text for people. Lines end with LF.
    pub text: &'a str,
    /// The report.
    pub attachment: Attachment<'a>,
}

impl Letter<'_> {
    /// The mail, with CRLF line ends; 7-bit, except for an address that needs SMTPUTF8.
    pub fn compose(&self) -> Vec<u8> {
        let boundary = format!("=_waypost_{}", self.id);
        let subject: Vec<String> = self.subject.iter().map(|part| one_line(part)).collect();
        let head = LetterHead {
            name: None,
            from: self.from,
            to: self.to,
            subject: &subject.join("\r\n\t"),
            message_id: &format!("{}@{}", self.id, self.from.domain),
            now_unix_s: self.now_unix_s,
            auto_submitted: AutoSubmitted::Generated,
        };
        let mut text = head.to_string();
        for (name, value) in self.fields {
            let _ = write!(text, "{name}: {}\r\n", one_line(value));
        }
        let kind = match self.multipart {
            Multipart::Report(kind) => format!("multipart/report; report-type=\"{kind}\""),
            Multipart::Mixed => "multipart/mixed".to_owned(),
        };
        let _ = write!(
            text,
            "MIME-Version: 1.0\r\nContent-Type: {kind};\r\n\tboundary=\"{boundary}\"\r\n\r\n\
             This is a multipart message in MIME format.\r\n\r\n\
             --{boundary}\r\nContent-Type: text/plain; charset=us-ascii\r\nContent-Transfer-Encoding: 7bit\r\n\r\n"
        );
        for line in self.text.lines() {
            let _ = write!(text, "{}\r\n", one_line(line));
        }
        let Attachment { media_type, file_name, bytes } = self.attachment;
        let file_name = one_line(file_name).replace(['"', '\\', '/'], "_");
        let _ = write!(
            text,
            "\r\n--{boundary}\r\nContent-Type: {media_type}\r\nContent-Transfer-Encoding: base64\r\n\
             Content-Disposition: attachment;\r\n\tfilename=\"{file_name}\"\r\n\r\n"
        );
        let encoded = BASE64.encode(bytes);
        for line in encoded.as_bytes().chunks(BASE64_LINE) {
            let _ = write!(text, "{}\r\n", String::from_utf8_lossy(line));
        }
        let _ = write!(text, "\r\n--{boundary}--\r\n");
        text.into_bytes()
    }
}

fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_ascii() && !c.is_ascii_control() { c } else { '?' }).take(FIELD_MAX_BYTES).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn letter(multipart: Multipart, file_name: &str, value: &str) -> String {
        let (from, to) = (Mailbox::parse("reports@example.test").unwrap(), Mailbox::parse("tls@far.test").unwrap());
        let letter = Letter {
            from: &from,
            to: &to,
            subject: &["Report Domain: far.test", "Submitter: example.test", "Report-ID: <1@example.test>"],
            fields: &[("TLS-Report-Domain", value)],
            id: "17",
            now_unix_s: 0,
            multipart,
            text: "This is a report.\nOf two lines.",
            attachment: Attachment { media_type: "application/tlsrpt+gzip", file_name, bytes: &[7; 100] },
        };
        String::from_utf8(letter.compose()).unwrap()
    }

    #[test]
    fn a_letter_has_text_and_attachment() {
        let text = letter(Multipart::Report("tlsrpt"), "example.test!far.test!1!2.json.gz", "far.test");
        for want in [
            "From: <reports@example.test>\r\nTo: <tls@far.test>\r\nSubject: Report Domain: far.test\r\n\tSubmitter: example.test\r\n\tReport-ID: <1@example.test>\r\n",
            "TLS-Report-Domain: far.test\r\n",
            "Content-Type: multipart/report; report-type=\"tlsrpt\";\r\n\tboundary=\"=_waypost_17\"\r\n\r\n",
            "This is a report.\r\nOf two lines.\r\n\r\n--=_waypost_17\r\nContent-Type: application/tlsrpt+gzip\r\n",
            "filename=\"example.test!far.test!1!2.json.gz\"\r\n\r\nBwcH",
            "\r\n\r\n--=_waypost_17--\r\n",
        ] {
            assert!(text.contains(want), "{want} not in\n{text}");
        }
        assert!(text.lines().all(|line| line.len() <= 998) && text.is_ascii());
        assert!(letter(Multipart::Mixed, "x", "y").contains("Content-Type: multipart/mixed;\r\n"));
    }

    #[test]
    fn values_cannot_add_a_field_or_a_part() {
        let text = letter(Multipart::Mixed, "a\"; b=\"\r\n\r\n--=_waypost_17", "x\r\nBcc: y");
        assert!(text.contains("TLS-Report-Domain: x??Bcc: y\r\n"), "{text}");
        assert_eq!(text.matches("\r\n--=_waypost_17").count(), 3, "{text}");
        assert!(text.contains("filename=\"a_; b=_????--=_waypost_17\""), "{text}");
    }
}
