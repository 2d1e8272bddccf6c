//! The integration tests, one binary: the whole, over real sockets, beside real peers.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::disallowed_methods, missing_docs)]

mod configuration;
mod delivery;
mod hostile_in;
mod hostile_out;
mod logins;
mod main_job;
mod reports;
mod resources;
