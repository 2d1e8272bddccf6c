//! The integration tests, one binary: the whole, over real sockets, beside real peers.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::disallowed_methods, missing_docs)]

mod clients;
mod commands;
mod delivery;
mod hostile_in;
mod hostile_out;
mod kills;
mod main_job;
mod postfix;
mod reports;
mod tidy;
mod virtual_map;
