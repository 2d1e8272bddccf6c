//! Stage: stores a DMARC or TLS report from another server; it is not forwarded.
//!
//! RFC 9990 (DMARC), RFC 8460 s.5.3 (TLS). Invariant: the reply is 250 only after the commit, and only for an authenticated submitter; anything
//! but a report is refused in the session, so that no sender expects a person to read it.

use std::net::IpAddr;

use bytes::Bytes;
use directory::Directory;
use mail::{Domain, Reply};
use policy::AcceptedRecipient;
use reports::dmarc::Own;
use reports::received::{ReceivedReport as Read, read_message};
use store::{Committed, NewReport, ReportContent, Store};
use tokio::sync::Semaphore;

use crate::accept::decide::{from_addresses, submitted};
use crate::accept::message_auth::{Authenticated, Proof};
use crate::context::Snapshot;
use crate::queue::not_taken::NotTaken;
use crate::support::large_contents::{ContentOrigin, LargeContents};

/// Maximum reports read at a time; each needs CPU time and about 10 MiB.
const READ_AT_ONCE: usize = 2;

/// Limits the reports that are read at a time.
#[derive(Debug)]
pub(crate) struct ReadingLimit(Semaphore);

impl Default for ReadingLimit {
    fn default() -> Self {
        Self(Semaphore::new(READ_AT_ONCE))
    }
}

impl ReadingLimit {
    /// Reads a report on a thread for blocking work.
    async fn read(&self, message: Bytes) -> Result<Read, Reply> {
        // An error means that the semaphore was closed, which never happens.
        let _place = self.0.acquire().await.ok();
        let read = tokio::task::spawn_blocking(move || read_message(&message)).await;
        read.map_err(|error| {
            tracing::error!(%error, "cannot read a report: a bug");
            Reply::new(451, (4, 3, 0), "an internal error; try again later")
        })
    }
}

/// Reads the report.
pub(crate) async fn read_report(
    large: &LargeContents,
    reading: &ReadingLimit,
    Snapshot { settings, directory }: &Snapshot,
    authenticated: &Authenticated,
) -> Result<NewReport, NotTaken> {
    let Authenticated { received, proof, header } = authenticated;
    let submitter = submitter(directory, proof, header)?;
    let whole = large.load(&received.content, ContentOrigin::from(proof)).await?;
    let read = reading.read(whole.bytes.clone()).await?;
    drop(whole);
    let address = match received.recipients.first() {
        Some((_, AcceptedRecipient::Reports(address))) => address.to_string(),
        _ => String::new(),
    };
    let own = own(directory, &settings.forward.srs.domain, Vec::new());
    let content = wanted(read, &own, &address)?;
    Ok(NewReport { submitter: submitter.to_string(), received_ms: received.at_ms, content })
}

/// Reads the report and commits its contents.
pub(crate) async fn store_report(
    store: &Store,
    large: &LargeContents,
    reading: &ReadingLimit,
    snapshot: &Snapshot,
    authenticated: Authenticated,
) -> Result<Committed, NotTaken> {
    let new = read_report(large, reading, snapshot, &authenticated).await?;
    let received = authenticated.received;
    tracing::info!(id = %received.id, submitter = new.submitter, kind = new.kind(), organisation = new.organisation(), report = new.report_id(), "report read");
    let committed = store.keep_report(new).await;
    // The contents are stored, or the sender will retry; the message itself is not needed.
    store.discard(&received.content);
    Ok(committed?)
}

/// Returns the addresses and domains of this server, by which reports are judged.
pub(crate) fn own(directory: &Directory, forwarding: &Domain, addresses: Vec<IpAddr>) -> Own {
    let domains = directory.contents().domains.iter().map(|domain| domain.name.to_string()).collect();
    Own { addresses, forwarding: forwarding.to_string(), domains }
}

/// Returns the domain that submits the report.
fn submitter(directory: &Directory, proof: &Proof, message: &[u8]) -> Result<Domain, Reply> {
    let from: Vec<Domain> = from_addresses(message)?.into_iter().map(|mailbox| mailbox.domain).collect();
    match proof {
        Proof::Evidence(evidence) => {
            policy::check_well_formed(message, false)?;
            policy::check_report_submitter(evidence, &from)
        }
        Proof::Login(login) | Proof::Local(login) => {
            submitted(directory, login, message)?;
            from.into_iter().next().ok_or_else(|| Reply::new(550, (5, 6, 0), "the From field has no address"))
        }
    }
}

/// Returns the report, if it is about a domain of this server.
fn wanted(read: Read, own: &Own, address: &str) -> Result<ReportContent, Reply> {
    let refused = |text: String| Err(Reply::new(550, (5, 6, 0), text));
    let (content, about) = match read {
        Read::NotAReport => {
            let person = address.rsplit_once('@').map(|(_, domain)| format!("postmaster@{domain}")).unwrap_or_default();
            return refused(format!("{address} accepts DMARC and TLS reports only; write to {person}"));
        }
        Read::TooLarge => {
            let most = reports::unpack::UNPACKED_MAX_BYTES >> 20;
            return Err(Reply::new(552, (5, 3, 4), format!("the report is too large: maximum {most} MiB uncompressed")));
        }
        Read::Unreadable(why) => return refused(format!("malformed report: {}", for_reply(&why))),
        Read::Dmarc(report) => {
            let about = report.policy.domain.clone();
            (own.concerns(&about).then_some(ReportContent::Aggregate(report)), about)
        }
        Read::Tls(report) if report.id.trim().is_empty() || report.organization.trim().is_empty() => {
            return refused("malformed report: no report ID or organization name".into());
        }
        Read::Tls(mut report) => {
            let about = report.policies.first().map(|policy| policy.policy.domain.clone()).unwrap_or_default();
            report.policies.retain(|policy| own.concerns(&policy.policy.domain.trim_end_matches('.').to_ascii_lowercase()));
            ((!report.policies.is_empty()).then_some(ReportContent::Tls(report)), about)
        }
    };
    content.ok_or_else(|| {
        let text = format!("the report is about {:?}, which is not a domain of this server", for_reply(&about));
        Reply::new(550, (5, 6, 0), text)
    })
}

/// Untrusted text, made safe for a reply line.
fn for_reply(text: &str) -> String {
    text.chars().map(|c| if c.is_ascii_graphic() || c == ' ' { c } else { '?' }).take(120).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use reports::tls::{Policy, PolicyResult, TlsReport};

    fn ours() -> Own {
        Own { addresses: Vec::new(), forwarding: "fwd.example.test".into(), domains: vec!["example.test".into()] }
    }

    fn tls(domains: &[&str]) -> Read {
        let policy = |domain: &&str| PolicyResult {
            policy: Policy { domain: (*domain).into(), ..Policy::default() },
            summary: Default::default(),
            failures: Vec::new(),
        };
        Read::Tls(TlsReport {
            organization: "Far".into(),
            begin_unix_s: 0,
            end_unix_s: 1,
            contact: String::new(),
            id: "1".into(),
            policies: domains.iter().map(policy).collect(),
        })
    }

    #[test]
    fn reports_about_other_domains_are_refused() {
        let Ok(ReportContent::Tls(kept)) = wanted(tls(&["foreign.test", "Example.Test."]), &ours(), "") else { panic!("not kept") };
        assert_eq!(kept.policies.len(), 1);
        let refused = wanted(tls(&["foreign\r\n250 x.test"]), &ours(), "").unwrap_err().to_string();
        assert!(refused.starts_with("550 5.6.0 ") && refused.contains("not a domain of this server"), "{refused}");
        assert!(!refused.trim_end().contains(['\r', '\n']), "{refused:?}");
        assert!(wanted(tls(&[]), &ours(), "").is_err());
    }

    #[test]
    fn mail_to_a_report_address_is_refused_with_the_postmasters_address() {
        let refused = wanted(Read::NotAReport, &ours(), "dmarc@example.test").unwrap_err().to_string();
        assert!(refused.starts_with("550 5.6.0 ") && refused.contains("write to postmaster@example.test"), "{refused}");
        assert!(wanted(Read::TooLarge, &ours(), "").unwrap_err().to_string().starts_with("552 5.3.4 "));
    }
}
