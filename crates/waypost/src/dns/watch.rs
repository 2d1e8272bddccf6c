//! The daily look at DNS of a running server: what was as it should be and is no more is a letter to the postmaster. A look out of turn follows when
//! another server does not believe who we are: then everything that is required and wrong is told.
//!
//! RFC 7372 s.3. Invariant: each loss is told once, and doubts at most once a day; that nobody answers is no loss. What was seen last is in a file, so that a restart tells nothing twice.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use axum::Router;
use mta::Postmaster;
use dns_plan::{Finding, State, plan};
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use super::{check, read, target_watch};
use crate::config::{self, Config};
use crate::transport::Transport;

/// A server that has just come up is looked at so soon.
const FIRST: Duration = Duration::from_secs(600);

/// Doubts of other servers are followed up so often at most, in milliseconds.
const DOUBTED_EVERY_MS: i64 = 86_400_000;

/// Why it is looked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Occasion {
    Daily,
    Doubted,
}

/// The task; it ends when this is dropped.
#[derive(Debug)]
pub struct Watch(JoinHandle<()>);

impl Drop for Watch {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Looks as often as the configuration says; `None` where that is never.
pub fn start(config: &Config, router: Router, postmaster: Postmaster, doubts: Arc<Notify>) -> Option<Watch> {
    let every = Duration::from_secs(u64::from(config.file.dns.check_every.0));
    let path = config.path.clone();
    let task = async move {
        let mut wait = Box::pin(tokio::time::sleep(every.min(FIRST)));
        let (clock, mut followed_up_ms) = (net::Clock::system(), i64::MIN);
        loop {
            let may_follow_up = clock.now_ms().saturating_sub(followed_up_ms) >= DOUBTED_EVERY_MS;
            let occasion = tokio::select! {
                () = &mut wait => Occasion::Daily,
                () = doubts.notified(), if may_follow_up => Occasion::Doubted,
            };
            match occasion {
                Occasion::Daily => wait.set(tokio::time::sleep(every)),
                Occasion::Doubted => followed_up_ms = clock.now_ms(),
            }
            if let Err(error) = target_watch::look(&path, &router, &postmaster).await {
                tracing::warn!(error = format!("{error:#}"), "the targets of aliases could not be looked up; trying again the next time");
            }
            if let Err(error) = look(&path, &router, &postmaster, occasion).await {
                tracing::warn!(error = format!("{error:#}"), "DNS could not be compared with the plan; trying again the next time");
            }
        }
    };
    (!every.is_zero()).then(|| Watch(tokio::spawn(task)))
}

/// What was seen.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Seen {
    /// Records that were as planned.
    good: BTreeSet<String>,
    /// Records that were too much.
    extra: BTreeSet<String>,
}

async fn look(path: &Path, router: &Router, postmaster: &Postmaster, occasion: Occasion) -> Result<()> {
    let config = config::load(path)?;
    let mut api = Transport::InProcess(Box::new(router.clone()));
    let facts = read(&config, &mut api).await?;
    let checked = check::of_config(&config, false).run(&plan(&facts)).await?;
    let file = config.file.data_dir.join("dns-seen.json");
    let before: Option<Seen> = fs::read(&file).ok().and_then(|text| serde_json::from_slice(&text).ok());
    let (now, lost) = compare(before.as_ref(), &checked.findings);
    let red: Vec<&Finding> = checked.findings.iter().filter(|finding| finding.is_red()).collect();
    tracing::info!(records = checked.findings.len(), wrong = red.len(), lost = lost.len(), ?occasion, "DNS is compared with the plan");
    let told = match occasion {
        Occasion::Doubted if !red.is_empty() => postmaster.tell(&doubted(&red), &format!("{DOUBTED}{}{NEXT}", shown(&red))).await?,
        _ if !lost.is_empty() => postmaster.tell(&subject(&lost), &format!("{LOST}{}{NEXT}", shown(&lost))).await?,
        _ => true,
    };
    if !told {
        tracing::warn!("DNS records are wrong, and there is no postmaster to tell");
    }
    save(&file, &now)
}

pub(super) fn save(file: &PathBuf, seen: &impl Serialize) -> Result<()> {
    let temporary = file.with_extension("json.new");
    let write = || {
        fs::write(&temporary, serde_json::to_vec_pretty(seen)?)?;
        fs::rename(&temporary, file)
    };
    write().with_context(|| format!("{} cannot be written", file.display()))
}

fn key(finding: &Finding) -> String {
    let record = &finding.record;
    let value = if finding.state == State::Extra { finding.found.join(" ") } else { record.value.clone() };
    format!("{} {} {value}", record.owner, record.record_type)
}

/// What is seen now, and what was lost since.
fn compare<'a>(before: Option<&Seen>, findings: &'a [Finding]) -> (Seen, Vec<&'a Finding>) {
    let (mut now, mut lost) = (Seen::default(), Vec::new());
    for finding in findings {
        let key = key(finding);
        let was_good = before.is_some_and(|seen| seen.good.contains(&key));
        match finding.state {
            State::Ok => drop(now.good.insert(key)),
            // Neither says that anything is lost.
            State::Unknown | State::Propagating(_) if was_good => drop(now.good.insert(key)),
            State::Unknown | State::Propagating(_) => {}
            State::Extra => {
                if before.is_some_and(|seen| !seen.extra.contains(&key)) {
                    lost.push(finding);
                }
                now.extra.insert(key);
            }
            State::Missing | State::Differs if was_good => lost.push(finding),
            State::Missing | State::Differs => {}
        }
    }
    (now, lost)
}

const LOST: &str = "These records were as they should be, and are no more. If somebody changed them on purpose, all is well.\n";

const DOUBTED: &str = "Another server has refused mail of yours since it does not believe who sent it (`waypost queue list`, and the log, show its words).\nThese records are not as they should be, and may be why:\n";

const NEXT: &str = "\nOn the server:\n\n  waypost dns check    says how it stands now\n  waypost dns apply    writes the records, where a provider is set up\n";

fn subject(lost: &[&Finding]) -> String {
    match (lost.len(), lost.iter().filter(|finding| finding.is_red()).count()) {
        (1, 0) => "1 DNS record has changed".into(),
        (1, _) => "1 DNS record has changed, and is required".into(),
        (all, 0) => format!("{all} DNS records have changed"),
        (all, required) => format!("{all} DNS records have changed, {required} of them required"),
    }
}

fn doubted(red: &[&Finding]) -> String {
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

    fn finding(state: State, found: &[&str]) -> Finding {
        let (kind, severity) = (RecordKind::Mx, DnsSeverity::Required);
        let value = "10 mx.example.com.".to_owned();
        let owner = "example.com.".to_owned();
        let record = PlannedRecord { domain: None, owner, record_type: RecordType::Mx, value, ttl_s: 3600, kind, severity, why: "" };
        let found = found.iter().map(ToString::to_string).collect();
        Finding { record, state, found, severity, why: "it is not there".into(), fix: None }
    }

    #[test]
    fn a_loss_is_told_once_and_silence_is_none() {
        let told = |before: Option<&Seen>, finding: Finding| {
            let findings = [finding];
            let (seen, lost) = compare(before, &findings);
            (seen, lost.len())
        };
        assert_eq!(told(None, finding(State::Missing, &[])).1, 0, "it was never there");
        assert_eq!(told(None, finding(State::Extra, &["1 old."])).1, 0, "it was there before anybody looked");
        let (good, _) = told(None, finding(State::Ok, &[]));
        let (silent, lost) = told(Some(&good), finding(State::Unknown, &[]));
        assert_eq!((&silent, lost), (&good, 0));
        assert_eq!(told(Some(&silent), finding(State::Propagating(60), &[])), (good.clone(), 0));
        let (gone, lost) = told(Some(&silent), finding(State::Missing, &[]));
        assert_eq!(lost, 1);
        assert_eq!(told(Some(&gone), finding(State::Missing, &[])).1, 0);
        let (extra, lost) = told(Some(&good), finding(State::Extra, &["1 old."]));
        assert_eq!((lost, told(Some(&extra), finding(State::Extra, &["1 old."])).1), (1, 0));
    }
}
