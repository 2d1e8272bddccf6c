//! What an engine offers: statements of SQL in a transaction of the caller, and the operations of the queue whose form differs.
//!
//! The tables and their names are the same in every engine, so the functions in `tables` are written once, in the SQL that SQLite and PostgreSQL
//! share. Invariant: no function here begins or ends a transaction; the writer of the engine does.

mod value;

pub(crate) use value::{FromValue, ToValue, Value, values};

use mail::{Domain, QueueId};

use crate::cluster::ClusterChange;
use crate::error::StoreError;
use crate::message::{Claimed, Lease, NewMessage, Settlement};

/// A row of an answer.
pub(crate) trait Row {
    /// Returns the value of a column by its name.
    fn named(&self, column: &str) -> Result<Value<'_>, StoreError>;

    /// Returns the value of a column by its position, from 0.
    fn at(&self, index: usize) -> Result<Value<'_>, StoreError>;
}

/// The name or the position of a column.
pub(crate) trait Column: Copy {
    /// Finds its value.
    fn of<'r>(self, row: &'r dyn Row) -> Result<Value<'r>, StoreError>;

    /// For errors.
    fn shown(self) -> String;
}

impl Column for &str {
    fn of<'r>(self, row: &'r dyn Row) -> Result<Value<'r>, StoreError> {
        row.named(self)
    }

    fn shown(self) -> String {
        self.to_owned()
    }
}

impl Column for usize {
    fn of<'r>(self, row: &'r dyn Row) -> Result<Value<'r>, StoreError> {
        row.at(self)
    }

    fn shown(self) -> String {
        format!("number {self}")
    }
}

impl dyn Row + '_ {
    /// Returns the value of a column.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] if it has another type.
    pub fn get<T: FromValue>(&self, column: impl Column) -> Result<T, StoreError> {
        T::from_value(column.of(self)?).map_err(|what| StoreError::Corrupt(format!("column {}: {what}", column.shown())))
    }
}

/// What reads the rows of an answer.
pub(crate) type Reading<'a> = &'a mut dyn FnMut(&dyn Row) -> Result<(), StoreError>;

/// A connection of an engine. Parameters are written `?` or `?1`, and a parameter has one type in a statement.
pub(crate) trait Sql {
    /// Runs a statement. Returns the number of rows that it has changed.
    fn execute(&self, sql: &str, values: &[Value<'_>]) -> Result<usize, StoreError>;

    /// Runs a statement for each list of values, without waiting between them if the engine is at the end of a network.
    fn execute_each(&self, sql: &str, lists: &[Vec<Value<'_>>]) -> Result<(), StoreError>;

    /// Runs a query, and passes its rows to `read`.
    fn query(&self, sql: &str, values: &[Value<'_>], read: Reading<'_>) -> Result<(), StoreError>;

    /// Runs a statement that begins, ends or marks a transaction.
    fn control(&self, sql: &str) -> Result<(), StoreError>;

    /// The statement that begins a transaction which writes.
    fn begin(&self) -> &'static str;

    /// Adds messages. `lease_ms` is the end of the claim of claimed ones.
    fn enqueue(&self, messages: &[NewMessage], lease_ms: i64) -> Result<(), StoreError>;

    /// Applies the end of an attempt. Returns the large contents that no message names any more.
    fn settle(&self, settlement: &Settlement, lease_ms: i64) -> Result<Vec<QueueId>, StoreError>;

    /// Removes what the database itself keeps of large contents that no message names any more.
    fn forget_contents(&self, ids: &[QueueId]) -> Result<(), StoreError>;

    /// Changes what the nodes of a cluster share. Returns the number of rows that it concerned.
    fn change_cluster(&self, change: &ClusterChange) -> Result<u64, StoreError>;

    /// The lease of what is claimed now.
    fn lease(&self) -> Lease;

    /// Claims up to `limit` recipients of a lane that are due at `now_ms`, until `lease_ms`.
    fn claim(&self, lane: &Domain, now_ms: i64, lease_ms: i64, limit: u32) -> Result<Vec<Claimed>, StoreError>;

    /// Returns the condition that a claimed recipient is free: its process is gone, or this one gives it back.
    fn is_abandoned(&self) -> String;

    /// The name of the function that finds the second text in the first one, and returns 0 if it is not there.
    fn position(&self) -> &'static str;

    /// Has the numbers of new rows go on after those that were copied.
    fn continue_numbers(&self) -> Result<(), StoreError>;

    /// Whether the times of the queue are those of this machine's clock alone.
    fn has_own_clock(&self) -> bool;
}

impl dyn Sql + '_ {
    /// Returns what `read` makes of each row.
    pub fn rows<T>(
        &self,
        sql: &str,
        values: &[Value<'_>],
        mut read: impl FnMut(&dyn Row) -> Result<T, StoreError>,
    ) -> Result<Vec<T>, StoreError> {
        let mut found = Vec::new();
        self.query(sql, values, &mut |row| {
            found.push(read(row)?);
            Ok(())
        })?;
        Ok(found)
    }

    /// Returns what `read` makes of the first row; `None` if there is no row.
    pub fn row<T>(
        &self,
        sql: &str,
        values: &[Value<'_>],
        mut read: impl FnMut(&dyn Row) -> Result<T, StoreError>,
    ) -> Result<Option<T>, StoreError> {
        let mut found = None;
        self.query(sql, values, &mut |row| {
            if found.is_none() {
                found = Some(read(row)?);
            }
            Ok(())
        })?;
        Ok(found)
    }

    /// Returns the only column of the only row.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] if there is no row.
    pub fn one<T: FromValue>(&self, sql: &str, values: &[Value<'_>]) -> Result<T, StoreError> {
        self.row(sql, values, |row| row.get(0))?.ok_or_else(|| StoreError::Corrupt(format!("no answer to {sql}")))
    }

    /// Whether a query has a row.
    pub fn exists(&self, sql: &str, values: &[Value<'_>]) -> Result<bool, StoreError> {
        Ok(self.row(sql, values, |_| Ok(()))?.is_some())
    }
}
