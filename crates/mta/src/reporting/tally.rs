//! Counts the results for DMARC and TLS reports, and stores the sums a little later.
//!
//! RFC 8460 s.4.3, RFC 9990. Invariant: no session waits for it; dropped results are logged.

use net::Clock;
use store::{DailyCount, DailyPeriod, Store};

use crate::support::write_behind::{BatchWriter, WriteBehind};

/// Minimum time between two warnings about dropped results, in milliseconds.
const WARN_EVERY_MS: i64 = 60_000;

/// Queues results for the tally.
pub(crate) type Results = WriteBehind<DailyCount>;

/// Starts the writer.
pub(crate) fn start(store: Store, clock: Clock) -> Results {
    WriteBehind::start(TallyWriter { store, clock, dropped: 0, warned_ms: i64::MIN })
}

struct TallyWriter {
    store: Store,
    clock: Clock,
    /// Results dropped since the last warning.
    dropped: u64,
    warned_ms: i64,
}

impl BatchWriter<DailyCount> for TallyWriter {
    async fn write(&mut self, batch: Vec<DailyCount>, dropped: u64) {
        self.dropped += dropped;
        if !batch.is_empty() {
            match self.store.count_daily(batch).await {
                Ok(dropped) => self.dropped += dropped,
                Err(error) => tracing::warn!(%error, "results for DMARC and TLS reports could not be stored; the reports will lack them"),
            }
        }
        self.warn();
    }
}

impl TallyWriter {
    fn warn(&mut self) {
        let now_ms = self.clock.now_ms();
        if self.dropped == 0 || (0..WARN_EVERY_MS).contains(&now_ms.saturating_sub(self.warned_ms)) {
            return;
        }
        self.warned_ms = now_ms;
        let times = std::mem::take(&mut self.dropped);
        tracing::warn!(times, "too many results for DMARC and TLS reports: new ones are dropped");
    }
}

/// The reporting period that contains a time.
pub(crate) fn period(kind: store::DailyKind, now_s: i64, every_s: u32, domain: String) -> DailyPeriod {
    let every_s = i64::from(every_s.max(1));
    let begin_s = now_s.div_euclid(every_s) * every_s;
    DailyPeriod { kind, begin_s, end_s: begin_s + every_s, domain }
}

#[cfg(test)]
mod tests {
    use super::*;
    use reports::tls::{FailureDetails, Policy};
    use store::{DailyKind, DailyResult};

    #[tokio::test]
    async fn results_are_summed_before_they_are_written() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let results = start(store.clone(), Clock::system());
        let period = period(DailyKind::Tls, 5, 10, "far.test".into());
        assert_eq!((period.begin_s, period.end_s), (0, 10));
        let count = |has_failed: bool, times| {
            let result = DailyResult::Tls { policy: Policy::default(), failure: has_failed.then(FailureDetails::default) };
            DailyCount { period: period.clone(), result, times }
        };
        for has_failed in [false, true, false] {
            results.push(count(has_failed, 1));
        }
        results.flush().await;
        let found = store.daily_counts(period.clone()).await.unwrap();
        assert_eq!(found, [count(false, 2), count(true, 1)]);
    }
}
