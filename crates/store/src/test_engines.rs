//! Runs a test of the tables over each engine.

use pg_lab::PgServer;
use rusqlite::Connection;

use crate::engine::Sql;
use crate::postgres::LoneSession;
use crate::sqlite;

/// An empty database of SQLite, in memory.
pub(crate) fn sqlite_database() -> Connection {
    let db = Connection::open_in_memory().unwrap();
    sqlite::migrate(&db).unwrap();
    db
}

/// Runs a test over an empty database of each engine.
pub(crate) fn each_engine(test: impl Fn(&dyn Sql)) {
    test(&sqlite_database());
    let server = PgServer::default();
    test(LoneSession::open(&server.url(), None).unwrap().sql());
}
