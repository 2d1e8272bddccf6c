//! What is read at a scrape: the state of the server at that time, and numbers that other crates count.
//!
//! Invariant: a part that cannot be read is `None`, and its metrics are left out; a number that is not known is never 0.

use std::sync::Arc;

use net::LookupCounts;
use store::{BatchCounts, QueueLoad, QueueTotals};

/// The state of the server.
#[derive(Debug, Default)]
pub struct ServerState {
    /// The version.
    pub version: &'static str,
    /// Whether the server should get new connections.
    pub is_ready: bool,
    /// Whether an operator has drained it.
    pub is_drained: bool,
    /// Open sessions by listener.
    pub sessions: Vec<(&'static str, u64)>,
    /// Totals of the queue.
    pub totals: Option<QueueTotals>,
    /// The queue by lane and age.
    pub load: Option<Arc<QueueLoad>>,
    /// Recipients in memory.
    pub in_flight: u64,
    /// Delivery workers.
    pub workers: u64,
    /// Connections to other servers.
    pub connections: u64,
    /// Paused mailboxes, and paused hosts and providers.
    pub paused: [u64; 2],
    /// Certificates in use: first name, and expiry in Unix seconds.
    pub certificates: Vec<(String, i64)>,
    /// Free and total octets of the disk.
    pub disk: Option<[u64; 2]>,
    /// DNS.
    pub dns: LookupCounts,
    /// The store's transactions.
    pub batches: BatchCounts,
    /// Events that the history lost; `None` without a history.
    pub history_dropped: Option<u64>,
    /// Failures of MTA-STS policies in testing mode.
    pub sts_testing_failures: u64,
    /// Messages refused because we would have broken a signature.
    pub signatures_broken: u64,
    /// Bugs caught.
    pub bugs: u64,
    /// The process.
    pub process: Option<ProcessState>,
    /// When the server started, Unix seconds.
    pub started_s: i64,
}

/// The process.
#[derive(Debug, Default, Clone, Copy)]
pub struct ProcessState {
    /// CPU time, in milliseconds.
    pub cpu_ms: u64,
    /// Resident memory, in octets.
    pub resident_bytes: u64,
    /// Open descriptors.
    pub open_fds: u64,
    /// Their maximum.
    pub max_fds: u64,
}
