//! Checks of the header section at the end of DATA.
//!
//! RFC 5321 s.6.3 (loops), RFC 9228 (Delivered-To). Invariant: a loop is refused in the session, so that no DSN is needed.

use mail::{Fields, Mailbox, Reply, empty_line_end, header_len, interrupted_at};

/// Maximum Received fields; more mean a loop (RFC 5321 s.6.3: at least 100). A loop through an alias of ours ends earlier, by its Delivered-To.
pub const RECEIVED_MAX: usize = 100;

/// The field that marks a message that was delivered through an alias.
pub const LOOP_FIELD: &str = "Delivered-To";

/// Maximum fields in a header section.
const FIELDS_MAX: usize = 5000;

/// Maximum size of a header section, in octets: Gmail accepts no larger one.
const HEADER_MAX_BYTES: usize = 500 * 1024;

/// Fields that may occur only once (RFC 5322 s.3.6), From first. Readers differ in which of two they use, and a signature covers one.
const ONLY_ONCE: [&str; 11] =
    ["From", "Sender", "Reply-To", "To", "Cc", "Bcc", "Message-ID", "In-Reply-To", "References", "Subject", "Date"];

/// Refuses a header section that is too large, and a message for these aliases that loops.
pub fn check_header<'a>(content: &[u8], aliases: impl Iterator<Item = &'a Mailbox> + Clone) -> Result<(), Reply> {
    // Up to the first empty line: programs differ in whether another line ends the section.
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

/// Refuses a header section that programs read differently. It is not repaired, since that would break signatures. Only a DSN
/// `may_lack_from`.
pub fn check_well_formed(front: &[u8], may_lack_from: bool) -> Result<(), Reply> {
    let mut counts = ONLY_ONCE.map(|name| (name, 0_u32));
    for field in Fields::new(front) {
        counts.iter_mut().filter(|(name, _)| field.is(name)).for_each(|(_, count)| *count += 1);
    }
    let [(_, from), ..] = counts;
    if from == 0 && !may_lack_from {
        return Err(missing_from(front));
    }
    if let Some((name, _)) = counts.into_iter().find(|(_, count)| *count > 1) {
        return Err(Reply::new(550, (5, 6, 0), format!("the message has more than one {name} field")));
    }
    let Some(line) = interrupted_at(front) else { return Ok(()) };
    // Some programs skip a line that is not a field and go on: they must not find another author, or results that this server would strip.
    match ONLY_ONCE.into_iter().chain(["Authentication-Results"]).find(|name| is_after_end(front, name)) {
        Some(name) => {
            let text = format!(
                "line {line} of the header section is not a field, and a {name} field follows it, which not all programs would read"
            );
            Err(Reply::new(550, (5, 6, 0), text))
        }
        None => Ok(()),
    }
}

/// The reply to a message without a From field. It names the line where the header section ends early.
pub fn missing_from(front: &[u8]) -> Reply {
    let text = match interrupted_at(front) {
        Some(line) => format!(
            "the message has no From field: its header section ends at line {line}, which is not a field (a name, a colon and a value)"
        ),
        None => "the message has no From field".to_owned(),
    };
    Reply::new(550, (5, 6, 0), text)
}

/// Whether a line between the end of the header section and the first empty line looks like this field.
fn is_after_end(front: &[u8], name: &str) -> bool {
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
    fn loops_and_oversized_header_sections_are_refused() {
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
    fn ambiguous_header_sections_are_refused() {
        let said = |front: &str| check_well_formed(front.as_bytes(), false).map_err(|reply| reply.text().to_owned());
        assert_eq!(said("From: a@x.test\r\nSubject: b\r\n\r\n"), Ok(()));
        assert_eq!(said("From: a@x.test\r\nX-Spam-Flag YES\r\nX-More: y\r\n\r\n"), Ok(()));
        assert_eq!(said("From: a@x.test\r\nHello, all.\r\nto be: or not\r\n"), Ok(()));
        let line_2 = said("From: a@x.test\r\nX-Spam-Flag YES\r\nfrom : b@x.test\r\n\r\n").unwrap_err();
        assert!(line_2.contains("line 2 of the header section is not a field") && line_2.contains("From"), "{line_2}");
        let mbox = said("From a@x.test Sat Nov 28\r\nFrom: a@x.test\r\n\r\n").unwrap_err();
        assert!(mbox.contains("no From field") && mbox.contains("line 1"), "{mbox}");
        assert_eq!(said("Subject: b\r\n\r\nFrom: a@x.test\r\n").unwrap_err(), "the message has no From field");
    }
}
