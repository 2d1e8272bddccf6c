//! The threads that hash passwords.
//!
//! RFC 9106 s.4. Invariant: at most [`HASHES_MAX`] hashes at a time, each in 19 MiB, and at most one for unknown networks; known networks go
//! first; both queues are bounded, and no client's network fills one. The threads run at a lower priority than the rest of the server.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::Arc;
use std::thread;

use parking_lot::{Condvar, Mutex};
use rustix::process::{getpriority_process, setpriority_process};
use rustix::thread::gettid;
use tokio::sync::oneshot;

use crate::receive::auth::throttle::Standing;
use crate::support::networks::network;

/// Maximum number of hashes at a time. They have threads of their own: memory that a hash leaves behind in its thread would otherwise add up
/// over all the runtime's threads.
const HASHES_MAX: usize = 2;

/// Maximum number of waiting logins from known networks; others are asked to retry.
const KNOWN_QUEUE_MAX: usize = 256;

/// Maximum number of waiting logins from unknown networks: about two seconds of work.
const STRANGERS_QUEUE_MAX: usize = 64;

/// One client's network (an IPv4 address, an IPv6 /64) fills at most one in this many places of a queue.
const NETWORK_PART: usize = 8;

/// Niceness of the threads, added to the process's (setpriority(2)): logged-in sessions must not wait for a guess, and a login on a busy
/// machine must still be served.
const NICENESS: i32 = 5;

type HashJob = Box<dyn FnOnce() + Send>;

/// Waiting work, each with the network of its client.
type HashingQueue = VecDeque<(Option<IpAddr>, HashJob)>;

/// The queue is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Busy;

/// The threads' handle; they end when it is dropped.
#[derive(Debug)]
pub(crate) struct HashingPool {
    shared: Arc<HashingState>,
}

#[derive(Debug, Default)]
struct HashingState {
    queues: Mutex<HashingQueues>,
    wake: Condvar,
}

#[derive(Default)]
struct HashingQueues {
    known: HashingQueue,
    strangers: HashingQueue,
    /// Whether a thread works for an unknown network.
    serves_stranger: bool,
    ended: bool,
}

impl std::fmt::Debug for HashingQueues {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HashingQueues").field("known", &self.known.len()).field("strangers", &self.strangers.len()).finish_non_exhaustive()
    }
}

impl HashingQueues {
    /// The next work of a thread.
    fn next(&mut self) -> Option<(HashJob, Standing)> {
        if let Some((_, work)) = self.known.pop_front() {
            return Some((work, Standing::Known));
        }
        if self.serves_stranger {
            return None;
        }
        let (_, work) = self.strangers.pop_front()?;
        self.serves_stranger = true;
        Some((work, Standing::Stranger))
    }
}

impl HashingPool {
    /// Starts the threads.
    pub fn start() -> std::io::Result<Self> {
        let shared = Arc::new(HashingState::default());
        for _ in 0..HASHES_MAX {
            let shared = shared.clone();
            thread::Builder::new().name("login".into()).spawn(move || work(&shared))?;
        }
        Ok(Self { shared })
    }

    /// Runs a computation when its turn comes; `client` is `None` for the server's own work.
    pub async fn run<T: Send + 'static>(
        &self,
        standing: Standing,
        client: Option<IpAddr>,
        compute: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Busy> {
        let of = client.map(network);
        let (answer, result) = oneshot::channel();
        let work = Box::new(move || {
            // Skips clients that have disconnected.
            if !answer.is_closed() {
                let _ = answer.send(compute());
            }
        });
        {
            let mut queues = self.shared.queues.lock();
            let (queue, max) = match standing {
                Standing::Known => (&mut queues.known, KNOWN_QUEUE_MAX),
                Standing::Stranger => (&mut queues.strangers, STRANGERS_QUEUE_MAX),
            };
            let is_crowded = || of.is_some() && queue.iter().filter(|(other, _)| *other == of).count() >= max / NETWORK_PART;
            if queue.len() >= max || is_crowded() {
                return Err(Busy);
            }
            queue.push_back((of, work));
        }
        self.shared.wake.notify_one();
        result.await.map_err(|_| Busy)
    }
}

impl Drop for HashingPool {
    fn drop(&mut self) {
        self.shared.queues.lock().ended = true;
        self.shared.wake.notify_all();
    }
}

fn work(shared: &HashingState) {
    let lowered = getpriority_process(None).and_then(|own| setpriority_process(Some(gettid()), (own + NICENESS).min(19)));
    if let Err(error) = lowered {
        tracing::warn!(%error, "the priority of the password hashing threads could not be lowered");
    }
    let mut queues = shared.queues.lock();
    loop {
        if queues.ended {
            return;
        }
        let Some((work, standing)) = queues.next() else {
            shared.wake.wait(&mut queues);
            continue;
        };
        drop(queues);
        work();
        queues = shared.queues.lock();
        if standing == Standing::Stranger {
            queues.serves_stranger = false;
            // The other thread may have found only unknown networks and gone back to sleep.
            shared.wake.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc;
    use std::time::Duration;

    /// Waits until this many jobs of unknown networks wait.
    async fn wait_for_strangers(hashing: &HashingPool, count: usize) {
        let wait = async {
            while hashing.shared.queues.lock().strangers.len() < count {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), wait).await.expect("they come to wait");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn unknown_networks_are_served_one_at_a_time_and_known_ones_pass() {
        let hashing = Arc::new(HashingPool::start().unwrap());
        let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let (hold, held) = mpsc::channel::<()>();
        let held = Arc::new(Mutex::new(held));
        let strangers: Vec<_> = (0..20)
            .map(|_| {
                let (hashing, now, most, held) = (hashing.clone(), now.clone(), most.clone(), held.clone());
                tokio::spawn(async move {
                    let compute = move || {
                        most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                        // The first one blocks here until `hold` is dropped.
                        let _ = held.lock().recv();
                        thread::sleep(Duration::from_millis(20));
                        now.fetch_sub(1, Ordering::SeqCst);
                    };
                    hashing.run(Standing::Stranger, None, compute).await
                })
            })
            .collect();
        wait_for_strangers(&hashing, 19).await;
        let known = tokio::time::timeout(Duration::from_secs(20), hashing.run(Standing::Known, None, || ())).await;
        assert_eq!(known, Ok(Ok(())), "a known network does not wait for unknown ones");
        drop(hold);
        for task in strangers {
            task.await.unwrap().unwrap();
        }
        assert_eq!(most.load(Ordering::SeqCst), 1);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_full_queue_refuses_more_work() {
        let hashing = Arc::new(HashingPool::start().unwrap());
        let (hold, held) = mpsc::channel::<()>();
        let (begin, begun) = oneshot::channel();
        let first = hashing.clone();
        let waits = tokio::spawn(async move {
            let compute = move || {
                let _ = begin.send(());
                held.recv().is_err()
            };
            first.run(Standing::Stranger, None, compute).await
        });
        begun.await.unwrap();
        let mut tasks = Vec::new();
        for _ in 0..STRANGERS_QUEUE_MAX + 10 {
            let hashing = hashing.clone();
            tasks.push(tokio::spawn(async move { hashing.run(Standing::Stranger, None, || ()).await }));
        }
        wait_for_strangers(&hashing, STRANGERS_QUEUE_MAX).await;
        assert_eq!(hashing.run(Standing::Stranger, None, || ()).await, Err(Busy));
        assert_eq!(hashing.run(Standing::Known, None, || 7).await, Ok(7));
        drop(hold);
        assert!(waits.await.unwrap().unwrap());
        for task in tasks {
            let _ = task.await.unwrap();
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn one_network_does_not_fill_a_queue() {
        let hashing = Arc::new(HashingPool::start().unwrap());
        let (hold, held) = mpsc::channel::<()>();
        let (begin, begun) = oneshot::channel();
        let first = hashing.clone();
        let waits = tokio::spawn(async move {
            let compute = move || {
                let _ = begin.send(());
                held.recv().is_err()
            };
            first.run(Standing::Stranger, None, compute).await
        });
        begun.await.unwrap();
        let run = |client: &str| {
            let (hashing, client) = (hashing.clone(), client.parse().unwrap());
            tokio::spawn(async move { hashing.run(Standing::Stranger, Some(client), || ()).await })
        };
        let crowd: Vec<_> = (0..STRANGERS_QUEUE_MAX).map(|_| run("192.0.2.1")).collect();
        let other = run("192.0.2.2");
        wait_for_strangers(&hashing, STRANGERS_QUEUE_MAX / NETWORK_PART + 1).await;
        drop(hold);
        assert!(waits.await.unwrap().unwrap());
        assert_eq!(other.await.unwrap(), Ok(()));
        let mut served = 0;
        for task in crowd {
            served += usize::from(task.await.unwrap().is_ok());
        }
        assert!((STRANGERS_QUEUE_MAX / NETWORK_PART..STRANGERS_QUEUE_MAX).contains(&served), "{served}");
    }
}
