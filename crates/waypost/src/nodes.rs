//! The nodes of this server, for the control API.
//!
//! Over SQLite the server is one node, whose state is in its data directory. Over PostgreSQL each node is a row, and any of them can change another.
//! Invariant: a node whose lease has not ended is never removed.

use control_api::api::{NodeState, NodeView};
use control_api::{NodeChange, NodeFault};
use mail::Domain;
use mta::{DrainedFile, NodeSwitch};
use net::Clock;
use store::{Node, Store, StoreError};

/// The nodes, as this process sees them.
pub struct Nodes {
    store: Store,
    hostname: Domain,
    switch: NodeSwitch,
    /// When the process of this node started; `None`: no server runs.
    started_ms: Option<i64>,
}

impl Nodes {
    /// Those of this store.
    pub fn new(store: &Store, hostname: &Domain, switch: NodeSwitch, started_ms: Option<i64>) -> Self {
        Self { store: store.clone(), hostname: hostname.clone(), switch, started_ms }
    }

    /// Returns whether this node takes no new mail.
    pub fn is_drained(&self) -> bool {
        self.switch.is_drained()
    }

    /// Returns them as the API shows them.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn views(&self) -> Result<Vec<NodeView>, StoreError> {
        match &self.switch {
            NodeSwitch::File(file) => Ok(vec![self.only(file)]),
            NodeSwitch::Row(store) => {
                let (now_ms, mut hosts) = (Clock::system().now_ms(), store.hostnames().await?);
                Ok(store.nodes().await?.iter().map(|node| self.view(node, hosts.remove(&node.name), now_ms)).collect())
            }
        }
    }

    /// Changes the state of a node; returns whether that is a change.
    ///
    /// # Errors
    /// There is no such node, it cannot be removed, or the state cannot be written.
    pub async fn change(&self, name: &str, change: NodeChange) -> Result<bool, NodeFault> {
        match &self.switch {
            NodeSwitch::File(file) => self.change_only(file, name, change).await,
            NodeSwitch::Row(_) => self.change_row(name, change).await,
        }
    }

    /// The only node, over SQLite.
    fn only(&self, file: &DrainedFile) -> NodeView {
        let drained_since_ms = file.drained_since_ms();
        NodeView {
            name: self.hostname.to_string(),
            hostname: Some(self.hostname.to_string()),
            this: true,
            state: state(self.started_ms.is_some(), drained_since_ms.is_some()),
            drained: drained_since_ms.is_some(),
            drained_since_ms,
            started_ms: self.started_ms,
            seen_ms: self.started_ms.map(|_| Clock::system().now_ms()),
            version: self.started_ms.map(|_| env!("CARGO_PKG_VERSION").to_owned()),
            claimed: None,
        }
    }

    fn view(&self, node: &Node, hostname: Option<Domain>, now_ms: i64) -> NodeView {
        let this = self.store.node_name() == Some(node.name.as_str());
        // A command without a server has the row of its node for a moment.
        let runs = node.is_alive && (!this || self.started_ms.is_some());
        let drained = node.state == store::NodeState::Draining;
        NodeView {
            name: node.name.clone(),
            hostname: hostname.map(|host| host.to_string()),
            this,
            state: state(runs, drained),
            drained,
            drained_since_ms: None,
            started_ms: runs.then_some(node.started_ms),
            seen_ms: Some(now_ms - node.seen_ago_ms),
            version: runs.then(|| node.version.clone()),
            claimed: Some(node.claimed),
        }
    }

    async fn change_only(&self, file: &DrainedFile, name: &str, change: NodeChange) -> Result<bool, NodeFault> {
        if !name.eq_ignore_ascii_case(self.hostname.as_str()) {
            return Err(NodeFault::Unknown);
        }
        let changed = match change {
            NodeChange::Drain => file.drain(Clock::system().now_ms()).await,
            NodeChange::Resume => file.resume().await,
            NodeChange::Remove if self.started_ms.is_some() => return Err(NodeFault::Running),
            NodeChange::Remove => return Err(NodeFault::Only),
        };
        changed.map_err(|error| NodeFault::Failed(error.to_string()))
    }

    async fn change_row(&self, name: &str, change: NodeChange) -> Result<bool, NodeFault> {
        let nodes = self.store.nodes().await.map_err(failed)?;
        let node = nodes.iter().find(|node| node.name.eq_ignore_ascii_case(name)).ok_or(NodeFault::Unknown)?;
        let wanted = match change {
            NodeChange::Drain => store::NodeState::Draining,
            NodeChange::Resume => store::NodeState::Serving,
            NodeChange::Remove if self.store.node_name() == Some(node.name.as_str()) && self.started_ms.is_none() => {
                return Err(NodeFault::Itself);
            }
            NodeChange::Remove if node.is_alive => return Err(NodeFault::Running),
            NodeChange::Remove => return self.store.remove_node(&node.name).await.map(|()| true).map_err(failed),
        };
        if node.state == wanted {
            return Ok(false);
        }
        self.store.set_node_state(&node.name, wanted).await.map(|()| true).map_err(failed)
    }
}

fn state(runs: bool, drained: bool) -> NodeState {
    match (runs, drained) {
        (false, _) => NodeState::Stopped,
        (true, true) => NodeState::Drained,
        (true, false) => NodeState::Active,
    }
}

fn failed(error: StoreError) -> NodeFault {
    match error {
        StoreError::NotFound(_) => NodeFault::Unknown,
        error => NodeFault::Failed(error.to_string()),
    }
}
