//! Limits the connections to a host, over all lanes.
//!
//! Domains with different lists of hosts have lanes of their own and may share a host. Invariant: a connection holds one permit
//! of its host from before it is opened until it is closed; permits are granted in order of request, and an idle connection
//! yields to a waiting delivery.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;
use policy::NextHop;
use store::Flow;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

/// The permits of all hosts, for each flow: forwards never use up those of own mail.
#[derive(Debug, Default)]
pub(crate) struct ConnectionLimits(Mutex<HashMap<(NextHop, Flow), Arc<HostPermits>>>);

#[derive(Debug)]
struct HostPermits {
    free: Arc<Semaphore>,
    waiting: AtomicUsize,
    needed: Notify,
}

/// One permit, returned when dropped.
#[derive(Debug)]
pub(crate) struct ConnectionPermit {
    host: Arc<HostPermits>,
    _permit: Option<OwnedSemaphorePermit>,
}

/// Counts a waiting delivery, until dropped.
struct Waiting<'a>(&'a AtomicUsize);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl ConnectionLimits {
    /// Waits for a permit of a host that has `max` of them.
    pub async fn acquire(&self, hop: &NextHop, flow: Flow, max: usize) -> ConnectionPermit {
        let host = {
            let mut all = self.0.lock();
            // A host without connections is forgotten, so a changed limit applies from its next connection.
            all.retain(|_, host| Arc::strong_count(host) > 1);
            all.entry((hop.clone(), flow)).or_insert_with(|| Arc::new(HostPermits::new(max.max(1)))).clone()
        };
        let permit = match host.free.clone().try_acquire_owned() {
            Ok(permit) => Some(permit),
            Err(_) => {
                host.waiting.fetch_add(1, Ordering::SeqCst);
                let _waiting = Waiting(&host.waiting);
                host.needed.notify_waiters();
                // An error means that the semaphore was closed, which never happens.
                host.free.clone().acquire_owned().await.ok()
            }
        };
        ConnectionPermit { host, _permit: permit }
    }
}

impl HostPermits {
    fn new(max: usize) -> Self {
        Self { free: Arc::new(Semaphore::new(max)), waiting: AtomicUsize::new(0), needed: Notify::new() }
    }
}

impl ConnectionPermit {
    /// Returns once a delivery waits for a permit of this host.
    pub async fn needed(&self) {
        loop {
            let notified = self.host.needed.notified();
            if self.host.waiting.load(Ordering::SeqCst) > 0 {
                return;
            }
            notified.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn hop(name: &str) -> NextHop {
        NextHop { host: mail::Domain::parse(name).unwrap(), port: 25 }
    }

    #[tokio::test]
    async fn permits_are_shared_by_host_and_flow() {
        let (limits, wait) = (ConnectionLimits::default(), Duration::from_millis(20));
        let first = limits.acquire(&hop("a.test"), Flow::Own, 1).await;
        assert!(tokio::time::timeout(wait, limits.acquire(&hop("a.test"), Flow::Own, 1)).await.is_err());
        let _other = limits.acquire(&hop("a.test"), Flow::Forward, 1).await;
        let _third = limits.acquire(&hop("b.test"), Flow::Own, 1).await;
        drop(first);
        limits.acquire(&hop("a.test"), Flow::Own, 1).await;
        assert_eq!(limits.0.lock().len(), 3);
    }

    #[tokio::test]
    async fn an_idle_connection_yields_to_a_waiting_delivery() {
        let (limits, wait) = (Arc::new(ConnectionLimits::default()), Duration::from_millis(20));
        let first = limits.acquire(&hop("a.test"), Flow::Own, 1).await;
        assert!(tokio::time::timeout(wait, first.needed()).await.is_err());
        let others = limits.clone();
        let second = tokio::spawn(async move { others.acquire(&hop("a.test"), Flow::Own, 1).await });
        first.needed().await;
        drop(first);
        let second = second.await.unwrap();
        assert!(tokio::time::timeout(wait, second.needed()).await.is_err(), "no delivery waits any more");
    }
}
