//! Gmail's confirmation mail for "Send mail as": keeps its code and link, so that the user need not search for it.
//!
//! RFC 6376 s.6.1. Invariant: only mail signed by google.com, from the one address that sends such mail, is read; the link that removes an
//! address is never kept; the mail is delivered as usual.

use std::collections::VecDeque;
use std::sync::Arc;

use events::{Event, EventKind};
use mail::Mailbox;
use mail::evidence::{DkimResult, Evidence};
use mail_parser::MessageParser;
use parking_lot::Mutex;
use policy::AcceptedRecipient;

use crate::accept::decide::{Accepted, from_addresses};
use crate::accept::message_auth::Proof;
use crate::context::Shared;

/// The signing domain.
const SIGNER: &str = "google.com";

/// The author's address.
const WRITER: &str = "gmail-noreply@google.com";

/// Prefixes of confirmation links.
const LINKS: [&str; 2] = ["https://mail.google.com/mail/vf-", "https://mail-settings.google.com/mail/vf-"];

/// Maximum length of a link, in octets.
const LINK_MAX_BYTES: usize = 1000;

/// Maximum confirmations kept.
const KEPT_MAX: usize = 100;

/// Retention, in milliseconds.
const KEPT_MS: i64 = 7 * 86_400_000;

/// A confirmation mail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Confirmation {
    /// The alias that received it.
    pub address: Mailbox,
    /// The code to enter.
    pub code: Option<String>,
    /// The link to open instead.
    pub link: Option<String>,
    /// When it was received, in Unix milliseconds.
    pub at_ms: i64,
}

/// The most recent confirmations. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct Confirmations(Arc<Mutex<VecDeque<Confirmation>>>);

impl Confirmations {
    /// Returns those for an address, newest first.
    pub fn of(&self, address: &Mailbox, now_ms: i64) -> Vec<Confirmation> {
        let kept = self.0.lock();
        kept.iter().rev().filter(|c| c.address == *address && now_ms - c.at_ms < KEPT_MS).cloned().collect()
    }

    /// Keeps the code and link if the message is a confirmation.
    pub(crate) fn look(&self, shared: &Shared, accepted: &Accepted<'_>) {
        let Proof::Evidence(evidence) = &accepted.proof else { return };
        let Some((code, link)) = recognised(evidence, &accepted.whole.bytes) else { return };
        let mut kept = self.0.lock();
        for (_, recipient) in &accepted.received.recipients {
            let AcceptedRecipient::Alias { alias, .. } = recipient else { continue };
            tracing::info!(id = %accepted.received.id, %alias, "{}: waypost sendas {alias} --wait shows its code", EventKind::GmailConfirmation.words());
            shared.events.record_with(|| {
                let event = Event::new(EventKind::GmailConfirmation, shared.clock.now_ms()).of_message(accepted.received.id);
                event.from(accepted.received.reverse_path.to_bare()).to(alias.to_string())
            });
            if kept.len() >= KEPT_MAX {
                kept.pop_front();
            }
            let at_ms = accepted.received.at_ms;
            kept.push_back(Confirmation { address: alias.clone(), code: code.clone(), link: link.clone(), at_ms });
        }
    }
}

/// The code and link of a confirmation mail.
fn recognised(evidence: &Evidence, content: &[u8]) -> Option<(Option<String>, Option<String>)> {
    let is_signed = evidence.dkim.iter().any(|check| check.result == DkimResult::Pass && check.domain.eq_ignore_ascii_case(SIGNER));
    if !is_signed || !matches!(from_addresses(content).as_deref(), Ok([from]) if from.to_string().eq_ignore_ascii_case(WRITER)) {
        return None;
    }
    let message = MessageParser::default().parse(content)?;
    let mut text = String::new();
    for part in (0..4).filter_map(|place| message.body_text(place)) {
        text.push_str(&part);
        text.push('\n');
    }
    let link = link(&text);
    // Without such a link it is other mail from this author, whose numbers are private.
    link.as_ref()?;
    let code = code(&text).or_else(|| code(message.subject().unwrap_or_default()));
    Some((code, link))
}

fn link(text: &str) -> Option<String> {
    let ends = |c: char| c.is_whitespace() || c.is_control() || "<>\"'()[]{}|\\^`".contains(c);
    let starts = LINKS.iter().filter_map(|start| text.find(start));
    let found = text.get(starts.min()?..)?;
    let found = found.get(..found.find(ends).unwrap_or(found.len()))?;
    let found = found.trim_end_matches(['.', ',', ';']);
    (found.is_ascii() && found.len() <= LINK_MAX_BYTES).then(|| found.to_owned())
}

/// The first number of six to ten digits that is a word of its own and not part of a link.
fn code(text: &str) -> Option<String> {
    let words = text.split_whitespace().filter(|word| !word.contains("://"));
    let mut numbers = words.map(|word| word.trim_matches(|c: char| !c.is_alphanumeric()));
    numbers.find(|word| (6..=10).contains(&word.len()) && word.bytes().all(|b| b.is_ascii_digit())).map(ToOwned::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use mail::evidence::DkimCheck;

    const BODY: &str = "You have requested to add me@example.test to your Gmail account.\r\nConfirmation code: 123456789\r\n\r\nPlease click the link below:\r\n\r\n\
        https://mail-settings.google.com/mail/vf-%5BANGjdJ8x%5D-abc\r\n\r\nIf you did not, cancel: \
        https://mail-settings.google.com/mail/uf-%5BANGjdJ9y%5D-def or 0123456789012\r\n";

    fn evidence(domain: &str, result: DkimResult) -> Evidence {
        let check = DkimCheck {
            result,
            domain: domain.into(),
            selector: "s".into(),
            algorithm: "rsa-sha256".into(),
            signature_prefix: String::new(),
            reason: None,
        };
        Evidence { dkim: vec![check], ..Evidence::default() }
    }

    fn found(evidence: &Evidence, from: &str, body: &str) -> Option<(Option<String>, Option<String>)> {
        recognised(evidence, format!("From: Gmail Team <{from}>\r\nTo: me@example.test\r\nSubject: x\r\n\r\n{body}").as_bytes())
    }

    #[test]
    fn code_and_link_are_found_but_not_the_cancel_link() {
        let passed = evidence("Google.com", DkimResult::Pass);
        let want = Some((Some("123456789".to_owned()), Some("https://mail-settings.google.com/mail/vf-%5BANGjdJ8x%5D-abc".to_owned())));
        assert_eq!(found(&passed, WRITER, BODY), want);
        assert_eq!(found(&passed, WRITER, &BODY.replace("/vf-", "/uf-")), None);
        let evil = BODY.replace("https://mail-settings.google.com/mail/vf-", "https://mail.google.com.evil.test/mail/vf-");
        assert_eq!(found(&passed, WRITER, &evil), None);
        let encoded = "From: gmail-noreply@google.com\r\nMIME-Version: 1.0\r\nContent-Type: text/plain\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n\
            Code=3A 7654321=\r\n\r\n https://mail.google.com/mail/vf-=\r\n5Babc\r\n";
        assert_eq!(recognised(&passed, encoded.as_bytes()).unwrap().1.unwrap(), "https://mail.google.com/mail/vf-5Babc");
    }

    #[test]
    fn mail_without_googles_signature_is_ignored() {
        for (domain, result) in
            [("google.com", DkimResult::Fail), ("google.com.evil.test", DkimResult::Pass), ("gmail.com", DkimResult::Pass)]
        {
            assert_eq!(found(&evidence(domain, result), WRITER, BODY), None, "{domain}");
        }
        let passed = evidence("google.com", DkimResult::Pass);
        assert_eq!(found(&passed, "someone@google.com", BODY), None);
        assert_eq!(found(&Evidence::default(), WRITER, BODY), None);
    }
}
