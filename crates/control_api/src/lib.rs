//! The faces towards the operator: an HTTP API with JSON, over a Unix socket.
//!
//! The routes stand in [`router`], the values that they take and give in [`api`]. Invariant: this is the only crate that
//! knows JSON, and it never reads a table behind the store's back.

mod accounts;
mod aliases;
pub mod api;
mod certificates;
mod changes;
mod confirmations;
mod context;
mod control;
mod domains;
mod error;
mod extract;
mod held;
mod import;
mod keys;
mod messages;
mod pauses;
mod queue;
mod reports;
mod server;
mod socket;
mod targets;

pub use context::ApiContext;
pub use control::{Control, ControlError, ControlFuture};
pub use error::ApiError;
pub use messages::{Peer, is_local_user};
pub use reports::ReportFacts;
pub use server::{router, submit_router};
pub use socket::{bind, bind_for_all, serve};

#[cfg(test)]
mod tests;
