//! Content that is arriving, and how many there may be at a time.
//!
//! Invariant: each holds a bounded piece of memory, so counting them bounds the memory of all.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use store::Spool;

/// Counts the contents that are arriving, over all sessions.
#[derive(Debug, Clone, Default)]
pub(crate) struct Arriving(Arc<AtomicUsize>);

impl Arriving {
    /// Opens one more, unless there are so many already.
    pub fn open(&self, most: usize, spool: impl FnOnce() -> Spool) -> Option<Spooling> {
        let place = Place(self.0.clone());
        // The place counts at once and is given back where there was none.
        (self.0.fetch_add(1, Ordering::Relaxed) < most).then(|| Spooling { spool: spool(), place })
    }
}

/// One content that is arriving.
#[derive(Debug)]
pub(crate) struct Spooling {
    /// Where it goes.
    pub spool: Spool,
    place: Place,
}

impl Spooling {
    /// All of it is here: what is held until then is the spool's.
    pub fn into_spool(self) -> (Spool, Place) {
        (self.spool, self.place)
    }
}

/// One place; given back when dropped.
#[derive(Debug)]
pub(crate) struct Place(Arc<AtomicUsize>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn places_are_counted_and_given_back() {
        let dir = tempfile::tempdir().unwrap();
        let store = store::Store::open(dir.path()).unwrap();
        let arriving = Arriving::default();
        let open = || arriving.open(2, || store.spool(mail::QueueId(1)));
        let first = open().unwrap();
        let second = open().unwrap();
        assert!(open().is_none());
        drop(first);
        let (_spool, place) = second.into_spool();
        assert!(open().is_some());
        drop(place);
        assert_eq!(arriving.0.load(Ordering::Relaxed), 0);
    }
}
