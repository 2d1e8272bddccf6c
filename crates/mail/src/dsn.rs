//! Delivery status notifications: they tell a sender what happened to a message.
//!
//! RFC 3464, RFC 6522 (multipart/report), RFC 6533 (UTF-8), RFC 3461 s.6.  Invariant: every text from a remote host or
//! an envelope is one line without control characters, so it can add no field and no part.

use std::fmt::Write as _;

use crate::address::Mailbox;
use crate::date::rfc5322_date;
use crate::domain::Domain;
use crate::envelope::{OriginalRecipient, Ret};
use crate::header::header_len;
use crate::letter::{AutoSubmitted, LetterHead};
use crate::one_line::one_line_at_most;
use crate::queue_id::QueueId;
use crate::reply::EnhancedCode;

/// What happened to a recipient (RFC 3464 s.2.3.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DsnAction {
    /// It will not be delivered.
    Failed,
    /// It is still being retried.
    Delayed,
    /// It was relayed to a host that sends no DSNs (RFC 3461 s.6.2.1).
    Relayed,
}

impl DsnAction {
    fn word(self) -> &'static str {
        match self {
            Self::Failed => "failed",
            Self::Delayed => "delayed",
            Self::Relayed => "relayed",
        }
    }
}

/// The reply of a host (RFC 3464 s.2.3.5 and s.2.3.6).
#[derive(Debug, Clone)]
pub struct RemoteReply {
    /// The host.
    pub host: Domain,
    /// Its reply.
    pub reply: String,
}

/// What a DSN says about one recipient.
#[derive(Debug, Clone)]
pub struct DsnRecipient {
    /// The address as the sender knows it.
    pub recipient: Mailbox,
    /// ORCPT, if the sender gave one.
    pub orcpt: Option<OriginalRecipient>,
    /// What happened.
    pub action: DsnAction,
    /// The enhanced code.
    pub status: EnhancedCode,
    /// The host that replied, if it may be named.
    pub remote: Option<RemoteReply>,
    /// What happened, for people.
    pub diagnostic: String,
    /// End of the retries, in Unix seconds; for [`DsnAction::Delayed`].
    pub until_unix_s: Option<i64>,
}

/// A DSN to compose.
#[derive(Debug)]
pub struct Dsn<'a> {
    /// Our host name.
    pub reporting: &'a Domain,
    /// The From address (the reverse-path is null).
    pub from: &'a Mailbox,
    /// The sender of the message.
    pub to: &'a Mailbox,
    /// The queue ID of the message.
    pub queue_id: QueueId,
    /// The queue ID of the DSN itself.
    pub report_id: QueueId,
    /// ENVID, decoded.
    pub envid: Option<&'a str>,
    /// When the message arrived, in Unix seconds.
    pub arrived_unix_s: i64,
    /// Now, in Unix seconds.
    pub now_unix_s: i64,
    /// How much of the message is returned.
    pub ret: Ret,
    /// The message, or its beginning (at least the header section).
    pub original: &'a [u8],
    /// The recipients, at least one.
    pub recipients: &'a [DsnRecipient],
}

/// A composed DSN: its content, and whether it needs SMTPUTF8.
#[derive(Debug)]
pub struct ComposedDsn {
    /// The content, with CRLF line ends.
    pub content: Vec<u8>,
    /// Whether the next hop must support SMTPUTF8.
    pub utf8: bool,
}

/// Maximum length of a line of other hosts' text, in characters.
const LINE_MAX_CHARS: usize = 900;

fn line(text: &str) -> String {
    one_line_at_most(text, LINE_MAX_CHARS)
}

impl Dsn<'_> {
    /// Composes the DSN.
    pub fn compose(&self) -> ComposedDsn {
        let header = self.original.get(..header_len(self.original)).unwrap_or_default();
        let returned = if self.ret == Ret::Full { self.original } else { header };
        let utf8 = self.recipients.iter().any(|r| r.recipient.needs_utf8())
            || self.to.needs_utf8()
            || std::str::from_utf8(header).is_ok_and(|h| !h.is_ascii());
        let boundary = format!("=_waypost_{}", self.report_id);
        let mut text = String::with_capacity(2048);
        self.write_header(&mut text, &boundary);
        let _ = write!(text, "--{boundary}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n");
        self.write_explanation(&mut text);
        let status_type = if utf8 { "global-delivery-status" } else { "delivery-status" };
        let _ = write!(text, "\r\n--{boundary}\r\nContent-Type: message/{status_type}\r\n");
        text.push_str(if utf8 { "Content-Transfer-Encoding: 8bit\r\n\r\n" } else { "\r\n" });
        self.write_status(&mut text, utf8);
        let returned_type = match (self.ret, utf8) {
            (Ret::Full, false) => "message/rfc822",
            (Ret::Full, true) => "message/global",
            (Ret::Headers, false) => "text/rfc822-headers",
            (Ret::Headers, true) => "message/global-headers",
        };
        let _ = write!(text, "\r\n--{boundary}\r\nContent-Type: {returned_type}\r\nContent-Transfer-Encoding: 8bit\r\n\r\n");
        let mut content = text.into_bytes();
        content.extend_from_slice(returned);
        if !returned.ends_with(b"\r\n") {
            content.extend_from_slice(b"\r\n");
        }
        content.extend_from_slice(format!("\r\n--{boundary}--\r\n").as_bytes());
        ComposedDsn { content, utf8 }
    }

    fn worst(&self) -> DsnAction {
        let has = |action| self.recipients.iter().any(|r| r.action == action);
        if has(DsnAction::Failed) {
            DsnAction::Failed
        } else if has(DsnAction::Delayed) {
            DsnAction::Delayed
        } else {
            DsnAction::Relayed
        }
    }

    fn write_header(&self, text: &mut String, boundary: &str) {
        let subject = match self.worst() {
            DsnAction::Failed => "Undelivered mail returned to sender",
            DsnAction::Delayed => "Delayed mail (still being retried)",
            DsnAction::Relayed => "Mail relayed",
        };
        let head = LetterHead {
            name: Some("Mail delivery"),
            from: self.from,
            to: self.to,
            subject,
            message_id: &format!("{}@{}", self.report_id, self.reporting),
            now_unix_s: self.now_unix_s,
            auto_submitted: AutoSubmitted::Replied,
        };
        let _ = write!(
            text,
            "{head}MIME-Version: 1.0\r\nContent-Type: multipart/report; report-type=delivery-status;\r\n\tboundary=\"{boundary}\"\r\n\r\n"
        );
    }

    fn write_explanation(&self, text: &mut String) {
        let _ = write!(text, "This is the mail server at {}.\r\n\r\n", self.reporting);
        for action in [DsnAction::Failed, DsnAction::Delayed, DsnAction::Relayed] {
            let mut of_kind = self.recipients.iter().filter(|r| r.action == action).peekable();
            if of_kind.peek().is_none() {
                continue;
            }
            text.push_str(match action {
                DsnAction::Failed => "Your message could not be delivered to:\r\n",
                DsnAction::Delayed => {
                    "Your message has not been delivered yet. You do not need to send it again; this server keeps retrying for:\r\n"
                }
                DsnAction::Relayed => "Your message was relayed to a server that sends no further confirmation, for:\r\n",
            });
            for r in of_kind {
                let _ = write!(text, "\r\n  {}\r\n    {}\r\n", r.recipient, line(&r.diagnostic));
                if let Some(until) = r.until_unix_s {
                    let _ = write!(text, "    Retries end on {}.\r\n", rfc5322_date(until));
                }
            }
            text.push_str("\r\n");
        }
        let _ = write!(text, "The queue ID of the message is {}. Please quote it if you ask the postmaster.\r\n", self.queue_id);
    }

    fn write_status(&self, text: &mut String, utf8: bool) {
        if let Some(envid) = self.envid {
            let _ = write!(text, "Original-Envelope-Id: {}\r\n", line(envid));
        }
        let _ = write!(
            text,
            "Reporting-MTA: dns; {}\r\nArrival-Date: {}\r\nX-Waypost-Queue-ID: {}\r\n",
            self.reporting,
            rfc5322_date(self.arrived_unix_s),
            self.queue_id
        );
        let kind = if utf8 { "utf-8" } else { "rfc822" };
        for r in self.recipients {
            text.push_str("\r\n");
            if let Some(orcpt) = &r.orcpt {
                let _ = write!(text, "Original-Recipient: {}; {}\r\n", line(&orcpt.kind), line(&orcpt.address));
            }
            let _ = write!(text, "Final-Recipient: {kind}; {}\r\nAction: {}\r\nStatus: {}\r\n", r.recipient, r.action.word(), r.status);
            if let Some(remote) = &r.remote {
                let _ = write!(text, "RemoteReply-MTA: dns; {}\r\n", remote.host);
            }
            let (kind, diagnostic) = r.remote.as_ref().map_or(("x-waypost", &r.diagnostic), |remote| ("smtp", &remote.reply));
            let diagnostic = line(diagnostic);
            let diagnostic = if utf8 { diagnostic } else { diagnostic.chars().map(|c| if c.is_ascii() { c } else { '?' }).collect() };
            let _ = write!(text, "Diagnostic-Code: {kind}; {diagnostic}\r\nLast-Attempt-Date: {}\r\n", rfc5322_date(self.now_unix_s));
            if let Some(until) = r.until_unix_s {
                let _ = write!(text, "Will-Retry-Until: {}\r\n", rfc5322_date(until));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn composed(diagnostic: &str, ret: Ret) -> String {
        let reporting = Domain::parse("mx.example.test").unwrap();
        let (from, to) = (Mailbox::parse("postmaster@example.test").unwrap(), Mailbox::parse("her@foreign.test").unwrap());
        let recipients = [DsnRecipient {
            recipient: Mailbox::parse("me@example.test").unwrap(),
            orcpt: Some(OriginalRecipient { kind: "rfc822".into(), address: "orig@example.test".into() }),
            action: DsnAction::Failed,
            status: EnhancedCode(5, 1, 1),
            remote: Domain::parse("mx.far.test").ok().map(|host| RemoteReply { host, reply: diagnostic.into() }),
            diagnostic: diagnostic.into(),
            until_unix_s: None,
        }];
        let report = Dsn {
            reporting: &reporting,
            from: &from,
            to: &to,
            queue_id: QueueId(1),
            report_id: QueueId(2),
            envid: Some("env-1"),
            arrived_unix_s: 0,
            now_unix_s: 60,
            ret,
            original: b"Subject: hi\r\n\r\nsecret body\r\n",
            recipients: &recipients,
        };
        String::from_utf8(report.compose().content).unwrap()
    }

    #[test]
    fn a_dsn_has_three_parts() {
        let text = composed("550 5.1.1 no such user", Ret::Headers);
        for want in [
            "multipart/report; report-type=delivery-status",
            "Final-Recipient: rfc822; me@example.test\r\nAction: failed\r\nStatus: 5.1.1\r\n",
            "Original-Recipient: rfc822; orig@example.test",
            "Original-Envelope-Id: env-1",
            "RemoteReply-MTA: dns; mx.far.test\r\nDiagnostic-Code: smtp; 550 5.1.1 no such user",
            "text/rfc822-headers",
            "Subject: hi\r\n",
        ] {
            assert!(text.contains(want), "{want} not in\n{text}");
        }
        assert!(!text.contains("secret body"));
        assert!(composed("x", Ret::Full).contains("secret body"));
    }

    #[test]
    fn remote_text_cannot_add_a_field_or_a_part() {
        let text = composed("550 go\r\nAction: delivered\r\n--=_waypost_0000000000002", Ret::Headers);
        assert!(!text.contains("\r\nAction: delivered"));
        assert_eq!(text.matches("\r\n--=_waypost_").count(), 4);
    }
}
