//! Places for connections: how many there are, and how many one client may have.
//!
//! Invariant: one client cannot take all places.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use parking_lot::Mutex;

/// Maximum concurrent connections of a listener's kind.
const CONNECTIONS_MAX: usize = 512;

/// Maximum concurrent connections of one client: an IPv4 address, or an IPv6 /64.
const PER_CLIENT_MAX: usize = 64;

/// The places. Clones share them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Places(Arc<Mutex<TakenPlaces>>);

#[derive(Debug, Default)]
struct TakenPlaces {
    all: usize,
    by_client: HashMap<IpAddr, usize>,
}

/// A place, until it is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    places: Places,
    client: IpAddr,
}

impl Places {
    /// Takes a place; `None` if none is left for this client.
    pub fn take(&self, client: IpAddr) -> Option<Place> {
        let client = counted(client);
        let mut taken = self.0.lock();
        if taken.all >= CONNECTIONS_MAX || taken.by_client.get(&client).is_some_and(|n| *n >= PER_CLIENT_MAX) {
            return None;
        }
        taken.all += 1;
        *taken.by_client.entry(client).or_default() += 1;
        Some(Place { places: self.clone(), client })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.0.lock();
        taken.all -= 1;
        if let Some(n) = taken.by_client.get_mut(&self.client) {
            *n -= 1;
            if *n == 0 {
                taken.by_client.remove(&self.client);
            }
        }
    }
}

/// Returns the address that a client is counted under.
fn counted(client: IpAddr) -> IpAddr {
    match client.to_canonical() {
        IpAddr::V6(ip) => Ipv6Addr::from_bits(ip.to_bits() >> 64 << 64).into(),
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_client_cannot_take_all_places() {
        let places = Places::default();
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        let mut taken: Vec<_> = (0..PER_CLIENT_MAX).map(|n| places.take(ip(&format!("2001:db8::{n:x}"))).unwrap()).collect();
        assert!(places.take(ip("2001:db8::ffff")).is_none());
        assert!(places.take(ip("2001:db8:0:1::1")).is_some() && places.take(ip("::ffff:192.0.2.1")).is_some());
        taken.pop();
        assert!(places.take(ip("2001:db8::ffff")).is_some());
        drop(taken);
        let all: Vec<_> = (0..CONNECTIONS_MAX).map(|n| places.take(ip(&format!("192.0.{}.{}", n / 256, n % 256))).unwrap()).collect();
        assert!(places.take(ip("198.51.100.1")).is_none());
        drop(all);
        assert!(places.0.lock().by_client.is_empty());
    }
}
