//! What the nodes of a cluster share, and the part of the handle for it: the nodes themselves, duties, small values, and news.
//!
//! Over SQLite there is one node, which has every duty and whose claims never end. Invariant: a duty has at most one owner at a time; times of leases are
//! those of the database's clock.

use std::collections::BTreeMap;
use std::time::Duration;

use mail::Domain;
use tokio::sync::watch;

use crate::error::StoreError;
use crate::handle::Store;
use crate::message::Lease;
use crate::operation::Operation;
use crate::tables;

/// Work that one node does for all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Duty {
    /// Orders and renews certificates.
    Certificates,
    /// Sends the daily reports to other domains.
    DailyReports,
    /// Compares the DNS records with what they should be.
    DnsWatch,
    /// Sends notices to the postmaster and the owner.
    Notices,
    /// Removes expired held mail.
    ExpireHeld,
}

impl Duty {
    /// Its word in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Certificates => "certificates",
            Self::DailyReports => "daily-reports",
            Self::DnsWatch => "dns-watch",
            Self::Notices => "notices",
            Self::ExpireHeld => "expire-held",
        }
    }
}

/// What a node does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum NodeState {
    /// It accepts and delivers mail.
    Serving,
    /// It accepts and claims no mail, and ends what it has begun.
    Draining,
}

impl NodeState {
    /// Its word in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Serving => "serving",
            Self::Draining => "draining",
        }
    }

    pub(crate) fn of_word(word: &str) -> Self {
        if word == Self::Draining.as_str() { Self::Draining } else { Self::Serving }
    }
}

/// A node of the cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Its name.
    pub name: String,
    /// The low bits of its queue IDs.
    pub number: u8,
    /// When its process started, Unix milliseconds.
    pub started_ms: i64,
    /// Time since it was seen last, in milliseconds.
    pub seen_ago_ms: i64,
    /// Whether its lease has not ended.
    pub is_alive: bool,
    /// Its version of Waypost.
    pub version: String,
    /// The newest schema that it knows.
    pub schema: u64,
    /// What it does.
    pub state: NodeState,
    /// Recipients that it has claimed.
    pub claimed: u64,
}

/// A change of what the nodes share.
#[derive(Debug)]
pub(crate) enum ClusterChange {
    /// Takes or keeps a duty.
    TakeDuty {
        duty: Duty,
        lease_ms: i64,
    },
    SetState {
        name: String,
        state: NodeState,
    },
    /// Ends the lease of this node; what it has claimed is free.
    Leave,
    /// Removes a node and its values; what it has claimed is free.
    RemoveNode {
        name: String,
    },
    /// Removes what nodes that are gone have left: pieces of contents whose message was never committed, and validations.
    Sweep,
    PutShared {
        name: String,
        value: Vec<u8>,
        now_ms: i64,
    },
    /// Stores a value unless the name has one.
    OfferShared {
        name: String,
        value: Vec<u8>,
        now_ms: i64,
    },
    RemoveShared {
        name: String,
    },
    /// Stores a value and removes others, if this node has the duty. Is no news: only the owner of the duty reads the value.
    KeepByDuty {
        duty: Duty,
        name: String,
        value: Vec<u8>,
        taken: Vec<String>,
        now_ms: i64,
    },
}

/// Prefixes of the names of shared values that belong to one node, whose name follows.
#[derive(Debug, Clone, Copy)]
pub struct NodeValues;

impl NodeValues {
    /// The validations that a node's orders of certificates wait for: of no use after the end of the node.
    pub const CHALLENGES: &'static str = "challenges/";
    /// Which validations of other nodes a node answers, as digests: kept until the node is removed.
    pub const ANSWERED: &'static str = "answered/";
    /// The hostname of a node: kept until the node is removed.
    pub const HOSTNAME: &'static str = "hostname/";
    /// All of them: a copy of the database has none, since it has no nodes.
    pub(crate) const ALL: [&'static str; 3] = [Self::CHALLENGES, Self::ANSWERED, Self::HOSTNAME];
}

/// What has changed in the database, as counters: a node that sees another number looks again.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct News {
    /// Mail may be due that this node has not seen.
    pub work: u64,
    /// The directory was changed by another node.
    pub directory: u64,
    /// A shared value was changed.
    pub shared: u64,
}

impl Store {
    /// Whether what was claimed under this lease may still be delivered: a node that could not reach the database for 20 seconds has to expect that
    /// another one takes its mail. Asked before a delivery begins and before the end of its content is sent; costs nothing.
    pub fn may_deliver(&self, lease: Lease) -> bool {
        self.cluster.as_ref().is_none_or(|cluster| cluster.may_deliver(lease))
    }

    /// Whether this node is to accept no more mail.
    pub fn is_draining(&self) -> bool {
        self.cluster.as_ref().is_some_and(|cluster| cluster.is_draining())
    }

    /// Time since the database last committed a heartbeat of this node, counted from the moment at which it was sent; `None` over SQLite.
    pub fn heartbeat_age(&self) -> Option<Duration> {
        self.cluster.as_ref().map(|cluster| cluster.renewed_ago())
    }

    /// Nodes that serve, this one or another, as of the last heartbeat; 1 over SQLite.
    pub fn serving_nodes(&self) -> u32 {
        self.cluster.as_ref().map_or(1, |cluster| cluster.serving())
    }

    /// What other nodes have changed. Over SQLite it never changes.
    pub fn news(&self) -> watch::Receiver<News> {
        match &self.cluster {
            Some(cluster) => cluster.news(),
            None => watch::Sender::new(News::default()).subscribe(),
        }
    }

    /// Takes a duty, or keeps it, for this time. False if another node has it.
    pub async fn take_duty(&self, duty: Duty, lease: Duration) -> Result<bool, StoreError> {
        let lease_ms = i64::try_from(lease.as_millis()).unwrap_or(i64::MAX);
        let Some(cluster) = &self.cluster else { return Ok(true) };
        if cluster.has_duty(duty) {
            return Ok(true);
        }
        let asked = cluster.asks();
        let is_ours = self.count(Operation::Cluster(ClusterChange::TakeDuty { duty, lease_ms })).await? > 0;
        if is_ours {
            cluster.note_duty(duty, asked, lease);
        }
        Ok(is_ours)
    }

    /// Returns the node that has a duty; `None` if none has it, and over SQLite.
    pub async fn duty_owner(&self, duty: Duty) -> Result<Option<String>, StoreError> {
        if self.cluster.is_some() { self.read(move |db| tables::duty_owner(db, duty)).await } else { Ok(None) }
    }

    /// Returns the nodes, by name; none over SQLite.
    pub async fn nodes(&self) -> Result<Vec<Node>, StoreError> {
        if self.cluster.is_some() { self.read(tables::nodes).await } else { Ok(Vec::new()) }
    }

    /// Ends the lease of this node, at the stop of its server: the others may take what it has claimed at once, and it claims and delivers nothing any
    /// more. Does nothing over SQLite.
    ///
    /// # Errors
    /// The database does not answer: the lease ends by itself.
    pub async fn leave(&self) -> Result<(), StoreError> {
        if self.cluster.is_none() {
            return Ok(());
        }
        self.write(Operation::Cluster(ClusterChange::Leave)).await.map(drop)
    }

    /// Whether this node takes and delivers no mail since its clock is not that of the database; its log says more. Never over SQLite.
    pub fn has_wrong_clock(&self) -> bool {
        self.cluster.as_ref().is_some_and(|cluster| cluster.has_wrong_clock())
    }

    /// Returns the host name of each node that has started and was not removed, by its name; none over SQLite.
    pub async fn hostnames(&self) -> Result<BTreeMap<String, Domain>, StoreError> {
        if self.cluster.is_none() {
            return Ok(BTreeMap::new());
        }
        let values = self.shared_list(NodeValues::HOSTNAME, i64::MIN).await?;
        let named = values.into_iter().filter_map(|(name, host)| {
            let node = name.strip_prefix(NodeValues::HOSTNAME)?.to_owned();
            Some((node, Domain::parse(std::str::from_utf8(&host).ok()?).ok()?))
        });
        Ok(named.collect())
    }

    /// Returns the name of this node; `None` over SQLite.
    pub fn node_name(&self) -> Option<&str> {
        self.cluster.as_ref().map(|cluster| cluster.name())
    }

    /// Sets what a node does. It hears of it within seconds.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] if there is no such node.
    pub async fn set_node_state(&self, name: &str, state: NodeState) -> Result<(), StoreError> {
        self.change_node(name, ClusterChange::SetState { name: name.to_owned(), state }).await?;
        // This node need not wait for its next heartbeat.
        if let Some(cluster) = self.cluster.as_ref().filter(|cluster| cluster.name() == name) {
            cluster.drain(state == NodeState::Draining);
        }
        Ok(())
    }

    /// Removes a node that does not come back; what it has claimed is free at once. One that runs registers again.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] if there is no such node.
    pub async fn remove_node(&self, name: &str) -> Result<(), StoreError> {
        self.change_node(name, ClusterChange::RemoveNode { name: name.to_owned() }).await
    }

    async fn change_node(&self, name: &str, change: ClusterChange) -> Result<(), StoreError> {
        match self.count(Operation::Cluster(change)).await? {
            0 => Err(StoreError::NotFound(format!("there is no node {name}; `waypost node list` shows those that there are"))),
            _ => Ok(()),
        }
    }

    /// Returns a small value that all nodes share.
    pub async fn shared_get(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let name = name.to_owned();
        self.read(move |db| tables::shared(db, &name)).await
    }

    /// Stores a small value that all nodes share; it is on disk, synced, when this returns.
    pub async fn shared_put(&self, name: &str, value: Vec<u8>, now_ms: i64) -> Result<(), StoreError> {
        self.write(Operation::Cluster(ClusterChange::PutShared { name: name.to_owned(), value, now_ms })).await.map(drop)
    }

    /// Returns the shared value of a name, which is this one if there was none before. It is on disk, synced, when this returns.
    pub async fn shared_offer(&self, name: &str, value: Vec<u8>, now_ms: i64) -> Result<Vec<u8>, StoreError> {
        self.write(Operation::Cluster(ClusterChange::OfferShared { name: name.to_owned(), value: value.clone(), now_ms })).await?;
        Ok(self.shared_get(name).await?.unwrap_or(value))
    }

    /// Stores a shared value and removes those in `taken`, in one transaction, if this node has the duty at that moment. False if another node has it: nothing
    /// is changed then.
    pub async fn keep_by_duty(&self, duty: Duty, name: &str, value: Vec<u8>, taken: Vec<String>, now_ms: i64) -> Result<bool, StoreError> {
        let change = ClusterChange::KeepByDuty { duty, name: name.to_owned(), value, taken, now_ms };
        Ok(self.count(Operation::Cluster(change)).await? > 0)
    }

    /// Removes what nodes that are gone have left. Returns the number of rows.
    pub async fn sweep_nodes(&self) -> Result<u64, StoreError> {
        self.count(Operation::Cluster(ClusterChange::Sweep)).await
    }

    /// Removes a shared value.
    pub async fn shared_remove(&self, name: &str) -> Result<(), StoreError> {
        self.write(Operation::Cluster(ClusterChange::RemoveShared { name: name.to_owned() })).await.map(drop)
    }

    /// Returns the shared values whose names begin with `prefix`, by name: those stored since then, Unix milliseconds by the clock of the node that did.
    pub async fn shared_list(&self, prefix: &str, since_ms: i64) -> Result<Vec<(String, Vec<u8>)>, StoreError> {
        let prefix = prefix.to_owned();
        self.read(move |db| tables::shared_list(db, &prefix, since_ms)).await
    }
}
