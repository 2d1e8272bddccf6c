//! The nodes of this server, for the control API.
//!
//! Over SQLite the server is one node, whose state is in its data directory.

use control_api::api::{NodeState, NodeView};
use control_api::{NodeChange, NodeFault};
use mta::NodeSwitch;
use net::Clock;

/// This node.
pub struct ThisNode {
    /// Its name.
    pub name: String,
    /// Whether it takes new mail.
    pub switch: NodeSwitch,
    /// When its process started; `None`: no server runs.
    pub started_ms: Option<i64>,
}

impl ThisNode {
    /// Returns it as the API shows it.
    pub fn view(&self) -> NodeView {
        let drained_since_ms = self.switch.drained_since_ms();
        let state = match (self.started_ms, drained_since_ms) {
            (None, _) => NodeState::Stopped,
            (_, Some(_)) => NodeState::Drained,
            (_, None) => NodeState::Active,
        };
        NodeView {
            name: self.name.clone(),
            this: true,
            state,
            drained: drained_since_ms.is_some(),
            drained_since_ms,
            started_ms: self.started_ms,
            seen_ms: self.started_ms.map(|_| Clock::system().now_ms()),
            version: self.started_ms.map(|_| env!("CARGO_PKG_VERSION").to_owned()),
        }
    }

    /// Changes its state; returns whether that is a change.
    ///
    /// # Errors
    /// It has another name, it cannot be removed, or the state cannot be written.
    pub async fn change(&self, name: &str, change: NodeChange) -> Result<bool, NodeFault> {
        if !name.eq_ignore_ascii_case(&self.name) {
            return Err(NodeFault::Unknown);
        }
        let changed = match change {
            NodeChange::Drain => self.switch.drain(Clock::system().now_ms()).await,
            NodeChange::Resume => self.switch.resume().await,
            NodeChange::Remove if self.started_ms.is_some() => return Err(NodeFault::Running),
            NodeChange::Remove => return Err(NodeFault::Only),
        };
        changed.map_err(|error| NodeFault::Failed(error.to_string()))
    }
}
