//! Tests of the plans that PostgreSQL makes for the statements of mail under way.

use super::{LoneSession, bulk, claiming};
use crate::engine::Sql;
use crate::tables::SELECT_CONTENT;
use pg_lab::PgServer;

/// Returns the plan that the server keeps for a prepared statement of so many parameters, a line each.
fn plan(db: &dyn Sql, sql: &str, parameters: usize) -> Vec<String> {
    let unknown = vec!["NULL"; parameters].join(", ");
    db.execute(&format!("PREPARE planned AS {}", super::parameter::numbered(sql)), &[]).unwrap();
    let plan = db.rows(&format!("EXPLAIN EXECUTE planned({unknown})"), &[], |row| row.get::<String>(0)).unwrap();
    db.execute("DEALLOCATE planned", &[]).unwrap();
    plan
}

/// Whether rows are looked up by their keys, each time.
fn looks_up(plan: &[String]) -> bool {
    let has = |words: &str| plan.iter().filter(|line| line.contains(words)).count();
    has("Seq Scan") == 0 && has("Index Scan") + has("Index Only Scan") == has("Index Cond:")
}

#[test]
fn plans_of_an_empty_queue_fit_a_long_one() {
    let server = PgServer::default();
    let session = LoneSession::open(&server.url(), None).unwrap();
    let db = session.sql();
    db.execute("SET plan_cache_mode = force_generic_plan", &[]).unwrap();
    let statements = [
        (bulk::LOCK_MESSAGES, 2),
        (bulk::LOCK_CONTENTS, 1),
        (bulk::REMOVE_RECIPIENTS, 2),
        (bulk::REMOVE_DONE, 2),
        (bulk::DEFER, 8),
        (claiming::CLAIM, 5),
        (SELECT_CONTENT, 1),
    ];
    for (sql, parameters) in statements {
        let plan = plan(db, sql, parameters);
        assert!(looks_up(&plan), "{sql}\n{}", plan.join("\n"));
    }
    // What the settings of a connection are for.
    db.execute("SET enable_seqscan = on", &[]).unwrap();
    assert!(!looks_up(&plan(db, bulk::REMOVE_DONE, 2)));
}
