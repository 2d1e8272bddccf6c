//! Statements on a connection of SQLite.
//!
//! Invariant: statements are prepared once; the cache keeps those in use.

use mail::{Domain, QueueId};
use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, Statement, ToSql};

use crate::cluster::ClusterChange;
use crate::engine::{Reading, Row, Sql, Value};
use crate::error::StoreError;
use crate::message::{Claimed, Lease, NewMessage, Settlement};
use crate::tables;

impl ToSql for Value<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match *self {
            Value::Null => ValueRef::Null,
            Value::Int(number) => ValueRef::Integer(number),
            Value::Real(number) => ValueRef::Real(number),
            Value::Text(text) => ValueRef::Text(text.as_bytes()),
            Value::Blob(octets) => ValueRef::Blob(octets),
        }))
    }
}

fn value(found: ValueRef<'_>) -> Value<'_> {
    match found {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(number) => Value::Int(number),
        ValueRef::Real(number) => Value::Real(number),
        ValueRef::Text(octets) => std::str::from_utf8(octets).map_or(Value::Blob(octets), Value::Text),
        ValueRef::Blob(octets) => Value::Blob(octets),
    }
}

impl Row for rusqlite::Row<'_> {
    fn named(&self, column: &str) -> Result<Value<'_>, StoreError> {
        Ok(value(self.get_ref(column)?))
    }

    fn at(&self, index: usize) -> Result<Value<'_>, StoreError> {
        Ok(value(self.get_ref(index)?))
    }
}

fn bind(statement: &mut Statement<'_>, values: &[Value<'_>]) -> rusqlite::Result<()> {
    for (index, value) in values.iter().enumerate() {
        statement.raw_bind_parameter(index + 1, value)?;
    }
    Ok(())
}

impl Sql for Connection {
    fn execute(&self, sql: &str, values: &[Value<'_>]) -> Result<usize, StoreError> {
        let mut statement = self.prepare_cached(sql)?;
        bind(&mut statement, values)?;
        Ok(statement.raw_execute()?)
    }

    fn execute_each(&self, sql: &str, lists: &[Vec<Value<'_>>]) -> Result<(), StoreError> {
        let mut statement = self.prepare_cached(sql)?;
        for values in lists {
            bind(&mut statement, values)?;
            statement.raw_execute()?;
        }
        Ok(())
    }

    fn query(&self, sql: &str, values: &[Value<'_>], read: Reading<'_>) -> Result<(), StoreError> {
        let mut statement = self.prepare_cached(sql)?;
        bind(&mut statement, values)?;
        let mut rows = statement.raw_query();
        while let Some(row) = rows.next()? {
            read(row)?;
        }
        Ok(())
    }

    fn control(&self, sql: &str) -> Result<(), StoreError> {
        Ok(self.execute_batch(sql)?)
    }

    fn begin(&self) -> &'static str {
        "BEGIN IMMEDIATE"
    }

    fn enqueue(&self, messages: &[NewMessage], lease_ms: i64) -> Result<(), StoreError> {
        tables::enqueue_each(self, messages, lease_ms)
    }

    fn settle(&self, settlement: &Settlement, lease_ms: i64) -> Result<Vec<QueueId>, StoreError> {
        tables::settle(self, settlement, lease_ms)
    }

    /// The writer removes their files after the commit.
    fn forget_contents(&self, _: &[QueueId]) -> Result<(), StoreError> {
        Ok(())
    }

    /// There is one node, which has every duty.
    fn change_cluster(&self, change: &ClusterChange) -> Result<u64, StoreError> {
        match change {
            ClusterChange::TakeDuty { .. } => Ok(1),
            ClusterChange::SetState { .. } | ClusterChange::Leave | ClusterChange::RemoveNode { .. } | ClusterChange::Sweep => Ok(0),
            ClusterChange::PutShared { name, value, now_ms } => tables::put_shared(self, name, value, *now_ms).map(|()| 1),
            ClusterChange::OfferShared { name, value, now_ms } => tables::offer_shared(self, name, value, *now_ms),
            ClusterChange::RemoveShared { name } => tables::remove_shared(self, name),
            ClusterChange::KeepByDuty { name, value, taken, now_ms, .. } => {
                tables::put_shared(self, name, value, *now_ms)?;
                taken.iter().try_for_each(|name| tables::remove_shared(self, name).map(drop)).map(|()| 1)
            }
        }
    }

    fn lease(&self) -> Lease {
        Lease::default()
    }

    fn claim(&self, lane: &Domain, now_ms: i64, lease_ms: i64, limit: u32) -> Result<Vec<Claimed>, StoreError> {
        tables::claim_each(self, lane, now_ms, lease_ms, limit)
    }

    /// One process has the data directory, so every claim is its own or of one that is gone.
    fn is_abandoned(&self) -> String {
        "TRUE".to_owned()
    }

    fn position(&self) -> &'static str {
        "instr"
    }

    /// SQLite takes the highest number in the table.
    fn continue_numbers(&self) -> Result<(), StoreError> {
        Ok(())
    }

    fn has_own_clock(&self) -> bool {
        true
    }
}
