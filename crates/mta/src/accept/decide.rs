//! Stage: decides whether a message is accepted, held, or refused.
//!
//! RFC 6409 s.6 and s.8 for submitted mail, RFC 9989 for mail from other servers. Invariant: a refusal is made here, in the session, so that
//! the sender gets the reply.

use directory::Directory;
use mail::{AddressList, AddressListError, Domain, Fields, Mailbox, Reply, ReversePath, Tags};
use policy::{AcceptedRecipient, Treatment};
use spam_filter::Verdict;

use crate::accept::filter::Filtered;
use crate::accept::message_auth::{Authenticated, Proof};
use crate::accept::received::Received;
use crate::accept::returned_chain::ReturnedChain;
use crate::settings::Forward;
use crate::support::large_contents::Whole;

/// An accepted message.
#[derive(Debug)]
pub(crate) struct Accepted<'a> {
    /// The message.
    pub received: Received,
    /// The proof of its sender.
    pub proof: Proof,
    /// Its content in memory.
    pub whole: Whole<'a>,
    /// Whether it is forwarded unchanged, rewritten, wrapped or held.
    pub treatment: Treatment,
    /// Whether its sender may get a DSN.
    pub may_report: bool,
    /// Whether we wrote its content.
    pub is_ours: bool,
    /// The message that this DSN returns, if it came and went in a DKIM2 chain.
    pub returned: Option<ReturnedChain>,
    /// It has no Message-ID, and may be given one.
    pub lacks_message_id: bool,
    /// It has no Date, and may be given one.
    pub lacks_date: bool,
}

/// Judges a message by its form, its sender and the settings, regardless of the spam filter's verdict.
pub(crate) fn judge(authenticated: &Authenticated, directory: &Directory, forward: &Forward) -> Result<Treatment, Reply> {
    let Authenticated { received, proof, header } = authenticated;
    let content: &[u8] = header;
    let aliases = received.recipients.iter().filter_map(|(_, accepted)| match accepted {
        AcceptedRecipient::Alias { alias, .. } => Some(alias),
        _ => None,
    });
    let settings_of = aliases.clone();
    policy::check_header(content, aliases).and_then(|()| match proof {
        Proof::Login(login) => submitted(directory, login, content).map(|()| Treatment::AsIs),
        Proof::Local(_) => Ok(Treatment::AsIs),
        Proof::Evidence(evidence) => {
            let is_report = is_report(received);
            policy::check_well_formed(content, is_report)?;
            if is_report && has_no_author(content) {
                // A DSN. Its target would refuse it in this form, so it is wrapped.
                return Ok(Treatment::Wrapped);
            }
            let from = from_addresses(content)?;
            if from.is_empty() {
                return Err(Reply::new(550, (5, 6, 0), "the From field has no address"));
            }
            if is_for_each_alias(received, |alias| from.iter().any(|author| directory.blocks(alias, author))) {
                return Err(policy::blocked());
            }
            let from: Vec<Domain> = from.into_iter().map(|mailbox| mailbox.domain).collect();
            // All recipients get the same treatment: the strictest setting of their aliases applies.
            let strict = settings_of
                .filter_map(|alias| directory.alias_option(alias, |options| options.strict_domain))
                .max()
                .unwrap_or(forward.strict_domain);
            let unauthenticated = forward.unauthenticated;
            policy::decide_treatment(evidence, &from, &received.reverse_path, directory, unauthenticated, strict)
        }
    })
}

/// Combines the judgement with the filter's verdict, and with the senders that the recipients never want held.
pub(crate) fn decide(filtered: &Filtered, judged: Result<Treatment, Reply>, directory: &Directory) -> Result<Treatment, Reply> {
    let judged = judged?;
    let (verdict, authenticated) = (filtered.answer.verdict.clone(), &filtered.authenticated);
    let would_hold = matches!(judged, Treatment::Held(_)) || matches!(verdict, Verdict::Hold(_));
    if !would_hold || !is_allowed(authenticated, directory) {
        return with_verdict(judged, verdict, &authenticated.proof);
    }
    let judged = if let Treatment::Held(_) = judged { Treatment::Rewritable } else { judged };
    let verdict = if let Verdict::Hold(_) = verdict { Verdict::Pass } else { verdict };
    with_verdict(judged, verdict, &authenticated.proof)
}

/// Whether all authors are allowed by the aliases of all recipients. An author under a domain of ours is not: our signature would prove what nobody
/// has proved to us.
fn is_allowed(authenticated: &Authenticated, directory: &Directory) -> bool {
    let (Proof::Evidence(_), Ok(from)) = (&authenticated.proof, from_addresses(&authenticated.header)) else { return false };
    let is_ours = |author: &Mailbox| {
        let mut above = Some(author.domain.as_str());
        std::iter::from_fn(|| {
            let name = above?;
            above = name.split_once('.').map(|(_, rest)| rest);
            Some(name)
        })
        .any(|name| Domain::parse(name).is_ok_and(|name| directory.hosts(&name)))
    };
    !from.is_empty()
        && !from.iter().any(is_ours)
        && is_for_each_alias(&authenticated.received, |alias| from.iter().all(|author| directory.allows(alias, author)))
}

/// Whether every recipient is an alias for which this holds.
fn is_for_each_alias(received: &Received, holds: impl Fn(&Mailbox) -> bool) -> bool {
    !received.recipients.is_empty()
        && received.recipients.iter().all(|(_, accepted)| match accepted {
            AcceptedRecipient::Alias { alias, .. } => holds(alias),
            _ => false,
        })
}

/// Makes the accepted message, with its content.
pub(crate) fn accept(authenticated: Authenticated, treatment: Treatment, whole: Whole<'_>) -> Accepted<'_> {
    let Authenticated { received, proof, header } = authenticated;
    let (may_report, is_submitted) = match &proof {
        Proof::Login(_) | Proof::Local(_) => (true, true),
        Proof::Evidence(evidence) => (policy::may_report(evidence, &received.reverse_path), false),
    };
    // Gmail refuses mail without them. A signature may cover their absence.
    let lacks = |name| Fields::find_first(&header, name).is_none() && (is_submitted || !is_signed_absent(&header, name));
    let (lacks_message_id, lacks_date) = (lacks("Message-ID"), lacks("Date"));
    Accepted { received, proof, whole, treatment, may_report, is_ours: false, returned: None, lacks_message_id, lacks_date }
}

/// Whether a signature of DKIM or ARC names a field that is not there: adding the field would break the signature (RFC 6376 s.5.4).
fn is_signed_absent(header: &[u8], name: &str) -> bool {
    let mut signatures = Fields::new(header).filter(|field| field.is("DKIM-Signature") || field.is("ARC-Message-Signature"));
    // One that cannot be read does not verify.
    signatures.any(|field| Tags::parse(field.value).is_some_and(|tags| tags.lists("h", &[name])))
}

/// The filter's verdict matters only for a message that would be accepted, since our own refusal explains more.
fn with_verdict(treatment: Treatment, verdict: Verdict, proof: &Proof) -> Result<Treatment, Reply> {
    match (verdict, treatment, proof) {
        (Verdict::Pass, treatment, _) => Ok(treatment),
        (Verdict::Reject(reply) | Verdict::Defer(reply), ..) => Err(reply),
        // The author is online and can correct it at once.
        (Verdict::Hold(_), _, Proof::Login(_) | Proof::Local(_)) => Err(Reply::new(550, (5, 7, 1), "the message looks like spam")),
        (Verdict::Hold(reason), Treatment::Held(before), _) => Ok(Treatment::Held(format!("{before}; {reason}"))),
        (Verdict::Hold(reason), ..) => Ok(Treatment::Held(reason)),
    }
}

/// Whether a message is a DSN that is passed on: null reverse-path, to return addresses and aliases.
fn is_report(received: &Received) -> bool {
    let passed_on = |accepted: &AcceptedRecipient| matches!(accepted, AcceptedRecipient::Alias { .. } | AcceptedRecipient::Sender { .. });
    received.reverse_path == ReversePath::Null && received.recipients.iter().all(|(_, accepted)| passed_on(accepted))
}

/// Whether From has no valid address: `MAILER-DAEMON <>` as dma writes it, `MAILER-DAEMON`, `<>`, a group without members, or no field.
pub(crate) fn has_no_author(front: &[u8]) -> bool {
    AddressList::of_field(front, "From").map_or(true, |list| list.mailboxes.is_empty())
}

/// The reply to a client whose account was disabled, suspended or removed after its login.
pub(crate) fn inactive_account() -> Reply {
    Reply::new(550, (5, 7, 1), "the account has been disabled, suspended or removed")
}

/// Checks that the From field has only addresses of the account.
pub(crate) fn submitted(directory: &Directory, login: &str, front: &[u8]) -> Result<(), Reply> {
    let account = directory.active_account(login).ok_or_else(inactive_account)?;
    if Fields::new(front).filter(|f| f.is("From")).count() > 1 {
        return Err(Reply::new(550, (5, 6, 0), "the message has more than one From field"));
    }
    let from = from_list(front)?;
    if let ([_, ..], [name, ..]) = (from.mailboxes.as_slice(), from.bare.as_slice()) {
        return Err(unquoted_comma(name));
    }
    policy::check_from(directory, account, &from.mailboxes)
}

/// The addresses of the From field. An invalid address is refused, since no account can own it.
pub(crate) fn from_addresses(front: &[u8]) -> Result<Vec<Mailbox>, Reply> {
    let from = from_list(front)?;
    match (from.mailboxes.len(), from.bare.as_slice()) {
        // `Doe, John <john@x.test>`: a name whose comma is not quoted. With one address the author is clear, and Postfix accepts it.
        (0 | 1, _) | (_, []) => Ok(from.mailboxes),
        (_, [name, ..]) => Err(unquoted_comma(name)),
    }
}

fn from_list(front: &[u8]) -> Result<AddressList, Reply> {
    AddressList::of_field(front, "From").map_err(|error| {
        let text = match error {
            AddressListError::Address(error) => format!("invalid address in the From field: {error}"),
            error => format!("malformed From field: {error}"),
        };
        Reply::new(550, (5, 6, 0), text)
    })
}

/// The reply to a bare name beside addresses: it is part of a display name whose comma is not quoted.
fn unquoted_comma(name: &str) -> Reply {
    let shown = mail::one_line_at_most(name, 60);
    let text = format!("the From field has a comma after \"{shown}\": a name that holds a comma must be in quotation marks");
    Reply::new(550, (5, 6, 0), text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_whose_absence_is_signed_is_not_added() {
        for signature in ["DKIM-Signature: v=1; h=from:Date; b=x", "ARC-Message-Signature: i=1; h=date : from; b=x"] {
            let header = format!("{signature}\r\nFrom: her@foreign.test\r\n\r\n").into_bytes();
            assert!(is_signed_absent(&header, "Date") && !is_signed_absent(&header, "Message-ID"), "{signature}");
        }
        assert!(!is_signed_absent(b"X-Signature: h=date\r\nFrom: her@foreign.test\r\n\r\n", "Date"));
    }

    #[test]
    fn the_filters_verdict_can_hold_or_refuse_an_accepted_message() {
        let (stranger, login) = (Proof::Evidence(Box::default()), Proof::Login("me@example.test".into()));
        let hold = || Verdict::Hold("spam score 8".into());
        assert_eq!(with_verdict(Treatment::Rewritable, Verdict::Pass, &stranger), Ok(Treatment::Rewritable));
        assert_eq!(with_verdict(Treatment::Rewritable, hold(), &stranger), Ok(Treatment::Held("spam score 8".into())));
        assert_eq!(with_verdict(Treatment::Held("DMARC".into()), hold(), &stranger), Ok(Treatment::Held("DMARC; spam score 8".into())));
        assert_eq!(with_verdict(Treatment::AsIs, hold(), &login).unwrap_err().code, 550);
        let defer = Verdict::Defer(Reply::new(451, (4, 7, 1), "later"));
        assert_eq!(with_verdict(Treatment::Held("DMARC".into()), defer, &stranger).unwrap_err().code, 451);
    }

    #[test]
    fn an_unquoted_comma_in_a_name_is_refused_for_accounts() {
        let directory = Directory::new(directory::Contents {
            domains: vec![directory::HostedDomain { name: "example.test".parse().unwrap(), enabled: true }],
            accounts: vec![directory::Account::new("me@example.test".parse().unwrap(), [0; 16])],
            ..Default::default()
        });
        let refused = submitted(&directory, "me@example.test", b"From: Doe, John <me@example.test>\r\n\r\n").unwrap_err().to_string();
        assert!(refused.starts_with("550 5.6.0 ") && refused.contains("in quotation marks"), "{refused}");
        assert_eq!(submitted(&directory, "me@example.test", b"From: \"Doe, John\" <me@example.test>\r\n\r\n"), Ok(()));
    }

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
        assert!(read("not an address").unwrap().is_empty());
        assert!(from_addresses(b"To: x\r\n\r\n").unwrap().is_empty());
        assert_eq!(read("\"john smith\"@example.test").unwrap(), ["\"john smith\"@example.test"]);
        assert_eq!(read("Doe, John <john@example.test>").unwrap(), ["john@example.test"]);
        let two = read("Doe, John <john@example.test>, ann@example.test").unwrap_err().to_string();
        assert!(two.starts_with("550 5.6.0 ") && two.contains("a comma after \"Doe\""), "{two}");
        let bad = read("a@b@example.test").unwrap_err().to_string();
        assert!(bad.contains("invalid address in the From field"), "{bad}");
    }
}
