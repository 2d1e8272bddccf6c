//! The PostgreSQL engine: several nodes over one database.
//!
//! A node has four connections: the writer, the reader, the watch (lease, notifications), and one for large contents. Threads wait for answers; the
//! connections themselves live on a runtime of their own, so that neither a busy nor a stopped runtime of the caller delays a heartbeat. Invariant: what this
//! process remembers of the database is only its stay; all else is asked.

mod bulk;
mod claiming;
mod errors;
mod nodes;
mod open;
mod parameter;
mod pieces;
mod schema;
mod server;
mod session;
mod sql;
mod stay;
mod tls;
mod watch;
mod writer;

pub use open::PostgresSettings;
pub(crate) use open::Cluster;
