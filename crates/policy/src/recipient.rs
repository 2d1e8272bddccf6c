//! RCPT: may this client send to this recipient, and where does it go?
//!
//! RFC 5321 s.3.6.2 and s.4.5.1 (postmaster). Invariant: an unauthenticated client reaches hosted domains only, whatever
//! the local part looks like: `u%evil@hosted` is a local part of a hosted domain and nothing else.

use std::net::IpAddr;

use directory::{Directory, ExpandError};
use mail::{ForwardPath, Mailbox, Reply};

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

/// Decides about a recipient. `postmaster` is who looks after this server: what a bare `<Postmaster>` means, and where mail
/// for a domain's postmaster and abuse goes while it has no such alias.
pub fn recipient(
    directory: &Directory,
    client: Client<'_>,
    path: &ForwardPath,
    postmaster: Option<&Mailbox>,
) -> Result<AcceptedRecipient, Reply> {
    let mailbox = match (path, postmaster) {
        (ForwardPath::Mailbox(mailbox), _) => mailbox.clone(),
        (ForwardPath::Postmaster, Some(postmaster)) if directory.hosts(&postmaster.domain) => postmaster.clone(),
        (ForwardPath::Postmaster, Some(postmaster)) => {
            return Ok(AcceptedRecipient::Alias { alias: postmaster.clone(), targets: vec![postmaster.clone()] });
        }
        (ForwardPath::Postmaster, None) => return Err(Reply::new(550, (5, 1, 1), "no postmaster is configured here")),
    };
    if !directory.hosts(&mailbox.domain) {
        if client.login.is_some() {
            return Ok(AcceptedRecipient::Foreign(mailbox));
        }
        return Err(Reply::new(
            550,
            (5, 7, 1),
            "relaying denied: this server takes mail for its own domains only; log in on port 587 or 465 to send",
        ));
    }
    match directory.expand(&mailbox) {
        Ok(expansion) => Ok(AcceptedRecipient::Alias { alias: mailbox, targets: expansion.targets }),
        Err(ExpandError::Unknown) if directory.is_role(&mailbox) && postmaster.is_some_and(|p| *p != mailbox) => match postmaster {
            Some(postmaster) if directory.hosts(&postmaster.domain) => {
                let targets =
                    directory.expand(postmaster).map(|e| e.targets).map_err(|_| Reply::new(550, (5, 1, 1), "no such address here"))?;
                Ok(AcceptedRecipient::Alias { alias: mailbox, targets })
            }
            postmaster => Ok(AcceptedRecipient::Alias { alias: mailbox, targets: postmaster.cloned().into_iter().collect() }),
        },
        Err(ExpandError::Unknown) => Err(Reply::new(550, (5, 1, 1), "no such address here")),
        Err(ExpandError::Disabled) => Err(Reply::new(550, (5, 2, 1), "this address is switched off")),
        // A fault of the directory, which its owner can mend: the mail is worth keeping with its sender meanwhile.
        Err(ExpandError::Cycle(_) | ExpandError::TooDeep | ExpandError::TooMany | ExpandError::TooLong) => {
            Err(Reply::new(451, (4, 3, 5), "this address is misconfigured here; try again later"))
        }
    }
}
