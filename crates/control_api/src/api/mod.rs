//! The values of the API, shared by server and command line.
//!
//! Invariant: addresses are text, as operators write them; times are Unix milliseconds, sizes octets.

mod accounts;
mod alias_patch;
mod certificates;
mod directory;
mod dns;
mod explain;
mod facts;
mod health;
mod history;
mod keys;
mod messages;
mod nodes;
mod notices;
mod page;
mod queue;
mod reports;
mod tokens;
mod web;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

pub use accounts::*;
pub use alias_patch::*;
pub use certificates::*;
pub use directory::*;
pub use dns::*;
pub use explain::*;
pub use facts::*;
pub use health::*;
pub use history::*;
pub use keys::*;
pub use messages::*;
pub use nodes::*;
pub use notices::*;
pub use page::*;
pub use queue::*;
pub use reports::*;
pub use tokens::*;
pub use web::*;

/// The result of a change.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Changed {
    /// What was changed.
    pub changed: String,
    /// Warnings.
    pub warnings: Vec<String>,
}

/// The result of a reload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Reloaded {
    /// What is in effect now, and what needs a restart.
    pub message: String,
}

/// The body of every error response, as `application/problem+json` (RFC 9457 s.3).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Failure {
    /// The type of the problem: `about:blank`, so that the status says what it is.
    #[serde(rename = "type")]
    pub kind: String,
    /// The name of the status.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What failed, and why.
    pub detail: String,
    /// The remedy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}
