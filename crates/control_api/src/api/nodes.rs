//! The nodes of this server, as values of the API.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A node: a server process on one machine. Over SQLite there is one; over a database that several share, each is listed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NodeView {
    /// Its name: its host name, or `store.node`.
    pub name: String,
    /// Its host name, which its MX record and its certificate have; none before its first start.
    pub hostname: Option<String>,
    /// Whether it is the node that answers.
    pub this: bool,
    /// `active`: it takes new mail; `drained`: it takes none, and over SQLite goes on delivering; `stopped`: no process runs.
    #[schema(value_type = String)]
    pub state: NodeState,
    /// Whether it was drained; a stopped node stays so at its next start.
    pub drained: bool,
    /// Since when it is drained; none over PostgreSQL.
    pub drained_since_ms: Option<i64>,
    /// When its process started; none if it is stopped.
    pub started_ms: Option<i64>,
    /// When it was seen last.
    pub seen_ms: Option<i64>,
    /// The version of its process; none if it is stopped.
    pub version: Option<String>,
    /// Recipients whose mail it has claimed for delivery; none over SQLite.
    pub claimed: Option<u64>,
}

/// What a node does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NodeState {
    /// It takes new mail, and delivers.
    Active,
    /// It takes no new mail. Over SQLite it goes on delivering; over PostgreSQL it ends what it has begun, and other nodes deliver the rest.
    Drained,
    /// No process runs.
    Stopped,
}

impl NodeState {
    /// Returns its word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Drained => "drained",
            Self::Stopped => "stopped",
        }
    }
}
