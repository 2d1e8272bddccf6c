//! Where a domain's aggregate reports go: the mailboxes of its record as it is now, and of others only where they say that reports are welcome.
//!
//! RFC 9990 (verifying external destinations). Invariant: a mailbox of another organisation gets none without a record at `<domain>._report._dmarc` of its own domain, so nobody can have
//! reports sent to a stranger.

use mail::{Domain, Mailbox};
use msgauth::Unanswered;
use reports::{ADDRESSES_MAX, confirm_destination, rua_mailboxes};

use crate::queue::dispatch::World;

/// What is known about where the reports go.
#[derive(Debug, Default)]
pub(crate) struct Destinations {
    /// Here.
    pub to: Vec<Mailbox>,
    /// Perhaps here: DNS gave no answer about them.
    pub unanswered: Vec<Mailbox>,
}

/// Asks where the reports about a domain go; about one of the mailboxes alone where it is named.
///
/// # Errors
/// [`Unanswered`] where DNS does not say what the domain wants.
pub(crate) async fn destinations(world: &World, domain: &Domain, only: Option<&Mailbox>) -> Result<Destinations, Unanswered> {
    let mut found = Destinations::default();
    let Some(record) = world.resolver.authenticator().dmarc_record(domain.as_str()).await? else { return Ok(found) };
    for to in rua_mailboxes(&record.report_uris) {
        if only.is_some_and(|only| *only != to) {
            continue;
        }
        match welcome(world, domain, &to).await {
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

/// The mailboxes that stand for one of the record.
async fn welcome(world: &World, domain: &Domain, to: &Mailbox) -> Result<Vec<Mailbox>, Unanswered> {
    let forwarding = world.settings.load().forward.srs.domain.clone();
    if policy::takes_reports(&world.live.current(), &forwarding, to) {
        tracing::debug!(%domain, %to, "no report of DMARC to ourselves");
        return Ok(Vec::new());
    }
    let authenticator = world.resolver.authenticator();
    let host = to.domain.as_str();
    if authenticator.organizational_domain(domain.as_str()).await? == authenticator.organizational_domain(host).await? {
        return Ok(vec![to.clone()]);
    }
    // A name that is too long for DNS is no answer but no.
    let Ok(name) = Domain::parse(&format!("{domain}._report._dmarc.{host}")) else { return Ok(Vec::new()) };
    let texts = world.resolver.txt(&name).await.map_err(|_| Unanswered)?;
    let mailboxes = confirm_destination(&texts, to);
    if mailboxes.is_empty() {
        tracing::info!(%domain, %to, "no report of DMARC: {name} does not say that it is welcome there");
    }
    Ok(mailboxes)
}
