//! The end of DATA: what becomes of the message.
//!
//! RFC 5321 s.6.3 (loops), RFC 9228 (Delivered-To). Invariant: a message that went round once more than it may is refused
//! in the session, so that nobody has to make a report about it.

use mail::{Fields, Mailbox, Reply, empty_line_end, header_len, interrupted_at};

/// More Received fields than this mean a loop (RFC 5321 s.6.3: at least 100). A loop through an alias of ours ends long before, by its Delivered-To.
pub const RECEIVED_MAX: usize = 100;

/// The field that marks a message that passed an alias.
pub const LOOP_FIELD: &str = "Delivered-To";

/// A header section of more fields than this is no message.
const FIELDS_MAX: usize = 5000;

/// The longest header section, in octets: Gmail takes no longer one.
const HEADER_MAX_BYTES: usize = 500 * 1024;

/// Fields that may stand only once (RFC 5322 s.3.6). Two of them mean different things to different readers, and a signature covers one.
const ONLY_ONCE: [&str; 11] =
    ["From", "Sender", "Reply-To", "To", "Cc", "Bcc", "Message-ID", "In-Reply-To", "References", "Subject", "Date"];

/// Decides whether a message for these aliases is taken.
pub fn check_header<'a>(content: &[u8], aliases: impl Iterator<Item = &'a Mailbox> + Clone) -> Result<(), Reply> {
    // As far as the first empty line: where another line ends the section, not every program sees its end there.
    if empty_line_end(content).unwrap_or(content.len()) > HEADER_MAX_BYTES {
        return Err(Reply::new(554, (5, 6, 0), format!("the header section is larger than {} KiB", HEADER_MAX_BYTES / 1024)));
    }
    let (mut received, mut fields) = (0, 0);
    for field in Fields::new(content) {
        fields += 1;
        if fields > FIELDS_MAX {
            return Err(Reply::new(554, (5, 6, 0), format!("the header section has more than {FIELDS_MAX} fields")));
        }
        if field.is("Received") {
            received += 1;
        } else if field.is(LOOP_FIELD) {
            let seen = field.unfolded();
            if aliases.clone().any(|alias| Mailbox::parse(&seen).is_ok_and(|seen| seen == *alias)) {
                return Err(Reply::new(554, (5, 4, 6), "mail loop: this message has been delivered to this address before"));
            }
        }
    }
    if received > RECEIVED_MAX {
        return Err(Reply::new(554, (5, 4, 6), format!("mail loop: the message has passed more than {RECEIVED_MAX} servers")));
    }
    Ok(())
}

/// Whether the header section means the same to everyone: mail from other servers is refused where it does not, and never repaired, since
/// that would break its signatures. Only a report `may_lack_from`.
pub fn check_well_formed(front: &[u8], may_lack_from: bool) -> Result<(), Reply> {
    let count = |name: &str| Fields::new(front).filter(|field| field.is(name)).count();
    if count("From") == 0 && !may_lack_from {
        return Err(missing_from(front));
    }
    if let Some(name) = ONLY_ONCE.into_iter().find(|name| count(name) > 1) {
        return Err(Reply::new(550, (5, 6, 0), format!("the message has more than one {name} field")));
    }
    // Some readers pass over a line that is no field and go on: they must not find another author than this server did, nor results that it would strip.
    let hidden = ONLY_ONCE.into_iter().chain(["Authentication-Results"]).find(|name| stands_behind(front, name));
    match (interrupted_at(front), hidden) {
        (Some(line), Some(name)) => {
            let text = format!(
                "line {line} of the header section is no field, and a {name} field stands behind it, which not all programs would read"
            );
            Err(Reply::new(550, (5, 6, 0), text))
        }
        _ => Ok(()),
    }
}

/// The reply to a message without a From field: where its header section ends at a line that is no field, it says so.
pub fn missing_from(front: &[u8]) -> Reply {
    let text = match interrupted_at(front) {
        Some(line) => format!(
            "the message has no From field: its header section ends at line {line}, which is no field (a name, a colon and a value)"
        ),
        None => "the message has no From field".to_owned(),
    };
    Reply::new(550, (5, 6, 0), text)
}

/// Whether a line between the end of the header section and the first empty line looks like this field.
fn stands_behind(front: &[u8], name: &str) -> bool {
    let end = empty_line_end(front).unwrap_or(front.len());
    let behind = front.get(header_len(front)..end).unwrap_or_default();
    behind.split(|b| *b == b'\n').any(|line| {
        line.split_at_checked(name.len())
            .is_some_and(|(start, rest)| start.eq_ignore_ascii_case(name.as_bytes()) && rest.trim_ascii_start().starts_with(b":"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decide(content: &str) -> Result<(), u16> {
        let alias = Mailbox::parse("me@example.test").unwrap();
        check_header(content.as_bytes(), [alias].iter()).map_err(|r| r.code)
    }

    #[test]
    fn loops_are_refused() {
        assert_eq!(decide("Subject: x\r\n\r\nbody"), Ok(()));
        assert_eq!(decide(&format!("{}\r\n", "Received: x\r\n".repeat(100))), Ok(()));
        assert_eq!(decide(&format!("{}\r\n", "Received: x\r\n".repeat(101))), Err(554));
        assert_eq!(decide("Delivered-To: Me@Example.test\r\n\r\n"), Err(554));
        assert_eq!(decide("Delivered-To: other@example.test\r\n\r\n"), Ok(()));
        assert_eq!(decide("Subject: x\r\n\r\nDelivered-To: me@example.test\r\n"), Ok(()));
        assert_eq!(decide(&"Subject: endless".repeat(40_000)), Err(554));
        assert_eq!(decide(&format!("{}\r\n", "X: y\r\n".repeat(5001))), Err(554));
    }

    #[test]
    fn a_header_section_that_reads_two_ways_is_refused_and_one_that_ends_early_is_not() {
        let said = |front: &str| check_well_formed(front.as_bytes(), false).map_err(|reply| reply.text().to_owned());
        assert_eq!(said("From: a@x.test\r\nSubject: b\r\n\r\n"), Ok(()));
        assert_eq!(said("From: a@x.test\r\nX-Spam-Flag YES\r\nX-More: y\r\n\r\n"), Ok(()));
        assert_eq!(said("From: a@x.test\r\nHello, all.\r\nto be: or not\r\n"), Ok(()));
        let line_2 = said("From: a@x.test\r\nX-Spam-Flag YES\r\nfrom : b@x.test\r\n\r\n").unwrap_err();
        assert!(line_2.contains("line 2 of the header section is no field") && line_2.contains("From"), "{line_2}");
        let mbox = said("From a@x.test Sat Nov 28\r\nFrom: a@x.test\r\n\r\n").unwrap_err();
        assert!(mbox.contains("no From field") && mbox.contains("line 1"), "{mbox}");
        assert_eq!(said("Subject: b\r\n\r\nFrom: a@x.test\r\n").unwrap_err(), "the message has no From field");
    }
}
