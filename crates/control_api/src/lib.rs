//! The control API: HTTP with JSON over a Unix socket, for the commands of the operator.
//!
//! The routes are in [`router`], the values of requests and answers in [`api`]. Invariant: every change goes through the store, and no private
//! key or password hash leaves through the API.

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
mod explain;
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
