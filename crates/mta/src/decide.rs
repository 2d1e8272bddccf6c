//! Stage: is the message taken?
//!
//! RFC 6409 s.6 and s.8 for submitted mail. Invariant: a refusal is said here, in the session, where its sender hears it.

use directory::Directory;
use mail::{Fields, Mailbox, Reply};
use mail_parser::MessageParser;
use policy::{AcceptedRecipient, ArrivingContent};

use crate::authenticate::Evidence;
use crate::received::Received;

/// A message that is taken. What is missing from its header section is known.
#[derive(Debug)]
pub(crate) struct Accepted {
    /// The message.
    pub received: Received,
    /// Submitted without a Message-ID.
    pub lacks_message_id: bool,
    /// Submitted without a Date.
    pub lacks_date: bool,
}

/// Decides. On a refusal the message is given back, so that its content can be discarded.
pub(crate) fn decide(evidence: Evidence, directory: &Directory) -> Result<Accepted, Box<(Received, Reply)>> {
    let Evidence { received, login } = evidence;
    let front = received.content.front();
    let is_whole = front.len() as u64 == received.content.size_bytes();
    let aliases = received.recipients.iter().filter_map(|(_, accepted)| match accepted {
        AcceptedRecipient::Alias { alias, .. } => Some(alias),
        AcceptedRecipient::Foreign(_) => None,
    });
    let mut decision = policy::disposition(ArrivingContent { front, is_whole }, aliases);
    if let (Ok(()), Some(login)) = (&decision, &login) {
        decision = submitted(directory, login, front);
    }
    if let Err(reply) = decision {
        return Err(Box::new((received, reply)));
    }
    let lacks = |name| login.is_some() && Fields::find_first(front, name).is_none();
    let (lacks_message_id, lacks_date) = (lacks("Message-ID"), lacks("Date"));
    Ok(Accepted { received, lacks_message_id, lacks_date })
}

fn submitted(directory: &Directory, login: &str, front: &[u8]) -> Result<(), Reply> {
    let account = directory
        .account(login)
        .filter(|a| a.enabled)
        .ok_or_else(|| Reply::new(550, (5, 7, 1), "the account was switched off or removed meanwhile"))?;
    if Fields::new(front).filter(|f| f.is("From")).count() > 1 {
        return Err(Reply::new(550, (5, 6, 0), "the message has more than one From field"));
    }
    policy::from_header(directory, account, &from_addresses(front)?)
}

/// The addresses of the From field. An address that is not one is a refusal: nobody can own it.
fn from_addresses(front: &[u8]) -> Result<Vec<Mailbox>, Reply> {
    let Some(message) = MessageParser::default().parse_headers(front) else { return Ok(Vec::new()) };
    let Some(from) = message.from() else { return Ok(Vec::new()) };
    from.mailboxes()
        .map(|a| Mailbox::parse(a.address().unwrap_or_default()))
        .collect::<Result<_, _>>()
        .map_err(|e| Reply::new(550, (5, 6, 0), format!("an address in the From field is not valid: {e}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn from_addresses_are_read_as_mail_clients_write_them() {
        let read = |from: &str| {
            from_addresses(format!("To: x@y.test\r\nFrom: {from}\r\n\r\n").as_bytes())
                .map(|list| list.iter().map(Mailbox::to_string).collect::<Vec<_>>())
        };
        assert_eq!(read("me@example.test").unwrap(), ["me@example.test"]);
        assert_eq!(read("\"Me, myself\" <me@example.test>").unwrap(), ["me@example.test"]);
        assert_eq!(
            read("=?utf-8?q?M=C3=A9?= <me@example.test>,\r\n Other <other@example.test>").unwrap(),
            ["me@example.test", "other@example.test"]
        );
        assert!(read("not an address").is_err() || read("not an address").unwrap().is_empty());
        assert!(from_addresses(b"To: x\r\n\r\n").unwrap().is_empty());
    }
}
