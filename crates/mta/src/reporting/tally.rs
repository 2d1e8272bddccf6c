//! What other domains are to be told once a day: counted beside the sessions, and written down a little later.
//!
//! RFC 8460 s.4.3, RFC 9990. Invariant: no session waits for it; what waits to be written is bounded; what is left out is said in the log.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use net::Clock;
use store::{DailyChange, DailyCount, DailyPeriod, Store};
use tokio::sync::{mpsc, oneshot};

/// Results that wait to be written; more are not counted.
const LINE_MAX: usize = 4096;

/// They are written at most this often.
const WRITE_EVERY: Duration = Duration::from_secs(1);

/// At a shutdown, writing the last ones may take so long.
const FLUSH_WITHIN: Duration = Duration::from_secs(2);

/// Between two lines about results that are left out at least this time passes, in milliseconds.
const SAY_EVERY_MS: i64 = 60_000;

enum Told {
    Count(DailyCount),
    Flush(oneshot::Sender<()>),
}

/// Where results are told.
#[derive(Debug)]
pub(crate) struct Results {
    line: mpsc::Sender<Told>,
    left_out: Arc<AtomicU64>,
}

impl Results {
    /// Starts writing; it ends with the last sender.
    pub fn start(store: Store, clock: Clock) -> Self {
        let (line, mut told) = mpsc::channel(LINE_MAX);
        let left_out = Arc::new(AtomicU64::new(0));
        let writer = Writer { store, clock, left_out: left_out.clone() };
        tokio::spawn(async move {
            let mut said_ms = i64::MIN;
            while let Some(first) = told.recv().await {
                let mut some = vec![first];
                if !matches!(some.first(), Some(Told::Flush(_))) {
                    gather(&mut told, &mut some).await;
                }
                while some.len() < LINE_MAX
                    && let Ok(next) = told.try_recv()
                {
                    some.push(next);
                }
                writer.write(some).await;
                writer.say(&mut said_ms);
            }
        });
        Self { line, left_out }
    }

    /// Returns once everything that was told is on disk.
    pub async fn flush(&self) {
        let (done, written) = oneshot::channel();
        let flushed = async { if self.line.send(Told::Flush(done)).await.is_ok() { written.await.is_ok() } else { false } };
        let _ = tokio::time::timeout(FLUSH_WITHIN, flushed).await;
    }

    /// Counts one session or message. Where the line is full the disk is behind: mail is more important than numbers.
    pub fn tell(&self, count: DailyCount) {
        if self.line.try_send(Told::Count(count)).is_err() {
            self.left_out.fetch_add(1, Ordering::Relaxed);
        }
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
                Some(count) => told.push(count),
                None => return,
            },
        }
    }
}

struct Writer {
    store: Store,
    clock: Clock,
    left_out: Arc<AtomicU64>,
}

impl Writer {
    async fn write(&self, told: Vec<Told>) {
        let mut sums: HashMap<(DailyPeriod, String, String), DailyCount> = HashMap::new();
        let mut waiting = Vec::new();
        for one in told {
            match one {
                Told::Flush(done) => waiting.push(done),
                Told::Count(count) => {
                    let place = (count.period.clone(), count.policy.clone(), count.detail.clone());
                    let times = sums.get(&place).map_or(0, |before| before.times);
                    sums.insert(place, DailyCount { times: times + count.times, ..count });
                }
            }
        }
        if !sums.is_empty() {
            match self.store.change_daily(DailyChange::Count(sums.into_values().collect())).await {
                Ok(left_out) => _ = self.left_out.fetch_add(left_out, Ordering::Relaxed),
                Err(error) => {
                    tracing::warn!(%error, "what other domains are to be told could not be written down; the reports to them will lack that");
                }
            }
        }
        for done in waiting {
            let _ = done.send(());
        }
    }

    fn say(&self, said_ms: &mut i64) {
        let now_ms = self.clock.now_ms();
        if self.left_out.load(Ordering::Relaxed) == 0 || (0..SAY_EVERY_MS).contains(&now_ms.saturating_sub(*said_ms)) {
            return;
        }
        *said_ms = now_ms;
        let times = self.left_out.swap(0, Ordering::Relaxed);
        tracing::warn!(times, "too much to report to other domains: what is new is left out of their reports");
    }
}

/// The period of a kind that a time is in.
pub(crate) fn period(kind: store::DailyKind, now_s: i64, every_s: u32, domain: String) -> DailyPeriod {
    let every_s = i64::from(every_s.max(1));
    let begin_s = now_s.div_euclid(every_s) * every_s;
    DailyPeriod { kind, begin_s, end_s: begin_s + every_s, domain }
}

#[cfg(test)]
mod tests {
    use super::*;
    use store::DailyKind;

    #[tokio::test]
    async fn sessions_are_added_up_before_they_are_written() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let results = Results::start(store.clone(), Clock::system());
        let period = period(DailyKind::Tls, 5, 10, "far.test".into());
        assert_eq!((period.begin_s, period.end_s), (0, 10));
        let count = |detail: &str| DailyCount {
            period: period.clone(),
            policy: "{}".into(),
            detail: detail.into(),
            reason: String::new(),
            times: 1,
        };
        for detail in ["", "x", ""] {
            results.tell(count(detail));
        }
        results.flush().await;
        let found = store.daily_counts(period.clone()).await.unwrap();
        assert_eq!(found.iter().map(|c| (c.detail.as_str(), c.times)).collect::<Vec<_>>(), [("", 2), ("x", 1)]);
    }
}
