//! Networks that have used this server before, to prefer correspondents over a flood of new clients.
//!
//! Invariant: memory is bounded; a network does not become known while it attacks: mail makes it known after a delay, a login at once.

use std::collections::HashMap;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};

use crate::receive::shares::{Rank, RankedClient};
use crate::settings::ListenerKind;
use crate::support::limits::BoundedMap;
use crate::support::networks::{KNOWN_MS, block};
use crate::support::state_file::StateFile;

/// Time after which mail makes a network known, in milliseconds.
const PROBATION_MS: i64 = 600_000;

/// Maximum networks of each kind; the least recently used are dropped first.
const NETWORKS_MAX: usize = 50_000;

/// Maximum networks written to the file, the most recently used.
const WRITTEN_MAX: usize = 10_000;

/// Minimum interval between writes, in milliseconds.
const WRITE_EVERY_MS: i64 = 600_000;

/// The networks; clones share them.
#[derive(Debug, Clone, Default)]
pub(crate) struct KnownNetworks {
    networks: Arc<Mutex<Networks>>,
    file: Arc<StateFile>,
}

#[derive(Debug)]
struct Networks {
    /// When the file was last written, Unix milliseconds.
    written_ms: i64,
    /// When mail from the network was first and last accepted.
    mail: BoundedMap<IpAddr, (i64, i64)>,
    /// When an account last logged in from the network.
    logins: BoundedMap<IpAddr, i64>,
}

impl Default for Networks {
    fn default() -> Self {
        Self { written_ms: 0, mail: BoundedMap::new(NETWORKS_MAX), logins: BoundedMap::new(NETWORKS_MAX) }
    }
}

impl KnownNetworks {
    /// Loads the networks of mail from the file; those of logins are in the database.
    pub fn open(data: &Path) -> Self {
        let (file, held) = StateFile::open(data.join("networks.json"));
        let kept: HashMap<IpAddr, (i64, i64)> = serde_json::from_value(held).unwrap_or_default();
        let mail = BoundedMap::of(NETWORKS_MAX, kept.into_iter().map(|(network, times)| (block(network), times)));
        Self { networks: Arc::new(Mutex::new(Networks { mail, ..Networks::default() })), file: Arc::new(file) }
    }

    /// Records that mail from this client was accepted.
    pub fn brought_mail(&self, client: IpAddr, now_ms: i64) {
        let mut networks = self.locked();
        let network = block(client);
        let first_ms = networks.mail.get(&network).map_or(now_ms, |(first_ms, _)| *first_ms);
        networks.mail.insert_over_oldest(network, (first_ms, now_ms), |(_, last_ms)| *last_ms);
        if (0..WRITE_EVERY_MS).contains(&(now_ms - networks.written_ms)) {
            return;
        }
        networks.written_ms = now_ms;
        drop(networks);
        let known = self.clone();
        tokio::spawn(async move { known.file.write(|| known.text()).await });
    }

    fn text(&self) -> String {
        let mut mail: Vec<(IpAddr, (i64, i64))> = self.locked().mail.iter().map(|(network, times)| (*network, *times)).collect();
        mail.sort_unstable_by_key(|(_, (_, last_ms))| std::cmp::Reverse(*last_ms));
        mail.truncate(WRITTEN_MAX);
        serde_json::to_string(&mail.into_iter().collect::<HashMap<_, _>>()).unwrap_or_default()
    }

    fn locked(&self) -> MutexGuard<'_, Networks> {
        self.networks.lock()
    }

    /// Records a login from this client.
    pub fn logged_in(&self, client: IpAddr, now_ms: i64) {
        let mut networks = self.locked();
        networks.logins.insert_over_oldest(block(client), now_ms, |last_ms| *last_ms);
    }

    /// Ranks a client of this listener that has not logged in.
    pub fn claimant(&self, client: IpAddr, kind: ListenerKind, now_ms: i64) -> RankedClient {
        let networks = self.locked();
        let is_recent = |at_ms: i64| now_ms.saturating_sub(at_ms) < KNOWN_MS;
        let has_login = networks.logins.get(&block(client)).is_some_and(|last_ms| is_recent(*last_ms));
        let has_mail = || {
            networks.mail.get(&block(client)).is_some_and(|(first_ms, last_ms)| is_recent(*last_ms) && now_ms - first_ms >= PROBATION_MS)
        };
        let rank = match kind {
            ListenerKind::Mx if has_login || has_mail() => Rank::Known,
            ListenerKind::Mx => Rank::Stranger,
            _ if has_login => Rank::Account,
            _ => Rank::Newcomer,
        };
        RankedClient { rank, client }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn mail_makes_a_network_known_after_a_delay_and_a_login_at_once() {
        let known = KnownNetworks::default();
        let rank = |client: &str, kind, now_ms| known.claimant(client.parse().unwrap(), kind, now_ms).rank;
        assert_eq!(rank("192.0.2.1", ListenerKind::Mx, 0), Rank::Stranger);
        known.brought_mail("192.0.2.1".parse().unwrap(), 0);
        known.brought_mail("192.0.2.9".parse().unwrap(), 5);
        assert_eq!(rank("192.0.2.1", ListenerKind::Mx, PROBATION_MS - 1), Rank::Stranger);
        assert_eq!(rank("192.0.2.200", ListenerKind::Mx, PROBATION_MS), Rank::Known);
        assert_eq!(rank("192.0.2.200", ListenerKind::Submission, PROBATION_MS), Rank::Newcomer);
        assert_eq!(rank("192.0.2.1", ListenerKind::Mx, KNOWN_MS + 5), Rank::Stranger);
        known.logged_in("2001:db8:1::1".parse().unwrap(), 0);
        assert_eq!(rank("2001:db8:1:2::1", ListenerKind::Submissions, 1), Rank::Account);
        assert_eq!(rank("2001:db8:1:2::1", ListenerKind::Mx, 1), Rank::Known);
    }

    #[tokio::test]
    async fn networks_of_mail_survive_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let known = KnownNetworks::open(dir.path());
        known.networks.lock().mail.insert_over_oldest("192.0.2.0".parse().unwrap(), (0, 5), |(_, last_ms)| *last_ms);
        known.file.write(|| known.text()).await;
        let next = KnownNetworks::open(dir.path());
        assert_eq!(next.claimant("192.0.2.77".parse().unwrap(), ListenerKind::Mx, PROBATION_MS).rank, Rank::Known);
        std::fs::write(dir.path().join("networks.json"), "{\"192.0.2.0\": \"x\"}").unwrap();
        assert_eq!(
            KnownNetworks::open(dir.path()).claimant("192.0.2.77".parse().unwrap(), ListenerKind::Mx, PROBATION_MS).rank,
            Rank::Stranger
        );
    }

    #[test]
    fn memory_is_bounded() {
        let known = KnownNetworks::default();
        for n in 0..u32::try_from(NETWORKS_MAX).unwrap() + 10 {
            known.logged_in(std::net::Ipv4Addr::from_bits(n << 8).into(), i64::from(n));
        }
        assert!(known.locked().logins.iter().count() <= NETWORKS_MAX);
        let newest = std::net::Ipv4Addr::from_bits((u32::try_from(NETWORKS_MAX).unwrap() + 9) << 8);
        assert_eq!(known.claimant(newest.into(), ListenerKind::Submission, 0).rank, Rank::Account);
    }
}
