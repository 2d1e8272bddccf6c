//! Message authentication against public suites, and against a name server that fails or stays silent.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod arc;
mod arc_signing;
mod dkim;
mod evaluate;
mod name_server;
mod spf;
mod suite;
