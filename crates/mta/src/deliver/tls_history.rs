//! Hosts that offer TLS: if one suddenly does not, an attacker may be answering.
//!
//! RFC 7435 s.3, RFC 3207 s.6. Invariant: a host that really dropped TLS gets its mail after a day, across restarts; memory is bounded; no delivery
//! waits for the file.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use mail::Domain;
use parking_lot::{Mutex, MutexGuard};
use serde_json::{Value, json};
use tokio::sync::Notify;
use tokio::time::timeout;

use crate::deliver::outbound::Outbound;
use crate::support::limits::BoundedMap;
use crate::support::state_file::StateFile;

/// The file, in the data directory.
const FILE: &str = "tls-hosts.json";

/// Retention after a host last offered TLS, in milliseconds.
const RETENTION_MS: i64 = 30 * 86_400_000;

/// Maximum time that mail waits for TLS to return, in milliseconds.
const WAIT_MS: i64 = 86_400_000;

/// Minimum interval between updates for one host, in milliseconds.
const UPDATE_EVERY_MS: i64 = 3_600_000;

/// Maximum hosts.
const HOSTS_MAX: usize = 20_000;

/// Delay before changes are written: a crash loses newer ones.
const WRITE_AFTER: Duration = Duration::from_secs(30);

/// Maximum time for the write at a shutdown.
const WRITE_WITHIN: Duration = Duration::from_secs(2);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct HostTls {
    offered_ms: i64,
    /// Since when it does not offer TLS.
    missing_ms: Option<i64>,
}

impl HostTls {
    /// A clock that is set back a little drops no host, and one that was far ahead makes none permanent.
    fn is_valid(&self, now_ms: i64) -> bool {
        (-WAIT_MS..RETENTION_MS).contains(&now_ms.saturating_sub(self.offered_ms))
    }
}

/// The history.
#[derive(Debug)]
pub(crate) struct TlsHistory {
    file: StateFile,
    hosts: Mutex<BoundedMap<Domain, HostTls>>,
    /// Notified of changes to write.
    changed: Notify,
}

impl Default for TlsHistory {
    fn default() -> Self {
        Self { file: StateFile::default(), hosts: Mutex::new(BoundedMap::new(HOSTS_MAX)), changed: Notify::new() }
    }
}

impl TlsHistory {
    /// Reads the file.
    pub fn open(data: &Path) -> Self {
        let (file, state) = StateFile::open(data.join(FILE));
        Self { file, hosts: Mutex::new(BoundedMap::of(HOSTS_MAX, read(&state))), changed: Notify::new() }
    }

    fn hosts(&self) -> MutexGuard<'_, BoundedMap<Domain, HostTls>> {
        self.hosts.lock()
    }

    /// Records a TLS connection to the host.
    pub fn record_offer(&self, host: &Domain, now_ms: i64) {
        let mut hosts = self.hosts();
        let is_change =
            |seen: &HostTls| seen.missing_ms.is_some() || !(0..UPDATE_EVERY_MS).contains(&now_ms.saturating_sub(seen.offered_ms));
        if hosts.get(host).is_some_and(|seen| !is_change(seen)) {
            return;
        }
        if hosts.insert_if_room(host.clone(), HostTls { offered_ms: now_ms, missing_ms: None }, |seen| seen.is_valid(now_ms)) {
            self.changed.notify_one();
        }
    }

    /// Whether the host is expected to offer TLS.
    pub fn expects(&self, host: &Domain, now_ms: i64) -> bool {
        let is_waiting = |seen: &HostTls| seen.missing_ms.is_none_or(|missing_ms| now_ms.saturating_sub(missing_ms) < WAIT_MS);
        self.hosts().get(host).is_some_and(|seen| seen.is_valid(now_ms) && is_waiting(seen))
    }

    /// Records that it does not. Returns how long its mail still waits, in milliseconds.
    pub fn record_missing(&self, host: &Domain, now_ms: i64) -> i64 {
        let mut hosts = self.hosts();
        let Some(seen) = hosts.get_mut(host) else { return 0 };
        // With a clock that was ahead, the day would begin in the future.
        let since_ms = seen.missing_ms.filter(|since_ms| *since_ms <= now_ms).unwrap_or(now_ms);
        if seen.missing_ms != Some(since_ms) {
            seen.missing_ms = Some(since_ms);
            self.changed.notify_one();
        }
        (since_ms.saturating_add(WAIT_MS) - now_ms).max(0)
    }

    async fn write(&self) {
        self.file.write(|| text(self.hosts().iter().map(|(host, seen)| (host.clone(), *seen)).collect())).await;
    }

    /// Writes the file, at a shutdown.
    pub async fn flush(&self) {
        if timeout(WRITE_WITHIN, self.write()).await.is_err() {
            tracing::warn!("cannot store which hosts offer TLS in time; a restart uses the last stored state");
        }
    }
}

/// Writes changes until shutdown.
pub(crate) async fn run(outbound: Arc<Outbound>) {
    let history = &outbound.connector.tls_history;
    loop {
        history.changed.notified().await;
        tokio::time::sleep(WRITE_AFTER).await;
        history.write().await;
    }
}

fn text(mut hosts: Vec<(Domain, HostTls)>) -> String {
    hosts.sort_by(|(one, _), (other, _)| one.as_str().cmp(other.as_str()));
    let one =
        |(host, seen): &(Domain, HostTls)| json!({ "host": host.as_str(), "offered_ms": seen.offered_ms, "missing_ms": seen.missing_ms });
    json!({ "hosts": hosts.iter().map(one).collect::<Vec<Value>>() }).to_string()
}

fn read(state: &Value) -> HashMap<Domain, HostTls> {
    let one = |one: &Value| {
        let host = Domain::parse(one.get("host")?.as_str()?).ok()?;
        let missing_ms = one.get("missing_ms").and_then(Value::as_i64);
        Some((host, HostTls { offered_ms: one.get("offered_ms")?.as_i64()?, missing_ms }))
    };
    state.get("hosts").and_then(Value::as_array).into_iter().flatten().filter_map(one).take(HOSTS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mail_waits_one_day_for_tls() {
        let (history, host): (_, Domain) = (TlsHistory::default(), "mx.far.test".parse().unwrap());
        assert!(!history.expects(&host, 0));
        assert_eq!(history.record_missing(&host, 0), 0);
        history.record_offer(&host, 0);
        assert!(history.expects(&host, RETENTION_MS - 1) && !history.expects(&host, RETENTION_MS));
        assert_eq!(history.record_missing(&host, 1000), WAIT_MS);
        assert_eq!(history.record_missing(&host, 2000), WAIT_MS - 1000);
        assert!(history.expects(&host, WAIT_MS + 999) && !history.expects(&host, WAIT_MS + 1000));
        history.record_offer(&host, WAIT_MS + 2000);
        assert!(history.expects(&host, WAIT_MS + 3000));
    }

    #[test]
    fn the_history_is_bounded() {
        let history = TlsHistory::default();
        for n in 0..HOSTS_MAX + 10 {
            history.record_offer(&format!("h{n}.test").parse().unwrap(), 0);
        }
        assert_eq!(history.hosts().iter().count(), HOSTS_MAX);
        history.record_offer(&"new.test".parse().unwrap(), RETENTION_MS);
        assert!(history.expects(&"new.test".parse().unwrap(), RETENTION_MS));
    }
    #[tokio::test]
    async fn hosts_survive_a_restart_and_damaged_entries_are_skipped() {
        let data = tempfile::tempdir().unwrap();
        let [one, two, bad]: [Domain; 3] = ["mx.one.test", "mx.two.test", "mx.bad.test"].map(|name| name.parse().unwrap());
        let history = TlsHistory::open(data.path());
        history.record_offer(&one, 1000);
        history.record_offer(&two, 1000);
        assert_eq!(history.record_missing(&two, 5000), WAIT_MS);
        history.flush().await;
        let reopened = TlsHistory::open(data.path());
        assert!(reopened.expects(&one, 2000) && !reopened.expects(&bad, 2000));
        let entries = |history: &TlsHistory| history.hosts().iter().map(|(host, seen)| (host.clone(), *seen)).collect::<HashMap<_, _>>();
        assert_eq!(entries(&reopened), entries(&history));
        // The day continues after the restart.
        assert_eq!(reopened.record_missing(&two, 6000), WAIT_MS - 1000);
        let hosts =
            r#"{"hosts":[{"host":"mx.bad.test"},{"host":"..","offered_ms":1},7,{"host":"mx.one.test","offered_ms":1,"missing_ms":"x"}]}"#;
        std::fs::write(data.path().join(FILE), hosts).unwrap();
        let reopened = TlsHistory::open(data.path());
        assert!(reopened.expects(&one, 2000) && !reopened.expects(&bad, 2000));
        assert_eq!(reopened.hosts().iter().count(), 1);
        std::fs::write(data.path().join(FILE), "{").unwrap();
        assert!(!TlsHistory::open(data.path()).expects(&one, 2000));
    }

    #[test]
    fn a_clock_that_was_ahead_delays_no_mail_forever() {
        let (history, host): (_, Domain) = (TlsHistory::default(), "mx.far.test".parse().unwrap());
        history.record_offer(&host, 10 * RETENTION_MS);
        assert!(!history.expects(&host, 0));
        history.record_offer(&host, 1000);
        assert!(history.expects(&host, 0));
        history.record_missing(&host, WAIT_MS);
        assert_eq!(history.record_missing(&host, 2000), WAIT_MS);
        assert!(!history.expects(&host, WAIT_MS + 2000));
    }

    #[test]
    fn only_changes_are_written() {
        let (history, host): (_, Domain) = (TlsHistory::default(), "mx.far.test".parse().unwrap());
        let is_change = || is_ready(history.changed.notified());
        assert!(!is_change());
        history.record_offer(&host, 0);
        assert!(is_change());
        history.record_offer(&host, UPDATE_EVERY_MS - 1);
        assert!(!is_change());
        history.record_offer(&host, UPDATE_EVERY_MS);
        assert!(is_change());
        history.record_missing(&host, UPDATE_EVERY_MS);
        assert!(is_change());
        history.record_missing(&host, UPDATE_EVERY_MS + 1);
        assert!(!is_change());
        history.record_offer(&host, UPDATE_EVERY_MS + 2);
        assert!(is_change());
    }

    /// Whether it is ready at once.
    fn is_ready(future: impl Future<Output = ()>) -> bool {
        let mut future = std::pin::pin!(future);
        future.as_mut().poll(&mut std::task::Context::from_waker(std::task::Waker::noop())).is_ready()
    }
}
