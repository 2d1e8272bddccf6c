//! RCPT: may this client send to this recipient, and where does it go?
//!
//! RFC 5321 s.3.6.2 and s.4.5.1 (postmaster). Invariant: an unauthenticated client reaches hosted domains only, whatever
//! the local part looks like: `u%evil@hosted` is a local part of a hosted domain and nothing else.

use std::net::IpAddr;

use directory::{Directory, ExpandError};
use mail::{Domain, ForwardPath, LocalPart, Mailbox, Reply};

/// Who is asking.
#[derive(Debug, Clone, Copy)]
pub struct Client<'a> {
    /// Its address.
    pub address: IpAddr,
    /// The account, where it logged in.
    pub login: Option<&'a str>,
}

/// A recipient that was accepted, and what it becomes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AcceptedRecipient {
    /// An alias of ours: the message goes to its targets.
    Alias {
        /// The alias as the sender named it.
        alias: Mailbox,
        /// Where it leads; never empty.
        targets: Vec<Mailbox>,
    },
    /// A foreign mailbox, for an authenticated client.
    Foreign(Mailbox),
}

/// Decides about a recipient. `postmaster_domain` is the domain that a bare `<Postmaster>` means.
pub fn recipient(directory: &Directory, client: Client<'_>, path: &ForwardPath, postmaster_domain: &Domain) -> Result<AcceptedRecipient, Reply> {
    let mailbox = match path {
        ForwardPath::Mailbox(mailbox) => mailbox.clone(),
        ForwardPath::Postmaster => match LocalPart::parse("postmaster") {
            Ok(local) => Mailbox { local, domain: postmaster_domain.clone() },
            Err(_) => return Err(Reply::new(550, (5, 1, 1), "no postmaster here")),
        },
    };
    if !directory.hosts(&mailbox.domain) {
        if client.login.is_some() {
            return Ok(AcceptedRecipient::Foreign(mailbox));
        }
        return Err(Reply::new(550, (5, 7, 1), "relaying denied: this server takes mail for its own domains only; log in on port 587 or 465 to send"));
    }
    match directory.expand(&mailbox) {
        Ok(expansion) => Ok(AcceptedRecipient::Alias { alias: mailbox, targets: expansion.targets }),
        Err(ExpandError::Unknown) => Err(Reply::new(550, (5, 1, 1), "no such address here")),
        Err(ExpandError::Disabled) => Err(Reply::new(550, (5, 2, 1), "this address is switched off")),
        // A fault of the directory, which its owner can mend: the mail is worth keeping with its sender meanwhile.
        Err(ExpandError::Cycle(_) | ExpandError::TooDeep | ExpandError::TooMany | ExpandError::TooLong) => {
            Err(Reply::new(451, (4, 3, 5), "this address is misconfigured here; try again later"))
        }
    }
}
