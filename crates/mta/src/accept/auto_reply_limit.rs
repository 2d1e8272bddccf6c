//! Rate-limits automatic replies to an alias, so that two responders cannot loop.
//!
//! RFC 3834 s.2 (no answers to automatic mail), RFC 5321 s.6.3. Invariant: mailing lists, DSNs and mail that is not a reply are not counted.

use mail::{ForwardPath, Mailbox, Reply};
use net::Clock;
use policy::{AcceptedRecipient, Writer, classify_writer};

use crate::accept::decide::{Accepted, from_addresses};
use crate::accept::hourly_limit::HourlyLimit;

/// Maximum messages per hour to an alias from its only target, which gets them back; a person who tests an alias sends fewer.
const TO_ITSELF_MAX: u32 = 10;

/// Maximum automatic replies per hour from one sender to one alias.
const OF_RESPONDER_MAX: u32 = 10;

/// Maximum replies per hour from one sender to one alias that are not marked as automatic; also the maximum messages per hour to an alias
/// from one of its several targets.
const OF_ANSWERER_MAX: u32 = 60;

/// Checks the message against the limits of its aliases.
pub(crate) fn check(counts: &HourlyLimit, clock: &Clock, accepted: &Accepted<'_>) -> Result<(), Reply> {
    if accepted.proof.is_submitted() {
        return Ok(());
    }
    let received = &accepted.received;
    let by = classify_writer(&received.reverse_path, &accepted.whole.bytes);
    let mut authors = from_addresses(&accepted.whole.bytes).unwrap_or_default();
    authors.extend(received.reverse_path.mailbox().cloned());
    let sender = received.reverse_path.mailbox().or(authors.first()).map(Mailbox::key).unwrap_or_default();
    for (to, recipient) in &received.recipients {
        let AcceptedRecipient::Alias { targets, .. } = recipient else { continue };
        let ForwardPath::Mailbox(to) = &to.forward_path else { continue };
        let is_from_target = authors.iter().any(|author| targets.contains(author));
        let is_to_itself = is_from_target && targets.len() == 1;
        let within = |what: &str, most| counts.count(format!("{what} {sender} {}", to.key()), most, clock);
        match by {
            Writer::Server | Writer::List => {}
            Writer::Responder if is_from_target => return Err(loops()),
            // No mail is lost: its author has it.
            _ if is_to_itself && !within("itself", TO_ITSELF_MAX) => return Err(loops()),
            Writer::Responder if !within("responder", OF_RESPONDER_MAX) => return Err(later()),
            Writer::Answerer if !within("answerer", OF_ANSWERER_MAX) => return Err(later()),
            Writer::Person if is_from_target && !is_to_itself && !within("target", OF_ANSWERER_MAX) => return Err(later()),
            Writer::Responder | Writer::Answerer | Writer::Person => {}
        }
    }
    Ok(())
}

fn later() -> Reply {
    Reply::new(450, (4, 7, 1), "too many automatic replies to this address within an hour; try again later")
}

fn loops() -> Reply {
    Reply::new(554, (5, 4, 6), "mail loop: an automatic reply to an address that has replied to you (RFC 3834)")
}
