//! The threads that hash passwords.
//!
//! RFC 9106 s.4. Invariant: never more than [`HASHES_MAX`] hashes at a time, each in 19 MiB, and never more than one for strangers; who is
//! known goes first; both lines are bounded, and no client's network fills one. The threads give way to everything else that the server does.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;

use rustix::process::{getpriority_process, setpriority_process};
use rustix::thread::gettid;
use tokio::sync::oneshot;

use crate::receive::auth::throttle::Standing;
use crate::support::networks::network;

/// Hashes at a time. The threads are always the same ones: memory that a hash leaves behind in its thread would otherwise add up
/// over all the runtime's threads.
const HASHES_MAX: usize = 2;

/// Logins of those who are known that wait; more are asked to come back.
const KNOWN_LINE_MAX: usize = 256;

/// Logins of strangers that wait: some two seconds.
const STRANGERS_LINE_MAX: usize = 64;

/// One client's network (an IPv4 address, an IPv6 /64) has at most this part of a line.
const NETWORK_PART: usize = 8;

/// How much lower the threads' priority is than that of the others (setpriority(2)): sessions of those who are logged in must not wait for a
/// guess, and a login on a busy machine must not wait for ever.
const NICENESS: i32 = 5;

type Work = Box<dyn FnOnce() + Send>;

/// Work that waits, with the network that it is done for.
type Line = VecDeque<(Option<IpAddr>, Work)>;

/// The line is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Busy;

/// The threads' handle; they end with it.
#[derive(Debug)]
pub(crate) struct Hashing {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    lines: Mutex<Lines>,
    wake: Condvar,
}

#[derive(Default)]
struct Lines {
    known: Line,
    strangers: Line,
    /// Whether a thread works for a stranger.
    serves_stranger: bool,
    ended: bool,
}

impl std::fmt::Debug for Lines {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lines").field("known", &self.known.len()).field("strangers", &self.strangers.len()).finish_non_exhaustive()
    }
}

impl Lines {
    /// What a thread does next, and for whom.
    fn next(&mut self) -> Option<(Work, Standing)> {
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

impl Hashing {
    /// Starts the threads.
    pub fn start() -> std::io::Result<Self> {
        let shared = Arc::new(Shared::default());
        for _ in 0..HASHES_MAX {
            let shared = shared.clone();
            thread::Builder::new().name("login".into()).spawn(move || work(&shared))?;
        }
        Ok(Self { shared })
    }

    /// Runs a computation when its turn comes; `client` is whose it is, where it is somebody's.
    pub async fn run<T: Send + 'static>(
        &self,
        standing: Standing,
        client: Option<IpAddr>,
        compute: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Busy> {
        let of = client.map(network);
        let (answer, result) = oneshot::channel();
        let work = Box::new(move || {
            // Who has gone meanwhile costs nothing more.
            if !answer.is_closed() {
                let _ = answer.send(compute());
            }
        });
        {
            let mut lines = self.shared.lines.lock().unwrap_or_else(PoisonError::into_inner);
            let (line, most) = match standing {
                Standing::Known => (&mut lines.known, KNOWN_LINE_MAX),
                Standing::Stranger => (&mut lines.strangers, STRANGERS_LINE_MAX),
            };
            let is_crowd = || of.is_some() && line.iter().filter(|(other, _)| *other == of).count() >= most / NETWORK_PART;
            if line.len() >= most || is_crowd() {
                return Err(Busy);
            }
            line.push_back((of, work));
        }
        self.shared.wake.notify_one();
        result.await.map_err(|_| Busy)
    }
}

impl Drop for Hashing {
    fn drop(&mut self) {
        self.shared.lines.lock().unwrap_or_else(PoisonError::into_inner).ended = true;
        self.shared.wake.notify_all();
    }
}

fn work(shared: &Shared) {
    let lowered = getpriority_process(None).and_then(|own| setpriority_process(Some(gettid()), (own + NICENESS).min(19)));
    if let Err(error) = lowered {
        tracing::warn!(%error, "hashing passwords cannot be given a lower priority");
    }
    let mut lines = shared.lines.lock().unwrap_or_else(PoisonError::into_inner);
    loop {
        if lines.ended {
            return;
        }
        let Some((work, standing)) = lines.next() else {
            lines = shared.wake.wait(lines).unwrap_or_else(PoisonError::into_inner);
            continue;
        };
        drop(lines);
        work();
        lines = shared.lines.lock().unwrap_or_else(PoisonError::into_inner);
        if standing == Standing::Stranger {
            lines.serves_stranger = false;
            // A stranger that came meanwhile may have woken the other thread in vain.
            shared.wake.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    #[tokio::test(flavor = "multi_thread")]
    async fn strangers_wait_one_behind_the_other_and_the_known_pass() {
        let hashing = Arc::new(Hashing::start().unwrap());
        let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let strangers: Vec<_> = (0..20)
            .map(|_| {
                let (hashing, now, most) = (hashing.clone(), now.clone(), most.clone());
                tokio::spawn(async move {
                    let compute = move || {
                        most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                        thread::sleep(Duration::from_millis(20));
                        now.fetch_sub(1, Ordering::SeqCst);
                    };
                    hashing.run(Standing::Stranger, None, compute).await
                })
            })
            .collect();
        tokio::time::sleep(Duration::from_millis(50)).await;
        hashing.run(Standing::Known, None, || ()).await.unwrap();
        assert!(strangers.iter().any(|task| !task.is_finished()), "who is known has not waited for all strangers");
        for task in strangers {
            task.await.unwrap().unwrap();
        }
        assert_eq!(most.load(Ordering::SeqCst), 1);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_full_line_takes_nobody_more() {
        let hashing = Arc::new(Hashing::start().unwrap());
        let (hold, held) = std::sync::mpsc::channel::<()>();
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
        for _ in 0..STRANGERS_LINE_MAX + 10 {
            let hashing = hashing.clone();
            tasks.push(tokio::spawn(async move { hashing.run(Standing::Stranger, None, || ()).await }));
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert_eq!(hashing.run(Standing::Stranger, None, || ()).await, Err(Busy));
        assert_eq!(hashing.run(Standing::Known, None, || 7).await, Ok(7));
        drop(hold);
        assert!(waits.await.unwrap().unwrap());
        for task in tasks {
            let _ = task.await.unwrap();
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn one_network_does_not_fill_a_line() {
        let hashing = Arc::new(Hashing::start().unwrap());
        let (hold, held) = std::sync::mpsc::channel::<()>();
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
        let crowd: Vec<_> = (0..STRANGERS_LINE_MAX).map(|_| run("192.0.2.1")).collect();
        let other = run("192.0.2.2");
        let full = |line: &Line| line.len() == STRANGERS_LINE_MAX / NETWORK_PART + 1;
        while !full(&hashing.shared.lines.lock().unwrap().strangers) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        drop(hold);
        assert!(waits.await.unwrap().unwrap());
        assert_eq!(other.await.unwrap(), Ok(()));
        let mut served = 0;
        for task in crowd {
            served += usize::from(task.await.unwrap().is_ok());
        }
        assert!((STRANGERS_LINE_MAX / NETWORK_PART..STRANGERS_LINE_MAX).contains(&served), "{served}");
    }
}
