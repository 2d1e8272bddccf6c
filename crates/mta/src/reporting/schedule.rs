//! Schedule of the daily DMARC and TLS reports to other domains.
//!
//! RFC 8460 s.5.5 (retries for at most a day), RFC 9990. Invariant: the commit that queues the messages of a report also marks it as sent, so a restart
//! sends none twice and loses none.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use events::{Event, EventKind, Fact};
use mail::{Domain, Mailbox, QueueId};
use net::{ClientTls, Resolver, random_u32};
use reports::Envelope;
use store::{DailyChange, DailyKind, DailyPeriod, DailyReportDue, Duty, Flow, NewMessage, StoreError};
use tokio::task::JoinSet;

use crate::context::Shared;
use crate::notify::outbox::Outbox;
use crate::reporting::{dmarc_reports, tls_reports};
use crate::settings::{Reporting, Settings};
use crate::support::panic_edge::caught;

/// Maximum TLS reports sent at the same time: a slow host must not delay the others.
const TLS_AT_ONCE: usize = 32;

/// Maximum DMARC reports sent at the same time: each may take some MiB.
const DMARC_AT_ONCE: usize = 8;

/// Time for which a node keeps the duty of sending reports.
const DUTY_FOR: Duration = Duration::from_secs(300);

/// Maximum due reports read at a time.
const DUE_MAX: u32 = 100;

/// Pause between two reads of due reports.
const PAUSE: Duration = Duration::from_millis(200);

/// Results reach the store within this time after a period ends, in seconds.
const GRACE_S: i64 = 4;

/// Retention of results, in seconds.
const RETENTION_S: i64 = 4 * 86_400;

/// Lifetime of a report's message in the queue, in milliseconds.
const MAIL_LIFETIME_MS: i64 = 86_400_000;

/// Makes and sends the reports to other domains. Clones share it.
#[derive(Debug, Clone)]
pub(crate) struct Reporter {
    pub outbox: Outbox,
    pub resolver: Resolver,
    pub tls: ClientTls,
}

/// The name of a kind in the log.
fn name(kind: DailyKind) -> &'static str {
    match kind {
        DailyKind::Tls => "TLS",
        DailyKind::Dmarc => "DMARC",
    }
}

fn is_enabled(kind: DailyKind, reporting: &Reporting) -> bool {
    match kind {
        DailyKind::Tls => reporting.tls,
        DailyKind::Dmarc => reporting.dmarc,
    }
}

/// Runs until shutdown.
pub(crate) async fn run(reporter: Reporter, kind: DailyKind) {
    let mut under_way = UnderWay::default();
    loop {
        let every_s = reporter.outbox.shared.settings.load().reporting.every_s;
        // Every minute for a period of a day.
        tokio::time::sleep(Duration::from_secs(u64::from(every_s / 1440).clamp(1, 60))).await;
        if let Some(Err(error)) = caught(send_due(&reporter, kind, &mut under_way)).await {
            tracing::error!(%error, "no {} reports could be sent; trying again", name(kind));
        }
    }
}

/// Reports that are being sent, each in a task of its own.
#[derive(Default)]
struct UnderWay {
    tasks: JoinSet<()>,
    reports: HashMap<tokio::task::Id, DailyReportDue>,
}

impl UnderWay {
    /// Removes those that have ended.
    fn reap(&mut self) {
        while let Some(ended) = self.tasks.try_join_next_with_id() {
            let id = ended.map_or_else(|error| error.id(), |(id, ())| id);
            self.reports.remove(&id);
        }
    }

    fn has(&self, due: &DailyReportDue) -> bool {
        self.reports.values().any(|other| other == due)
    }

    fn start(&mut self, reporter: &Reporter, due: DailyReportDue) {
        let (reporter, one, kind) = (reporter.clone(), due.clone(), due.period.kind);
        let task = self.tasks.spawn(async move {
            let handled = async {
                match kind {
                    DailyKind::Tls => tls_reports::handle(&reporter, one).await,
                    DailyKind::Dmarc => dmarc_reports::handle(&reporter, one).await,
                }
            };
            // `caught` has logged a panic.
            if let Some(Err(error)) = caught(handled).await {
                tracing::error!(%error, "the state of a {} report could not be stored; trying again", name(kind));
            }
        });
        self.reports.insert(task.id(), due);
    }
}

async fn send_due(reporter: &Reporter, kind: DailyKind, under_way: &mut UnderWay) -> Result<(), StoreError> {
    let Shared { settings, store, clock, .. } = &reporter.outbox.shared;
    // Other nodes leave the reports to the one that has the duty; two would send each twice.
    if !store.take_duty(Duty::DailyReports, DUTY_FOR).await? {
        return Ok(());
    }
    let reporting = settings.load().reporting.clone();
    let (now_ms, now_s) = (clock.now_ms(), clock.now_s());
    // Four hours for a period of a day, so that not all reports leave at midnight.
    let spread_ms = i64::from(reporting.every_s) * 1000 / 6;
    let old_s = if is_enabled(kind, &reporting) { now_s - RETENTION_S } else { now_s };
    store.change_daily(DailyChange::Plan { kind, ended_s: now_s - GRACE_S, old_s, now_ms, spread_ms }).await?;
    let at_once = match kind {
        DailyKind::Tls => TLS_AT_ONCE,
        DailyKind::Dmarc => DMARC_AT_ONCE,
    };
    // Each at most once per poll: one whose state cannot be stored would otherwise be due again at once.
    let mut started: HashSet<DailyReportDue> = HashSet::new();
    loop {
        under_way.reap();
        // Reports under way are still due.
        let due = store.daily_reports_due(kind, now_ms, DUE_MAX).await?;
        let waiting = due.into_iter().filter(|due| !under_way.has(due) && !started.contains(due));
        let some: Vec<DailyReportDue> = waiting.take(at_once.saturating_sub(under_way.reports.len())).collect();
        if some.is_empty() {
            return Ok(());
        }
        started.extend(some.iter().cloned());
        some.into_iter().for_each(|due| under_way.start(reporter, due));
        tokio::time::sleep(PAUSE).await;
    }
}

/// The messages to one address: several if it is an alias of ours. None without a key, since receivers ignore unsigned reports.
pub(crate) async fn report_messages(
    Reporter { outbox, .. }: &Reporter,
    kind: DailyKind,
    domain: &Domain,
    to: &Mailbox,
    report: &str,
    compose: impl Fn(Envelope<'_>) -> Vec<u8>,
) -> Vec<NewMessage> {
    let kind_name = name(kind);
    let submitter = outbox.shared.settings.load().forward.srs.domain.clone();
    if outbox.shared.directory.current().signing_keys(&submitter).next().is_none() {
        tracing::warn!(%domain, %to, "no {kind_name} report: {submitter} has no DKIM key to sign it; run: waypost key add {submitter}");
        return Vec::new();
    }
    let from = Mailbox::postmaster(&submitter);
    let now_ms = outbox.shared.clock.now_ms();
    let id = QueueId::next(now_ms, random_u32());
    let shown = id.to_string();
    let mail = compose(Envelope { submitter: &submitter, domain, from: &from, to, id: &shown, now_unix_s: now_ms / 1000 });
    let utf8 = !mail.is_ascii();
    let mut messages = outbox.addressed(id, to, mail.into(), utf8).await;
    for new in &mut messages {
        new.message.flow = match kind {
            DailyKind::Tls => Flow::TlsReport,
            DailyKind::Dmarc => Flow::DmarcReport,
        };
        new.message.expires_ms = now_ms + MAIL_LIFETIME_MS;
    }
    tracing::info!(%id, %domain, %to, report, "{kind_name} {}", EventKind::ReportQueued.words());
    record(&outbox.shared, EventKind::ReportQueued, kind, domain.as_str(), |event| {
        let copies: Vec<String> = messages.iter().skip(1).map(|copy| copy.message.id.to_string()).collect();
        let event = event.of_message(id).from("").to(to.to_string());
        event.maybe(Fact::Copies, (!copies.is_empty()).then(|| copies.join(" ")))
    });
    messages
}

/// Records what happened to a report about this domain.
pub(super) fn record(shared: &Shared, kind: EventKind, of: DailyKind, domain: &str, with: impl FnOnce(Event) -> Event) {
    let event = || Event::new(kind, shared.clock.now_ms()).fact(Fact::What, name(of)).fact(Fact::Domain, domain);
    shared.events.record_with(|| with(event()));
}

/// Marks a report as sent by these messages, or as not wanted. `more` are addresses that are still to be served.
pub(crate) async fn finish(
    reporter: &Reporter,
    due: DailyReportDue,
    messages: Vec<NewMessage>,
    more: Vec<String>,
) -> Result<(), StoreError> {
    let Outbox { shared: Shared { store, clock, .. }, wake, .. } = &reporter.outbox;
    let is_mail = !messages.is_empty();
    match store.change_daily(DailyChange::Done { due, messages, more, now_ms: clock.now_ms() }).await {
        // It was deleted meanwhile: too old, or turned off.
        Err(StoreError::NotFound(_)) => return Ok(()),
        other => other?,
    };
    if is_mail {
        wake.wake();
    }
    Ok(())
}

/// Schedules another attempt, or gives up after a day.
pub(crate) async fn retry_later(reporter: &Reporter, due: DailyReportDue, why: &str) -> Result<(), StoreError> {
    let Shared { settings, store, clock, .. } = &reporter.outbox.shared;
    let (now_ms, every_s, kind) = (clock.now_ms(), settings.load().reporting.every_s, name(due.period.kind));
    if now_ms >= due.give_up_ms {
        tracing::warn!(domain = %due.period.domain, to = due.target, why, "{kind} {}", EventKind::ReportGivenUp.words());
        record(&reporter.outbox.shared, EventKind::ReportGivenUp, due.period.kind, &due.period.domain, |event| {
            event.to(due.target.as_str()).reason(Some(why))
        });
        return finish(reporter, due, Vec::new(), Vec::new()).await;
    }
    // Half an hour for a period of a day.
    let wait_ms = (i64::from(every_s) * 1000 / 48).max(1000);
    tracing::info!(domain = %due.period.domain, to = due.target, why, again_in_s = wait_ms / 1000, "{kind} report could not be sent; trying again");
    store.change_daily(DailyChange::Later { due, next_ms: now_ms + wait_ms }).await
}

/// The contact address in reports.
pub(crate) fn contact(settings: &Settings) -> String {
    let contact = settings.reporting.contact.clone();
    contact.unwrap_or_else(|| Mailbox::postmaster(&settings.forward.srs.domain)).to_string()
}

/// The unique id of a report.
pub(crate) fn report_id(settings: &Settings, DailyPeriod { begin_s, end_s, domain, .. }: &DailyPeriod) -> String {
    format!("{begin_s}.{end_s}.{domain}@{}", settings.forward.srs.domain)
}
