//! The schema of the database, and its migrations.
//!
//! A migration first adds what is new (so that the version before still works) and a later one removes what is old. Invariant: a database whose schema is
//! newer by one step is served; one that is newer by more is refused, and one that is newer at all is not copied. So that a table may get a column while a
//! node runs, no prepared statement returns `*`: PostgreSQL refuses one whose columns have changed until its connection ends.

use tokio_postgres::Client;

use super::errors::of_postgres;
use crate::error::StoreError;

const MIGRATIONS: &[&str] = &[include_str!("schema/0001.sql")];

/// By how many steps the schema may be newer for a node, so that nodes can be upgraded one by one.
pub(super) const SERVED_NEWER: i64 = 1;

/// The same for a copy: it would leave out what a newer version has added.
pub(super) const COPIED_NEWER: i64 = 0;

/// Keeps two nodes that start at the same time from migrating together. The number is the word "waypost" in ASCII.
const LOCK: &str = "SELECT pg_advisory_xact_lock(33620470021288820)";

/// The newest schema that this version knows.
pub(super) fn newest() -> i64 {
    i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX)
}

/// Runs the pending migrations, each in a transaction.
///
/// # Errors
/// [`StoreError::Newer`] if the schema is newer by more steps than `accepted`.
pub(super) async fn migrate(client: &mut Client, accepted: i64) -> Result<(), StoreError> {
    let transaction = client.transaction().await.map_err(|error| of_postgres(&error))?;
    transaction.batch_execute(LOCK).await.map_err(|error| of_postgres(&error))?;
    let sql = "CREATE TABLE IF NOT EXISTS waypost_schema (version bigint NOT NULL); \
               INSERT INTO waypost_schema (version) SELECT 0 WHERE NOT EXISTS (SELECT 1 FROM waypost_schema)";
    transaction.batch_execute(sql).await.map_err(|error| of_postgres(&error))?;
    let row = transaction.query_one("SELECT version FROM waypost_schema", &[]).await.map_err(|error| of_postgres(&error))?;
    let found: i64 = row.try_get(0).map_err(|error| of_postgres(&error))?;
    if found > newest() + accepted {
        let schema = |number: i64| usize::try_from(number).unwrap_or(usize::MAX);
        return Err(StoreError::Newer { found: schema(found), known: schema(newest()) });
    }
    if found > newest() {
        tracing::warn!(
            schema = found,
            known = newest(),
            "a newer Waypost has migrated the database; this version works with it until it is upgraded too"
        );
    }
    for (number, sql) in (1_i64..).zip(MIGRATIONS).filter(|(number, _)| *number > found) {
        transaction.batch_execute(sql).await.map_err(|error| of_postgres(&error))?;
        transaction.execute("UPDATE waypost_schema SET version = $1", &[&number]).await.map_err(|error| of_postgres(&error))?;
    }
    transaction.commit().await.map_err(|error| of_postgres(&error))
}
