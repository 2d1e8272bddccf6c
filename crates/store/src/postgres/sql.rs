//! Statements on a connection of PostgreSQL.
//!
//! Invariant: nothing here is SQL that the tables have too; only what many nodes need is different.

use mail::{Domain, QueueId};
use tokio_postgres::Row as PgRow;

use super::parameter::Found;
use super::session::Session;
use super::{bulk, claiming, nodes};
use crate::cluster::ClusterChange;
use crate::engine::{Reading, Row, Sql, Value};
use crate::error::StoreError;
use crate::message::{Claimed, Lease, NewMessage, Settlement};
use crate::tables;

impl Row for PgRow {
    fn named(&self, column: &str) -> Result<Value<'_>, StoreError> {
        self.try_get::<_, Found<'_>>(column).map(|found| found.0).map_err(|error| StoreError::Corrupt(error.to_string()))
    }

    fn at(&self, index: usize) -> Result<Value<'_>, StoreError> {
        self.try_get::<_, Found<'_>>(index).map(|found| found.0).map_err(|error| StoreError::Corrupt(error.to_string()))
    }
}

/// A row, as the tables read it.
pub(super) fn as_row(row: &PgRow) -> &dyn Row {
    row
}

impl Sql for Session {
    fn execute(&self, sql: &str, values: &[Value<'_>]) -> Result<usize, StoreError> {
        Ok(usize::try_from(self.change(sql, values)?).unwrap_or(usize::MAX))
    }

    fn execute_each(&self, sql: &str, lists: &[Vec<Value<'_>>]) -> Result<(), StoreError> {
        if lists.is_empty() { Ok(()) } else { self.change_each(sql, lists) }
    }

    fn query(&self, sql: &str, values: &[Value<'_>], read: Reading<'_>) -> Result<(), StoreError> {
        self.ask(sql, values)?.iter().try_for_each(|row| read(as_row(row)))
    }

    fn control(&self, sql: &str) -> Result<(), StoreError> {
        Session::control(self, sql)
    }

    fn begin(&self) -> &'static str {
        "BEGIN"
    }

    fn enqueue(&self, messages: &[NewMessage], lease_ms: i64) -> Result<(), StoreError> {
        self.fly(&bulk::enqueue(&[(messages, lease_ms)], self.owner())).map(drop)
    }

    fn settle(&self, settlement: &Settlement, lease_ms: i64) -> Result<Vec<QueueId>, StoreError> {
        let steps = bulk::settle(&[settlement], self.stay.any_owner());
        let answers = self.fly(&steps)?;
        let has_changed = steps.iter().zip(&answers).any(|(step, rows)| bulk::changes_recipients(step) && !rows.is_empty());
        let is_ours = settlement.recipients.is_empty() || has_changed;
        if is_ours {
            tables::settle_rest(self, settlement, lease_ms)?;
        } else {
            tracing::warn!(
                "the outcome of a delivery came after its claim had ended, or twice; its DSN is left to the node that has the claim"
            );
        }
        Ok(Vec::new())
    }

    fn forget_contents(&self, ids: &[QueueId]) -> Result<(), StoreError> {
        ids.iter().try_for_each(|id| self.change("DELETE FROM content_piece WHERE content_id = ?", &[Value::Int(id.0)]).map(drop))
    }

    fn change_cluster(&self, change: &ClusterChange) -> Result<u64, StoreError> {
        nodes::change(self, change)
    }

    fn lease(&self) -> Lease {
        Lease(Some(self.owner()))
    }

    fn claim(&self, lane: &Domain, now_ms: i64, lease_ms: i64, limit: u32) -> Result<Vec<Claimed>, StoreError> {
        claiming::claim(self, lane, (now_ms, lease_ms), limit)
    }

    fn is_abandoned(&self) -> String {
        nodes::is_abandoned(&format!("AND node.stay <> {}", self.stay.number()))
    }

    fn position(&self) -> &'static str {
        "strpos"
    }

    fn continue_numbers(&self) -> Result<(), StoreError> {
        for table in ["failed", "received_report"] {
            let sql = format!(
                "SELECT CAST(setval(pg_get_serial_sequence('{table}', 'n'), max(n)) AS bigint) FROM {table} HAVING max(n) IS NOT NULL"
            );
            self.ask(&sql, &[])?;
        }
        Ok(())
    }

    fn has_own_clock(&self) -> bool {
        false
    }
}
