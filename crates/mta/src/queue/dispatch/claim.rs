//! The claims of one query of the queue.
//!
//! Invariant: memory is reserved before the claim that fills it, so that concurrent claims stay within the windows.

use mail::Domain;
use tokio::task::JoinSet;

use super::Dispatch;
use crate::deliver::outbound::lease_ms;

/// Maximum lanes that are claimed together.
pub(super) const CLAIMS_AT_ONCE: usize = 128;

/// The result of a claim.
pub(super) struct Claim {
    pub lane: Domain,
    /// The room reserved for it, in recipients.
    pub room: usize,
    pub claimed: Result<Vec<store::Claimed>, store::StoreError>,
}

impl Dispatch {
    /// Claims due mail of these lanes, within the windows. The claims go to the store together and share a commit: one after the other,
    /// five thousand lanes would wait for five thousand syncs.
    pub(super) async fn claim(&self, lanes: &[Domain], now_ms: i64) -> Vec<Claim> {
        let mut claims = JoinSet::new();
        for lane in lanes {
            let room = self.0.outbound.window.reserve_rest(lane);
            if room > 0 {
                let (store, lane, lease_ms) = (self.0.outbound.shared().store.clone(), lane.clone(), lease_ms(now_ms));
                let limit = u32::try_from(room).unwrap_or(u32::MAX);
                claims.spawn(async move { Claim { claimed: store.claim(lane.clone(), now_ms, lease_ms, limit).await, lane, room } });
            }
        }
        claims.join_all().await
    }
}
