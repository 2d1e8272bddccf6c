//! The PostgreSQL engine: several nodes over one database.
//!
//! A node has four connections: the writer, the reader, the watch (lease, notifications), and one for large contents. Threads wait for answers; the
//! connections themselves live on a runtime of their own, so that neither a busy nor a stopped runtime of the caller delays a heartbeat. Invariant: what this
//! process remembers of the database is only its stay; all else is asked.

mod bulk;
mod claiming;
mod errors;
mod identity;
mod nodes;
mod open;
mod outage;
mod parameter;
mod pieces;
#[cfg(test)]
mod plans;
mod schema;
mod server;
mod session;
mod sql;
mod stay;
mod steady_clock;
mod tls;
mod watch;
mod writer;

use crate::error::StoreError;
pub(crate) use open::Cluster;

pub use open::PostgresSettings;
pub use server::{check_address, read_password, root_certificates};
pub use stay::WallClock;

/// A connection that belongs to no node, for copies.
pub(crate) struct LoneSession {
    session: session::Session,
    /// Ends after the connection.
    _net: writer::Net,
}

impl LoneSession {
    /// Opens it, and brings the schema up to date. Blocks.
    pub fn open(url: &str, password: Option<&str>) -> Result<Self, StoreError> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).thread_name("store-net").enable_all().build()?;
        let handle = runtime.handle().clone();
        let net = writer::Net(Some(runtime));
        // Nothing is acknowledged to a client: what a crash undoes is copied again.
        let server = server::Server::parse(url, password, true)?;
        let opened = handle.block_on(async {
            let mut opened = server.connect("waypost copy").await?;
            schema::migrate(&mut opened.client, schema::COPIED_NEWER).await?;
            Ok::<_, StoreError>(opened)
        })?;
        let stay = std::sync::Arc::new(stay::Stay::new("copy", steady_clock::SteadyClock::process(), None));
        Ok(Self { session: session::Session::new(opened, handle, stay), _net: net })
    }

    pub fn sql(&self) -> &dyn crate::engine::Sql {
        &self.session
    }
}
