//! Tells other domains once a day what they ask to be told: when a report is due, its mails, and that none is sent twice.
//!
//! RFC 8460 s.5.5 (for a day at most), RFC 9990. Invariant: a report is marked as sent in the commit that queues its mails, so a restart sends
//! none twice and loses none.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use mail::{Domain, Mailbox, QueueId};
use net::random_u32;
use reports::Envelope;
use store::{DailyChange, DailyKind, DailyPeriod, DailyReportDue, Flow, NewMessage, StoreError};
use tokio::task::JoinSet;

use crate::deliver::dsn::addressed;
use crate::queue::dispatch::{Dispatch, World};
use crate::reporting::{dmarc_reports, tls_reports};
use crate::settings::Reporting;
use crate::support::panic_edge::caught;

/// Reports of TLS that are under way at the same time: a host that is slow keeps no other waiting.
const TLS_AT_ONCE: usize = 32;

/// Reports of DMARC: each may take some MiB.
const DMARC_AT_ONCE: usize = 8;

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

/// How reports of a kind are called in the log.
fn name(kind: DailyKind) -> &'static str {
    match kind {
        DailyKind::Tls => "TLS",
        DailyKind::Dmarc => "DMARC",
    }
}

fn is_on(kind: DailyKind, reporting: &Reporting) -> bool {
    match kind {
        DailyKind::Tls => reporting.tls,
        DailyKind::Dmarc => reporting.dmarc,
    }
}

/// Looks for ever.
pub(crate) async fn run(dispatch: Dispatch, kind: DailyKind) {
    let mut under_way = UnderWay::default();
    loop {
        let every_s = dispatch.world().settings.load().reporting.every_s;
        // A minute, for a day.
        tokio::time::sleep(Duration::from_secs(u64::from(every_s / 1440).clamp(1, 60))).await;
        if let Some(Err(error)) = caught(look(&dispatch, kind, &mut under_way)).await {
            tracing::error!(%error, "no reports of {} could be sent; trying again", name(kind));
        }
    }
}

/// Reports that are being sent, each in a task of its own.
#[derive(Default)]
struct UnderWay {
    tasks: JoinSet<()>,
    which: HashMap<tokio::task::Id, DailyReportDue>,
}

impl UnderWay {
    /// Forgets those that have ended.
    fn reap(&mut self) {
        while let Some(ended) = self.tasks.try_join_next_with_id() {
            let id = ended.map_or_else(|error| error.id(), |(id, ())| id);
            self.which.remove(&id);
        }
    }

    fn has(&self, due: &DailyReportDue) -> bool {
        self.which.values().any(|other| other == due)
    }

    fn start(&mut self, dispatch: &Dispatch, due: DailyReportDue) {
        let (dispatch, one, kind) = (dispatch.clone(), due.clone(), due.period.kind);
        let task = self.tasks.spawn(async move {
            let handled = async {
                match kind {
                    DailyKind::Tls => tls_reports::handle(&dispatch, one).await,
                    DailyKind::Dmarc => dmarc_reports::handle(&dispatch, one).await,
                }
            };
            // A bug was logged where it happened.
            if let Some(Err(error)) = caught(handled).await {
                tracing::error!(%error, "a report of {} could not be written down; trying again", name(kind));
            }
        });
        self.which.insert(task.id(), due);
    }
}

async fn look(dispatch: &Dispatch, kind: DailyKind, under_way: &mut UnderWay) -> Result<(), StoreError> {
    let world = dispatch.world();
    let reporting = world.settings.load().reporting.clone();
    let (now_ms, now_s) = (world.clock.now_ms(), world.clock.now_s());
    // Four hours, for a day: not everybody's reports shall come at midnight.
    let spread_ms = i64::from(reporting.every_s) * 1000 / 6;
    let old_s = if is_on(kind, &reporting) { now_s - OLD_S } else { now_s };
    world.store.change_daily(DailyChange::Plan { kind, ended_s: now_s - GRACE_S, old_s, now_ms, spread_ms }).await?;
    let at_once = match kind {
        DailyKind::Tls => TLS_AT_ONCE,
        DailyKind::Dmarc => DMARC_AT_ONCE,
    };
    // Each once a look: one that cannot be written down would otherwise come again at once, for ever.
    let mut started: HashSet<DailyReportDue> = HashSet::new();
    loop {
        under_way.reap();
        // Those under way are due still.
        let due = world.store.daily_reports_due(kind, now_ms, DUE_MAX).await?;
        let waiting = due.into_iter().filter(|due| !under_way.has(due) && !started.contains(due));
        let some: Vec<DailyReportDue> = waiting.take(at_once.saturating_sub(under_way.which.len())).collect();
        if some.is_empty() {
            return Ok(());
        }
        started.extend(some.iter().cloned());
        some.into_iter().for_each(|due| under_way.start(dispatch, due));
        tokio::time::sleep(REST).await;
    }
}

/// The mail to one address: several where that is an alias of ours. None without a key, since an unsigned report counts for nothing.
pub(crate) async fn mails(
    world: &World,
    (period, domain): (&DailyPeriod, &Domain),
    to: &Mailbox,
    report: &str,
    compose: impl Fn(Envelope<'_>) -> Vec<u8>,
) -> Vec<NewMessage> {
    let kind = name(period.kind);
    let submitter = world.settings.load().forward.srs.domain.clone();
    if world.live.current().signing_keys(&submitter).next().is_none() {
        tracing::warn!(%domain, %to, "no report of {kind}: {submitter} has no DKIM key to sign it; run: waypost key add {submitter}");
        return Vec::new();
    }
    let Some(from) = postmaster(&submitter) else { return Vec::new() };
    let now_ms = world.clock.now_ms();
    let id = QueueId::next(now_ms, random_u32());
    let shown = id.to_string();
    let mail = compose(Envelope { submitter: &submitter, domain, from: &from, to, id: &shown, now_unix_s: now_ms / 1000 });
    let utf8 = !mail.is_ascii();
    let mut messages = addressed(world, id, to, mail.into(), utf8).await;
    for new in &mut messages {
        new.message.flow = match period.kind {
            DailyKind::Tls => Flow::TlsReport,
            DailyKind::Dmarc => Flow::DmarcReport,
        };
        new.message.expires_ms = now_ms + MAIL_TRIED_MS;
    }
    tracing::info!(%id, %domain, %to, report, "report of {kind} queued");
    messages
}

/// It is on its way by these messages, or nobody wants it; what it goes to besides is still to be done.
pub(crate) async fn done(dispatch: &Dispatch, due: DailyReportDue, messages: Vec<NewMessage>, more: Vec<String>) -> Result<(), StoreError> {
    let (world, is_mail) = (dispatch.world(), !messages.is_empty());
    match world.store.change_daily(DailyChange::Done { due, messages, more, now_ms: world.clock.now_ms() }).await {
        // It was forgotten meanwhile: too old, or turned off.
        Err(StoreError::NotFound(_)) => return Ok(()),
        other => other?,
    };
    if is_mail {
        dispatch.wake();
    }
    Ok(())
}

/// It is tried again, or given up after a day.
pub(crate) async fn later(dispatch: &Dispatch, due: DailyReportDue, why: &str) -> Result<(), StoreError> {
    let world = dispatch.world();
    let (now_ms, every_s, kind) = (world.clock.now_ms(), world.settings.load().reporting.every_s, name(due.period.kind));
    if now_ms >= due.give_up_ms {
        tracing::warn!(domain = %due.period.domain, to = due.target, why, "a report of {kind} was given up");
        return done(dispatch, due, Vec::new(), Vec::new()).await;
    }
    // Half an hour, for a day.
    let wait_ms = (i64::from(every_s) * 1000 / 48).max(1000);
    tracing::info!(domain = %due.period.domain, to = due.target, why, again_in_s = wait_ms / 1000, "a report of {kind} could not be sent");
    world.store.change_daily(DailyChange::Later { due, next_ms: now_ms + wait_ms }).await.map(drop)
}

/// Who answers questions about reports.
pub(crate) fn contact(world: &World) -> String {
    let settings = world.settings.load();
    let contact = settings.reporting.contact.clone().or_else(|| postmaster(&settings.forward.srs.domain));
    contact.map(|contact| contact.to_string()).unwrap_or_default()
}

/// What tells a report from others to the same domain.
pub(crate) fn report_id(world: &World, DailyPeriod { begin_s, end_s, domain, .. }: &DailyPeriod) -> String {
    format!("{begin_s}.{end_s}.{domain}@{}", world.settings.load().forward.srs.domain)
}

fn postmaster(domain: &Domain) -> Option<Mailbox> {
    Mailbox::parse(&format!("postmaster@{domain}")).ok()
}
