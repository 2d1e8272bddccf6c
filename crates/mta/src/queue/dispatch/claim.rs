//! The claims of one look at the queue.
//!
//! Invariant: room in memory is taken before the claim that fills it, so that claims that go together stay within the windows.

use mail::Domain;
use tokio::task::JoinSet;

use super::Dispatch;
use crate::deliver::outbound::lease_ms;

/// Lanes whose claims go to the store together.
pub(super) const CLAIMS_AT_ONCE: usize = 128;

/// What a claim brought.
pub(super) struct Claim {
    pub lane: Domain,
    /// The room that was taken for it, in recipients.
    pub room: usize,
    pub claimed: Result<Vec<store::Claimed>, store::StoreError>,
}

impl Dispatch {
    /// Claims what is due in these lanes, for as much as there is room, which is taken. The claims go to the store together, so that they share a
    /// commit: one after the other, five thousand lanes wait for five thousand syncs.
    pub(super) async fn claim(&self, lanes: &[Domain], now_ms: i64) -> Vec<Claim> {
        let mut claims = JoinSet::new();
        for lane in lanes {
            let room = self.0.outbound.window.take_rest(lane);
            if room > 0 {
                let (store, lane, lease_ms) = (self.0.outbound.shared().store.clone(), lane.clone(), lease_ms(now_ms));
                let limit = u32::try_from(room).unwrap_or(u32::MAX);
                claims.spawn(async move { Claim { claimed: store.claim(lane.clone(), now_ms, lease_ms, limit).await, lane, room } });
            }
        }
        claims.join_all().await
    }
}
