//! The integration tests, one binary: the whole, over real sockets, beside real peers.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::disallowed_methods,
    missing_docs
)]

mod clients;
mod commands;
mod configuration;
mod delivery;
mod filter;
mod hostile_in;
mod hostile_out;
mod kills;
mod logins;
mod main_job;
mod postfix;
mod reports;
mod resources;
mod tidy;
mod virtual_map;
