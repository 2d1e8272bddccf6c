//! How many connections a host has at a time, over all lanes.
//!
//! Domains with different lists of hosts have lanes of their own and may meet at one host. Invariant: a connection holds one
//! place of its host from before it is opened until it is closed; places are given in the order in which they were asked for.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use policy::NextHop;
use store::Flow;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The places of all hosts, for each flow: forwards never take the owner's own.
#[derive(Debug, Default)]
pub(crate) struct HostPlaces(Mutex<HashMap<(NextHop, Flow), Arc<Semaphore>>>);

/// One place; given back when dropped.
#[derive(Debug)]
pub(crate) struct HostPlace {
    _permit: Option<OwnedSemaphorePermit>,
}

impl HostPlaces {
    /// Waits for a place at a host that has `most` of them.
    pub async fn enter(&self, hop: &NextHop, flow: Flow, most: usize) -> HostPlace {
        let places = {
            let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            // A host with no connection is forgotten, so a limit that was changed counts from its next first one.
            all.retain(|_, places| Arc::strong_count(places) > 1);
            all.entry((hop.clone(), flow)).or_insert_with(|| Arc::new(Semaphore::new(most.max(1)))).clone()
        };
        // An error says that the semaphore was closed, which nobody does.
        HostPlace { _permit: places.acquire_owned().await.ok() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[tokio::test]
    async fn places_are_shared_by_host_and_flow() {
        let (places, wait) = (HostPlaces::default(), Duration::from_millis(20));
        let hop = |name: &str| NextHop { host: mail::Domain::parse(name).unwrap(), port: 25 };
        let first = places.enter(&hop("a.test"), Flow::Own, 1).await;
        assert!(tokio::time::timeout(wait, places.enter(&hop("a.test"), Flow::Own, 1)).await.is_err());
        let _other = places.enter(&hop("a.test"), Flow::Forward, 1).await;
        let _third = places.enter(&hop("b.test"), Flow::Own, 1).await;
        drop(first);
        places.enter(&hop("a.test"), Flow::Own, 1).await;
        assert_eq!(places.0.lock().unwrap().len(), 3);
    }
}
