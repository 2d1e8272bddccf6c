//! Memory bounds: a map with a maximum size, and token buckets in one.
//!
//! Invariant: neither ever holds more entries than its maximum, whatever clients send.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::collections::hash_map::Iter;
use std::hash::Hash;

/// A full map drops this fraction of its entries at once, so that finding the oldest costs little per insertion.
const EVICTED_FRACTION: usize = 4;

/// One token, in thousandths: buckets refill in fractions.
const TOKEN: i64 = 1000;

/// A map that holds at most `max` entries.
#[derive(Debug)]
pub(crate) struct BoundedMap<K, V> {
    entries: HashMap<K, V>,
    max: usize,
}

impl<K: Eq + Hash, V> BoundedMap<K, V> {
    /// An empty map for at most `max` entries.
    pub fn new(max: usize) -> Self {
        Self { entries: HashMap::new(), max }
    }

    /// A map of the first `max` entries.
    pub fn of(max: usize, entries: impl IntoIterator<Item = (K, V)>) -> Self {
        Self { entries: entries.into_iter().take(max).collect(), max }
    }

    pub fn get<Q: Eq + Hash + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        self.entries.get(key)
    }

    pub fn get_mut<Q: Eq + Hash + ?Sized>(&mut self, key: &Q) -> Option<&mut V>
    where
        K: Borrow<Q>,
    {
        self.entries.get_mut(key)
    }

    pub fn remove<Q: Eq + Hash + ?Sized>(&mut self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        self.entries.remove(key)
    }

    pub fn iter(&self) -> Iter<'_, K, V> {
        self.entries.iter()
    }

    /// Inserts or replaces an entry. A full map first drops the entries that `is_alive` rejects; if it is still full, a new key is refused and
    /// this returns false.
    pub fn insert_if_room(&mut self, key: K, value: V, is_alive: impl Fn(&V) -> bool) -> bool {
        if !self.entries.contains_key(&key) && self.entries.len() >= self.max {
            self.entries.retain(|_, value| is_alive(value));
            if self.entries.len() >= self.max {
                return false;
            }
        }
        self.entries.insert(key, value);
        true
    }

    /// Inserts or replaces an entry, and returns the value that it replaced. A full map first drops a quarter of its entries: those whose
    /// `time` is the earliest.
    pub fn insert_over_oldest<T: Ord>(&mut self, key: K, value: V, time: impl Fn(&V) -> T) -> Option<V> {
        if !self.entries.contains_key(&key) && self.entries.len() >= self.max {
            self.drop_oldest(&time);
        }
        self.entries.insert(key, value)
    }

    fn drop_oldest<T: Ord>(&mut self, time: &impl Fn(&V) -> T) {
        let mut dropped = self.max.div_ceil(EVICTED_FRACTION);
        let mut times: Vec<T> = self.entries.values().map(time).collect();
        let last = dropped.saturating_sub(1).min(times.len().saturating_sub(1));
        let limit = times.select_nth_unstable(last).1;
        self.entries.retain(|_, value| {
            // Entries with the same time may be most of the map: no more are dropped than needed.
            let is_dropped = dropped > 0 && time(value) <= *limit;
            dropped -= usize::from(is_dropped);
            !is_dropped
        });
    }
}

/// Rate limits by key: at most a number of tokens at once, and as many again over each window, refilled evenly.
#[derive(Debug)]
pub(crate) struct TokenBuckets<K> {
    buckets: BoundedMap<K, Bucket>,
    window_ms: i64,
}

impl<K: Eq + Hash> TokenBuckets<K> {
    /// Buckets for at most `keys` keys. While all of them are in use, other keys are refused.
    pub fn new(keys: usize, window_ms: i64) -> Self {
        Self { buckets: BoundedMap::new(keys), window_ms }
    }

    /// Takes one token of at most `max`; false if none is left.
    pub fn take(&mut self, key: K, max: u32, now_ms: i64) -> bool {
        let window_ms = self.window_ms;
        if let Some(bucket) = self.buckets.get_mut(&key) {
            return bucket.take(max, window_ms, now_ms);
        }
        let mut bucket = Bucket::default();
        let taken = bucket.take(max, window_ms, now_ms);
        taken && self.buckets.insert_if_room(key, bucket, |bucket| bucket.spent(max, window_ms, now_ms) > 0)
    }

    /// Returns a token that was taken.
    pub fn give_back(&mut self, key: &K) {
        if let Some(bucket) = self.buckets.get_mut(key) {
            bucket.spent = (bucket.spent - TOKEN).max(0);
        }
    }
}

/// One token bucket.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Bucket {
    /// Tokens that have been taken and not refilled, in thousandths.
    spent: i64,
    /// When `spent` was computed, Unix milliseconds.
    at_ms: i64,
}

impl Bucket {
    /// Takes one token of at most `max`, which refill within `window_ms`; false if none is left.
    pub fn take(&mut self, max: u32, window_ms: i64, now_ms: i64) -> bool {
        self.spent = self.spent(max, window_ms, now_ms);
        self.at_ms = now_ms;
        let has_token = self.spent + TOKEN <= i64::from(max) * TOKEN;
        self.spent += if has_token { TOKEN } else { 0 };
        has_token
    }

    /// Returns a token that was taken.
    pub fn give_back(&mut self) {
        self.spent = (self.spent - TOKEN).max(0);
    }

    fn spent(&self, max: u32, window_ms: i64, now_ms: i64) -> i64 {
        let refilled = (now_ms - self.at_ms).max(0).saturating_mul(i64::from(max) * TOKEN) / window_ms;
        (self.spent - refilled).max(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_map_refuses_new_keys_until_entries_expire() {
        let mut map = BoundedMap::new(2);
        let is_alive = |now: i32| move |until: &i32| *until > now;
        assert!(map.insert_if_room("a", 1, is_alive(0)) && map.insert_if_room("b", 9, is_alive(0)));
        assert!(!map.insert_if_room("c", 9, is_alive(0)));
        assert!(map.insert_if_room("b", 8, is_alive(0)), "replacing needs no room");
        assert!(map.insert_if_room("c", 9, is_alive(1)));
        assert_eq!((map.get("a"), map.get("b")), (None, Some(&8)));
    }

    #[test]
    fn a_full_map_drops_its_oldest_quarter() {
        let mut map = BoundedMap::new(8);
        for n in 0..8 {
            map.insert_over_oldest(n, n, |n| *n);
        }
        map.insert_over_oldest(8, 8, |n| *n);
        let mut kept: Vec<i32> = map.iter().map(|(key, _)| *key).collect();
        kept.sort_unstable();
        assert_eq!(kept, [2, 3, 4, 5, 6, 7, 8]);
        let mut same_time = BoundedMap::of(8, (0..20).map(|n| (n, 0)));
        same_time.insert_over_oldest(99, 0, |n| *n);
        assert_eq!(same_time.iter().count(), 7, "entries of the same time do not all go");
        let mut one = BoundedMap::new(1);
        one.insert_over_oldest(1, 1, |n| *n);
        assert_eq!((one.insert_over_oldest(2, 2, |n| *n), one.get(&1), one.get(&2)), (None, None, Some(&2)));
    }

    #[test]
    fn tokens_refill_evenly() {
        let mut buckets = TokenBuckets::new(10, 600);
        assert!((0..3).all(|_| buckets.take("a", 3, 0)));
        assert!(!buckets.take("a", 3, 199) && buckets.take("a", 3, 200) && !buckets.take("a", 3, 200));
        buckets.give_back(&"a");
        assert!(buckets.take("a", 3, 200));
        assert!(!buckets.take("none", 0, 0));
    }

    #[test]
    fn keys_in_use_keep_their_buckets() {
        let mut buckets = TokenBuckets::new(2, 600);
        assert!(buckets.take(1, 1, 0) && buckets.take(2, 1, 0) && !buckets.take(3, 1, 0));
        assert!(!buckets.take(1, 1, 1), "a flood of keys does not refill a bucket");
        assert!(buckets.take(3, 1, 600));
    }
}
