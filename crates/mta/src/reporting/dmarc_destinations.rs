//! Destinations of a domain's DMARC reports: the mailboxes of its current record, those of other organisations only with their consent.
//!
//! RFC 9990 (verifying external destinations). Invariant: a mailbox of another organisation gets reports only with a record at
//! `<domain>._report._dmarc` of its own domain, so a domain cannot direct reports at others.

use mail::{Domain, Mailbox};
use msgauth::Unanswered;
use reports::{ADDRESSES_MAX, confirm_destination, rua_mailboxes};

use crate::context::Snapshot;
use crate::reporting::schedule::Reporter;

/// Destinations of a report.
#[derive(Debug, Default)]
pub(crate) struct Destinations {
    /// Confirmed.
    pub to: Vec<Mailbox>,
    /// Unknown, since DNS gave no answer.
    pub unanswered: Vec<Mailbox>,
}

/// Looks up the destinations of a domain's reports, or checks only the one given.
///
/// # Errors
/// [`Unanswered`] if DNS gives no answer about the domain's record.
pub(crate) async fn destinations(reporter: &Reporter, domain: &Domain, only: Option<&Mailbox>) -> Result<Destinations, Unanswered> {
    let mut found = Destinations::default();
    let Some(record) = reporter.resolver.authenticator().dmarc_record(domain.as_str()).await? else { return Ok(found) };
    for to in rua_mailboxes(&record.report_uris) {
        if only.is_some_and(|only| *only != to) {
            continue;
        }
        match confirmed_mailboxes(reporter, domain, &to).await {
            Ok(mailboxes) => mailboxes.into_iter().for_each(|mailbox| {
                if !found.to.contains(&mailbox) {
                    found.to.push(mailbox);
                }
            }),
            Err(Unanswered) => found.unanswered.push(to),
        }
    }
    found.to.truncate(ADDRESSES_MAX);
    Ok(found)
}

/// The mailboxes that consent to the reports for an address of the record.
async fn confirmed_mailboxes(reporter: &Reporter, domain: &Domain, to: &Mailbox) -> Result<Vec<Mailbox>, Unanswered> {
    let Snapshot { settings, directory } = reporter.outbox.shared.snapshot();
    if policy::takes_reports(&directory, &settings.forward.srs.domain, to) {
        tracing::debug!(%domain, %to, "no DMARC report to ourselves");
        return Ok(Vec::new());
    }
    let authenticator = reporter.resolver.authenticator();
    let host = to.domain.as_str();
    if authenticator.organizational_domain(domain.as_str()).await? == authenticator.organizational_domain(host).await? {
        return Ok(vec![to.clone()]);
    }
    // A name too long for DNS has no record.
    let Ok(name) = Domain::parse(&format!("{domain}._report._dmarc.{host}")) else { return Ok(Vec::new()) };
    let texts = reporter.resolver.txt(&name).await.map_err(|_| Unanswered)?;
    let mailboxes = confirm_destination(&texts, to);
    if mailboxes.is_empty() {
        tracing::info!(%domain, %to, "no DMARC report: {name} does not permit it");
    }
    Ok(mailboxes)
}
