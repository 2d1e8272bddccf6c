//! Tells other domains once a day how TLS with their hosts went.
//!
//! RFC 8460 s.3, RFC 8460 s.5.3, RFC 8460 s.5.4, RFC 8460 s.5.5 (for a day at most). Invariant: a report is marked as sent in the commit that queues its
//! mails, so a restart sends none twice and loses none; one over HTTPS that was taken just before a crash is sent again under the same report-id.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use mail::{Domain, Mailbox, QueueId};
use net::{Delivery, Reach, deliver_report, random_u32};
use reports::tls::{Envelope, FailureDetails, MEDIA_TYPE, Policy, PolicyResult, Summary, TlsReport};
use reports::{HttpsAddress, ReportAddress, gzip, tls_report_addresses};
use store::{Flow, NewMessage, StoreError, TlsChange, TlsCount, TlsPeriod, TlsReportDue};
use tokio::task::JoinSet;

use crate::bug::caught;
use crate::dispatch::{Dispatch, World};
use crate::report::addressed;

/// Reports that are under way at the same time: a host that is slow keeps no other waiting.
const AT_ONCE: usize = 32;

/// Due reports that are looked at, at a time.
const DUE_MAX: u32 = 100;

/// Between some and the next ones.
const REST: Duration = Duration::from_millis(200);

/// Results are written down within this time, in seconds; then a day is over.
const GRACE_S: i64 = 4;

/// Results older than this are forgotten, in seconds.
const OLD_S: i64 = 4 * 86_400;

/// A mail with a report is tried for so long, in milliseconds.
const MAIL_TRIED_MS: i64 = 86_400_000;

/// Looks for ever.
pub(crate) async fn run(dispatch: Dispatch) {
    let mut under_way = UnderWay::default();
    loop {
        let every_s = dispatch.world().settings.load().reporting.every_s;
        // A minute, for a day.
        tokio::time::sleep(Duration::from_secs(u64::from(every_s / 1440).clamp(1, 60))).await;
        if let Some(Err(error)) = caught(look(&dispatch, &mut under_way)).await {
            tracing::error!(%error, "no reports of TLS could be sent; trying again");
        }
    }
}

/// Reports that are being sent, each in a task of its own.
#[derive(Default)]
struct UnderWay {
    tasks: JoinSet<()>,
    which: HashMap<tokio::task::Id, TlsReportDue>,
}

impl UnderWay {
    /// Forgets those that have ended.
    fn reap(&mut self) {
        while let Some(ended) = self.tasks.try_join_next_with_id() {
            let id = ended.map_or_else(|error| error.id(), |(id, ())| id);
            self.which.remove(&id);
        }
    }

    fn has(&self, due: &TlsReportDue) -> bool {
        self.which.values().any(|other| other == due)
    }

    fn start(&mut self, dispatch: &Dispatch, due: TlsReportDue) {
        let (dispatch, one) = (dispatch.clone(), due.clone());
        let task = self.tasks.spawn(async move {
            // A bug was logged where it happened.
            if let Some(Err(error)) = caught(handle(&dispatch, one)).await {
                tracing::error!(%error, "a report of TLS could not be written down; trying again");
            }
        });
        self.which.insert(task.id(), due);
    }
}

async fn look(dispatch: &Dispatch, under_way: &mut UnderWay) -> Result<(), StoreError> {
    let world = dispatch.world();
    let reporting = world.settings.load().reporting.clone();
    let (now_ms, now_s) = (world.clock.now_ms(), world.clock.now_s());
    // Four hours, for a day: not everybody's reports shall come at midnight.
    let spread_ms = i64::from(reporting.every_s) * 1000 / 6;
    let old_s = if reporting.tls { now_s - OLD_S } else { now_s };
    world.store.change_tls(TlsChange::Plan { ended_s: now_s - GRACE_S, old_s, now_ms, spread_ms }).await?;
    // Each once a look: one that cannot be written down would otherwise come again at once, for ever.
    let mut started: HashSet<TlsReportDue> = HashSet::new();
    loop {
        under_way.reap();
        // Those under way are due still.
        let due = world.store.tls_reports_due(now_ms, DUE_MAX).await?;
        let waiting = due.into_iter().filter(|due| !under_way.has(due) && !started.contains(due));
        let some: Vec<TlsReportDue> = waiting.take(AT_ONCE.saturating_sub(under_way.which.len())).collect();
        if some.is_empty() {
            return Ok(());
        }
        started.extend(some.iter().cloned());
        some.into_iter().for_each(|due| under_way.start(dispatch, due));
        tokio::time::sleep(REST).await;
    }
}

/// One report that is due: asks where it goes, or brings it to one place.
async fn handle(dispatch: &Dispatch, due: TlsReportDue) -> Result<(), StoreError> {
    let world = dispatch.world();
    let Ok(domain) = Domain::parse(&due.period.domain) else { return done(world, due, Vec::new(), Vec::new()).await };
    let counts = world.store.tls_counts(due.period.clone()).await?;
    let report = report(world, &due.period, &counts);
    match HttpsAddress::parse(&due.target) {
        Some(address) => post(world, due, &domain, &report, address).await,
        None => send(dispatch, due, &domain, &report).await,
    }
}

/// Asks where the report goes, and queues its mails.
async fn send(dispatch: &Dispatch, due: TlsReportDue, domain: &Domain, report: &TlsReport) -> Result<(), StoreError> {
    let world = dispatch.world();
    let Ok(name) = Domain::parse(&format!("_smtp._tls.{domain}")) else { return done(world, due, Vec::new(), Vec::new()).await };
    let texts = match world.resolver.txt(&name).await {
        Ok(texts) => texts,
        Err(error) => return later(world, due, &format!("DNS gave no answer about {name}: {error}")).await,
    };
    let (mut messages, mut more) = (Vec::new(), Vec::new());
    for address in tls_report_addresses(&texts) {
        match address {
            ReportAddress::Mail(to) => messages.extend(mails(world, domain, report, &to).await),
            ReportAddress::Https(address) => more.push(address.url),
        }
    }
    let is_mail = !messages.is_empty();
    done(world, due, messages, more).await?;
    if is_mail {
        dispatch.wake();
    }
    Ok(())
}

/// The mail to one address: several where that is an alias of ours. None without a key, since an unsigned report counts for nothing.
async fn mails(world: &World, domain: &Domain, report: &TlsReport, to: &Mailbox) -> Vec<NewMessage> {
    let submitter = world.settings.load().forward.srs.domain.clone();
    if world.live.current().signing_keys(&submitter).next().is_none() {
        tracing::warn!(%domain, %to, "no report of TLS: {submitter} has no DKIM key to sign it; run: waypost key add {submitter}");
        return Vec::new();
    }
    let Some(from) = postmaster(&submitter) else { return Vec::new() };
    let now_ms = world.clock.now_ms();
    let id = QueueId::next(now_ms, random_u32());
    let shown = id.to_string();
    let envelope = Envelope { submitter: &submitter, domain, from: &from, to, id: &shown, now_unix_s: now_ms / 1000 };
    let mail = report.mail(envelope, &gzip(report.to_json().as_bytes()));
    let utf8 = !mail.is_ascii();
    let mut messages = addressed(world, id, to, mail.into(), utf8).await;
    for new in &mut messages {
        new.message.flow = Flow::TlsReport;
        new.message.expires_ms = now_ms + MAIL_TRIED_MS;
    }
    tracing::info!(%id, %domain, %to, report = report.id, "report of TLS queued");
    messages
}

/// Delivers the report over HTTPS.
async fn post(world: &World, due: TlsReportDue, domain: &Domain, report: &TlsReport, address: HttpsAddress) -> Result<(), StoreError> {
    let delivery = world.settings.load().delivery.clone();
    let at = Reach { port: address.port, ipv6: delivery.ipv6, loopback: delivery.loopback };
    let body = gzip(report.to_json().as_bytes()).into();
    let delivery = Delivery { host: &address.host, target: &address.target, media_type: MEDIA_TYPE, body };
    match deliver_report(&world.resolver, &world.tls, delivery, at).await {
        Ok(()) => {
            tracing::info!(%domain, url = address.url, report = report.id, "report of TLS delivered");
            done(world, due, Vec::new(), Vec::new()).await
        }
        Err(error) => later(world, due, &error.to_string()).await,
    }
}

async fn done(world: &World, due: TlsReportDue, messages: Vec<NewMessage>, more: Vec<String>) -> Result<(), StoreError> {
    match world.store.change_tls(TlsChange::Done { due, messages, more, now_ms: world.clock.now_ms() }).await {
        // It was forgotten meanwhile: too old, or turned off.
        Err(StoreError::NotFound(_)) => Ok(()),
        other => other,
    }
}

/// It is tried again, or given up after a day.
async fn later(world: &World, due: TlsReportDue, why: &str) -> Result<(), StoreError> {
    let (now_ms, every_s) = (world.clock.now_ms(), world.settings.load().reporting.every_s);
    if now_ms >= due.give_up_ms {
        tracing::warn!(domain = %due.period.domain, to = due.target, why, "a report of TLS was given up");
        return done(world, due, Vec::new(), Vec::new()).await;
    }
    // Half an hour, for a day.
    let wait_ms = (i64::from(every_s) * 1000 / 48).max(1000);
    tracing::info!(domain = %due.period.domain, to = due.target, why, again_in_s = wait_ms / 1000, "a report of TLS could not be sent");
    world.store.change_tls(TlsChange::Later { due, next_ms: now_ms + wait_ms }).await
}

fn postmaster(domain: &Domain) -> Option<Mailbox> {
    Mailbox::parse(&format!("postmaster@{domain}")).ok()
}

fn report(world: &World, period: &TlsPeriod, counts: &[TlsCount]) -> TlsReport {
    let settings = world.settings.load();
    let submitter = &settings.forward.srs.domain;
    let contact = settings.reporting.contact.clone().or_else(|| postmaster(submitter));
    TlsReport {
        organization: submitter.to_string(),
        begin_unix_s: period.begin_s,
        end_unix_s: period.end_s - 1,
        contact: contact.map(|contact| contact.to_string()).unwrap_or_default(),
        id: format!("{}.{}.{}@{submitter}", period.begin_s, period.end_s, period.domain),
        policies: policies(counts),
    }
}

/// The results, those of each policy together. They come ordered by policy.
fn policies(counts: &[TlsCount]) -> Vec<PolicyResult> {
    let same_policy = |one: &TlsCount, other: &TlsCount| one.policy == other.policy;
    let of_policy = |counts: &[TlsCount]| {
        let policy: Policy = serde_json::from_str(&counts.first()?.policy).ok()?;
        let mut result = PolicyResult { policy, summary: Summary::default(), failures: Vec::new() };
        for count in counts {
            if count.failure.is_empty() {
                result.summary.successful += count.times;
            } else if let Ok(failure) = serde_json::from_str::<FailureDetails>(&count.failure) {
                result.summary.failed += count.times;
                result.failures.push(FailureDetails { sessions: count.times, reason: count.reason.clone(), ..failure });
            }
        }
        Some(result)
    };
    counts.chunk_by(same_policy).filter_map(of_policy).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use reports::tls::{PolicyType, ResultType};

    #[test]
    fn results_stand_under_their_policies() {
        let period = TlsPeriod { begin_s: 0, end_s: 1, domain: "far.test".into() };
        let count = |kind: PolicyType, failure: Option<ResultType>, times| TlsCount {
            period: period.clone(),
            policy: serde_json::to_string(&Policy { kind, domain: "far.test".into(), ..Policy::default() }).unwrap(),
            failure: failure
                .map(|result| serde_json::to_string(&FailureDetails { result, ..FailureDetails::default() }).unwrap())
                .unwrap_or_default(),
            reason: "why".into(),
            times,
        };
        let found = policies(&[
            count(PolicyType::Sts, None, 3),
            count(PolicyType::Sts, Some(ResultType::CertificateExpired), 2),
            count(PolicyType::Sts, Some(ResultType::ValidationFailure), 1),
            count(PolicyType::Tlsa, Some(ResultType::DnssecInvalid), 5),
        ]);
        let [sts, tlsa] = &found[..] else { panic!("{found:?}") };
        assert_eq!((&sts.policy.kind, sts.summary), (&PolicyType::Sts, Summary { successful: 3, failed: 3 }));
        assert_eq!((sts.failures[0].sessions, sts.failures[0].reason.as_str()), (2, "why"));
        assert_eq!((&tlsa.failures[0].result, tlsa.summary.failed), (&ResultType::DnssecInvalid, 5));
    }
}
