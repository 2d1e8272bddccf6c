//! RCPT: may this client send to this recipient, and where does it go?
//!
//! RFC 5321 s.3.6.2 and s.4.5.1 (postmaster). Invariant: an unauthenticated client reaches hosted domains only, whatever
//! the local part looks like: `u%evil@hosted` is a local part of a hosted domain and nothing else.

use std::net::IpAddr;

use directory::{Directory, ExpandError, Target};
use mail::srs::{Reversed, Srs};
use mail::{ForwardPath, Mailbox, Reply, ReversePath};

use crate::report_address::takes_reports;

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
    /// A return address that we made: a report about a forwarded message goes back to who sent it.
    Sender {
        /// The return address.
        known_as: Mailbox,
        /// Who sent the message.
        sender: Mailbox,
    },
    /// A return address that we made for a sender too long for one: who that is was remembered under a token.
    Token {
        /// The return address.
        known_as: Mailbox,
        /// The token.
        token: String,
    },
    /// An address that takes reports of DMARC and TLS: the message is read, and goes nowhere.
    Reports(Mailbox),
}

/// What the decision about a recipient is based on.
#[derive(Debug, Clone, Copy)]
pub struct Rules<'a> {
    /// Domains and aliases.
    pub directory: &'a Directory,
    /// Who looks after this server: what a bare `<Postmaster>` means, and where mail for a domain's postmaster and abuse goes
    /// while it has no such alias.
    pub postmaster: Option<&'a Mailbox>,
    /// The return addresses of forwarded mail.
    pub srs: &'a Srs,
    /// Now, Unix seconds.
    pub now_unix_s: i64,
}

/// Decides about a recipient of mail from this client and reverse-path.
pub fn decide_recipient(
    rules: Rules<'_>,
    client: Client<'_>,
    reverse_path: &ReversePath,
    path: &ForwardPath,
) -> Result<AcceptedRecipient, Reply> {
    let Rules { directory, postmaster, srs, .. } = rules;
    let mailbox = match (path, postmaster) {
        (ForwardPath::Mailbox(mailbox), _) => mailbox.clone(),
        (ForwardPath::Postmaster, Some(postmaster)) if directory.hosts(&postmaster.domain) => postmaster.clone(),
        (ForwardPath::Postmaster, Some(postmaster)) => {
            return Ok(AcceptedRecipient::Alias { alias: postmaster.clone(), targets: vec![postmaster.clone()] });
        }
        (ForwardPath::Postmaster, None) => return Err(Reply::new(550, (5, 1, 1), "no postmaster is configured here")),
    };
    if srs.owns(&mailbox) {
        return return_address(rules, reverse_path, mailbox);
    }
    if takes_reports(directory, &srs.domain, &mailbox) {
        return Ok(AcceptedRecipient::Reports(mailbox));
    }
    if !directory.hosts(&mailbox.domain) {
        if mailbox.domain == srs.domain
            && let Some(postmaster) = postmaster.filter(|p| Directory::is_role_name(&mailbox.local) && p.domain != srs.domain)
        {
            return decide_recipient(rules, client, reverse_path, &ForwardPath::Mailbox(postmaster.clone()));
        }
        if client.login.is_some() {
            return Ok(AcceptedRecipient::Foreign(mailbox));
        }
        if directory.contents().incomplete {
            return Err(incomplete());
        }
        // A lost or new database must not make senders give up mail that it will host again.
        if !directory.has_domains() {
            return Err(Reply::new(451, (4, 3, 0), "this server is not set up: it hosts no domain yet; try again later"));
        }
        return Err(Reply::new(
            550,
            (5, 7, 1),
            "relaying denied: this server takes mail for its own domains only; log in on port 587 or 465 to send",
        ));
    }
    hosted(directory, postmaster, mailbox)
}

/// A return address takes reports only, and only where we made it: it is no way to send mail to somebody else through us. An automatic answer of the
/// mailbox behind an alias is taken too, and dropped (mta's `answers.rs`).
fn return_address(rules: Rules<'_>, reverse_path: &ReversePath, known_as: Mailbox) -> Result<AcceptedRecipient, Reply> {
    let refused = |text: String| Reply::new(550, (5, 7, 1), text);
    if let Some(sender) = reverse_path.mailbox() {
        // The hash first: without an address that we signed, nothing is learned of what is behind an alias.
        let is_ours = rules.srs.reverse(&known_as, rules.now_unix_s).is_ok();
        if !is_ours || !is_target(rules.directory, sender) {
            return Err(refused("this return address takes delivery reports only: mail with the null reverse-path".into()));
        }
        return Ok(AcceptedRecipient::Sender { sender: known_as.clone(), known_as });
    }
    match rules.srs.reverse(&known_as, rules.now_unix_s).map_err(|e| refused(e.to_string()))? {
        Reversed::Token(token) => Ok(AcceptedRecipient::Token { known_as, token }),
        Reversed::Address(sender) if rules.directory.hosts(&sender.domain) => hosted(rules.directory, rules.postmaster, sender),
        Reversed::Address(sender) => Ok(AcceptedRecipient::Sender { known_as, sender }),
    }
}

/// Whether mail is forwarded to this mailbox. A target may have an extension that its owner's own mail has not.
fn is_target(directory: &Directory, mailbox: &Mailbox) -> bool {
    let is = |target: &Target| match target {
        Target::Address(target) => target == mailbox || directory.without_extension(target) == *mailbox,
        Target::Domain(_) => false,
    };
    directory.contents().aliases.iter().flat_map(|alias| alias.targets.iter()).any(is)
}

/// Aliases are missing that cannot be read for now; the address may be one of them.
fn incomplete() -> Reply {
    Reply::new(451, (4, 3, 5), "not all addresses of this server can be read for now; try again later")
}

/// A mailbox of a hosted domain.
fn hosted(directory: &Directory, postmaster: Option<&Mailbox>, mailbox: Mailbox) -> Result<AcceptedRecipient, Reply> {
    match directory.targets(&mailbox) {
        Ok(targets) => Ok(AcceptedRecipient::Alias { alias: mailbox, targets }),
        Err(ExpandError::Unknown) if directory.is_role(&mailbox) && postmaster.is_some_and(|p| *p != mailbox) => match postmaster {
            Some(postmaster) if directory.hosts(&postmaster.domain) => {
                let targets = directory.targets(postmaster).map_err(|error| not_expanded(directory, &error))?;
                Ok(AcceptedRecipient::Alias { alias: mailbox, targets })
            }
            postmaster => Ok(AcceptedRecipient::Alias { alias: mailbox, targets: postmaster.cloned().into_iter().collect() }),
        },
        Err(error) => Err(not_expanded(directory, &error)),
    }
}

/// Why an address leads nowhere, as the client hears it.
fn not_expanded(directory: &Directory, error: &ExpandError) -> Reply {
    match error {
        ExpandError::Unknown if directory.contents().incomplete => incomplete(),
        ExpandError::Unknown => Reply::new(550, (5, 1, 1), "no such address here"),
        ExpandError::Disabled => Reply::new(550, (5, 2, 1), "this address is switched off"),
        // A fault of the directory, which its owner can mend: the mail is worth keeping with its sender meanwhile.
        ExpandError::NoTarget | ExpandError::Cycle(_) | ExpandError::TooDeep | ExpandError::TooMany | ExpandError::TooLong => {
            Reply::new(451, (4, 3, 5), "this address is misconfigured here; try again later")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use directory::{Contents, HostedDomain, virtual_file};

    /// The code for a stranger's mail; owner@x.test is the postmaster.
    fn code(file: &str, incomplete: bool, to: &str) -> u16 {
        let aliases = virtual_file::parse(file, None).aliases.into_iter().map(|(alias, _)| alias).collect();
        let domains = vec![HostedDomain { name: "x.test".parse().unwrap(), enabled: true }];
        let directory = Directory::new(Contents { domains, aliases, incomplete, ..Contents::default() });
        let srs = Srs { domain: "fwd.x.test".parse().unwrap(), secrets: Vec::new(), mac: |_, _| Vec::new() };
        let postmaster = "owner@x.test".parse().unwrap();
        let rules = Rules { directory: &directory, postmaster: Some(&postmaster), srs: &srs, now_unix_s: 0 };
        let client = Client { address: IpAddr::from([192, 0, 2, 1]), login: None };
        decide_recipient(rules, client, &ReversePath::Null, &ForwardPath::Mailbox(to.parse().unwrap()))
            .map_or_else(|reply| reply.code, |_| 250)
    }

    #[test]
    fn what_cannot_be_read_now_is_not_refused_for_good() {
        let sound = "owner@x.test foo@g.test\nme@x.test foo@g.test\n";
        for (to, complete, incomplete) in
            [("me@x.test", 250, 250), ("postmaster@x.test", 250, 250), ("you@x.test", 550, 451), ("you@other.test", 550, 451)]
        {
            assert_eq!((code(sound, false, to), code(sound, true, to)), (complete, incomplete), "{to}");
        }
        let broken = "owner@x.test root\nme@x.test foo@g.test\n@x.test all@g.test\n";
        for (to, want) in [("me@x.test", 250), ("owner@x.test", 451), ("you@x.test", 250)] {
            assert_eq!(code(broken, false, to), want, "{to}");
        }
        assert_eq!(code("owner@x.test root\n", false, "abuse@x.test"), 451, "its mail goes to the postmaster, whose alias is broken");
    }
}
