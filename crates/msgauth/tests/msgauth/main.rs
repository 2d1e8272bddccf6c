//! Message authentication against public suites and against a name server that answers, lies and keeps silent.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod arc;
mod dkim;
mod evaluate;
mod name_server;
mod spf;
mod suite;
