//! Completes a message from a local program: line ends, missing domains, a From field, no Bcc.
//!
//! RFC 6409 s.4.2 and s.8, RFC 5322 s.3.6. Invariant: the body is unchanged except for its line ends; malformed input is refused, not repaired by
//! guessing.

use mail::{AddressList, Domain, Fields, Mailbox, Member, Reply, members, qualified, without_blanks_before_colons};

use crate::accept::submission_fixup::{is_dropped, without_separator};
use crate::support::phrase::{encoded, escaped};

/// Fields whose addresses may lack a domain.
const ADDRESSES: [&str; 12] = [
    "From",
    "Sender",
    "Reply-To",
    "To",
    "Cc",
    "Bcc",
    "Resent-From",
    "Resent-Sender",
    "Resent-To",
    "Resent-Cc",
    "Resent-Bcc",
    "Disposition-Notification-To",
];

/// A message, and the recipients that its fields name.
#[derive(Debug)]
pub(crate) struct Completed {
    /// The completed content.
    pub content: Vec<u8>,
    /// The addresses in To, Cc and Bcc, or in their Resent- forms if there are any.
    pub recipients: Vec<String>,
}

/// Completes a message; `from` and `full_name` make its From field if it has none.
pub(crate) fn complete(raw: &[u8], from: &Mailbox, full_name: &str, hostname: &Domain) -> Result<Completed, Reply> {
    let canonical = canonical(without_separator(raw))?;
    let mut content = Vec::with_capacity(canonical.len() + 256);
    let (mut read, mut has_from) = (0, false);
    let (mut first_sent, mut resent) = (Vec::new(), Vec::new());
    for field in Fields::new(&canonical) {
        read += field.raw.len();
        let Some(name) = ADDRESSES.into_iter().find(|name| field.is(name)) else {
            if !is_dropped(&field) {
                content.extend_from_slice(&without_blanks_before_colons(field.raw));
            }
            continue;
        };
        let value = String::from_utf8_lossy(field.value);
        let value = qualified(&value, hostname);
        if name == "From" {
            has_from = true;
            // A DSN such as dma writes: `MAILER-DAEMON <>`. It keeps the name and gets an address.
            if let Ok(AddressList { mailboxes, bare }) = AddressList::parse(&value)
                && mailboxes.is_empty()
            {
                let name = bare.first().map_or(full_name, String::as_str);
                content.extend_from_slice(from_field(name, from).as_bytes());
                continue;
            }
        }
        match name {
            "To" | "Cc" | "Bcc" => first_sent.extend(addresses(&value)),
            "Resent-To" | "Resent-Cc" | "Resent-Bcc" => resent.extend(addresses(&value)),
            _ => {}
        }
        if is_dropped(&field) {
            continue;
        }
        content.extend_from_slice(field.name);
        content.push(b':');
        // A value that is not UTF-8 is copied unchanged.
        let is_text = std::str::from_utf8(field.value).is_ok();
        content.extend_from_slice(if is_text { value.as_bytes() } else { field.value });
        content.extend_from_slice(b"\r\n");
    }
    if !has_from {
        content.extend_from_slice(from_field(full_name, from).as_bytes());
    }
    let rest = canonical.get(read..).unwrap_or_default();
    if !rest.starts_with(b"\r\n") {
        content.extend_from_slice(b"\r\n");
    }
    content.extend_from_slice(rest);
    Ok(Completed { content, recipients: if resent.is_empty() { first_sent } else { resent } })
}

fn from_field(name: &str, from: &Mailbox) -> String {
    let name = if name.is_empty() { String::new() } else { encoded(&escaped(name)) + " " };
    format!("From: {name}<{from}>\r\n")
}

/// Ends each line with CRLF.
fn canonical(raw: &[u8]) -> Result<Vec<u8>, Reply> {
    let mut out = Vec::with_capacity(raw.len() + raw.len() / 32 + 2);
    for line in raw.split_inclusive(|b| *b == b'\n') {
        let text = line.strip_suffix(b"\n").unwrap_or(line);
        let text = text.strip_suffix(b"\r").unwrap_or(text);
        if text.contains(&0) {
            return Err(Reply::new(554, (5, 6, 0), "the message contains a NUL octet: encode binary data in base64"));
        }
        if text.contains(&b'\r') {
            return Err(Reply::new(554, (5, 6, 0), "the message contains a bare CR: end lines with LF or CRLF"));
        }
        out.extend_from_slice(text);
        out.extend_from_slice(b"\r\n");
    }
    Ok(out)
}

/// The addresses of a field's value, including invalid ones: a later check refuses them, with a reply that names them.
fn addresses(value: &str) -> Vec<String> {
    let text = |member: Member| match member {
        Member::Mailbox(mailbox) => mailbox.to_string(),
        Member::Bare(text) | Member::Invalid(text, _) => text,
    };
    members(value).into_iter().map(text).filter(|text| !text.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn completed(raw: &[u8]) -> Result<(String, Vec<String>), Reply> {
        let from = Mailbox::parse("ann@mx.test").unwrap();
        let done = complete(raw, &from, "Ann \"A\" B", &from.domain)?;
        Ok((String::from_utf8(done.content).unwrap(), done.recipients))
    }

    #[test]
    fn mail_from_cron_is_completed() {
        let (content, to) = completed(b"From: root (Cron Daemon)\nTo: root\nSubject: Cron <root@h> x\n\nout\n.\n").unwrap();
        assert_eq!(content, "From: root@mx.test (Cron Daemon)\r\nTo: root@mx.test\r\nSubject: Cron <root@h> x\r\n\r\nout\r\n.\r\n");
        assert_eq!(to, ["root@mx.test"]);
    }

    #[test]
    fn a_body_alone_gets_a_header_section() {
        let from = "From: \"Ann \\\"A\\\" B\" <ann@mx.test>\r\n";
        for (raw, rest) in [
            ("hello there\n", "\r\nhello there\r\n"),
            ("\nhello", "\r\nhello\r\n"),
            ("", "\r\n"),
            (" folded: at the start\n", "\r\n folded: at the start\r\n"),
            ("From ann Tue Nov 24\nSubject: x\n\nb\n", "\r\nb\r\n"),
        ] {
            let (content, _) = completed(raw.as_bytes()).unwrap();
            assert_eq!(content.replace("Subject: x\r\n", ""), format!("{from}{rest}"), "{raw:?}");
        }
        let (content, _) = completed(b"Subject: x\nno field\nmore\n").unwrap();
        assert_eq!(content, format!("Subject: x\r\n{from}\r\nno field\r\nmore\r\n"));
    }

    #[test]
    fn bcc_is_dropped_and_its_addresses_are_recipients() {
        let raw = b"From: ann@x.test\nTo: \"B, b\" <b@x.test>,\n c@x.test (see)\nBcc: d@x.test, root\nReturn-Path: <evil>\ncc: list: e@x.test;\n\nb\n";
        let (content, to) = completed(raw).unwrap();
        assert_eq!(content, "From: ann@x.test\r\nTo: \"B, b\" <b@x.test>,\r\n c@x.test (see)\r\ncc: list: e@x.test;\r\n\r\nb\r\n");
        assert_eq!(to, ["b@x.test", "c@x.test", "d@x.test", "root@mx.test", "e@x.test"]);
        let (_, to) = completed(b"To: a@x.test\nResent-To: z@x.test\n\n").unwrap();
        assert_eq!(to, ["z@x.test"]);
    }

    #[test]
    fn a_dsn_without_an_author_gets_one() {
        for (from, want) in [
            ("MAILER-DAEMON <>", "\"MAILER-DAEMON\" <ann@mx.test>"),
            ("<>", "<ann@mx.test>"),
            ("MAILER-DAEMON", "MAILER-DAEMON@mx.test"),
            ("Mail Delivery System:;", "\"Ann \\\"A\\\" B\" <ann@mx.test>"),
            ("\"john smith\"@x.test", "\"john smith\"@x.test"),
        ] {
            let (content, to) = completed(format!("From: {from}\nTo: \"b c\"@x.test\n\nb\n").as_bytes()).unwrap();
            assert_eq!(content, format!("From: {want}\r\nTo: \"b c\"@x.test\r\n\r\nb\r\n"));
            assert_eq!(to, ["\"b c\"@x.test"]);
        }
    }

    #[test]
    fn a_blank_before_a_colon_is_removed() {
        let (content, _) = completed(b"From : ann@x.test\nSubject\t: hi\n\nb : c\n").unwrap();
        assert_eq!(content, "From: ann@x.test\r\nSubject: hi\r\n\r\nb : c\r\n");
    }

    #[test]
    fn nul_and_bare_cr_are_refused() {
        for raw in [&b"Subject: a\0b\n\n"[..], b"Subject: a\rb\n\n", b"x\r\r\ny", b"x\r"] {
            let refused = completed(raw);
            assert!(raw == b"x\r" || refused.is_err_and(|reply| reply.code == 554), "{raw:?}");
        }
    }
}
