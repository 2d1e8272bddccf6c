//! How TLS with other domains' hosts went: counted beside the sessions, and written down a little later.
//!
//! RFC 8460 s.4.3. Invariant: no session waits for it; what waits to be written is bounded; the mail that carries a report is not counted.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Duration;

use mail::Domain;
use net::TlsFault;
use reports::tls::{FailureDetails, Policy, PolicyType, ResultType};
use store::{Store, TlsChange, TlsCount, TlsPeriod};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot};

use crate::dispatch::World;
use crate::sts::StsInForce;

/// Results that wait to be written; more are not counted.
const LINE_MAX: usize = 4096;

/// They are written at most this often.
const WRITE_EVERY: Duration = Duration::from_secs(1);

/// At a shutdown, writing the last ones may take so long.
const FLUSH_WITHIN: Duration = Duration::from_secs(2);

/// Lines of one policy that are kept, and characters of each.
const LINES_MAX: usize = 30;
const LINE_MAX_CHARS: usize = 300;

/// Characters that are kept of what was said about a failure.
const REASON_MAX_CHARS: usize = 300;

enum Told {
    Session(TlsCount),
    Flush(oneshot::Sender<()>),
}

/// Where results are told.
#[derive(Debug)]
pub(crate) struct TlsResults(mpsc::Sender<Told>);

impl TlsResults {
    /// Starts writing; it ends with the last sender.
    pub fn start(store: Store) -> Self {
        let (results, mut line) = mpsc::channel(LINE_MAX);
        tokio::spawn(async move {
            while let Some(first) = line.recv().await {
                let mut told = vec![first];
                if !matches!(told.first(), Some(Told::Flush(_))) {
                    gather(&mut line, &mut told).await;
                }
                while let Ok(next) = line.try_recv() {
                    told.push(next);
                }
                write(&store, told).await;
            }
        });
        Self(results)
    }

    /// Returns once everything that was told is on disk.
    pub async fn flush(&self) {
        let (done, written) = oneshot::channel();
        let flushed = async { if self.0.send(Told::Flush(done)).await.is_ok() { written.await.is_ok() } else { false } };
        let _ = tokio::time::timeout(FLUSH_WITHIN, flushed).await;
    }

    /// A session of a domain went well, or failed.
    pub fn tell(&self, world: &World, policy: &Policy, failure: Option<FailureDetails>) {
        let settings = world.settings.load();
        if !settings.reporting.tls {
            return;
        }
        let every_s = i64::from(settings.reporting.every_s.max(1));
        let begin_s = world.clock.now_s().div_euclid(every_s) * every_s;
        let reason = failure.as_ref().map(|failure| one_line(&failure.reason)).unwrap_or_default();
        let failure = failure.map(|failure| FailureDetails { reason: String::new(), sessions: 0, ..failure });
        let json = |value: serde_json::Result<String>| value.unwrap_or_default();
        let count = TlsCount {
            period: TlsPeriod { begin_s, end_s: begin_s + every_s, domain: policy.domain.clone() },
            policy: json(serde_json::to_string(policy)),
            failure: failure.map(|failure| json(serde_json::to_string(&failure))).unwrap_or_default(),
            reason,
            times: 1,
        };
        // Where the line is full the disk is behind: mail is more important than numbers.
        let _ = self.0.try_send(Told::Session(count));
    }
}

/// What comes within a while, or until somebody wants it written.
async fn gather(line: &mut mpsc::Receiver<Told>, told: &mut Vec<Told>) {
    let end = tokio::time::sleep(WRITE_EVERY);
    tokio::pin!(end);
    while told.len() < LINE_MAX {
        tokio::select! {
            () = &mut end => return,
            next = line.recv() => match next {
                Some(Told::Flush(done)) => return told.push(Told::Flush(done)),
                Some(session) => told.push(session),
                None => return,
            },
        }
    }
}

async fn write(store: &Store, told: Vec<Told>) {
    let mut sums: HashMap<(TlsPeriod, String, String), TlsCount> = HashMap::new();
    let mut waiting = Vec::new();
    for one in told {
        match one {
            Told::Flush(done) => waiting.push(done),
            Told::Session(count) => {
                let place = (count.period.clone(), count.policy.clone(), count.failure.clone());
                let times = sums.get(&place).map_or(0, |before| before.times);
                sums.insert(place, TlsCount { times: times + count.times, ..count });
            }
        }
    }
    if !sums.is_empty()
        && let Err(error) = store.change_tls(TlsChange::Count(sums.into_values().collect())).await
    {
        tracing::warn!(%error, "how TLS with other servers went could not be written down; the reports on it will lack that");
    }
    for done in waiting {
        let _ = done.send(());
    }
}

fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(REASON_MAX_CHARS).collect()
}

fn lines(lines: impl Iterator<Item = String>) -> Vec<String> {
    lines.take(LINES_MAX).map(|line| line.chars().take(LINE_MAX_CHARS).collect()).collect()
}

/// The policy of a domain that publishes nothing.
pub(crate) fn no_policy(domain: &Domain) -> Policy {
    Policy { kind: PolicyType::NoPolicyFound, domain: domain.to_string(), ..Policy::default() }
}

/// The policy of a domain whose host has TLSA records; each is given as a zone has it.
pub(crate) fn tlsa_policy(domain: &Domain, records: impl Iterator<Item = String>) -> Policy {
    let mut lines = lines(records);
    // DNS gives them in any order.
    lines.sort();
    Policy { kind: PolicyType::Tlsa, lines, domain: domain.to_string(), mx_hosts: Vec::new() }
}

/// The policy of a domain with MTA-STS; without its text where that could not be had.
pub(crate) fn sts_policy(domain: &Domain, sts: Option<&StsInForce>) -> Policy {
    let text = sts.map(|sts| sts.policy.text()).unwrap_or_default();
    let mx_hosts = sts.map(|sts| lines(sts.policy.mx.iter().cloned())).unwrap_or_default();
    Policy { kind: PolicyType::Sts, lines: lines(text.lines().map(str::to_owned)), domain: domain.to_string(), mx_hosts }
}

/// A failure at a host, and what was said about it.
pub(crate) fn failure(result: ResultType, host: &Domain, reason: &str) -> FailureDetails {
    FailureDetails { result, mx_host: host.to_string(), reason: reason.to_owned(), ..FailureDetails::default() }
}

/// The word for what is wrong with a host's TLS.
pub(crate) fn result_of(fault: TlsFault) -> ResultType {
    match fault {
        TlsFault::HostMismatch => ResultType::CertificateHostMismatch,
        TlsFault::Expired => ResultType::CertificateExpired,
        TlsFault::NotTrusted => ResultType::CertificateNotTrusted,
        TlsFault::Other => ResultType::ValidationFailure,
    }
}

/// The ends of a connection, as text.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ends {
    sending: String,
    receiving: String,
}

impl Ends {
    pub fn of(tcp: &TcpStream) -> Self {
        let shown =
            |address: std::io::Result<SocketAddr>| address.map(|address| address.ip().to_canonical().to_string()).unwrap_or_default();
        Self { sending: shown(tcp.local_addr()), receiving: shown(tcp.peer_addr()) }
    }

    /// The failure, with the ends of its connection.
    pub fn put(self, failure: FailureDetails) -> FailureDetails {
        FailureDetails { sending_ip: self.sending, receiving_ip: self.receiving, ..failure }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn sessions_are_added_up_before_they_are_written() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let results = TlsResults::start(store.clone());
        let period = TlsPeriod { begin_s: 0, end_s: 1, domain: "far.test".into() };
        let count = |failure: &str| TlsCount {
            period: period.clone(),
            policy: "{}".into(),
            failure: failure.into(),
            reason: String::new(),
            times: 1,
        };
        for failure in ["", "x", ""] {
            results.0.send(Told::Session(count(failure))).await.unwrap();
        }
        results.flush().await;
        let found = store.tls_counts(period.clone()).await.unwrap();
        assert_eq!(found.iter().map(|c| (c.failure.as_str(), c.times)).collect::<Vec<_>>(), [("", 2), ("x", 1)]);
    }

    #[test]
    fn what_strangers_publish_is_cut() {
        let policy = tlsa_policy(&"far.test".parse().unwrap(), (0..100).rev().map(|n| format!("{n:03}{}", "x".repeat(5000))));
        assert_eq!((policy.lines.len(), policy.lines[0].len()), (LINES_MAX, LINE_MAX_CHARS));
        assert!(policy.lines.is_sorted());
        assert_eq!(one_line("a\r\nb"), "a  b");
    }
}
