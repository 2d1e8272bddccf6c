//! The daily DNS check of a running server: reports records that were right and changed to the postmaster. An extra check follows when another server
//! does not authenticate our mail, and reports all required records that are wrong.
//!
//! RFC 7372 s.3. Invariant: each loss is reported once, and refusals at most once a day; an unanswered query is no loss. The last state is in a file, so that a restart repeats nothing.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use axum::Router;
use dns_plan::{DomainLoss, Finding, RecordState, plan};
use events::{Event, EventKind, Events, Fact};
use mail::Domain;
use mta::Postmaster;
use serde::{Deserialize, Serialize};
use store::{Duty, Store};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use super::seen_file::SeenFile;
use super::{load_config, target_watch};
use crate::config::Config;
use crate::dns_facts::{checker, read};
use crate::transport::Transport;

/// Delay of the first check after the start.
const FIRST: Duration = Duration::from_secs(600);

/// Maximum records of one check that are recorded.
const RECORDED_MAX: usize = 20;

/// Minimum interval between extra checks, in milliseconds.
const REFUSED_EVERY_MS: i64 = 86_400_000;

/// A node keeps the duty of the daily check longer than until the check after the next one.
const DUTY_LONGER: Duration = Duration::from_secs(3600);

/// The occasion of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Occasion {
    Daily,
    /// Another server refused mail of ours as unauthenticated.
    Refused,
}

/// The task; it ends when this is dropped.
#[derive(Debug)]
pub struct Watch(JoinHandle<()>);

impl Drop for Watch {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// What the checks need.
pub(super) struct DnsWatch {
    /// The configuration.
    pub path: PathBuf,
    pub store: Store,
    /// The control API.
    pub router: Router,
    pub postmaster: Postmaster,
    /// Notified when another server refuses mail of ours as unauthenticated.
    pub doubts: Arc<Notify>,
    pub events: Events,
}

/// Starts the checks at the interval of the configuration; `None` if they are off.
pub fn start(config: &Config, watch: DnsWatch) -> Option<Watch> {
    let every = Duration::from_secs(u64::from(config.file.dns.check_every.0));
    (!every.is_zero()).then(|| Watch(tokio::spawn(watch.run(every))))
}

impl DnsWatch {
    async fn run(self, every: Duration) {
        let mut wait = Box::pin(tokio::time::sleep(every.min(FIRST)));
        let (clock, mut followed_up_ms) = (net::Clock::system(), i64::MIN);
        loop {
            let may_follow_up = clock.now_ms().saturating_sub(followed_up_ms) >= REFUSED_EVERY_MS;
            let occasion = tokio::select! {
                () = &mut wait => Occasion::Daily,
                () = self.doubts.notified(), if may_follow_up => Occasion::Refused,
            };
            match occasion {
                Occasion::Daily => wait.set(tokio::time::sleep(every)),
                Occasion::Refused => followed_up_ms = clock.now_ms(),
            }
            // A node keeps the duty from one daily check to the next; if it is gone, another one has it at its own next check. A refusal is looked into by the
            // node that got it.
            let is_ours = occasion == Occasion::Refused || self.has_duty(every).await;
            if is_ours {
                self.check(occasion).await;
            }
        }
    }

    async fn has_duty(&self, every: Duration) -> bool {
        let lease = every.saturating_mul(2).saturating_add(DUTY_LONGER);
        self.store.take_duty(Duty::DnsWatch, lease).await.unwrap_or_else(|error| {
            tracing::warn!(%error, "cannot ask which node compares DNS; the next check is in its turn");
            false
        })
    }

    async fn check(&self, occasion: Occasion) {
        if let Err(error) = target_watch::look(self).await {
            tracing::warn!(error = format!("{error:#}"), "alias targets could not be checked; the next check is in its turn");
        }
        if let Err(error) = look(self, occasion).await {
            tracing::warn!(error = format!("{error:#}"), "DNS could not be compared with the plan; the next check is in its turn");
        }
    }
}

/// The state at the last check.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Seen {
    /// Records that were as planned.
    good: BTreeSet<String>,
    /// Extra records.
    extra: BTreeSet<String>,
    /// When refusals were reported last, by any node, Unix milliseconds.
    #[serde(default)]
    refused_ms: Option<i64>,
}

async fn look(DnsWatch { path, store, router, postmaster, events, .. }: &DnsWatch, occasion: Occasion) -> Result<()> {
    let config = load_config(path).await?;
    let file = SeenFile::of_all_nodes(&config.file.data_dir, "dns-seen.json", store);
    let before: Option<Seen> = file.read().await?;
    let now_ms = net::Clock::system().now_ms();
    let mut refused_ms = before.as_ref().and_then(|seen| seen.refused_ms);
    if occasion == Occasion::Refused {
        // Another node may have reported it.
        if refused_ms.is_some_and(|at_ms| (0..REFUSED_EVERY_MS).contains(&(now_ms - at_ms))) {
            return Ok(());
        }
        refused_ms = Some(now_ms);
    }
    let mut api = Transport::InProcess(Box::new(router.clone()));
    let facts = read(&config, &mut api).await?;
    let checked = checker(&config, false).run(&plan(&facts)).await?;
    let (now, lost) = compare(before.as_ref(), &checked.findings);
    let lost = without_consequences(lost);
    let red: Vec<&Finding> = checked.findings.iter().filter(|finding| finding.is_red()).collect();
    tracing::info!(records = checked.findings.len(), wrong = red.len(), lost = lost.len(), ?occasion, "DNS compared with the plan");
    let reported = match occasion {
        Occasion::Refused if !red.is_empty() => {
            record(events, &red);
            postmaster.notify(&refusal_subject(&red), &format!("{REFUSED}{}{NEXT}", shown(&red))).await?
        }
        _ if !lost.is_empty() => {
            record(events, &lost);
            postmaster.notify(&subject(&lost), &format!("{LOST}{}{NEXT}", shown(&lost))).await?
        }
        _ => true,
    };
    if !reported {
        tracing::warn!("DNS records are wrong, and no postmaster is set to notify");
    }
    file.write(&Seen { refused_ms, ..now }).await
}

/// Records each of these records as an event.
fn record(events: &Events, findings: &[&Finding]) {
    let now_ms = net::Clock::system().now_ms();
    for finding in findings.iter().take(RECORDED_MAX) {
        let record = &finding.record;
        events.record_with(|| {
            let event = Event::new(EventKind::DnsDrift, now_ms).reason(Some(finding.why.as_str()));
            let event = event.fact(Fact::What, format!("{} {}", record.owner, record.record_type)).fact(Fact::Change, change(finding));
            event.maybe(Fact::Domain, record.domain.as_ref()).maybe(Fact::NextStep, finding.fix.as_ref())
        });
    }
}

fn change(finding: &Finding) -> &'static str {
    finding.loss.map_or(finding.state.as_str(), DomainLoss::as_str)
}

/// The other records of a domain that does not exist are lost with it, and say nothing more.
fn without_consequences(lost: Vec<&Finding>) -> Vec<&Finding> {
    let is_gone = |finding: &&Finding| finding.loss == Some(DomainLoss::Unregistered);
    let gone: Vec<Option<Domain>> =
        lost.iter().copied().filter(|finding| is_gone(finding)).map(|finding| finding.record.domain.clone()).collect();
    lost.into_iter().filter(|finding| is_gone(finding) || !gone.contains(&finding.record.domain)).collect()
}

fn key(finding: &Finding) -> String {
    let record = &finding.record;
    let value = if finding.state == RecordState::Extra { finding.found.join(" ") } else { record.value.clone() };
    format!("{} {} {value}", record.owner, record.record_type)
}

/// The new state, and the records lost since the last.
fn compare<'a>(before: Option<&Seen>, findings: &'a [Finding]) -> (Seen, Vec<&'a Finding>) {
    let (mut now, mut lost) = (Seen::default(), Vec::new());
    for finding in findings {
        let key = key(finding);
        let was_good = before.is_some_and(|seen| seen.good.contains(&key));
        match finding.state {
            RecordState::Ok => drop(now.good.insert(key)),
            // Neither shows a loss.
            RecordState::Unknown | RecordState::Propagating(_) if was_good => drop(now.good.insert(key)),
            RecordState::Unknown | RecordState::Propagating(_) => {}
            RecordState::Extra => {
                if before.is_some_and(|seen| !seen.extra.contains(&key)) {
                    lost.push(finding);
                }
                now.extra.insert(key);
            }
            RecordState::Missing | RecordState::Differs if was_good => lost.push(finding),
            RecordState::Missing | RecordState::Differs => {}
        }
    }
    (now, lost)
}

const LOST: &str = "These DNS records were right and have changed. If the change was intended, you need not do anything.\n";

const REFUSED: &str = "Another server refused mail of yours because it could not authenticate the sender (`waypost queue list` and the log show its reply).\nThese records are wrong, and may be the cause:\n";

const NEXT: &str = "\nOn the server:\n\n  waypost dns check    shows the present state\n  waypost dns apply    publishes the records, if a provider is configured\n";

fn subject(lost: &[&Finding]) -> String {
    if let Some((finding, loss)) = lost.iter().find_map(|finding| Some((finding, finding.loss?))) {
        return loss.sentence(finding.record.owner.trim_end_matches('.'));
    }
    match (lost.len(), lost.iter().filter(|finding| finding.is_red()).count()) {
        (1, 0) => "1 DNS record has changed".into(),
        (1, _) => "1 DNS record has changed, and is required".into(),
        (all, 0) => format!("{all} DNS records have changed"),
        (all, required) => format!("{all} DNS records have changed, {required} of them required"),
    }
}

fn refusal_subject(red: &[&Finding]) -> String {
    let records = if red.len() == 1 { "1 DNS record is wrong".into() } else { format!("{} DNS records are wrong", red.len()) };
    format!("other servers refuse your mail, and {records}")
}

fn shown(findings: &[&Finding]) -> String {
    let mut text = String::new();
    for finding in findings {
        let record = &finding.record;
        text.push_str(&format!("\n{} {}  {}  ({})\n", record.owner, record.record_type, finding.state.as_str(), finding.severity.as_str()));
        finding.found.iter().for_each(|found| text.push_str(&format!("  found     {found}\n")));
        text.push_str(&format!("  expected  {}\n  why       {}\n", record.quoted(), finding.why));
        finding.fix.iter().for_each(|fix| text.push_str(&format!("  fix       {fix}\n")));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use dns_plan::{DnsSeverity, PlannedRecord, RecordKind, RecordType};

    fn finding(state: RecordState, found: &[&str]) -> Finding {
        let (kind, severity) = (RecordKind::Mx, DnsSeverity::Required);
        let value = "10 mx.example.com.".to_owned();
        let owner = "example.com.".to_owned();
        let record = PlannedRecord { domain: None, owner, record_type: RecordType::Mx, value, ttl_s: 3600, kind, severity, why: "" };
        let found = found.iter().map(ToString::to_string).collect();
        Finding { record, state, found, severity, why: "it is not there".into(), fix: None, loss: None }
    }

    #[test]
    fn a_loss_is_reported_once_and_an_unanswered_query_is_none() {
        let reported = |before: Option<&Seen>, finding: Finding| {
            let findings = [finding];
            let (seen, lost) = compare(before, &findings);
            (seen, lost.len())
        };
        assert_eq!(reported(None, finding(RecordState::Missing, &[])).1, 0, "it was never there");
        assert_eq!(reported(None, finding(RecordState::Extra, &["1 old."])).1, 0, "it was there before the first check");
        let (good, _) = reported(None, finding(RecordState::Ok, &[]));
        let (silent, lost) = reported(Some(&good), finding(RecordState::Unknown, &[]));
        assert_eq!((&silent, lost), (&good, 0));
        assert_eq!(reported(Some(&silent), finding(RecordState::Propagating(60), &[])), (good.clone(), 0));
        let (gone, lost) = reported(Some(&silent), finding(RecordState::Missing, &[]));
        assert_eq!(lost, 1);
        assert_eq!(reported(Some(&gone), finding(RecordState::Missing, &[])).1, 0);
        let (extra, lost) = reported(Some(&good), finding(RecordState::Extra, &["1 old."]));
        assert_eq!((lost, reported(Some(&extra), finding(RecordState::Extra, &["1 old."])).1), (1, 0));
    }

    #[test]
    fn a_lost_domain_is_named_with_its_cause_and_its_other_records_are_not() {
        let domain: Domain = "example.com".parse().unwrap();
        let of = |loss, owner: &str| {
            let finding = finding(RecordState::Missing, &[]);
            let record = PlannedRecord { domain: Some(domain.clone()), owner: owner.into(), ..finding.record.clone() };
            Finding { record, loss, ..finding }
        };
        let (mx, other) = (of(Some(DomainLoss::Unregistered), "example.com."), of(None, "_dmarc.example.com."));
        let lost = without_consequences(vec![&other, &mx]);
        assert_eq!(
            (lost.len(), subject(&lost).as_str(), change(&mx)),
            (1, "the domain example.com does not exist any more", "unregistered")
        );
        let moved = of(Some(DomainLoss::Elsewhere), "example.com.");
        let lost = without_consequences(vec![&other, &moved]);
        assert_eq!((lost.len(), subject(&lost).as_str(), change(&moved)), (2, "mail for example.com goes to another server", "elsewhere"));
    }
}
