//! The tables, and the migrations of older databases.
//!
//! Invariant: `user_version` is the number of migrations that have run; a released migration is never edited.

use rusqlite::Connection;

use crate::error::StoreError;

const MIGRATIONS: &[&str] = &[
    include_str!("schema/0001.sql"),
    include_str!("schema/0002.sql"),
    include_str!("schema/0003.sql"),
    include_str!("schema/0004.sql"),
    include_str!("schema/0005.sql"),
    include_str!("schema/0006.sql"),
    include_str!("schema/0007.sql"),
    include_str!("schema/0008.sql"),
    include_str!("schema/0009.sql"),
    include_str!("schema/0010.sql"),
    include_str!("schema/0011.sql"),
    include_str!("schema/0012.sql"),
    include_str!("schema/0013.sql"),
    include_str!("schema/0014.sql"),
    include_str!("schema/0015.sql"),
    include_str!("schema/0016.sql"),
    include_str!("schema/0017.sql"),
];

/// Returns the newest schema that this version knows.
pub(crate) fn newest_schema() -> u64 {
    MIGRATIONS.len() as u64
}

/// Returns the schema of a database.
///
/// # Errors
/// A newer version has written it.
pub(crate) fn refuse_newer(db: &Connection) -> Result<usize, StoreError> {
    let done: usize = db.query_row("PRAGMA user_version", [], |row| row.get::<_, i64>(0)).map(|v| usize::try_from(v).unwrap_or(0))?;
    match done > MIGRATIONS.len() {
        true => Err(StoreError::Newer { found: done, known: MIGRATIONS.len() }),
        false => Ok(done),
    }
}

/// Runs the pending migrations.
pub(crate) fn migrate(db: &Connection) -> Result<(), StoreError> {
    let done = refuse_newer(db)?;
    for (number, sql) in MIGRATIONS.iter().enumerate().skip(done) {
        db.execute_batch(&format!("BEGIN IMMEDIATE; {sql}; PRAGMA user_version = {}; COMMIT;", number + 1))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn databases_of_every_version_migrate() {
        let dropped = MIGRATIONS.iter().position(|sql| sql.contains("DROP TABLE strict_domain")).unwrap();
        for version in 0..=MIGRATIONS.len() {
            let db = Connection::open_in_memory().unwrap();
            for sql in MIGRATIONS.iter().take(version) {
                db.execute_batch(sql).unwrap();
            }
            db.pragma_update(None, "user_version", i64::try_from(version).unwrap()).unwrap();
            if version > 0 {
                let columns = "id, content_id, flow, reverse_path, body_8bit, smtputf8, arrived_ms, expires_ms, prefix";
                db.execute(&format!("INSERT INTO message ({columns}) VALUES (1, 1, 'own', 'a@b.test', 0, 0, 0, 0, '')"), []).unwrap();
            }
            if (1..=2).contains(&version) {
                db.execute("INSERT INTO account (login, password_hash, may_send_as) VALUES ('me@b.test', '$argon2id$', '')", []).unwrap();
            }
            if (2..=dropped).contains(&version) {
                db.execute("INSERT INTO strict_domain VALUES ('me@b.test', 'hold')", []).unwrap();
            }
            if version == 5 {
                db.execute("INSERT INTO tls_result VALUES (0, 1, 'far.test', '{}', '', '', 7)", []).unwrap();
            }
            migrate(&db).unwrap();
            migrate(&db).unwrap();
            if (2..=dropped).contains(&version) {
                let options = "SELECT options FROM alias_options WHERE source = 'me@b.test'";
                assert_eq!(db.query_row(options, [], |row| row.get::<_, String>(0)).unwrap(), r#"{"strict_domain":"hold"}"#);
            }
            if version == 5 {
                let moved = "SELECT times FROM daily_result WHERE kind = 'tls' AND domain = 'far.test'";
                assert_eq!(db.query_row(moved, [], |row| row.get::<_, i64>(0)).unwrap(), 7);
            }
            if version > 0 {
                let count = |sql: &str| db.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap();
                assert_eq!(count("SELECT messages FROM total"), 1, "existing rows are counted");
                db.execute("DELETE FROM message WHERE id = 2", []).unwrap();
                assert_eq!(count("SELECT messages FROM total"), 1);
            }
            let reported: i64 = db.query_row("SELECT coalesce(min(may_report), 1) FROM message", [], |row| row.get(0)).unwrap();
            assert_eq!(reported, 1, "mail queued before gets DSNs as before");
            if (1..=2).contains(&version) {
                let moved = "SELECT verifier || name || length(salt) FROM password JOIN account USING (login)";
                assert_eq!(db.query_row(moved, [], |row| row.get::<_, String>(0)).unwrap(), "$argon2id$first16");
            }
        }
    }
}
