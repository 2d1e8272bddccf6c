//! The values of the API, shared by server and command line.
//!
//! Invariant: addresses are text here, in the form that people write; times are Unix milliseconds, sizes octets.

mod accounts;
mod certificates;
mod directory;
mod keys;
mod messages;
mod queue;
mod reports;

use serde::{Deserialize, Serialize};

pub use accounts::*;
pub use certificates::*;
pub use directory::*;
pub use keys::*;
pub use messages::*;
pub use queue::*;
pub use reports::*;

/// What a change answers: what else one should know.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Changed {
    /// What was changed.
    pub changed: String,
    /// What is now wrong, or worth knowing.
    pub warnings: Vec<String>,
}

/// What a reload did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reloaded {
    /// What is in force now, and what needs a restart.
    pub message: String,
}

/// The body of every answer that is no success.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// What happened and why.
    pub error: String,
    /// What to do next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}
