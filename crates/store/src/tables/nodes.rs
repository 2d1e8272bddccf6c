//! The table of the nodes of a cluster, which only PostgreSQL has.
//!
//! Invariant: every time is the database's.

use crate::cluster::{Duty, Node, NodeState};
use crate::engine::{Sql, values};
use crate::error::StoreError;

/// Returns the name of the node that has a duty.
pub(crate) fn duty_owner(db: &dyn Sql, duty: Duty) -> Result<Option<String>, StoreError> {
    let sql = "SELECT node.name AS name FROM duty JOIN node ON node.stay = duty.owner \
               WHERE duty.name = ? AND duty.until > clock_timestamp() AND node.lease_until > clock_timestamp()";
    db.row(sql, values![duty.as_str()], |row| row.get("name"))
}

/// Returns the nodes, by name.
pub(crate) fn nodes(db: &dyn Sql) -> Result<Vec<Node>, StoreError> {
    let ms = |time: &str| format!("CAST(floor(extract(epoch FROM {time}) * 1000) AS bigint)");
    let sql = format!(
        "SELECT name, number, version, schema, state, {} AS started_ms, {} AS seen_ago_ms, lease_until > clock_timestamp() AS is_alive, \
         (SELECT count(*) FROM recipient r WHERE r.state = 1 AND r.owner >> 32 = node.stay) AS claimed FROM node ORDER BY name",
        ms("started"),
        ms("(clock_timestamp() - seen)"),
    );
    db.rows(&sql, &[], |row| {
        let unsigned = |column: &str| row.get::<i64>(column).map(i64::unsigned_abs);
        Ok(Node {
            name: row.get("name")?,
            number: u8::try_from(unsigned("number")?).unwrap_or(u8::MAX),
            started_ms: row.get("started_ms")?,
            seen_ago_ms: row.get("seen_ago_ms")?,
            is_alive: row.get("is_alive")?,
            version: row.get("version")?,
            schema: unsigned("schema")?,
            state: NodeState::of_word(&row.get::<String>("state")?),
            claimed: unsigned("claimed")?,
        })
    })
}
