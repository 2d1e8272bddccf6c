//! Rewrites a DSN from a target's server before it goes to the sender of the message.
//!
//! RFC 3464, RFC 3461 s.6. Invariant: only the status code and the sender's own fields are passed on, since the rest may name the mailbox
//! behind the alias in any form. It reads lines and ignores MIME structure, since DSNs of OpenSMTPD are multipart/mixed, those of dma and
//! qmail plain text.

use bytes::Bytes;
use directory::Directory;
use mail::dsn::{Dsn, DsnAction, DsnRecipient};
use mail::{AddressList, Body, EnhancedCode, Fields, Mailbox, QueueId, Ret, header_len};
use net::{Clock, random_u32};
use policy::{AcceptedRecipient, Treatment};
use store::StoreError;

use crate::accept::decide::{Accepted, has_no_author};
use crate::settings::Settings;
use crate::support::content_place::ContentPlace;

/// Fields of the message that the sender wrote.
const SENDERS_OWN: [&str; 5] = ["From", "To", "Subject", "Date", "Message-ID"];

/// Maximum octets of a DSN that are read.
const READ_MAX_BYTES: usize = 1 << 20;

/// The local part of DSNs that are not multipart/report.
const REPORTER: &str = "mailer-daemon";

/// Lines at which the returned message begins, in a DSN without MIME parts.
const RETURNED: [&str; 3] = ["content-type: message/rfc822", "content-type: text/rfc822-headers", "received:"];

/// The parts of a DSN that are used.
#[derive(Debug, Default, PartialEq, Eq)]
struct ParsedDsn {
    action: Option<DsnAction>,
    /// The Status field.
    status: Option<EnhancedCode>,
    /// The code in the target server's reply: in Diagnostic-Code, or in the text.
    said: Option<EnhancedCode>,
    /// The alias that the message went through.
    alias: Option<Mailbox>,
    /// The sender's own fields.
    original: String,
}

impl ParsedDsn {
    /// Returns the most specific status. Exim and OpenSMTPD write 5.0.0 whatever the target's server replied: then the result is the code
    /// of that reply, with the class of the DSN.
    fn best_status(&self) -> EnhancedCode {
        match (self.status, self.said) {
            (Some(EnhancedCode(class, 0, 0)), Some(said)) => EnhancedCode(class, said.1, said.2),
            (Some(status), _) => status,
            (None, Some(said)) => said,
            (None, None) => EnhancedCode(5, 0, 0),
        }
    }
}

/// Rewrites a DSN for one return address; any other message passes unchanged.
pub(crate) async fn sanitize<'a>(
    place: ContentPlace<'_>,
    directory: &Directory,
    settings: &Settings,
    clock: &Clock,
    mut accepted: Accepted<'a>,
) -> Result<Accepted<'a>, StoreError> {
    let [(_, AcceptedRecipient::Sender { sender, .. })] = accepted.received.recipients.as_slice() else { return Ok(accepted) };
    if !is_report(&accepted.whole.bytes) {
        return Ok(accepted);
    }
    let read = read(&accepted.whole.bytes, directory);
    let status = read.best_status();
    let action = read.action.unwrap_or(if status.0 == 4 { DsnAction::Delayed } else { DsnAction::Failed });
    // Without the message's fields the alias is unknown; the return address would mean nothing to the message's sender.
    let diagnostic = match action {
        DsnAction::Failed if read.alias.is_none() => {
            format!("a message from you was not delivered; the DSN does not name the recipient ({status})")
        }
        DsnAction::Failed => format!("the mailbox behind this address rejected the message ({status})"),
        DsnAction::Delayed => format!("the mailbox behind this address has not accepted the message yet ({status})"),
        DsnAction::Relayed => "the message was delivered".to_owned(),
    };
    let recipient = DsnRecipient {
        recipient: read.alias.unwrap_or_else(|| sender.clone()),
        orcpt: None,
        action,
        status,
        remote: None,
        diagnostic,
        until_unix_s: None,
    };
    let now_ms = clock.now_ms();
    let id = QueueId::next(now_ms, random_u32());
    // In a chain, From is of the domain that signs, and the fields that return are those that came.
    let returned = accepted.returned.as_ref();
    let from = returned.map_or_else(|| Mailbox::postmaster(&settings.hostname), |returned| Mailbox::postmaster(&returned.signs_as));
    let original = returned.map_or(read.original.as_bytes(), |returned| returned.header.as_slice());
    let composed = Dsn {
        reporting: &settings.hostname,
        from: &from,
        to: sender,
        queue_id: accepted.received.id,
        report_id: id,
        envid: None,
        arrived_unix_s: now_ms / 1000,
        now_unix_s: now_ms / 1000,
        ret: Ret::Headers,
        original,
        recipients: &[recipient],
    }
    .compose();
    let bytes = Bytes::from(composed.content);
    let content = place.put(id, &bytes).await?;
    place.discard(&std::mem::replace(&mut accepted.received.content, content));
    accepted.received.parameters.body = if bytes.is_ascii() { Body::SevenBit } else { Body::EightBit };
    accepted.received.parameters.smtputf8 = composed.utf8;
    accepted.whole.bytes = bytes;
    accepted.is_ours = true;
    if accepted.treatment == Treatment::Wrapped {
        accepted.treatment = Treatment::AsIs;
    }
    Ok(accepted)
}

/// Whether a message to a return address is a DSN, in any form that servers use.
fn is_report(whole: &[u8]) -> bool {
    let kind = Fields::find_first(whole, "Content-Type").map(|field| field.unfolded().to_ascii_lowercase()).unwrap_or_default();
    if kind.starts_with("multipart/report") && kind.contains("delivery-status") {
        return true;
    }
    let has_status = || {
        let lines = body(whole).lines().map(str::to_ascii_lowercase).collect::<Vec<_>>();
        lines.iter().any(|line| line.starts_with("content-type:") && line.contains("message/delivery-status"))
    };
    // A person may use that local part too, so the text decides (QSBMF is qmail's form).
    let is_of_reporter = || {
        let from = AddressList::of_field(whole, "From").unwrap_or_default();
        let is_named = from.mailboxes.iter().any(|mailbox| mailbox.local.as_str().eq_ignore_ascii_case(REPORTER));
        is_named && body(whole).lines().any(|line| line.starts_with("Hi. This is the ") || said(line).is_some())
    };
    (kind.starts_with("multipart/") && has_status()) || has_no_author(whole) || is_of_reporter()
}

/// The part of the body that is read.
fn body(whole: &[u8]) -> String {
    let body = whole.get(header_len(whole)..).unwrap_or_default();
    String::from_utf8_lossy(body.get(..READ_MAX_BYTES).unwrap_or(body)).into_owned()
}

fn read(whole: &[u8], directory: &Directory) -> ParsedDsn {
    let text = body(whole);
    let mut read = ParsedDsn::default();
    let mut lines = text.lines();
    let mut is_returned = false;
    for line in lines.by_ref() {
        is_returned |= RETURNED.iter().any(|start| line.get(..start.len()).is_some_and(|front| front.eq_ignore_ascii_case(start)));
        if !is_returned {
            read.said = read.said.or_else(|| said(line));
        }
        let Some((name, value)) = line.split_once(':') else { continue };
        let value = value.trim();
        if name.eq_ignore_ascii_case("Action") {
            read.action = read.action.or(action(value));
        } else if name.eq_ignore_ascii_case("Status") {
            read.status = read.status.or(code(value));
        } else if name.eq_ignore_ascii_case(policy::LOOP_FIELD) {
            read.alias = Mailbox::parse(value).ok().filter(|alias| directory.hosts(&alias.domain));
            if read.alias.is_some() {
                break;
            }
        }
    }
    // The rest of that header section is the message as we received it, below the fields that we added.
    for line in lines.take_while(|line| !line.trim().is_empty()) {
        let Some((name, _)) = line.split_once(':') else { continue };
        if SENDERS_OWN.iter().any(|own| own.eq_ignore_ascii_case(name)) {
            read.original.push_str(line);
            read.original.push_str("\r\n");
        }
    }
    read.original.push_str("\r\n");
    read
}

/// Returns the enhanced code after a reply code, anywhere in a line: `550 5.1.1`, `550-5.1.1`, `550 #5.1.1`.
fn said(line: &str) -> Option<EnhancedCode> {
    let words: Vec<&str> = line.split([' ', '\t', '-', '#', '(', ':']).filter(|word| !word.is_empty()).collect();
    words.windows(2).find_map(|pair| {
        let [reply, enhanced] = pair else { return None };
        let is_reply = reply.len() == 3 && reply.starts_with(['4', '5']) && reply.bytes().all(|b| b.is_ascii_digit());
        code(enhanced.trim_end_matches(['.', ',', ';', ')'])).filter(|code| is_reply && code.0 >= 4)
    })
}

fn action(word: &str) -> Option<DsnAction> {
    match word.to_ascii_lowercase().as_str() {
        "failed" => Some(DsnAction::Failed),
        "delayed" => Some(DsnAction::Delayed),
        "delivered" | "relayed" | "expanded" => Some(DsnAction::Relayed),
        _ => None,
    }
}

fn code(text: &str) -> Option<EnhancedCode> {
    EnhancedCode::parse(text.split([' ', '(']).next()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use directory::{Contents, HostedDomain};

    #[test]
    fn only_the_senders_own_fields_and_a_code_are_read() {
        let directory = Directory::new(Contents {
            domains: vec![HostedDomain { name: "example.test".parse().unwrap(), enabled: true }],
            ..Contents::default()
        });
        let report = b"Content-Type: Multipart/Report; report-type=delivery-status;\r\n\tboundary=b\r\n\r\n--b\r\n\r\nfoo@inbox.test is unknown\r\n--b\r\n\
            Content-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; mx.inbox.test\r\n\r\nFinal-Recipient: rfc822; foo@inbox.test\r\n\
            Action: failed\r\nStatus: 5.1.1 (no such user)\r\n\r\n--b\r\nContent-Type: message/rfc822\r\n\r\nX-Forwarded-To: foo@inbox.test\r\n\
            Delivered-To: me@example.test\r\nReceived: from x by mx.example.test\r\nFrom: her@foreign.test\r\nSubject: hi\r\nX-Hers: y\r\n\r\nTo: body\r\n";
        assert!(is_report(report));
        let read = read(report, &directory);
        assert_eq!(read.status, Some(EnhancedCode(5, 1, 1)));
        assert_eq!(read.action, Some(DsnAction::Failed));
        assert_eq!(read.alias, Mailbox::parse("me@example.test").ok());
        assert_eq!(read.original, "From: her@foreign.test\r\nSubject: hi\r\n\r\n");
        assert!(!is_report(b"From: foo@inbox.test\r\nContent-Type: text/plain; multipart/report\r\n\r\n"));
        assert_eq!((code("5.1.1"), code("9.1.1"), code("5.1"), code("x")), (Some(EnhancedCode(5, 1, 1)), None, None, None));
        assert_eq!((code("5.65535.1"), code("5.+1.1")), (None, None), "our DSN repeats it");
    }

    /// What a fuzzer does to the octets of a DSN; the crate of the other targets sees only what is public.
    #[test]
    fn any_octets_give_the_senders_own_fields_and_a_code_that_may_be_written() {
        let directory = Directory::new(Contents {
            domains: vec![HostedDomain { name: "example.test".parse().unwrap(), enabled: true }],
            ..Contents::default()
        });
        let pieces: [&[u8]; 20] = [
            b"\r\n",
            b"\r\n\r\n",
            b"Content-Type: multipart/report; report-type=delivery-status",
            b"From: MAILER-DAEMON",
            b"Action: failed",
            b"Status: ",
            b"5.1.1",
            b"99999.",
            b"+1",
            b" 550-",
            b"#5.7.26",
            b"Delivered-To: me@example.test",
            b"From: ",
            b" Subject:",
            b"To:",
            b"Received: x",
            b"\xff",
            b"\xc3\xa9",
            b"(",
            b":",
        ];
        let mut seed = 7u64;
        let mut random = move |below: usize| {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            usize::try_from(seed >> 1).unwrap() % below
        };
        for _ in 0..20_000 {
            let octets: Vec<u8> = (0..random(30)).flat_map(|_| pieces[random(20)].to_vec()).collect();
            let _ = is_report(&octets);
            let read = read(&octets, &directory);
            let status = read.best_status().to_string();
            assert!(status.split('.').all(|number| number.len() <= 3), "{status} of {:?}", String::from_utf8_lossy(&octets));
            let is_own =
                |line: &str| line.split_once(':').is_some_and(|(name, _)| SENDERS_OWN.iter().any(|own| own.eq_ignore_ascii_case(name)));
            assert!(
                read.original.ends_with("\r\n") && read.original.lines().all(|line| line.is_empty() || is_own(line)),
                "{:?}",
                read.original
            );
        }
    }

    #[test]
    fn the_code_of_the_targets_reply_replaces_5_0_0() {
        let directory = Directory::new(Contents::default());
        let best = |head: &str, body: &str| {
            let report = format!("{head}\r\n\r\n{body}");
            assert!(is_report(report.as_bytes()), "{report}");
            read(report.as_bytes(), &directory).best_status()
        };
        let status = |text: &str| {
            format!(
                "--b\r\nContent-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; x\r\n\r\nFinal-Recipient: rfc822; a@b.test\r\nAction: failed\r\n{text}"
            )
        };
        let returned = "\r\n--b\r\nContent-Type: message/rfc822\r\n\r\nSubject: x\r\n\r\nthey said 550 5.7.26 to me\r\n--b--\r\n";
        let report = "From: Mail Delivery System <x@b.test>\r\nContent-Type: multipart/report; report-type=delivery-status; boundary=b";
        // Exim.
        let exim = status("Status: 5.0.0\r\nDiagnostic-Code: smtp; 550-5.1.1 no such user\r\n") + returned;
        assert_eq!(best(report, &exim), EnhancedCode(5, 1, 1));
        // OpenSMTPD.
        let mixed = "From: Mailer Daemon <x@b.test>\r\nContent-Type: multipart/mixed; boundary=\"b\"";
        let text = "--b\r\n\r\n    Hi!\r\n\r\n    This is the MAILER-DAEMON\r\n\r\na@b.test: 550 5.1.1 <a@b.test>: Recipient address rejected\r\n\r\n";
        assert_eq!(best(mixed, &(text.to_owned() + &status("Status: 5.0.0\r\n") + returned)), EnhancedCode(5, 1, 1));
        // dma: text, and no author.
        let dma = "From: MAILER-DAEMON <>\r\nSubject: Mail delivery failed";
        let text = "This is the DragonFly Mail Agent v0.13 at b.test.\r\n\r\nThere was an error delivering your mail to <a@b.test>.\r\n\r\nRemote host said: 550 5.2.1 gone\r\n\r\nReceived: from x\r\nSubject: 550 5.7.1\r\n";
        assert_eq!(best(dma, text), EnhancedCode(5, 2, 1));
        // A specific Status wins over the reply, and a missing code stays missing.
        assert_eq!(best(report, &status("Status: 4.4.7\r\nDiagnostic-Code: smtp; 550 5.1.1 x\r\n")), EnhancedCode(4, 4, 7));
        assert_eq!(best(report, &(status("Status: 5.0.0\r\n") + returned)), EnhancedCode(5, 0, 0));
        assert_eq!(best("From: MAILER-DAEMON@b.test", "Hi. This is the qmail-send program at b.test.\r\n"), EnhancedCode(5, 0, 0));
        for (line, want) in
            [("said 550 5.1", None), ("port 250 2.1.5", None), ("1550 5.1.1", None), ("(#5.1.1)", None), ("554 (#5.7.1).", Some((5, 7, 1)))]
        {
            assert_eq!(said(line), want.map(|(a, b, c)| EnhancedCode(a, b, c)), "{line}");
        }
    }
}
