//! Memory for messages of local programs that are being read, shared among users.
//!
//! Invariant: one user has at most a quarter of it, however many programs of that user wait, so that a place is left for the others.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Maximum memory for all users, in KiB.
const ALL_KIB: u32 = 256 * 1024;

/// Maximum memory for one user, in KiB: a message of the largest default size fits.
const USER_KIB: u32 = ALL_KIB / 4;

/// The memory. Clones share it.
#[derive(Debug, Clone)]
pub(crate) struct MessageRoom {
    all: Arc<Semaphore>,
    users: Arc<Mutex<HashMap<u32, Arc<Semaphore>>>>,
}

impl Default for MessageRoom {
    fn default() -> Self {
        Self { all: Arc::new(Semaphore::new(ALL_KIB as usize)), users: Arc::default() }
    }
}

/// Memory of one message, returned when dropped.
#[derive(Debug)]
pub(crate) struct MessagePlace {
    room: MessageRoom,
    uid: u32,
    held: Option<(OwnedSemaphorePermit, OwnedSemaphorePermit)>,
}

impl MessageRoom {
    /// Waits for memory for a message of this many octets.
    pub async fn take(&self, uid: u32, bytes: u64) -> MessagePlace {
        let kib = u32::try_from(bytes / 1024 + 1).unwrap_or(USER_KIB).min(USER_KIB);
        let of_user = self.users.lock().entry(uid).or_insert_with(|| Arc::new(Semaphore::new(USER_KIB as usize))).clone();
        let mut place = MessagePlace { room: self.clone(), uid, held: None };
        // First the user's own, so that only a quarter of a user's programs wait among those of all users. Neither semaphore is ever closed.
        let own = of_user.acquire_many_owned(kib).await;
        let all = self.all.clone().acquire_many_owned(kib).await;
        place.held = own.ok().zip(all.ok());
        place
    }
}

impl Drop for MessagePlace {
    fn drop(&mut self) {
        self.held = None;
        let mut users = self.room.users.lock();
        if users.get(&self.uid).is_some_and(|of_user| Arc::strong_count(of_user) == 1) {
            users.remove(&self.uid);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    #[tokio::test]
    async fn one_user_leaves_room_for_the_others() {
        let room = MessageRoom::default();
        let large = u64::from(USER_KIB) * 1024 / 4 - 1;
        let mut greedy = Vec::new();
        for _ in 0..4 {
            greedy.push(room.take(1000, large).await);
        }
        let more: Vec<_> = (0..50).map(|_| Box::pin(room.take(1000, large))).collect();
        let mut waiting: Vec<_> = more.into_iter().filter_map(|mut one| one.as_mut().now_or_never().is_none().then_some(one)).collect();
        assert_eq!(waiting.len(), 50, "the greedy user waits");
        let other = room.take(1001, large).now_or_never();
        assert!(other.is_some(), "another user does not wait behind the greedy one");
        greedy.pop();
        assert!(waiting.swap_remove(0).now_or_never().is_some(), "what is returned goes to the one that waits");
        drop((greedy, waiting, other));
        assert_eq!((room.all.available_permits(), room.users.lock().len()), (ALL_KIB as usize, 0));
    }

    #[tokio::test]
    async fn the_largest_message_always_fits() {
        assert!(MessageRoom::default().take(1, u64::MAX).now_or_never().is_some());
    }
}
