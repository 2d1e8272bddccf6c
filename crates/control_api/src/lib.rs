//! The HTTP API with JSON: over a Unix socket for the commands of the operator, in process for the owner's page, over HTTPS for holders of tokens.
//!
//! The routes are in `table.rs`, the values of requests and answers in [`api`]. Invariant: every change goes through the store, and no private
//! key or password hash leaves through the API.

mod accounts;
mod actor;
mod aliases;
pub mod api;
mod certificates;
mod changes;
mod confirmations;
mod context;
mod control;
mod describe;
mod dns;
mod domains;
mod error;
mod explain;
mod extract;
mod facts;
mod health;
mod held;
mod history;
mod history_follow;
mod https;
mod idempotency;
mod import;
mod keys;
mod managers;
mod message_room;
mod messages;
mod metrics;
mod nodes;
mod notices;
mod openapi;
mod paging;
mod pauses;
mod queue;
mod random_alias;
mod recorder;
mod reports;
mod routes;
mod senders;
mod server;
mod socket;
mod table;
mod targets;
mod test_message;
mod tokens;
mod web;

pub use actor::{Actor, Scopes};
pub use context::{ApiContext, ApiShared};
pub use control::{Control, ControlError, ControlFuture, DnsInputs, NodeChange, NodeFault, ReloadFault};
pub use error::ApiError;
pub use https::{CountGuess, https_router};
pub use managers::managers_router;
pub use messages::{Peer, is_local_user};
pub use metrics::accepted;
pub use openapi::openapi;
pub use reports::ReportFacts;
pub use server::{operator_router, router, submit_router};
pub use socket::{bind, bind_for_all, serve};

#[cfg(test)]
mod tests;
