//! A report of a target's server, on its way back to who sent the message: told again in our own words.
//!
//! RFC 3464, RFC 3461 s.6. Invariant: nothing of what the target's server wrote is passed on but the status code and the sender's own fields, since
//! the rest may name the mailbox behind the alias in any form. Only lines are read, no MIME structure.

use directory::Directory;
use mail::report::{Action, RecipientReport, Report};
use mail::{Body, EnhancedCode, Fields, Mailbox, QueueId, Ret, header_len};
use net::{Clock, random_u32};
use policy::AcceptedRecipient;
use store::{Store, StoreError};

use crate::decide::Accepted;
use crate::settings::Settings;

/// Fields of the message that are the sender's own.
const SENDERS_OWN: [&str; 5] = ["From", "To", "Subject", "Date", "Message-ID"];

/// A report is read as far as this, in octets.
const READ_MAX_BYTES: usize = 1 << 20;

/// What was read out of a report.
#[derive(Debug, Default, PartialEq, Eq)]
struct Read {
    action: Option<Action>,
    status: Option<EnhancedCode>,
    /// The alias that the message went through.
    alias: Option<Mailbox>,
    /// The sender's own fields.
    original: String,
}

/// The same news in our own words, where the message is a report for one return address; anything else goes on as it came.
pub(crate) async fn reword<'a>(
    store: &Store,
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
    let status = read.status.unwrap_or(EnhancedCode(5, 0, 0));
    let action = read.action.unwrap_or(if status.0 == 4 { Action::Delayed } else { Action::Failed });
    // Without fields of the message nothing says for which alias it was; the return address is no address that its sender knows.
    let diagnostic = match action {
        Action::Failed if read.alias.is_none() => {
            format!("a message that you sent was not taken; the report does not say for which address it was ({status})")
        }
        Action::Failed => format!("the mailbox behind this address did not take the message ({status})"),
        Action::Delayed => format!("the mailbox behind this address has not taken the message yet ({status})"),
        Action::Relayed => "the message was taken".to_owned(),
    };
    let recipient = RecipientReport {
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
    let from = Mailbox::parse(&format!("postmaster@{}", settings.hostname)).map_err(|e| StoreError::Corrupt(e.to_string()))?;
    let composed = Report {
        reporting: &settings.hostname,
        from: &from,
        to: sender,
        queue_id: accepted.received.id,
        report_id: id,
        envid: None,
        arrived_unix_s: now_ms / 1000,
        now_unix_s: now_ms / 1000,
        ret: Ret::Headers,
        original: read.original.as_bytes(),
        recipients: &[recipient],
    }
    .compose();
    let mut spool = store.spool(id);
    spool.write(&composed.content).await?;
    let content = spool.finish().await?;
    store.discard(&std::mem::replace(&mut accepted.received.content, content));
    accepted.received.parameters.body = if composed.content.is_ascii() { Body::SevenBit } else { Body::EightBit };
    accepted.received.parameters.smtputf8 = composed.utf8;
    accepted.whole.bytes = composed.content.into();
    accepted.is_ours = true;
    Ok(accepted)
}

fn is_report(whole: &[u8]) -> bool {
    Fields::find_first(whole, "Content-Type").is_some_and(|field| {
        let value = field.unfolded().to_ascii_lowercase();
        value.starts_with("multipart/report") && value.contains("delivery-status")
    })
}

fn read(whole: &[u8], directory: &Directory) -> Read {
    let body = whole.get(header_len(whole)..).unwrap_or_default();
    let text = String::from_utf8_lossy(body.get(..READ_MAX_BYTES).unwrap_or(body)).into_owned();
    let mut read = Read::default();
    let mut lines = text.lines();
    for line in lines.by_ref() {
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
    // What follows in that header section is the message as it came to us, below what we had put on top.
    for line in lines.take_while(|line| !line.trim().is_empty()) {
        let name = line.split(':').next().unwrap_or_default();
        if SENDERS_OWN.iter().any(|own| own.eq_ignore_ascii_case(name)) {
            read.original.push_str(line);
            read.original.push_str("\r\n");
        }
    }
    read.original.push_str("\r\n");
    read
}

fn action(word: &str) -> Option<Action> {
    match word.to_ascii_lowercase().as_str() {
        "failed" => Some(Action::Failed),
        "delayed" => Some(Action::Delayed),
        "delivered" | "relayed" | "expanded" => Some(Action::Relayed),
        _ => None,
    }
}

fn code(text: &str) -> Option<EnhancedCode> {
    let mut parts = text.split([' ', '(']).next()?.splitn(3, '.');
    let (class, subject, detail) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
    matches!(class, 2 | 4 | 5).then_some(EnhancedCode(class, subject, detail))
}

#[cfg(test)]
mod tests {
    use super::*;
    use directory::{Contents, HostedDomain};

    #[test]
    fn the_senders_own_fields_and_a_code_are_all_that_is_read() {
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
        assert_eq!(read.action, Some(Action::Failed));
        assert_eq!(read.alias, Mailbox::parse("me@example.test").ok());
        assert_eq!(read.original, "From: her@foreign.test\r\nSubject: hi\r\n\r\n");
        assert!(!is_report(b"Content-Type: text/plain; multipart/report\r\n\r\n"));
        assert_eq!((code("5.1.1"), code("9.1.1"), code("5.1"), code("x")), (Some(EnhancedCode(5, 1, 1)), None, None, None));
    }
}
