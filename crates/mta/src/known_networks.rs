//! Networks that have used this server before: what tells a correspondent's server from a crowd.
//!
//! Invariant: memory is bounded; a network cannot become known while it attacks: mail makes it known after a while, a login at once.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use crate::guard::KNOWN_MS;
use crate::settings::ListenerKind;
use crate::shares::{Claimant, Rank, block};

/// Mail makes a network known only after this time, in milliseconds.
const PROBATION_MS: i64 = 600_000;

/// Networks kept at a time, of each kind; those used longest ago go first.
const NETWORKS_MAX: usize = 50_000;

/// The networks; clones share them.
#[derive(Debug, Clone, Default)]
pub(crate) struct KnownNetworks(Arc<Mutex<Networks>>);

#[derive(Debug, Default)]
struct Networks {
    /// When mail from there was taken first and last.
    mail: HashMap<IpAddr, (i64, i64)>,
    /// When an account logged in from there last.
    logins: HashMap<IpAddr, i64>,
}

impl KnownNetworks {
    /// Mail from this client was taken.
    pub fn brought_mail(&self, client: IpAddr, now_ms: i64) {
        let mut networks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        make_room(&mut networks.mail, |(_, last_ms)| *last_ms);
        networks.mail.entry(block(client)).and_modify(|(_, last_ms)| *last_ms = now_ms).or_insert((now_ms, now_ms));
    }

    /// An account logged in from this client.
    pub fn logged_in(&self, client: IpAddr, now_ms: i64) {
        let mut networks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        make_room(&mut networks.logins, |last_ms| *last_ms);
        networks.logins.insert(block(client), now_ms);
    }

    /// A client of this listener, before it has logged in.
    pub fn claimant(&self, client: IpAddr, kind: ListenerKind, now_ms: i64) -> Claimant {
        let networks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
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
        Claimant { rank, client }
    }
}

/// Where the map is full, the half that was used longest ago goes.
fn make_room<V>(networks: &mut HashMap<IpAddr, V>, last_ms: impl Fn(&V) -> i64) {
    if networks.len() >= NETWORKS_MAX {
        let mut times: Vec<i64> = networks.values().map(&last_ms).collect();
        let middle = times.len() / 2;
        let limit = *times.select_nth_unstable(middle).1;
        networks.retain(|_, value| last_ms(value) > limit);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mail_makes_a_network_known_after_a_while_and_a_login_at_once() {
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

    #[test]
    fn memory_is_bounded() {
        let known = KnownNetworks::default();
        for n in 0..u32::try_from(NETWORKS_MAX).unwrap() + 10 {
            known.logged_in(std::net::Ipv4Addr::from_bits(n << 8).into(), i64::from(n));
        }
        assert!(known.0.lock().unwrap().logins.len() <= NETWORKS_MAX);
        let newest = std::net::Ipv4Addr::from_bits((u32::try_from(NETWORKS_MAX).unwrap() + 9) << 8);
        assert_eq!(known.claimant(newest.into(), ListenerKind::Submission, 0).rank, Rank::Account);
    }
}
