//! Which recipients of own mail may see each other: those that its To and Cc fields name. A DKIM2 signature names the recipients of its message.
//!
//! RFC 5322 s.3.6.3 (Bcc), draft-ietf-dkim-dkim2-spec-08 s.10.6 (rt=). Invariant: a recipient that is in neither field is alone in its message, or the message
//! is not signed with DKIM2.

use std::collections::HashSet;

use mail::{AddressList, Fields, Mailbox};
use store::NewRecipient;

/// Maximum recipients that get a message each because To and Cc do not name them; with more, one message goes to all, not signed with DKIM2.
const HIDDEN_MAX: usize = 100;

/// The recipients that a message names.
#[derive(Debug, Default)]
pub(crate) struct Disclosed(HashSet<String>);

impl Disclosed {
    /// Reads To and Cc. A field that cannot be read names nobody.
    pub fn of(front: &[u8]) -> Self {
        let lists = Fields::new(front)
            .filter(|field| field.is("To") || field.is("Cc"))
            .filter_map(|field| AddressList::parse(&field.unfolded()).ok());
        Self(lists.flat_map(|list| list.mailboxes).map(|mailbox| mailbox.key()).collect())
    }

    fn names(&self, mailbox: &Mailbox) -> bool {
        self.0.contains(&mailbox.key())
    }

    /// Whether one signature may name all of them.
    pub fn may_share(&self, recipients: &[NewRecipient]) -> bool {
        recipients.len() == 1 || recipients.iter().all(|to| self.names(&to.mailbox))
    }

    /// Divides the recipients of one message: those that it names together, each other one alone.
    pub fn divide(&self, recipients: Vec<NewRecipient>) -> Vec<Vec<NewRecipient>> {
        let hidden = recipients.iter().filter(|to| !self.names(&to.mailbox)).count();
        if hidden == 0 || hidden > HIDDEN_MAX || recipients.len() == 1 {
            return vec![recipients];
        }
        let (named, hidden): (Vec<_>, Vec<_>) = recipients.into_iter().partition(|to| self.names(&to.mailbox));
        let together = (!named.is_empty()).then_some(named);
        together.into_iter().chain(hidden.into_iter().map(|to| vec![to])).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recipients(addresses: &[&str]) -> Vec<NewRecipient> {
        let to = |address: &&str| NewRecipient {
            mailbox: Mailbox::parse(address).unwrap(),
            notify: mail::Notify::default(),
            orcpt: None,
            known_as: None,
        };
        addresses.iter().map(to).collect()
    }

    #[test]
    fn a_hidden_recipient_is_alone_in_its_message() {
        let disclosed =
            Disclosed::of(b"From: me@x.test\r\nTo: A <a@y.test>,\r\n b@y.test\r\nCC: c@z.test\r\nBcc: h@y.test\r\n\r\nTo: d@y.test\r\n");
        let divided = disclosed.divide(recipients(&["h@y.test", "a@y.test", "c@z.test", "d@y.test"]));
        let shown: Vec<Vec<String>> = divided.iter().map(|one| one.iter().map(|to| to.mailbox.to_string()).collect()).collect();
        assert_eq!(shown, [vec!["a@y.test", "c@z.test"], vec!["h@y.test"], vec!["d@y.test"]]);
        assert!(divided.iter().all(|one| disclosed.may_share(one)));
        let many: Vec<String> = (0..=HIDDEN_MAX).map(|n| format!("r{n}@y.test")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        let divided = disclosed.divide(recipients(&many));
        assert_eq!(divided.len(), 1);
        assert!(!disclosed.may_share(&divided[0]), "such a message is not signed");
    }
}
