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

pub(crate) use open::Cluster;
pub use open::PostgresSettings;
pub use server::root_certificates;

/// A connection to an empty database, for tests of the tables.
#[cfg(test)]
pub(crate) fn session_for_tests(url: &str) -> (Box<dyn std::any::Any>, Box<dyn crate::engine::Sql>) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let handle = runtime.handle().clone();
    let server = server::Server::parse(url, None, true).unwrap();
    let opened = handle.block_on(async {
        let mut opened = server.connect("test").await.unwrap();
        schema::migrate(&mut opened.client).await.unwrap();
        opened
    });
    let stay = std::sync::Arc::new(stay::Stay::new("test"));
    (Box::new(writer::Net(Some(runtime))), Box::new(session::Session::new(opened, handle, stay)))
}
