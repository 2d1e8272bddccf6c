//! RCPT: whether a client may send to a recipient, and where that recipient leads.
//!
//! RFC 5321 s.3.6.2 and s.4.5.1 (postmaster). Invariant: a client without a login reaches hosted domains only, whatever
//! the local part looks like: `u%evil@hosted` is a local part of a hosted domain and nothing else.

use directory::{Directory, ExpandError, Target};
use mail::srs::{Reversed, Srs};
use mail::{ForwardPath, Mailbox, Reply, ReversePath};

use crate::report_address::takes_reports;

/// The connected client.
#[derive(Debug, Clone, Copy)]
pub struct Client<'a> {
    /// The account, after a login.
    pub login: Option<&'a str>,
}

/// An accepted recipient, and what it leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AcceptedRecipient {
    /// A hosted alias: the message goes to its targets.
    Alias {
        /// The alias as the sender wrote it.
        alias: Mailbox,
        /// Its targets; never empty.
        targets: Vec<Mailbox>,
    },
    /// A foreign mailbox, for a client that is logged in.
    Foreign(Mailbox),
    /// A return address of ours: a DSN about a forwarded message goes back to its sender.
    Sender {
        /// The return address.
        known_as: Mailbox,
        /// The sender of the forwarded message.
        sender: Mailbox,
    },
    /// A return address of ours for a sender too long to be encoded: the store has the sender under a token.
    Token {
        /// The return address.
        known_as: Mailbox,
        /// The token.
        token: String,
    },
    /// An address for DMARC and TLS reports: the message is read, and not delivered.
    Reports(Mailbox),
}

/// What decisions about recipients depend on.
#[derive(Debug, Clone, Copy)]
pub struct Rules<'a> {
    /// Domains and aliases.
    pub directory: &'a Directory,
    /// The postmaster: the recipient of mail for a bare `<Postmaster>`, and for a domain's postmaster and abuse if it has no such alias.
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
        // A lost or new database must not fail mail for domains that will be hosted again.
        if !directory.has_domains() {
            return Err(Reply::new(451, (4, 3, 0), "this server is not set up: it hosts no domain yet; try again later"));
        }
        return Err(Reply::new(
            550,
            (5, 7, 1),
            "relaying denied: this server accepts mail for its own domains only; log in on port 587 or 465 to send",
        ));
    }
    let accepted = hosted(directory, postmaster, mailbox)?;
    match (&accepted, reverse_path.mailbox()) {
        (AcceptedRecipient::Alias { alias, .. }, Some(sender)) if client.login.is_none() && directory.blocks(alias, sender) => {
            Err(blocked())
        }
        _ => Ok(accepted),
    }
}

/// The reply to a sender that the alias of a recipient blocks.
pub fn blocked() -> Reply {
    Reply::new(550, (5, 7, 1), "the recipient does not accept mail from this sender")
}

/// A return address accepts DSNs only, and only with our signature: it is not a way to relay. An automatic reply of the mailbox behind an alias
/// is accepted too, and dropped (mta's `auto_replies.rs`).
fn return_address(rules: Rules<'_>, reverse_path: &ReversePath, known_as: Mailbox) -> Result<AcceptedRecipient, Reply> {
    let refused = |text: String| Reply::new(550, (5, 7, 1), text);
    if let Some(sender) = reverse_path.mailbox() {
        // The hash first: without an address that we signed, the client learns nothing about what is behind an alias.
        let is_ours = rules.srs.reverse(&known_as, rules.now_unix_s).is_ok();
        if !is_ours || !is_target(rules.directory, sender) {
            return Err(refused("this return address accepts DSNs only: mail with the null reverse-path".into()));
        }
        return Ok(AcceptedRecipient::Sender { sender: known_as.clone(), known_as });
    }
    match rules.srs.reverse(&known_as, rules.now_unix_s).map_err(|e| refused(e.to_string()))? {
        Reversed::Token(token) => Ok(AcceptedRecipient::Token { known_as, token }),
        Reversed::Address(sender) if rules.directory.hosts(&sender.domain) => hosted(rules.directory, rules.postmaster, sender),
        Reversed::Address(sender) => Ok(AcceptedRecipient::Sender { known_as, sender }),
    }
}

/// Whether this mailbox is the target of an alias. A target may have an extension that its user's own mail does not have.
pub fn is_target(directory: &Directory, mailbox: &Mailbox) -> bool {
    let is = |target: &Target| match target {
        Target::Address(target) => target == mailbox || directory.without_extension(target) == *mailbox,
        Target::Domain(_) => false,
    };
    directory.contents().aliases.iter().flat_map(|alias| alias.targets.iter()).any(is)
}

/// Some aliases cannot be read at the moment; the address may be one of them.
fn incomplete() -> Reply {
    Reply::new(451, (4, 3, 5), "not all addresses of this server can be read at the moment; try again later")
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

/// The reply for an address that cannot be expanded.
fn not_expanded(directory: &Directory, error: &ExpandError) -> Reply {
    match error {
        ExpandError::Unknown if directory.contents().incomplete => incomplete(),
        ExpandError::Unknown => Reply::new(550, (5, 1, 1), "no such address here"),
        ExpandError::Disabled => Reply::new(550, (5, 2, 1), "this address is disabled"),
        // The operator can mend the directory: meanwhile the sender keeps the mail.
        ExpandError::NoTarget | ExpandError::Cycle(_) | ExpandError::TooDeep | ExpandError::TooMany | ExpandError::TooLong => {
            Reply::new(451, (4, 3, 5), "this address is misconfigured here; try again later")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use directory::{Contents, HostedDomain, virtual_file};

    /// The reply code for mail from outside; owner@x.test is the postmaster.
    fn code(file: &str, incomplete: bool, to: &str) -> u16 {
        let aliases = virtual_file::parse(file, None).aliases.into_iter().map(|(alias, _)| alias).collect();
        let domains = vec![HostedDomain { name: "x.test".parse().unwrap(), enabled: true }];
        let directory = Directory::new(Contents { domains, aliases, incomplete, ..Contents::default() });
        let srs = Srs { domain: "fwd.x.test".parse().unwrap(), secrets: Vec::new(), mac: |_, _| Vec::new() };
        let postmaster = "owner@x.test".parse().unwrap();
        let rules = Rules { directory: &directory, postmaster: Some(&postmaster), srs: &srs, now_unix_s: 0 };
        let client = Client { login: None };
        decide_recipient(rules, client, &ReversePath::Null, &ForwardPath::Mailbox(to.parse().unwrap()))
            .map_or_else(|reply| reply.code, |_| 250)
    }

    #[test]
    fn unreadable_aliases_get_4xx() {
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

    #[test]
    fn a_blocked_sender_is_refused_and_others_are_not() {
        let file = virtual_file::parse(
            "me@x.test foo@g.test\nyou@x.test foo@g.test\n# options: me@x.test {\"blocked\":[\"@casino.test\"]}\n",
            None,
        );
        let directory = Directory::new(Contents {
            domains: vec![HostedDomain { name: "x.test".parse().unwrap(), enabled: true }],
            aliases: file.aliases.into_iter().map(|(alias, _)| alias).collect(),
            alias_options: file.alias_options.into_iter().map(|(source, options)| (source.key(), options)).collect(),
            ..Contents::default()
        });
        let srs = Srs { domain: "fwd.x.test".parse().unwrap(), secrets: Vec::new(), mac: |_, _| Vec::new() };
        let rules = Rules { directory: &directory, postmaster: None, srs: &srs, now_unix_s: 0 };
        let decided = |login: Option<&str>, from: &str, to: &str| {
            let from = from.parse().map(ReversePath::Mailbox).unwrap_or(ReversePath::Null);
            let decided = decide_recipient(rules, Client { login }, &from, &ForwardPath::Mailbox(to.parse().unwrap()));
            decided.map_or_else(|reply| reply.to_string(), |_| "250".into())
        };
        assert!(decided(None, "win@mail.casino.test", "ME@x.test").starts_with("550 5.7.1 the recipient does not accept mail"));
        assert_eq!(decided(None, "win@mail.casino.test", "you@x.test"), "250");
        assert_eq!(decided(None, "friend@y.test", "me@x.test"), "250");
        assert_eq!(decided(None, "", "me@x.test"), "250", "a DSN has no sender to block");
        assert_eq!(decided(Some("you@x.test"), "win@casino.test", "me@x.test"), "250", "an account may write to any address here");
    }
}
