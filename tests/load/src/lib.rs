//! Load for SMTP servers on loopback: a client, a sink, the ledgers of both sides, and the counters of what the server spends.
//!
//! Used by `cargo xtask bench` and `cargo xtask crash`; no part of what is shipped. Invariant: nothing here uses the server's own crates, so that an
//! error there is not hidden by the same error here.

#![allow(clippy::disallowed_methods)] // it measures real time

pub mod bench;
pub mod client;
pub mod content;
pub mod counters;
pub mod crash;
pub mod ledger;
pub mod peers;
pub mod postgres;
pub mod sink;
pub mod wire;
pub mod world;
